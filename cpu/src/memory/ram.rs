//! The one host allocation behind everything in guest-physical space that has bytes: RAM, ROM images, video memory.
//!
//! Reached by `&self`: display threads and, later, processor threads read it while the guest writes, so there is never
//! a `&mut [u8]` or `&[u8]` over it. Zero until touched; untouched pages cost the host nothing.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Host memory with interior mutability. Offsets are bytes from its start; out-of-range offsets are our own mistake and
/// panic.
pub struct Ram {
    base: *mut u8,
    len: usize,
    /// Where the allocation starts, less than the alignment below `base`.
    start: *mut u8,
}

// SAFETY: the allocation is plain bytes; every access goes through raw pointers, never references, and racing accesses
// of the display thread read bytes whose value does not matter to memory safety.
unsafe impl Send for Ram {}
// SAFETY: as above.
unsafe impl Sync for Ram {}

/// Plain integers that guest memory can hold.
pub trait Word: Copy + Default {
    /// From up to eight bytes, zero-extended.
    fn to_u64(self) -> u64;
    /// Truncates.
    fn from_u64(v: u64) -> Self;
}
macro_rules! words { ($($t:ty),*) => { $(impl Word for $t {
    fn to_u64(self) -> u64 { self as u64 }
    fn from_u64(v: u64) -> Self { v as $t }
})* } }
words!(u8, u16, u32, u64);

const ALIGN: usize = 4096;
/// A large page of the host's, and from what size on they are asked for: a guest's random access misses the host's TLB less.
const HUGE: usize = 2 << 20;
const HUGE_FROM: usize = 64 << 20;
/// Bytes behind the end that exist but are nobody's: a word that starts in range needs no second comparison.
const SLACK: usize = 4096;

impl Ram {
    /// `len` zero bytes (rounded up to whole pages). `None` if the host refuses.
    pub fn new(len: usize) -> Option<Ram> {
        let len = len.max(1).next_multiple_of(ALIGN);
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(Ram::layout(len)?) };
        if start.is_null() {
            return None;
        }
        // SAFETY: less than the alignment is skipped, and the layout has that much more than it needs.
        let base = unsafe { start.add(start.align_offset(Ram::align(len))) };
        #[cfg(target_os = "linux")]
        if len >= HUGE_FROM {
            use rustix::mm::{Advice, madvise};
            // Advice: whether the host takes it changes nothing but speed.
            // SAFETY: the range is the allocation's own, and large pages hold the same bytes.
            let _ = unsafe { madvise(base.cast(), len, Advice::LinuxHugepage) };
        }
        Some(Ram { base, len, start })
    }

    /// Of the allocation. Aligned by hand: asked for a page's alignment, the standard allocator writes the zeros itself and
    /// so touches every page.
    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len.checked_add(SLACK + Ram::align(len))?, 16).ok()
    }

    fn align(len: usize) -> usize {
        if len >= HUGE_FROM { HUGE } else { ALIGN }
    }

    /// Size in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Start of the allocation, for TLB entries and translated code. Valid as long as `self`.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    #[inline(always)]
    fn check(&self, off: usize, n: usize) {
        assert!(off <= self.len && n <= self.len - off, "RAM access out of range");
    }

    #[inline(always)]
    fn check_word(&self, off: usize) {
        assert!(off < self.len, "RAM access out of range");
    }

    /// Reads a little-endian word, aligned or not. One that starts in the last bytes reads zeros behind the end.
    #[inline(always)]
    pub fn read<T: Word>(&self, off: usize) -> T {
        self.check_word(off);
        // SAFETY: it starts in range by the check, and SLACK bytes follow the range; unaligned read of plain bytes.
        unsafe { self.base.add(off).cast::<T>().read_unaligned() }
    }

    /// Writes a little-endian word. Marks nothing: stores by the guest and by chips go through [`super::Memory::store`].
    #[inline(always)]
    pub fn write<T: Word>(&self, off: usize, v: T) {
        self.check_word(off);
        // SAFETY: it starts in range by the check, and SLACK bytes follow the range; unaligned write of plain bytes.
        unsafe { self.base.add(off).cast::<T>().write_unaligned(v) }
    }

    /// Copies bytes out.
    pub fn copy_out(&self, off: usize, to: &mut [u8]) {
        self.check(off, to.len());
        // SAFETY: both ranges are valid; `to` is a Rust buffer, which cannot lie inside this allocation.
        unsafe { std::ptr::copy_nonoverlapping(self.base.add(off), to.as_mut_ptr(), to.len()) }
    }

    /// Copies bytes in. Marks nothing.
    pub fn copy_in(&self, off: usize, from: &[u8]) {
        self.check(off, from.len());
        // SAFETY: as in `copy_out`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.base.add(off), from.len()) }
    }
}

impl Ram {
    /// Sets `len` bytes to `v`. Marks nothing.
    pub fn fill(&self, off: usize, len: usize, v: u8) {
        self.check(off, len);
        // SAFETY: the range is valid.
        unsafe { std::ptr::write_bytes(self.base.add(off), v, len) }
    }

    /// Copies `len` bytes inside, as if through a buffer. Marks nothing.
    pub fn copy_within(&self, from: usize, to: usize, len: usize) {
        self.check(from, len);
        self.check(to, len);
        // SAFETY: both ranges are valid; `copy` allows them to overlap.
        unsafe { std::ptr::copy(self.base.add(from), self.base.add(to), len) }
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        let Some(layout) = Ram::layout(self.len) else { return };
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start, layout) }
    }
}
