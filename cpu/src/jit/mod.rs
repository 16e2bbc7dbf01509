//! The translator: hot blocks become host code.
//!
//! Stages: the interpreter's decoded block ([`crate::interp::blocks`]) -> micro-operations by running each meaning on
//! [`builder::Builder`] -> facts ([`passes`]) -> host code ([`lower`]) -> code memory ([`memory`]), linked to other blocks.
//!
//! Invariants:
//! - Translated code itself only computes, on registers and RAM. Chips, faults and everything rare are for Rust code that
//!   it calls with all state in place, or for the interpreter, which goes on where the block is left.
//! - The count is exact: a block takes its instructions off the budget when it is entered and gives the rest back when it
//!   is left early.
//! - A translated block lives exactly as long as the decoded block that it was made from.
//!
//! Everything here is derived state: dropping it changes nothing but speed.
#![allow(unsafe_code)]

pub mod bases;
pub mod builder;
pub mod encode;
#[cfg(test)]
mod goldens;
pub mod groups;
mod host;
pub mod ir;
mod jumps;
mod links;
pub mod listing;
pub mod lower;
pub mod memory;
pub mod passes;
pub mod regs;
mod runtime;
pub mod stubs;
pub mod transcendental;
pub mod vectors;

use crate::insn::{Insn, ModeKey};
use crate::interp::blocks::Blocks;
use crate::memory::PAGE;
use crate::mmu::access::own_view;
use crate::state::{Seg, attr, flag};
use crate::{Cpu, Exec, Fault};
pub use bases::{Bases, PLAIN_BASE};
use builder::Builder;
use encode::Asm;
use jumps::{Jump, JumpEntry, Jumps, jump_slot};
pub use lower::displacement;
use lower::{Entry, Link, Lowered, lower};
use memory::{CodeMemory, Site};
use stubs::{Runtime, Stubs, Target, Why};

/// No translation.
pub const NONE: u32 = u32::MAX;
/// A block that can't be translated.
pub const REFUSED: u32 = u32::MAX - 1;
/// Default size of the code memory.
pub const CODE_SIZE: usize = 64 << 20;

/// A translated block.
struct Native {
    /// Number of the decoded block.
    block: u32,
    near: usize,
    /// Entry for jumps within the page from code that knows that the page is at `placed`.
    sure: usize,
    far: usize,
    /// The RIP of its page, if it is made for that alone.
    placed: Option<u64>,
    /// Entry for its own jumps back to its start: they need not look again whether the next page is still there.
    inner: usize,
    /// Host address of the frame that it goes on in behind the page's end.
    second: Option<u64>,
    site: Site,
    /// What it does with the flags that it is entered with.
    incoming: passes::Incoming,
    links: Vec<Link>,
    /// The other pages that it goes on in.
    hops: Vec<Hop>,
    /// Where it compares the number of the space in which it needn't look for the page behind its own, and that number.
    guard: Option<(usize, u32)>,
    /// (block, link number) that go here directly.
    sources: Vec<(u32, u32)>,
    /// Pairs of slots of the jump cache that may name it; all may, if these are [`MANY`].
    slots: Vec<u16>,
    /// Place in RAM.
    at: u64,
    /// What calls of shared code refer to by address.
    _insns: Box<[Insn]>,
    host_bytes: u32,
    group_misses: GroupMisses,
    /// Failed guesses held against it.
    strays: u8,
    /// What to share if groups are given up.
    fewer: groups::Sharing,
    /// For listings.
    source: Option<Box<listing::Source>>,
}

/// How often a group's leader couldn't serve its group.
#[derive(Clone, Copy, Default)]
struct GroupMisses {
    times: u32,
    /// The count of instructions at the first of them.
    since: u64,
    page: u64,
    /// They were in other pages, too.
    moved: bool,
}

/// A jump to another page that is linked for some space goes by the jump cache in others. Of so many that do, in whatever
/// blocks, one is linked for the space at hand: programs come and go, and the links of shared code with them.
const RELINK: i64 = 256;

/// So many slots of the jump cache are remembered for each translation.
const MANY: usize = 32;

/// A block whose leaders couldn't serve their groups so often, within so many instructions for each time, is translated again
/// with fewer groups.
const MOST_MISSES: u32 = 64;
#[allow(missing_docs)]
const MISS_WORTH: u64 = 500;
/// The same where all of them were in one page: a frame that lies across its end is there to stay, unlike an array's end.
const STAY_WORTH: u64 = 20_000;

/// In place of a page: see [`Jit::group_missed`].
pub const STRAYED: u64 = u64::MAX;

/// Of so many guesses that fail, in whatever blocks, the last is held against its block. (The rest, too, if nothing is left
/// for longer.)
const STRAYS: i64 = 256;

/// A block that this happens to so often is translated again without guesses, if so many guesses fail within fewer instructions
/// than these for each.
const MOST_STRAYS: u8 = 3;
#[allow(missing_docs)]
const STRAY_WORTH: u64 = 150;

/// In place of a page: the code's own is at another RIP than it was made for.
pub const MOVED: u64 = u64::MAX - 1;

/// What is different about a block's next translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remake {
    /// Which accesses share probes.
    Sharing(groups::Sharing),
    /// It keeps to its page.
    OnePage,
    /// It isn't made for one RIP.
    Anywhere,
}

/// Counts for `--statistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JitStatistics {
    pub translated: u64,
    /// Instructions that translated code completed.
    pub completed: u64,
    pub refused: u64,
    pub instructions: u64,
    pub guest_bytes: u64,
    pub host_bytes: u64,
    /// Of these, in the part that runs often.
    pub hot_bytes: u64,
    pub entered: u64,
    /// Exits by [`Why`].
    pub exits: [u64; 7],
    /// Jumps that missed the jump cache and went on without leaving.
    pub sought: u64,
    /// Instructions that cross a page, decoded or found each time.
    pub crossing: u64,
    /// Runs of cold blocks.
    pub cold: u64,
    pub links: u64,
    pub dropped: u64,
    pub flushed: u64,
}

/// What loading a selector of the GDT into a data segment register at privilege level 0 brings, as long as its descriptor is
/// the same.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SegmentEntry {
    /// The selector; zero in an empty entry.
    pub selector: u64,
    /// The descriptor, with its accessed bit set.
    pub descriptor: u64,
    /// Base.
    pub base: u64,
    /// The other half of a [`crate::state::Segment`].
    pub rest: u64,
    /// What [`prepare_segment`] makes of it: limits for reading and writing, and what they are made from.
    pub prepared: [u64; 3],
    /// Whether it is flat.
    pub flat: u64,
}

/// Such entries; a selector's is found by the lowest bits of its index.
pub const SEGMENTS: usize = 16;

/// The translator of one machine.
pub struct Jit {
    memory: CodeMemory,
    stubs: Stubs,
    stubs_end: usize,
    natives: Vec<Option<Native>>,
    jumps: Jumps,
    segments: Box<[SegmentEntry; SEGMENTS]>,
    builder: Builder,
    /// The count of instructions when guesses were counted anew.
    strays_since: u64,
    /// Counters.
    pub statistics: JitStatistics,
    /// How often the interpreter was handed an instruction, by [`iced_x86::Code`].
    pub handed: Vec<u64>,
    /// Whether to count runs of blocks and keep what a listing shows.
    pub list: bool,
}

/// Where a block comes from.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// Place in RAM.
    pub at: u64,
    /// Where it is in the address space that it runs in now.
    pub rip: u64,
    /// Bytes of its instructions, one after the other, if listings are wanted.
    pub bytes: &'a [u8],
}

/// Whether a RIP is a number of 32 bits with its sign extended.
fn extends(rip: u64) -> bool {
    i32::try_from(rip as i64).is_ok()
}

/// What to translate: a decoded block, or a trace that begins with it.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    /// Instructions in the order in which they run.
    pub insns: &'a [Insn],
    /// The branches among them after which it goes on.
    pub turns: &'a [Turn],
    /// Mode.
    pub key: ModeKey,
    /// Whether the last instruction sets RIP.
    pub ends: bool,
    /// Host address of the frame that code goes on in behind the page's end.
    pub second: Option<u64>,
    /// Which accesses share probes.
    pub sharing: groups::Sharing,
    /// Whether pages are no longer guessed, having been other ones too often.
    pub certain: bool,
    /// Whether it is known to run at more than one RIP.
    pub anywhere: bool,
    /// Where a return at its end is expected to lead, in bytes from the start of the page that it is in.
    pub returns: Option<i32>,
}

/// A jump in the middle of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Number of the instruction.
    pub n: u16,
    /// How the trace goes on.
    pub way: Way,
    /// The page that it goes on in, if that is another one.
    pub hop: Option<Hop>,
}

/// How a trace goes on after a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With the next instruction; the target of the branch is at this offset from the start of the page.
    Next(u16),
    /// With the target; the instruction behind a branch is at this offset.
    Target(u16),
    /// With where a return is expected to lead: so many bytes from the start of the page that it is in.
    Back(i32),
}

impl Turn {
    /// Where a branch leads otherwise, as an offset from the start of the page.
    pub fn exit(&self) -> Option<u16> {
        match self.way {
            Way::Next(off) | Way::Target(off) => Some(off),
            Way::Back(_) => None,
        }
    }
}

/// A page, not the one behind it, that a trace goes on in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Bytes from the start of the page before to its start.
    pub pages: i32,
    /// Bytes from the start of the first page to its start.
    pub by: i32,
    /// Place in RAM of its first byte.
    pub at: u64,
    /// It is the first of its trace's: see [`Jit::open_hops`].
    pub first: bool,
}

/// What the engine does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Go on at RIP; the instruction there is for the interpreter.
    Interpret,
    /// The instruction at RIP raised this.
    Fault(Fault),
    /// Go on at RIP.
    Go,
    /// Go on at RIP after a look at what came up.
    Attention,
    /// Go on at RIP, which link `n` of native block `from` leads to.
    Link {
        #[allow(missing_docs)]
        from: u32,
        #[allow(missing_docs)]
        n: u32,
    },
    /// Go on at RIP, which was not in the jump cache.
    Jump,
    /// Go on at RIP, which link `n` of `from`, to another page, leads to.
    FarLink {
        #[allow(missing_docs)]
        from: u32,
        #[allow(missing_docs)]
        n: u32,
    },
}

impl Jit {
    /// A translator with `size` bytes of code memory, for TLB tables of `tlb_size` entries. `None` where the host has none
    /// (another processor, no executable memory, no BMI2). `own_flags`: undefined flags are never the host's.
    pub fn new(size: usize, tlb_size: usize, own_flags: bool) -> Option<Jit> {
        if !host::serves() {
            return None;
        }
        let mut memory = CodeMemory::new(size)?;
        let mut a = Asm::default();
        let rt = Runtime {
            fill: runtime::fill as *const () as usize,
            helper: [
                runtime::helper as *const () as usize,
                runtime::step as *const () as usize,
                runtime::transfer as *const () as usize,
                runtime::counted as *const () as usize,
                runtime::segment as *const () as usize,
            ],
            one: runtime::one as *const () as usize,
            seek: runtime::seek as *const () as usize,
            vector: runtime::vector as *const () as usize,
            fpu_load: runtime::fpu_load as *const () as usize,
            fpu_store: runtime::fpu_store as *const () as usize,
            shared: runtime::shared as *const () as usize,
        };
        let mut stubs = stubs::emit(&mut a, rt, tlb_size);
        stubs.exact = if own_flags { host::Exact::default() } else { host::Exact::of_host() };
        a.resolve(usize::MAX);
        let at = memory.reserve(a.here(), 0, 0)?;
        debug_assert_eq!(at.hot, 0);
        memory.write(0, &a.bytes);
        let stubs_end = a.here();
        Some(Jit {
            memory,
            stubs,
            stubs_end,
            natives: Vec::new(),
            jumps: Jumps::new()?,
            segments: Box::default(),
            builder: Builder::default(),
            strays_since: 0,
            statistics: JitStatistics::default(),
            handed: vec![0; iced_x86::Code::values().len()],
            list: false,
        })
    }

    /// Entries in the TLB tables that the code was made for.
    pub fn tlb_size(&self) -> usize {
        self.stubs.tlb_size
    }

    /// Forgets all translations; the caller forgets the numbers it holds.
    pub fn clear(&mut self) {
        self.natives.clear();
        self.jumps.clear();
        self.memory.reset(self.stubs_end);
        self.statistics.flushed += 1;
    }

    /// Translates decoded block `block`, or as much of a trace that begins with it as can be. `None`: code memory is
    /// full, clear everything first.
    pub fn translate(&mut self, block: u32, guest: Guest<'_>, code: Code<'_>) -> Option<u32> {
        let Code { insns, turns, key, ends, second, sharing, certain, anywhere, returns } = code;
        let page = guest.rip & !(PAGE - 1);
        let placed = (is_placed(key, page) && !anywhere).then_some(page);
        if key.alignment_checked() {
            self.statistics.refused += 1;
            return Some(REFUSED);
        }
        let mut count = insns.len();
        let mut entered = self.list.then(|| Box::new(0u64));
        let counter = entered.as_deref_mut().map(|c| std::ptr::from_mut(c) as u64);
        loop {
            self.builder.ops.clear();
            self.builder.key = key;
            let mut n = 0;
            let mut ahead = turns.iter().take_while(|t| usize::from(t.n) + 1 < count).peekable();
            while n < count && self.builder.add(n as u16, &insns[n]) {
                if let Some(t) = ahead.next_if(|t| usize::from(t.n) == n) {
                    self.builder.go_on(*t);
                }
                n += 1;
            }
            if n == insns.len()
                && let Some(to) = returns
            {
                self.builder.expect(to);
            }
            if n == 0 {
                self.statistics.refused += 1;
                return Some(REFUSED);
            }
            if n < count && turns.iter().any(|t| usize::from(t.n) < n) {
                // A trace ends with the last branch before what can't be lowered.
                count = turns.iter().rfind(|t| usize::from(t.n) < n).map_or(n, |t| usize::from(t.n) + 1);
                continue;
            }
            let cut = turns.iter().any(|t| usize::from(t.n) + 1 == n);
            let whole = cut || ends && n == insns.len();
            let spans = |i: &Insn| i.off + u16::from(i.len) > PAGE as u16;
            let beyond = insns[..n].iter().any(spans);
            let exits = turns.iter().take_while(|t| usize::from(t.n) < n);
            let second = second.filter(|_| beyond || exits.clone().any(|t| t.exit() >= Some(PAGE as u16)));
            if second.is_some()
                && let Some(k) = self.builder.first_call(insns)
            {
                // Shared code may map another page there, and nobody would notice before the end. (A block that begins across the
                // page's end is left as it is: see `Lower::spans`.)
                let head = turns.first().map_or(n, |t| usize::from(t.n) + 1);
                let most = if spans(&insns[0]) { head } else { k.max(1) };
                if most < n {
                    count = most;
                    continue;
                }
            }
            match lower(
                &insns[..n],
                &self.builder.ops,
                key,
                whole,
                Entry { second, counter, sharing, certain, extends: extends(page), placed },
                &self.stubs,
            ) {
                Ok(l) => {
                    let id = self.install(block, guest.at, &insns[..n], second, l)?;
                    if let (Some(entered), Some(Some(native))) = (entered, self.natives.get_mut(id as usize))
                    {
                        let source = listing::Source {
                            at: guest.at,
                            key,
                            bytes: guest.bytes.into(),
                            ops: self.builder.ops.iter().map(|o| o.name()).collect(),
                            insns: insns[..n].into(),
                            entered,
                        };
                        native.source = Some(Box::new(source));
                    }
                    return Some(id);
                }
                Err(lower::Refused(k)) => {
                    let last = turns.iter().rfind(|t| t.n < k);
                    count = last.map_or(usize::from(k), |t| usize::from(t.n) + 1);
                }
            }
        }
    }

    fn install(
        &mut self,
        block: u32,
        at: u64,
        insns: &[Insn],
        second: Option<u64>,
        mut l: Lowered,
    ) -> Option<u32> {
        let key = self.builder.key;
        let id = self.natives.len() as u32;
        let insns: Box<[Insn]> = insns.into();
        // The instructions' address stands behind the code.
        let slot = l.bytes.len().next_multiple_of(8);
        l.bytes.resize(slot, 0);
        l.bytes.extend((insns.as_ptr() as u64).to_le_bytes());
        let site = self.memory.reserve(l.hot, l.bytes.len() - l.hot, l.sure)?;
        for (from, target) in &l.absolute {
            let value = match target {
                Target::Insns => site.place(slot) as i64 - (site.place(*from) as i64 + 4),
                Target::Block => i64::from(id),
                t => self.stubs.find(key.code64(), *t) as i64 - (site.place(*from) as i64 + 4),
            };
            l.bytes[*from..*from + 4].copy_from_slice(&(value as i32).to_le_bytes());
        }
        for (from, forward) in l.crossing {
            site.lengthen(&mut l.bytes, from as usize, forward);
        }
        let (hot, cold) = l.bytes.split_at(l.hot);
        self.memory.write(site.hot, hot);
        self.memory.write(site.cold, cold);
        let guest_bytes: u32 = insns.iter().map(|i| u32::from(i.len)).sum();
        let s = &mut self.statistics;
        s.translated += 1;
        s.instructions += insns.len() as u64;
        s.guest_bytes += u64::from(guest_bytes);
        s.host_bytes += l.bytes.len() as u64;
        s.hot_bytes += l.hot as u64;
        self.natives.push(Some(Native {
            block,
            near: site.place(l.near),
            sure: site.place(l.sure),
            placed: l.placed,
            far: site.place(l.far),
            inner: site.place(l.inner),
            second,
            site,
            links: l.links,
            hops: l.hops,
            guard: l.guard.map(|at| (site.place(at), 0)),
            incoming: l.incoming,
            sources: Vec::new(),
            slots: Vec::new(),
            at,
            _insns: insns,
            host_bytes: l.bytes.len() as u32,
            group_misses: GroupMisses::default(),
            strays: 0,
            fewer: l.fewer,
            source: None,
        }));
        Some(id)
    }

    /// How many instructions a native block takes off the budget.
    pub fn length(&self, id: u32) -> u16 {
        self.natives.get(id as usize).and_then(Option::as_ref).map_or(0, |n| n._insns.len() as u16)
    }

    /// The decoded block behind native block `id`.
    pub fn block_of(&self, id: u32) -> Option<u32> {
        self.natives.get(id as usize)?.as_ref().map(|n| n.block)
    }

    /// The decoded block behind `id` is gone: nothing may enter its code again.
    pub fn drop_native(&mut self, id: u32) {
        let Some(n) = self.natives.get_mut(id as usize).and_then(Option::take) else { return };
        self.statistics.dropped += 1;
        for (from, k) in n.sources {
            self.patch(from, k, None, 0, 0);
            let source = self.natives.get_mut(from as usize).and_then(Option::as_mut);
            if let Some(l) = source.and_then(|s| s.links.get_mut(k as usize)) {
                l.to = None;
            }
        }
        let code = self.memory.address(n.far) as u64;
        self.jumps.forget(code, (n.slots.len() < MANY).then_some(&n.slots));
    }

    /// A leader of native block `id` couldn't serve its group, or ([`STRAYED`] in place of a page) the page behind its own
    /// was another one: the decoded block, if that has happened so often that it had better be translated in another way,
    /// and in which. The caller then drops this translation.
    pub fn group_missed(&mut self, id: u32, page: u64, count: u64) -> Option<(u32, Remake)> {
        let n = self.natives.get_mut(id as usize)?.as_mut()?;
        if page == MOVED {
            return Some((n.block, Remake::Anywhere));
        }
        let m = &mut n.group_misses;
        if m.times == 0 {
            *m = GroupMisses { times: 0, since: count, page, moved: false };
        }
        m.times += 1;
        m.moved |= page != m.page;
        if m.times < MOST_MISSES {
            return None;
        }
        // Where misses are far between, groups serve all the same.
        let worth = if m.moved { MISS_WORTH } else { STAY_WORTH };
        let often = count.wrapping_sub(m.since) < u64::from(MOST_MISSES) * worth;
        m.times = 0;
        let last = n.second.is_some() && n.fewer == groups::Sharing::Nothing;
        let how = if page == STRAYED || last { Remake::OnePage } else { Remake::Sharing(n.fewer) };
        often.then_some((n.block, how))
    }

    /// Guesses have failed [`STRAYS`] times, of native block `id`'s the last: the decoded block, if it had better do without. The
    /// caller then drops this translation.
    pub fn guessed_wrong(&mut self, id: u32, count: u64) -> Option<u32> {
        let since = std::mem::replace(&mut self.strays_since, count);
        let often = count.wrapping_sub(since) < STRAYS as u64 * STRAY_WORTH;
        let n = self.natives.get_mut(id as usize)?.as_mut()?;
        n.strays += u8::from(often);
        (n.strays >= MOST_STRAYS).then_some(n.block)
    }

    /// Remembers where a jump to RIP leads in the processor's present space and mode.
    pub fn remember_jump(&mut self, x: &mut Exec<'_>, key: ModeKey, rip: u64, linear: u64, id: u32) {
        self.open_guard(x, id, rip & !(PAGE - 1));
        let Some(Some(n)) = self.natives.get_mut(id as usize) else { return };
        let code = self.memory.address(n.far) as u64;
        let shared = key.code_flat() && x.derived.tlb.is_shared(x.cpu, linear);
        x.derived.tlb.note_code(x.cpu, x.mem, linear, shared);
        let space = space_at(x, key, rip);
        let pair = (jump_slot(rip) / 2) as u16;
        if n.slots.len() < MANY && !n.slots.contains(&pair) {
            n.slots.push(pair);
        }
        let about = JumpEntry::about(n.at, n.incoming.refuses());
        self.jumps.put(Jump { rip, mode: key, space }, code, about, self.refused());
    }

    /// Where jumps with a recipe go whose target needs the flags.
    fn refused(&self) -> u64 {
        self.memory.address(self.stubs.sets[0].refused) as u64
    }

    /// The code for RIP, `at` in RAM, if the jump cache has it, for another space perhaps that maps the same code there: from now
    /// on for this one, in the first slot.
    fn known_jump(
        &mut self,
        x: &mut Exec<'_>,
        rip: u64,
        at: u64,
        recipe: Option<lower::Recipe>,
    ) -> Option<u64> {
        let s = &x.cpu.scratch.0;
        let (key, space) = (ModeKey(s.key), s.space);
        let jump = Jump { rip, mode: key, space };
        let e = self.jumps.find(jump, at).filter(|e| e.takes(recipe))?;
        let shared = x.derived.tlb.is_shared(x.cpu, rip);
        x.derived.tlb.note_code(x.cpu, x.mem, rip, shared);
        if space_at(x, key, rip) != space {
            return None;
        }
        self.jumps.put(jump, e.code, e.about, self.refused());
        Some(e.code)
    }

    /// Data segment register `n` has just been loaded: remembers what with, if translated code could have done it.
    fn remember_segment(&mut self, x: &mut Exec<'_>, key: ModeKey, n: usize) {
        let s = x.cpu.seg[n];
        if key.real()
            || key.v86()
            || key.long_mode()
            || key.cpl() != 0
            || s.selector & !3 == 0
            || s.selector & 4 != 0
        {
            return;
        }
        let at = x.cpu.gdtr.base.wrapping_add(u64::from(s.selector & !7));
        let Ok(descriptor) = x.load_system::<u64>(at) else { return };
        let c = &x.cpu.scratch.0;
        self.segments[usize::from(s.selector >> 3) % SEGMENTS] = SegmentEntry {
            selector: s.selector.into(),
            descriptor,
            base: s.base,
            rest: u64::from(s.limit) | u64::from(s.attr) << 32 | u64::from(s.selector) << 48,
            prepared: [c.read_limit[n], c.write_limit[n], c.prepared[n]],
            flat: u64::from(key.flat() >> n & 1),
        };
    }

    /// Runs native block `id`: RIP is at its start and the budget is above its length.
    pub fn run(&mut self, x: &mut Exec<'_>, blocks: &mut Blocks, key: ModeKey, id: u32) -> Left {
        let space = space_key(x, key);
        let Some(Some(n)) = self.natives.get(id as usize) else { return Left::Interpret };
        let code = self.memory.address(n.far);
        if n.guard.is_some_and(|g| g.1 != (space >> 32) as u32) {
            self.open_guard(x, id, x.cpu.rip & !(PAGE - 1));
        }
        let set = &self.stubs.sets[usize::from(!key.code64())];
        let enter = self.memory.address(set.enter);
        self.statistics.entered += 1;
        x.derived.space_seen = x.derived.tlb.code_changes();
        let view = own_view(x.cpu);
        let table = x.derived.tlb.table_in_use(x.cpu, view);
        prepare(x.cpu, key);
        let (limit, clock) = (x.limit, x.clock);
        let budget = limit - x.count;
        let rflags = x.cpu.rflags;
        let events = x.derived.watch.events;
        let exec = std::ptr::from_mut(x).cast::<()>() as u64;
        let s = &mut x.cpu.scratch.0;
        s.budget = budget as i64;
        s.tlb = table;
        s.space = space;
        s.exit_rip = x.cpu.rip;
        s.jumps = self.jumps.of(key, space);
        s.segments = self.segments.as_ptr() as u64;
        s.exec = exec;
        s.flags = to_memory_form(rflags);
        s.direction = direction(rflags);
        s.events = u64::from(events);
        s.recipe = 0;
        s.key = key.0;
        s.clock_base = clock.t0_ns;
        s.clock_budget = limit.wrapping_sub(clock.n0);
        s.clock_rate = clock.rate;
        s.engine = [std::ptr::from_mut(self) as u64, std::ptr::from_mut(blocks) as u64];
        runtime::check_stack(x);
        let cpu = std::ptr::from_mut(&mut *x.cpu);
        // It touches the processor behind `cpu`, guest RAM by way of TLB entries and, through the functions below, `x`.
        // SAFETY: `enter` is the entry stub of this signature, keeps what the ABI asks for, and `x` is borrowed for the call.
        let why = unsafe {
            let f: extern "sysv64" fn(*mut Cpu, usize) -> u64 = std::mem::transmute(enter);
            f(cpu, code)
        };
        runtime::make_flags(x.cpu);
        let s = &mut x.cpu.scratch.0;
        let missed = std::mem::replace(&mut s.missed, u64::MAX);
        if missed != u64::MAX {
            let page = match missed >> 32 {
                0 => s.fill & !(PAGE - 1),
                1 => STRAYED,
                _ => MOVED,
            };
            x.derived.group_missed = Some((missed as u32, page));
        }
        let count = x.count;
        x.count = limit.wrapping_sub(s.budget as u64);
        self.statistics.completed += x.count.wrapping_sub(count);
        runtime::settle_resumed(x);
        let s = &x.cpu.scratch.0;
        x.cpu.rflags = x.cpu.rflags & !flag::STATUS | from_memory_form(s.flags);
        x.cpu.rip = s.exit_rip & Insn::mask(key_width(ModeKey(s.key)));
        let (from, n) = (s.fill as u32, s.link as u32);
        self.statistics.exits[Why::from(why) as usize] += 1;
        // Not where a link is to be made, which may name the block.
        if matches!(Why::from(why), Why::Budget | Why::Attention) && s.strayed != u64::MAX {
            x.derived.strayed = Some(s.strayed as u32);
            let s = &mut x.cpu.scratch.0;
            (s.strayed, s.strays) = (u64::MAX, STRAYS);
        }
        match Why::from(why) {
            Why::Bail => match x.derived.jit_fault.take() {
                Some(f) => Left::Fault(f),
                None => Left::Interpret,
            },
            Why::Attention => Left::Attention,
            Why::Budget => Left::Go,
            Why::Link => Left::Link { from, n },
            Why::Jump => Left::Jump,
            Why::FarLink => {
                x.cpu.scratch.0.relink = RELINK;
                Left::FarLink { from, n }
            }
        }
    }
}

fn key_width(key: ModeKey) -> u8 {
    2 << (key.0 & 3)
}

fn space_key(x: &mut Exec<'_>, key: ModeKey) -> u64 {
    let rip = x.cpu.rip;
    space_at(x, key, rip)
}

/// Whether code of a kind, in the page at RIP `page`, may be made for that RIP alone.
pub(crate) fn is_placed(key: ModeKey, page: u64) -> bool {
    key.code_flat() && extends(page) && (key.code64() || page >> 32 == 0)
}

/// Address space and mode as the jump cache's entries name them, for code at `rip`.
fn space_at(x: &mut Exec<'_>, key: ModeKey, rip: u64) -> u64 {
    let mode = if key.code_flat() {
        key.0
    } else {
        // The same IP is another place under another base.
        let cs = x.cpu.seg[Seg::Cs as usize];
        match x.derived.bases.id(key, &cs) {
            Some(id) => id | 1 << 31,
            None => {
                // Numbers begin anew: nothing that rests on the old ones may stay.
                x.derived.tlb.void_all();
                1 << 31
            }
        }
    };
    let shared = key.code_flat() && x.derived.tlb.is_shared(x.cpu, rip);
    u64::from(x.derived.tlb.code_serial(x.cpu, x.mem, shared)) << 32 | u64::from(mode)
}

/// Of the elements of strings.
fn direction(rflags: u64) -> i64 {
    if rflags & flag::DF != 0 { -1 } else { 1 }
}

fn to_memory_form(rflags: u64) -> u64 {
    (rflags & 0xd5 | 2) << 8 | rflags >> 11 & 1
}

fn from_memory_form(f: u64) -> u64 {
    f >> 8 & 0xd5 | (f & 1) << 11
}

/// What blocks with segments that aren't flat test against.
fn prepare(cpu: &mut Cpu, key: ModeKey) {
    if key.code64() || key.flat() == 0x3f && key.code_flat() {
        return;
    }
    for n in (0..cpu.seg.len()).filter(|n| key.flat() >> n & 1 == 0) {
        prepare_segment(cpu, key, n);
    }
    prepare_code(cpu, key);
}

/// The same where only CS is another.
fn prepare_code(cpu: &mut Cpu, key: ModeKey) {
    if key.flat() >> Seg::Cs as u8 & 1 == 0 {
        prepare_segment(cpu, key, Seg::Cs as usize);
    }
    let limit = u64::from(cpu.seg[Seg::Cs as usize].limit);
    cpu.scratch.0.code_limit = if key.bits() == 16 { limit.min(0xffff) } else { limit };
}

/// The same for one segment.
fn prepare_segment(cpu: &mut Cpu, key: ModeKey, n: usize) {
    let seg = &cpu.seg[n];
    let real = key.real() || key.v86();
    // Most often they are what they were when this was last asked: a transfer asks for all.
    let asked = u64::from(seg.limit) | u64::from(seg.attr) << 32 | u64::from(real) << 48 | 1 << 63;
    if cpu.scratch.0.prepared[n] == asked {
        return;
    }
    let data = seg.attr & (attr::S | attr::P) == attr::S | attr::P && seg.attr & attr::UNUSABLE == 0;
    let down = seg.attr & (attr::CODE | attr::DC) == attr::DC;
    let readable = seg.attr & attr::CODE == 0 || seg.attr & attr::RW != 0;
    let writable = seg.attr & attr::CODE == 0 && seg.attr & attr::RW != 0;
    let end = if real || data && !down { u64::from(seg.limit) + 1 } else { 0 };
    let s = &mut cpu.scratch.0;
    s.prepared[n] = asked;
    s.read_limit[n] = if real || readable { end } else { 0 };
    s.write_limit[n] = if real || writable { end } else { 0 };
}
