//! Loads and stores at linear addresses, as methods of [`Exec`].
//!
//! The hit path is one probe of the TLB's hot table. Everything else (walks, page crossings, chips, ROM, marked frames,
//! data breakpoints) is out of line. Every page of an access is checked before any byte moves.

use super::space;
use super::table::Array;
use super::{Access, View, breakpoint};
use crate::fault::Fault;
use crate::memory::{Memory, PAGE, Place, Touch, Word, mark};
use crate::model::Generation;
use crate::state::{cr4, efer, flag};
use crate::{Cpu, Exec};

const OFFSET: u64 = PAGE - 1;

/// Marks a "linear address" whose access wraps inside its segment, as only an 8086 does: bits 39:32 hold how many bytes
/// come before the wrap, bits 20:0 the address. No canonical address has bits 63:62 = 01.
pub(super) const WRAPS: u64 = 1 << 62;

/// A destination that was checked for writing (both pages of a crossing), for read-modify-write instructions.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct WriteHandle {
    /// Offset in RAM, or `SLOW_HANDLE`.
    at: usize,
    split: Split,
}

const SLOW_HANDLE: usize = usize::MAX;

/// Physical addresses of the one or two pieces of an access.
#[derive(Clone, Copy, Debug, Default)]
struct Split {
    phys: [u64; 2],
    /// Bytes in the first piece.
    first: usize,
}

/// The view of the processor's own accesses.
pub(crate) fn own_view(cpu: &Cpu) -> View {
    if cpu.cpl == 3 {
        View::User
    } else if cpu.rflags & flag::AC != 0 && cpu.cr4 & cr4::SMAP != 0 {
        View::SupervisorAc
    } else {
        View::Supervisor
    }
}

impl Exec<'_> {
    /// Loads a word. `linear` comes from [`Exec::linear`].
    #[inline(always)]
    pub fn load<T: Word>(&mut self, linear: u64) -> Result<T, Fault> {
        if let Some(at) = self.derived.tlb.hit_read(linear, size_of::<T>() as u64 - 1) {
            return Ok(self.mem.ram.read(at));
        }
        self.load_slow(linear, size_of::<T>()).map(T::from_u64)
    }

    /// Stores a word.
    #[inline(always)]
    pub fn store<T: Word>(&mut self, linear: u64, v: T) -> Result<(), Fault> {
        if let Some(at) = self.derived.tlb.hit_write(linear, size_of::<T>() as u64 - 1) {
            self.mem.ram.write(at, v);
            return Ok(());
        }
        self.store_slow(linear, size_of::<T>(), v.to_u64())
    }

    /// Checks `len` bytes (1 to 4096) for writing. Nothing of memory changes except accessed and dirty bits.
    #[inline(always)]
    pub fn probe_write(&mut self, linear: u64, len: usize) -> Result<WriteHandle, Fault> {
        if let Some(at) = self.derived.tlb.hit_write(linear, len as u64 - 1) {
            return Ok(WriteHandle { at, split: Split::default() });
        }
        self.probe_slow(linear, len)
    }

    /// Loads from a probed destination.
    #[inline(always)]
    pub fn load_probed<T: Word>(&mut self, h: &WriteHandle) -> T {
        if h.at != SLOW_HANDLE {
            return self.mem.ram.read(h.at);
        }
        T::from_u64(self.read_split(&h.split, size_of::<T>()))
    }

    /// Stores to a probed destination.
    #[inline(always)]
    pub fn store_probed<T: Word>(&mut self, h: &WriteHandle, v: T) {
        if h.at != SLOW_HANDLE {
            self.mem.ram.write(h.at, v);
            return;
        }
        self.write_split(&h.split, size_of::<T>(), v.to_u64());
    }

    /// Stores bytes to a probed destination.
    pub fn store_probed_bytes(&mut self, h: &WriteHandle, from: &[u8]) {
        if h.at != SLOW_HANDLE {
            self.mem.ram.copy_in(h.at, from);
            return;
        }
        let n = h.split.first.min(from.len());
        self.write_bytes(h.split.phys[0], &from[..n]);
        if n < from.len() {
            self.write_bytes(h.split.phys[1], &from[n..]);
        }
        self.settle();
    }

    /// Loads up to 4096 bytes.
    #[inline]
    pub fn load_bytes(&mut self, linear: u64, to: &mut [u8]) -> Result<(), Fault> {
        if to.is_empty() {
            return Ok(());
        }
        if let Some(at) = self.derived.tlb.hit_read(linear, to.len() as u64 - 1) {
            self.mem.ram.copy_out(at, to);
            return Ok(());
        }
        let view = own_view(self.cpu);
        self.load_bytes_view(linear, to, view)
    }

    /// Stores up to 4096 bytes.
    #[inline]
    pub fn store_bytes(&mut self, linear: u64, from: &[u8]) -> Result<(), Fault> {
        if from.is_empty() {
            return Ok(());
        }
        let h = self.probe_write(linear, from.len())?;
        self.store_probed_bytes(&h, from);
        Ok(())
    }

    /// Loads as an implicit supervisor access: descriptor tables, TSS, stacks of a higher privilege level.
    pub fn load_system<T: Word>(&mut self, linear: u64) -> Result<T, Fault> {
        let linear = self.system_address(linear)?;
        self.load_view(linear, View::Supervisor)
    }

    /// Stores as an implicit supervisor access.
    pub fn store_system<T: Word>(&mut self, linear: u64, v: T) -> Result<(), Fault> {
        let linear = self.system_address(linear)?;
        self.store_view(linear, v, View::Supervisor)
    }

    /// Loads bytes as an implicit supervisor access.
    pub fn load_bytes_system(&mut self, linear: u64, to: &mut [u8]) -> Result<(), Fault> {
        let linear = self.system_address(linear)?;
        self.load_bytes_view(linear, to, View::Supervisor)
    }

    /// Checks bytes for an implicit supervisor access without moving any.
    pub fn probe_system(&mut self, linear: u64, len: usize, access: Access) -> Result<(), Fault> {
        self.probe_view(linear, len, access, View::Supervisor)
    }

    /// Checks bytes with the rights of a given view without moving any.
    pub fn probe_view(&mut self, linear: u64, len: usize, access: Access, view: View) -> Result<(), Fault> {
        let linear = self.system_address(linear)?;
        self.split(linear, len.max(1), access, view).map(|_| ())
    }

    /// Loads a word with the rights of a given view from RAM, if it lies in a page that may be read as it is.
    pub(crate) fn load_direct<T: Word>(&self, linear: u64, view: View) -> Option<T> {
        let at = self.derived.tlb.hit_in(view, Array::Read, linear, size_of::<T>() as u64 - 1)?;
        Some(self.mem.ram.read(at))
    }

    /// Loads a word with the rights of a given view (a stack of the privilege level that an interrupt enters).
    pub fn load_view<T: Word>(&mut self, linear: u64, view: View) -> Result<T, Fault> {
        if let Some(v) = self.load_direct(linear, view) {
            return Ok(v);
        }
        let s = self.split(linear, size_of::<T>(), Access::Read, view)?;
        Ok(T::from_u64(self.read_split(&s, size_of::<T>())))
    }

    /// Stores a word with the rights of a given view to RAM, if it lies in a page that may be written as it is.
    pub(crate) fn store_direct<T: Word>(&mut self, linear: u64, v: T, view: View) -> bool {
        let at = self.derived.tlb.hit_in(view, Array::Write, linear, size_of::<T>() as u64 - 1);
        at.inspect(|at| self.mem.ram.write(*at, v)).is_some()
    }

    /// Stores a word with the rights of a given view.
    pub fn store_view<T: Word>(&mut self, linear: u64, v: T, view: View) -> Result<(), Fault> {
        if self.store_direct(linear, v, view) {
            return Ok(());
        }
        let s = self.split(linear, size_of::<T>(), Access::Write, view)?;
        self.write_split(&s, size_of::<T>(), v.to_u64());
        Ok(())
    }

    /// Stores bytes with the rights of a given view; all are checked first.
    pub(crate) fn store_bytes_view(&mut self, linear: u64, from: &[u8], view: View) -> Result<(), Fault> {
        if !from.is_empty()
            && let Some(at) = self.derived.tlb.hit_in(view, Array::Write, linear, from.len() as u64 - 1)
        {
            self.mem.ram.copy_in(at, from);
            return Ok(());
        }
        let split = self.split(linear, from.len(), Access::Write, view)?;
        self.store_probed_bytes(&WriteHandle { at: SLOW_HANDLE, split }, from);
        Ok(())
    }

    /// Where the instruction byte at `linear` lies: the physical address (A20 applied) and what answers reads there.
    #[inline]
    pub fn fetch_page(&mut self, linear: u64) -> Result<(u64, Place), Fault> {
        if let Some(at) = self.derived.tlb.hit_execute(linear) {
            let frame = (at as u64 / PAGE) as u32;
            // The physical address is only of interest for chips.
            return Ok((at as u64, Place::Frame(frame)));
        }
        let view = own_view(self.cpu);
        self.derived.tlb.activate(self.cpu, view);
        let phys = self.translate(linear, Access::Execute, view)?;
        let phys = self.mem.mask(phys);
        Ok((phys, self.mem.read_place(phys / PAGE)))
    }

    /// Reads instruction bytes wherever they lie, chips included; stops before the page at which a fetch faults and
    /// returns how many were read, or the fault if there are none.
    pub fn fetch_bytes(&mut self, linear: u64, to: &mut [u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while done < to.len() {
            let at = self.next_linear(linear, done as u64);
            let n = (to.len() - done).min((PAGE - (at & OFFSET)) as usize);
            match self.fetch_page(at) {
                Ok((_, Place::Frame(f))) => {
                    let from = f as usize * PAGE as usize + (at & OFFSET) as usize;
                    self.mem.ram.copy_out(from, &mut to[done..done + n]);
                }
                Ok((phys, _)) => {
                    for i in 0..n {
                        to[done + i] = self.read_piece(phys + i as u64, 1) as u8;
                    }
                }
                Err(f) if done == 0 => return Err(f),
                Err(_) => break,
            }
            done += n;
        }
        Ok(done)
    }

    /// CR0, CR3, CR4, EFER, the PDPTEs or SMM may have changed.
    pub fn space_changed(&mut self) {
        self.derived.tlb.space_changed();
        self.view_changed();
    }

    /// CPL or EFLAGS.AC may have changed.
    pub fn view_changed(&mut self) {
        let view = own_view(self.cpu);
        self.derived.tlb.switch_view(self.cpu, view);
        self.derived.outer_ran |= self.cpu.cpl == 3;
        self.mode_event();
    }

    /// To be called when a run starts: another processor may have run, memory's map and epoch may have changed, devices
    /// may have stored to page tables and code.
    pub fn begin(&mut self) {
        self.begin_watch();
        self.derived.tlb.space_changed();
        self.after_board();
        self.derived.attention = true;
    }

    /// To be called after each call into the board: the map may have changed and bus masters may have stored. Most
    /// accesses to chips bring nothing that has to be dealt with before the next instruction; then none is asked for.
    #[inline]
    pub fn after_board(&mut self) {
        self.cpu.intr = self.board.interrupt_line(self.cpu.index);
        // With interrupts off what turns them on looks at the line.
        if self.cpu.intr && self.cpu.rflags & flag::IF != 0 || self.board.slice_must_end() {
            self.derived.attention = true;
        }
        self.derived.tlb.sync(self.mem);
        if self.mem.has_touched() {
            self.derived.watch.set_in_bus(true);
            self.settle();
            self.derived.watch.set_in_bus(false);
        }
    }

    /// Deals with stores that hit marked frames: drops what was derived from the bytes.
    #[inline]
    pub fn settle(&mut self) {
        if self.mem.has_touched() {
            self.settle_touched();
        }
    }

    #[cold]
    fn settle_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.derived.touch_buffer);
        self.mem.swap_touched(&mut touched);
        for t in touched.drain(..) {
            self.settle_one(t);
        }
        self.derived.touch_buffer = touched;
    }

    fn settle_one(&mut self, t: Touch) {
        if t.marks & mark::WALKED != 0 {
            self.derived.tlb.page_table_stored(self.mem, t.frame, t.start, t.end);
        }
        if t.marks & mark::CODE != 0 {
            self.derived.code_touched.push(t);
        }
        if t.marks & mark::WATCHED != 0 && self.derived.watch.in_bus() {
            self.derived.watch.note_bus(self.mem, &t);
        }
    }

    /// Brings the page of `linear` into the TLB for an access with the rights of `view`, and moves no bytes.
    pub fn prefetch(&mut self, linear: u64, access: Access, view: View) -> Result<(), Fault> {
        self.derived.tlb.activate(self.cpu, view);
        let phys = self.translate(linear, access, view)?;
        if access == Access::Write
            && let Place::Frame(f) = self.mem.write_place(self.mem.mask(phys) / PAGE)
        {
            self.derived.tlb.upgrade_write(self.cpu, self.mem, linear, f, view);
        }
        Ok(())
    }

    /// The frame that stores to the page of `linear` go to, if they may go there in a row: memory that has no mark but
    /// that of a page table, nobody's breakpoint, and no table of its own translation (whose change the next store
    /// of the row would have to notice).
    pub(crate) fn table_for_row(&mut self, linear: u64) -> Option<u32> {
        if self.cpu.dr7 & 0xff != 0 || self.derived.watch.has_data() {
            return None;
        }
        let view = own_view(self.cpu);
        let phys = self.translate(linear, Access::Write, view).ok()?;
        let Place::Frame(frame) = self.mem.write_place(self.mem.mask(phys) / PAGE) else { return None };
        if self.mem.marks(frame) != mark::WALKED {
            return None;
        }
        let space = self.derived.tlb.space(self.cpu);
        // All accessed and dirty bits are set by now.
        let w = space::walk(self.mem, &space, linear, Access::Write, view).ok()?;
        (!w.steps[..w.count].iter().any(|s| s.frame == frame)).then_some(frame)
    }

    /// Stores a row of bytes in a frame that [`Exec::table_for_row`] gave.
    pub(crate) fn store_row(&mut self, frame: u32, start: usize, row: &[u8]) {
        self.mem.store(frame, start, row);
        self.settle();
    }

    /// Translates `linear` with the rights of `view`, filling the TLB. The physical address is not yet masked by A20.
    pub fn translate(&mut self, linear: u64, access: Access, view: View) -> Result<u64, Fault> {
        if let Some(found) = self.derived.tlb.find(self.cpu, linear, access, view) {
            return Ok(found.phys | (linear & OFFSET));
        }
        let space = self.derived.tlb.space(self.cpu);
        let fault = |code| Fault::pf(linear, code);
        let mut known = None;
        if let Some(last) = self.derived.tlb.near(self.cpu, linear) {
            let w = space::walk_last(self.mem, &space, linear, access, view, last);
            // The walk's own stores may have hit code.
            self.settle();
            let w = w.map_err(fault)?;
            known = self.derived.tlb.note_near(self.cpu, linear, &w).then_some(w);
        }
        let w = match known {
            Some(w) => w,
            None => {
                let w = space::walk(self.mem, &space, linear, access, view);
                self.settle();
                let w = w.map_err(fault)?;
                self.derived.tlb.note_walk(self.cpu, self.mem, linear, &w);
                w
            }
        };
        let rights = (
            w.allows(&space, Access::Read, view),
            w.dirty && w.allows(&space, Access::Write, view),
            w.allows(&space, Access::Execute, view),
        );
        let watched = breakpoint::page_watched(self.cpu, linear) || self.watched_by_debugger(linear, w.phys);
        self.derived.tlb.install(self.cpu, self.mem, linear, w.phys, view, rights, watched);
        Ok(w.phys | (linear & OFFSET))
    }

    /// Whether a debugger watches bytes in the page of `linear`.
    #[inline]
    fn watched_by_debugger(&mut self, linear: u64, phys: u64) -> bool {
        self.derived.watch.has_data() && self.watched_page(linear, phys)
    }

    #[cold]
    fn watched_page(&mut self, linear: u64, phys: u64) -> bool {
        let phys = self.mem.mask(phys);
        let watched = self.derived.watch.page_watched(linear, phys);
        if watched
            && let Place::Frame(f) = self.mem.write_place(phys / PAGE)
            && let Some(f) = self.derived.watch.page_found(linear, f)
        {
            self.derived.tlb.mark_frame(self.mem, f, mark::WATCHED);
        }
        watched
    }

    /// Tells the debugger of an access to bytes that it may watch.
    #[cold]
    fn note_watched(&mut self, linear: u64, n: usize, s: &Split, access: Access) {
        let (rip, first) = (self.cpu.rip, s.first.min(n));
        let phys = s.phys.map(|p| self.mem.mask(p));
        self.derived.watch.note(rip, linear, phys[0], first as u64, access);
        if n > first {
            let next = self.next_linear(linear, first as u64);
            self.derived.watch.note(rip, next, phys[1], (n - first) as u64, access);
        }
        if self.derived.watch.hit() {
            self.derived.attention = true;
        }
    }

    /// `linear + n` as the mode wraps it.
    fn next_linear(&self, linear: u64, n: u64) -> u64 {
        let at = linear.wrapping_add(n);
        if self.cpu.msr.efer & efer::LMA != 0 { at } else { at & 0xffff_ffff }
    }

    fn system_address(&self, linear: u64) -> Result<u64, Fault> {
        if self.cpu.msr.efer & efer::LMA == 0 {
            return Ok(linear & 0xffff_ffff);
        }
        if super::is_canonical(linear, self.cpu.cr4 & cr4::LA57 != 0) {
            Ok(linear)
        } else {
            Err(Fault::gp(0))
        }
    }

    /// Whether more than its translation hangs on a data access at `linear`: breakpoints, or an 8086's wrap.
    #[inline(always)]
    fn overseen(&self, linear: u64) -> bool {
        let wraps = linear & (3 << 62) == WRAPS && self.cpu.model.generation == Generation::I8086;
        wraps || self.cpu.dr7 & 0xff != 0 || self.derived.watch.has_data()
    }

    #[inline]
    fn split(&mut self, linear: u64, n: usize, access: Access, view: View) -> Result<Split, Fault> {
        if linear & (3 << 62) == WRAPS && self.cpu.model.generation == Generation::I8086 {
            let before = (linear >> 32 & 0xff) as usize;
            let start = linear & 0x1f_ffff;
            let base = (start + before as u64).wrapping_sub(0x1_0000) & 0x1f_ffff;
            return Ok(Split { phys: [start, base], first: before });
        }
        let within = (PAGE - (linear & OFFSET)) as usize;
        let first = self.translate(linear, access, view)?;
        let mut s = Split { phys: [first, 0], first: n };
        if n > within {
            let next = self.next_linear(linear, within as u64);
            s.phys[1] = self.translate(next, access, view)?;
            s.first = within;
        }
        if self.cpu.dr7 & 0xff != 0 && access != Access::Execute {
            breakpoint::note(self.cpu, linear, n as u64, access);
        }
        if self.derived.watch.has_data() && access != Access::Execute {
            self.note_watched(linear, n, &s, access);
        }
        Ok(s)
    }

    #[cold]
    #[inline(never)]
    fn load_slow(&mut self, linear: u64, n: usize) -> Result<u64, Fault> {
        let view = own_view(self.cpu);
        self.derived.tlb.activate(self.cpu, view);
        let s = self.split(linear, n, Access::Read, view)?;
        Ok(self.read_split(&s, n))
    }

    #[cold]
    #[inline(never)]
    fn store_slow(&mut self, linear: u64, n: usize, v: u64) -> Result<(), Fault> {
        if linear & OFFSET <= PAGE - n as u64 && !self.overseen(linear) {
            let view = own_view(self.cpu);
            self.derived.tlb.activate(self.cpu, view);
            let phys = self.translate(linear, Access::Write, view)?;
            let place = self.mem.write_place(self.mem.mask(phys) / PAGE);
            if let Place::Frame(f) = place {
                self.derived.tlb.upgrade_write(self.cpu, self.mem, linear, f, view);
            }
            self.write_place(phys, place, n, v);
            self.settle();
            return Ok(());
        }
        let h = self.probe_slow(linear, n)?;
        self.write_split(&h.split, n, v);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn probe_slow(&mut self, linear: u64, n: usize) -> Result<WriteHandle, Fault> {
        let view = own_view(self.cpu);
        self.derived.tlb.activate(self.cpu, view);
        let split = self.split(linear, n, Access::Write, view)?;
        if split.first == n {
            let phys = self.mem.mask(split.phys[0]);
            if let Place::Frame(f) = self.mem.write_place(phys / PAGE) {
                self.derived.tlb.upgrade_write(self.cpu, self.mem, linear, f, view);
            }
        }
        Ok(WriteHandle { at: SLOW_HANDLE, split })
    }

    /// The chip that all of an access of `n` bytes at `linear` goes to, and the physical address, if the translation is
    /// known and nothing else looks at the access.
    fn chip_at(&mut self, linear: u64, n: u64, access: Access) -> Option<(u16, u64)> {
        if linear & OFFSET > PAGE - n || self.overseen(linear) {
            return None;
        }
        let found = self.derived.tlb.find(self.cpu, linear, access, own_view(self.cpu))?;
        let phys = self.mem.mask(found.phys | linear & OFFSET);
        let place = match access {
            Access::Write => self.mem.write_place(phys / PAGE),
            _ => self.mem.read_place(phys / PAGE),
        };
        match place {
            Place::Chip(region) => Some((region, phys)),
            _ => None,
        }
    }

    /// Loads `n` bytes (1, 2, 4, 8) if they are a chip's; `None`, and nothing has happened, if that is not known.
    pub(crate) fn load_chip(&mut self, linear: u64, n: u64) -> Option<u64> {
        let (region, phys) = self.chip_at(linear, n, Access::Read)?;
        let v = self.board.chip_read(self.mem, self.moment(), region, phys, n as u8);
        self.after_board();
        Some(v & !0 >> (64 - 8 * n))
    }

    /// Stores the low `n` bytes (1, 2, 4, 8) of `v` if they go to a chip; `None`, and nothing has happened, if that is not
    /// known.
    pub(crate) fn store_chip(&mut self, linear: u64, n: u64, v: u64) -> Option<()> {
        let (region, phys) = self.chip_at(linear, n, Access::Write)?;
        let v = v & !0 >> (64 - 8 * n);
        self.board.chip_write(self.mem, self.moment(), region, phys, n as u8, v);
        self.after_board();
        Some(())
    }

    fn load_bytes_view(&mut self, linear: u64, to: &mut [u8], view: View) -> Result<(), Fault> {
        if !to.is_empty()
            && let Some(at) = self.derived.tlb.hit_in(view, Array::Read, linear, to.len() as u64 - 1)
        {
            self.mem.ram.copy_out(at, to);
            return Ok(());
        }
        let s = self.split(linear, to.len(), Access::Read, view)?;
        let n = s.first.min(to.len());
        let (head, tail) = to.split_at_mut(n);
        self.read_bytes(s.phys[0], head);
        self.read_bytes(s.phys[1], tail);
        Ok(())
    }

    fn read_split(&mut self, s: &Split, n: usize) -> u64 {
        if s.first >= n {
            return self.read_piece(s.phys[0], n);
        }
        let low = self.read_odd(s.phys[0], s.first);
        low | self.read_odd(s.phys[1], n - s.first) << (8 * s.first)
    }

    fn write_split(&mut self, s: &Split, n: usize, v: u64) {
        if s.first >= n {
            self.write_piece(s.phys[0], n, v);
        } else {
            self.write_odd(s.phys[0], s.first, v);
            self.write_odd(s.phys[1], n - s.first, v >> (8 * s.first));
        }
        self.settle();
    }

    /// Reads `n` bytes (1 to 7) in pieces that a bus knows.
    fn read_odd(&mut self, phys: u64, n: usize) -> u64 {
        let (mut v, mut at) = (0, 0);
        while at < n {
            let piece = largest_piece(n - at);
            v |= self.read_piece(phys + at as u64, piece) << (8 * at);
            at += piece;
        }
        v
    }

    fn write_odd(&mut self, phys: u64, n: usize, v: u64) {
        let mut at = 0;
        while at < n {
            let piece = largest_piece(n - at);
            self.write_piece(phys + at as u64, piece, v >> (8 * at));
            at += piece;
        }
    }

    /// Reads 1, 2, 4 or 8 bytes inside a page.
    fn read_piece(&mut self, phys: u64, n: usize) -> u64 {
        let phys = self.mem.mask(phys);
        match self.mem.read_place(phys / PAGE) {
            Place::Frame(f) => read_ram(self.mem, f as usize * PAGE as usize + (phys & OFFSET) as usize, n),
            Place::Chip(region) => {
                let at = self.moment();
                let v = self.board.chip_read(self.mem, at, region, phys, n as u8);
                self.after_board();
                if n == 8 { v } else { v & ((1 << (8 * n)) - 1) }
            }
            Place::Unmapped => !0 >> (64 - 8 * n),
        }
    }

    /// Writes 1, 2, 4 or 8 bytes inside a page. The caller settles.
    fn write_piece(&mut self, phys: u64, n: usize, v: u64) {
        let place = self.mem.write_place(self.mem.mask(phys) / PAGE);
        self.write_place(phys, place, n, v);
    }

    /// The same, where `place` is known to answer.
    #[inline(always)]
    fn write_place(&mut self, phys: u64, place: Place, n: usize, v: u64) {
        let phys = self.mem.mask(phys);
        let start = (phys & OFFSET) as usize;
        match place {
            Place::Frame(f) => match n {
                1 => self.mem.store_word(f, start, v as u8),
                2 => self.mem.store_word(f, start, v as u16),
                4 => self.mem.store_word(f, start, v as u32),
                _ => self.mem.store_word(f, start, v),
            },
            Place::Chip(region) => {
                let at = self.moment();
                let v = if n == 8 { v } else { v & ((1 << (8 * n)) - 1) };
                self.board.chip_write(self.mem, at, region, phys, n as u8, v);
                self.after_board();
            }
            Place::Unmapped => {}
        }
    }

    /// Reads bytes inside a page.
    fn read_bytes(&mut self, phys: u64, to: &mut [u8]) {
        if to.is_empty() {
            return;
        }
        let masked = self.mem.mask(phys);
        if let Place::Frame(f) = self.mem.read_place(masked / PAGE) {
            self.mem.ram.copy_out(f as usize * PAGE as usize + (masked & OFFSET) as usize, to);
            return;
        }
        let mut at = 0;
        while at < to.len() {
            let n = bus_piece(phys + at as u64, to.len() - at);
            let v = self.read_piece(phys + at as u64, n);
            to[at..at + n].copy_from_slice(&v.to_le_bytes()[..n]);
            at += n;
        }
    }

    /// Writes bytes inside a page. The caller settles.
    fn write_bytes(&mut self, phys: u64, from: &[u8]) {
        if from.is_empty() {
            return;
        }
        let masked = self.mem.mask(phys);
        if let Place::Frame(f) = self.mem.write_place(masked / PAGE) {
            self.mem.store(f, (masked & OFFSET) as usize, from);
            return;
        }
        let mut at = 0;
        while at < from.len() {
            let n = bus_piece(phys + at as u64, from.len() - at);
            let mut bytes = [0; 8];
            bytes[..n].copy_from_slice(&from[at..at + n]);
            self.write_piece(phys + at as u64, n, u64::from_le_bytes(bytes));
            at += n;
        }
    }
}

fn read_ram(mem: &Memory, at: usize, n: usize) -> u64 {
    match n {
        1 => u64::from(mem.ram.read::<u8>(at)),
        2 => u64::from(mem.ram.read::<u16>(at)),
        4 => u64::from(mem.ram.read::<u32>(at)),
        _ => mem.ram.read::<u64>(at),
    }
}

/// The largest power of two up to 8 and up to `n`.
fn largest_piece(n: usize) -> usize {
    1 << n.min(8).ilog2()
}

/// As [`largest_piece`], and aligned at `phys`.
fn bus_piece(phys: u64, n: usize) -> usize {
    largest_piece(n).min(1 << (phys | 8).trailing_zeros())
}
