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

pub mod builder;
pub mod encode;
#[cfg(test)]
mod goldens;
pub mod groups;
mod host;
pub mod ir;
pub mod listing;
pub mod lower;
pub mod memory;
pub mod passes;
pub mod regs;
pub mod stubs;
pub mod vectors;

use crate::insn::{Insn, ModeKey};
use crate::memory::PAGE;
use crate::mmu::{Access, access::own_view};
use crate::ops::{Helper, Vec128};
use crate::state::{Seg, attr, efer, flag};
use crate::{Cpu, Exec, Fault};
use builder::Builder;
use encode::Asm;
use ir::VecFn;
use lower::{Entry, Link, Lowered, lower};
use memory::CodeMemory;
use regs::HELD_SLOTS;
use stubs::{JUMPS, JumpEntry, Runtime, Stubs, Target, Why, jump_slot};

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
    far: usize,
    base: usize,
    /// What it does with the flags that it is entered with.
    incoming: passes::Incoming,
    links: Vec<Link>,
    /// (block, link number) that go here directly.
    sources: Vec<(u32, u32)>,
    /// What calls of shared code refer to by address.
    _insns: Box<[Insn]>,
    host_bytes: u32,
    /// How often a group's leader couldn't serve its group.
    group_misses: u32,
    /// For listings.
    source: Option<Box<listing::Source>>,
}

/// A block whose leaders couldn't serve their groups so often is translated again without groups.
const MOST_MISSES: u32 = 64;

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
    pub entered: u64,
    /// Exits by [`Why`].
    pub exits: [u64; 7],
    /// Instructions that cross a page, decoded or found each time.
    pub crossing: u64,
    /// Runs of cold blocks.
    pub cold: u64,
    pub links: u64,
    pub dropped: u64,
    pub flushed: u64,
}

/// The translator of one machine.
pub struct Jit {
    memory: CodeMemory,
    stubs: Stubs,
    stubs_end: usize,
    natives: Vec<Option<Native>>,
    jumps: Vec<JumpEntry>,
    builder: Builder,
    /// Counters.
    pub statistics: JitStatistics,
    /// How often the interpreter was handed an instruction, by [`iced_x86::Code`].
    pub handed: Vec<u64>,
    /// Whether to count runs of blocks and keep what a listing shows.
    pub list: bool,
}

/// Where a block comes from, for listings.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// Place in RAM.
    pub at: u64,
    /// Its bytes there.
    pub bytes: &'a [u8],
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
            fill: fill as *const () as usize,
            helper: [
                helper as *const () as usize,
                step as *const () as usize,
                transfer as *const () as usize,
                counted as *const () as usize,
                segment as *const () as usize,
            ],
            one: one as *const () as usize,
            vector: vector as *const () as usize,
            fpu_load: fpu_load as *const () as usize,
            fpu_store: fpu_store as *const () as usize,
        };
        let mut stubs = stubs::emit(&mut a, rt, tlb_size);
        stubs.exact = if own_flags { host::Exact::default() } else { host::Exact::of_host() };
        a.resolve();
        let at = memory.reserve(a.here())?;
        debug_assert_eq!(at, 0);
        memory.write(0, &a.bytes);
        let stubs_end = memory.used();
        Some(Jit {
            memory,
            stubs,
            stubs_end,
            natives: Vec::new(),
            jumps: vec![JumpEntry::default(); JUMPS],
            builder: Builder::default(),
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
        self.jumps.fill(JumpEntry::default());
        self.memory.reset(self.stubs_end);
        self.statistics.flushed += 1;
    }

    /// Translates a decoded block. `None`: code memory is full, clear everything first.
    /// `second`: host address of the frame that its one instruction goes on in.
    #[allow(clippy::too_many_arguments)]
    pub fn translate(
        &mut self,
        block: u32,
        guest: Guest<'_>,
        insns: &[Insn],
        key: ModeKey,
        ends: bool,
        second: Option<u64>,
        solo: bool,
    ) -> Option<u32> {
        if key.alignment_checked() {
            self.statistics.refused += 1;
            return Some(REFUSED);
        }
        let mut count = insns.len();
        let mut entered = self.list.then(|| Box::new(0u64));
        let counter = entered.as_deref_mut().map(|c| std::ptr::from_mut(c) as u64);
        loop {
            self.builder.ops.clear();
            let mut n = 0;
            while n < count && self.builder.add(n as u16, &insns[n]) {
                n += 1;
            }
            if n == 0 {
                self.statistics.refused += 1;
                return Some(REFUSED);
            }
            let whole = ends && n == insns.len();
            match lower(
                &insns[..n],
                &self.builder.ops,
                key,
                whole,
                Entry { second, counter, solo },
                &self.stubs,
            ) {
                Ok(l) => {
                    let id = self.install(block, &insns[..n], key, l)?;
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
                Err(lower::Refused(k)) => count = usize::from(k),
            }
        }
    }

    fn install(&mut self, block: u32, insns: &[Insn], key: ModeKey, mut l: Lowered) -> Option<u32> {
        // Addresses that the code loads stand behind it, in slots of eight bytes.
        let slots = 8 * (l.absolute.len() + 1);
        let base = self.memory.reserve(l.bytes.len() + slots)?;
        let id = self.natives.len() as u32;
        let insns: Box<[Insn]> = insns.into();
        for (at, target) in &l.absolute {
            let value = match target {
                // Both are loaded by LEA and need full addresses; see `patch_address`.
                Target::Insns => {
                    patch_address(&mut l.bytes, *at, insns.as_ptr() as u64);
                    continue;
                }
                Target::Block => {
                    patch_address(&mut l.bytes, *at, u64::from(id));
                    continue;
                }
                t => self.stubs.find(key.code64(), *t) as i64 - (base as i64 + *at as i64 + 4),
            };
            l.bytes[*at..*at + 4].copy_from_slice(&(value as i32).to_le_bytes());
        }
        self.memory.write(base, &l.bytes);
        let guest_bytes: u32 = insns.iter().map(|i| u32::from(i.len)).sum();
        let s = &mut self.statistics;
        s.translated += 1;
        s.instructions += insns.len() as u64;
        s.guest_bytes += u64::from(guest_bytes);
        s.host_bytes += l.bytes.len() as u64;
        self.natives.push(Some(Native {
            block,
            near: base + l.near,
            far: base + l.far,
            base,
            links: l.links,
            incoming: l.incoming,
            sources: Vec::new(),
            _insns: insns,
            host_bytes: l.bytes.len() as u32,
            group_misses: 0,
            source: None,
        }));
        Some(id)
    }

    /// The decoded block behind native block `id`.
    pub fn block_of(&self, id: u32) -> Option<u32> {
        self.natives.get(id as usize)?.as_ref().map(|n| n.block)
    }

    /// Lets link `n` of `from` go straight to `to`, which is at the link's place in the same page.
    /// A link to another page holds for the space `serial` and code whose page is at RIP `page`.
    pub fn link(&mut self, from: u32, n: u32, to: u32, serial: u32, page: u64) {
        let Some(Some(target)) = self.natives.get_mut(to as usize) else { return };
        target.sources.push((from, n));
        let to = (target.near, target.incoming);
        self.patch(from, n, Some(to), serial, page);
        self.statistics.links += 1;
    }

    /// Points a link at an offset in code memory, or back at its own stub.
    fn patch(&mut self, from: u32, n: u32, to: Option<(usize, passes::Incoming)>, serial: u32, page: u64) {
        let Some(Some(native)) = self.natives.get(from as usize) else { return };
        let Some(l) = native.links.get(n as usize).copied() else { return };
        let base = native.base;
        let mut jump = |at: usize, to: usize| {
            let rel = to as i64 - (at as i64 + 4);
            self.memory.write(at, &(rel as i32).to_le_bytes());
        };
        let target = match (to, l.tail) {
            (None, _) => base + l.stub,
            (Some((near, flags)), Some(tail)) if flags.refuses_recipe(tail.inputs) => {
                jump(base + tail.jump, near);
                base + tail.at
            }
            (Some((near, _)), _) => near,
        };
        jump(base + l.at, target);
        if let Some(far) = l.far {
            jump(base + far.other, base + if to.is_some() { far.cache } else { far.ask });
            self.memory.write(base + far.serial, &serial.to_le_bytes());
            for (at, half) in far.page.into_iter().zip([page as u32, (page >> 32) as u32]) {
                if let Some(at) = at {
                    self.memory.write(base + at, &half.to_le_bytes());
                }
            }
        }
    }

    /// The decoded block behind `id` is gone: nothing may enter its code again.
    pub fn drop_native(&mut self, id: u32) {
        let Some(n) = self.natives.get_mut(id as usize).and_then(Option::take) else { return };
        self.statistics.dropped += 1;
        for (from, k) in n.sources {
            self.patch(from, k, None, 0, 0);
        }
        let code = self.memory.address(n.far) as u64;
        for e in &mut self.jumps {
            if e.code == code {
                *e = JumpEntry::default();
            }
        }
    }

    /// A leader of native block `id` couldn't serve its group: the decoded block, if that has happened so often that it
    /// had better be translated without groups. The caller then drops this translation.
    pub fn group_missed(&mut self, id: u32) -> Option<u32> {
        let n = self.natives.get_mut(id as usize)?.as_mut()?;
        n.group_misses += 1;
        (n.group_misses == MOST_MISSES).then_some(n.block)
    }

    /// Links a jump to another page, for the processor's present space.
    pub fn link_far(&mut self, x: &mut Exec<'_>, from: u32, n: u32, to: u32, linear: u64) {
        let page = x.cpu.scratch.0.page_rip;
        let shared = x.derived.tlb.is_shared(x.cpu, page);
        if shared != x.derived.tlb.is_shared(x.cpu, linear) {
            // The number that the jump can compare is the one of the half that it comes from.
            return;
        }
        x.derived.tlb.note_code(x.cpu, x.mem, linear, shared);
        let serial = x.derived.tlb.code_serial(x.cpu, x.mem, shared);
        if serial != 0 {
            self.link(from, n, to, serial, page);
        }
    }

    /// Remembers where a jump to RIP leads in the processor's present space and mode.
    pub fn remember_jump(&mut self, x: &mut Exec<'_>, key: ModeKey, linear: u64, id: u32) {
        let Some(Some(n)) = self.natives.get(id as usize) else { return };
        let rip = x.cpu.rip;
        let code = self.memory.address(n.far) as u64;
        let shared = key.code_flat() && x.derived.tlb.is_shared(x.cpu, linear);
        x.derived.tlb.note_code(x.cpu, x.mem, linear, shared);
        let space = space_key(x, key);
        self.jumps[jump_slot(rip)] = JumpEntry { rip, key: space, code, refuses: n.incoming.refuses() };
    }

    /// Runs native block `id`: RIP is at its start and the budget is above its length.
    pub fn run(&mut self, x: &mut Exec<'_>, key: ModeKey, id: u32) -> Left {
        let Some(Some(n)) = self.natives.get(id as usize) else { return Left::Interpret };
        let code = self.memory.address(n.far);
        let set = &self.stubs.sets[usize::from(!key.code64())];
        let enter = self.memory.address(set.enter);
        self.statistics.entered += 1;
        let space = space_key(x, key);
        x.derived.space_seen = x.derived.tlb.code_changes();
        let view = own_view(x.cpu);
        let table = x.derived.tlb.table_in_use(x.cpu, view);
        prepare(x.cpu, key);
        let (limit, clock) = (x.limit, x.clock);
        let budget = limit - x.count;
        let rflags = x.cpu.rflags;
        let exec = std::ptr::from_mut(x).cast::<()>() as u64;
        let s = &mut x.cpu.scratch.0;
        s.budget = budget as i64;
        s.tlb = table;
        s.space = space;
        s.exit_rip = x.cpu.rip;
        s.jumps = self.jumps.as_ptr() as u64;
        s.exec = exec;
        s.flags = to_memory_form(rflags);
        s.recipe = 0;
        s.key = key.0;
        s.clock_base = clock.t0_ns;
        s.clock_budget = limit.wrapping_sub(clock.n0);
        s.clock_rate = clock.rate;
        let cpu = std::ptr::from_mut(&mut *x.cpu);
        // It touches the processor behind `cpu`, guest RAM by way of TLB entries and, through the functions below, `x`.
        // SAFETY: `enter` is the entry stub of this signature, keeps what the ABI asks for, and `x` is borrowed for the call.
        let why = unsafe {
            let f: extern "sysv64" fn(*mut Cpu, usize) -> u64 = std::mem::transmute(enter);
            f(cpu, code)
        };
        make_flags(x.cpu);
        let s = x.cpu.scratch.0;
        let count = x.count;
        x.count = limit.wrapping_sub(s.budget as u64);
        self.statistics.completed += x.count.wrapping_sub(count);
        x.cpu.rflags = x.cpu.rflags & !flag::STATUS | from_memory_form(s.flags);
        x.cpu.rip = s.exit_rip & Insn::mask(key_width(ModeKey(s.key)));
        self.statistics.exits[Why::from(why) as usize] += 1;
        match Why::from(why) {
            Why::Bail => match x.derived.jit_fault.take() {
                Some(f) => Left::Fault(f),
                None => Left::Interpret,
            },
            Why::Attention => Left::Attention,
            Why::Budget => Left::Go,
            Why::Link => Left::Link { from: s.fill as u32, n: s.link as u32 },
            Why::Jump => Left::Jump,
            Why::FarLink => Left::FarLink { from: s.fill as u32, n: s.link as u32 },
        }
    }
}

fn key_width(key: ModeKey) -> u8 {
    2 << (key.0 & 3)
}

/// A LEA with a RIP-relative operand becomes a move of a constant: `REX.W 8D /r disp32` (7 bytes) can't hold 64 bits, so
/// code that needs an address loads it from the 8 bytes that `Lower` leaves behind the block. Here: the slot's place.
fn patch_address(bytes: &mut Vec<u8>, at: usize, value: u64) {
    // Turn LEA into MOV r64, [rip + d]: opcode 8D -> 8B, and append the constant.
    bytes[at - 2] = 0x8b;
    let slot = bytes.len().next_multiple_of(8);
    bytes.resize(slot, 0);
    bytes.extend(value.to_le_bytes());
    let rel = slot as i64 - (at as i64 + 4);
    bytes[at..at + 4].copy_from_slice(&(rel as i32).to_le_bytes());
}

fn space_key(x: &mut Exec<'_>, key: ModeKey) -> u64 {
    let mode = if key.code_flat() {
        key.0
    } else {
        // The same IP is another place under another base.
        let base = x.cpu.seg[Seg::Cs as usize].base;
        match x.derived.bases.id(key, base) {
            Some(id) => id | 1 << 31,
            None => {
                // Numbers begin anew: nothing that rests on the old ones may stay.
                x.derived.tlb.void_all();
                1 << 31
            }
        }
    };
    let shared = key.code_flat() && x.derived.tlb.is_shared(x.cpu, x.cpu.rip);
    u64::from(x.derived.tlb.code_serial(x.cpu, x.mem, shared)) << 32 | u64::from(mode)
}

/// Numbers for pairs of mode and code segment base, for the jump cache.
#[derive(Default)]
pub struct Bases {
    last: Option<((u32, u64), u32)>,
    known: std::collections::HashMap<(u32, u64), u32>,
    next: u32,
}

impl Bases {
    /// Pairs remembered at most.
    const MOST: usize = 1 << 14;

    /// The pair's number, below 2^31; `None` once when numbers run out.
    fn id(&mut self, key: ModeKey, base: u64) -> Option<u32> {
        let pair = (key.0, base);
        if let Some((p, id)) = self.last
            && p == pair
        {
            return Some(id);
        }
        if self.known.len() > Self::MOST {
            self.known.clear();
        }
        let next = &mut self.next;
        let id = *self.known.entry(pair).or_insert_with(|| {
            *next += 1;
            *next
        });
        if id >> 31 != 0 {
            *self = Bases::default();
            return None;
        }
        self.last = Some((pair, id));
        Some(id)
    }
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
    let limit = u64::from(cpu.seg[Seg::Cs as usize].limit);
    cpu.scratch.0.code_limit = if key.bits() == 16 { limit.min(0xffff) } else { limit };
}

/// The same for one segment.
fn prepare_segment(cpu: &mut Cpu, key: ModeKey, n: usize) {
    let seg = &cpu.seg[n];
    let real = key.real() || key.v86();
    let data = seg.attr & (attr::S | attr::P) == attr::S | attr::P && seg.attr & attr::UNUSABLE == 0;
    let down = seg.attr & (attr::CODE | attr::DC) == attr::DC;
    let readable = seg.attr & attr::CODE == 0 || seg.attr & attr::RW != 0;
    let writable = seg.attr & attr::CODE == 0 && seg.attr & attr::RW != 0;
    let end = if real || data && !down { u64::from(seg.limit) + 1 } else { 0 };
    let s = &mut cpu.scratch.0;
    s.read_limit[n] = if real || readable { end } else { 0 };
    s.write_limit[n] = if real || writable { end } else { 0 };
}

/// The `Exec` of the run that the calling code belongs to.
///
/// # Safety
/// Called only from functions that translated code calls, with the processor it runs.
unsafe fn exec_of<'a>(cpu: *mut Cpu) -> &'a mut Exec<'a> {
    // SAFETY: `Jit::run` put the pointer there and keeps the `Exec` borrowed, unused, until translated code returns.
    unsafe { &mut *((*cpu).scratch.0.exec as *mut Exec<'a>) }
}

/// A TLB miss at `linear`. 1 if an access of `w` bytes may now be tried again.
extern "sysv64" fn fill(cpu: *mut Cpu, linear: u64, w: u64, write: u64) -> u64 {
    // SAFETY: called by the fill stub only.
    let x = unsafe { exec_of(cpu) };
    x.derived.fills += 1;
    let page = linear & !(PAGE - 1);
    if linear.wrapping_add(w - 1) & !(PAGE - 1) != page {
        return 0;
    }
    // Outside long mode an address beyond 32 bits has wrapped: see `Lower::probe_address`.
    if !x.cpu.canonical(linear) || linear >> 32 != 0 && x.cpu.msr.efer & efer::LMA == 0 {
        return 0;
    }
    let view = own_view(x.cpu);
    let access = if write != 0 { Access::Write } else { Access::Read };
    let withdrawn = x.derived.tlb.withdrawn();
    let done = x.prefetch(linear, access, view).is_ok();
    if x.derived.tlb.withdrawn() != withdrawn {
        // What groups rest on may be gone: `one` has to know.
        x.derived.fill_withdrew = true;
        return 0;
    }
    if !done {
        return 0;
    }
    if x.derived.attention || !x.derived.code_touched.is_empty() {
        return 0;
    }
    let table = x.derived.tlb.table_in_use(x.cpu, view);
    x.cpu.scratch.0.tlb = table;
    let tlb = &x.derived.tlb;
    let hit = if write != 0 { tlb.hit_write(linear, w - 1) } else { tlb.hit_read(linear, w - 1) };
    u64::from(hit.is_some())
}

/// Makes the status flags that translated code left as a recipe. General registers are in place.
fn make_flags(cpu: &mut Cpu) {
    let s = &mut cpu.scratch.0;
    let n = std::mem::take(&mut s.recipe) as u32;
    if n != 0 {
        let values = |r: u8| match usize::from(r) {
            r @ 0..16 => cpu.gpr[r],
            r => s.held[r & (HELD_SLOTS - 1)],
        };
        let f = lower::Recipe::from_number(n).make(values);
        s.flags = to_memory_form(f);
    }
}

/// Puts count, RIP and (if asked) status flags in place for shared code.
fn place(x: &mut Exec<'_>, i: &Insn, packed: u64) {
    make_flags(x.cpu);
    let rest = packed & 0xffff;
    let s = x.cpu.scratch.0;
    x.count = x.limit.wrapping_sub(s.budget as u64).wrapping_sub(rest);
    x.cpu.rip = s.page_rip.wrapping_add(u64::from(i.off)) & Insn::mask(i.code_width());
    if packed >> 32 & 1 != 0 {
        x.cpu.rflags = x.cpu.rflags & !flag::STATUS | from_memory_form(s.flags);
    }
}

fn after(x: &mut Exec<'_>, packed: u64) -> u64 {
    if packed >> 32 & 1 != 0 {
        x.cpu.scratch.0.flags = to_memory_form(x.cpu.rflags);
    }
    let view = own_view(x.cpu);
    let table = x.derived.tlb.table_in_use(x.cpu, view);
    x.cpu.scratch.0.tlb = table;
    let up = x.derived.attention || !x.derived.code_touched.is_empty() || x.cpu.pending_debug != 0;
    if up || remapped(x) { 2 } else { 0 }
}

/// Whether the mapping of code may be another one since translated code was entered: its jumps rest on it.
fn remapped(x: &mut Exec<'_>) -> bool {
    let changes = x.derived.tlb.code_changes();
    if changes == x.derived.space_seen {
        return false;
    }
    let s = &x.cpu.scratch.0;
    let (key, space) = (ModeKey(s.key), s.space);
    let same = space_key(x, key) == space;
    if same {
        x.derived.space_seen = changes;
    }
    !same
}

/// Runs a [`Helper`].
extern "sysv64" fn helper(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the helper stub only, with a function and instruction that `Lower::call` put there.
    let (x, f, i) = unsafe {
        let f: Helper = std::mem::transmute::<usize, Helper>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    match f(x, i) {
        Ok(()) => after(x, packed),
        Err(f) => failed_late(x, packed, f),
    }
}

/// Lets the interpreter run an instruction whose access is not to plain memory: 0 go on, 1 fault, 2 go on outside. Of
/// `packed`, bit 33: it leads a group, bit 34: it is among a group's accesses.
extern "sysv64" fn one(cpu: *mut Cpu, native: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with an instruction that `Lower::slow_paths` put there.
    let (x, i) = unsafe { (exec_of(cpu), &*insns.add((packed >> 16 & 0xffff) as usize)) };
    place(x, i, packed);
    x.derived.slow += 1;
    let (leads, under) = (packed >> 33 & 1 != 0, packed >> 34 & 1 != 0);
    if leads {
        x.derived.group_missed = Some(native as u32);
    }
    let withdrawn = x.derived.tlb.withdrawn();
    let earlier = std::mem::take(&mut x.derived.fill_withdrew);
    match crate::interp::one(x, i) {
        Ok(up) => {
            // Followers may not go on without their leader, or where direct access was taken away.
            let lost = leads || under && (earlier || x.derived.tlb.withdrawn() != withdrawn);
            after(x, packed).max(2 * u64::from(up || lost))
        }
        Err(f) => failed_late(x, packed, f),
    }
}

/// Shared code raised a fault: the engine delivers it at the start of the instruction.
fn failed(x: &mut Exec<'_>, f: Fault) -> u64 {
    x.derived.jit_fault = Some(f);
    1
}

/// The same where the code may have changed status flags before it found out.
fn failed_late(x: &mut Exec<'_>, packed: u64, f: Fault) -> u64 {
    if packed >> 32 & 1 != 0 {
        x.cpu.scratch.0.flags = to_memory_form(x.cpu.rflags);
    }
    failed(x, f)
}

/// Instructions that may still run in this slice after the one at hand.
fn budget_left(x: &Exec<'_>) -> u64 {
    x.cpu.scratch.0.budget.max(0) as u64
}

/// The processor's state has been changed by shared code: what translated code keeps of it follows.
fn follow(x: &mut Exec<'_>) {
    let view = own_view(x.cpu);
    let table = x.derived.tlb.table_in_use(x.cpu, view);
    let flags = to_memory_form(x.cpu.rflags);
    let s = &mut x.cpu.scratch.0;
    s.tlb = table;
    s.flags = flags;
}

/// Runs a [`Helper`] of kind [`Call::Step`](crate::ops::Call): anything may have changed but where control goes.
extern "sysv64" fn step(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: as for `helper`.
    let (x, f, i) = unsafe {
        let f: Helper = std::mem::transmute::<usize, Helper>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    if let Err(f) = f(x, i) {
        return failed_late(x, packed, f);
    }
    follow(x);
    let old = ModeKey(x.cpu.scratch.0.key);
    let key = old.after(x.cpu, i);
    if key == old && i.kind != 0 {
        // POPF may have read its flags from a chip, which may do anything.
        return if x.smooth(budget_left(x)) && !remapped(x) { 0 } else { 2 };
    }
    x.cpu.scratch.0.key = key.0;
    let space = space_key(x, key);
    let same = space == x.cpu.scratch.0.space;
    x.derived.space_seen = x.derived.tlb.code_changes();
    if !x.smooth(budget_left(x)) || key.code64() != old.code64() {
        return 2;
    }
    prepare(x.cpu, key);
    if same {
        return 0;
    }
    x.cpu.scratch.0.space = space;
    x.cpu.scratch.0.exit_rip = x.next_rip(i);
    3
}

/// Runs a [`Helper`] of kind [`Call::Segment`](crate::ops::Call).
extern "sysv64" fn segment(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: as for `helper`.
    let (x, f, i) = unsafe {
        let f: Helper = std::mem::transmute::<usize, Helper>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    if let Err(f) = f(x, i) {
        return failed(x, f);
    }
    let old = ModeKey(x.cpu.scratch.0.key);
    let key = old.after(x.cpu, i);
    if let Some(n) = i.loads_segment()
        && !key.code64()
    {
        prepare_segment(x.cpu, key, n);
    }
    let up = after(x, packed);
    if key == old {
        return up;
    }
    x.cpu.scratch.0.key = key.0;
    prepare(x.cpu, key);
    if up != 0 {
        return up;
    }
    // Another mode is another block.
    x.cpu.scratch.0.space = space_key(x, key);
    x.derived.space_seen = x.derived.tlb.code_changes();
    x.cpu.scratch.0.exit_rip = x.next_rip(i);
    3
}

/// Runs a [`Helper`] of kind [`Call::Transfer`](crate::ops::Call): it sets RIP, and most often the mode.
extern "sysv64" fn transfer(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: as for `helper`.
    let (x, f, i) = unsafe {
        let f: Helper = std::mem::transmute::<usize, Helper>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    if let Err(f) = f(x, i) {
        return failed_late(x, packed, f);
    }
    follow(x);
    x.cpu.scratch.0.exit_rip = x.cpu.rip;
    let old = ModeKey(x.cpu.scratch.0.key);
    let key = ModeKey::of(x.cpu);
    x.cpu.scratch.0.key = key.0;
    if !x.smooth(budget_left(x)) || key.code64() != old.code64() {
        return 2;
    }
    x.cpu.scratch.0.space = space_key(x, key);
    x.derived.space_seen = x.derived.tlb.code_changes();
    prepare(x.cpu, key);
    0
}

/// Runs a string instruction as far as it goes.
extern "sysv64" fn counted(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: as for `helper`.
    let (x, f, i) = unsafe {
        let f: Helper = std::mem::transmute::<usize, Helper>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    let (count, rip) = (x.count, x.cpu.rip);
    let r = f(x, i);
    // The block has paid for one.
    let done = x.count.wrapping_sub(count);
    let s = &mut x.cpu.scratch.0;
    match r {
        Ok(()) => s.budget = s.budget.wrapping_sub(done as i64 - 1),
        Err(f) => {
            s.budget = s.budget.wrapping_sub(done as i64);
            s.flags = to_memory_form(x.cpu.rflags);
            return failed(x, f);
        }
    }
    let spent = s.budget < 0;
    follow(x);
    if x.cpu.rip == rip && Insn::mask(i.code_width()) & rip.wrapping_add(u64::from(i.len)) != rip {
        return 3;
    }
    if spent || !x.smooth(budget_left(x)) || remapped(x) { 2 } else { 0 }
}

/// Makes the image of the guest's x87 state for the host's unit. 0 if that can't serve: an exception is unmasked or waits.
extern "sysv64" fn fpu_load(cpu: *mut Cpu) -> u64 {
    // SAFETY: called by the stub of that name only, as `fill` is.
    let x = unsafe { exec_of(cpu) };
    if x.cpu.fpu.cw & 0x3f != 0x3f || x.cpu.fpu.pending() || x.cpu.ferr {
        return 0;
    }
    x.cpu.fpu.put_host_image(&mut x.cpu.scratch.0.fpu_image);
    1
}

/// Takes the guest's x87 state back from the image that the host's unit stored. The pointers are kept by other means.
extern "sysv64" fn fpu_store(cpu: *mut Cpu) {
    // SAFETY: as for `fpu_load`.
    let x = unsafe { exec_of(cpu) };
    x.cpu.fpu.take_host_image(&x.cpu.scratch.0.fpu_image);
}

/// Runs a vector operation's shared code; operands and result in the scratch area.
extern "sysv64" fn vector(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the vector stub only, with a function and instruction that `Lower::vec` put there.
    let (x, f, i) = unsafe {
        let f: VecFn = std::mem::transmute::<usize, VecFn>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    let v = x.cpu.scratch.0.vec;
    match f(x, i, Vec128([v[0], v[1]]), Vec128([v[2], v[3]])) {
        Ok(r) => {
            x.cpu.scratch.0.vec[4..6].copy_from_slice(&r.0);
            if packed >> 32 & 1 != 0 {
                x.cpu.scratch.0.flags = to_memory_form(x.cpu.rflags);
            }
            0
        }
        Err(f) => failed(x, f),
    }
}
