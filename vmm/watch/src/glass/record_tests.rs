//! Tests of records, on bytes made by hand.
//!
//! # Invariants
//! - Nothing here says where a field of the real kernel lies.

use super::*;
use crate::glass::fake::FakeMemory;
use crate::glass::guest::{List, Member};
use crate::glass::typed::TypeTable;
use std::collections::HashMap;

const AT: u64 = 0x1000;

record! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Sample / SamplePlaces of Disp {
        read {
            far: u64 = number "far",
            small: i16 = number "small",
            wide: i16 = number "wide",
            flag: bool = pointer "flag",
            words: [u32; 3] = array "words",
            third: u8 = number "bytes" [2],
        }
        known {
            note: u32,
        }
    }
}

/// A structure of 1000 bytes with its fields where they are said to be.
struct Placed(HashMap<&'static str, Field>);

impl Placed {
    /// `far` lies wherever it is wanted.
    fn new(far: usize) -> Placed {
        Placed(HashMap::from([
            ("far", Field::new(far, 8, false, 1)),
            ("small", Field::new(2, 1, true, 1)),
            ("wide", Field::new(4, 4, true, 1)),
            ("flag", Field::new(8, 8, false, 1)),
            ("words", Field::new(20, 4, false, 3)),
            ("bytes.2", Field::new(43, 1, false, 1)),
        ]))
    }
}

impl Guest for Placed {
    fn size(&mut self, _: Structure) -> Result<usize, GlassError> {
        Ok(1004)
    }

    fn field(
        &mut self,
        _: Structure,
        _: Kind,
        path: &str,
        _: usize,
        _: (usize, bool),
    ) -> Result<Field, GlassError> {
        Ok(self.0[path])
    }

    fn place(&mut self, _: Member) -> Result<usize, GlassError> {
        panic!("no record asks for a place")
    }

    fn list(&mut self, _: Member) -> Result<List, GlassError> {
        panic!("no record asks for a list")
    }

    fn table(&mut self) -> Result<TypeTable, GlassError> {
        panic!("no record asks for the types")
    }
}

fn places(far: usize) -> SamplePlaces {
    SamplePlaces::find(&mut Placed::new(far)).expect("invariant: these fit a copy")
}

/// The structure, with a value in each field, but for those behind `len`.
fn memory(far: u64, len: usize) -> FakeMemory {
    let memory = FakeMemory::new(AT, 1004);
    memory.put(AT + 2, &[0xfe]);
    memory.put(AT + 4, &0xffff_fffd_u32.to_le_bytes());
    memory.put(AT + 8, &[0, 0, 1]);
    memory.put(AT + 20, &[1, 0, 0, 0, 2, 0, 0, 0, 3]);
    memory.put(AT + 43, &[7]);
    memory.put_u64(AT + far, 0x1122_3344_5566_7788);
    let cut = FakeMemory::new(AT, len);
    let mut all = vec![0; len];
    assert!(memory.read(AT, &mut all));
    cut.put(AT, &all);
    cut
}

#[test]
fn read_each_field_is_decoded_as_the_guest_has_it() {
    for far in [48, 104, 105, 112, 200, 990] {
        let sample = places(far).read_one(&memory(far as u64, 1004), AT);

        let expect = Sample {
            far: 0x1122_3344_5566_7788,
            small: -2,
            wide: -3,
            flag: true,
            words: [1, 2, 3],
            third: 7,
            note: 0,
        };
        assert_eq!(sample, Some(expect), "the last field lies at {far}");
    }
}

#[test]
fn read_of_fields_of_their_natural_size_gives_the_same() {
    let mut placed = Placed::new(48);
    placed.0.insert("small", Field::new(2, 2, true, 1));
    placed.0.insert("wide", Field::new(4, 2, false, 1));
    let mut natural = SamplePlaces::find(&mut placed).expect("invariant: these fit a copy");
    let memory = memory(48, 1004);
    memory.put(AT + 3, &[0xff]);

    assert!(natural.is_natural && !places(48).is_natural);
    let quick = natural.read_one(&memory, AT);
    natural.is_natural = false;
    assert_eq!(quick, natural.read_one(&memory, AT));
    assert_eq!(quick.map(|sample| (sample.small, sample.wide, sample.words)), Some((-2, -3, [1, 2, 3])));
}

#[test]
fn read_outside_guest_memory_is_refused_and_leaves_the_record() {
    let (places, before) = (places(990), Sample { small: 5, note: 6, ..Sample::default() });
    for len in [0, 47, 990, 997] {
        let mut sample = before;
        let memory = memory(990, len.max(48));
        let at = if len == 0 { AT - 8 } else { AT };
        assert!(!places.read(&memory, at, &mut Room::new(), &mut sample));
        assert_eq!(sample, before, "{len} bytes are there");
    }
}

#[test]
fn plan_copies_what_is_near_together_and_nothing_behind_the_structure() {
    let runs = |far| {
        let plan = places(far).plan;
        plan.0.iter().map(|run| (run.from, run.at, run.len)).collect::<Vec<_>>()
    };
    assert_eq!(runs(48), [(0, 0, 56)]);
    assert_eq!(runs(48 + GAP), [(0, 0, 120)]);
    assert_eq!(runs(48 + GAP + 8), [(0, 0, 48), (120, 48, 8)]);
    assert_eq!(runs(993), [(0, 0, 48), (992, 48, 12)]);
}

#[test]
fn plan_of_fields_that_do_not_fit_a_copy_returns_error_naming_the_record() {
    let field = |n: usize| Field::new(n * 40, 8, false, 1);
    let mut fields: Vec<Field> = (0..8).map(field).collect();
    let mut all: Vec<&mut Field> = fields.iter_mut().collect();

    let error = Plan::of("Sample", 1000, &mut all).expect_err("invariant: 288 bytes are more than fit");

    assert!(error.to_string().contains("Sample in one copy: they take 288 bytes, at most 256"), "{error}");
    let last = &mut Field::new(MOST - 8, 8, false, 1);
    let first = &mut Field::new(0, 200, false, 1);
    first.size = 8;
    first.count = 25;
    assert!(Plan::of("Sample", MOST, &mut [first, last]).is_ok(), "a copy may be full");
}

#[test]
fn in_copy_of_what_is_too_short_returns_none() {
    let field = Field::new(6, 2, true, 1);
    assert_eq!(field.in_copy(&[0xff; 8]), Some(u64::MAX));
    assert_eq!(field.in_copy(&[0xff; 7]), None);
    assert_eq!(Field::new(usize::MAX, 8, false, 1).in_copy(&[0xff; 8]), None);
}
