//! The worked examples of a scheduling class and of a dcmd are files that are compiled and run.
//!
//! # Invariants
//! - The document shows the file whole, letter by letter.

use std::path::Path;

use crate::markdown::{blocks, read};

#[test]
fn the_example_of_a_class_is_the_one_that_is_compiled_and_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = blocks(&read(root.join("docs/write-a-class.md")));
    let shown: Vec<_> = shown.iter().filter(|block| block.info == "rust").map(|b| b.text.trim()).collect();
    let source = read(root.join("guest/kernel/src/class/bg.rs"));
    assert_eq!(shown, [source.trim()], "copy guest/kernel/src/class/bg.rs into docs/write-a-class.md");
}

#[test]
fn the_example_of_a_dcmd_is_the_one_that_is_compiled_and_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = blocks(&read(root.join("docs/write-a-dcmd.md")));
    let shown: Vec<_> = shown.iter().filter(|block| block.info == "rust").map(|b| b.text.trim()).collect();
    let source = read(root.join("vmm/mdb/src/dcmd/psrset.rs"));
    assert_eq!(shown, [source.trim()], "copy vmm/mdb/src/dcmd/psrset.rs into docs/write-a-dcmd.md");
}
