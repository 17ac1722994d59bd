//! What the article "MDB for STREAMS" quotes is typed here, at each kind of target, and answered in the form that it shows.
//!
//! The source is `seeds/002`, the weblog of June 2005. Its machine has a stream `strwhead`, `timod`, `udp`, `ip` whose reader does not
//! read, and another one whose driver is full; `stream_full` has the same. Where the article names an address, a variable stands here.
//!
//! # Invariants
//! - Every command line of the article's part on STREAMS is in the table, once a place where it is quoted.

use crate::seeds::{Quoted, quoted, session, targets};

/// Sets `q` to the read queue of timod that is full, `m` to the first message on it, and so on.
const FULL: &str = "::queue -m udp | ::print queue_t q_next | >q; <q::print queue_t q_first | >m";
const HEAD: &str =
    "::queue -m udp | ::print queue_t q_next | >q; <q::q2stream | ::str2wrq | >w; ::queue -m ip | >i";
const PRIMITIVE: &str =
    "::queue -m udp | ::print queue_t q_next | ::print queue_t q_first | ::print mblk_t b_rptr | >r";

const QUEUE_HEADER: &str = "            ADDR MODULE         FLAGS NBLK";
const MBLK_HEADER: &str = "            ADDR FL TYPE    LEN   BLEN              RPTR             DBLK";
const PROTO: &str = "[0-9a-f]{16} 0  proto   56    80    [0-9a-f]{16} [0-9a-f]{16}";
const DATA: &str = "[0-9a-f]{16} 0  data    108   144   [0-9a-f]{16} [0-9a-f]{16}";
const RULE: &str = r"\+-----------------------\+-----------------------\+";
const DOWN: &str = r" {12}\|                       \^";
const UP: &str = r" {12}v                       \|";
const ADDRESSES: &str = r"\| 0x[0-9a-f]+ +\| 0x[0-9a-f]+ +\| ";
const BLANK: &str = r"\|                       \|                       \|";

const STREAMS: &[Quoted] = &[
    quoted(
        "> ::help queue",
        "",
        "::help queue",
        &[
            "NAME",
            "  queue - filter and display STREAM queue",
            "...",
            "SYNOPSIS",
            r"  \[ addr \] ::queue \[-q\|v\] \[-m mod\] \[-f flag\] \[-F flag\] \[-s syncq_addr\]",
        ],
    ),
    quoted(
        "> ::queue",
        "",
        "::queue",
        &[
            QUEUE_HEADER,
            "...",
            "[0-9a-f]{16} strrhead      04403[0-9a-f] +[0-9]+ [0-9a-f]{16}",
            "...",
            "[0-9a-f]{16} ip            20403[0-9a-f]    0 0000000000000000",
        ],
    ),
    quoted(
        "> ::queue -v",
        "",
        "::queue -v",
        &[
            QUEUE_HEADER,
            "...",
            "[0-9a-f]{16} ip            204032    0 0000000000000000",
            r" {31}\|",
            r" {31}\+-->  QWANTR       Someone wants to read Q",
            r" {37}QREADR       This is the reader \(first\) Q",
            r" {37}QUSE         This queue in use \(allocation\)",
            r" {37}QMTSAFE      stream module is MT-safe",
            r" {37}QISDRV       the Queue is attached to a driver",
        ],
    ),
    quoted(
        "> d0353180::queue -v",
        HEAD,
        "<i::queue -v",
        &[
            QUEUE_HEADER,
            "[0-9a-f]{16} ip            204032    0 0000000000000000",
            r" {31}\|",
            r" {31}\+-->  QWANTR       .*",
        ],
    ),
    quoted("> ::queue -m ip", "", "::queue -m ip", &["[0-9a-f]{16}"]),
    quoted(
        "> ::queue -m ip | ::queue",
        "",
        "::queue -m ip | ::queue",
        &[QUEUE_HEADER, "[0-9a-f]{16} ip            204032    0 0000000000000000"],
    ),
    quoted(
        "> ::queue -f QISDRV|::queue",
        "",
        "::queue -f QISDRV|::queue",
        &[QUEUE_HEADER, "[0-9a-f]{16} (ip|loop) .*", "[0-9a-f]{16} (ip|loop) .*"],
    ),
    quoted(
        "> ::queue -F QISDRV|::queue",
        "",
        "::queue -F QISDRV|::queue",
        &[QUEUE_HEADER, "[0-9a-f]{16} strrhead .*", "...", "[0-9a-f]{16} (timod|udp) .*"],
    ),
    quoted(
        "> ::queue -f QFULL|::queue",
        "",
        "::queue -f QFULL|::queue",
        &[
            QUEUE_HEADER,
            "[0-9a-f]{16} strrhead      04403[8-9a-f] +[0-9]+ [0-9a-f]{16}",
            "...",
            "[0-9a-f]{16} timod         00083[8-9a-f] +[0-9]+ [0-9a-f]{16}",
        ],
    ),
    quoted(
        "> ::queue -q | ::q2wrq | ::queue -f QFULL|::queue -v",
        "",
        "::queue -q | ::q2wrq | ::queue -f QFULL|::queue -v",
        &[
            QUEUE_HEADER,
            "...",
            "[0-9a-f]{16} loop +[0-9a-f]{6} +[0-9]+ [0-9a-f]{16}",
            r" {31}\|",
            "...",
            " {37}QFULL        Q is considered full",
            r" {37}QUSE         This queue in use \(allocation\)",
            "...",
            " {37}QEND         last queue in stream",
            " {37}QISDRV       the Queue is attached to a driver",
        ],
    ),
    quoted(
        "> ffffffff83acf2e8::q2stream|::stream",
        FULL,
        "<q::q2stream|::stream",
        &[
            "",
            RULE,
            ADDRESSES,
            r"\| strwhead              \| strrhead              \| ",
            BLANK,
            r"\| cnt = 0t0             \| cnt = 0t[0-9]+ +\| ",
            r"\| flg = 0x0000402[0-9a-f]      \| flg = 0x0004403[0-9a-f]      \| ",
            RULE,
            DOWN,
            UP,
            RULE,
            ADDRESSES,
            r"\| timod                 \| timod                 \| ",
            BLANK,
            r"\| cnt = 0t0             \| cnt = 0t[0-9]+ +\| ",
            r"\| flg = 0x0000082[0-9a-f]      \| flg = 0x0000083[0-9a-f]      \| ",
            RULE,
            DOWN,
            UP,
            RULE,
            ADDRESSES,
            r"\| udp                   \| udp                   \| ",
            BLANK,
            r"\| cnt = 0t0             \| cnt = 0t0             \| ",
            r"\| flg = 0x00000822      \| flg = 0x00000832      \| ",
            RULE,
            DOWN,
            UP,
            RULE,
            ADDRESSES,
            r"\| ip                    \| ip                    \| ",
            BLANK,
            r"\| cnt = 0t0             \| cnt = 0t0             \| ",
            r"\| flg = 0x00244022      \| flg = 0x00204032      \| ",
            RULE,
        ],
    ),
    quoted(
        "> 0xffffffff82548110::walk qnext|::queue",
        HEAD,
        "<w::walk qnext|::queue",
        &[
            QUEUE_HEADER,
            "[0-9a-f]{16} strwhead      00402[0-9a-f]    0 0000000000000000",
            "[0-9a-f]{16} timod         00082[0-9a-f]    0 0000000000000000",
            "[0-9a-f]{16} udp           000822    0 0000000000000000",
            "[0-9a-f]{16} ip            244022    0 0000000000000000",
        ],
    ),
    quoted(
        "> 0xffffffff82a86030::walk qnext|::queue",
        HEAD,
        "<i::walk qnext|::queue",
        &[
            QUEUE_HEADER,
            "[0-9a-f]{16} ip            204032    0 0000000000000000",
            "[0-9a-f]{16} udp           000832    0 0000000000000000",
            "[0-9a-f]{16} timod         00083[0-9a-f] +[0-9]+ [0-9a-f]{16}",
            "[0-9a-f]{16} strrhead      04403[0-9a-f] +[0-9]+ [0-9a-f]{16}",
        ],
    ),
    quoted("> ffffffff949c2680::mblk", FULL, "<m::mblk", &[MBLK_HEADER, PROTO]),
    quoted(
        "> ffffffff949c2680::walk b_cont|::mblk",
        FULL,
        "<m::walk b_cont|::mblk",
        &[MBLK_HEADER, PROTO, DATA],
    ),
    quoted(
        "> ffffffff84659f00::walk b_next|::mblk",
        FULL,
        "<m::walk b_next|::mblk",
        &[MBLK_HEADER, PROTO, PROTO, PROTO],
    ),
    quoted(
        "> ffffffff84659f00::walk b_next|::walk b_cont|::mblk",
        FULL,
        "<m::walk b_next|::walk b_cont|::mblk",
        &[MBLK_HEADER, PROTO, DATA, PROTO, DATA, PROTO, DATA],
    ),
    quoted(
        "> ::help mblk",
        "",
        "::help mblk",
        &[
            "NAME",
            "  mblk - print an mblk",
            "...",
            r"  \[ addr \] ::mblk \[-q\|v\] \[-f\|F flag\] \[-t\|T type\] \[-l\|L\|G len\] .*",
        ],
    ),
    quoted("> ::mblk", "", "::mblk", &[MBLK_HEADER, "...", PROTO, "...", DATA]),
    quoted(
        "> ::mblk -t M_DATA|::mblk",
        "",
        "::mblk -t M_DATA|::mblk",
        &[MBLK_HEADER, "[0-9a-f]{16} 0  data .*", "[0-9a-f]{16} 0  data .*"],
    ),
    // Nobody writes empty messages here: what there is of 108 bytes shows the form.
    quoted(
        "> ::mblk -l 0|::mblk",
        "",
        "::mblk -l 0|::mblk; ::mblk -l 6c|::mblk",
        &["...", MBLK_HEADER, DATA, DATA],
    ),
    quoted("> ::mblk -l 0t1 ! wc -l", "", "::mblk -l 0t1 ! wc -l", &[" *[0-9]+"]),
    quoted("> ffffffff88f145b0/D", PRIMITIVE, "<r/D", &["0x[0-9a-f]+: +20 *"]),
    quoted(
        "> ffffffff88f145b0::print 'struct T_unitdata_ind'",
        PRIMITIVE,
        "<r::print 'struct T_unitdata_ind'",
        &[
            r"\{",
            "    PRIM_type = 0x14",
            "    SRC_length = 0x10",
            "    SRC_offset = 0x14",
            "    OPT_length = 0x14",
            "    OPT_offset = 0x24",
            r"\}",
        ],
    ),
    quoted(
        "> ::mblk -t M_DATA|::print mblk_t b_rptr|/s",
        "",
        "::mblk -t M_DATA|::print mblk_t b_rptr|/s ! wc -l",
        &[" *[1-9][0-9]*"],
    ),
];

#[test]
fn what_the_article_on_streams_types_is_answered_in_its_form() {
    for target in targets() {
        session("stream_full", &["--at", "200ms"], &target, STREAMS);
    }
}
