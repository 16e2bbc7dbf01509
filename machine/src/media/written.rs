//! Which sectors have been written, and a hash of their contents.
//!
//! Sectors are noted by chunks of 128, each with a hash that is computed when it is asked for and dropped when the chunk
//! is written again: asking often costs what was written since.

use super::SECTOR;
use std::collections::BTreeMap;
use std::io;
use xxhash_rust::xxh3::Xxh3;

const SECTORS: u64 = 128; // of a chunk: one bit each

/// One chunk.
#[derive(Clone, Debug, Default)]
struct Chunk {
    sectors: u128,
    hash: Option<u64>,
}

/// The sectors of a medium that have been written.
#[derive(Clone, Debug, Default)]
pub struct Written {
    chunks: BTreeMap<u64, Chunk>,
}

impl Written {
    /// `bytes` bytes from `offset` on are being written.
    pub fn note(&mut self, offset: u64, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let (mut sector, last) = (offset / SECTOR, (offset + bytes as u64 - 1) / SECTOR);
        while sector <= last {
            let (chunk, from) = (sector / SECTORS, sector % SECTORS);
            let n = (SECTORS - from).min(last - sector + 1);
            let mask = u128::MAX >> (SECTORS - n) << from;
            let chunk = self.chunks.entry(chunk).or_default();
            chunk.sectors |= mask;
            chunk.hash = None;
            sector += n;
        }
    }

    /// Runs of written sectors: first sector and how many.
    pub fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (&index, chunk) in &self.chunks {
            for (from, n) in runs_of(chunk.sectors) {
                let first = index * SECTORS + from;
                match runs.last_mut() {
                    Some((start, count)) if *start + *count == first => *count += n,
                    _ => runs.push((first, n)),
                }
            }
        }
        runs
    }

    /// Whether all of them lie in the given runs, which ascend.
    pub fn within(&self, runs: &[(u64, u64)]) -> bool {
        self.runs().iter().all(|&(first, n)| {
            let before = runs.partition_point(|&(start, _)| start <= first);
            before > 0 && first + n <= runs[before - 1].0 + runs[before - 1].1
        })
    }

    /// Hash of all of them in order, 0 if there are none. What can't be read counts as unreadable, not as an error.
    pub fn hash(&mut self, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> u64 {
        if self.chunks.is_empty() {
            return 0;
        }
        let mut all = Xxh3::new();
        let mut buffer = vec![0; (SECTORS * SECTOR) as usize];
        for (&index, chunk) in &mut self.chunks {
            let hash = *chunk.hash.get_or_insert_with(|| {
                let mut h = Xxh3::new();
                h.update(&chunk.sectors.to_le_bytes());
                for (from, n) in runs_of(chunk.sectors) {
                    let bytes = &mut buffer[..(n * SECTOR) as usize];
                    match read((index * SECTORS + from) * SECTOR, bytes) {
                        Ok(()) => h.update(bytes),
                        Err(_) => h.update(b"unreadable"),
                    }
                }
                h.digest()
            });
            all.update(&index.to_le_bytes());
            all.update(&hash.to_le_bytes());
        }
        all.digest()
    }
}

/// Runs of ones: first and how many.
fn runs_of(mut bits: u128) -> impl Iterator<Item = (u64, u64)> {
    let mut base = 0;
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let zeros = u64::from(bits.trailing_zeros());
        bits >>= zeros;
        let ones = u64::from(bits.trailing_ones());
        bits = if ones == SECTORS { 0 } else { bits >> ones };
        let first = base + zeros;
        base = first + ones;
        Some((first, ones))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_across_chunks() {
        let mut w = Written::default();
        w.note(127 * SECTOR + 100, 2 * SECTOR as usize);
        w.note(5 * SECTOR, 1);
        w.note(300 * SECTOR, 128 * SECTOR as usize);
        assert_eq!(w.runs(), [(5, 1), (127, 3), (300, 128)]);
        w.note(256 * SECTOR, 128 * SECTOR as usize);
        assert_eq!(w.runs(), [(5, 1), (127, 3), (256, 172)]);
        assert_eq!(runs_of(u128::MAX).collect::<Vec<_>>(), [(0, 128)]);
        assert_eq!(runs_of(0b1011 << 124).collect::<Vec<_>>(), [(124, 2), (127, 1)]);
    }

    #[test]
    fn the_hash_follows_contents_and_places() {
        let mut disk = vec![0u8; 1 << 20];
        let hash = |w: &mut Written, disk: &[u8]| {
            w.hash(|o, t| {
                t.copy_from_slice(&disk[o as usize..o as usize + t.len()]);
                Ok(())
            })
        };
        let mut w = Written::default();
        assert_eq!(hash(&mut w, &disk), 0);
        w.note(1024, 512);
        let zeros = hash(&mut w, &disk);
        assert_ne!(zeros, 0);
        disk[1030] = 1;
        w.note(1024, 512);
        let one = hash(&mut w, &disk);
        assert_ne!(one, zeros);
        let mut other = Written::default();
        other.note(1030, 1);
        assert_eq!(hash(&mut other, &disk), one, "however the writes were cut");
        other.note(0, 1);
        assert_ne!(hash(&mut other, &disk), one);
    }
}
