//! Guest RAM is read at every alignment, and written, within its bounds only.
//!
//! # Invariants
//! - Each way to read is compared with the bytes that were written, or with the plain way.

use super::*;

fn ram(len: u64) -> GuestRam {
    GuestRam::new(len).expect("memfd")
}

#[test]
fn read_at_every_alignment_gives_what_was_written() {
    let ram = ram(4096);
    let bytes: Vec<u8> = (0..64).collect();
    ram.write(100, &bytes).expect("inside");
    for start in 0..16_usize {
        for len in 0..40_usize {
            let mut out = vec![0xee; len];
            assert!(ram.read(100 + start as u64, &mut out));
            assert_eq!(out, bytes[start..start + len]);
            out.fill(0xee);
            assert!(ram.copy(100 + start as u64, &mut out));
            assert_eq!(out, bytes[start..start + len]);
        }
    }
    assert_eq!(ram.read_u64(104), Some(u64::from_le_bytes([4, 5, 6, 7, 8, 9, 10, 11])));
    assert_eq!(ram.read_u32(101), Some(u32::from_le_bytes([1, 2, 3, 4])));
    assert_eq!(ram.read_u16(102), Some(u16::from_le_bytes([2, 3])));
    assert_eq!(ram.read_u8(163), Some(63));
}

#[test]
fn read_past_the_end_is_refused_and_leaves_the_buffer() {
    let ram = ram(4096);
    let mut out = [7; 8];
    assert!(!ram.read(4089, &mut out));
    assert!(!ram.read(u64::MAX - 3, &mut out));
    assert!(!ram.read(1 << 40, &mut out));
    assert_eq!(out, [7; 8]);
    assert!(ram.read(4088, &mut out));
    assert!(ram.read(4096, &mut []));
    assert_eq!(ram.read_u64(4089), None);
    assert_eq!(ram.read_u8(4096), None);
}

/// Memory that reads as another does and has nothing but `read`.
struct Plain<'a>(&'a GuestRam);

impl GuestMemory for Plain<'_> {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.0.read(addr, out)
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.0.ranges()
    }
}

#[test]
fn nonzero_gives_the_blocks_in_which_a_byte_is_set_at_every_alignment() {
    let ram = ram(16384);
    for at in [100, 163, 164, 5000, 8190] {
        ram.write(at, &[1]).expect("inside");
    }
    for start in 95..105_u64 {
        for len in [0, 1, 4, 63, 64, 65, 130, 4080, 4097, 8095] {
            let mut found = [u64::MAX; 2];
            let mut plain = [0; 2];
            assert!(ram.nonzero(start, len, &mut found));
            assert!(Plain(&ram).nonzero(start, len, &mut plain));
            assert_eq!(found, plain, "{len} bytes from {start}");
            let is_set = |at: u64| at >= start && at < start + len as u64;
            let set = [100, 163, 164, 5000, 8190].into_iter().filter(|&at| is_set(at));
            let expect = set.fold([0; 2], |mut words: [u64; 2], at| {
                let block = (at - start) as usize / BLOCK;
                words[block / 64] |= 1 << (block % 64);
                words
            });
            assert_eq!(found, expect, "{len} bytes from {start}");
        }
    }
    assert!(!ram.nonzero(16384 - 64, 65, &mut [0]), "past the end");
    assert!(!ram.nonzero(0, 65 * BLOCK, &mut [0]), "more blocks than bits");
    ram.prefetch(&[0, 16383, 16384, u64::MAX]);
}

#[test]
fn write_past_the_end_is_refused() {
    assert!(ram(4096).write(4090, &[0; 8]).is_err());
}

/// The flags of the mapping that an address of this process lies in, as the host tells them.
fn flags_at(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("the host tells its mappings");
    let mut is_here = false;
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.and_then(|(from, to)| {
            Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
        });
        if let Some((from, to)) = ends {
            is_here = (from..to).contains(&address);
        }
        if let (true, Some(flags)) = (is_here, line.strip_prefix("VmFlags:")) {
            return flags.to_owned();
        }
    }
    String::new()
}

#[test]
fn guest_memory_is_left_out_of_cores_of_this_process() {
    let ram = GuestRam::new(1 << 16).expect("memory");
    assert!(flags_at(ram.host_address()).split_whitespace().any(|flag| flag == "dd"));
    let heap = Box::new(0_u64);
    assert!(
        !flags_at(&raw const *heap as u64).split_whitespace().any(|flag| flag == "dd"),
        "others are in them"
    );
}
