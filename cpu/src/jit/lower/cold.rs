//! Code out of the hot path: misses, faults, ways out of the middle, links that are still to be made.

use super::exit::{Far, Handed, Link, Near, SIGN};
use super::recipe::Recipe;
use super::{Held, Linear, Lower, Place, Range, x87};
use crate::jit::Hop;
use crate::jit::encode::{Label, Mem, R, Rm};
use crate::jit::groups::{self, Role};
use crate::jit::ir::Op;
use crate::jit::regs::{TABLE, field};
use crate::jit::runtime;
use crate::jit::stubs::{Target, entry_code, entry_rip};
use crate::mmu::table::Array;
use crate::ops::Jump;
use crate::state::gpr;

/// Code out of the hot path, written after it.
pub(super) enum Cold {
    /// A probe missed: fill and try again, or leave before instruction `n`. `group`: the probe is for more than the access.
    Fill { from: Label, back: Label, write: bool, w: u8, lin: Linear, at: Place, group: Option<Range> },
    /// A probe of the stack, at `m`, was not for the page that is noted: look at the table; `note` this one, or count a guess that
    /// failed. `temps`: as [`Lower::look_at_stack`] has them.
    Stack {
        from: Label,
        back: Label,
        temps: (R, R),
        write: bool,
        w: u8,
        m: Mem,
        at: Place,
        group: Option<Range>,
        note: bool,
    },
    /// The delta in `x` is not the one that was guessed: it will be the next time.
    Guess { from: Label, back: Label, x: R, guess: Mem },
    /// A sum may wrap that the addresses of a group have in them: the interpreter runs the leader.
    Wraps { from: Label, lin: Linear, at: Place },
    /// Load the guest's x87 state, or leave before the instruction.
    Fpu { from: Label, back: Label, at: Place },
    /// Load the guest's vector state.
    Vectors { from: Label, back: Label },
    /// The code is made for a page at another RIP than where it now runs. `near`: to be looked at whether that is so.
    Moved { from: Label, near: Label, page: i32 },
    /// The space's code isn't mapped as it was when the page behind was last looked for: `out` if it isn't the host page `frame` now.
    Behind { from: Label, back: Label, frame: u64, out: Label },
    /// The page behind, at R14, isn't in the first entry of its place in the TLB.
    SecondCode { from: Label, back: Label, out: Label },
    /// Leave before the instruction.
    Bail { from: Label, at: Place },
    /// Of the running page some is outside the code segment: `out` if `off` is.
    Limit { from: Label, back: Label, out: Label, off: u16, t: R },
    /// Leave after instruction `n` to offset `to` of the page.
    Side { from: Label, n: u16, to: u16, flags: Handed, note: Option<x87::Note>, hop: Option<Hop> },
    /// The return at hand, which pops so many bytes, leads elsewhere than was expected: to what `to` holds.
    Elsewhere { from: Label, at: Place, to: Rm, w: u8, popped: i32 },
    /// The first slot of the jump cache has no code for the target, in R14, of the indirect jump at the end. `popped`: what a
    /// return has added to RSP.
    Unknown { from: Label, why: Jump, popped: i32 },
    /// The code at the target of the indirect jump at the end, whose entry in the jump cache is in R15, needs the flags.
    Refused { from: Label, recipe: Recipe },
}

impl Lower<'_> {
    /// Looks for the page at R14 in the second entry of its place in the TLB: `again` if it is in the first now, else `out`.
    pub(super) fn second_code(&mut self, again: Label, out: Label) {
        self.asm.store(8, field::fill(), R::R14);
        self.call_to(Target::SecondCode);
        self.asm.jcc(4, again);
        self.asm.jmp(out);
    }

    /// The cold part of a side exit.
    fn side_path(&mut self, n: u16, to: u16, flags: Handed, note: Option<x87::Note>, hop: Option<Hop>) {
        self.hop = hop;
        if let Some(note) = note {
            self.store_note(note, R::R14);
        }
        let mut left = None;
        match flags {
            Handed::Memory => {}
            Handed::Recipe(r) => {
                left = self.leave_with(r);
                if left.is_none() {
                    self.cook_cold(Some(r));
                }
            }
            Handed::Host => {
                self.asm.mov(8, R::R14, R::RAX);
                self.asm.setcc(0, R::RAX);
                self.asm.lahf();
                self.asm.store(2, field::flags(), R::RAX);
                self.asm.mov(8, R::RAX, R::R14);
                self.asm.store_imm(4, field::recipe(), 0);
            }
        }
        self.give_back(usize::from(n) + 1);
        self.link_with(to, Some(left));
    }

    /// For each instruction that the interpreter can run from here: where that is done.
    pub(super) fn slow_labels(&mut self) -> Vec<Option<Label>> {
        let mut can = vec![false; self.insns.len()];
        let mut n = 0;
        for op in self.ops {
            match op {
                Op::Begin(k) => {
                    n = usize::from(*k);
                    can[n] = self.begins.get(n + 1).is_some_and(|b| !b.fpu) && !self.begins[n].fpu;
                }
                Op::Call { .. }
                | Op::SetSegment { .. }
                | Op::CheckFar
                | Op::Vector(_)
                | Op::CheckIret
                | Op::PopFlags { .. }
                | Op::JumpDirect(_)
                | Op::JumpIndirect(..)
                | Op::Branch(_)
                | Op::BranchCond(_)
                | Op::SideExit { .. }
                | Op::Inner(_)
                | Op::Expect { .. }
                | Op::GoBack(_)
                | Op::CheckDirect
                | Op::CheckIndirect(_) => can[n] = false,
                _ => {}
            }
        }
        can.into_iter().map(|c| c.then(|| self.asm.label())).collect()
    }

    /// Instructions of each group's leader and last follower.
    fn group_ends(&self) -> [(usize, usize); groups::SLOTS] {
        let mut k = 0;
        let mut ends = [(usize::MAX, 0); groups::SLOTS];
        for (i, op) in self.ops.iter().enumerate() {
            if let Op::Begin(b) = op {
                k = usize::from(*b);
            }
            match self.groups.role(i) {
                Some(Role::Leads { slot, .. }) => ends[usize::from(slot)].0 = k,
                Some(Role::Follows { slot, .. }) => ends[usize::from(slot)].1 = k,
                None => {}
            }
        }
        ends
    }

    /// The interpreter runs an instruction whose access translated code can't make; then the next one follows.
    pub(super) fn slow_paths(&mut self, slow: &[Option<Label>], used: &[Option<Option<Recipe>>]) {
        let ends = self.group_ends();
        for (n, l) in slow.iter().enumerate() {
            let Some(l) = *l else { continue };
            let Some(flags) = used[n] else { continue };
            self.asm.bind(l);
            self.cook_cold(flags);
            let rest = self.insns.len() - n;
            let leads = ends.iter().any(|(first, _)| *first == n);
            // A block that goes on in the next page rests on what that is.
            let under = self.spans || ends.iter().any(|(first, last)| *first < n && n < *last);
            let groups = u64::from(leads) << 33 | u64::from(under) << 34;
            let keeps: Vec<_> = self.keeps.iter().filter(|k| usize::from(k.n) == n).copied().collect();
            for k in &keeps {
                // Not to where the recipe that the block was entered with may look.
                let from = self.guest_in(k.r, R::R14);
                self.asm.store(8, field::held_next(k.slot), from);
            }
            let plain = self.insns[n].plain_move().map_or(0, runtime::pack_move);
            self.asm.mov_imm(R::R15, rest as u64 | (n as u64) << 16 | 1 << 32 | groups | plain);
            self.insns_to_r11();
            self.block_to(R::R14);
            // Comes back only if the next one may follow.
            self.call_to(Target::One);
            if self.holders.contains(&(n as u16)) {
                // What it read is in nobody's hands: the branch behind it can't leave a recipe.
                let i = self.insns[n];
                self.leave(n + 1, i.off + u16::from(i.len), Target::Bail);
                continue;
            }
            for k in &keeps {
                self.asm.load(8, R::R14, field::held_next(k.slot));
                self.asm.store(8, field::held(k.slot), R::R14);
            }
            if self.products.contains(&(n as u16)) {
                self.asm.movzx(1, R::R14, field::flags());
                self.asm.store(1, field::product(), R::R14);
            }
            let next = self.begins[n + 1];
            if next.vectors {
                self.call_to(Target::VecLoad);
            }
            if next.flags {
                self.asm.mov(8, R::R14, R::RAX);
                self.flags_to_host();
                self.asm.mov(8, R::RAX, R::R14);
            }
            for (t, c) in next.cached.iter().enumerate() {
                match c {
                    Some((Held::Guest(r), _)) => self.asm.load(8, R(t as u8), field::gpr(*r)),
                    Some((Held::Group(n), _)) => self.asm.load(8, R(t as u8), field::group(*n)),
                    None => {}
                }
            }
            self.asm.jmp(next.at);
        }
    }

    /// After a fill for a leader, ZF set if it is done: tries again if all of the group's range is in one page, and may be
    /// stored to if that is what the leader probes for.
    fn fits_page(&mut self, lin: Linear, n: u16, range: Range, back: Label) {
        let missed = self.asm.label();
        self.asm.jcc(5, missed);
        self.asm.push(R::RAX);
        if range.table {
            let i = self.insns[usize::from(n)];
            self.table_start(R::RAX, &i, range.before, 8);
        } else {
            let down = |m: Mem| field::plus(m, -range.before);
            match lin {
                Linear::Reg(r) => self.asm.lea(8, R::RAX, down(Mem::at(r, 0))),
                Linear::Ea(m) => self.asm.lea(8, R::RAX, down(m)),
                Linear::Fixed(at) => self.asm.mov_imm(R::RAX, at.wrapping_sub(range.before as u64)),
            }
        }
        if range.stored {
            self.asm.push(R::RCX);
            self.asm.bextr(R::RCX, R::RAX, TABLE);
            let tag = self.entry(R::RCX, Array::Write);
            self.asm.alu_r_rm(6, 8, R::RAX, tag);
            self.asm.pop(R::RCX);
        } else {
            self.asm.alu_imm(4, 8, R::RAX, 4095);
        }
        self.asm.alu_imm(7, 8, R::RAX, 4096 - range.span);
        self.asm.pop(R::RAX);
        self.asm.jcc(6, back);
        self.asm.bind(missed);
    }

    /// Says which address it is about.
    fn note_linear(&mut self, lin: Linear) {
        match lin {
            Linear::Reg(r) => self.asm.store(8, field::fill(), r),
            Linear::Ea(m) => {
                // No temporary is known to be free: borrow RAX through the stack.
                self.asm.push(R::RAX);
                self.asm.lea(8, R::RAX, m);
                self.asm.store(8, field::fill(), R::RAX);
                self.asm.pop(R::RAX);
            }
            Linear::Fixed(at) => {
                self.asm.push(R::RAX);
                self.asm.mov_imm(R::RAX, at);
                self.asm.store(8, field::fill(), R::RAX);
                self.asm.pop(R::RAX);
            }
        }
    }

    /// Fills the table for an access, and goes `back`.
    #[allow(clippy::too_many_arguments)]
    fn fill_path(
        &mut self,
        back: Label,
        write: bool,
        w: u8,
        lin: Linear,
        at: Place,
        group: Option<Range>,
        slow: &[Option<Label>],
    ) {
        self.note_linear(lin);
        self.call_to(if write { Target::FillWrite(w) } else { Target::FillRead(w) });
        // ZF: filled.
        match group {
            None => self.asm.jcc(4, back),
            Some(range) => self.fits_page(lin, at.n, range, back),
        }
        self.unserved(at, group.is_some(), slow);
    }

    /// Has the interpreter run the instruction.
    fn unserved(&mut self, at: Place, leads: bool, slow: &[Option<Label>]) {
        match slow[usize::from(at.n)] {
            Some(l) if at.note.is_none() => self.asm.jmp(l),
            _ => {
                if leads {
                    self.block_to(R::R14);
                    self.asm.store(8, field::missed(), R::R14);
                }
                self.bail(at);
            }
        }
    }

    /// Asks for the code at the target of an indirect jump, if that is canonical; else the interpreter runs the jump.
    fn unknown(&mut self, why: Jump, popped: i32) {
        if self.key.code64() && why != Jump::Call {
            // Nothing has happened yet but what a return did to RSP.
            let good = self.asm.label();
            self.asm.mov(8, R::R15, R::R14);
            self.asm.shift_imm(4, 8, R::R15, 16);
            self.asm.shift_imm(7, 8, R::R15, 16);
            self.asm.alu_rm_r(7, 8, R::R15, R::R14);
            self.asm.jcc(4, good);
            let last = self.insns.len() - 1;
            if let (true, Some(sp)) = (why == Jump::Return, self.host(gpr::RSP as u8)) {
                self.asm.lea(8, sp, Mem::at(sp, -popped));
            }
            self.leave(last, self.insns[last].off, Target::Bail);
            self.asm.bind(good);
        }
        self.jump_to(Target::JumpMiss);
    }

    /// A return in the middle: goes where it leads, if that is canonical; else the interpreter runs it.
    fn elsewhere(&mut self, at: Place, to: Rm, w: u8, popped: i32) {
        self.asm.load(w, R::R14, to);
        self.asm.store(8, field::exit_rip(), R::R14);
        if let Some(note) = at.note {
            self.store_note(note, R::R14);
        }
        self.cook_cold(at.flags);
        self.asm.load(8, R::R14, field::exit_rip());
        let n = usize::from(at.n);
        if self.key.code64() {
            let good = self.asm.label();
            self.asm.mov(8, R::R15, R::R14);
            self.asm.shift_imm(4, 8, R::R15, 16);
            self.asm.shift_imm(7, 8, R::R15, 16);
            self.asm.alu_rm_r(7, 8, R::R15, R::R14);
            self.asm.jcc(4, good);
            self.leave(n, self.insns[n].off, Target::Bail);
            self.asm.bind(good);
        }
        if let Some(sp) = self.host(gpr::RSP as u8) {
            self.asm.lea(if self.key.code64() { 8 } else { 4 }, sp, Mem::at(sp, popped));
        }
        self.give_back(n + 1);
        let on = self.asm.label();
        self.stray(R::R15, on);
        self.asm.bind(on);
        self.jump_to(Target::Jump);
    }

    /// A probe as elsewhere, for a page that is then noted as the stack's.
    #[allow(clippy::too_many_arguments)]
    fn stack_path(
        &mut self,
        back: Label,
        (c, x): (R, R),
        write: bool,
        w: u8,
        m: Mem,
        at: Place,
        group: Option<Range>,
        note: bool,
        slow: &[Option<Label>],
    ) {
        let range = group.unwrap_or(Range { before: 0, span: i32::from(w), table: false, stored: false });
        let (again, missed) = (self.asm.label(), self.asm.label());
        self.asm.bind(again);
        self.asm.lea(8, c, field::plus(m, -range.before));
        self.asm.store(8, field::fill(), c);
        self.asm.bextr(x, c, TABLE);
        let tag = self.entry(x, if write || range.stored { Array::Write } else { Array::Read });
        self.asm.alu_r_rm(6, 8, c, tag);
        self.asm.alu_imm(7, 8, c, 4096 - range.span);
        self.asm.jcc(7, missed);
        let delta = self.entry(x, Array::Delta);
        self.asm.load(8, x, delta);
        if note {
            self.asm.store(8, field::stack_delta(), x);
            self.call_to(Target::NoteStack);
            self.asm.jmp(back);
        } else {
            self.stray(c, back);
        }
        self.asm.bind(missed);
        self.fill_path(again, write, w, Linear::Ea(m), at, group, slow);
    }

    /// A guess of the block's has failed: counts that, and goes `back`. `t` is free.
    fn stray(&mut self, t: R, back: Label) {
        self.asm.alu_imm(5, 8, field::strays(), 1);
        self.asm.jcc(SIGN ^ 1, back);
        self.block_to(t);
        self.asm.store(8, field::strayed(), t);
        self.asm.jmp(back);
    }

    pub(super) fn cold_paths(&mut self) {
        let slow = self.slow_labels();
        // What its flags are made from, for each instruction that goes there.
        let mut used = vec![None; slow.len()];
        for c in &self.cold {
            if let Cold::Fill { at, .. } | Cold::Stack { at, .. } | Cold::Wraps { at, .. } = c
                && let Place { n, note: None, flags } = at
            {
                used[usize::from(*n)].get_or_insert(*flags);
            }
        }
        for c in std::mem::take(&mut self.cold) {
            match c {
                Cold::Fill { from, back, write, w, lin, at, group } => {
                    self.asm.bind(from);
                    self.fill_path(back, write, w, lin, at, group, &slow);
                }
                Cold::Guess { from, back, x, guess } => {
                    self.asm.bind(from);
                    self.asm.store(8, guess, x);
                    self.stray(x, back);
                }
                Cold::Wraps { from, lin, at } => {
                    self.asm.bind(from);
                    self.note_linear(lin);
                    self.unserved(at, true, &slow);
                }
                Cold::Stack { from, back, temps, write, w, m, at, group, note } => {
                    self.asm.bind(from);
                    self.stack_path(back, temps, write, w, m, at, group, note, &slow);
                }
                Cold::Fpu { from, back, at } => {
                    self.asm.bind(from);
                    self.call_to(Target::FpuLoad);
                    // ZF: loaded.
                    self.asm.jcc(4, back);
                    self.bail(at);
                }
                Cold::Vectors { from, back } => {
                    self.asm.bind(from);
                    self.call_to(Target::VecLoad);
                    self.asm.jmp(back);
                }
                Cold::SecondCode { from, back, out } => {
                    self.asm.bind(from);
                    self.second_code(back, out);
                }
                Cold::Behind { from, back, frame, out } => {
                    self.asm.bind(from);
                    self.look_behind(frame, out);
                    self.asm.jmp(back);
                }
                Cold::Bail { from, at } => {
                    self.asm.bind(from);
                    self.bail(at);
                }
                Cold::Moved { from, near, page } => self.moved(from, near, page),
                Cold::Limit { from, back, out, off, t } => {
                    self.asm.bind(from);
                    self.asm.load(8, t, field::page_rip());
                    self.asm.lea(8, t, Mem::at(t, i32::from(off)));
                    self.asm.alu_r_rm(7, 8, t, field::code_limit());
                    self.asm.jcc(6, back);
                    self.asm.jmp(out);
                }
                Cold::Elsewhere { from, at, to, w, popped } => {
                    self.asm.bind(from);
                    self.elsewhere(at, to, w, popped);
                }
                Cold::Side { from, n, to, flags, note, hop } => {
                    self.asm.bind(from);
                    self.side_path(n, to, flags, note, hop);
                }
                Cold::Unknown { from, why, popped } => {
                    self.asm.bind(from);
                    self.unknown(why, popped);
                }
                Cold::Refused { from, recipe } => {
                    self.asm.bind(from);
                    self.cook_cold(Some(recipe));
                    self.asm.load(8, R::R14, entry_rip());
                    self.asm.jmp_rm(entry_code());
                }
            }
        }
        self.slow_paths(&slow, &used);
        for l in [self.exits.budget.take(), self.exits.code_limit.take(), self.exits.crossing.take()]
            .into_iter()
            .enumerate()
        {
            let (k, Some(l)) = l else { continue };
            self.asm.bind(l);
            let i = self.insns[0];
            let first = i.off;
            if k == 2 && i.off + u16::from(i.len) <= 4096 {
                // It could do without the next page.
                self.block_to(R::R14);
                self.asm.store(8, field::missed(), R::R14);
                self.asm.store_imm(4, field::plus(field::missed(), 4), 1);
            }
            // The budget is taken before it is tested, the limit before it is taken.
            let from = if k == 0 { 0 } else { self.insns.len() };
            self.leave(from, first, if k == 0 { Target::Budget } else { Target::Bail });
        }
        for (k, Near { stub, to, .. }) in self.exits.links.clone().into_iter().enumerate() {
            self.asm.bind(stub);
            self.asm.store_imm(4, field::exit_rip(), i32::from(to));
            self.asm.mov_imm(R::R14, k as u64);
            self.block_to(R::R15);
            self.jump_to(Target::Link);
        }
    }

    /// The entry for jumps that don't know whether the page is at the RIP that the code is made for; leaves where it isn't.
    fn moved(&mut self, from: Label, near: Label, page: i32) {
        let out = self.asm.label();
        self.asm.bind(near);
        self.near = self.asm.offset(near);
        self.asm.alu_imm(7, 8, field::page_rip(), page);
        if let Some(sure) = self.exits.sure {
            self.asm.jcc(4, sure);
        }
        self.asm.jmp(out);
        self.asm.bind(from);
        let first = self.insns[0].off;
        self.asm.lea(8, R::R14, Mem::at(R::R14, -i32::from(first)));
        self.asm.store(8, field::page_rip(), R::R14);
        self.asm.bind(out);
        self.block_to(R::R14);
        self.asm.store(8, field::missed(), R::R14);
        self.asm.store_imm(4, field::plus(field::missed(), 4), 2);
        self.leave(self.insns.len(), first, Target::Bail);
    }

    /// What jumps to other pages do while they aren't linked, and in another space.
    pub(super) fn far_paths(&mut self) -> Vec<Link> {
        let mut links = Vec::new();
        for f in std::mem::take(&mut self.exits.fars) {
            let n = self.exits.links.len() + links.len();
            self.asm.bind(f.elsewhere);
            if let Some(Place { n, note, flags }) = f.inner {
                if let Some(note) = note {
                    self.store_note(note, R::R14);
                }
                self.cook_cold(flags);
                self.give_back(usize::from(n) + 1);
            }
            self.asm.jmp(f.ask);
            let other = self.asm.here() - 4;
            self.asm.bind(f.ask);
            let ask = self.asm.here();
            self.asm.load(8, R::R14, field::page_rip());
            self.lea(R::R14, Mem::at(R::R14, f.off), f.width);
            self.asm.mov_imm(R::R15, n as u64);
            self.block_to(R::R11);
            self.jump_to(Target::FarLink);
            let cache = self.asm.here();
            let again = self.asm.label();
            self.asm.alu_imm(5, 8, field::relink(), 1);
            self.asm.jcc(SIGN, again);
            if f.inner.is_none() {
                self.cook_cold(self.left);
            }
            self.asm.load(8, R::R14, field::page_rip());
            self.lea(R::R14, Mem::at(R::R14, f.off), f.width);
            self.jump_to(Target::Jump);
            self.asm.bind(again);
            self.asm.jmp(f.ask);
            let pages = i64::from(f.off.div_euclid(4096)) * 4096;
            let far = Far { serial: f.serial, page: f.page, extends: f.extends, pages, other, cache, ask };
            let (at, hop) = (f.at, f.hop);
            links.push(Link {
                at,
                stub: ask,
                to: None,
                far: Some(far),
                tail: None,
                beyond: false,
                page: None,
                hop,
            });
        }
        links
    }

    pub(super) fn bail(&mut self, at: Place) {
        if let Some(note) = at.note {
            // Temporaries are dead here.
            self.store_note(note, R::R14);
        }
        self.cook_cold(at.flags);
        let off = self.insns[usize::from(at.n)].off;
        self.leave(usize::from(at.n), off, Target::Bail);
    }
}
