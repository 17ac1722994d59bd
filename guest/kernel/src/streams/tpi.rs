//! What transport providers and their users say to each other (`sys/tihdr.h`), as far as connectionless data go.
//!
//! # Invariants
//! - Numbers, names and places of fields are Solaris's: a debugger prints them by this type.

#![allow(non_snake_case)]

use super::allocb::allocb;
use super::message::{Mblk, m};
use crate::cell::Cell;

/// `T_UNITDATA_REQ`: data to be sent.
pub const T_UNITDATA_REQ: u32 = 8;
/// `T_UNITDATA_IND`: data that came.
pub const T_UNITDATA_IND: u32 = 20;
/// Bytes of an address.
const ADDRESS: u32 = 16;
/// Bytes of the options.
const OPTIONS: u32 = 20;
/// Bytes of the fixed part.
const FIXED: u32 = size_of::<TUnitdataInd>() as u32;

/// The fixed part of `T_UNITDATA_IND` (`struct T_unitdata_ind`); `T_UNITDATA_REQ` is laid out alike.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TUnitdataInd {
    /// What it is.
    pub PRIM_type: u32,
    /// Bytes of the source's address.
    pub SRC_length: u32,
    /// Where it begins.
    pub SRC_offset: u32,
    /// Bytes of the options.
    pub OPT_length: u32,
    /// Where they begin.
    pub OPT_offset: u32,
}

impl TUnitdataInd {
    /// The header of a message of this kind: address and options follow it.
    fn new(prim: u32) -> TUnitdataInd {
        TUnitdataInd {
            PRIM_type: prim,
            SRC_length: ADDRESS,
            SRC_offset: FIXED,
            OPT_length: OPTIONS,
            OPT_offset: FIXED + ADDRESS,
        }
    }

    /// A block of type `M_PROTO` with it, and an address and options of zeros. Not inlined: the type stays in the debug information.
    #[inline(never)]
    fn block(&self) -> Option<&'static Mblk> {
        let mp = allocb((FIXED + ADDRESS + OPTIONS) as usize)?;
        mp.set_type(m::PROTO);
        for word in [self.PRIM_type, self.SRC_length, self.SRC_offset, self.OPT_length, self.OPT_offset] {
            mp.append(&word.to_le_bytes());
        }
        mp.append(&[0; (ADDRESS + OPTIONS) as usize]);
        Some(mp)
    }
}

/// A message of this kind with data behind it. `None` without memory: the data stay the caller's.
pub fn with_header(prim: u32, data: &'static Mblk) -> Option<&'static Mblk> {
    let mp = TUnitdataInd::new(prim).block()?;
    mp.b_band.set(data.b_band.get());
    mp.b_cont.set(Some(data));
    Some(mp)
}

/// What kind of message it is, if it is one at all.
pub fn primitive(mp: &Mblk) -> Option<u32> {
    let bytes = mp.data().get(..4)?;
    let word = core::array::from_fn(|n| bytes[n].get());
    (mp.db_type() == m::PROTO).then(|| u32::from_le_bytes(word))
}
