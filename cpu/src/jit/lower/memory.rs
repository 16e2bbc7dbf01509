//! Lowering of memory access: segment arithmetic, the inline TLB probe, and what happens when it misses.

use super::recipe::{self, Recipe};
use super::{Cold, Held, Linear, Loc, Low, Lower, Range};
use crate::insn::{IP_REG, Insn};
use crate::jit::encode::{Label, Mem, R, Rm};
use crate::jit::groups::{Constant, Cut, Role};
use crate::jit::ir::{Op, Place, Val};
use crate::jit::passes::fl;
use crate::jit::regs::{GUESSES, STACK_SPANS, TABLE, field};
use crate::memory::PAGE;
use crate::mmu::table::{Array, displacement};
use crate::state::{Seg, gpr};

/// A memory operand in the making.
struct Address {
    /// Offset expression.
    m: Mem,
    /// Bytes of the offset.
    w: u8,
    /// Temporary that the expression holds, if any.
    held: Option<R>,
}

impl Lower<'_> {
    pub(super) fn bail_label(&mut self) -> Label {
        let from = self.asm.label();
        let at = self.here();
        self.cold.push(Cold::Bail { from, at });
        from
    }

    /// Where cold code of the operation at hand belongs.
    pub(super) fn here(&self) -> super::Place {
        super::Place { n: self.n, note: self.note, flags: self.pending() }
    }

    /// The offset of an access as an expression.
    fn address(&mut self, ea: Val) -> Low<Address> {
        if let Some(at) = self.groups.fixed(self.at) {
            let (at, w) = if self.long() { (at, 8) } else { (i64::from(at as u32), 4) };
            // Of 32 bits it is extended with zeros.
            if let Ok(disp) = i32::try_from(at) {
                return Ok(Address { m: Mem { base: None, index: None, disp }, w, held: None });
            }
        }
        match self.loc[ea.n()] {
            Loc::Ea => self.operand_address(),
            Loc::Sum { r, d, w } => Ok(Address { m: self.sum(r, d)?, w, held: None }),
            Loc::Imm(c) if i32::try_from(c).is_ok() => {
                Ok(Address { m: Mem { base: None, index: None, disp: c as i32 }, w: 8, held: None })
            }
            Loc::Guest { r, w } if r < 16 && (w < 4 || w == 4 && self.host(r).is_none()) => {
                let t = self.copy(ea)?;
                Ok(Address { m: Mem::at(t, 0), w: 8, held: Some(t) })
            }
            Loc::Guest { r, w: 4 } if r < 16 => Ok(Address { m: self.sum(r, 0)?, w: 4, held: None }),
            _ => {
                let r = self.full(ea)?;
                self.lock(r);
                Ok(Address { m: Mem::at(r, 0), w: 8, held: None })
            }
        }
    }

    /// The offset of the instruction's memory operand.
    fn operand_address(&mut self) -> Low<Address> {
        let t = self.fresh()?;
        let (m, w) = self.ea_mem(t)?;
        let held = m.base == Some(t) || m.index.is_some_and(|i| i.0 == t);
        if !held {
            self.give(t);
        }
        Ok(Address { m, w, held: held.then_some(t) })
    }

    /// Probes for an access of `w` bytes at the instruction's memory operand.
    pub(super) fn probe_operand(&mut self, seg: u8, w: u8, write: bool) -> Low<Mem> {
        if let Some(Role::Follows { slot, at: place, span, same, from, .. }) = self.groups.role(self.at) {
            return self.follow(None, slot, (place, span), same, from);
        }
        self.expose()?;
        let a = self.operand_address()?;
        self.probe_address(Place { seg, ea: Val(0), w }, a, write)
    }

    /// Probes for an access and gives the host operand. What it holds (a temporary as base) belongs to the caller.
    fn probe(&mut self, at: Place, write: bool) -> Low<Mem> {
        match self.groups.role(self.at) {
            Some(Role::Follows { slot, table: true, .. }) => return self.follow_table(at, slot),
            Some(Role::Follows { slot, at: place, span, same, from, .. }) => {
                return self.follow(Some(at.ea), slot, (place, span), same, from);
            }
            _ => {}
        }
        self.expose()?;
        let a = self.address(at.ea)?;
        self.probe_address(at, a, write)
    }

    fn probe_address(&mut self, at: Place, a: Address, write: bool) -> Low<Mem> {
        if let Some(h) = a.held {
            self.lock(h);
        }
        let flat = self.key.flat() >> at.seg & 1 != 0;
        if let Some(linear) = self.fixed(&a).filter(|_| flat)
            && self.one_page(linear, self.range(at.w).0)
            && !matches!(self.groups.role(self.at), Some(Role::Leads { cut: Some(_), .. }))
        {
            return self.probe_fixed(at, linear, write);
        }
        // The host operand is the guest's expression plus delta, where that can't wrap: in 64-bit code, and outside long mode
        // nearly always with a register and a small displacement (where it does wrap, no tag agrees and the
        // interpreter runs the instruction).
        let plain = a.m.base.is_some() && flat;
        let whole = self.long() && a.w == 8;
        let table = self.range(at.w).0.table;
        let near =
            !self.key.long_mode() && a.w == 4 && a.m.index.is_none() && a.m.disp.unsigned_abs() < 1 << 12;
        // With an index the sum is wanted in one register anyway, if there is one for it.
        let spare = a.held.is_none() && self.free.count_ones() > 2;
        let sum = a.m.index.is_some() && (spare || a.m.base.is_some_and(|b| self.is_temp(b)));
        if plain && !sum && !table && (whole || near) {
            return self.probe_in_place(at, a, write);
        }
        self.probe_copy(at, a, write, flat)
    }

    /// The linear address of an operand in a flat segment that is the same whenever it is used.
    fn fixed(&self, a: &Address) -> Option<u64> {
        let fixed = a.m.base.is_none() && a.m.index.is_none();
        match fixed {
            true if self.long() && a.w == 8 => Some(i64::from(a.m.disp) as u64),
            true if !self.long() && a.w >= 4 => Some(u64::from(a.m.disp as u32)),
            _ => None,
        }
    }

    /// Whether all that is probed for, for an access at `linear` or at an address that is as far into its page, is in one page.
    fn one_page(&self, linear: u64, range: Range) -> bool {
        let start = (linear % PAGE) as i32 - range.before;
        !range.table && start >= 0 && start + range.span <= PAGE as i32
    }

    /// Probes for an access at a fixed address, all of whose range is in one page.
    fn probe_fixed(&mut self, at: Place, linear: u64, write: bool) -> Low<Mem> {
        let (range, slot) = self.range(at.w);
        let page = linear & !(PAGE - 1);
        let n = (page / PAGE) as usize & (self.common.tlb_size - 1);
        let size = self.common.tlb_size;
        let word = |a: Array| Mem::at(TABLE, displacement(a, size) + 8 * n as i32);
        let (from, back) = (self.asm.label(), self.asm.label());
        let x = self.fresh()?;
        let near = i32::try_from(linear as i64).is_ok();
        let far = if near { None } else { Some(self.fresh()?) };
        self.asm.bind(back);
        let tag = word(if write || range.stored { Array::Write } else { Array::Read });
        match far {
            None => self.asm.alu_imm(7, 8, tag, page as i32),
            Some(c) => {
                self.asm.mov_imm(c, page);
                self.asm.alu_r_rm(7, 8, c, tag);
            }
        }
        self.asm.jcc(5, from);
        let (lin, group) = (Linear::Fixed(linear), slot.map(|_| range));
        self.cold.push(Cold::Fill { from, back, write, w: at.w, lin, at: self.here(), group });
        self.asm.load(8, x, word(Array::Delta));
        if let Some(n) = slot {
            self.asm.store(8, field::group(n), x);
            self.cache(x, Held::Group(n), 8);
        }
        Ok(match far {
            None => Mem::at(x, linear as i32),
            Some(c) => Mem { base: Some(x), index: Some((c, 0)), disp: (linear % PAGE) as i32 },
        })
    }

    /// The word of a table's array for the index in `x`.
    pub(super) fn entry(&self, x: R, a: Array) -> Mem {
        Mem { base: Some(TABLE), index: Some((x, 3)), disp: displacement(a, self.common.tlb_size) }
    }

    /// Looks up the address in `c`, which is used up: puts the number of its entry into `x` and gives the operand of the
    /// entry's delta. Where the entry doesn't allow direct access, code that fills it comes back to `back`. `page`: in `c` is
    /// where the page begins, in which all that is probed for is known to be.
    #[allow(clippy::too_many_arguments)]
    fn look_up(&mut self, c: R, x: R, at: Place, write: bool, lin: Linear, back: Label, page: bool) -> Mem {
        let (range, slot) = self.range(at.w);
        let from = self.asm.label();
        self.asm.bextr(x, c, TABLE);
        let tag = self.entry(x, if write || range.stored { Array::Write } else { Array::Read });
        if page {
            self.asm.alu_r_rm(7, 8, c, tag);
            self.asm.jcc(5, from);
        } else {
            self.asm.alu_r_rm(6, 8, c, tag);
            self.asm.alu_imm(7, 8, c, 4096 - range.span);
            self.asm.jcc(7, from);
        }
        let (w, group) = (at.w, slot.map(|_| range));
        self.cold.push(Cold::Fill { from, back, write, w, lin, at: self.here(), group });
        self.entry(x, Array::Delta)
    }

    /// Where the page's delta, in `x`, is the one that is guessed: takes the guess for it, so that what comes of an address that was
    /// itself loaded is not waited for.
    fn guess(&mut self, x: R) {
        let guess = field::guess((usize::from(self.insns[0].off) + usize::from(self.n)) % GUESSES);
        let (from, back) = (self.asm.label(), self.asm.label());
        self.asm.alu_r_rm(7, 8, x, guess);
        self.asm.jcc(5, from);
        self.asm.bind(back);
        self.asm.load(8, x, guess);
        self.cold.push(Cold::Guess { from, back, x, guess });
    }

    /// Which of the stack's limits serves a probe at `m`, if that is in a stack.
    fn stack_class(&self, m: Mem, range: Range) -> Option<usize> {
        if m.base != self.host(gpr::RSP as u8) || range.table {
            return None;
        }
        STACK_SPANS.iter().position(|s| range.span <= *s)
    }

    /// Puts the delta of the stack's page into `x` if the address in `c`, which is used up, is in there. Elsewhere the table is
    /// looked at, and (`note`) the page noted.
    #[allow(clippy::too_many_arguments)]
    fn look_at_stack(&mut self, c: R, x: R, at: Place, write: bool, m: Mem, class: usize, note: bool) {
        let (range, slot) = self.range(at.w);
        let (from, back) = (self.asm.label(), self.asm.label());
        self.asm.alu_r_rm(5, 8, c, field::stack_page());
        self.asm.alu_r_rm(7, 8, c, field::stack_limit(class));
        self.asm.jcc(3, from);
        self.asm.load(8, x, field::stack_delta());
        self.asm.bind(back);
        let group = slot.map(|_| range);
        let at = (at.w, self.here());
        self.cold.push(Cold::Stack { from, back, temps: (c, x), write, w: at.0, m, at: at.1, group, note });
    }

    /// What the access at hand, of `w` bytes, probes for, and the slot for the delta.
    fn range(&self, w: u8) -> (Range, Option<u8>) {
        match self.groups.role(self.at) {
            Some(Role::Leads { slot, before, span, table, stored, .. }) => {
                (Range { before, span, table, stored }, Some(slot))
            }
            _ => (Range { before: 0, span: i32::from(w), table: false, stored: false }, None),
        }
    }

    /// Goes the long way if the sum that the addresses of the group that the access at hand leads have in them may wrap on the way
    /// from one to the other. `c` is used up.
    fn cut_in_group(&mut self, c: R, lin: Linear) {
        let Some(Role::Leads { cut: Some(Cut { r, down, span }), .. }) = self.groups.role(self.at) else {
            return;
        };
        let from = self.asm.label();
        let r = self.guest_in(r, c);
        let least = match down {
            0 => r,
            _ => {
                self.asm.lea(4, c, Mem::at(r, -(down as i32)));
                c
            }
        };
        self.asm.alu_imm(7, 4, least, !span as i32);
        self.asm.jcc(7, from);
        self.cold.push(Cold::Wraps { from, lin, at: self.here() });
    }

    /// Where instruction `i`'s operand points with index 0, less `before`, as an address of `w` bytes. Leaves EFLAGS as
    /// they are.
    pub(super) fn table_start(&mut self, t: R, i: &Insn, before: i32, w: u8) {
        let base = (i.base < 16).then(|| self.guest_in(i.base, t));
        let m = Mem { base, index: None, disp: i.disp.wrapping_sub(before) };
        if m != Mem::at(t, 0) {
            self.lea(t, m, w);
        }
    }

    /// The host operand of an access to a table whose page a leader has found: leaves EFLAGS as they are.
    fn follow_table(&mut self, at: Place, slot: u8) -> Low<Mem> {
        let a = self.address(at.ea)?;
        if let Some(h) = a.held {
            self.lock(h);
        }
        if !self.long() {
            return self.follow_cut(a, slot);
        }
        let x = self.fresh()?;
        self.asm.load(8, x, field::group(slot));
        // The index is what is waited for: it comes last.
        if let Some(base) = a.m.base {
            self.asm.lea(8, x, Mem { base: Some(x), index: Some((base, 0)), disp: 0 });
        }
        let mut m = Mem { base: Some(x), index: a.m.index, disp: a.m.disp };
        if let Some((i, _)) = m.index
            && self.is_temp(i)
        {
            // It may be given back before the operand is used.
            self.asm.lea(8, x, m);
            m = Mem::at(x, 0);
        }
        if let Some(h) = a.held {
            self.give(h);
        }
        Ok(m)
    }

    /// The host operand of an access whose page a leader has found: leaves EFLAGS as they are.
    /// `place`: where it is among the `span` bytes that the leader has found in one page.
    /// `same`: its base register is as the leader's was.
    /// `from`: the slot has the address of what the leader accesses, and it is so far from there.
    fn follow(
        &mut self,
        ea: Option<Val>,
        slot: u8,
        (place, span): (i32, i32),
        same: bool,
        from: Option<i32>,
    ) -> Low<Mem> {
        if let Some(from) = from {
            return Ok(Mem::at(self.group_delta(slot)?, from));
        }
        if let Some(disp) = self.beyond_here(ea) {
            return Ok(Mem::at(self.group_delta(slot)?, disp));
        }
        let a = match ea {
            Some(ea) => self.address(ea)?,
            None => self.operand_address()?,
        };
        if let Some(h) = a.held {
            self.lock(h);
        }
        // A register that points into the leader's range is where the leader's address says; one that is as the leader's was
        // leads to the same page by its own displacement, for the leader's sum didn't wrap.
        let points = i64::from(place) - i64::from(a.m.disp);
        let near = a.m.base.is_some() && a.m.index.is_none() && (0..i64::from(span)).contains(&points);
        let fixed = a.m.base.is_none() && a.m.index.is_none() && a.w >= 4 && a.m.disp >= 0;
        if self.long() || near || same || fixed {
            let x = self.group_delta(slot)?;
            return self.in_page(x, a, true);
        }
        // Another may have wrapped since the leader's address was made.
        self.follow_cut(a, slot)
    }

    /// How far from the start of the block's page the operand `ea`, or the instruction's own, lies, if it is relative to RIP. The slot of such operands'
    /// group has the sum of delta and that start.
    fn beyond_here(&self, ea: Option<Val>) -> Option<i32> {
        let i = self.insn();
        let relative = i.base == IP_REG
            && self.placed.is_none()
            && ea.is_none_or(|ea| matches!(self.ops[ea.n()], Op::Ea));
        relative.then(|| self.after(i)).flatten()
    }

    /// What a group's slot has in a temporary, for reading only: see [`Lower::cached`].
    fn group_delta(&mut self, slot: u8) -> Low<R> {
        if let Some((x, _)) = self.cached(Held::Group(slot)) {
            self.free &= !(1 << x.0);
            self.lock(x);
            return Ok(x);
        }
        let x = self.fresh()?;
        self.asm.load(8, x, field::group(slot));
        self.cache(x, Held::Group(slot), 8);
        Ok(x)
    }

    /// The host operand for an address of 32 bits, cut as the processor does where the sum wraps, by a slot.
    fn follow_cut(&mut self, a: Address, slot: u8) -> Low<Mem> {
        let h = match a.held {
            Some(h) => h,
            None => self.fresh()?,
        };
        self.lea(h, a.m, 4);
        let x = self.group_delta(slot)?;
        Ok(Mem { base: Some(x), index: Some((h, 0)), disp: 0 })
    }

    /// The host operand for an address in the page whose delta is in `x`. `kept`: `x` is a group's, for which it had better stay.
    fn in_page(&mut self, x: R, a: Address, kept: bool) -> Low<Mem> {
        // x + base + index * scale + disp has one register too many: the index is folded in, and so is a temporary, which
        // may be given back before the operand is used.
        let base = a.m.base.filter(|b| self.is_temp(*b));
        if a.m.index.is_none() && base.is_none() {
            return Ok(Mem { base: Some(x), index: a.m.base.map(|b| (b, 0)), disp: a.m.disp });
        }
        let to = match a.held {
            Some(h) if kept => h,
            None if kept && self.free != 0 => self.fresh()?,
            _ => x,
        };
        // What is added last, and what before: a temporary that becomes the sum is not written over.
        let (first, last) = if base == Some(to) { (to, Some(x)) } else { (x, base) };
        let mut sum = first;
        if let Some(index) = a.m.index {
            self.asm.lea(8, to, Mem { base: Some(first), index: Some(index), disp: 0 });
            sum = to;
        }
        if let Some(last) = last {
            // Both temporaries may as well be in the operand, where they are the access's own and it takes no other.
            if base.is_some() && base == a.held && self.takes_none() {
                return Ok(Mem { base: Some(sum), index: Some((last, 0)), disp: a.m.disp });
            }
            self.asm.lea(8, to, Mem { base: Some(sum), index: Some((last, 0)), disp: 0 });
        }
        if to == x {
            self.cached[usize::from(x.0)] = None;
            a.held.into_iter().for_each(|h| self.give(h));
        } else {
            self.give(x);
        }
        let index = if base.is_some() { None } else { a.m.base.map(|b| (b, 0)) };
        Ok(Mem { base: Some(to), index, disp: a.m.disp })
    }

    /// Whether the operation at hand is an access that is made at once, and needs no temporary but those of its address.
    fn takes_none(&self) -> bool {
        match self.ops[self.at] {
            Op::Load(at) => self.goes_to(at.w).is_some(),
            Op::Store { at, v } => match self.loc[v.n()] {
                Loc::Guest { r: r @ 0..16, w } => w >= at.w && self.host(r).is_some(),
                _ => self.imm32(v, at.w).is_some(),
            },
            Op::LoadX { aligned, .. } | Op::StoreX { aligned, .. } => !aligned,
            _ => false,
        }
    }

    fn probe_in_place(&mut self, at: Place, a: Address, write: bool) -> Low<Mem> {
        let (range, slot) = self.range(at.w);
        let x = self.fresh()?;
        let c = self.fresh()?;
        self.cut_in_group(c, Linear::Ea(a.m));
        let back = self.asm.label();
        self.asm.bind(back);
        let ea = (!matches!(self.ops[self.at], Op::Call { .. })).then_some(at.ea);
        let beyond = self.beyond_here(ea);
        // Code's page begins where one does: so its start and what is relative to it lie alike in their pages.
        let page = beyond.filter(|d| self.one_page(i64::from(*d) as u64, range));
        let first = match page {
            Some(d) => Mem { disp: d & !(PAGE as i32 - 1), ..a.m },
            None => field::plus(a.m, -range.before),
        };
        match first {
            Mem { base: Some(r), index: None, disp: 0 } => self.asm.mov(8, c, r),
            m => self.asm.lea(8, c, m),
        }
        if let Some(class) = self.stack_class(a.m, range).filter(|_| a.m.index.is_none()) {
            self.look_at_stack(c, x, at, write, a.m, class, true);
        } else {
            let delta = self.look_up(c, x, at, write, Linear::Ea(a.m), back, page.is_some());
            self.asm.load(8, x, delta);
            if self.chased.get(self.at) == Some(&true) {
                self.guess(x);
            }
        }
        if let (Some(n), Some(disp)) = (slot, beyond) {
            self.asm.alu_r_rm(0, 8, x, field::page_rip());
            self.asm.store(8, field::group(n), x);
            self.cache(x, Held::Group(n), 8);
            self.give(c);
            a.held.into_iter().for_each(|h| self.give(h));
            return Ok(Mem::at(x, disp));
        }
        let anchors = self.anchors();
        if let Some(n) = slot.filter(|_| !anchors) {
            self.asm.store(8, field::group(n), x);
            self.cache(x, Held::Group(n), 8);
        }
        self.give(c);
        let m = self.in_page(x, a, slot.is_some() && !anchors)?;
        match slot {
            Some(n) if anchors => Ok(self.anchor(n, m)),
            _ => Ok(m),
        }
    }

    /// Whether the access at hand leads others that go by its own host address.
    fn anchors(&self) -> bool {
        matches!(self.groups.role(self.at), Some(Role::Leads { anchors: true, .. }))
    }

    /// Puts the host address `m`, which has a temporary as its base, into a slot.
    fn anchor(&mut self, slot: u8, m: Mem) -> Mem {
        let Some(x) = m.base.filter(|b| self.is_temp(*b)) else { return m };
        if m != Mem::at(x, 0) {
            self.asm.lea(8, x, m);
        }
        if let Some((i, _)) = m.index {
            self.give(i);
        }
        self.asm.store(8, field::group(slot), x);
        self.cache(x, Held::Group(slot), 8);
        Mem::at(x, 0)
    }

    fn probe_copy(&mut self, at: Place, a: Address, write: bool, flat: bool) -> Low<Mem> {
        let h = match a.held {
            Some(t) => t,
            None => self.fresh()?,
        };
        let w = if self.long() { a.w } else { a.w.min(4) };
        // A held register with no more to it is zero beyond its width already.
        if a.w != 8 || a.m != Mem::at(h, 0) {
            self.lea(h, a.m, w);
        }
        let x = self.fresh()?;
        if !flat {
            if self.long() {
                if at.seg < 4 {
                    return self.refuse();
                }
            } else {
                // The last byte must lie below the limit of what may be done through this register.
                let limit = if write { field::write_limit() } else { field::read_limit() };
                let limit = field::plus(limit, 8 * i32::from(at.seg));
                let bail = self.bail_label();
                if at.w == 1 {
                    self.asm.alu_r_rm(7, 8, h, limit);
                    self.asm.jcc(3, bail);
                } else {
                    self.asm.lea(8, x, Mem::at(h, i32::from(at.w)));
                    self.asm.alu_r_rm(7, 8, x, limit);
                    self.asm.jcc(7, bail);
                }
            }
            let size = if self.long() { 8 } else { 4 };
            self.asm.alu_r_rm(0, size, h, field::seg_base(at.seg));
        }
        let back = self.asm.label();
        // Whatever has to make room for it does so once, before the place that a fill comes back to.
        let c = self.fresh()?;
        let (range, slot) = self.range(at.w);
        self.cut_in_group(c, Linear::Reg(h));
        self.asm.bind(back);
        if range.table {
            let i = *self.insn();
            self.table_start(c, &i, range.before, w);
        } else if range.before == 0 {
            self.asm.mov(8, c, h)
        } else {
            self.asm.lea(8, c, Mem::at(h, -range.before))
        }
        let class = self.stack_class(a.m, range).filter(|_| flat && w >= 4 && !self.certain);
        let delta: Rm = if let Some(class) = class {
            // An array there: what comes of the index is not waited for.
            self.look_at_stack(c, x, at, write, Mem::at(h, 0), class, false);
            x.into()
        } else {
            self.look_up(c, x, at, write, Linear::Reg(h), back, false).into()
        };
        match slot {
            Some(n) if self.anchors() => {
                self.asm.alu_r_rm(0, 8, h, delta);
                self.asm.store(8, field::group(n), h);
                self.cache(h, Held::Group(n), 8);
            }
            Some(n) => {
                if class.is_none() {
                    self.asm.load(8, x, delta);
                }
                self.asm.store(8, field::group(n), x);
                self.asm.alu_r_rm(0, 8, h, x);
                self.cache(x, Held::Group(n), 8);
            }
            None => self.asm.alu_r_rm(0, 8, h, delta),
        }
        self.give(c);
        self.give(x);
        Ok(Mem::at(h, 0))
    }

    pub(super) fn load(&mut self, at: Place) -> Low<()> {
        let v = self.at;
        let for_nothing = match self.ops[self.facts.last[v] as usize] {
            Op::Expect { to, .. } => self.facts.uses[v] == 1 && self.is_expected(Val(v as u32), to),
            _ => false,
        };
        if let Some(c) = if for_nothing { Some(0) } else { self.found() } {
            self.loc[v] = Loc::Imm(c);
            return Ok(());
        }
        let m = self.probe(at, false)?;
        self.loc[self.at] = Loc::At { m, w: at.w };
        if let Some((set, r, _)) = self.goes_to(at.w) {
            // Straight to the register that it is for.
            self.lock_mem(m);
            let h = self.land(set, r)?;
            self.asm.movzx(at.w, h, m);
            self.give_mem(m);
            return Ok(());
        }
        // A value that is used more than once, or after other operations may have changed memory, is loaded now.
        let last = self.facts.last[self.at] as usize;
        let next = match self.ops[self.at + 1..] {
            // A vector with zeros above it.
            [Op::Imm(_), Op::XFrom { .. }, ..] => last <= self.at + 2,
            // The first operand of its operation may be named in between.
            [Op::Get { .. }, Op::Alu { .. }, ..] => last <= self.at + 2,
            _ => last == self.at + 1,
        };
        if self.facts.uses[self.at] != 1 || !next {
            self.pull(Val(self.at as u32))?;
        }
        Ok(())
    }

    /// What the load at hand is known to find.
    fn found(&self) -> Option<u64> {
        match self.groups.found(self.at)? {
            Constant::Number(c) => Some(c),
            Constant::Rip(by) => {
                let at = i32::try_from(self.placed? as i64 + by).ok()?;
                (self.long() || at >= 0).then_some(i64::from(at) as u64)
            }
        }
    }

    /// Whether a value is only jumped to.
    fn goes_to_jump(&self, v: Val) -> bool {
        matches!(self.ops[self.facts.last[v.n()] as usize], Op::JumpIndirect(..))
    }

    /// Loads a value that is still in host memory into a temporary: the one that holds its address.
    pub(super) fn pull(&mut self, v: Val) -> Low<()> {
        let Loc::At { m, w } = self.loc[v.n()] else { return Ok(()) };
        let t = match m.base {
            // Where a jump wants it.
            _ if self.free >> R::R14.0 & 1 != 0 && self.goes_to_jump(v) => self.take(R::R14),
            // What else it holds is wanted again more often than not.
            Some(b) if self.is_temp(b) && (self.cached[usize::from(b.0)].is_none() || self.free == 0) => b,
            _ => self.fresh()?,
        };
        self.asm.movzx(w, t, m);
        self.give_mem(m);
        self.free &= !(1 << t.0);
        self.set_temp(v, t, w, true);
        Ok(())
    }

    pub(super) fn store(&mut self, at: Place, v: Val) -> Low<()> {
        // A value that is not simply a register or a constant is made before the address takes temporaries.
        match self.loc[v.n()] {
            Loc::Guest { r, .. } if r < 16 => {}
            Loc::Imm(_) | Loc::Temp { .. } | Loc::Fixed { .. } | Loc::XLow(_) => {}
            _ => {
                self.temp(v)?;
            }
        }
        let m = self.probe(at, true)?;
        self.lock_mem(m);
        match self.loc[v.n()] {
            Loc::XLow(x) => self.store_low(m, at.w, x),
            _ => self.write_to(m, at.w, v)?,
        }
        self.give_mem(m);
        Ok(())
    }

    fn write_to(&mut self, m: Mem, w: u8, v: Val) -> Low<()> {
        if let Some(c) = self.imm32(v, w) {
            self.asm.store_imm(w, m, c);
            return Ok(());
        }
        let r = match self.loc[v.n()] {
            Loc::Guest { r: r @ 0..16, w: known }
                if known >= w
                    && self.host(r).is_none()
                    && let Some((t, _)) = self.cached(Held::Guest(r)) =>
            {
                t.into()
            }
            _ => self.operand(v, w)?,
        };
        let r = match r {
            Rm::Reg(r) => r,
            _ => self.temp(v)?,
        };
        self.asm.store(w, m, r);
        Ok(())
    }

    pub(super) fn check_store(&mut self, at: Place) -> Low<()> {
        let m = self.probe(at, true)?;
        self.give_mem(m);
        Ok(())
    }

    pub(super) fn probe_rmw(&mut self, at: Place) -> Low<()> {
        let m = self.probe(at, true)?;
        self.loc[self.at] = Loc::At { m, w: at.w };
        Ok(())
    }

    pub(super) fn load_at(&mut self, p: Val, w: u8) -> Low<()> {
        let Loc::At { m, .. } = self.loc[p.n()] else { return self.refuse() };
        self.lock_mem(m);
        // An operation in place on memory takes it as it is; the address then belongs to the probe's value alone.
        let used = self.facts.last[self.at] as usize;
        if self.facts.uses[self.at] == 1 && used > self.at && self.rmw_follows(p, used, w) {
            self.loc[self.at] = Loc::At { m, w };
            return Ok(());
        }
        let t = self.fresh()?;
        self.asm.movzx(w, t, m);
        self.result(t, w, true);
        Ok(())
    }

    /// Whether the one use of a loaded value is an operation that can work on memory in place.
    fn rmw_follows(&self, p: Val, used: usize, w: u8) -> bool {
        let plain = match self.ops[used] {
            Op::Alu { a, w: aw, .. } => a.n() == self.at && aw == w,
            Op::Unary { a, w: aw, .. } => a.n() == self.at && aw == w,
            Op::BitTest { v, n, w: bw, .. } => v.n() == self.at && bw == w && self.constant(n).is_some(),
            _ => false,
        };
        plain
            && self.facts.uses[used] == 1
            && matches!(self.ops[self.facts.last[used] as usize], Op::StoreAt { p: q, w: sw, .. } if q == p && sw == w)
    }

    pub(super) fn store_at(&mut self, p: Val, w: u8, v: Val) -> Low<()> {
        if self.done[self.at] {
            return Ok(());
        }
        let Loc::At { m, .. } = self.loc[p.n()] else { return self.refuse() };
        self.lock_mem(m);
        self.write_to(m, w, v)
    }

    /// Stores to a place that has been probed, `skip` bytes into it.
    pub(super) fn store_in(&mut self, p: Val, skip: u8, w: u8, v: Val) -> Low<()> {
        let Loc::At { m, .. } = self.loc[p.n()] else { return self.refuse() };
        self.lock_mem(m);
        self.write_to(field::plus(m, i32::from(skip)), w, v)
    }

    /// The `w` bytes at linear address `h`, in its place.
    pub(super) fn load_at_linear(&mut self, h: R, w: u8) -> Low<R> {
        let (x, c) = (self.fresh()?, self.fresh()?);
        let back = self.asm.label();
        self.asm.bind(back);
        self.asm.mov(8, c, h);
        let at = Place { seg: 0, ea: Val(0), w };
        let delta = self.look_up(c, x, at, false, Linear::Reg(h), back, false);
        self.asm.alu_r_rm(0, 8, h, delta);
        self.asm.load(w, h, Mem::at(h, 0));
        self.give(c);
        self.give(x);
        Ok(h)
    }

    /// Probes for a load of `w` bytes from the top of a stack of 32 bits.
    pub(super) fn probe_top(&mut self, w: u8) -> Low<Mem> {
        let m = self.sum(gpr::RSP as u8, 0)?;
        self.probe_address(
            Place { seg: Seg::Ss as u8, ea: Val(0), w },
            Address { m, w: 4, held: None },
            false,
        )
    }

    /// Loads a word from a place that has been probed into a temporary of its own, zero-extended.
    pub(super) fn pull_word(&mut self, m: Mem) -> Low<R> {
        self.lock_mem(m);
        let t = self.fresh()?;
        self.asm.movzx(2, t, m);
        self.give_mem(m);
        Ok(t)
    }

    /// CMPXCHG: the host's own, whose accumulator is the guest's.
    pub(super) fn compare_exchange(&mut self, p: Val, w: u8, new: Val) -> Low<()> {
        let Loc::At { m, .. } = self.loc[p.n()] else { return self.refuse() };
        self.lock_mem(m);
        let new = self.reg(new, w)?;
        self.preserve(0)?;
        // Its flags are those of a comparison of the accumulator with what memory held, which is then in the accumulator.
        let kept = self.keep_first(0, 0)?;
        self.asm.cmpxchg(w, m, new);
        self.produced(fl::ALL, 0);
        if kept {
            let b = recipe::Second::Guest(0);
            let a = recipe::HELD;
            self.follow_recipe(Some(Recipe { how: recipe::How::Cmp, w, a, b, then: None }));
        }
        Ok(())
    }

    /// Probes for a 16-byte operand.
    pub(super) fn probe_x(&mut self, at: Place, aligned: bool, write: bool) -> Low<Mem> {
        let m = self.probe(at, write)?;
        if aligned {
            // Pages are aligned alike here and there, so the host address tells.
            let t = self.fresh()?;
            self.asm.lea(8, t, m);
            self.asm.test_imm(1, t, 15);
            self.give(t);
            let bail = self.bail_label();
            self.asm.jcc(5, bail);
        }
        Ok(m)
    }
}
