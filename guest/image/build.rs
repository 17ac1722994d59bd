//! Passes the linker script when the guest is being built.
//!
//! # Invariants
//! - The result is a fixed-address executable whatever relocation model the compiler was told to use: `--no-pie`
//!   comes last on the linker's command line.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=kernel.ld");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let here = env::var("CARGO_MANIFEST_DIR").expect("invariant: cargo sets CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-T{here}/kernel.ld");
        println!("cargo::rustc-link-arg-bins=--no-pie");
        println!("cargo::rustc-link-arg-bins=--build-id=sha1");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    }
}
