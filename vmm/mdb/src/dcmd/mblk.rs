//! `::mblk`: message blocks.
//!
//! # Invariants
//! - Columns, filters and what they imply are mdb's: with a filter addresses only, and numbers are hexadecimal unless `0t` is in front.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options};
use crate::lang::Failure;
use crate::object::Object;
use crate::streams::{self, flags, select};
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "mblk",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-q|v] [-f|F flag] [-t|T type] [-l|L|G len] [-b size] [-d dblk]",
    about: "print an mblk",
    help: "Prints the message block at the address, or every one in use: its flags, the type of its data block, bytes in it (b_wptr -\n\
           b_rptr), bytes of its buffer (db_lim - db_base), where it is read next, and its data block.\n\
           -v        what the flags mean                  -q        addresses only\n\
           -f flag   only those with the flag set         -F flag   only those with the flag not set\n\
           -t type   only those of the type (M_DATA)      -T type   only those of another type\n\
           -l len    only those with just so many bytes   -b size   only those with such a buffer\n\
           -L len    with so many or less                 -G len    with so many or more\n\
           -d dblk   only those of the data block\n\
           Numbers are hexadecimal: 0t is in front of decimal ones.\n\
           With a filter, and into a pipe, it prints addresses only.",
    examples: &[
        ("::mblk", "every message block"),
        ("::mblk -t M_PROTO | ::mblk", "those of one type"),
        ("::mblk -l 0t1 ! wc -l", "how many have exactly one byte; with -G 0t1 one or more"),
        ("::queue -f QFULL | ::print queue_t q_first | ::walk b_next | ::walk b_cont | ::mblk", "all that full queues have"),
    ],
    run: Run::View(run),
};

/// Column of the flags, to which `-v` draws its arrow.
const FLAGS_COLUMN: usize = 2 * 8 + 1;

/// What is asked for.
struct Filter {
    set: u64,
    clear: u64,
    of: Option<u64>,
    not: Option<u64>,
    len: Option<u64>,
    most: Option<u64>,
    least: Option<u64>,
    size: Option<u64>,
    dblk: Option<u64>,
}

/// A block and its data block, as they are shown.
struct Line {
    addr: u64,
    flags: u64,
    db_type: u64,
    len: u64,
    size: u64,
    rptr: u64,
    dblk: u64,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("qvf:F:t:T:l:L:G:b:d:")?;
    select::check(call, &options)?;
    let filter = filter(call, &options)?;
    let is_quiet = select::is_quiet(call, &options, "fFtTlLGbd");
    let header = format!(
        "{:>16} {:>2} {:<7} {:<5} {:<5} {:>16} {:>16}",
        "ADDR", "FL", "TYPE", "LEN", "BLEN", "RPTR", "DBLK"
    );
    let mut answer = Answer { header: (!is_quiet).then_some(header), ..Answer::default() };
    let addrs = walker::at_or_all(view, call, "mblk")?;
    for addr in addrs {
        let line = match line(&streams::mblk(view, addr)?) {
            Ok(line) => line,
            Err(why) if call.addr.is_some() => return Err(why),
            // Of all there are, one that is corrupt is told after the others.
            Err(why) => {
                answer.ended.get_or_insert(why);
                continue;
            }
        };
        if filter.takes(&line) {
            answer.rows.push(if is_quiet { select::address(addr) } else { row(&line, options.has('v')) });
        }
    }
    Ok(answer)
}

fn filter(call: &Call<'_>, options: &Options<'_>) -> Result<Filter, Failure> {
    Ok(Filter {
        set: select::bit(options, 'f', flags::MBLK)?,
        clear: select::bit(options, 'F', flags::MBLK)?,
        of: db_type(options, 't')?,
        not: db_type(options, 'T')?,
        len: select::number(call, options, 'l')?,
        most: select::number(call, options, 'L')?,
        least: select::number(call, options, 'G')?,
        size: select::number(call, options, 'b')?,
        dblk: select::number(call, options, 'd')?,
    })
}

fn db_type(options: &Options<'_>, letter: char) -> Result<Option<u64>, Failure> {
    let Some(word) = options.argument(letter) else { return Ok(None) };
    let known = flags::TYPES.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(&word.text));
    known.map(|(_, _, n)| Some(u64::from(*n))).ok_or_else(|| {
        let names: Vec<String> = flags::TYPES
            .chunks(4)
            .map(|four| four.iter().map(|(name, _, _)| format!("  {name:<14}")).collect::<String>().trim_end().to_owned())
            .collect();
        let message = format!("unrecognized type `{}`; a type is one of\n{}", word.text, names.join("\n"));
        Failure::new(message).or_at(&word.at)
    })
}

impl Filter {
    fn takes(&self, line: &Line) -> bool {
        line.flags & self.set == self.set
            && line.flags & self.clear == 0
            && self.of.is_none_or(|of| line.db_type == of)
            && self.not.is_none_or(|not| line.db_type != not)
            && self.len.is_none_or(|len| line.len == len)
            && self.most.is_none_or(|most| line.len as i64 <= most as i64)
            && self.least.is_none_or(|least| line.len as i64 >= least as i64)
            && self.size.is_none_or(|size| line.size == size)
            && self.dblk.is_none_or(|dblk| line.dblk == dblk)
    }
}

fn line(mblk: &Object<'_>) -> Result<Line, Failure> {
    let dblk = mblk.n("b_datap")?;
    let of = streams::dblk(mblk.view(), dblk)
        .map_err(|why| Failure::new(format!("message block {:#x}: b_datap: {}", mblk.addr(), why.message)))?;
    let rptr = mblk.n("b_rptr")?;
    Ok(Line {
        addr: mblk.addr(),
        flags: mblk.n("b_flag")?,
        db_type: of.n("db_type")?,
        len: mblk.n("b_wptr")?.wrapping_sub(rptr),
        size: of.n("db_lim")?.wrapping_sub(of.n("db_base")?),
        rptr,
        dblk,
    })
}

fn row(line: &Line, is_verbose: bool) -> Row {
    let kind = flags::type_name(line.db_type);
    let (len, size) = (line.len as i64, line.size as i64);
    let mut text = format!(
        "{:016x} {:<2x} {kind:<7} {len:<5} {size:<5} {:016x} {:016x}",
        line.addr, line.flags, line.rptr, line.dblk
    );
    if is_verbose {
        text += &flags::arrow(flags::MBLK, line.flags, FLAGS_COLUMN);
    }
    let data = vec![
        ("addr", line.addr.into()),
        ("flags", line.flags.into()),
        ("type", kind.as_str().into()),
        ("len_bytes", len.into()),
        ("blen_bytes", size.into()),
        ("rptr", line.rptr.into()),
        ("dblk", line.dblk.into()),
    ];
    Row { value: Some(line.addr), text, data }
}
