//! A file with faults compiled in: each place asks whether one of its faults is chosen.
//!
//! # Invariants
//! - With no fault chosen the file does what it did: the last branch of each place is the text that was there, with the places
//!   inside of it treated the same way.
//! - Lines stay where they are: nothing that is put in has a newline of its own, but for a fault whose text has some.
//! - Where each fault's text went is told, so that a compiler's complaint leads back to it.

use std::ops::Range;

use crate::fault::{Fault, Shape};

/// A file with faults.
#[derive(Debug, Default)]
pub struct Spliced {
    /// Its text.
    pub text: String,
    /// For each fault in it, by number: where its text stands.
    pub faulty: Vec<(u32, Range<usize>)>,
    /// For each place: where it stands as a whole, and its faults' numbers.
    pub places: Vec<(Vec<u32>, Range<usize>)>,
}

/// Puts `faults`, which are all of this file, into its text.
pub fn splice(source: &str, faults: &[&Fault]) -> Spliced {
    let mut sorted = faults.to_vec();
    sorted.sort_by_key(|f| (f.range.start, std::cmp::Reverse(f.range.end), f.shape, f.id));
    let mut places: Vec<Vec<&Fault>> = Vec::new();
    for fault in sorted {
        match places.last_mut() {
            Some(same) if same[0].range == fault.range && same[0].shape == fault.shape => same.push(fault),
            _ => places.push(vec![fault]),
        }
    }
    let mut out = Spliced::default();
    let mut rest = &places[..];
    write(source, 0..source.len(), &mut rest, &mut out);
    out
}

/// Writes a range of the source, with the places that begin in it.
fn write(source: &str, range: Range<usize>, rest: &mut &[Vec<&Fault>], out: &mut Spliced) {
    let mut at = range.start;
    while let Some((place, more)) = rest.split_first()
        && is_inside(place[0], &range)
    {
        *rest = more;
        let (start, end) = (place[0].range.start, place[0].range.end);
        out.text.push_str(&source[at..start]);
        let begins = out.text.len();
        write_place(source, place, rest, out);
        out.places.push((place.iter().map(|f| f.id).collect(), begins..out.text.len()));
        at = end;
    }
    out.text.push_str(&source[at..range.end]);
}

fn write_place(source: &str, place: &[&Fault], rest: &mut &[Vec<&Fault>], out: &mut Spliced) {
    let shape = place[0].shape;
    match shape {
        Shape::Entry => {
            for fault in place {
                out.text.push_str(&format!(" if {} {{ ", chosen(fault)));
                faulty(fault, &fault.change.text, out);
                out.text.push_str(" }");
            }
        }
        Shape::NewGuard => {
            for fault in place {
                let begins = out.text.len();
                out.text.push_str(&format!(" if !{}", chosen(fault)));
                out.faulty.push((fault.id, begins..out.text.len()));
            }
        }
        Shape::Statements | Shape::Expression => {
            out.text.push_str(if shape == Shape::Expression { "(" } else { "" });
            for fault in place {
                out.text.push_str(&format!("if {} {{ ", chosen(fault)));
                faulty(fault, &fault.change.text, out);
                out.text.push_str(" } else ");
            }
            out.text.push_str("{ ");
            write(source, place[0].range.clone(), rest, out);
            out.text.push_str(if shape == Shape::Expression { " })" } else { " }" });
        }
    }
}

fn faulty(fault: &Fault, text: &str, out: &mut Spliced) {
    let begins = out.text.len();
    out.text.push_str(text);
    out.faulty.push((fault.id, begins..out.text.len()));
}

fn chosen(fault: &Fault) -> String {
    format!("crate::fault::chosen({})", fault.id)
}

fn is_inside(fault: &Fault, range: &Range<usize>) -> bool {
    range.start <= fault.range.start && fault.range.end <= range.end && fault.range.start < range.end
}
