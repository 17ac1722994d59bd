//! `sys/conf.h`: what a module or driver says of its perimeters.
//!
//! # Invariants
//! - Numbers are Solaris's. `D_MTPERMOD` is two bits, which alone mean `D_MTPERQ` and `D_MTQPAIR`: they are values, not flags.

/// Safe for many threads (`D_MP`, `D_MTSAFE`); alone: no inner perimeter.
pub const D_MP: u32 = 0x20;
/// An inner perimeter for each queue.
pub const D_MTPERQ: u32 = 0x2000;
/// An inner perimeter for each pair of queues.
pub const D_MTQPAIR: u32 = 0x4000;
/// One inner perimeter for all instances.
pub const D_MTPERMOD: u32 = 0x6000;
/// Put procedures share the inner perimeter.
pub const D_MTPUTSHARED: u32 = 0x1000;
/// Opens and closes share it.
pub const D_MTOCSHARED: u32 = 0x80;
/// Callbacks share it.
pub const D_MTCBSHARED: u32 = 0x1_0000;
/// Service procedures share it.
pub const D_MTSVCSHARED: u32 = 0x2_0000;
/// One outer perimeter around all inner ones.
pub const D_MTOUTPERIM: u32 = 0x8000;
/// Opens and closes have the outer perimeter for themselves.
pub const D_MTOCEXCL: u32 = 0x800;
/// Synchronous STREAMS.
pub const D_SYNCSTR: u32 = 0x400;
/// Layered directly.
pub const D_DIRECT: u32 = 0x8_0000;
/// One instance a stream is enough.
pub const D_SINGLE_INSTANCE: u32 = 0x20_0000;
/// The bits that choose an inner perimeter.
pub const D_MTINNER_MASK: u32 = D_MP | D_MTPERQ | D_MTQPAIR | D_MTPERMOD;
/// The bits that let entries share it.
pub const D_MTINNER_MOD: u32 = D_MTPUTSHARED | D_MTOCSHARED | D_MTCBSHARED | D_MTSVCSHARED;
