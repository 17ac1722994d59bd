//! What the documents say of monitors that is in no generated table: the worked example, and what each can be deceived by.
//!
//! # Invariants
//! - The worked example is the file that the monitors' own tests compile and run, whole, letter by letter.
//! - No monitor is left out.

use crate::markdown::{blocks, column, read};
use umpire_watch::monitor::MonitorKind;

#[test]
fn what_deceives_a_monitor_is_said_of_each_of_them() {
    let mut said = column("what deceives each monitor", 0);
    let mut all: Vec<String> = MonitorKind::names().into_iter().map(str::to_owned).collect();
    said.sort();
    all.sort();
    assert_eq!(said, all);
}

#[test]
fn what_a_host_can_do_to_a_monitor_is_said_of_each_of_them() {
    let text = read("SPECIFICATION.md");
    let host = text.lines().skip_while(|line| *line != "### What a host can and cannot do to a verdict");
    let rows: Vec<&str> = host.skip(1).take_while(|line| !line.starts_with("What deceives")).collect();
    let firsts = rows.iter().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let said: Vec<&str> =
        firsts.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();
    let missing: Vec<&str> = MonitorKind::names().into_iter().filter(|name| !said.contains(name)).collect();
    assert!(missing.is_empty(), "no row says what a host can do to {missing:?}");
}

#[test]
fn the_example_of_a_monitor_is_the_one_that_is_compiled_and_run() {
    let shown = blocks(&read("docs/write-a-monitor.md"));
    let shown: Vec<_> = shown.iter().filter(|block| block.info == "rust").map(|b| b.text.trim()).collect();
    let path = "vmm/watch/src/monitor/long_interrupt.rs";
    assert_eq!(shown, [read(path).trim()], "copy {path} into docs/write-a-monitor.md");
}
