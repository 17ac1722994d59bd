//! Records: what the host reads of a structure of the guest, each field declared once.
//!
//! A line of [`record!`] gives a field's name and type here, its path in the guest's debug information, and what it is. The
//! lines of a record together determine what has to be copied and how the copy is decoded. A record says all that one reader
//! wants of one structure; a field that two readers want stands in two records.
//!
//! # Invariants
//! - What is copied is computed from the fields, so a field is never decoded from bytes that were not copied: it
//!   has no place but the one that the copy's plan gave it. A record that does not fit a copy is an error before the
//!   first sample.
//! - A field is read by one load if it is aligned. Fields of one record may be of different moments, unless the read is
//!   verified as a whole.
//! - Reading allocates nothing.

use super::error::GlassError;
use super::guest::{Guest, Kind, Structure};
use umpire_machine::memory::GuestMemory;

/// Bytes that a copy holds at most.
const MOST: usize = 256;
/// Greatest number of bytes between two fields that are copied along rather than left out.
const GAP: usize = 64;
/// Bytes of a word: each field is decoded from a word that begins where the field does.
const WORD: usize = 8;

/// Room for a copy of any record. What the last copy left in it is never seen.
#[derive(Debug, Clone)]
pub(super) struct Room([u8; MOST + WORD]);

impl Room {
    pub(super) const fn new() -> Room {
        Room([0; MOST + WORD])
    }

    /// Bytes from a place in the copy on. No place is beyond [`MOST`], so that this needs no check.
    #[inline]
    fn bytes<const N: usize>(&self, slot: u8) -> [u8; N] {
        const { assert!(N <= WORD) };
        let mut raw = [0; N];
        raw.copy_from_slice(&self.0[usize::from(slot)..usize::from(slot) + N]);
        raw
    }
}

/// A field of a structure: where it lies in the guest, and where in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its bits.
    mask: u64,
    /// Its sign bit; 0 if it has none.
    sign: u64,
    /// Its place in the copy of its record.
    slot: u8,
    /// Bytes from the structure's beginning.
    pub offset: usize,
    /// Its bytes: 1, 2, 4 or 8. If it is an array, the bytes of one element.
    pub size: usize,
    /// Elements: 1 unless it is an array.
    pub count: usize,
}

impl Field {
    /// A field in no copy yet.
    pub(super) fn new(offset: usize, size: usize, signed: bool, count: usize) -> Field {
        let mask = u64::MAX >> (64 - 8 * size.clamp(1, WORD) as u32);
        let sign = if signed { mask ^ mask >> 1 } else { 0 };
        Field { mask, sign, slot: 0, offset, size, count }
    }

    /// First byte behind it.
    fn end(&self) -> usize {
        self.offset.saturating_add(self.size.saturating_mul(self.count))
    }

    /// True if its sign bit is one.
    pub fn is_signed(&self) -> bool {
        self.sign != 0
    }

    /// Its value in a copy of the whole structure; `None` if the copy is too short.
    pub(super) fn in_copy(&self, copy: &[u8]) -> Option<u64> {
        let bytes = copy.get(self.offset..)?.get(..self.size)?;
        let mut raw = [0; WORD];
        raw.get_mut(..self.size)?.copy_from_slice(bytes);
        Some(self.signed(u64::from_le_bytes(raw)))
    }

    /// The number in the low bits of a word, sign-extended if it is signed.
    #[inline]
    fn signed(&self, word: u64) -> u64 {
        ((word & self.mask) ^ self.sign).wrapping_sub(self.sign)
    }

    /// Element `n`, sign-extended if it is signed.
    #[inline]
    fn get(&self, copy: &Room, n: usize) -> u64 {
        let slot = self.slot.wrapping_add((n * self.size) as u8);
        self.signed(u64::from_le_bytes(copy.bytes(slot)))
    }
}

/// A type that a field is decoded to.
pub(super) trait Value: Sized {
    /// How many numbers it is made of.
    const COUNT: usize = 1;
    /// True if it is decoded in the same way whatever its size in the guest.
    const IS_ANY_SIZE: bool = false;
    /// Bytes of one of them here, and whether it has a sign. What the guest has may differ: it is read as what it is.
    const NATURAL: (usize, bool);
    /// Decodes a field, whatever its size and sign.
    fn decode(field: &Field, copy: &Room) -> Self;
    /// Decodes a field of the natural size: the same, in one load.
    fn decode_natural(field: &Field, copy: &Room) -> Self;
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Value for $type {
            const NATURAL: (usize, bool) = (size_of::<$type>(), $type::MIN != 0);
            #[inline]
            fn decode(field: &Field, copy: &Room) -> $type {
                field.get(copy, 0) as $type
            }
            #[inline]
            fn decode_natural(field: &Field, copy: &Room) -> $type {
                $type::from_le_bytes(copy.bytes(field.slot))
            }
        }
        impl<const N: usize> Value for [$type; N] {
            const COUNT: usize = N;
            const IS_ANY_SIZE: bool = true;
            const NATURAL: (usize, bool) = $type::NATURAL;
            #[inline]
            fn decode(field: &Field, copy: &Room) -> [$type; N] {
                std::array::from_fn(|n| field.get(copy, n) as $type)
            }
            #[inline]
            fn decode_natural(field: &Field, copy: &Room) -> [$type; N] {
                Self::decode(field, copy)
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 i16 i32);

/// True unless it is 0: a flag, or a pointer of which only this matters.
impl Value for bool {
    const IS_ANY_SIZE: bool = true;
    const NATURAL: (usize, bool) = (1, false);
    #[inline]
    fn decode(field: &Field, copy: &Room) -> bool {
        field.get(copy, 0) != 0
    }
    #[inline]
    fn decode_natural(field: &Field, copy: &Room) -> bool {
        Self::decode(field, copy)
    }
}

/// True if a field has the size that it has here, so that its sign need not be looked at.
pub(super) fn is_natural<T: Value>(field: &Field) -> bool {
    T::IS_ANY_SIZE || field.size == T::NATURAL.0
}

/// What has to be copied of a structure for the fields of one record: whole words, in few runs.
#[derive(Debug, Clone)]
pub(super) struct Plan(Vec<Run>);

#[derive(Debug, Clone, Copy)]
struct Run {
    /// Bytes from the structure's beginning.
    from: usize,
    /// Place in the copy.
    at: usize,
    len: usize,
}

impl Plan {
    /// Gives each field its place in the copy.
    ///
    /// # Errors
    /// [`GlassError::TooLong`] if they lie too far apart.
    pub(super) fn of(
        record: &'static str,
        size: usize,
        fields: &mut [&mut Field],
    ) -> Result<Plan, GlassError> {
        fields.sort_by_key(|field| field.offset);
        let mut runs: Vec<Run> = Vec::new();
        for field in fields {
            // There may be no memory behind the structure.
            let to =
                field.end().checked_next_multiple_of(WORD).unwrap_or(usize::MAX).min(size.max(field.end()));
            let from = field.offset / WORD * WORD;
            let total = runs.last().map_or(0, |run| run.at + run.len);
            match runs.last_mut() {
                Some(run) if from.saturating_sub(run.from + run.len) <= GAP => {
                    run.len = run.len.max(to - run.from);
                }
                _ => runs.push(Run { from, at: total, len: to - from }),
            }
            let run = runs[runs.len() - 1];
            let bytes = run.at + run.len;
            let slot = u8::try_from(run.at + (field.offset - run.from)).ok().filter(|_| bytes <= MOST);
            field.slot = slot.ok_or(GlassError::TooLong { record, bytes, most: MOST })?;
        }
        Ok(Plan(runs))
    }

    /// Copies; false if any of it is outside guest memory.
    #[inline]
    pub(super) fn copy(&self, memory: &dyn GuestMemory, addr: u64, room: &mut Room) -> bool {
        self.0.iter().all(|run| {
            let to = &mut room.0[run.at..run.at + run.len];
            memory.read(addr.wrapping_add(run.from as u64), to)
        })
    }
}

/// A structure's fields that are found together.
pub(super) trait Fields: Sized {
    /// The structure.
    const OF: Structure;
    /// Finds them all.
    ///
    /// # Errors
    /// [`GlassError`] naming the first field that is missing, or that became another kind of thing.
    fn find(guest: &mut dyn Guest) -> Result<Self, GlassError>;
}

/// Finds a field that is to be decoded to `T`.
pub(super) fn field<T: Value>(
    guest: &mut dyn Guest,
    of: Structure,
    kind: Kind,
    path: &str,
) -> Result<Field, GlassError> {
    guest.field(of, kind, path, T::COUNT, T::NATURAL)
}

/// Declares a record: a structure for the values, and one with the suffix that is given for the places of those that are
/// `read`. The other fields, `known`, are filled in by the code that reads the record.
///
/// A field's path leads to it from the structure, each step by name or, in an array, by number. An index that has a name of
/// its own may follow in brackets. `number` and `pointer` say what the guest must have there; `array` says that the guest
/// must have as many numbers as the field.
macro_rules! record {
    (
        $(#[$doc:meta])*
        $vis:vis struct $Name:ident / $Places:ident of $Structure:ident {
            read {$(
                $(#[$what:meta])*
                $field:ident: $type:ty = $kind:ident $path:literal $([$index:expr])?,
            )*}
            known {$(
                $(#[$told:meta])*
                $other:ident: $other_type:ty,
            )*}
        }
    ) => {
        $(#[$doc])*
        $vis struct $Name {
            $($(#[$what])* pub $field: $type,)*
            $($(#[$told])* pub $other: $other_type,)*
        }

        #[doc = concat!("Where the fields of [`", stringify!($Name), "`] lie in `", stringify!($Structure), "`.")]
        #[derive(Debug, Clone)]
        pub struct $Places {
            plan: $crate::glass::record::Plan,
            /// True if each field has its natural size: nearly always, and then decoding is quicker.
            is_natural: bool,
            $($(#[$what])* pub $field: $crate::glass::record::Field,)*
        }

        impl $crate::glass::record::Fields for $Places {
            const OF: $crate::glass::guest::Structure = $crate::glass::guest::Structure::$Structure;

            fn find(guest: &mut dyn $crate::glass::guest::Guest) -> Result<$Places, $crate::glass::GlassError> {
                use $crate::glass::guest::Kind;
                use $crate::glass::record::{Plan, field, is_natural};
                $(let mut $field =
                    field::<$type>(guest, Self::OF, Kind::$kind, record!(@path $path $([$index])?))?;)*
                let plan = Plan::of(stringify!($Name), guest.size(Self::OF)?, &mut [$(&mut $field),*])?;
                let is_natural = true $(&& is_natural::<$type>(&$field))*;
                Ok($Places { plan, is_natural, $($field),* })
            }
        }

        impl $Places {
            /// Reads the structure at `addr` into a record; false, with the record untouched, if it is outside guest memory.
            #[inline]
            pub(super) fn read(
                &self,
                memory: &dyn ::umpire_machine::memory::GuestMemory,
                addr: u64,
                room: &mut $crate::glass::record::Room,
                into: &mut $Name,
            ) -> bool {
                use $crate::glass::record::Value;
                let is_read = self.plan.copy(memory, addr, room);
                if is_read && self.is_natural {
                    $(into.$field = <$type as Value>::decode_natural(&self.$field, room);)*
                } else if is_read {
                    $(into.$field = <$type as Value>::decode(&self.$field, room);)*
                }
                is_read
            }

            /// Reads the structure at `addr`; what is not read is left at its default. `None` if it is outside guest memory.
            #[allow(dead_code, reason = "not every record is read by itself")]
            pub(super) fn read_one(
                &self,
                memory: &dyn ::umpire_machine::memory::GuestMemory,
                addr: u64,
            ) -> Option<$Name> {
                let mut one = $Name::default();
                self.read(memory, addr, &mut $crate::glass::record::Room::new(), &mut one).then_some(one)
            }
        }
    };
    (@path $path:literal) => { $path };
    (@path $path:literal [$index:expr]) => { &format!(concat!($path, ".{}"), $index) };
}

pub(super) use record;

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
