//! Lowering of shifts and rotations. SDM volume 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD and SHRD.

use super::flags::Overflow;
use super::recipe::{self, How, Recipe};
use super::{Loc, Low, Lower};
use crate::jit::encode::{R, Rm};
use crate::jit::ir::Val;
use crate::jit::passes::fl;
use crate::jit::regs::field;
use crate::ops::Shift;

impl Lower<'_> {
    /// A shift by a constant.
    pub(super) fn shift(&mut self, op: Shift, w: u8, a: Val, count: Val) -> Low<()> {
        let mask = if w == 8 { 63 } else { 31 };
        let Some(c) = self.constant(count) else { return self.shift_variable(op, w, a, count) };
        let c = (c & mask) as u8;
        let rotate = matches!(op, Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr);
        if c == 0 {
            let t = self.copy(a)?;
            self.result(t, 8, true);
            return Ok(());
        }
        let undefined = match (rotate, c) {
            (true, 1) => 0,
            (true, _) => fl::O,
            (false, _) => fl::A | fl::O,
        };
        let step = rotate && self.begin_step()?;
        let settle = !step && !self.common.exact.shifts && self.facts.live[self.at] & undefined != 0;
        if matches!(op, Shift::Rcl | Shift::Rcr) {
            if settle {
                return self.refuse();
            }
            self.need(fl::C)?;
        }
        let first = self.loc[a.n()];
        let dest = self.in_place(a, w)?;
        let t = if dest.is_none() { Some(self.working_copy(a, w)?) } else { None };
        let rm = dest.unwrap_or(Rm::Reg(t.unwrap_or(R::RAX)));
        let how = match op {
            Shift::Shl => Some(How::Shl),
            Shift::Shr => Some(How::Shr),
            Shift::Sar => Some(How::Sar),
            _ => None,
        };
        let back = if t.is_some() { self.goes_back(first, w) } else { None };
        let register = match (first, t) {
            (Loc::Guest { r, .. }, None) => Some(r),
            _ => back,
        };
        let recipe = match (how, register) {
            (Some(how), Some(r)) if self.keep_first(r, 0)? => {
                Some(Recipe { how, w, a: recipe::HELD, b: recipe::Second::Imm(i32::from(c)), then: None })
            }
            _ => None,
        };
        if let (true, Some(r)) = (step, back) {
            self.changes_input(r)?;
        }
        self.asm.shift_imm(op as u8, w, rm, c);
        match t {
            Some(t) => self.result(t, w, w >= 4),
            None => self.clear_upper(rm, w),
        }
        if let (true, Some(a)) = (step, register) {
            let then =
                if op == Shift::Rol { recipe::Then::Left { a, w } } else { recipe::Then::Right { a, w } };
            let overflow = if c == 1 || self.common.exact.shifts { fl::O } else { 0 };
            let stay = self.flags.host & !(fl::C | fl::O);
            self.end_step(then, stay | fl::C | overflow);
            self.flags.result = back.map(|_| self.at as u32);
            return Ok(());
        }
        // A rotation by the whole width or a multiple still sets them; through carry, 9 or 17 is none at all.
        let none = match op {
            Shift::Rcl | Shift::Rcr => w < 4 && c.is_multiple_of(8 * w + 1),
            _ => false,
        };
        if rotate && none && self.facts.live[self.at] & fl::O != 0 {
            return self.refuse();
        }
        let set = if rotate { fl::C | fl::O } else { fl::ALL };
        let of = Overflow::after(op, Some(c));
        if settle && recipe.is_some() {
            // What the host has right serves conditions; who wants all has the recipe.
            let right = if matches!(op, Shift::Sar) || of == Overflow::Host { fl::O } else { 0 };
            self.produced(right | fl::C | fl::P | fl::Z | fl::S, 0);
            self.flags.deferred = true;
        } else {
            if settle {
                self.settle_in_place(of, rotate, w, rm)?;
            }
            self.produced(set, fl::ALL);
        }
        self.follow_recipe(recipe);
        Ok(())
    }

    /// Makes EFLAGS what both engines define after the shift that has just set them, with its result in `rm`.
    fn settle_in_place(&mut self, of: Overflow, rotate: bool, w: u8, rm: Rm) -> Low<()> {
        if let Rm::Reg(r) = rm {
            self.lock(r);
        }
        let u = self.fresh()?;
        self.settle_host(of, rotate, w, rm, u);
        self.give(u);
        Ok(())
    }

    /// Shift by CL.
    fn shift_variable(&mut self, op: Shift, w: u8, a: Val, count: Val) -> Low<()> {
        let cl = matches!(self.loc[count.n()], Loc::Guest { r: 1, .. });
        let rotate = matches!(op, Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr);
        let through = matches!(op, Shift::Rcl | Shift::Rcr);
        let live = self.facts.live[self.at];
        if !cl || through && w < 4 {
            return self.refuse();
        }
        let undefined = if rotate { fl::O } else { fl::A | fl::O };
        let settle = !self.common.exact.shifts && live & undefined != 0;
        if settle && through {
            return self.refuse();
        }
        if live == 0 && !through {
            // Nobody reads its flags.
            let dest = self.in_place(a, w)?;
            let t = if dest.is_none() { Some(self.working_copy(a, w)?) } else { None };
            let rm = dest.unwrap_or(Rm::Reg(t.unwrap_or(R::RAX)));
            self.asm.shift_cl(op as u8, w, rm);
            match t {
                Some(t) => self.result(t, w, w >= 4),
                None => self.clear_upper(rm, w),
            }
            self.produced(0, 0);
            return Ok(());
        }
        // With a count of zero, flags stay as they are: memory has them, and is changed only past the test.
        self.expose()?;
        let t = self.working_copy(a, w)?;
        let u = self.fresh()?;
        let skip = self.asm.label();
        self.asm.test_imm(1, R::RCX, if w == 8 { 63 } else { 31 });
        self.asm.jcc(4, skip);
        if through {
            // CF of the memory form is bit 8.
            self.asm.bit_imm(4, 2, field::flags(), 8);
        }
        self.asm.shift_cl(op as u8, w, t);
        if rotate {
            if settle {
                self.settle_host(Overflow::after(op, None), true, w, t.into(), u);
            }
            self.asm.setcc(0, u);
            self.asm.store(1, field::flags(), u);
            self.asm.setcc(2, u);
            let high = field::plus(field::flags(), 1);
            self.asm.alu_imm(4, 1, high, !1);
            self.asm.alu_rm_r(1, 1, high, u);
        } else if settle {
            self.settle_memory(Overflow::after(op, None), w, t.into(), u);
        } else {
            self.asm.mov(8, u, R::RAX);
            self.asm.setcc(0, R::RAX);
            self.asm.lahf();
            self.asm.store(2, field::flags(), R::RAX);
            self.asm.mov(8, R::RAX, u);
        }
        self.asm.bind(skip);
        self.give(u);
        self.flags = super::flags::State::in_memory();
        if w == 4 {
            // A count of zero leaves what was above.
            self.asm.movzx(4, t, t);
        }
        self.result(t, w, w >= 4);
        Ok(())
    }

    pub(super) fn double_shift(&mut self, left: bool, w: u8, a: Val, b: Val, count: Val) -> Low<()> {
        let live = self.facts.live[self.at];
        let constant = self.constant(count).map(|c| (c & if w == 8 { 63 } else { 31 }) as u8);
        if constant == Some(0) {
            return self.refuse();
        }
        let past = constant.is_none_or(|c| c >= 8 * w);
        if past && w == 2 && !self.common.exact.shifts {
            // The result itself is undefined.
            return self.refuse();
        }
        let settle = !self.common.exact.shifts && live & (fl::A | fl::O) != 0;
        let of = if left { Overflow::SignCarry } else { Overflow::TopTwo };
        if constant.is_none() && live != 0 {
            self.expose()?;
        }
        let b = self.reg(b, w)?;
        self.lock(b);
        let t = self.copy(a)?;
        if let Some(c) = constant {
            self.asm.double_shift_imm(left, w, t, b, c);
            if settle {
                self.settle_in_place(of, false, w, t.into())?;
            }
            self.result(t, w, w >= 4);
            self.produced(fl::ALL, 0);
            return Ok(());
        }
        if !matches!(self.loc[count.n()], Loc::Guest { r: 1, .. }) {
            return self.refuse();
        }
        if live == 0 {
            self.asm.double_shift_cl(left, w, t, b);
            self.produced(0, 0);
        } else {
            let u = self.fresh()?;
            let skip = self.asm.label();
            self.asm.test_imm(1, R::RCX, if w == 8 { 63 } else { 31 });
            self.asm.jcc(4, skip);
            self.asm.double_shift_cl(left, w, t, b);
            if settle {
                self.settle_memory(of, w, t.into(), u);
            } else {
                self.asm.mov(8, u, R::RAX);
                self.asm.setcc(0, R::RAX);
                self.asm.lahf();
                self.asm.store(2, field::flags(), R::RAX);
                self.asm.mov(8, R::RAX, u);
            }
            self.asm.bind(skip);
            self.give(u);
            self.flags = super::flags::State::in_memory();
        }
        if w == 4 {
            self.asm.movzx(4, t, t);
        }
        self.result(t, w, w >= 4);
        Ok(())
    }
}
