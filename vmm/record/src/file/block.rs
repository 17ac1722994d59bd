//! Blocks: what a recording's file is made of.
//!
//! # Invariants
//! - What is read was checked by length and CRC before it is decompressed.

use std::io::{self, Read, Write};

use super::MOST_BYTES;

const MARK: [u8; 4] = *b"BLK\n";
/// Bytes before the stored ones.
const HEAD: usize = 36;
/// Fast enough to keep up with a guest, and three quarters of what more effort would save.
const LEVEL: i32 = 1;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Content {
    Header = 1,
    Roster = 2,
    Records = 3,
    Samples = 4,
    Ending = 5,
    Objects = 6,
}

impl Content {
    const ALL: [Content; 6] = [
        Content::Header,
        Content::Roster,
        Content::Records,
        Content::Samples,
        Content::Ending,
        Content::Objects,
    ];

    /// True if what is in it has times.
    pub(super) fn has_times(self) -> bool {
        matches!(self, Content::Records | Content::Samples)
    }
}

/// A block that was read.
#[derive(Debug)]
pub(super) struct Block {
    /// None if it is of a kind that is not known here.
    pub(super) content: Option<Content>,
    /// From when to when is what is in it.
    pub(super) times: (u64, u64),
    /// Its bytes, decompressed; none of a block that was skipped.
    pub(super) bytes: Vec<u8>,
}

/// Writes a block; the times are of what is in it.
pub(super) fn write(
    out: &mut impl Write,
    content: Content,
    (first_ns, last_ns): (u64, u64),
    bytes: &[u8],
) -> io::Result<()> {
    let raw = u32::try_from(bytes.len()).ok().filter(|&raw| raw <= MOST_BYTES);
    let raw = raw.ok_or_else(|| io::Error::other("a block of a recording is too large"))?;
    let stored = zstd::bulk::compress(bytes, LEVEL)?;
    let mut head = Vec::with_capacity(HEAD + stored.len());
    head.extend_from_slice(&MARK);
    head.extend_from_slice(&(content as u32).to_le_bytes());
    head.extend_from_slice(&first_ns.to_le_bytes());
    head.extend_from_slice(&last_ns.to_le_bytes());
    head.extend_from_slice(&raw.to_le_bytes());
    head.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&stored).to_le_bytes());
    head.extend_from_slice(&stored);
    out.write_all(&head)
}

/// Reads the next block; none at the end of the file. `wanted` says by content, times and length before compression whether its bytes are
/// needed.
///
/// # Errors
/// A sentence: what is wrong with the rest of the file.
pub(super) fn read(
    input: &mut impl Read,
    mut wanted: impl FnMut(Content, (u64, u64), u32) -> bool,
) -> Result<Option<Block>, String> {
    let mut head = Vec::with_capacity(HEAD);
    input.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(|e| e.to_string())?;
    if head.is_empty() {
        return Ok(None);
    }
    let word = |at: usize| head.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let long = |at: usize| Some(u64::from(word(at)?) | u64::from(word(at + 4)?) << 32);
    let fields = || Some((word(4)?, long(8)?, long(16)?, word(24)?, word(28)?, word(32)?));
    let Some((kind, first_ns, last_ns, raw, stored, crc)) = fields() else {
        return Err("it ends in the middle of a block's head".to_owned());
    };
    if head[..4] != MARK {
        return Err("what follows is no block".to_owned());
    }
    if raw > MOST_BYTES || stored > MOST_BYTES {
        return Err(format!(
            "a block says that it is of {raw} bytes, {stored} stored, and {MOST_BYTES} is the most"
        ));
    }
    let mut bytes = Vec::new();
    input.by_ref().take(stored.into()).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() < stored as usize {
        return Err(format!("it ends in the middle of a block: {} of {stored} bytes are there", bytes.len()));
    }
    if crc32fast::hash(&bytes) != crc {
        return Err("a block's checksum is wrong".to_owned());
    }
    let content = Content::ALL.into_iter().find(|&content| content as u32 == kind);
    if !content.is_some_and(|content| wanted(content, (first_ns, last_ns), raw)) {
        return Ok(Some(Block { content: None, times: (first_ns, last_ns), bytes: Vec::new() }));
    }
    let bytes =
        zstd::bulk::decompress(&bytes, raw as usize).map_err(|e| format!("a block is not zstd: {e}"))?;
    if bytes.len() != raw as usize {
        return Err(format!("a block says that it is of {raw} bytes, and is of {}", bytes.len()));
    }
    Ok(Some(Block { content, times: (first_ns, last_ns), bytes }))
}
