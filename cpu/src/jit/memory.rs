//! Executable memory with two views of the same pages: code is written through one and run through the other, so no page
//! is ever writable and executable at the same address, and no system call is needed per block.
#![allow(unsafe_code)]

/// What the host fetches at once.
const LINE: usize = 32;

/// A large page of the host.
const LARGE: usize = 2 << 20;

/// A fixed region of code memory, filled from its start; emptied as a whole.
pub struct CodeMemory {
    write: *mut u8,
    run: *mut u8,
    len: usize,
    used: usize,
    /// Up to here the host was asked for large pages.
    large: usize,
}

// SAFETY: the two mappings are owned by this value alone and carry no thread affinity.
unsafe impl Send for CodeMemory {}

impl CodeMemory {
    /// `len` bytes; `None` where the host does not allow it.
    #[cfg(target_os = "linux")]
    pub fn new(len: usize) -> Option<CodeMemory> {
        use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let fd = memfd_create("lucid86-code", MemfdFlags::CLOEXEC).ok()?;
        ftruncate(&fd, len as u64).ok()?;
        let map = |prot| {
            // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
            unsafe { mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, &fd, 0) }.ok()
        };
        let write = map(ProtFlags::READ | ProtFlags::WRITE)?.cast();
        let run = map(ProtFlags::READ | ProtFlags::EXEC)?.cast();
        Some(CodeMemory { write, run, len, used: 0, large: 0 })
    }

    /// No translator on this host yet.
    #[cfg(not(target_os = "linux"))]
    pub fn new(_: usize) -> Option<CodeMemory> {
        None
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Forgets all code from `keep` on. Nothing may be running there.
    pub fn reset(&mut self, keep: usize) {
        self.used = keep;
    }

    /// Room for `n` bytes, as an offset such that `entry` bytes behind it a line of code begins; `None` when full.
    pub fn reserve(&mut self, n: usize, entry: usize) -> Option<usize> {
        let at = (self.used + entry).next_multiple_of(LINE) - entry;
        if n > self.len.checked_sub(at)? {
            return None;
        }
        self.used = at + n;
        if self.used >= self.large + LARGE {
            self.enlarge();
        }
        Some(at)
    }

    /// Asks the host for large pages where code fills them: a kernel's code in pages of 4 KiB is more than the processor's
    /// TLB for code holds. What isn't granted stays as it is.
    fn enlarge(&mut self) {
        let to = self.used / LARGE * LARGE;
        #[cfg(target_os = "linux")]
        for view in [self.write, self.run] {
            // SAFETY: within the mapping, which keeps its content.
            let _ =
                unsafe { libc::madvise(view.add(self.large).cast(), to - self.large, libc::MADV_COLLAPSE) };
        }
        self.large = to;
    }

    /// Writes code at an offset that `reserve` gave.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(at <= self.len && bytes.len() <= self.len - at);
        // SAFETY: in range by the assertion; the writable view is ours and nobody holds a reference into it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.write.add(at), bytes.len()) }
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
        // SAFETY: both were mapped in `new` with this length and nothing runs there any more.
        unsafe {
            let _ = rustix::mm::munmap(self.write.cast(), self.len);
            let _ = rustix::mm::munmap(self.run.cast(), self.len);
        }
    }
}
