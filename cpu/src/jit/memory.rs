//! Executable memory with two views of the same pages: code is written through one and run through the other, so no page
//! is ever writable and executable at the same address, and no system call is needed per block.
#![allow(unsafe_code)]

/// What the host fetches at once.
const LINE: usize = 32;

/// A large page of the host.
const LARGE: usize = 2 << 20;

/// After so many bytes the view for writing gives its pages back.
const WRITTEN: usize = 1 << 20;
/// As many a small write counts for.
const SMALL: usize = 256;

/// Where a piece of code lies: what runs often and what doesn't are apart, so that the first is dense.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Offset of the part that runs often.
    pub hot: usize,
    /// Its bytes.
    pub length: usize,
    /// Offset of the rest.
    pub cold: usize,
}

impl Site {
    /// The offset of what was at `at` when both parts were one.
    pub fn place(&self, at: usize) -> usize {
        if at < self.length { self.hot + at } else { self.cold + at - self.length }
    }

    /// Corrects the 32-bit displacement at `at` that leads from the first part to the second, or (not `forward`) back.
    pub fn lengthen(&self, bytes: &mut [u8], at: usize, forward: bool) {
        let further = (self.cold as i64 - (self.hot + self.length) as i64) as i32;
        let field = &mut bytes[at..at + 4];
        let old = i32::from_le_bytes(std::array::from_fn(|k| field[k]));
        let new = if forward { old.wrapping_add(further) } else { old.wrapping_sub(further) };
        field.copy_from_slice(&new.to_le_bytes());
    }
}

/// A fixed region of code memory, filled from both ends: by what runs often from the start. Emptied as a whole.
pub struct CodeMemory {
    write: *mut u8,
    run: *mut u8,
    len: usize,
    used: usize,
    /// Where what runs seldom begins.
    cold: usize,
    /// Up to here the host was asked for large pages.
    large: usize,
    /// Bytes written since the view for that gave its pages back.
    written: usize,
    /// What both views lie in, and its bytes.
    range: (*mut u8, usize),
}

// SAFETY: the mappings are owned by this value alone and carry no thread affinity.
unsafe impl Send for CodeMemory {}

impl CodeMemory {
    /// `len` bytes; `None` where the host does not allow it.
    #[cfg(target_os = "linux")]
    pub fn new(len: usize) -> Option<CodeMemory> {
        use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
        use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
        let len = len.max(1).checked_next_multiple_of(crate::memory::PAGE as usize)?;
        let fd = memfd_create("lucid86-code", MemfdFlags::CLOEXEC).ok()?;
        ftruncate(&fd, len as u64).ok()?;
        let bytes = len.checked_mul(2)?.checked_add(4 * LARGE)?;
        let (anywhere, nothing) = (std::ptr::null_mut(), ProtFlags::empty());
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { mmap_anonymous(anywhere, bytes, nothing, MapFlags::PRIVATE) };
        let mut memory = CodeMemory {
            write: std::ptr::null_mut(),
            run: std::ptr::null_mut(),
            len,
            used: 0,
            cold: len,
            large: 0,
            written: 0,
            range: (start.ok()?.cast(), bytes),
        };
        let map = |from: *mut u8, prot| {
            // SAFETY: `from` and the `len` bytes behind it lie in the range, which is ours and holds nothing yet.
            unsafe { mmap(from.cast(), len, prot, MapFlags::SHARED | MapFlags::FIXED, &fd, 0) }.ok()
        };
        let start = memory.range.0;
        let run = start.wrapping_add(start.align_offset(LARGE));
        // The view for writing is not aligned as large pages are: what is written now and then doesn't count as resident
        // with all that is around it.
        let write = run.wrapping_add(len.next_multiple_of(LARGE) + LARGE / 2);
        memory.run = map(run, ProtFlags::READ | ProtFlags::EXEC)?.cast();
        memory.write = map(write, ProtFlags::READ | ProtFlags::WRITE)?.cast();
        Some(memory)
    }

    /// No translator on this host yet.
    #[cfg(not(target_os = "linux"))]
    pub fn new(_: usize) -> Option<CodeMemory> {
        None
    }

    /// Forgets all code but the first `keep` bytes. Nothing may be running there.
    pub fn reset(&mut self, keep: usize) {
        (self.used, self.cold) = (keep, self.len);
    }

    /// Room for `hot` bytes, such that `entry` bytes behind their start a line of code begins, and for `cold` others; `None` when
    /// full.
    pub fn reserve(&mut self, hot: usize, cold: usize, entry: usize) -> Option<Site> {
        let at = (self.used + entry).next_multiple_of(LINE) - entry;
        // What is aligned to a word in the one buffer that both come from stays so.
        let low = self.cold.checked_sub(cold)?;
        let low = low.checked_sub(low.wrapping_sub(hot) & 7)?;
        if at + hot > low {
            return None;
        }
        (self.used, self.cold) = (at + hot, low);
        if self.used >= self.large + LARGE {
            self.enlarge();
        }
        Some(Site { hot: at, length: hot, cold: low })
    }

    /// Asks the host for large pages where code fills them: a kernel's code in pages of 4 KiB is more than the processor's
    /// TLB for code holds. What isn't granted stays as it is.
    fn enlarge(&mut self) {
        let to = self.used / LARGE * LARGE;
        #[cfg(target_os = "linux")]
        {
            let view = self.run.wrapping_add(self.large).cast();
            // SAFETY: within the mapping, which keeps its content.
            let _ = unsafe { libc::madvise(view, to - self.large, libc::MADV_COLLAPSE) };
        }
        self.large = to;
    }

    /// Writes code at an offset that `reserve` gave.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(at <= self.len && bytes.len() <= self.len - at);
        // SAFETY: in range by the assertion; the writable view is ours and nobody holds a reference into it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.write.add(at), bytes.len()) }
        self.written += bytes.len().max(SMALL);
        if self.written > WRITTEN {
            self.written = 0;
            #[cfg(target_os = "linux")]
            // SAFETY: within the mapping; a shared one's pages are still there, and come back as they are touched.
            let _ = unsafe { libc::madvise(self.write.cast(), self.len, libc::MADV_DONTNEED) };
        }
    }

    /// `n` bytes of code at an offset.
    pub fn read(&self, at: usize, n: usize) -> &[u8] {
        assert!(at <= self.len && n <= self.len - at);
        // SAFETY: in range by the assertion and mapped readable; code changes only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.write.add(at), n) }
    }

    /// The address at which the code at `at` runs.
    pub fn address(&self, at: usize) -> usize {
        self.run as usize + at
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        // SAFETY: the range was mapped in `new` with this length, views and all, and nothing runs there any more.
        unsafe {
            let _ = rustix::mm::munmap(self.range.0.cast(), self.range.1);
        }
    }
}

/// Zeros in a large page of the host, where it grants one: for tables that are looked up all over.
pub struct Zeros<T> {
    start: *mut T,
    len: usize,
    layout: std::alloc::Layout,
}

/// A type of which zero bytes are a value.
///
/// # Safety
/// They must be.
pub unsafe trait Zero: Copy {}

// SAFETY: owned by this value alone.
unsafe impl<T: Send> Send for Zeros<T> {}

impl<T: Zero> Zeros<T> {
    /// `len` values.
    pub fn new(len: usize) -> Option<Zeros<T>> {
        let layout = std::alloc::Layout::array::<T>(len).ok()?.align_to(LARGE).ok()?;
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the size is not zero.
        let start: *mut T = unsafe { std::alloc::alloc(layout) }.cast();
        if start.is_null() {
            return None;
        }
        #[cfg(target_os = "linux")]
        // SAFETY: the range is the allocation's own, whose content matters to nobody yet.
        let _ = unsafe { libc::madvise(start.cast(), layout.size(), libc::MADV_HUGEPAGE) };
        let mut zeros = Zeros { start, len, layout };
        zeros.clear();
        Some(zeros)
    }

    /// All zero again.
    pub fn clear(&mut self) {
        // SAFETY: the allocation has that many, and zero bytes are a value.
        unsafe { self.start.write_bytes(0, self.len) }
    }
}

impl<T: Zero> std::ops::Deref for Zeros<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `new` has made all of them.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Zero> std::ops::DerefMut for Zeros<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and they are ours alone.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Zeros<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.start.cast(), self.layout) }
    }
}
