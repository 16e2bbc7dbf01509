//! The state hash: one number for everything that a guest can see or that decides what happens next. Two machines of the
//! same configuration that are in the same state have the same hash, on every host and whichever engine ran them.
//!
//! It is XXH3-64 over, in this order: the progress (clock, count, turn); each processor's state in postcard form, in order;
//! the chips in postcard form, in the order of [`crate::board::Chips`]; for each 4 KiB frame of RAM, ROM, video ROM and
//! video memory that is not all zeros, its number and the XXH3-64 of its bytes; and the fingerprint of the written sectors of
//! each medium. Chips are first caught up to the present.
//!
//! Hashes of frames are kept, and made again only for frames that were stored to since: lockstep costs what changed.

use crate::Machine;
use lucid86_cpu::Memory;
use lucid86_cpu::memory::PAGE;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Hashes of frames as of a dirty epoch. 0 stands for a frame of zeros.
pub struct PageHashes {
    hashes: Vec<u64>,
    epoch: u32,
}

impl PageHashes {
    /// None known.
    pub fn new(frames: usize) -> PageHashes {
        PageHashes { hashes: vec![0; frames], epoch: 0 }
    }

    /// Forgets what is known: memory was changed behind the back of the epochs.
    pub fn forget(&mut self) {
        self.epoch = 0;
        self.hashes.fill(0);
    }

    /// Brings all hashes up to date and starts a new dirty epoch.
    pub fn update(&mut self, mem: &mut Memory) {
        let mut page = [0; PAGE as usize];
        for (frame, hash) in self.hashes.iter_mut().enumerate() {
            if mem.dirty_since(frame as u32, self.epoch.max(1)) {
                mem.ram.copy_out(frame * PAGE as usize, &mut page);
                *hash = if page == [0; PAGE as usize] { 0 } else { xxh3_64(&page) | 1 };
            }
        }
        self.epoch = mem.next_epoch() + 1;
    }

    fn feed(&self, h: &mut Xxh3) {
        for (frame, hash) in self.hashes.iter().enumerate().filter(|(_, h)| **h != 0) {
            h.update(&(frame as u32).to_le_bytes());
            h.update(&hash.to_le_bytes());
        }
    }
}

impl Machine {
    /// Hash of all guest-visible state, at the present count.
    pub fn state_hash(&mut self) -> u64 {
        let now = self.now();
        self.board.advance(&mut self.mem, now);
        let mut h = Xxh3::new();
        let p = &self.progress;
        for v in [now.0, p.count, p.turn as u64, p.turn_end] {
            h.update(&v.to_le_bytes());
        }
        for cpu in &mut self.cpus {
            cpu.intr = lucid86_cpu::Board::interrupt_line(&self.board, cpu.index);
            h.update(&bytes_of(cpu));
        }
        h.update(&bytes_of(&self.board.chips));
        self.hashes.update(&mut self.mem);
        self.hashes.feed(&mut h);
        for (slot, image) in self.board.outside.media.iter_mut().enumerate() {
            if let Some(image) = image {
                h.update(&(slot as u32).to_le_bytes());
                h.update(&image.written_hash().to_le_bytes());
            }
        }
        h.digest()
    }

    /// Hash of each part by name, to see what two machines differ in.
    pub fn state_hash_parts(&mut self) -> Vec<(String, u64)> {
        let now = self.now();
        self.board.advance(&mut self.mem, now);
        let mut out = vec![("time".into(), now.0), ("count".into(), self.progress.count)];
        for cpu in &self.cpus {
            out.push((format!("cpu {}", cpu.index), xxh3_64(&bytes_of(cpu))));
        }
        out.extend(self.board.chips.each().into_iter().map(|(name, bytes)| (name.into(), xxh3_64(&bytes))));
        self.hashes.update(&mut self.mem);
        let mut h = Xxh3::new();
        self.hashes.feed(&mut h);
        out.push(("memory".into(), h.digest()));
        for (slot, image) in self.board.outside.media.iter_mut().enumerate() {
            if let Some(image) = image {
                out.push((format!("medium {slot}"), image.written_hash()));
            }
        }
        out
    }
}

/// A value's postcard form.
pub fn bytes_of<T: serde::Serialize>(v: &T) -> Vec<u8> {
    postcard::to_stdvec(v).expect("plain state can always be written")
}
