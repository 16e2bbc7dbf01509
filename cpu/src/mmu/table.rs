//! A direct-mapped table of translations, and how its arrays lie in memory: the interpreter's probe and translated code
//! read them. What a tag means stands at [`super::tlb`].
#![allow(unsafe_code)]

use crate::memory::PAGE;

/// What a tag differs by from the page's address when the translation is known, but not for direct access: such a tag
/// belongs to the neighbouring place, so nothing that is looked up here agrees with it.
pub const SLOW: u64 = PAGE;

pub(super) const PAGE_MASK: u64 = !(PAGE - 1);

/// No translation: the slow tag of a page that can't exist.
pub(super) fn none(index: usize) -> u64 {
    1 << 63 | ((index as u64 * PAGE) ^ SLOW)
}

/// The arrays of a table, in their order in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Array {
    /// Tags for loads.
    Read = 0,
    /// Tags for stores.
    Write = 1,
    /// Tags for instruction fetches.
    Execute = 2,
    /// Host address = linear address + this (wrapping).
    Delta = 3,
}

/// Bytes from one array of a table of `size` entries to the next: not a multiple of a cache's way, so that an entry's
/// tag and delta don't meet in one set.
const fn stride(size: usize) -> usize {
    8 * size + 0x440
}

/// Alignment of the first array.
const ALIGN: usize = 1 << 16;

/// Where translated code finds array `a`, from the number that [`Tlb::table_in_use`] gives. The number's low 16 bits are
/// also the control word that makes BEXTR take the index out of a linear address.
pub fn displacement(a: Array, size: usize) -> i32 {
    (a as usize * stride(size)) as i32 - control(size) as i32
}

/// BEXTR's control word: from bit 12 on, as many as an index has.
pub(super) const fn control(size: usize) -> u64 {
    (size.trailing_zeros() as u64) << 8 | 12
}

/// While no more places of a table than this were filled, emptying it looks at those only.
const FEW: usize = 256;

/// A direct-mapped table of one view of one group. The default is an empty one that was never made: nothing agrees with
/// its only tag.
#[derive(Debug)]
pub(super) struct Table {
    /// The arrays of tags and deltas, from an aligned place on.
    words: Box<[u64]>,
    /// Where the arrays begin in `words`. Each has `mask + 1` words: neither these nor `words` change after they are made.
    at: [usize; 4],
    mask: usize,
    /// Physical page address of each entry (A20 not applied).
    pub phys: Box<[u64]>,
    /// Places that were filled since all were empty, each once or more; no longer kept beyond [`FEW`].
    filled: Vec<u32>,
    /// [`super::Tlb`]'s write generation when last looked at.
    pub write_generation: u32,
    /// [`super::Tlb`]'s generation when last looked at.
    pub generation: u32,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            words: Box::new([none(0); 4]),
            at: [0, 1, 2, 3],
            mask: 0,
            phys: Box::default(),
            filled: Vec::new(),
            write_generation: 0,
            generation: 0,
        }
    }
}

impl Table {
    /// `size` is a power of two.
    pub fn new(size: usize) -> Table {
        let size = size.next_power_of_two();
        let words = vec![0u64; (4 * stride(size) + ALIGN) / 8].into_boxed_slice();
        let first = (words.as_ptr() as usize).next_multiple_of(ALIGN) - words.as_ptr() as usize;
        let at = [0, 1, 2, 3].map(|k| (first + k * stride(size)) / 8);
        assert!(at[3] + size <= words.len(), "the arrays fit");
        let phys = vec![0; size].into_boxed_slice();
        let mut t = Table { words, at, mask: size - 1, phys, ..Table::default() };
        t.empty_all();
        t
    }

    /// Whether it was never made.
    pub fn is_empty(&self) -> bool {
        self.phys.is_empty()
    }

    #[inline(always)]
    pub fn index(&self, linear: u64) -> usize {
        (linear >> 12) as usize & self.mask
    }

    /// Where translated code finds it: see [`displacement`].
    pub fn address(&self) -> u64 {
        self.words[self.at[0]..].as_ptr() as u64 | control(self.mask + 1)
    }

    /// A word of an array; `index` is taken modulo the table's size.
    #[inline(always)]
    pub fn get(&self, a: Array, index: usize) -> u64 {
        // SAFETY: each of the four arrays has mask + 1 words inside `words`, which both constructors see to.
        unsafe { *self.words.get_unchecked(self.at[a as usize] + (index & self.mask)) }
    }

    #[inline(always)]
    pub fn put(&mut self, a: Array, index: usize, v: u64) {
        self.words[self.at[a as usize] + index] = v;
    }

    /// RAM's host address of the byte at `linear`, if bytes up to `last` further may be accessed directly.
    #[inline(always)]
    pub fn hit(&self, a: Array, linear: u64, last: u64) -> Option<u64> {
        let i = self.index(linear);
        (linear ^ self.get(a, i) <= PAGE - 1 - last).then(|| linear.wrapping_add(self.get(Array::Delta, i)))
    }

    /// Whether the tag at `index` allows direct access.
    fn is_direct(&self, a: Array, index: usize) -> bool {
        self.index(self.get(a, index)) == index
    }

    /// Sends accesses at `index` through the slow path.
    pub fn slow_down(&mut self, a: Array, index: usize) {
        if self.is_direct(a, index) {
            let tag = self.get(a, index);
            self.put(a, index, tag ^ SLOW);
        }
    }

    fn empty(&mut self, index: usize) {
        for a in [Array::Read, Array::Write, Array::Execute] {
            self.put(a, index, none(index));
        }
    }

    /// The places that may be filled, if they are known to be few.
    fn few(&self) -> Option<&[u32]> {
        (self.filled.len() <= FEW).then_some(&self.filled)
    }

    pub fn note_filled(&mut self, index: usize) {
        if self.filled.len() <= FEW {
            self.filled.push(index as u32);
        }
    }

    pub fn clear(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        if filled.len() <= FEW {
            for &i in &filled {
                self.empty(i as usize);
            }
        } else {
            self.empty_all();
        }
        self.filled = filled;
        self.filled.clear();
    }

    fn empty_all(&mut self) {
        for a in [Array::Read, Array::Write, Array::Execute] {
            let at = self.at[a as usize];
            for (i, tag) in self.words[at..at + self.phys.len()].iter_mut().enumerate() {
                *tag = none(i);
            }
        }
    }

    pub fn void_writes(&mut self) {
        for i in 0..self.phys.len() {
            self.slow_down(Array::Write, i);
        }
    }

    /// Drops `pages` pages from `base` on.
    pub fn drop_range(&mut self, base: u64, pages: u64) {
        if pages == 1 {
            self.drop_page(base);
            return;
        }
        if self.is_empty() {
            return;
        }
        if let Some(few) = self.few()
            && (few.len() as u64) < pages
        {
            let filled = std::mem::take(&mut self.filled);
            for &i in &filled {
                let known = |a| (self.get(a, i as usize) & !SLOW).wrapping_sub(base & !SLOW);
                if [Array::Read, Array::Write, Array::Execute].into_iter().any(|a| known(a) <= pages * PAGE) {
                    self.empty(i as usize);
                }
            }
            self.filled = filled;
        } else if pages >= self.phys.len() as u64 {
            self.clear();
        } else {
            for i in 0..pages {
                self.drop_page(base.wrapping_add(i * PAGE));
            }
        }
    }

    fn drop_page(&mut self, linear: u64) {
        if self.is_empty() {
            return;
        }
        let i = self.index(linear);
        let known = |a| self.get(a, i) & !SLOW == linear & !SLOW;
        if [Array::Read, Array::Write, Array::Execute].into_iter().any(known) {
            self.empty(i);
        }
    }
}
