//! Guest-physical memory: one allocation of bytes ([`Ram`]) and a map from physical pages to what answers there, reads
//! and writes apart. Every writer (processor, DMA, loader, debugger) ends in [`Memory::store`] or in a fast path that
//! [`Memory::fast_write_ok`] allowed.
//!
//! "Frame" is a 4 KiB page of the allocation; "page" a 4 KiB page of guest-physical space.

mod keep;
mod pages;
mod ram;
pub use pages::{Page, Pages};
pub use ram::{Ram, Word};

/// Bytes in a page.
pub const PAGE: u64 = 4096;

/// What answers at a physical page, for reads or for writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing: reads float high, writes vanish.
    Unmapped,
    /// Bytes of the allocation.
    Frame(u32),
    /// A memory-mapped chip; the number is the board's own.
    Chip(u16),
}

/// [`Place`] in 32 bits; zero is `Unmapped`, so that a fresh table of the bare numbers costs no host memory.
#[derive(Clone, Copy)]
struct Packed(u32);

const CHIP: u32 = 1 << 31;

impl Packed {
    fn new(p: Place) -> Packed {
        Packed(match p {
            Place::Unmapped => 0,
            Place::Frame(f) => f + 1,
            Place::Chip(c) => CHIP | u32::from(c),
        })
    }
    #[inline(always)]
    fn get(self) -> Place {
        match self.0 {
            0 => Place::Unmapped,
            p if p & CHIP != 0 => Place::Chip(p as u16),
            p => Place::Frame(p - 1),
        }
    }
}

/// Marks on a frame: reasons why a store to it must take the slow path.
pub mod mark {
    /// Decoded or translated code came from this frame.
    pub const CODE: u8 = 1;
    /// A page walk read this frame.
    pub const WALKED: u8 = 2;
    /// The debugger watches it.
    pub const WATCHED: u8 = 4;
}

/// A store that hit a marked frame: whoever owns derived state drops what came from these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The frame.
    pub frame: u32,
    /// First byte stored, within the frame.
    pub start: u16,
    /// One past the last.
    pub end: u16,
    /// The frame's marks at the time.
    pub marks: u8,
}

/// Guest-physical memory.
pub struct Memory {
    /// The bytes.
    pub ram: Ram,
    read: Vec<u32>,
    write: Vec<u32>,
    marks: Vec<u8>,
    dirty: Vec<u32>,
    epoch: u32,
    map_epoch: u64,
    a20_mask: u64,
    touched: Vec<Touch>,
    keep: keep::Keep,
    /// What frames held, for who asked to keep it.
    pub pages: Pages,
}

impl Memory {
    /// A map of `pages` physical pages, all unmapped, over `frames` frames of zeros. `None` if the host has no room.
    pub fn new(frames: usize, pages: usize) -> Option<Memory> {
        Some(Memory {
            ram: Ram::new(frames.checked_mul(PAGE as usize)?)?,
            read: vec![0; pages],
            write: vec![0; pages],
            marks: vec![0; frames],
            dirty: vec![0; frames],
            epoch: 1,
            map_epoch: 0,
            a20_mask: !0,
            touched: Vec::new(),
            keep: keep::Keep::default(),
            pages: Pages::default(),
        })
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.marks.len()
    }

    /// Maps `count` pages from physical page number `page` on. For `Frame(f)`, frames count up from `f`. Pages outside
    /// the map are ignored. Bumps the map epoch.
    pub fn map(&mut self, page: u64, count: u64, read: Place, write: Place) {
        let step = |p: Place, i: u64| match p {
            Place::Frame(f) => Place::Frame(f + i as u32),
            other => other,
        };
        let room = (self.read.len() as u64).saturating_sub(page);
        for i in 0..count.min(room) {
            let at = (page + i) as usize;
            self.read[at] = Packed::new(step(read, i)).0;
            self.write[at] = Packed::new(step(write, i)).0;
        }
        self.map_epoch += 1;
    }

    /// Unmaps all pages. Bumps the map epoch.
    pub fn unmap_all(&mut self) {
        let pages = self.read.len();
        (self.read, self.write) = (vec![0; pages], vec![0; pages]);
        self.map_epoch += 1;
    }

    /// What answers reads at a physical page (A20 already applied by the caller through [`Memory::mask`]).
    #[inline]
    pub fn read_place(&self, page: u64) -> Place {
        self.read.get(page as usize).map_or(Place::Unmapped, |&p| Packed(p).get())
    }

    /// What answers writes at a physical page.
    #[inline]
    pub fn write_place(&self, page: u64) -> Place {
        self.write.get(page as usize).map_or(Place::Unmapped, |&p| Packed(p).get())
    }

    /// Changes with every change of the map or of A20: derived state made under another epoch is void.
    pub fn map_epoch(&self) -> u64 {
        self.map_epoch
    }

    /// Opens (`true`) or closes the A20 gate.
    pub fn set_a20(&mut self, open: bool) {
        let mask = if open { !0 } else { !(1 << 20) };
        if mask != self.a20_mask {
            self.a20_mask = mask;
            self.map_epoch += 1;
        }
    }

    /// Whether the A20 gate is open.
    pub fn a20(&self) -> bool {
        self.a20_mask == !0
    }

    /// Applies the A20 mask to a physical address.
    #[inline(always)]
    pub fn mask(&self, addr: u64) -> u64 {
        addr & self.a20_mask
    }

    /// Adds marks to a frame. The caller must afterwards drop TLB write entries for it.
    pub fn add_marks(&mut self, frame: u32, marks: u8) {
        self.marks[frame as usize] |= marks;
    }

    /// Removes marks.
    pub fn clear_marks(&mut self, frame: u32, marks: u8) {
        self.marks[frame as usize] &= !marks;
    }

    /// The marks of a frame.
    #[inline]
    pub fn marks(&self, frame: u32) -> u8 {
        self.marks[frame as usize]
    }

    /// The current dirty epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Starts a new dirty epoch and returns the one that ended. Write entries of TLBs made before are void (they
    /// remember the epoch).
    pub fn next_epoch(&mut self) -> u32 {
        self.epoch += 1;
        self.epoch - 1
    }

    /// Whether the frame was stored to in `epoch` or later.
    pub fn dirty_since(&self, frame: u32, epoch: u32) -> bool {
        self.dirty[frame as usize] >= epoch
    }

    /// Prepares a frame for fast stores: true if it has no marks; it is then dirty in this epoch and stores may write
    /// the allocation directly until the epoch or the marks change.
    #[inline]
    pub fn fast_write_ok(&mut self, frame: u32) -> bool {
        if self.dirty[frame as usize] != self.epoch {
            self.first_store(frame);
        }
        self.marks[frame as usize] == 0
    }

    /// The one way in which bytes change: stores `data` in frame `frame` from byte `start` on; must not leave the frame.
    #[inline]
    pub fn store(&mut self, frame: u32, start: usize, data: &[u8]) {
        debug_assert!(start + data.len() <= PAGE as usize);
        self.note(frame, start, data.len());
        self.ram.copy_in(frame as usize * PAGE as usize + start, data);
    }

    /// As [`Memory::store`] for one word.
    #[inline]
    pub fn store_word<T: Word>(&mut self, frame: u32, start: usize, v: T) {
        debug_assert!(start + size_of::<T>() <= PAGE as usize);
        self.note(frame, start, size_of::<T>());
        self.ram.write(frame as usize * PAGE as usize + start, v);
    }

    /// A page walk's own update of accessed and dirty bits: a store like any other, except that nobody who derived
    /// translations from the entry needs to hear of it.
    pub fn store_by_walk(&mut self, frame: u32, start: usize, data: &[u8]) {
        let walked = self.marks[frame as usize] & mark::WALKED;
        self.marks[frame as usize] &= !mark::WALKED;
        self.store(frame, start, data);
        self.marks[frame as usize] |= walked;
    }

    #[inline]
    fn note(&mut self, frame: u32, start: usize, len: usize) {
        if self.dirty[frame as usize] != self.epoch {
            self.first_store(frame);
        }
        let marks = self.marks[frame as usize];
        if marks != 0 && len != 0 {
            self.touched.push(Touch { frame, start: start as u16, end: (start + len) as u16, marks });
        }
    }

    /// Whether stores to marked frames wait to be looked at.
    #[inline(always)]
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Takes the stores to marked frames since last asked.
    pub fn take_touched(&mut self) -> Vec<Touch> {
        std::mem::take(&mut self.touched)
    }

    /// As [`Memory::take_touched`], into an empty buffer that is given back next time, so that nothing is allocated.
    pub fn swap_touched(&mut self, buffer: &mut Vec<Touch>) {
        debug_assert!(buffer.is_empty());
        std::mem::swap(&mut self.touched, buffer);
    }

    /// Reads guest-physical bytes as a bus master does: chips and holes read FFh. A20 does not apply (it sits between
    /// processor and bus).
    pub fn read_physical(&self, mut addr: u64, to: &mut [u8]) {
        let mut to = to;
        while !to.is_empty() {
            let start = (addr % PAGE) as usize;
            let n = to.len().min(PAGE as usize - start);
            let (head, rest) = to.split_at_mut(n);
            match self.read_place(addr / PAGE) {
                Place::Frame(f) => self.ram.copy_out(f as usize * PAGE as usize + start, head),
                _ => head.fill(0xff),
            }
            to = rest;
            addr = addr.wrapping_add(n as u64);
        }
    }

    /// Writes guest-physical bytes as a bus master does; ROM, chips and holes ignore them.
    pub fn write_physical(&mut self, mut addr: u64, mut from: &[u8]) {
        while !from.is_empty() {
            let start = (addr % PAGE) as usize;
            let n = from.len().min(PAGE as usize - start);
            if let Place::Frame(f) = self.write_place(addr / PAGE) {
                self.store(f, start, &from[..n]);
            }
            from = &from[n..];
            addr = addr.wrapping_add(n as u64);
        }
    }
}
