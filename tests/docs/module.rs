//! The worked example of a STREAMS module is the file that the kernel has.
//!
//! # Invariants
//! - The document shows the file whole, letter by letter.

use std::path::Path;

use crate::markdown::{blocks, read};

#[test]
fn the_example_of_a_module_is_the_one_that_is_compiled_and_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = blocks(&read(root.join("docs/write-a-module.md")));
    let shown: Vec<_> = shown.iter().filter(|block| block.info == "rust").map(|b| b.text.trim()).collect();
    let source = read(root.join("guest/kernel/src/streams/modules/bufmod.rs"));
    assert_eq!(shown, [source.trim()], "copy the module's file into docs/write-a-module.md");
}
