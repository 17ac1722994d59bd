//! The worked example of a monitor is the file that the monitors' own tests compile and run.
//!
//! # Invariants
//! - The document shows the file whole, letter by letter.

use crate::markdown::{blocks, read};

#[test]
fn the_example_of_a_monitor_is_the_one_that_is_compiled_and_run() {
    let shown = blocks(&read("docs/write-a-monitor.md"));
    let shown: Vec<_> = shown.iter().filter(|block| block.info == "rust").map(|b| b.text.trim()).collect();
    let path = "vmm/watch/src/monitor/long_interrupt.rs";
    assert_eq!(shown, [read(path).trim()], "copy {path} into docs/write-a-monitor.md");
}
