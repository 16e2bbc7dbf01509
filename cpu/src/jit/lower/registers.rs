//! Writing guest registers.

use super::{Held, Loc, Low, Lower};
use crate::insn::Insn;
use crate::jit::encode::Rm;
use crate::jit::ir::{Op, Val};

impl Lower<'_> {
    /// Writes guest register `r`.
    pub(super) fn set(&mut self, r: u8, w: u8, v: Val) -> Low<()> {
        if self.flags.result == Some(v.0) {
            // The recipe means the register as it is after this.
            self.flags.result = None;
            self.move_away(r)?;
        } else {
            self.preserve(r)?;
        }
        if r >= 16 {
            return self.set_high(r & 3, v);
        }
        let to = self.guest_rm(r);
        let made = match self.loc[v.n()] {
            Loc::Imm(c) => Some(c),
            _ => None,
        };
        if let Some(c) = self.constant(v).or(made) {
            return self.set_constant(to, w, c);
        }
        if let (Rm::Reg(d), 1, Loc::Cond(c)) = (to, w, self.loc[v.n()]) {
            self.need_for_cond(c)?;
            self.asm.setcc(c, d);
            return Ok(());
        }
        if let (Rm::Reg(d), 4 | 8) = (to, w)
            && matches!(self.loc[v.n()], Loc::Ea | Loc::Sum { .. })
        {
            let (m, aw) = match self.loc[v.n()] {
                Loc::Sum { r, d, w } => (self.sum(r, d)?, w),
                _ => {
                    let t = self.fresh()?;
                    let m = self.ea_mem(t)?;
                    self.give(t);
                    m
                }
            };
            self.lea(d, m, aw.min(w));
            return Ok(());
        }
        if let (Rm::Reg(d), 4 | 8, Loc::Guest { r: ..16, w: narrow }) = (to, w, self.loc[v.n()])
            && narrow < w
        {
            let from = self.operand(v, narrow)?;
            self.asm.movzx(narrow, d, from);
            return Ok(());
        }
        match (to, w) {
            (Rm::Reg(d), 8) => match self.loc[v.n()] {
                Loc::Guest { .. }
                | Loc::Temp { .. }
                | Loc::Fixed { .. }
                | Loc::Slot { .. }
                | Loc::At { .. } => {
                    let clean = self.operand(v, 8)?;
                    if clean != Rm::Reg(d) {
                        self.asm.load(8, d, clean);
                    }
                }
                _ => {
                    let t = self.temp(v)?;
                    self.asm.mov(8, d, t);
                }
            },
            (Rm::Reg(d), 4) => {
                let from = self.operand(v, 4)?;
                if !(matches!(self.loc[v.n()], Loc::Fixed { w: 4, .. }) && from == Rm::Reg(d)) {
                    self.asm.load(4, d, from);
                }
            }
            (Rm::Reg(d), _) => {
                let from = self.operand(v, w)?;
                if from != Rm::Reg(d) {
                    self.asm.load(w, d, from);
                }
            }
            (to, 4) => {
                if self.loc[v.n()] == Loc::Ea && self.facts.uses[v.n()] == 1 {
                    let t = self.fresh()?;
                    let (m, aw) = self.ea_mem(t)?;
                    self.lea(t, m, aw.min(4));
                    self.drop_value(v);
                    self.set_temp(v, t, 4, true);
                }
                let t = self.temp(v)?;
                // A temporary is zero-extended beyond its own width; a wider value is cut.
                if !matches!(self.loc[v.n()], Loc::Temp { w: 1..=4, clean: true, .. }) {
                    self.asm.movzx(4, t, t);
                    self.set_temp(v, t, 4, true);
                }
                self.asm.store(8, to, t);
                self.cache_last(v, r, 4);
            }
            (to, 8) => {
                let t = self.reg(v, w)?;
                self.asm.store(8, to, t);
                self.cache_last(v, r, 8);
                if !self.is_temp(t)
                    && self.read_again(r).is_some()
                    && let Some(copy) = self.idle()
                {
                    // Else the next use waits for the store to come back.
                    self.asm.mov(8, copy, t);
                    self.cache(copy, Held::Guest(r), 8);
                }
            }
            (to, _) if matches!(self.read_again(r), Some(n) if n <= w) => {
                let from = self.reg(v, w)?;
                self.asm.store(w, to, from);
            }
            (to, _) => {
                let from = self.reg(v, w)?;
                self.lock(from);
                let t = self.fresh()?;
                self.asm.load(8, t, to);
                self.asm.load(w, t, from);
                self.asm.store(8, to, t);
                self.give(t);
                self.cache(t, Held::Guest(r), 8);
            }
        }
        Ok(())
    }

    /// How many bytes of guest register `r` are read next after the operation at hand, if that is in this block.
    /// The host hands a store on to a load only if that fits in it.
    fn read_again(&self, r: u8) -> Option<u8> {
        let mut insn = self.insn();
        for op in &self.ops[self.at + 1..] {
            match *op {
                Op::Begin(n) => insn = &self.insns[usize::from(n)],
                Op::Get { r: g, w } if g == r => return Some(w),
                Op::Set { r: s, .. } if s == r => return None,
                Op::Ea if insn.base == r || insn.index == r => return None,
                Op::Call { .. } => return None,
                _ => {}
            }
        }
        None
    }

    /// Value `v` was just stored as guest register `r`: if it is used no more, its temporary still holds it for a while.
    fn cache_last(&mut self, v: Val, r: u8, w: u8) {
        if let Loc::Temp { t, w: tw, clean } = self.loc[v.n()]
            && self.facts.last[v.n()] == self.at as u32
            && (clean || tw == 8)
        {
            self.cache(t, Held::Guest(r), w);
        }
    }

    fn set_constant(&mut self, to: Rm, w: u8, c: u64) -> Low<()> {
        let c = c & Insn::mask(w);
        match (to, w) {
            (Rm::Reg(d), 4 | 8) => self.asm.mov_imm(d, c),
            (to, 8) if c as i64 == i64::from(c as i32) => self.asm.store_imm(8, to, c as i32),
            (to, 4) if c >> 31 == 0 => self.asm.store_imm(8, to, c as i32),
            (to, 4 | 8) => {
                let t = self.fresh()?;
                self.asm.mov_imm(t, c);
                self.asm.store(8, to, t);
                self.give(t);
            }
            (to, w) => self.asm.store_imm(w, to, c as i32),
        }
        Ok(())
    }

    /// Writes AH, CH, DH or BH (`r` 0-3).
    fn set_high(&mut self, r: u8, v: Val) -> Low<()> {
        let Some(h) = self.host(r) else { return self.refuse() };
        let c = self.constant(v);
        let t = if c.is_none() { Some(self.temp(v)?) } else { None };
        self.asm.rorx(8, h, h, 8);
        match (c, t) {
            (Some(c), _) => self.asm.store_imm(1, h, c as u8 as i8 as i32),
            (_, Some(t)) => self.asm.load(1, h, t),
            _ => {}
        }
        self.asm.rorx(8, h, h, 56);
        Ok(())
    }
}
