//! Records as columns of bytes.
//!
//! # Invariants
//! - What was encoded decodes to the same, except for records of a probe that is not known, which are left out and counted.

use super::block::Block;
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;

/// Bytes of a record, over all columns.
pub(super) const BYTES: usize = 8 + 2 + 2 + 8 + 4 + 8;

/// How many, then a column a field.
pub(super) fn encode(records: &[TraceRecord]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + records.len() * BYTES);
    bytes.extend_from_slice(&(records.len() as u32).to_le_bytes());
    let column = |bytes: &mut Vec<u8>, put: &dyn Fn(&TraceRecord, &mut Vec<u8>)| {
        records.iter().for_each(|record| put(record, bytes));
    };
    column(&mut bytes, &|r, b| b.extend_from_slice(&r.time_ns.to_le_bytes()));
    column(&mut bytes, &|r, b| b.extend_from_slice(&(r.cpu as u16).to_le_bytes()));
    column(&mut bytes, &|r, b| b.extend_from_slice(&(r.kind as u16).to_le_bytes()));
    column(&mut bytes, &|r, b| b.extend_from_slice(&r.thread.to_le_bytes()));
    column(&mut bytes, &|r, b| b.extend_from_slice(&r.pri.to_le_bytes()));
    column(&mut bytes, &|r, b| b.extend_from_slice(&r.arg.to_le_bytes()));
    bytes
}

/// The records of a block, and how many were of a probe that is not known.
///
/// # Errors
/// A sentence, if there are more or fewer bytes than so many records have, or one is of another time than the block says.
pub(super) fn decode(block: &Block) -> Result<(Vec<TraceRecord>, u64), String> {
    let (bytes, (first_ns, last_ns)) = (&block.bytes, block.times);
    let (count, columns) = bytes.split_first_chunk::<4>().ok_or("a block of records is too short")?;
    let count = u32::from_le_bytes(*count) as usize;
    if count.checked_mul(BYTES) != Some(columns.len()) {
        return Err(format!("a block of {count} records has {} bytes", columns.len()));
    }
    let (times, columns) = columns.split_at(count * 8);
    let (cpus, columns) = columns.split_at(count * 2);
    let (kinds, columns) = columns.split_at(count * 2);
    let (threads, columns) = columns.split_at(count * 8);
    let (pris, args) = columns.split_at(count * 4);
    let mut records = Vec::with_capacity(count);
    for n in 0..count {
        let Some(kind) = Kind::from_number(u16::from_le_bytes(element(kinds, n)).into()) else { continue };
        records.push(TraceRecord {
            time_ns: u64::from_le_bytes(element(times, n)),
            cpu: u16::from_le_bytes(element(cpus, n)).into(),
            kind,
            thread: u64::from_le_bytes(element(threads, n)),
            pri: i32::from_le_bytes(element(pris, n)),
            arg: u64::from_le_bytes(element(args, n)),
        });
    }
    // Who reads a part of a file goes by the times that its blocks say.
    if let Some(record) = records.iter().find(|record| !(first_ns..=last_ns).contains(&record.time_ns)) {
        return Err(format!(
            "a block from {first_ns} ns to {last_ns} ns has an event of {} ns",
            record.time_ns
        ));
    }
    let unknown = (count - records.len()) as u64;
    Ok((records, unknown))
}

/// Element `n` of a column; the column has it, because its length was checked.
fn element<const N: usize>(column: &[u8], n: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&column[n * N..][..N]);
    bytes
}
