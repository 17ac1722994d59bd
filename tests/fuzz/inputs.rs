//! Inputs that are nearly right: sound ones, of which a few pieces were changed.
//!
//! # Invariants
//! - Input n follows from the seed and from n alone.

use fastrand::Rng;

/// Where inputs come from.
pub struct Inputs {
    seed: u64,
    sound: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Inputs {
    /// Inputs made of sound ones, and of words that mean something to who reads them.
    pub fn new(seed: u64, sound: Vec<Vec<u8>>, words: &[&str]) -> Inputs {
        Inputs { seed, sound, words: words.iter().map(|word| word.as_bytes().to_vec()).collect() }
    }

    /// The input of a number. The first ones are sound.
    pub fn input(&self, n: u64) -> Vec<u8> {
        let mut rng = Rng::with_seed(self.seed.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ n);
        if (n as usize) < self.sound.len() {
            return self.sound[n as usize].clone();
        }
        let mut bytes = self.sound[rng.usize(..self.sound.len())].clone();
        for _ in 0..=rng.usize(..6) {
            self.change(&mut bytes, &mut rng);
        }
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let at = rng.usize(..bytes.len().max(1));
        let len = rng.usize(..32).min(bytes.len() - at);
        match rng.usize(..10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + len)),
            2 => {
                let piece = bytes[at..at + len].to_vec();
                let to = rng.usize(..bytes.len().max(1));
                drop(bytes.splice(to..to, piece));
            }
            3 => {
                let word = self.words[rng.usize(..self.words.len())].clone();
                drop(bytes.splice(at..at, word));
            }
            4 => {
                // A number of eight bytes that is too great, or nearly.
                let word = [u64::MAX, 1 << 63, 1 << 40, 0, 0xffff_ffff, rng.u64(..)][rng.usize(..6)];
                bytes[at..].iter_mut().zip(word.to_le_bytes()).for_each(|(byte, with)| *byte = with);
            }
            5 => {
                let other = &self.sound[rng.usize(..self.sound.len())];
                let from = rng.usize(..other.len());
                let piece = other[from..(from + 64).min(other.len())].to_vec();
                drop(bytes.splice(at..at + len, piece));
            }
            6 => bytes.insert(at.min(bytes.len()), rng.u8(..)),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.usize(..8);
                }
            }
        }
    }
}
