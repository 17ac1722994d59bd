//! Inputs that are nearly right: sound ones, of which a few pieces were changed.
//!
//! # Invariants
//! - Input n follows from the seed and from n alone.

/// Where inputs come from.
pub struct Inputs {
    seed: u64,
    sound: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

/// Numbers that follow from one another (Vigna's splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ n >> 31
    }

    /// Below `end`, which may be 0: then 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

impl Inputs {
    /// Inputs made of sound ones, and of words that mean something to who reads them.
    pub fn new(seed: u64, sound: Vec<Vec<u8>>, words: &[&str]) -> Inputs {
        Inputs { seed, sound, words: words.iter().map(|word| word.as_bytes().to_vec()).collect() }
    }

    /// The input of a number. The first ones are sound.
    pub fn input(&self, n: u64) -> Vec<u8> {
        let mut numbers = Numbers(self.seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ n);
        if (n as usize) < self.sound.len() {
            return self.sound[n as usize].clone();
        }
        let mut bytes = self.sound[numbers.below(self.sound.len())].clone();
        for _ in 0..=numbers.below(6) {
            self.change(&mut bytes, &mut numbers);
        }
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, numbers: &mut Numbers) {
        let at = numbers.below(bytes.len());
        let len = numbers.below(32).min(bytes.len() - at);
        match numbers.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + len)),
            2 => {
                let piece = bytes[at..at + len].to_vec();
                let to = numbers.below(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
            3 => {
                let word = self.words[numbers.below(self.words.len())].clone();
                drop(bytes.splice(at..at, word));
            }
            4 => {
                // A number of eight bytes that is too great, or nearly.
                let word = [u64::MAX, 1 << 63, 1 << 40, 0, 0xffff_ffff, numbers.next()][numbers.below(6)];
                bytes[at..].iter_mut().zip(word.to_le_bytes()).for_each(|(byte, with)| *byte = with);
            }
            5 => {
                let other = &self.sound[numbers.below(self.sound.len())];
                let from = numbers.below(other.len());
                let piece = other[from..(from + 64).min(other.len())].to_vec();
                drop(bytes.splice(at..at + len, piece));
            }
            6 => bytes.insert(at.min(bytes.len()), numbers.next() as u8),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
}
