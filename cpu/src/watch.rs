//! What a debugger watches: code addresses, bytes of memory, and events of the processor. DESIGN §6: it changes what is
//! cached, not what is executed. Part of [`Derived`], never saved.
//!
//! - A block with an instruction at a breakpoint's offset in its page, whatever page that is, isn't translated and nothing
//!   links to it, so that it is entered only by way of the engine's look-up; [`Watch::code`] says whether it is the
//!   breakpoint's page, and then it runs up to the breakpoint. All other blocks run as ever.
//! - A page with watched bytes never hits in the TLB, so that [`Watch::note`] sees every access. Frames are marked too:
//!   stores by bus masters are seen, and named as such.
//! - Events are noted by the helpers that cause them.
//!
//! A hit ends the slice with [`Stop::Debug`](crate::exec::Stop) after the instruction (before it, for code).
//! Not here: conditions, counts and names; they belong to the machine's debugger.

use crate::derived::Derived;
use crate::memory::{Memory, PAGE, Place, Touch, mark};
use crate::mmu::Access;
use crate::state::{attr, cr0, efer, flag};
use crate::{Cpu, Exec};
use std::collections::HashMap;

/// Most hits that one instruction reports.
const MOST_HITS: usize = 64;

/// Watched bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// First byte: a linear or (`physical`) physical address.
    pub at: u64,
    /// How many, at least one.
    pub len: u64,
    /// Physical: whoever accesses them by whatever linear address.
    pub physical: bool,
    /// Loads count.
    pub read: bool,
    /// Stores count.
    pub write: bool,
}

impl Bytes {
    fn meets(&self, at: u64, n: u64) -> bool {
        at <= self.at.wrapping_add(self.len - 1) && self.at <= at.wrapping_add(n.max(1) - 1)
    }
    fn meets_page(&self, page: u64) -> bool {
        self.meets(page * PAGE, PAGE)
    }
    fn wants(&self, write: bool) -> bool {
        if write { self.write } else { self.read }
    }
}

/// The events of the processor that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Exceptions and interrupts, by vector.
    pub vectors: [u64; 4],
    /// Ports: first and last.
    pub ports: Vec<(u16, u16)>,
    /// Model-specific registers: first and last.
    pub msrs: Vec<(u32, u32)>,
    /// Control registers written, a bit each.
    pub cr: u16,
    /// Debug registers accessed, a bit each.
    pub dr: u8,
    /// Changes of the processor's mode.
    pub mode: bool,
    /// Task switches.
    pub task: bool,
}

impl Wanted {
    /// Adds a vector.
    pub fn vector(&mut self, v: u8) {
        self.vectors[usize::from(v >> 6)] |= 1 << (v & 63);
    }
}

/// Modes as far as code is concerned.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Real,
    V86,
    Protected,
    Compatibility,
    Long,
    Smm,
}

impl Mode {
    /// The mode that a processor is in.
    pub fn of(cpu: &Cpu) -> Mode {
        let long = cpu.msr.efer & efer::LMA != 0;
        match () {
            () if cpu.smm => Mode::Smm,
            () if cpu.cr0 & cr0::PE == 0 => Mode::Real,
            () if long && cpu.seg[1].attr & attr::L != 0 => Mode::Long,
            () if long => Mode::Compatibility,
            () if cpu.rflags & flag::VM != 0 => Mode::V86,
            () => Mode::Protected,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Real => "real mode",
            Mode::V86 => "virtual-8086 mode",
            Mode::Protected => "protected mode",
            Mode::Compatibility => "compatibility mode",
            Mode::Long => "64-bit mode",
            Mode::Smm => "system-management mode",
        }
    }
}

/// Something of the processor's that a debugger may wait for.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A delivered exception or interrupt, and the instruction that it came at.
    Vector {
        vector: u8,
        code: Option<u32>,
        external: bool,
        rip: u64,
    },
    Port {
        port: u16,
        width: u8,
    },
    Msr {
        msr: u32,
        written: Option<u64>,
    },
    Cr {
        n: u8,
        value: u64,
    },
    Dr {
        n: u8,
        written: Option<u64>,
    },
    Mode {
        from: Mode,
        to: Mode,
    },
    Task {
        selector: u16,
    },
}

/// Who touched watched bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The processor, by an instruction at this instruction pointer.
    Cpu {
        /// Its offset in CS.
        rip: u64,
    },
    /// A bus master, the loader or a chip's own memory.
    Bus,
}

/// Something that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// The next instruction is at this linear (and RAM) address.
    Code {
        /// Its linear address.
        linear: u64,
    },
    /// Watched bytes were accessed.
    Data {
        /// Index of the watch.
        index: usize,
        /// The access: its address (of the watch's kind) and length.
        at: u64,
        #[allow(missing_docs)]
        len: u64,
        /// A store.
        write: bool,
        #[allow(missing_docs)]
        by: By,
    },
    /// An event.
    Event(Event),
}

/// Everything watched.
#[derive(Default)]
pub struct Watch {
    code: HashMap<u64, Vec<u16>>,
    /// Offsets of all code breakpoints in their pages, a bit each.
    offsets: Vec<u64>,
    physical: Vec<u64>,
    frames: HashMap<u32, Vec<u16>>,
    seen_map: Option<u64>,
    data: Vec<Bytes>,
    /// Where linear watches were found to lie: watch, linear page, frame.
    found: Vec<(usize, u64, u32)>,
    marked: Vec<u32>,
    wanted: Wanted,
    pub(crate) events: bool,
    mode: Option<Mode>,
    in_bus: bool,
    /// Code breakpoints don't count at this count: execution goes on from one.
    pub pass: Option<u64>,
    hits: Vec<Hit>,
}

impl Derived {
    /// Takes over what is to be watched. Costs something only where something changed.
    pub fn set_watch(
        &mut self,
        mem: &mut Memory,
        linear: &[u64],
        physical: &[u64],
        data: &[Bytes],
        wanted: &Wanted,
    ) {
        let w = &mut self.watch;
        let mut code: HashMap<u64, Vec<u16>> = HashMap::new();
        for at in linear {
            code.entry(at / PAGE).or_default().push((at % PAGE) as u16);
        }
        let changed = w.data != data;
        w.code = code;
        let mut offsets = vec![0; PAGE as usize / 64];
        for at in linear.iter().chain(physical).map(|at| (at % PAGE) as usize) {
            offsets[at / 64] |= 1 << (at % 64);
        }
        let old = std::mem::replace(&mut w.offsets, offsets);
        let known = |at: usize| old.get(at / 64).is_some_and(|o| o >> (at % 64) & 1 != 0);
        let new: Vec<u16> =
            (0..PAGE as u16).filter(|at| w.stops_in(*at) && !known(usize::from(*at))).collect();
        for at in new {
            // Blocks there are found and linked anew.
            self.code_touched.extend(self.blocks.frames_with_code().map(|frame| Touch {
                frame,
                start: at,
                end: at + 1,
                marks: mark::CODE,
            }));
        }
        w.events = *wanted != Wanted::default();
        w.wanted = wanted.clone();
        if w.physical != physical {
            w.physical = physical.to_vec();
            w.seen_map = None;
        }
        if w.data != data {
            w.data = data.to_vec();
            w.found.clear();
            for f in std::mem::take(&mut w.marked) {
                mem.clear_marks(f, mark::WATCHED);
            }
            for b in data.iter().filter(|b| b.physical) {
                let last = b.at.saturating_add(b.len - 1) / PAGE;
                for page in (b.at / PAGE..=last).take(1 << 20) {
                    if let Place::Frame(f) = mem.write_place(page) {
                        mem.add_marks(f, mark::WATCHED);
                        w.marked.push(f);
                    }
                }
            }
        }
        if changed {
            self.tlb.void_all();
        }
    }

    /// The page of `linear` is known to lie at `phys`: bus masters that store there are seen even before the processor comes.
    pub fn watch_lies_at(&mut self, mem: &mut Memory, linear: u64, phys: u64) {
        if let Place::Frame(f) = mem.write_place(phys / PAGE)
            && let Some(f) = self.watch.page_found(linear, f)
        {
            self.tlb.mark_frame(mem, f, mark::WATCHED);
        }
    }

    /// The debugger has stored to memory itself: what was derived goes, and nobody is told.
    pub fn settle_quietly(&mut self, mem: &mut Memory) {
        for t in mem.take_touched() {
            if t.marks & mark::WALKED != 0 {
                self.tlb.page_table_stored(mem, t.frame, t.start, t.end);
            }
            if t.marks & mark::CODE != 0 {
                self.code_touched.push(t);
            }
        }
    }
}

impl Watch {
    /// Whether any code is watched.
    #[inline]
    pub(crate) fn has_code(&self) -> bool {
        !self.code.is_empty() || !self.physical.is_empty()
    }

    /// Whether some page has a breakpoint at this offset.
    #[inline]
    pub(crate) fn stops_in(&self, off: u16) -> bool {
        self.offsets.get(usize::from(off / 64)).is_some_and(|o| o >> (off % 64) & 1 != 0)
    }

    /// Whether any bytes are.
    #[inline]
    pub(crate) fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// Whether something was hit.
    #[inline]
    pub(crate) fn hit(&self) -> bool {
        !self.hits.is_empty()
    }

    /// Takes what was hit.
    pub fn take_hits(&mut self) -> Vec<Hit> {
        std::mem::take(&mut self.hits)
    }

    /// Notes a hit.
    pub(crate) fn push(&mut self, hit: Hit) {
        if self.hits.len() < MOST_HITS {
            self.hits.push(hit);
        }
    }

    /// An instruction failed: what it accessed will be accessed again.
    pub(crate) fn failed(&mut self) {
        self.hits.retain(|h| !matches!(h, Hit::Data { by: By::Cpu { .. }, .. }));
    }

    /// Breakpoints in the page of `linear`, which lies in `frame`: offsets, linear ones and physical ones.
    pub(crate) fn code(&mut self, mem: &Memory, linear: u64, frame: Option<u32>) -> Option<(&[u16], &[u16])> {
        if !self.physical.is_empty() && self.seen_map != Some(mem.map_epoch()) {
            self.seen_map = Some(mem.map_epoch());
            self.frames.clear();
            for at in &self.physical {
                if let Place::Frame(f) = mem.read_place(at / PAGE) {
                    self.frames.entry(f).or_default().push((at % PAGE) as u16);
                }
            }
        }
        let by_linear = self.code.get(&(linear / PAGE));
        let by_frame = frame.and_then(|f| self.frames.get(&f));
        if by_linear.is_none() && by_frame.is_none() {
            return None;
        }
        Some((by_linear.map_or(&[], |v| v), by_frame.map_or(&[], |v| v)))
    }

    /// Whether the page of `linear` has watched bytes.
    pub(crate) fn page_watched(&self, linear: u64, phys: u64) -> bool {
        self.data.iter().any(|b| b.meets_page(if b.physical { phys } else { linear } / PAGE))
    }

    /// The page of `linear` was found in `frame`: bus masters that store there are seen from now on. Gives the frame if it
    /// needs its mark.
    pub(crate) fn page_found(&mut self, linear: u64, frame: u32) -> Option<u32> {
        let page = linear / PAGE;
        for (i, b) in self.data.iter().enumerate() {
            if !b.physical && b.write && b.meets_page(page) {
                self.found.retain(|f| (f.0, f.1) != (i, page));
                self.found.push((i, page, frame));
                if !self.marked.contains(&frame) {
                    self.marked.push(frame);
                    return Some(frame);
                }
            }
        }
        None
    }

    /// Notes an access by the processor.
    pub(crate) fn note(&mut self, rip: u64, linear: u64, phys: u64, n: u64, access: Access) {
        let write = access == Access::Write;
        for index in 0..self.data.len() {
            let b = self.data[index];
            let at = if b.physical { phys } else { linear };
            if b.wants(write) && b.meets(at, n) {
                self.push(Hit::Data { index, at, len: n, write, by: By::Cpu { rip } });
            }
        }
    }

    /// Notes a store by a bus master.
    pub(crate) fn note_bus(&mut self, mem: &Memory, t: &Touch) {
        let n = u64::from(t.end - t.start);
        for index in 0..self.data.len() {
            let b = self.data[index];
            if !b.write {
                continue;
            }
            let at = if b.physical {
                let page = (b.at / PAGE..=b.at.saturating_add(b.len - 1) / PAGE)
                    .take(1 << 20)
                    .find(|p| mem.write_place(*p) == Place::Frame(t.frame));
                page.map(|p| p * PAGE)
            } else {
                let here = self.found.iter().find(|f| f.0 == index && f.2 == t.frame);
                here.map(|f| f.1 * PAGE)
            };
            let Some(at) = at.map(|p| p + u64::from(t.start)) else { continue };
            if b.meets(at, n) {
                self.push(Hit::Data { index, at, len: n, write: true, by: By::Bus });
            }
        }
    }

    pub(crate) fn set_in_bus(&mut self, yes: bool) {
        self.in_bus = yes;
    }

    pub(crate) fn in_bus(&self) -> bool {
        self.in_bus
    }

    fn wants(&self, e: &Event) -> bool {
        let w = &self.wanted;
        match *e {
            Event::Vector { vector, .. } => w.vectors[usize::from(vector >> 6)] >> (vector & 63) & 1 != 0,
            Event::Port { port, width } => {
                let last = port.saturating_add(u16::from(width) - 1);
                w.ports.iter().any(|&(a, b)| port <= b && a <= last)
            }
            Event::Msr { msr, .. } => w.msrs.iter().any(|&(a, b)| (a..=b).contains(&msr)),
            Event::Cr { n, .. } => w.cr >> (n & 15) & 1 != 0,
            Event::Dr { n, .. } => w.dr >> (n & 7) & 1 != 0,
            Event::Mode { .. } => w.mode,
            Event::Task { .. } => w.task,
        }
    }
}

impl Exec<'_> {
    /// Something happened that a debugger may wait for.
    #[inline]
    pub(crate) fn event(&mut self, e: impl FnOnce() -> Event) {
        if self.derived.watch.events {
            self.event_wanted(&e());
        }
    }

    #[cold]
    fn event_wanted(&mut self, e: &Event) {
        if self.derived.watch.wants(e) {
            self.derived.watch.push(Hit::Event(*e));
            self.derived.attention = true;
        }
    }

    /// Mode, code segment or privilege may have changed.
    #[inline]
    pub(crate) fn mode_event(&mut self) {
        if self.derived.watch.events && self.derived.watch.wanted.mode {
            let to = Mode::of(self.cpu);
            if let Some(from) = self.derived.watch.mode.replace(to)
                && from != to
            {
                self.event_wanted(&Event::Mode { from, to });
            }
        }
    }

    /// A slice begins: the mode that changes are seen against.
    pub(crate) fn begin_watch(&mut self) {
        if self.derived.watch.events {
            self.derived.watch.mode = Some(Mode::of(self.cpu));
        }
    }
}
