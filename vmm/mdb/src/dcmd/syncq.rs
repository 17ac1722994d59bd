//! `::syncq`: perimeters.
//!
//! # Invariants
//! - Columns are mdb's; TYP is the high byte of `sq_type`.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::streams::{self, flags, select};
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "syncq",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-q|v] [-f flag] [-F flag] [-t type] [-T type]",
    about: "print syncq",
    help: "Prints the perimeter at the address, or every one in use: its flags, its type (which entries share it), threads inside, queues\n\
           with parked messages, its outer perimeter, how it is served (a sum: 1 a background thread drains it, 2 it is on the list of\n\
           one, 4 none may), and the priority of the first queue.\n\
           -v        what flags and type mean             -q        addresses only\n\
           -f flag   only those with the flag set         -F flag   only those with the flag not set\n\
           -t type   only those of the type               -T type   only those not of the type",
    examples: &[
        ("::syncq -v", "every perimeter in use"),
        ("::syncq -f SQ_EXCL | ::syncq2q | ::queue", "queues whose perimeter one thread has for itself"),
        ("::syncq -T SQ_CIPUT | ::syncq", "perimeters that put procedures do not share"),
    ],
    run: Run::View(run),
};

/// Columns to which `-v` draws its arrow: of the flags, and of the type.
const FLAGS_COLUMN: usize = 2 * 8 + 1;
const TYPE_COLUMN: usize = 2 * 8 + 5;

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("qvf:F:t:T:")?;
    select::check(call, &options)?;
    let (set, clear) =
        (select::bit(&options, 'f', flags::SYNCQ)?, select::bit(&options, 'F', flags::SYNCQ)?);
    let (of, not) = (
        select::bit(&options, 't', flags::SYNCQ_TYPE)?,
        select::bit(&options, 'T', flags::SYNCQ_TYPE)?,
    );
    let is_quiet = select::is_quiet(call, &options, "fFtT");
    let header = format!("{:>16} FLG TYP CNT NQS {:>16} SF PRI", "ADDR", "OUTER");
    let mut answer = Answer { header: (!is_quiet).then_some(header), ..Answer::default() };
    let addrs = match call.addr {
        Some(addr) => vec![addr],
        None => streams::syncqs(view)?,
    };
    for addr in addrs {
        let sq = streams::syncq(view, addr)?;
        let (bits, kind) = (sq.n("sq_flags")?, sq.n("sq_type")? >> 8);
        if bits & set != set || bits & clear != 0 || kind & of != of || kind & not != 0 {
            continue;
        }
        if is_quiet {
            answer.rows.push(select::address(addr));
            continue;
        }
        let (count, queues, outer) = (sq.n("sq_count")?, sq.n("sq_nqueues")?, sq.n("sq_outer")?);
        let (served, pri) = (sq.n("sq_svcflags")?, sq.signed("sq_pri")?);
        let mut text =
            format!("{addr:016x} {bits:02x}  {kind:02x}  {count:<3} {queues:<3} {outer:016x}  {served:1x} {pri:<3}");
        if options.has('v') {
            let mut is_drawn = false;
            text += &flags::listed(flags::SYNCQ, bits, FLAGS_COLUMN, &mut is_drawn);
            text += &flags::listed(flags::SYNCQ_TYPE, kind, TYPE_COLUMN, &mut is_drawn);
        }
        let data = vec![
            ("addr", addr.into()),
            ("flags", bits.into()),
            ("type", kind.into()),
            ("count", count.into()),
            ("queues", queues.into()),
            ("outer", outer.into()),
            ("svcflags", served.into()),
            ("pri", pri.into()),
            ("needexcl", sq.n("sq_needexcl")?.into()),
        ];
        answer.rows.push(Row { value: Some(addr), text, data });
    }
    Ok(answer)
}
