//! `::calloutid`: what a callout's id says.
//!
//! # Invariants
//! - An id of an earlier use of a callout names none that is there now.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::callouts;
use crate::lang::Failure;
use crate::view::View;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "calloutid",
    aliases: &[],
    address: Address::Required,
    takes_all: false,
    usage: "[-d]",
    about: "print callout by its id",
    help: "Says which callout the id in front names: what timeout() returned, and what ::callout shows under XID.\n\
           -d  only what is in the id: its use, and its place among the callouts",
    examples: &[("1::calloutid -d", "what id 1 means")],
    run: Run::View(run),
};

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let id = call.address()?;
    let options = call.options("d")?;
    options.none_left(call)?;
    let (generation, place) = (id >> 32, id & u64::from(u32::MAX));
    let parts = [("id", id), ("generation", generation), ("place", place)];
    let mut row = Row { value: Some(id), ..Row::default() };
    row.data.extend(parts.map(|(key, value)| (key, value.into())));
    row.text = format!("{id:x}: use {generation}, callout {place}");
    if options.has('d') {
        return Ok(Answer::rows([row]));
    }
    let one = callouts::in_use(view, None)?.into_iter().find(|c| c.id == id);
    let one = one.ok_or_else(|| {
        Failure::new(format!("no callout has the id {id:#x} now: it has been run or taken back, or never was"))
    })?;
    let kind = if one.is_realtime() { "realtime" } else { "normal" };
    row.text += &format!(
        " at {:x}, {kind} table of cpu {}, due at {} ns: {}{}",
        one.addr,
        one.cpu(),
        one.expires,
        one.does,
        if one.is_executing { ", being run" } else { "" }
    );
    row.value = Some(one.addr);
    row.data.extend([("addr", one.addr.into()), ("expiration_ns", one.expires.into()), ("function", one.does.into())]);
    Ok(Answer::rows([row]))
}
