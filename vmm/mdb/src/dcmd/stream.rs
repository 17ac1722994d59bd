//! `::stream`: a stream as a picture.
//!
//! # Invariants
//! - The picture is mdb's: a box for each pair of queues, its write side on the left, from the head down.
//! - It ends at the last pair of the stream, and where a link leads to no queue or back, which is said.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::streams;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "stream",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "",
    about: "display STREAM",
    help: "Draws the stream of the head (stdata) at the address, or of the queue at it: for each pair of queues, from the head to the\n\
           driver, their addresses, their module, bytes on them (decimal) and their flags. The write side is on the left.",
    examples: &[
        ("::queue -f QFULL | ::q2stream | ::stream", "the streams that are flow controlled"),
        ("::stdata -q | ::stream", "every stream"),
    ],
    run: Run::View(run),
};

const RULE: &str = "+-----------------------+-----------------------+";
const BETWEEN: &str = "            |                       ^\n            v                       |";

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    call.no_arguments()?;
    let addr = call.address()?;
    let queues = kernel::arena(view, "k_streams.queues.ar_objects")?;
    let head = match queues.containing(addr) {
        Some(_) => streams::queue(view, addr)?.n("q_stream")?,
        None => addr,
    };
    let walk = walker::find("writeq")?.begin(view, Some(streams::stdata(view, head)?.addr()))?;
    let mut answer = Answer::default();
    for (n, wq) in walk.addrs.iter().enumerate() {
        let (pair, _) = streams::pair_of(view, *wq)?;
        let sides = [pair.get("qu_wqueue")?, pair.get("qu_rqueue")?];
        let above = if n == 0 { "\n" } else { "" };
        let below = if n + 1 == walk.addrs.len() { "" } else { BETWEEN };
        let text = format!("{above}{}\n{below}", cells(&sides)?);
        let [w, r] = &sides;
        let data = vec![
            ("wrq", w.addr().into()),
            ("rdq", r.addr().into()),
            ("module", w.text("q_idname")?.as_str().into()),
            ("wrq_count_bytes", w.n("q_count")?.into()),
            ("rdq_count_bytes", r.n("q_count")?.into()),
            ("wrq_flags", w.n("q_flag")?.into()),
            ("rdq_flags", r.n("q_flag")?.into()),
        ];
        answer.rows.push(Row { value: Some(w.addr()), text: text.trim_end_matches('\n').to_owned(), data });
    }
    Ok(answer.ended(walk.ended))
}

/// The box of a pair.
fn cells(sides: &[Object<'_>; 2]) -> Result<String, Failure> {
    let row = |cell: &dyn Fn(&Object<'_>) -> Result<String, Failure>| {
        Ok(format!("| {:<21} | {:<21} | ", cell(&sides[0])?, cell(&sides[1])?))
    };
    let lines: [String; 4] = [
        row(&|q| Ok(format!("0x{:x}", q.addr())))?,
        row(&|q| q.text("q_idname"))?,
        row(&|q| Ok(format!("cnt = 0t{}", q.n("q_count")?)))?,
        row(&|q| Ok(format!("flg = 0x{:08x}", q.n("q_flag")?)))?,
    ];
    let [addrs, names, counts, flags] = lines;
    let blank = format!("|{:23}|{:23}|", "", "");
    Ok([RULE, &addrs, &names, &blank, &counts, &flags, RULE].join("\n"))
}
