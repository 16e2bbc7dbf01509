//! Lowering of vector operations: the host's own instruction where the guest's has the plain shape `op xmm, xmm/m`, a
//! call of the shared implementation otherwise. Guest XMM registers are in memory between operations.

use super::{Loc, Low, Lower};
use crate::jit::encode::{R, Rm};
use crate::jit::ir::{Place, Val, VecFn};
use crate::jit::passes::fl;
use crate::jit::regs::field;
use crate::jit::vectors;

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

    /// A vector as an operand: a host register or the guest register in memory.
    fn xoperand(&mut self, v: Val) -> Low<Rm> {
        match self.loc[v.n()] {
            Loc::Xmm(r) => Ok(field::xmm(r).into()),
            Loc::Xtemp(x) => Ok(R(x).into()),
            _ => self.refuse(),
        }
    }

    /// A vector in a host register that may be overwritten.
    fn xcopy(&mut self, v: Val) -> Low<u8> {
        if let Loc::Xtemp(x) = self.loc[v.n()]
            && self.facts.last[v.n()] == self.at as u32
        {
            self.loc[v.n()] = Loc::Gone;
            return Ok(x);
        }
        let from = self.xoperand(v)?;
        let x = self.xfresh()?;
        self.movups(x, from);
        Ok(x)
    }

    fn movups(&mut self, x: u8, from: Rm) {
        let opcode = if matches!(from, Rm::Reg(_)) { 0x28 } else { 0x10 };
        self.asm.sse(0, false, &[0x0f], opcode, x, from);
    }

    pub(super) fn set_xmm(&mut self, r: u8, v: Val) -> Low<()> {
        // An alias of the register that is still needed moves away.
        for k in 0..self.at {
            if self.loc[k] == Loc::Xmm(r) && self.facts.last[k] > self.at as u32 {
                let x = self.xfresh()?;
                self.movups(x, field::xmm(r).into());
                self.loc[k] = Loc::Xtemp(x);
            }
        }
        let x = match self.loc[v.n()] {
            Loc::Xtemp(x) => x,
            Loc::Xmm(from) => {
                let x = self.xfresh()?;
                self.movups(x, field::xmm(from).into());
                self.xfree |= 1 << x;
                x
            }
            _ => return self.refuse(),
        };
        self.asm.sse(0, false, &[0x0f], 0x11, x, field::xmm(r).into());
        Ok(())
    }

    pub(super) fn load_x(&mut self, at: Place, aligned: bool) -> Low<()> {
        let m = self.probe_x(at, aligned, false)?;
        let x = self.xfresh()?;
        self.movups(x, m.into());
        self.give_mem(m);
        self.xresult(x);
        Ok(())
    }

    pub(super) fn store_x(&mut self, at: Place, aligned: bool, v: Val) -> Low<()> {
        let x = match self.loc[v.n()] {
            Loc::Xtemp(x) => x,
            Loc::Xmm(r) => {
                let x = self.xfresh()?;
                self.movups(x, field::xmm(r).into());
                self.xfree |= 1 << x;
                x
            }
            _ => return self.refuse(),
        };
        let m = self.probe_x(at, aligned, true)?;
        self.asm.sse(0, false, &[0x0f], 0x11, x, m.into());
        self.give_mem(m);
        Ok(())
    }

    pub(super) fn x_low(&mut self, w: u8, v: Val) -> Low<()> {
        let t = self.fresh()?;
        match self.loc[v.n()] {
            Loc::Xmm(r) => self.asm.movzx(w, t, field::xmm(r)),
            Loc::Xtemp(x) => {
                self.asm.sse(0x66, true, &[0x0f], 0x7e, x, t.into());
                if w < 8 {
                    self.asm.movzx(w, t, t);
                }
            }
            _ => return self.refuse(),
        }
        self.result(t, 8, true);
        Ok(())
    }

    pub(super) fn x_high(&mut self, v: Val) -> Low<()> {
        let t = self.fresh()?;
        match self.loc[v.n()] {
            Loc::Xmm(r) => self.asm.load(8, t, field::plus(field::xmm(r), 8)),
            Loc::Xtemp(x) => {
                let y = self.xfresh()?;
                // MOVHLPS
                self.asm.sse(0, false, &[0x0f], 0x12, y, R(x).into());
                self.asm.sse(0x66, true, &[0x0f], 0x7e, y, t.into());
                self.xfree |= 1 << y;
            }
            _ => return self.refuse(),
        }
        self.result(t, 8, true);
        Ok(())
    }

    pub(super) fn x_from(&mut self, low: Val, high: Val) -> Low<()> {
        let x = self.xfresh()?;
        // A single word still in memory is loaded with zeros above it.
        if self.constant(high) == Some(0)
            && let Loc::At { m, w: 4 | 8 } = self.loc[low.n()]
        {
            let Loc::At { w, .. } = self.loc[low.n()] else { return self.refuse() };
            if w == 8 {
                self.asm.sse(0xf3, false, &[0x0f], 0x7e, x, m.into());
            } else {
                self.asm.sse(0x66, false, &[0x0f], 0x6e, x, m.into());
            }
            self.xresult(x);
            return Ok(());
        }
        let l = self.full(low)?;
        self.lock(l);
        self.asm.sse(0x66, true, &[0x0f], 0x6e, x, l.into());
        if self.constant(high) != Some(0) {
            let h = self.full(high)?;
            let y = self.xfresh()?;
            self.asm.sse(0x66, true, &[0x0f], 0x6e, y, h.into());
            // PUNPCKLQDQ
            self.asm.sse(0x66, false, &[0x0f], 0x6c, x, R(y).into());
            self.xfree |= 1 << y;
        }
        self.xresult(x);
        Ok(())
    }

    pub(super) fn vec(&mut self, f: VecFn, float: bool, flags: bool, a: Val, b: Val) -> Low<()> {
        let insn = *self.insn();
        if let Some(e) = vectors::encoding(insn.code())
            && !(float && self.key.unmasked_float())
        {
            if flags && self.facts.live[self.at] & fl::ALL == 0 {
                self.flags.host = 0;
            }
            let b = self.xoperand(b)?;
            // A guest register in memory is an aligned operand; so is nothing else here.
            let b = if let Rm::Mem(m) = b {
                let y = self.xfresh()?;
                self.movups(y, m.into());
                self.xfree |= 1 << y;
                R(y)
            } else if let Rm::Reg(r) = b {
                r
            } else {
                return self.refuse();
            };
            self.xfree &= !(1 << b.0);
            let x = self.xcopy(a)?;
            self.asm.sse(e.prefix, e.w, e.map, e.opcode, x, b.into());
            if e.imm {
                self.asm.byte(insn.imm as u8);
            }
            if !matches!(self.loc_of_temp(b), Some(())) {
                self.xfree |= 1 << b.0;
            }
            self.xresult(x);
            if flags {
                self.produced(fl::ALL, 0, super::flags::Fix::None);
            }
            return Ok(());
        }
        // The call takes and gives vectors through memory, and keeps no host vector register.
        self.expose()?;
        for (v, n) in [(a, 0), (b, 16)] {
            let x = match self.loc[v.n()] {
                Loc::Xtemp(x) => x,
                Loc::Xmm(r) => {
                    let x = self.xfresh()?;
                    self.movups(x, field::xmm(r).into());
                    self.xfree |= 1 << x;
                    x
                }
                _ => return self.refuse(),
            };
            self.asm.sse(0, false, &[0x0f], 0x11, x, field::plus(field::vec(), n).into());
        }
        for v in 0..self.at {
            let needed = self.facts.last[v] > self.at as u32;
            if needed && matches!(self.loc[v], Loc::Xtemp(_) | Loc::Temp { .. } | Loc::At { .. }) {
                return self.refuse();
            }
        }
        self.vec_call(f as usize, flags)?;
        let x = self.xfresh()?;
        self.movups(x, field::plus(field::vec(), 32).into());
        self.xresult(x);
        if flags {
            self.flags = super::flags::State::in_memory();
        }
        Ok(())
    }

    /// Whether some value lives in host vector register `r`.
    fn loc_of_temp(&self, r: R) -> Option<()> {
        self.loc.iter().any(|l| *l == Loc::Xtemp(r.0)).then_some(())
    }
}
