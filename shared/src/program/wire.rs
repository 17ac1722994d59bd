//! Words: how the fields of a record become bytes, and bytes become fields.
//!
//! # Invariants
//! - Every field is a whole number of little-endian 64-bit words; a record is its fields in the order of their declaration.
//! - A field's own type says how it is written and read; what a record lists is written and read, and nothing else.

use crate::program::Verb;
use crate::work::{MAX_ARGS, Workload};
use crate::{NAME_LEN, mutant};

/// Something that takes a fixed number of words.
pub(super) trait Field: Copy {
    /// How many words it takes.
    const WORDS: usize;
    fn put(&self, to: &mut Writer<'_>);
    /// `None` if the words are no value of this type.
    fn get(from: &mut Reader<'_>) -> Option<Self>;
}

/// Declares a record: the struct, and its fields one after the other as its words.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$about:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name { $($(#[$about])* pub $field: $type,)* }

        impl crate::program::wire::Field for $name {
            const WORDS: usize = 0 $(+ <$type as crate::program::wire::Field>::WORDS)*;

            fn put(&self, to: &mut crate::program::wire::Writer<'_>) {
                $(crate::program::wire::Field::put(&self.$field, to);)*
            }

            fn get(from: &mut crate::program::wire::Reader<'_>) -> Option<$name> {
                Some($name { $($field: crate::program::wire::Field::get(from)?,)* })
            }
        }
    };
}

/// Where words are written.
pub(super) struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Writer<'a> {
        Writer { bytes, at: 0 }
    }

    pub(super) fn word(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn all<F: Field>(&mut self, fields: &[F]) {
        for field in fields {
            field.put(self);
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Where words are read. The caller has checked that there are enough.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From word `at` on.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Reader<'a> {
        Reader { bytes, at: 8 * at }
    }

    pub(super) fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.raw())
    }

    fn raw<const N: usize>(&mut self) -> [u8; N] {
        let mut raw = [0; N];
        raw.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        raw
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Field for $type {
            const WORDS: usize = 1;

            fn put(&self, to: &mut Writer<'_>) {
                // Sign-extended, if there is a sign.
                to.word(*self as u64);
            }

            fn get(from: &mut Reader<'_>) -> Option<$type> {
                Some(from.word() as $type)
            }
        })*
    };
}

numbers! { u32 i32 u64 i64 }

impl Field for bool {
    const WORDS: usize = 1;

    fn put(&self, to: &mut Writer<'_>) {
        to.word(u64::from(*self));
    }

    fn get(from: &mut Reader<'_>) -> Option<bool> {
        Some(from.word() != 0)
    }
}

/// A name.
impl Field for [u8; NAME_LEN] {
    const WORDS: usize = NAME_LEN / 8;

    fn put(&self, to: &mut Writer<'_>) {
        to.raw(self);
    }

    fn get(from: &mut Reader<'_>) -> Option<[u8; NAME_LEN]> {
        Some(from.raw())
    }
}

impl<F: Field + Default, const N: usize> Field for [F; N] {
    const WORDS: usize = N * F::WORDS;

    fn put(&self, to: &mut Writer<'_>) {
        to.all(self);
    }

    fn get(from: &mut Reader<'_>) -> Option<[F; N]> {
        let mut all = [F::default(); N];
        for one in &mut all {
            *one = F::get(from)?;
        }
        Some(all)
    }
}

impl Field for mutant::Set {
    const WORDS: usize = mutant::WORDS;

    fn put(&self, to: &mut Writer<'_>) {
        self.words().put(to);
    }

    fn get(from: &mut Reader<'_>) -> Option<mutant::Set> {
        Field::get(from).map(mutant::Set::of_words)
    }
}

impl Field for Workload {
    /// Its number, and its parameters.
    const WORDS: usize = 1 + MAX_ARGS;

    fn put(&self, to: &mut Writer<'_>) {
        let (number, words) = self.record();
        number.put(to);
        to.all(&words);
    }

    fn get(from: &mut Reader<'_>) -> Option<Workload> {
        Workload::from_record(u32::get(from)?, &<[u64; MAX_ARGS]>::get(from)?)
    }
}

impl Field for Verb {
    const WORDS: usize = 1;

    fn put(&self, to: &mut Writer<'_>) {
        to.word(*self as u64);
    }

    fn get(from: &mut Reader<'_>) -> Option<Verb> {
        u32::try_from(from.word()).ok().and_then(Verb::of)
    }
}
