//! What transport providers and their users say to each other (`sys/tihdr.h`), as far as connectionless data go.
//!
//! # Invariants
//! - Numbers, names and places of fields are Solaris's: a debugger prints them by this type.

#![allow(non_snake_case)]

use super::allocb::allocb;
use super::message::{Mblk, m};
use crate::cell::Cell;

/// Kinds of messages (`PRIM_type`).
pub mod prim {
    /// An address is to be bound.
    pub const BIND_REQ: u32 = 6;
    /// It is to be unbound.
    pub const UNBIND_REQ: u32 = 7;
    /// Data to be sent.
    pub const UNITDATA_REQ: u32 = 8;
    /// An address was bound.
    pub const BIND_ACK: u32 = 17;
    /// A request was refused.
    pub const ERROR_ACK: u32 = 18;
    /// A request was carried out.
    pub const OK_ACK: u32 = 19;
    /// Data that came.
    pub const UNITDATA_IND: u32 = 20;
}

/// Why a request is refused (`TLI_error`).
pub mod terror {
    /// No address was given.
    pub const NOADDR: u32 = 5;
    /// There is no such request here.
    pub const NOTSUPPORT: u32 = 18;
    /// Another stream has the address.
    pub const ADDRBUSY: u32 = 23;
}

/// `T_UNITDATA_REQ`: data to be sent.
pub const T_UNITDATA_REQ: u32 = prim::UNITDATA_REQ;
/// `T_UNITDATA_IND`: data that came.
pub const T_UNITDATA_IND: u32 = prim::UNITDATA_IND;
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

    /// A block of type `M_PROTO` with it, an address that begins with this word, and options of zeros. Not inlined: the type stays in the debug information.
    #[inline(never)]
    fn block(&self, address: u64) -> Option<&'static Mblk> {
        let mp = allocb((FIXED + ADDRESS + OPTIONS) as usize)?;
        mp.set_type(m::PROTO);
        for word in [self.PRIM_type, self.SRC_length, self.SRC_offset, self.OPT_length, self.OPT_offset] {
            mp.append(&word.to_le_bytes());
        }
        mp.append_u64(address);
        mp.append(&[0; (ADDRESS + OPTIONS) as usize - 8]);
        Some(mp)
    }
}

/// A message of this kind with data behind it. `None` without memory: the data stay the caller's.
pub fn with_header(prim: u32, data: &'static Mblk) -> Option<&'static Mblk> {
    with_address(prim, 0, data)
}

/// [`with_header`] with an address.
pub fn with_address(prim: u32, address: u64, data: &'static Mblk) -> Option<&'static Mblk> {
    let mp = TUnitdataInd::new(prim).block(address)?;
    mp.b_band.set(data.b_band.get());
    mp.b_cont.set(Some(data));
    Some(mp)
}

/// What kind of message it is, if it is one at all.
pub fn primitive(mp: &Mblk) -> Option<u32> {
    let bytes = mp.data().get(..4)?;
    let word = core::array::from_fn(|n| bytes[n].get());
    matches!(mp.db_type(), m::PROTO | m::PCPROTO).then(|| u32::from_le_bytes(word))
}

/// Word number `n` of 4 bytes.
fn word(mp: &Mblk, n: usize) -> Option<u32> {
    let bytes = mp.data().get(4 * n..4 * n + 4)?;
    Some(u32::from_le_bytes(core::array::from_fn(|n| bytes[n].get())))
}

/// The address that a `T_UNITDATA_REQ` is for, or a `T_UNITDATA_IND` comes from: the word that it begins with.
pub fn unitdata_address(mp: &Mblk) -> Option<u64> {
    (word(mp, 1)? >= 8).then(|| mp.u64_at(word(mp, 2)? as usize))?
}

/// Makes a `T_UNITDATA_REQ` the `T_UNITDATA_IND` that its receiver gets, with the sender's address.
pub fn make_ind(mp: &Mblk, from: u64) {
    for (to, from) in mp.data().iter().zip(T_UNITDATA_IND.to_le_bytes()) {
        to.set(from);
    }
    address_at(mp, from);
}

/// Writes the word that its address begins with into a message that has one.
pub fn address_at(mp: &Mblk, address: u64) {
    let at = word(mp, 2).unwrap_or(0) as usize;
    for (to, from) in mp.data().iter().skip(at).zip(address.to_le_bytes()) {
        to.set(from);
    }
}

/// The address that a `T_BIND_REQ` wants: the word that it begins with.
pub fn bound_address(mp: &Mblk) -> Option<u64> {
    unitdata_address(mp)
}

/// A message of type `db_type` of words of 4 bytes, and one of 8 behind them.
fn of_words(db_type: u8, words: &[u32], address: Option<u64>) -> Option<&'static Mblk> {
    let mp = allocb(4 * words.len() + 8)?;
    mp.set_type(db_type);
    for word in words {
        mp.append(&word.to_le_bytes());
    }
    if let Some(address) = address {
        mp.append_u64(address);
    }
    Some(mp)
}

/// `T_BIND_REQ` for an address.
pub fn bind_req(address: u64) -> Option<&'static Mblk> {
    of_words(m::PROTO, &[prim::BIND_REQ, 8, 16, 0], Some(address))
}

/// `T_BIND_ACK`, which says which address was bound.
pub(super) fn bind_ack(address: u64) -> Option<&'static Mblk> {
    of_words(m::PCPROTO, &[prim::BIND_ACK, 8, 16, 0], Some(address))
}

/// `T_OK_ACK` for a request of this kind.
pub(super) fn ok_ack(of: u32) -> Option<&'static Mblk> {
    of_words(m::PCPROTO, &[prim::OK_ACK, of], None)
}

/// `T_ERROR_ACK` for a request of this kind, with an error of [`terror`].
pub(super) fn error_ack(of: u32, error: u32) -> Option<&'static Mblk> {
    of_words(m::PCPROTO, &[prim::ERROR_ACK, of, error, 0], None)
}
