//! Lowering of vector operations: the host's own instruction where the guest's has a plain shape, a call of the shared
//! implementation otherwise. Guest XMM registers live in the host registers of the same number, but for the last few.

use super::{Loc, Low, Lower};
use crate::jit::encode::{Mem, R, Rm};
use crate::jit::ir::{Op, Place, Val, VecFn};
use crate::jit::passes::fl;
use crate::jit::regs::{field, vector_home};
use crate::jit::vectors::{self, Shape};

impl Lower<'_> {
    fn xfresh(&mut self) -> Low<u8> {
        if self.xfree == 0 {
            return self.refuse();
        }
        let x = self.xfree.trailing_zeros() as u8;
        self.xfree &= !(1 << x);
        Ok(x)
    }

    fn xresult(&mut self, x: u8) {
        self.loc[self.at] = Loc::Xtemp(x);
    }

    fn home(&self, r: u8) -> Option<u8> {
        vector_home(self.long(), r)
    }

    /// Guest register `r` as an operand.
    fn xguest(&self, r: u8) -> Rm {
        self.home(r).map_or(Rm::Mem(field::xmm(r)), |h| R(h).into())
    }

    fn move_in(&mut self, x: u8, from: Rm) {
        let opcode = if matches!(from, Rm::Reg(_)) { 0x28 } else { 0x10 };
        if from != Rm::Reg(R(x)) {
            self.asm.sse(0, false, &[0x0f], opcode, x, from);
        }
    }

    fn load_part(&mut self, x: u8, m: Mem, w: u8) {
        match w {
            4 => self.asm.sse(0x66, false, &[0x0f], 0x6e, x, m.into()),
            8 => self.asm.sse(0xf3, false, &[0x0f], 0x7e, x, m.into()),
            _ => self.asm.sse(0, false, &[0x0f], 0x10, x, m.into()),
        }
    }

    /// A vector in some host register; it is not to be changed. The temporary, if one was taken for it, is the second.
    fn xreg(&mut self, v: Val) -> Low<(u8, Option<u8>)> {
        match self.loc[v.n()] {
            Loc::Xtemp(x) => Ok((x, None)),
            Loc::Xmm(r) if self.home(r).is_some() => Ok((self.home(r).unwrap_or(0), None)),
            _ => {
                let x = self.xcopy(v)?;
                Ok((x, Some(x)))
            }
        }
    }

    fn xgive(&mut self, x: Option<u8>) {
        if let Some(x) = x {
            self.xfree |= 1 << x;
        }
    }

    /// A vector in a temporary that may be overwritten.
    fn xcopy(&mut self, v: Val) -> Low<u8> {
        if let Loc::Xtemp(x) = self.loc[v.n()]
            && self.facts.last[v.n()] == self.at as u32
        {
            self.loc[v.n()] = Loc::Gone;
            return Ok(x);
        }
        let x = self.xfresh()?;
        match self.loc[v.n()] {
            Loc::Xtemp(from) => self.move_in(x, R(from).into()),
            Loc::Xmm(r) => {
                let from = self.xguest(r);
                self.move_in(x, from);
            }
            Loc::XAt { m, w } => self.load_part(x, m, w),
            Loc::XZero => self.asm.sse(0, false, &[0x0f], 0x57, x, R(x).into()),
            _ => return self.refuse(),
        }
        Ok(x)
    }

    /// The host register that the result of the operation at hand is to be made in: if it only goes to a guest register
    /// right away, that one. `busy` are values that must not be overwritten before they are used.
    fn xtarget(&mut self, busy: &[Val]) -> Low<Option<u8>> {
        let v = self.at;
        let Some(&Op::SetXmm { r, x }) = self.ops.get(v + 1) else { return Ok(None) };
        if x.n() != v || self.facts.uses[v] != 1 {
            return Ok(None);
        }
        let Some(h) = self.home(r) else { return Ok(None) };
        if busy.iter().any(|b| self.loc[b.n()] == Loc::Xmm(r)) {
            return Ok(None);
        }
        self.xpreserve(r)?;
        self.done[v + 1] = true;
        self.loc[v] = Loc::InPlace;
        Ok(Some(h))
    }

    /// Aliases of guest register `r` that are still needed after the operation at hand move away.
    fn xpreserve(&mut self, r: u8) -> Low<()> {
        for k in 0..self.at {
            if self.loc[k] == Loc::Xmm(r) && self.facts.last[k] > self.at as u32 {
                let x = self.xfresh()?;
                let from = self.xguest(r);
                self.move_in(x, from);
                self.loc[k] = Loc::Xtemp(x);
            }
        }
        Ok(())
    }

    pub(super) fn set_xmm(&mut self, r: u8, v: Val) -> Low<()> {
        self.xpreserve(r)?;
        match self.home(r) {
            Some(h) => match self.loc[v.n()] {
                Loc::Xtemp(x) => self.move_in(h, R(x).into()),
                Loc::Xmm(from) => {
                    let from = self.xguest(from);
                    self.move_in(h, from);
                }
                Loc::XAt { m, w } => self.load_part(h, m, w),
                Loc::XZero => self.asm.sse(0, false, &[0x0f], 0x57, h, R(h).into()),
                _ => return self.refuse(),
            },
            None => {
                let (x, t) = self.xreg(v)?;
                self.asm.sse(0, false, &[0x0f], 0x11, x, field::xmm(r).into());
                self.xgive(t);
            }
        }
        Ok(())
    }

    pub(super) fn load_x(&mut self, at: Place, aligned: bool) -> Low<()> {
        let m = self.probe_x(at, aligned, false)?;
        if let Some(h) = self.xtarget(&[])? {
            self.move_in(h, m.into());
            self.give_mem(m);
            return Ok(());
        }
        // An operand of the very next operation stays where it is.
        let v = self.at;
        let next = matches!(self.ops.get(v + 1), Some(Op::Xmm(_) | Op::Imm(_)));
        let last = self.facts.last[v] as usize;
        if aligned && self.facts.uses[v] == 1 && (last == v + 1 || next && last <= v + 4) {
            self.loc[v] = Loc::XAt { m, w: 16 };
            return Ok(());
        }
        let x = self.xfresh()?;
        self.move_in(x, m.into());
        self.give_mem(m);
        self.xresult(x);
        Ok(())
    }

    pub(super) fn store_x(&mut self, at: Place, aligned: bool, v: Val) -> Low<()> {
        let (x, t) = self.xreg(v)?;
        let m = self.probe_x(at, aligned, true)?;
        self.asm.sse(0, false, &[0x0f], 0x11, x, m.into());
        self.give_mem(m);
        self.xgive(t);
        Ok(())
    }

    pub(super) fn x_low(&mut self, w: u8, v: Val) -> Low<()> {
        if let Loc::Temp { t, .. } = self.loc[v.n()] {
            // Made in a general register already.
            self.loc[v.n()] = Loc::Gone;
            self.result(t, w, true);
            return Ok(());
        }
        if let Loc::Xmm(r) = self.loc[v.n()]
            && let Some(h) = self.home(r)
            && self.is_stored_next(w)
        {
            self.loc[self.at] = Loc::XLow(h);
            return Ok(());
        }
        let t = self.fresh()?;
        match self.loc[v.n()] {
            Loc::Xmm(r) if self.home(r).is_none() => self.asm.movzx(w, t, field::xmm(r)),
            _ => {
                let (x, temp) = self.xreg(v)?;
                self.asm.sse(0x66, w == 8, &[0x0f], 0x7e, x, t.into());
                if w < 4 {
                    self.asm.movzx(w, t, t);
                }
                self.xgive(temp);
            }
        }
        self.result(t, 8, true);
        Ok(())
    }

    /// Whether the value at hand, of `w` bytes, is only stored, before anything else happens.
    fn is_stored_next(&self, w: u8) -> bool {
        let last = self.facts.last[self.at] as usize;
        let stores = matches!(self.ops[last], Op::Store { at, v } if v.n() == self.at && at.w == w);
        let nothing = |op: &Op| matches!(op, Op::Ea | Op::Imm(_));
        w >= 4 && stores && self.facts.uses[self.at] == 1 && self.ops[self.at + 1..last].iter().all(nothing)
    }

    /// Stores the low `w` bytes of host register `x`, 4 or 8.
    pub(super) fn store_low(&mut self, m: Mem, w: u8, x: u8) {
        let opcode = if w == 8 { 0xd6 } else { 0x7e };
        self.asm.sse(0x66, false, &[0x0f], opcode, x, m.into());
    }

    pub(super) fn x_high(&mut self, v: Val) -> Low<()> {
        let t = self.fresh()?;
        match self.loc[v.n()] {
            Loc::Xmm(r) if self.home(r).is_none() => self.asm.load(8, t, field::plus(field::xmm(r), 8)),
            _ => {
                let (x, temp) = self.xreg(v)?;
                let y = self.xfresh()?;
                // MOVHLPS
                self.asm.sse(0, false, &[0x0f], 0x12, y, R(x).into());
                self.asm.sse(0x66, true, &[0x0f], 0x7e, y, t.into());
                self.xfree |= 1 << y;
                self.xgive(temp);
            }
        }
        self.result(t, 8, true);
        Ok(())
    }

    pub(super) fn x_from(&mut self, low: Val, high: Val) -> Low<()> {
        if self.constant(high) == Some(0) {
            if self.constant(low) == Some(0) {
                self.loc[self.at] = Loc::XZero;
                return Ok(());
            }
            // A single word still in memory is loaded with zeros above it.
            if let Loc::At { m, w: w @ (4 | 8) } = self.loc[low.n()] {
                if let Some(h) = self.xtarget(&[])? {
                    self.load_part(h, m, w);
                    return Ok(());
                }
                let x = self.xfresh()?;
                self.load_part(x, m, w);
                self.xresult(x);
                return Ok(());
            }
        }
        let l = self.full(low)?;
        self.lock(l);
        let target = if self.constant(high) == Some(0) { self.xtarget(&[])? } else { None };
        let x = match target {
            Some(h) => h,
            None => self.xfresh()?,
        };
        self.asm.sse(0x66, true, &[0x0f], 0x6e, x, l.into());
        if self.constant(high) != Some(0) {
            let h = self.full(high)?;
            let y = self.xfresh()?;
            self.asm.sse(0x66, true, &[0x0f], 0x6e, y, h.into());
            // PUNPCKLQDQ
            self.asm.sse(0x66, false, &[0x0f], 0x6c, x, R(y).into());
            self.xfree |= 1 << y;
        }
        if target.is_none() {
            self.xresult(x);
        }
        Ok(())
    }

    pub(super) fn vec(&mut self, f: VecFn, native: bool, flags: bool, a: Val, b: Val) -> Low<()> {
        if native && let Some(e) = vectors::encoding(self.insn().code()) {
            return match e.shape {
                Shape::Two { imm } => self.vec_two(e, imm, flags, a, b),
                Shape::ShiftImm { group } => self.vec_shift(e, group, a),
                Shape::ToInt { wide } => self.vec_to_int(e, wide, b),
            };
        }
        self.vec_shared(f, flags, a, b)
    }

    /// `op a, b[, imm8]`.
    fn vec_two(&mut self, e: vectors::Encoding, imm: bool, flags: bool, a: Val, b: Val) -> Low<()> {
        if flags && self.facts.live[self.at] & fl::ALL == 0 {
            self.flags.host = 0;
        }
        let same = self.loc[a.n()] == self.loc[b.n()] && matches!(self.loc[a.n()], Loc::Xmm(_));
        let (b_rm, b_temp): (Rm, Option<u8>) = match self.loc[b.n()] {
            Loc::XAt { m, w: 16 } => {
                self.lock_mem(m);
                (m.into(), None)
            }
            _ => {
                let (x, t) = self.xreg(b)?;
                (R(x).into(), t)
            }
        };
        if flags && self.facts.uses[self.at] == 0 {
            // Only compares.
            let (x, t) = self.xreg(a)?;
            self.asm.sse(e.prefix, e.w, e.map, e.opcode, x, b_rm);
            if imm {
                let n = self.insn().imm as u8;
                self.asm.byte(n);
            }
            self.xgive(t);
        } else {
            // The destination's old value, unless it doesn't matter; `op x, x` may read it twice.
            let whole = self.loc[a.n()] == Loc::XZero;
            let busy: &[Val] = if same || whole { &[] } else { &[b] };
            let x = match self.xtarget(busy)? {
                Some(h) => {
                    if !whole && self.loc[a.n()] != Loc::Gone {
                        match self.loc[a.n()] {
                            Loc::Xmm(r) => {
                                let from = self.xguest(r);
                                self.move_in(h, from);
                            }
                            Loc::Xtemp(x) => self.move_in(h, R(x).into()),
                            _ => return self.refuse(),
                        }
                    }
                    h
                }
                None => {
                    let x = if whole { self.xfresh()? } else { self.xcopy(a)? };
                    self.xresult(x);
                    x
                }
            };
            self.asm.sse(e.prefix, e.w, e.map, e.opcode, x, b_rm);
            if imm {
                let i = self.insn();
                // From memory, INSERTPS takes the one word there is.
                let only = i.code() == iced_x86::Code::Insertps_xmm_xmmm32_imm8 && i.is_mem();
                let n = i.imm as u8 & if only { 0x3f } else { 0xff };
                self.asm.byte(n);
            }
        }
        self.xgive(b_temp);
        if flags {
            self.produced(fl::ALL, 0);
        }
        Ok(())
    }

    /// A shift by the immediate.
    fn vec_shift(&mut self, e: vectors::Encoding, group: u8, a: Val) -> Low<()> {
        let count = self.insn().imm as u8;
        let x = match self.xtarget(&[])? {
            Some(h) => {
                match self.loc[a.n()] {
                    Loc::Xmm(r) => {
                        let from = self.xguest(r);
                        self.move_in(h, from);
                    }
                    Loc::Xtemp(x) => self.move_in(h, R(x).into()),
                    _ => return self.refuse(),
                }
                h
            }
            None => {
                let x = self.xcopy(a)?;
                self.xresult(x);
                x
            }
        };
        self.asm.sse(e.prefix, e.w, e.map, e.opcode, group, R(x).into());
        self.asm.byte(count);
        Ok(())
    }

    /// Floating point to a general register.
    fn vec_to_int(&mut self, e: vectors::Encoding, wide: bool, b: Val) -> Low<()> {
        let (x, temp) = self.xreg(b)?;
        let t = self.fresh()?;
        self.asm.sse(e.prefix, wide, e.map, e.opcode, t.0, R(x).into());
        self.xgive(temp);
        self.result(t, 8, true);
        Ok(())
    }

    /// The shared implementation: it takes and gives vectors through memory.
    fn vec_shared(&mut self, f: VecFn, flags: bool, a: Val, b: Val) -> Low<()> {
        self.expose()?;
        for (v, n) in [(a, 0), (b, 16)] {
            let (x, t) = self.xreg(v)?;
            self.asm.sse(0, false, &[0x0f], 0x11, x, field::plus(field::vec(), n).into());
            self.xgive(t);
        }
        for v in 0..self.at {
            let needed = self.facts.last[v] > self.at as u32;
            let lost =
                matches!(self.loc[v], Loc::Xtemp(_) | Loc::XAt { .. } | Loc::Temp { .. } | Loc::At { .. });
            if needed && lost {
                return self.refuse();
            }
        }
        self.vec_call(f as usize, flags)?;
        let x = self.xfresh()?;
        self.move_in(x, field::plus(field::vec(), 32).into());
        self.xresult(x);
        if flags {
            self.flags = super::flags::State::in_memory();
        }
        Ok(())
    }
}
