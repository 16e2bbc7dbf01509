//! A table of translations, and how its arrays lie in memory: the interpreter's probe and translated code read them. What
//! a tag means stands at [`super::tlb`].
//!
//! A probe looks at one place only. Whoever misses there looks at the *second* entry of that place before it walks, and
//! exchanges both: what two pages that share a place cost is that, not two walks.
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
    /// The page's linear address with [`HELD`]; zero if the place is empty.
    Key = 4,
    /// Physical address of the page (A20 not applied).
    Phys = 5,
    /// [`super::Tlb::note_code`] has noted the page under this number.
    Noted = 6,
    /// The key of the second entry.
    Other = 7,
}

/// How many arrays there are.
pub const ARRAYS: usize = 8;

/// What [`Array::Key`] has beside the page's address.
pub const HELD: u64 = 1;

/// log2 of the bytes from one second entry to the next: its words are in the order of [`Array`], but for the keys, which have
/// arrays of their own.
pub const SECOND_SHIFT: u8 = 6;

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
    array_displacement(a as usize, size)
}

/// The same by the number of the array.
pub fn array_displacement(k: usize, size: usize) -> i32 {
    (lead(size) + k * stride(size)) as i32 - control(size) as i32
}

/// Whether array `k` is one of keys.
pub fn is_key(k: usize) -> bool {
    k == Array::Key as usize || k == Array::Other as usize
}

/// Where translated code finds the second entries, each of `1 << SECOND_SHIFT` bytes.
pub fn second_displacement(size: usize) -> i32 {
    second(size) as i32 - control(size) as i32
}

/// Bytes from the aligned place to the second entries.
const fn second(size: usize) -> usize {
    (lead(size) + ARRAYS * stride(size)).next_multiple_of(1 << SECOND_SHIFT)
}

/// Bytes from the aligned place that a table's number is made from to the first array, that of loads: so many that one byte
/// is enough for its displacement, which much of the code has.
const fn lead(size: usize) -> usize {
    (control(size) as usize + 1).next_multiple_of(8)
}

/// BEXTR's control word: from bit 12 on, as many as an index has.
pub(super) const fn control(size: usize) -> u64 {
    (size.trailing_zeros() as u64) << 8 | 12
}

/// While no more places of a table than this were filled, emptying it looks at those only.
const FEW: usize = 256;

/// A table of one view of one group. The default is an empty one that was never made: nothing agrees with its only tag.
#[derive(Debug)]
pub(super) struct Table {
    /// The arrays, from a little behind an aligned place on, and the second entries behind them.
    words: Box<[u64]>,
    /// Where the arrays begin in `words`. Each has `mask + 1` words: neither these nor `words` change after they are made.
    at: [usize; ARRAYS],
    /// Where the second entries begin.
    second: usize,
    mask: usize,
    made: bool,
    /// There may be second entries.
    crowded: bool,
    /// Places that were filled since all were empty, each once or more; no longer kept beyond [`FEW`].
    filled: Vec<u32>,
    /// [`super::Tlb`]'s write generation when last looked at.
    pub write_generation: u32,
    /// [`super::Tlb`]'s generation when last looked at.
    pub generation: u32,
}

impl Default for Table {
    fn default() -> Table {
        let mut words = [none(0); ARRAYS];
        words[Array::Key as usize] = 0;
        words[Array::Other as usize] = 0;
        Table {
            words: Box::new(words),
            at: std::array::from_fn(|k| k),
            second: 0,
            mask: 0,
            made: false,
            crowded: false,
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
        let bytes = second(size) + (size << SECOND_SHIFT);
        let words = vec![0u64; (bytes + ALIGN) / 8].into_boxed_slice();
        let first = (words.as_ptr() as usize).next_multiple_of(ALIGN) - words.as_ptr() as usize;
        let at = std::array::from_fn(|k| (first + lead(size) + k * stride(size)) / 8);
        let second = (first + second(size)) / 8;
        assert!(second + (size << SECOND_SHIFT) / 8 <= words.len(), "the arrays fit");
        let mut t = Table { words, at, second, mask: size - 1, made: true, ..Table::default() };
        t.empty_all();
        t
    }

    /// Whether it was never made.
    pub fn is_empty(&self) -> bool {
        !self.made
    }

    /// Places.
    pub fn size(&self) -> usize {
        self.mask + 1
    }

    #[inline(always)]
    pub fn index(&self, linear: u64) -> usize {
        (linear >> 12) as usize & self.mask
    }

    /// Where translated code finds it: see [`displacement`].
    pub fn address(&self) -> u64 {
        let size = self.mask + 1;
        (self.words[self.at[0]..].as_ptr() as u64).wrapping_sub(lead(size) as u64).wrapping_add(control(size))
    }

    /// A word of an array; `index` is taken modulo the table's size.
    #[inline(always)]
    pub fn get(&self, a: Array, index: usize) -> u64 {
        // SAFETY: each of the arrays has mask + 1 words inside `words`, which both constructors see to.
        unsafe { *self.words.get_unchecked(self.at[a as usize] + (index & self.mask)) }
    }

    #[inline(always)]
    pub fn put(&mut self, a: Array, index: usize, v: u64) {
        self.words[self.at[a as usize] + index] = v;
    }

    /// Place of a word of a second entry.
    fn second_at(&self, a: Array, index: usize) -> usize {
        self.second + (index << (SECOND_SHIFT - 3)) + a as usize
    }

    /// RAM's host address of the byte at `linear`, if bytes up to `last` further may be accessed directly.
    #[inline(always)]
    pub fn hit(&self, a: Array, linear: u64, last: u64) -> Option<u64> {
        let i = self.index(linear);
        (linear ^ self.get(a, i) <= PAGE - 1 - last).then(|| linear.wrapping_add(self.get(Array::Delta, i)))
    }

    /// Makes the page of `linear` the first of its place, if it is there at all.
    pub fn bring(&mut self, linear: u64) -> bool {
        let key = linear & PAGE_MASK | HELD;
        let i = self.index(linear);
        if self.get(Array::Key, i) == key {
            return true;
        }
        if self.get(Array::Other, i) != key {
            return false;
        }
        self.exchange(i);
        true
    }

    /// Exchanges both entries of a place.
    fn exchange(&mut self, index: usize) {
        for (k, at) in self.at.into_iter().enumerate().filter(|(k, _)| !is_key(*k)) {
            let second = self.second + (index << (SECOND_SHIFT - 3)) + k;
            self.words.swap(at + index, second);
        }
        self.words.swap(self.at[Array::Key as usize] + index, self.at[Array::Other as usize] + index);
    }

    /// Makes room for the page of `linear` as the first of its place: what is there becomes the second.
    pub fn make_room(&mut self, linear: u64) {
        let i = self.index(linear);
        if !self.bring(linear) && self.get(Array::Key, i) != 0 {
            self.exchange(i);
            self.crowded = true;
        }
        if self.filled.len() <= FEW {
            self.filled.push(i as u32);
        }
    }

    /// Whether the tag at `index` allows direct access.
    fn is_direct(&self, a: Array, index: usize) -> bool {
        self.index(self.get(a, index)) == index
    }

    /// Sends accesses to the pages at `index` through the slow path.
    pub fn slow_down(&mut self, a: Array, index: usize) {
        if self.is_direct(a, index) {
            let tag = self.get(a, index);
            self.put(a, index, tag ^ SLOW);
        }
        if self.crowded {
            self.slow_down_second(a, index);
        }
    }

    fn slow_down_second(&mut self, a: Array, index: usize) {
        let at = self.second_at(a, index);
        if self.get(Array::Other, index) != 0 && self.index(self.words[at]) == index {
            self.words[at] ^= SLOW;
        }
    }

    fn empty(&mut self, index: usize) {
        for a in [Array::Read, Array::Write, Array::Execute] {
            self.put(a, index, none(index));
        }
        self.put(Array::Key, index, 0);
    }

    fn empty_second(&mut self, index: usize) {
        if self.crowded {
            self.put(Array::Other, index, 0);
        }
    }

    /// The places that may be filled, if they are known to be few.
    fn few(&self) -> Option<&[u32]> {
        (self.filled.len() <= FEW).then_some(&self.filled)
    }

    pub fn clear(&mut self) {
        let filled = std::mem::take(&mut self.filled);
        if filled.len() <= FEW {
            for &i in &filled {
                self.empty(i as usize);
                self.empty_second(i as usize);
            }
        } else {
            self.empty_all();
        }
        self.crowded = false;
        self.filled = filled;
        self.filled.clear();
    }

    fn empty_all(&mut self) {
        if !self.made {
            return;
        }
        for i in 0..self.size() {
            self.empty(i);
            self.empty_second(i);
        }
    }

    pub fn void_writes(&mut self) {
        if !self.made {
            return;
        }
        let (at, mask) = (self.at[Array::Write as usize], self.mask);
        for (i, tag) in self.words[at..=at + mask].iter_mut().enumerate() {
            // As `slow_down`, in a form that is done several at a time.
            *tag ^= if (*tag >> 12) as usize & mask == i { SLOW } else { 0 };
        }
        if self.crowded {
            (0..self.size()).for_each(|i| self.slow_down_second(Array::Write, i));
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
            let within = |key: u64| key != 0 && (key & PAGE_MASK).wrapping_sub(base) < pages * PAGE;
            for &i in &filled {
                let i = i as usize;
                if within(self.get(Array::Key, i)) {
                    self.empty(i);
                }
                if self.crowded && within(self.get(Array::Other, i)) {
                    self.empty_second(i);
                }
            }
            self.filled = filled;
        } else if pages >= self.size() as u64 {
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
        let key = linear & PAGE_MASK | HELD;
        let i = self.index(linear);
        if self.get(Array::Key, i) == key {
            self.empty(i);
        } else if self.crowded && self.get(Array::Other, i) == key {
            self.empty_second(i);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4;

    /// Enters a page that may be read and stored to directly.
    fn fill(t: &mut Table, page: u64) {
        t.make_room(page);
        let i = t.index(page);
        for a in [Array::Read, Array::Write] {
            t.put(a, i, page);
        }
        t.put(Array::Execute, i, none(i));
        t.put(Array::Delta, i, page / PAGE * 0x10_0000);
        t.put(Array::Key, i, page | HELD);
    }

    fn reads(t: &mut Table, page: u64) -> Option<u64> {
        t.bring(page);
        t.hit(Array::Read, page, 7)
    }

    #[test]
    fn two_pages_share_a_place_and_go_one_by_one() {
        let [a, b, c] = [5, 5 + SIZE, 5 + 2 * SIZE].map(|n| n * PAGE);
        let at = |page: u64| page + page / PAGE * 0x10_0000;
        let mut t = Table::new(SIZE as usize);
        fill(&mut t, a);
        fill(&mut t, b);
        for page in [a, b, a, b] {
            assert_eq!(reads(&mut t, page), Some(at(page)));
        }
        // A third one displaces what was used before the last.
        fill(&mut t, c);
        assert_eq!([a, b, c].map(|p| reads(&mut t, p)), [None, Some(at(b)), Some(at(c))]);
        // Dropped where it is, first or second; the other stays.
        for (dropped, kept) in [(b, c), (c, b)] {
            let mut t = Table::new(SIZE as usize);
            fill(&mut t, b);
            fill(&mut t, c);
            t.drop_range(dropped, 1);
            assert_eq!([dropped, kept].map(|p| reads(&mut t, p)), [None, Some(at(kept))]);
        }
        t.drop_range(b, 2);
        assert_eq!([b, c].map(|p| reads(&mut t, p)), [None, Some(at(c))]);
        fill(&mut t, b);
        t.clear();
        assert_eq!([b, c].map(|p| reads(&mut t, p)), [None, None]);
    }

    #[test]
    fn stores_to_both_pages_of_a_place_are_slowed_down() {
        let (a, b) = (2 * PAGE, (2 + SIZE) * PAGE);
        let slow: [fn(&mut Table); 2] = [|t| t.void_writes(), |t| t.slow_down(Array::Write, 2)];
        for slow in slow {
            let mut t = Table::new(SIZE as usize);
            fill(&mut t, a);
            fill(&mut t, b);
            slow(&mut t);
            for page in [a, b] {
                assert!(reads(&mut t, page).is_some());
                assert_eq!(t.hit(Array::Write, page, 0), None);
                assert_eq!(t.get(Array::Write, 2), page ^ SLOW);
            }
        }
    }
}
