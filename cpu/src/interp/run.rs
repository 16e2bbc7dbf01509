//! The engine: finds or decodes a block, runs it, and between blocks looks at what may have come up.
//!
//! Order of events at an instruction boundary: Intel SDM volume 3, table 6-2 (7-2 in newer editions). The count is exact:
//! one for each completed instruction, iteration of a string instruction, and delivered exception or interrupt.

use super::{
    Direct,
    blocks::{Blocks, NONE},
    flags::Flags,
    pairs::Pair,
};
use crate::{
    Exec, Fault, decode,
    derived::{Derived, Engine},
    exec::Stop,
    helper,
    insn::{Insn, ModeKey},
    jit::{self, Guest, Jit, Left},
    memory::{PAGE, Place},
    ops::End,
    state::{Activity, Seg, Shadow, flag, gpr},
    watch::Hit,
};
use iced_x86::Code;
use std::time::Instant;

/// DR6.BS: single step.
const DR6_BS: u64 = 1 << 14;

/// Runs the processor until `count` is `limit`, or something else stops it.
pub fn run(exec: &mut Exec<'_>) -> Stop {
    exec.begin();
    let mut blocks = std::mem::take(&mut exec.derived.blocks);
    blocks.begin_slice();
    let flags = Flags::from_rflags(exec.cpu.rflags);
    let mut d = Direct {
        x: Exec {
            cpu: &mut *exec.cpu,
            mem: &mut *exec.mem,
            derived: &mut *exec.derived,
            board: &mut *exec.board,
            clock: exec.clock,
            count: exec.count,
            limit: exec.limit,
        },
        flags,
        rip_base: 0,
        count0: exec.count,
        at: 0,
        stop_at: 0,
        attention: true,
        fault: None,
        placed: false,
        key: ModeKey::default(),
    };
    let mut jit = translator(d.x.derived, &mut blocks);
    let started = d.x.derived.measure.then(Instant::now);
    let stop = d.drive(&mut blocks, &mut jit);
    if let Some(t) = started {
        d.x.derived.times[2] += t.elapsed();
    }
    d.x.derived.jit = jit;
    d.sync_flags();
    let count = d.x.count;
    exec.count = count;
    exec.derived.blocks = blocks;
    stop
}

/// Runs instruction `i` in the middle of translated code, which found an access that it can't make itself. It is one
/// that neither jumps nor calls shared code; RIP, count and status flags are in place. True if something has come up.
pub(crate) fn one(x: &mut Exec<'_>, i: &Insn) -> Result<bool, Fault> {
    let mut d = Direct {
        flags: Flags::from_rflags(x.cpu.rflags),
        rip_base: x.cpu.rip.wrapping_sub(u64::from(i.off)),
        count0: x.count,
        at: 0,
        stop_at: 1,
        attention: false,
        fault: None,
        placed: false,
        key: ModeKey(x.cpu.scratch.0.key),
        x: Exec {
            cpu: &mut *x.cpu,
            mem: &mut *x.mem,
            derived: &mut *x.derived,
            board: &mut *x.board,
            clock: x.clock,
            count: x.count,
            limit: x.limit,
        },
    };
    let r = match (i.handler)(&mut d, i) {
        Ok(()) => Ok(d.attention),
        Err(_) => Err(d.failed(i, 0)),
    };
    d.sync_flags();
    r
}

/// Takes the translator out of `derived`, making it first if the engine wants one.
fn translator(derived: &mut Derived, blocks: &mut Blocks) -> Option<Box<Jit>> {
    let size = derived.tlb.size();
    match derived.engine {
        Engine::Interpreter => return None,
        _ if derived.jit.as_ref().is_some_and(|j| j.tlb_size() == size) => {}
        _ => {
            let code = derived.code_memory.unwrap_or(crate::jit::CODE_SIZE);
            derived.jit = Jit::new(code, size, derived.own_flags).map(Box::new);
            if derived.jit.is_none() {
                derived.engine = Engine::Interpreter;
            }
            if let Some(j) = &mut derived.jit {
                j.list = derived.list > 0;
            }
            blocks.forget_natives();
        }
    }
    derived.jit.take()
}

/// Where the next instruction comes from.
enum Found {
    /// A block.
    Block(u32),
    /// One instruction that is not kept in a block (it crosses a page, or its bytes aren't in RAM).
    Single(Insn, End),
}

impl Direct<'_> {
    fn drive(&mut self, blocks: &mut Blocks, jit: &mut Option<Box<Jit>>) -> Stop {
        let mut from = NONE;
        let mut left = Left::Go;
        // Blocks are looked up without a turn where nobody looks at what is found: no translator, no debugger.
        let alone = jit.is_none() && !self.x.derived.watch.has_code();
        loop {
            let known = if self.attention || self.x.count >= self.x.limit {
                NONE
            } else {
                let id = self.linked(blocks, from);
                if id == NONE && alone { self.known(blocks, from).unwrap_or(NONE) } else { id }
            };
            if known == NONE {
                if let Err(stop) = self.turn(blocks, &mut from, jit, &mut left) {
                    return stop;
                }
                continue;
            }
            from = known;
            if let Err(f) = self.run_block(blocks, known) {
                from = NONE;
                if let Err(stop) = self.deliver(f) {
                    return stop;
                }
            }
        }
    }

    /// Looks at what came up, finds or decodes the next block, and runs it, with the delivery of its fault.
    #[inline(never)]
    fn turn(
        &mut self,
        blocks: &mut Blocks,
        from: &mut u32,
        jit: &mut Option<Box<Jit>>,
        left: &mut Left,
    ) -> Result<(), Stop> {
        let Err(f) = self.look_and_run(blocks, from, jit, left)? else { return Ok(()) };
        *from = NONE;
        self.deliver(f)
    }

    #[inline(always)]
    fn look_and_run(
        &mut self,
        blocks: &mut Blocks,
        from: &mut u32,
        jit: &mut Option<Box<Jit>>,
        left: &mut Left,
    ) -> Result<Result<(), Fault>, Stop> {
        let mut one = false;
        if self.attention {
            *from = NONE;
            self.sync_flags();
            self.boundary(blocks)?;
            self.take_flags();
            one = self.attention;
        }
        if self.x.count >= self.x.limit {
            return Err(Stop::Limit);
        }
        // A flush while looking voids `from`.
        let era = blocks.statistics.flushed;
        let found = self.find(blocks);
        if self.x.derived.watch.has_code()
            && let Ok(f) = &found
            && let Some(r) = self.under_watch(blocks, f, one)?
        {
            (*from, *left) = (NONE, Left::Go);
            return Ok(r);
        }
        Ok(match found {
            Ok(Found::Block(id)) => {
                if *from != NONE && era == blocks.statistics.flushed {
                    self.remember(blocks, *from, id);
                }
                if let Some(j) = jit {
                    // Each block is looked up, so that it is found when it is hot.
                    *from = NONE;
                    if !one {
                        return Ok(self.native_or_one(blocks, j, id, left));
                    }
                    if *left == Left::Jump
                        && self.only_resumes()
                        && let Some(native) = self.native(blocks, j, id, *left)
                    {
                        self.attention = false;
                        self.x.derived.resumed = Some(self.x.count);
                        return Ok(self.enter_native(blocks, j, native, left));
                    }
                } else {
                    *from = id;
                }
                *left = Left::Go;
                if one { self.step(blocks, id) } else { self.run_block(blocks, id) }
            }
            Ok(Found::Single(i, end)) => {
                if let Some(j) = jit {
                    j.statistics.crossing += 1;
                }
                *from = NONE;
                *left = Left::Go;
                if one { self.watch_one(&i, end) } else { self.run_insns(&[i], 1, end) }
            }
            Err(f) => Err(f),
        })
    }

    /// What was found has an instruction at a debugger's breakpoint, or at its offset in another page: stops at one, else runs
    /// up to the next. `None` if it has none.
    #[cold]
    fn under_watch(
        &mut self,
        blocks: &Blocks,
        found: &Found,
        one: bool,
    ) -> Result<Option<Result<(), Fault>>, Stop> {
        let linear = self.x.cpu.seg[Seg::Cs as usize].base.wrapping_add(self.x.cpu.rip);
        let linear = if self.key.code64() { self.x.cpu.rip } else { linear & 0xffff_ffff };
        let (insns, end, frame) = match found {
            Found::Block(id) => {
                let b = blocks.block(*id);
                (blocks.insns(b), b.end, Some((b.at / PAGE) as u32))
            }
            Found::Single(i, end) => (std::slice::from_ref(i), *end, None),
        };
        let watch = &mut self.x.derived.watch;
        if !insns.iter().any(|i| watch.stops_in(i.off)) {
            return Ok(None);
        }
        let pass = watch.pass == Some(self.x.count);
        let (a, b) = watch.code(self.x.mem, linear, frame).unwrap_or((&[], &[]));
        let at = |off: u16| a.contains(&off) || b.contains(&off);
        // The rest of a repeated instruction is not a new arrival.
        let again = self.x.cpu.rflags & flag::RF != 0 && end == End::Counted && insns.len() == 1;
        if at(insns[0].off) && !pass && !again {
            watch.push(Hit::Code { linear });
            return Err(Stop::Debug);
        }
        let n = insns[1..].iter().position(|i| at(i.off)).map_or(insns.len(), |k| k + 1);
        let n = n.min((self.x.limit - self.x.count) as usize).max(1);
        self.rip_base = self.x.cpu.rip.wrapping_sub(linear % PAGE);
        let alone = if insns.len() == 1 { end } else { End::No };
        Ok(Some(if one { self.watch_one(&insns[0], alone) } else { self.run_insns(insns, n as u32, end) }))
    }

    /// Runs a block's translation. Without one: the whole block while it is cold, else its first instruction, which
    /// translated code left to the interpreter.
    fn native_or_one(
        &mut self,
        blocks: &mut Blocks,
        j: &mut Jit,
        id: u32,
        left: &mut Left,
    ) -> Result<(), Fault> {
        if let Some(native) = self.native(blocks, j, id, *left) {
            return self.enter_native(blocks, j, native, left);
        }
        let b = blocks.block(id);
        if b.native != crate::jit::REFUSED && *left != Left::Interpret {
            // Cold, or longer than what is left of the slice.
            j.statistics.cold += 1;
            *left = Left::Go;
            if !self.key.code_flat() || !blocks.nearly_hot(id) {
                return self.run_block(blocks, id);
            }
            self.note_caller(blocks, id);
            self.run_block(blocks, id)?;
            let b = blocks.block(id);
            if b.end == End::Jump && blocks.insns(b).last().is_some_and(super::traces::is_return) {
                blocks.note_return(id, self.x.cpu.rip);
            }
            return Ok(());
        }
        *left = Left::Go;
        self.rip_base = self.x.cpu.rip.wrapping_sub(b.at % PAGE);
        let insns = blocks.insns(b);
        j.handed[insns[0].code as usize] += 1;
        self.run_insns(insns, 1, b.end)
    }

    /// Block `id` is about to run: if it has just been called, from this place most likely, its function will return to behind that.
    fn note_caller(&mut self, blocks: &mut Blocks, id: u32) {
        let (w, mask) = if self.key.code64() { (8, u64::MAX) } else { (4, 0xffff_ffff) };
        let (rip, sp) = (self.x.cpu.rip, self.x.cpu.gpr[gpr::RSP] & mask);
        let tlb = &self.x.derived.tlb;
        let Some(at) = tlb.hit_read(sp, w - 1).filter(|_| self.key.flat() >> Seg::Ss as u8 & 1 != 0) else {
            return;
        };
        let to = if w == 8 { self.x.mem.ram.read::<u64>(at) } else { self.x.mem.ram.read::<u32>(at).into() };
        // CALL rel32
        let call = to.wrapping_sub(5) & mask;
        if call % PAGE > PAGE - 5 {
            return;
        }
        let Some(at) = tlb.hit_execute(call) else { return };
        let by = i64::from(self.x.mem.ram.read::<u32>(at + 1) as i32);
        if self.x.mem.ram.read::<u8>(at) == 0xe8 && to.wrapping_add_signed(by) & mask == rip {
            blocks.note_return(id, to);
        }
    }

    /// Whether the next instruction must run alone for RF only, which no breakpoint asks for: translated code may begin with it.
    fn only_resumes(&self) -> bool {
        let c = &*self.x.cpu;
        let only = c.rflags & (flag::TF | flag::RF) == flag::RF && c.shadow == Shadow::None;
        only && self.x.derived.code_touched.is_empty() && !c.has_code_breakpoints()
    }

    fn enter_native(
        &mut self,
        blocks: &mut Blocks,
        j: &mut Jit,
        native: u32,
        left: &mut Left,
    ) -> Result<(), Fault> {
        *left = self.run_native(blocks, j, native);
        if let Some((missed, page)) = self.x.derived.group_missed.take()
            && let Some((block, how)) = j.group_missed(missed, page, self.x.count)
        {
            match how {
                jit::Remake::Sharing(sharing) => blocks.share(block, sharing),
                jit::Remake::OnePage => blocks.keep_to_page(block),
                jit::Remake::Anywhere => blocks.make_movable(block),
            }
            // It was left with a fault or with something to look at: no link to be made names it.
            j.drop_native(missed);
        }
        if let Some(strayed) = self.x.derived.strayed.take()
            && let Some(block) = j.guessed_wrong(strayed, self.x.count)
        {
            blocks.make_certain(block);
            j.drop_native(strayed);
        }
        match *left {
            Left::Fault(f) => Err(f),
            _ => Ok(()),
        }
    }

    /// The translation of a block, if it has one (or is hot enough to get one) and may run it now. `left` is how
    /// translated code came here, so that it finds its own way next time.
    #[inline]
    fn native(&mut self, blocks: &mut Blocks, j: &mut Jit, id: u32, left: Left) -> Option<u32> {
        if left == Left::Interpret {
            return None;
        }
        if blocks.emptied {
            blocks.emptied = false;
            j.clear();
        }
        while let Some(n) = blocks.dropped.pop() {
            j.drop_native(n);
        }
        let b = blocks.block(id);
        let (at, native) = (b.at, b.native);
        if native == crate::jit::REFUSED {
            return None;
        }
        let native = if native == crate::jit::NONE { self.translate(blocks, j, id)? } else { native };
        if self.x.limit - self.x.count < u64::from(blocks.block(id).paid) {
            if blocks.seen_much(id) {
                self.reshape(blocks, j, id);
            }
            return None;
        }
        match left {
            Left::Link { from, n } => {
                let page = self.x.mem.ram.base() as u64 + at / PAGE * PAGE;
                let same = j.block_of(from).is_some_and(|f| {
                    let f = blocks.block(f);
                    let there = match j.link_beyond(from, n) {
                        Some(second) => second == page,
                        None => j.link_page(from, n).unwrap_or(f.at) / PAGE == at / PAGE,
                    };
                    there && f.key == self.key
                });
                if same {
                    j.link(from, n, native, 0, 0);
                }
            }
            Left::Jump => {
                let base = if self.key.code_flat() { 0 } else { self.x.cpu.seg[Seg::Cs as usize].base };
                let linear = base.wrapping_add(self.x.cpu.rip);
                let rip = self.x.cpu.rip;
                j.remember_jump(&mut self.x, self.key, rip, linear, native);
            }
            Left::FarLink { from, n } => {
                let same = j.block_of(from).is_some_and(|f| {
                    let f = blocks.block(f);
                    f.key == self.key
                });
                if same && self.key.code_flat() {
                    let rip = self.x.cpu.rip;
                    j.remember_jump(&mut self.x, self.key, rip, rip, native);
                    j.link_far(&mut self.x, from, n, native, rip);
                }
            }
            Left::Go | Left::Attention | Left::Interpret | Left::Fault(_) => {}
        }
        Some(native)
    }

    fn translate(&mut self, blocks: &mut Blocks, j: &mut Jit, id: u32) -> Option<u32> {
        if !self.x.derived.eager && !blocks.warm(id) {
            return None;
        }
        let started = self.x.derived.measure.then(Instant::now);
        let (asked, (id, rip, path)) = (id, self.trace(blocks, id));
        let b = blocks.block(id);
        let frame = if b.second == NONE { path.second } else { b.second };
        let second = (frame != NONE).then(|| self.x.mem.ram.base() as u64 + u64::from(frame) * PAGE);
        let bytes = if j.list { self.bytes_of(b.at, frame, &path) } else { Vec::new() };
        let guest = Guest { at: b.at, rip, bytes: &bytes };
        let code = jit::Code {
            insns: &path.insns,
            turns: &path.turns,
            key: b.key,
            ends: matches!(path.end, End::Jump | End::Transfer),
            second,
            sharing: b.sharing,
            certain: b.certain,
            anywhere: b.anywhere,
            returns: path.returns,
        };
        let made = j.translate(id, guest, code);
        if let Some(t) = started {
            self.x.derived.times[1] += t.elapsed();
        }
        let Some(native) = made else {
            j.clear();
            blocks.forget_natives();
            return None;
        };
        j.open_hops(&mut self.x, native, rip & !(PAGE - 1));
        let paid = j.length(native);
        blocks.set_native(id, native, paid);
        if path.back {
            blocks.fine(id);
        }
        for (part, from) in path.parts {
            if from < paid {
                blocks.set_part(part, id, native);
            }
        }
        (native != crate::jit::REFUSED && id == asked).then_some(native)
    }

    /// The bytes of a path's instructions: it begins at `at` in RAM, and goes on in the page `frame` behind that.
    fn bytes_of(&self, at: u64, frame: u32, path: &super::traces::Path) -> Vec<u8> {
        let (mut page, mut bytes, mut byte) = (at / PAGE * PAGE, Vec::new(), [0]);
        let mut turns = path.turns.iter().peekable();
        for (n, i) in path.insns.iter().enumerate() {
            for off in (0..u64::from(i.len)).map(|k| u64::from(i.off) + k) {
                let at = if off < PAGE { page + off } else { u64::from(frame) * PAGE + off - PAGE };
                self.x.mem.ram.copy_out(at as usize, &mut byte);
                bytes.push(byte[0]);
            }
            if let Some(hop) = turns.next_if(|t| usize::from(t.n) == n).and_then(|t| t.hop) {
                page = hop.at;
            }
        }
        bytes
    }

    fn run_native(&mut self, blocks: &mut Blocks, j: &mut Jit, native: u32) -> Left {
        self.sync_flags();
        let started = self.x.derived.measure.then(Instant::now);
        let left = j.run(&mut self.x, blocks, self.key, native);
        if let Some(t) = started {
            self.x.derived.times[0] += t.elapsed();
        }
        self.take_flags();
        let x = &self.x;
        if left == Left::Attention
            || x.derived.attention
            || !x.derived.code_touched.is_empty()
            || x.cpu.pending_debug != 0
            || x.cpu.rflags & flag::RF != 0
        {
            self.attention = true;
        }
        // A far transfer may have changed it.
        self.key = ModeKey(x.cpu.scratch.0.key);
        left
    }

    /// A successor that is known from before, or [`NONE`].
    #[inline(always)]
    fn linked(&self, blocks: &Blocks, from: u32) -> u32 {
        if from == NONE {
            return NONE;
        }
        let off = self.x.cpu.rip.wrapping_sub(self.rip_base);
        let next = &blocks.block(from).next;
        let id = if off == u64::from(next[0].0) {
            next[0].1
        } else if off == u64::from(next[1].0) {
            next[1].1
        } else {
            return NONE;
        };
        if id != NONE && blocks.block(id).key == self.key { id } else { NONE }
    }

    /// The block at RIP, if it was found before and is all in one page.
    #[inline(always)]
    fn known(&self, blocks: &Blocks, from: u32) -> Option<u32> {
        let rip = self.x.cpu.rip;
        // Within the page a link is to be made.
        if from != NONE && rip.wrapping_sub(self.rip_base) < PAGE && blocks.block(from).has_room() {
            return None;
        }
        let cs = &self.x.cpu.seg[Seg::Cs as usize];
        let flat = self.key.code_flat();
        let linear = if flat { rip } else { cs.base.wrapping_add(rip) & 0xffff_ffff };
        let at = self.x.derived.tlb.hit_execute(linear)? as u64;
        let id = blocks.found(at, self.key)?;
        let b = blocks.block(id);
        // RIP itself is below what the last byte's offset is compared with.
        let fits = flat || rip + u64::from(b.end_off) - at % PAGE - 1 <= u64::from(cs.limit);
        (b.second == NONE && fits).then_some(id)
    }

    #[inline]
    fn remember(&mut self, blocks: &mut Blocks, from: u32, to: u32) {
        let off = self.x.cpu.rip.wrapping_sub(self.rip_base);
        let (f, t) = (blocks.block(from), blocks.block(to));
        if off < PAGE && t.at / PAGE == f.at / PAGE && t.second == NONE {
            let next = &blocks.block(from).next;
            if next[0] != (off as u16, to) && next[1] != (off as u16, to) {
                blocks.link(from, off as u16, to);
            }
        }
    }

    /// Runs as much of a block as the budget allows.
    #[inline(always)]
    fn run_block(&mut self, blocks: &Blocks, id: u32) -> Result<(), Fault> {
        let b = blocks.block(id);
        self.rip_base = self.x.cpu.rip.wrapping_sub(b.at % PAGE);
        let left = self.x.limit - self.x.count;
        let insns = blocks.insns(b);
        if left < insns.len() as u64 {
            return self.run_insns(insns, left as u32, b.end);
        }
        match b.pair {
            Some(pair) => self.run_paired(insns, pair),
            None => self.run_insns(insns, insns.len() as u32, b.end),
        }
    }

    /// Runs all of `insns`, the last two (which end in a jump) as one.
    #[inline(always)]
    fn run_paired(&mut self, insns: &[Insn], pair: Pair) -> Result<(), Fault> {
        let n = insns.len();
        let [head @ .., a, b] = insns else { return Ok(()) };
        let stop = head.len() as u32;
        self.count0 = self.x.count;
        self.stop_at = stop;
        for (k, i) in head.iter().enumerate() {
            self.at = k as u32;
            if (i.handler)(self, i).is_err() {
                return Err(self.failed(i, k as u32));
            }
            if self.stop_at != stop {
                return self.leave(i, k as u32 + 1);
            }
        }
        self.at = stop;
        if pair(self, a, b).is_err() {
            let i = if self.at == stop { a } else { b };
            return Err(self.failed(i, self.at));
        }
        self.x.count = self.count0 + n as u64;
        Ok(())
    }

    /// The block stops after `last`, its `k`-th instruction from one.
    #[inline(always)]
    fn leave(&mut self, last: &Insn, k: u32) -> Result<(), Fault> {
        self.x.count = self.count0 + u64::from(k);
        self.x.cpu.rip = self.rip_base.wrapping_add(u64::from(last.off) + u64::from(last.len))
            & Insn::mask(last.code_width());
        Ok(())
    }

    /// Runs the first `n` of `insns`. RIP is at the first of them and `rip_base` fits.
    #[inline(always)]
    fn run_insns(&mut self, insns: &[Insn], n: u32, end: End) -> Result<(), Fault> {
        self.count0 = self.x.count;
        self.stop_at = n;
        let mut k = 0;
        loop {
            self.at = k;
            let i = &insns[k as usize];
            if (i.handler)(self, i).is_err() {
                return Err(self.failed(i, k));
            }
            k += 1;
            if k >= self.stop_at {
                break;
            }
        }
        if k as usize == insns.len() && end != End::No {
            if end != End::Counted {
                self.x.count = self.count0 + u64::from(k);
            }
            return Ok(());
        }
        self.leave(&insns[k as usize - 1], k)
    }

    #[cold]
    fn failed(&mut self, i: &Insn, k: u32) -> Fault {
        if !std::mem::take(&mut self.placed) {
            self.x.count = self.count0 + u64::from(k);
            self.x.cpu.rip = self.start_of(i);
        }
        self.fault.take().unwrap_or(Fault::ud())
    }

    /// Runs one instruction with everything that a debugger's flags ask for.
    fn step(&mut self, blocks: &Blocks, id: u32) -> Result<(), Fault> {
        let b = blocks.block(id);
        self.rip_base = self.x.cpu.rip.wrapping_sub(b.at % PAGE);
        let i = blocks.insns(b)[0];
        let end = if b.count == 1 { b.end } else { End::No };
        self.watch_one(&i, end)
    }

    /// One instruction under TF, RF, a shadow or code breakpoints.
    fn watch_one(&mut self, i: &Insn, end: End) -> Result<(), Fault> {
        let before = self.x.cpu.rflags;
        self.x.cpu.shadow = Shadow::None;
        self.attention = true;
        let rip = self.x.cpu.rip;
        self.run_insns(std::slice::from_ref(i), 1, end)?;
        let code = i.code();
        let returns = matches!(code, Code::Iretw | Code::Iretd | Code::Iretq);
        // An iteration of a repeated instruction leaves RF as it is.
        let again = self.x.cpu.rip == rip && end == End::Counted;
        if before & flag::RF != 0 && !returns && !again {
            self.x.cpu.rflags &= !flag::RF;
        }
        let gate = matches!(
            code,
            Code::Int3 | Code::Int_imm8 | Code::Into | Code::Int1 | Code::Syscall | Code::Sysenter
        );
        if before & flag::TF != 0 && !gate && self.x.cpu.shadow != Shadow::MovSs {
            self.x.cpu.pending_debug |= DR6_BS;
        }
        Ok(())
    }

    /// Finds the block at RIP, decoding it if need be.
    fn find(&mut self, blocks: &mut Blocks) -> Result<Found, Fault> {
        let rip = self.x.cpu.rip;
        let flat = self.key.code_flat();
        let linear = if flat {
            rip
        } else {
            let cs = &self.x.cpu.seg[Seg::Cs as usize];
            if rip > u64::from(cs.limit) {
                return Err(Fault::gp(0));
            }
            cs.base.wrapping_add(rip) & 0xffff_ffff
        };
        let at = match self.x.derived.tlb.hit_execute(linear) {
            Some(at) => at as u64,
            None => {
                if self.key.code64() && !self.x.cpu.canonical(linear) {
                    return Err(Fault::gp(0));
                }
                let (_, place) = self.x.fetch_page(linear)?;
                match place {
                    Place::Frame(f) => u64::from(f) * PAGE + linear % PAGE,
                    _ => return self.single(blocks, linear),
                }
            }
        };
        let id = match blocks.find(at, self.key) {
            Some(id) => id,
            None => match decode::block(&mut self.x, blocks, at, self.key) {
                Some(id) => id,
                None => match self.crossing(blocks, at, linear)? {
                    Some(id) => id,
                    None => return self.single(blocks, linear),
                },
            },
        };
        let second = blocks.block(id).second;
        if second != NONE && self.frame_after(linear)? != Some(second) {
            return self.single(blocks, linear);
        }
        if !flat {
            let b = blocks.block(id);
            let last = rip + u64::from(b.end_off) - b.at % PAGE - 1;
            if last > u64::from(self.x.cpu.seg[Seg::Cs as usize].limit) {
                return self.single(blocks, linear);
            }
        }
        Ok(Found::Block(id))
    }

    /// Enters the instruction at `at`, which crosses into the next page, and those behind it as a block, if both pages are in RAM.
    #[inline(never)]
    fn crossing(&mut self, blocks: &mut Blocks, at: u64, linear: u64) -> Result<Option<u32>, Fault> {
        let Some(second) = self.frame_after(linear)? else { return Ok(None) };
        // Breakpoints have offsets in one page only, and RIP may wrap between two.
        let on = self.key.code_flat() && !self.x.derived.watch.has_code() && linear >> 12 != 0xf_ffff;
        Ok(decode::crossing(&mut self.x, blocks, at, self.key, second, on))
    }

    /// The frame that code runs on into from the page of `linear`, if it is in RAM.
    fn frame_after(&mut self, linear: u64) -> Result<Option<u32>, Fault> {
        let next = (linear | (PAGE - 1)).wrapping_add(1);
        let next = if self.key.code64() { next } else { next & 0xffff_ffff };
        if self.wraps() || self.key.code64() && !self.x.cpu.canonical(next) {
            return Ok(None);
        }
        Ok(match self.x.fetch_page(next)?.1 {
            Place::Frame(f) => Some(f),
            _ => None,
        })
    }

    /// Fetches and decodes the one instruction at RIP from wherever its bytes are.
    #[inline(never)]
    fn single(&mut self, blocks: &mut Blocks, linear: u64) -> Result<Found, Fault> {
        let mut bytes = [0; 16];
        let n = self.fetch(linear, &mut bytes)?;
        let off = (linear % PAGE) as u16;
        let rip = self.x.cpu.rip;
        self.rip_base = rip.wrapping_sub(u64::from(off));
        let (i, end) = match blocks.crossing(&bytes, self.key, off) {
            Some(c) if n == 15 => c,
            _ => {
                let Some(c) = decode::one(&self.x, &bytes[..n], off, self.key) else {
                    // More bytes are needed than could be had: the fault of the page that they are in.
                    let next = linear.wrapping_add(n as u64);
                    let next = if self.key.code64() { next } else { next & 0xffff_ffff };
                    if self.key.code64() && !self.x.cpu.canonical(next) {
                        return Err(Fault::gp(0));
                    }
                    return Err(self.x.fetch_page(next).err().unwrap_or(Fault::ud()));
                };
                if n == 15 {
                    blocks.keep_crossing(bytes, self.key, c.0, c.1);
                }
                c
            }
        };
        if !self.key.code_flat() {
            let last = rip + u64::from(i.len) - 1;
            if last > u64::from(self.x.cpu.seg[Seg::Cs as usize].limit) && !self.wraps() {
                return Err(Fault::gp(0));
            }
        }
        Ok(Found::Single(i, end))
    }

    /// Instruction bytes from `linear` on; on an 8086 they wrap at the end of the code segment.
    fn fetch(&mut self, linear: u64, bytes: &mut [u8; 16]) -> Result<usize, Fault> {
        let before = (0x1_0000 - self.x.cpu.rip.min(0xffff)) as usize;
        if !self.wraps() || before >= 15 {
            return self.x.fetch_bytes(linear, &mut bytes[..15]);
        }
        let base = self.x.cpu.seg[Seg::Cs as usize].base;
        let n = self.x.fetch_bytes(linear, &mut bytes[..before])?;
        Ok(n + self.x.fetch_bytes(base, &mut bytes[before..15])?)
    }

    /// Whether IP runs from FFFFh to 0 without a fault.
    fn wraps(&self) -> bool {
        self.x.cpu.model.generation == crate::model::Generation::I8086
    }

    fn deliver(&mut self, f: Fault) -> Result<(), Stop> {
        self.x.derived.watch.failed();
        self.sync_flags();
        self.attention = true;
        let r = helper::deliver_fault(&mut self.x, f);
        self.take_flags();
        r
    }

    /// Looks at everything that may have come up since the last instruction. Leaves `attention` set if the next
    /// instruction must run alone. Flags are in `cpu.rflags`.
    #[inline(never)]
    fn boundary(&mut self, blocks: &mut Blocks) -> Result<(), Stop> {
        loop {
            for t in std::mem::take(&mut self.x.derived.code_touched) {
                blocks.touched(self.x.mem, t);
            }
            if self.x.derived.watch.hit() {
                return Err(Stop::Debug);
            }
            if self.x.derived.attention {
                self.x.derived.attention = false;
                self.x.cpu.intr = self.x.board.interrupt_line(self.x.cpu.index);
                if self.x.board.slice_must_end() {
                    return Err(Stop::Board);
                }
            }
            if self.x.count >= self.x.limit {
                return Err(Stop::Limit);
            }
            if !self.event()? {
                break;
            }
        }
        let cpu = &*self.x.cpu;
        self.key = ModeKey::of(cpu);
        let armed = cpu.has_code_breakpoints();
        if armed {
            let at = cpu.seg[Seg::Cs as usize].base.wrapping_add(cpu.rip);
            let at = if cpu.is_64() { cpu.rip } else { at & 0xffff_ffff };
            if let Some(f) = helper::code_breakpoint(cpu, at) {
                // The handler finds RF as it was; it sets it in the image to get past the instruction.
                helper::deliver_fault(&mut self.x, f)?;
                return self.boundary(blocks);
            }
        }
        self.attention = armed
            || cpu_alone(self.x.cpu.rflags, self.x.cpu.shadow)
            || !self.x.derived.code_touched.is_empty();
        Ok(())
    }

    /// Delivers the most urgent pending event. True if there was one.
    fn event(&mut self) -> Result<bool, Stop> {
        let cpu = &mut *self.x.cpu;
        let ss = cpu.shadow == Shadow::MovSs;
        let open = cpu.intr && cpu.rflags & flag::IF != 0 && cpu.shadow == Shadow::None;
        let nmi = cpu.nmi_pending && !cpu.nmi_blocked && !ss;
        if cpu.smi_pending && !cpu.smm && matches!(cpu.activity, Activity::Running | Activity::Halted) {
            helper::enter_smm(&mut self.x);
            return Ok(true);
        }
        match cpu.activity {
            Activity::Running => {}
            Activity::Halted if open || nmi || cpu.pending_debug != 0 => cpu.activity = Activity::Running,
            Activity::Halted | Activity::WaitForSipi => return Err(Stop::Halted),
            Activity::Shutdown => return Err(Stop::TripleFault),
        }
        if cpu.pending_debug != 0 && !ss {
            let bits = std::mem::take(&mut cpu.pending_debug);
            return helper::deliver_fault(&mut self.x, Fault::db(bits)).map(|()| true);
        }
        if nmi {
            cpu.nmi_pending = false;
            return helper::deliver_nmi(&mut self.x).map(|()| true);
        }
        if open {
            let at = self.x.moment();
            let v = self.x.board.acknowledge(self.x.mem, at);
            self.x.after_board();
            return helper::deliver_interrupt(&mut self.x, v).map(|()| true);
        }
        Ok(false)
    }
}

/// Whether the next instruction must run alone: TF and RF act after it, a shadow ends with it.
fn cpu_alone(rflags: u64, shadow: Shadow) -> bool {
    rflags & (flag::TF | flag::RF) != 0 || shadow != Shadow::None
}
