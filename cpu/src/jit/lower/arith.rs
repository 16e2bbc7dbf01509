//! Lowering of integer arithmetic.

use super::recipe::{self, How, Recipe};
use super::{Loc, Low, Lower};
use crate::jit::encode::{Mem, R, Rm};
use crate::jit::ir::{Op, Val};
use crate::jit::passes::{changes, fl};
use crate::jit::regs::field;
use crate::ops::{Alu, BitOp, Bits, Pure, Unary};

/// The second operand of a two-operand instruction.
enum Second {
    Imm(i32),
    Rm(Rm),
}

/// The encoding's numbers of ALU operations.
const CMP: u8 = 7;
const SUB: u8 = 5;

impl Lower<'_> {
    fn second(&mut self, b: Val, w: u8) -> Low<Second> {
        if let Some(c) = self.imm32(b, w) {
            return Ok(Second::Imm(c));
        }
        // A high byte needs a register of its own; so does a constant too wide for an immediate.
        Ok(Second::Rm(self.operand(b, w)?))
    }

    /// `op dest, b`, where not both may be memory.
    fn alu_op(&mut self, n: u8, w: u8, dest: Rm, b: Val, second: Second) -> Low<()> {
        match (dest, second) {
            (_, Second::Imm(c)) => self.asm.alu_imm(n, w, dest, c),
            (Rm::Reg(d), Second::Rm(s)) => self.asm.alu_r_rm(n, w, d, s),
            (_, Second::Rm(Rm::Reg(s))) => self.asm.alu_rm_r(n, w, dest, s),
            (_, Second::Rm(_)) => {
                let s = self.temp(b)?;
                self.asm.alu_rm_r(n, w, dest, s);
            }
        }
        Ok(())
    }

    /// A temporary with value `a`, to be overwritten: `a`'s own if this is its last use.
    pub(super) fn working_copy(&mut self, a: Val, w: u8) -> Low<R> {
        if let Loc::Temp { t, w: aw, .. } = self.loc[a.n()]
            && self.facts.last[a.n()] == self.at as u32
            && aw >= w
        {
            self.lock(t);
            self.loc[a.n()] = Loc::Gone;
            return Ok(t);
        }
        self.copy(a)
    }

    pub(super) fn alu(&mut self, op: Alu, w: u8, a: Val, b: Val) -> Low<()> {
        if matches!(op, Alu::Adc | Alu::Sbb) {
            self.need(fl::C)?;
        }
        let n = op as u8;
        let v = self.at;
        let compares = self.facts.uses[v] == 0 && matches!(op, Alu::Sub | Alu::And);
        if compares && self.then_branch() {
            self.hold(w, a, b)?;
        }
        let (mut recipe, mut back) = (None, false);
        if compares {
            recipe = self.recipe(op, w, a, b);
            self.compare(op, w, a, b)?;
        } else if self.fused_rmw(a, w) {
            // `op [mem], b`: the store behind it has nothing to do.
            let Loc::At { m, .. } = self.loc[a.n()] else { return self.refuse() };
            self.lock_mem(m);
            let s = self.second(b, w)?;
            if let Second::Rm(Rm::Reg(r)) = s {
                self.lock(r);
            }
            let other = self.second_of_recipe(w, b);
            self.alu_op(n, w, m.into(), b, s)?;
            self.loc[v] = Loc::InPlace;
            let store = self.facts.last[v] as usize;
            self.done[store] = true;
            let held = recipe::Second::Guest(recipe::HELD);
            let how = match (op, other) {
                (Alu::And | Alu::Or | Alu::Xor, _) => Some((How::Test, held)),
                (Alu::Add, Some(b)) => Some((How::Added, b)),
                (Alu::Sub, Some(b)) => Some((How::Subtracted, b)),
                _ => None,
            };
            if let Some((how, b)) = how
                && self.hold_result(w, m)?
            {
                recipe = Some(Recipe { how, w, a: recipe::HELD, b, then: None });
            }
        } else {
            // The operand first: an in-place destination may be what it is an alias of.
            let s = self.second(b, w)?;
            if let Second::Rm(Rm::Reg(r)) = s {
                self.lock(r);
            }
            let (r, other) = (self.loc[a.n()], self.second_of_recipe(w, b));
            match self.in_place(a, w)? {
                Some(dest) => {
                    let s = self.second(b, w)?;
                    if let Loc::Guest { r, .. } = r {
                        recipe = self.recipe_in_place(op, w, r, other)?;
                    }
                    self.alu_op(n, w, dest, b, s)?;
                    self.clear_upper(dest, w);
                }
                None => {
                    let goes = self.goes_back(r, w);
                    if let Some(r) = goes {
                        recipe = self.recipe_in_place(op, w, r, other)?;
                    }
                    let zero =
                        op == Alu::Xor && w >= 4 && matches!(r, Loc::Guest { .. }) && r == self.loc[b.n()];
                    let t = if zero { self.fresh()? } else { self.working_copy(a, w)? };
                    if zero {
                        self.asm.alu_rm_r(n, 4, t, t);
                    } else {
                        let s = self.second(b, w)?;
                        self.alu_op(n, w, t.into(), b, s)?;
                    }
                    self.result(t, w, w >= 4);
                    back = goes.is_some();
                }
            }
        }
        self.produced(fl::ALL, 0);
        self.follow_recipe(recipe);
        self.flags.result = back.then_some(v as u32);
        Ok(())
    }

    /// The guest register, if `first`, the operand of the operation at hand, is one of `w` bytes to which the result, when it
    /// has been made elsewhere, is set before anything can leave.
    pub(super) fn goes_back(&self, first: Loc, w: u8) -> Option<u8> {
        let Loc::Guest { r, w: fw } = first else { return None };
        let v = self.at;
        let set = self.facts.last[v] as usize;
        let Op::Set { r: to, w: tw, .. } = self.ops[set] else { return None };
        let plain = |op: &Op| matches!(op, Op::Imm(_) | Op::Get { .. } | Op::Zext { .. });
        let good = r < 16 && (fw, to, tw) == (w, r, w) && self.ops[v + 1..set].iter().all(plain);
        good.then_some(r)
    }

    /// The flags that the operation at hand has just made are also made by `recipe`.
    pub(super) fn follow_recipe(&mut self, recipe: Option<Recipe>) {
        self.flags.recipe = recipe;
        self.flags.made = self.n;
        self.flags.result = None;
    }

    /// How to make the flags of `op` once its result is in guest register `r`. What this needs of the register's old
    /// content is put aside.
    fn recipe_in_place(&mut self, op: Alu, w: u8, r: u8, b: Option<recipe::Second>) -> Low<Option<Recipe>> {
        let apart = b.filter(|&b| b != recipe::Second::Guest(r));
        let recipe = |how, b| Some(Recipe { how, w, a: r, b, then: None });
        let first = recipe::Second::Guest(recipe::HELD);
        Ok(match (op, apart) {
            // The flags of a logical operation are those of its result.
            (Alu::And | Alu::Or | Alu::Xor, _) => recipe(How::Test, recipe::Second::Guest(r)),
            (Alu::Add, Some(b)) => recipe(How::Added, b),
            (Alu::Sub, Some(b)) => recipe(How::Subtracted, b),
            // Two summands: one is as good as the other.
            (Alu::Add, None) if self.keep_first(r, 0)? => recipe(How::Added, first),
            (Alu::Sub, None) if self.keep_first(r, 0)? => recipe(How::Taken, first),
            (Alu::Adc | Alu::Sbb, _) => {
                let how = if op == Alu::Adc { How::Carried } else { How::Borrowed };
                let same = b == Some(recipe::Second::Guest(r));
                let b = if same { Some(recipe::Second::Guest(recipe::HELD + recipe::CARRIED)) } else { b };
                match b {
                    Some(b) if self.keep_first(r, recipe::CARRIED)? => recipe(how, b),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// Value `b` as the second operand of a recipe.
    fn second_of_recipe(&self, w: u8, b: Val) -> Option<recipe::Second> {
        match (self.imm32(b, w), self.loc[b.n()]) {
            (Some(c), _) if self.held != Some(b) => Some(recipe::Second::Imm(c)),
            (_, Loc::Guest { r, w: gw }) if r < 16 && gw == w => Some(recipe::Second::Guest(r)),
            _ if self.held == Some(b) => Some(recipe::Second::Guest(recipe::HELD)),
            _ => None,
        }
    }

    /// After a 4-byte operation in place on a register that lives in memory: clears the upper half.
    pub(super) fn clear_upper(&mut self, rm: Rm, w: u8) {
        if let (Rm::Mem(m), 4) = (rm, w) {
            self.asm.store_imm(4, field::plus(m, 4), 0);
        }
    }

    /// Whether a jump on the flags of the operation at hand comes right after it, which may leave the block.
    fn then_branch(&self) -> bool {
        matches!(
            self.ops[self.at + 1..],
            [Op::Begin(_), Op::BranchCond(_)] | [Op::Begin(_), Op::SideExit { .. }, ..]
        )
    }

    /// An operand of a comparison that came from memory is kept for the recipe.
    fn hold(&mut self, w: u8, a: Val, b: Val) -> Low<()> {
        let from_memory = |v: Val| match self.loc[v.n()] {
            Loc::At { .. } => true,
            Loc::Temp { w: tw, .. } => tw == w && matches!(self.ops[v.n()], Op::Load(_)),
            _ => false,
        };
        let Some(v) = [a, b].into_iter().find(|&v| from_memory(v)) else { return Ok(()) };
        self.pull(v)?;
        let t = self.temp(v)?;
        self.asm.store(8, field::held(0), t);
        self.held = Some(v);
        self.holders.push(self.n);
        Ok(())
    }

    /// The result that an operation has just left in memory is kept for the recipe of its flags, where somebody may want them.
    /// Leaves EFLAGS as they are.
    fn hold_result(&mut self, w: u8, m: Mem) -> Low<bool> {
        if !self.facts.exposed[self.at] || self.free == 0 {
            return Ok(false);
        }
        let t = self.fresh()?;
        self.asm.movzx(w, t, m);
        self.asm.store(8, field::held(0), t);
        self.give(t);
        self.holders.push(self.n);
        Ok(true)
    }

    /// How to make the flags of a comparison from its operands, if these are registers and constants.
    fn recipe(&self, op: Alu, w: u8, a: Val, b: Val) -> Option<Recipe> {
        let how = if op == Alu::Sub { How::Cmp } else { How::Test };
        let first = match self.loc[a.n()] {
            Loc::Guest { r, w: gw } if r < 16 && gw == w => r,
            _ if self.held == Some(a) => recipe::HELD,
            _ => return None,
        };
        Some(Recipe { how, w, a: first, b: self.second_of_recipe(w, b)?, then: None })
    }

    /// CMP or TEST: no result.
    fn compare(&mut self, op: Alu, w: u8, a: Val, b: Val) -> Low<()> {
        let s = self.second(b, w)?;
        if let Second::Rm(Rm::Reg(r)) = s {
            self.lock(r);
        }
        let a_rm = if self.constant(a).is_some() { self.temp(a)?.into() } else { self.operand(a, w)? };
        if op == Alu::And {
            match s {
                Second::Imm(c) => self.asm.test_imm(w, a_rm, c),
                Second::Rm(Rm::Reg(r)) => self.asm.test(w, a_rm, r),
                Second::Rm(m) => {
                    let r = self.reg(a, w)?;
                    self.asm.test(w, m, r);
                }
            }
            return Ok(());
        }
        self.alu_op(CMP, w, a_rm, b, s)
    }

    /// Whether `a` was just loaded for a read-modify-write whose store wants this operation's result and nobody else
    /// wants either.
    fn fused_rmw(&self, a: Val, w: u8) -> bool {
        let Op::LoadAt { p, w: lw } = self.ops[a.n()] else { return false };
        let v = self.at;
        let last = self.facts.last[v] as usize;
        matches!(self.loc[a.n()], Loc::At { .. })
            && lw == w
            && self.facts.uses[a.n()] == 1
            && self.facts.uses[v] == 1
            && matches!(self.ops[last], Op::StoreAt { p: q, w: sw, .. } if q == p && sw == w)
    }

    pub(super) fn unary(&mut self, op: Unary, w: u8, a: Val) -> Low<()> {
        let v = self.at;
        let first = match self.loc[a.n()] {
            Loc::Guest { r, .. } if r < 16 => Some(r),
            _ => None,
        };
        let mut back = None;
        let (dest, t) = if self.fused_rmw(a, w) {
            let Loc::At { m, .. } = self.loc[a.n()] else { return self.refuse() };
            self.loc[v] = Loc::InPlace;
            let store = self.facts.last[v] as usize;
            self.done[store] = true;
            (m.into(), None)
        } else if let Some(rm) = self.in_place(a, w)? {
            (rm, None)
        } else {
            back = self.goes_back(self.loc[a.n()], w);
            let t = self.working_copy(a, w)?;
            (t.into(), Some(t))
        };
        match op {
            Unary::Inc => self.asm.incdec(0, w, dest),
            Unary::Dec => self.asm.incdec(1, w, dest),
            Unary::Not => self.asm.group3(2, w, dest),
            Unary::Neg => self.asm.group3(3, w, dest),
        }
        match t {
            Some(t) => self.result(t, w, w >= 4),
            None if matches!(self.loc[a.n()], Loc::Guest { .. }) => self.clear_upper(dest, w),
            None => {}
        }
        if op == Unary::Not {
            return Ok(());
        }
        let mut a = first.filter(|_| t.is_none()).or(back);
        if let (Rm::Mem(m), true) = (dest, matches!(self.loc[v], Loc::InPlace) && first.is_none())
            && (op == Unary::Neg || self.flags.synced || self.flags.host & fl::C != 0)
            && self.hold_result(w, m)?
        {
            a = Some(recipe::HELD);
        }
        let all = match (op, a) {
            (Unary::Neg, _) => {
                a.map(|a| Recipe { how: How::Negated, w, a, b: recipe::Second::Imm(0), then: None })
            }
            (_, Some(a)) => self.recipe_of_step(op, w, a),
            _ => None,
        };
        if op == Unary::Neg {
            self.produced(fl::ALL, 0);
        } else {
            self.produced(fl::ALL & !fl::C, fl::C);
            // CF may be where only the recipe finds it.
            self.flags.deferred = all.is_some() && self.flags.host != fl::ALL;
        }
        self.follow_recipe(all);
        self.flags.result = back.map(|_| v as u32);
        Ok(())
    }

    /// How to make the flags of INC or DEC, whose result is to be in guest register `a`: CF is put aside if only EFLAGS have
    /// it.
    fn recipe_of_step(&mut self, op: Unary, w: u8, a: u8) -> Option<Recipe> {
        if !self.facts.exposed[self.at] {
            return None;
        }
        let how = if op == Unary::Inc { How::Incremented } else { How::Decremented };
        let carry = if self.flags.synced {
            recipe::CARRY_STORED
        } else if self.flags.host & fl::C != 0 {
            self.asm.setcc_mem(2, field::held(recipe::CARRIED));
            recipe::CARRY_KEPT
        } else {
            self.carried?
        };
        Some(Recipe { how, w, a, b: recipe::Second::Imm(carry), then: None })
    }

    /// Arithmetic without flags: LEA where it serves.
    pub(super) fn pure(&mut self, op: Pure, a: Val, b: Val) -> Low<()> {
        let c = self.constant(b).map(|c| c as i64);
        let disp = match op {
            Pure::Add => c,
            Pure::Sub => c.map(i64::wrapping_neg),
            _ => None,
        };
        if let Some(d) = disp.and_then(|d| i32::try_from(d).ok()) {
            if let Loc::Guest { r, w: 8 } = self.loc[a.n()]
                && self.host(r).is_some()
            {
                self.loc[self.at] = Loc::Sum { r, d, w: 8 };
                return Ok(());
            }
            let r = self.full(a)?;
            let t = self.fresh()?;
            self.asm.lea(8, t, Mem::at(r, d));
            self.result(t, 8, true);
            return Ok(());
        }
        if op == Pure::Add {
            let r = self.full(a)?;
            let s = self.full(b)?;
            let t = self.fresh()?;
            self.asm.lea(8, t, Mem { base: Some(r), index: Some((s, 0)), disp: 0 });
            self.result(t, 8, true);
            return Ok(());
        }
        let last = self.facts.last[self.at] as usize;
        let only_branches = self.facts.uses[self.at] == 1 && matches!(self.ops[last], Op::Branch(_));
        if op == Pure::Below && only_branches && self.constant(a) == Some(0) {
            // LOOP: any number but zero does, and flags can stay.
            let t = self.copy(b)?;
            self.result(t, 8, true);
            return Ok(());
        }
        self.clobber()?;
        let t = self.copy(a)?;
        match op {
            Pure::Shl | Pure::Shr | Pure::Sar => {
                let Some(c) = c else { return self.refuse() };
                let n = match op {
                    Pure::Shl => 4,
                    Pure::Shr => 5,
                    _ => 7,
                };
                self.asm.shift_imm(n, 8, t, c as u8 & 63);
            }
            _ => {
                let n = match op {
                    Pure::Sub => SUB,
                    Pure::And => 4,
                    Pure::Or => 1,
                    Pure::Xor => 6,
                    _ => CMP,
                };
                match self.imm32(b, 8) {
                    Some(c) => self.asm.alu_imm(n, 8, t, c),
                    None => {
                        let s = self.full(b)?;
                        self.asm.alu_rm_r(n, 8, t, s);
                    }
                }
                if matches!(op, Pure::Eq | Pure::Below) {
                    self.asm.setcc(if op == Pure::Eq { 4 } else { 2 }, t);
                    self.asm.movzx(1, t, t);
                }
            }
        }
        self.result(t, 8, true);
        Ok(())
    }

    /// `w`, or `-w` if DF is set; leaves EFLAGS as they are.
    pub(super) fn stride(&mut self, w: u8) -> Low<()> {
        let t = self.fresh()?;
        self.asm.load(8, t, field::direction());
        let shift = w.trailing_zeros() as u8;
        if shift != 0 {
            self.asm.lea(8, t, Mem { base: None, index: Some((t, shift)), disp: 0 });
        }
        self.result(t, 8, true);
        Ok(())
    }

    /// Value `v`, all 64 bits of it, in a register.
    pub(super) fn full(&mut self, v: Val) -> Low<R> {
        match self.loc[v.n()] {
            Loc::Guest { r, w: 8 } if self.host(r).is_some() => Ok(self.host(r).unwrap_or(R::RAX)),
            _ => self.temp(v),
        }
    }

    pub(super) fn zext(&mut self, w: u8, v: Val) -> Low<()> {
        if w == 8 {
            // Nothing to do but to have a value: an alias is one.
            if let Loc::Guest { r, w: gw } = self.loc[v.n()] {
                self.loc[self.at] = Loc::Guest { r, w: gw };
                return Ok(());
            }
        }
        if let Loc::Sum { r, d, w: sw } = self.loc[v.n()]
            && w >= 4
        {
            self.loc[self.at] = Loc::Sum { r, d, w: w.min(sw) };
            return Ok(());
        }
        if let Loc::Temp { t, w: vw, clean } = self.loc[v.n()]
            && self.facts.last[v.n()] == self.at as u32
            && (w >= vw || w == 8)
        {
            self.loc[v.n()] = Loc::Gone;
            self.result(t, vw, clean);
            return Ok(());
        }
        if matches!(self.loc[v.n()], Loc::Imm(_) | Loc::Cond(_) | Loc::Ea | Loc::Sum { .. }) {
            self.temp(v)?;
        }
        let from = self.operand(v, w.min(self.width(v)))?;
        let width = w.min(self.width(v));
        if width <= 4
            && let Some((set, r, _)) = self.goes_to(4)
        {
            let h = self.land(set, r)?;
            self.asm.movzx(width, h, from);
            return Ok(());
        }
        let t = self.fresh()?;
        self.asm.movzx(width, t, from);
        self.result(t, 8, true);
        Ok(())
    }

    /// Bytes that a value has, as far as its place says.
    fn width(&self, v: Val) -> u8 {
        match self.loc[v.n()] {
            Loc::Guest { w, .. } | Loc::At { w, .. } | Loc::Fixed { w, .. } => w,
            Loc::Temp { w, clean, .. } => {
                if clean {
                    8
                } else {
                    w
                }
            }
            _ => 8,
        }
    }

    pub(super) fn sext(&mut self, w: u8, v: Val) -> Low<()> {
        if let Some(c) = self.constant(v) {
            self.loc[self.at] = Loc::Imm(crate::interp::flags::sext(w, c));
            return Ok(());
        }
        let from = self.operand(v, w)?;
        if let Some((set, r, sw)) = self.goes_to(4) {
            let h = self.land(set, r)?;
            match sw {
                4 => self.asm.movsx_32(w, h, from),
                _ => self.asm.movsx(w, h, from),
            }
            return Ok(());
        }
        let t = self.fresh()?;
        let used = self.facts.last[self.at] as usize;
        if self.facts.uses[self.at] == 1 && matches!(self.ops[used], Op::Set { w: 4, .. }) {
            self.asm.movsx_32(w, t, from);
            self.result(t, 4, true);
            return Ok(());
        }
        self.asm.movsx(w, t, from);
        self.result(t, 8, true);
        Ok(())
    }

    /// A choice between a register's old content and something else (CMOV), which the host makes in the register itself.
    fn select_in_place(&mut self, cc: u8, a: Val, b: Val) -> Low<bool> {
        let Loc::Guest { r: old, w } = self.loc[b.n()] else { return Ok(false) };
        let Some((set, r, sw)) = self.goes_to(4) else { return Ok(false) };
        if r != old || sw != w {
            return Ok(false);
        }
        let from = if self.constant(a).is_some() { self.temp(a)?.into() } else { self.operand(a, w)? };
        let h = self.land(set, r)?;
        self.asm.cmov(cc, w, h, from);
        Ok(true)
    }

    pub(super) fn select(&mut self, c: Val, a: Val, b: Val) -> Low<()> {
        if let Loc::Cond(cc) = self.loc[c.n()] {
            self.need_for_cond(cc)?;
            if self.select_in_place(cc, a, b)? {
                return Ok(());
            }
            let a = self.full(a)?;
            let t = self.copy(b)?;
            self.asm.cmov(cc, 8, t, a);
            self.result(t, 8, true);
            return Ok(());
        }
        self.clobber()?;
        let c = self.temp(c)?;
        let a = self.full(a)?;
        let t = self.copy(b)?;
        self.asm.test(8, c, c);
        self.asm.cmov(5, 8, t, a);
        self.result(t, 8, true);
        Ok(())
    }

    pub(super) fn bswap(&mut self, w: u8, v: Val) -> Low<()> {
        let t = self.copy(v)?;
        if w == 2 {
            // Rotate the two bytes without flags: swap all eight, take the top.
            self.asm.bswap(8, t);
            self.asm.rorx(8, t, t, 48);
            self.asm.movzx(2, t, t);
        } else {
            self.asm.bswap(w, t);
        }
        self.result(t, 8, true);
        Ok(())
    }

    pub(super) fn mul(&mut self, signed: bool, w: u8, a: Val, b: Val) -> Low<()> {
        let high_wanted = self.facts.uses.get(self.at + 1).is_some_and(|&u| u > 0);
        if w == 1 {
            return self.refuse();
        }
        let step = self.begin_step()?;
        if !self.common.exact.products {
            // The other flags must not come from the host's product.
            if !step && self.facts.live[self.at] != 0 {
                self.clobber_all()?;
            }
            self.flags.host = 0;
        }
        if !high_wanted {
            // Two-operand IMUL: the low half is the same for both kinds; CF and OF are those of a signed product.
            if !signed && self.facts.live[self.at] != 0 {
                return self.refuse();
            }
            if let Some(c) = self.imm32(b, w) {
                let from =
                    if self.constant(a).is_some() { self.temp(a)?.into() } else { self.operand(a, w)? };
                if let Rm::Reg(r) = from {
                    self.lock(r);
                }
                if w >= 4
                    && let Some((set, r, sw)) = self.goes_to(w)
                    && sw == w
                {
                    let h = self.land(set, r)?;
                    self.asm.imul_imm(w, h, from, c);
                    self.multiplied(step);
                    return Ok(());
                }
                let t = match (from, self.loc[a.n()]) {
                    // Its own register, if nobody needs it afterwards.
                    (Rm::Reg(r), Loc::Temp { .. }) if self.facts.last[a.n()] == self.at as u32 => {
                        self.loc[a.n()] = Loc::Gone;
                        r
                    }
                    (Rm::Mem(m), Loc::At { .. }) if self.facts.last[a.n()] == self.at as u32 => {
                        match m.base.filter(|b| self.is_temp(*b)) {
                            Some(b) => {
                                self.loc[a.n()] = Loc::Gone;
                                b
                            }
                            None => self.fresh()?,
                        }
                    }
                    _ => self.fresh()?,
                };
                self.asm.imul_imm(w, t, from, c);
                self.multiplied(step);
                self.result(t, w, w >= 4);
                return Ok(());
            }
            let b_rm = if self.constant(b).is_some() { self.temp(b)?.into() } else { self.operand(b, w)? };
            if let Rm::Reg(r) = b_rm {
                self.lock(r);
            }
            if w >= 4
                && matches!(self.loc[a.n()], Loc::Guest { r, .. } if r < 16 && self.host(r).is_some())
                && let Some(Rm::Reg(h)) = self.in_place(a, w)?
            {
                self.asm.op_0f(0xaf, w, h, b_rm);
                self.multiplied(step);
                return Ok(());
            }
            let t = self.copy(a)?;
            self.asm.op_0f(0xaf, w, t, b_rm);
            self.multiplied(step);
            self.result(t, w, w >= 4);
            return Ok(());
        }
        // RDX:RAX = RAX * b.
        self.fixed_pair(a, None)?;
        let b_rm = self.away_from_pair(b, w)?;
        self.preserve(0)?;
        self.preserve(2)?;
        self.asm.group3(if signed { 5 } else { 4 }, w, b_rm);
        self.multiplied(step);
        self.loc[self.at] = Loc::Fixed { t: R::RAX, w };
        self.loc[self.at + 1] = Loc::Fixed { t: R::RDX, w };
        Ok(())
    }

    /// A product has just been made in EFLAGS.
    fn multiplied(&mut self, step: bool) {
        if !step {
            self.produced(fl::C | fl::O, fl::ALL);
            return;
        }
        self.asm.setcc_mem(0, field::product());
        self.products.push(self.n);
        self.end_step(recipe::Then::Product, self.flags.host | fl::C | fl::O);
    }

    /// The meaning's operands must be where the host instruction wants them: RAX, and RDX for `hi`.
    fn fixed_pair(&mut self, lo: Val, hi: Option<Val>) -> Low<()> {
        let is = |l: Loc, reg: u8| matches!(l, Loc::Guest { r, .. } if r == reg);
        if !is(self.loc[lo.n()], 0) || hi.is_some_and(|h| !is(self.loc[h.n()], 2)) {
            return self.refuse();
        }
        Ok(())
    }

    /// Value `v` as an operand that is neither RAX nor RDX.
    fn away_from_pair(&mut self, v: Val, w: u8) -> Low<Rm> {
        if matches!(self.loc[v.n()], Loc::Guest { r: 0 | 2, .. }) || self.constant(v).is_some() {
            return Ok(self.temp(v)?.into());
        }
        if let Loc::At { m, .. } = self.loc[v.n()] {
            let pair = |r: Option<R>| r == Some(R::RAX) || r == Some(R::RDX);
            if pair(m.base) || pair(m.index.map(|i| i.0)) {
                return Ok(self.temp(v)?.into());
            }
        }
        self.operand(v, w)
    }

    /// DIV and IDIV of RDX:RAX. What might fault goes to the interpreter before anything happens.
    pub(super) fn div(&mut self, signed: bool, w: u8, hi: Val, lo: Val, d: Val) -> Low<()> {
        if w < 4 {
            return self.refuse();
        }
        self.expose()?;
        self.fixed_pair(lo, Some(hi))?;
        let d = self.temp(d)?;
        let bail = self.bail_label();
        if signed {
            // Only a dividend that is a sign-extended single, and a divisor other than 0 and -1: the quotient fits.
            let t = self.fresh()?;
            self.asm.mov(w, t, R::RAX);
            self.asm.shift_imm(7, w, t, 8 * w - 1);
            self.asm.alu_rm_r(CMP, w, t, R::RDX);
            self.asm.jcc(5, bail);
            self.asm.lea(w, t, Mem::at(d, 1));
            self.asm.alu_imm(CMP, w, t, 1);
            self.asm.jcc(6, bail);
            self.give(t);
        } else {
            self.asm.alu_rm_r(CMP, w, R::RDX, d);
            self.asm.jcc(3, bail);
        }
        self.preserve(0)?;
        self.preserve(2)?;
        self.asm.group3(if signed { 7 } else { 6 }, w, d);
        if self.facts.live[self.at] & !(fl::C | fl::O) != 0 {
            // AF set; SF, ZF, PF clear; the others stay.
            let high = field::plus(field::flags(), 1);
            self.asm.alu_imm(4, 1, high, 3);
            self.asm.alu_imm(1, 1, high, 0x12);
        }
        self.loc[self.at] = Loc::Fixed { t: R::RAX, w };
        self.loc[self.at + 1] = Loc::Fixed { t: R::RDX, w };
        Ok(())
    }

    pub(super) fn bits(&mut self, op: Bits, w: u8, v: Val, old: Val) -> Low<()> {
        if w == 1 {
            return self.refuse();
        }
        if op != Bits::Popcnt && !self.common.exact.scans && self.facts.live[self.at] & !fl::Z != 0 {
            return self.refuse();
        }
        let from = if self.constant(v).is_some() { self.temp(v)?.into() } else { self.operand(v, w)? };
        if let Rm::Reg(r) = from {
            self.lock(r);
        }
        let t = self.copy(old)?;
        match op {
            Bits::Bsf => self.asm.op_0f(0xbc, w, t, from),
            Bits::Bsr => self.asm.op_0f(0xbd, w, t, from),
            Bits::Popcnt => self.asm.op_f3_0f(0xb8, w, t, from),
            Bits::Tzcnt | Bits::Lzcnt => return self.refuse(),
        }
        self.produced(fl::ALL, 0);
        self.result(t, w, w == 8);
        if w == 4 {
            self.asm.movzx(4, t, t);
            self.result(t, 4, true);
        }
        Ok(())
    }

    pub(super) fn bit_test(&mut self, op: BitOp, w: u8, v: Val, n: Val) -> Low<()> {
        if !self.common.exact.tests {
            self.clobber_all()?;
        }
        let index = self.constant(n).map(|c| c as u8 & (8 * w - 1));
        let n_reg = if index.is_none() { Some(self.reg(n, w)?) } else { None };
        if let Some(r) = n_reg {
            self.lock(r);
        }
        if changes(op)
            && let Some(c) = index
            && self.fused_rmw(v, w)
        {
            let Loc::At { m, .. } = self.loc[v.n()] else { return self.refuse() };
            self.lock_mem(m);
            self.asm.bit_imm(4 + op as u8, w, m, c);
            let store = self.facts.last[self.at] as usize;
            self.loc[self.at] = Loc::InPlace;
            self.done[store] = true;
        } else if changes(op) {
            let t = self.working_copy(v, w)?;
            match (index, n_reg) {
                (Some(c), _) => self.asm.bit_imm(4 + op as u8, w, t, c),
                (_, Some(r)) => self.asm.bit_reg(op as u8, w, t, r),
                _ => {}
            }
            self.result(t, w, w >= 4);
        } else {
            // The host masks a register's index as the guest does; memory must not be indexed here.
            let r = self.reg(v, w)?;
            match (index, n_reg) {
                (Some(c), _) => self.asm.bit_imm(4, w, r, c),
                (_, Some(k)) => self.asm.bit_reg(0, w, r, k),
                _ => {}
            }
            if self.facts.uses[self.at] > 0 {
                let t = self.copy(v)?;
                self.result(t, 8, true);
            }
        }
        self.produced(fl::C, fl::ALL);
        Ok(())
    }
}
