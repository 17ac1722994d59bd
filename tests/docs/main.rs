//! The documents say what the code does: tables, keys, examples, file names and links are compared with the source.
//!
//! # Invariants
//! - A table under `<!-- checked: NAME -->` that no test asks for fails [`tables::every_checked_table_has_a_test`].
//! - Tables that are derived from the source are rewritten by `UMPIRE_BLESS=1 cargo test --test docs`, never otherwise.

mod class;
mod examples;
mod keys;
mod markdown;
mod module;
mod monitor;
mod references;
mod scenario_schema;
mod schemas;
mod tables;
mod timeline;
