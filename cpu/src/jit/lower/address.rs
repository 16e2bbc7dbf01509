//! Offsets and addresses as host operands.

use super::{Held, Low, Lower};
use crate::insn::{IP_REG, Insn};
use crate::jit::encode::{Mem, R};
use crate::jit::regs::field;

impl Lower<'_> {
    /// What [`super::Loc::Sum`] says as an address.
    pub(super) fn sum(&self, r: u8, d: i32) -> Low<Mem> {
        self.host(r).map_or_else(|| self.refuse(), |h| Ok(Mem::at(h, d)))
    }

    /// LEA of an effective address, truncated to `w` bytes.
    pub(super) fn lea(&mut self, t: R, m: Mem, w: u8) {
        match w {
            8 => self.asm.lea(8, t, m),
            4 => self.asm.lea(4, t, m),
            _ if let Mem { base: Some(r), index: None, disp: 0 } = m => self.asm.movzx(2, t, r),
            _ => {
                self.asm.lea(4, t, m);
                self.asm.movzx(2, t, t);
            }
        }
    }

    /// What is so far from the start of the page at hand, if the code is made for one RIP.
    pub(super) fn known(&self, from: i64) -> Option<i32> {
        let by = self.hop.map_or(0, |h| i64::from(h.by));
        let at = i32::try_from(self.placed? as i64 + by + from).ok()?;
        // Addresses of 32 bits have zeros above them.
        (self.long() || at >= 0).then_some(at)
    }

    /// How far from the start of the page at hand an operand lies that is relative to RIP.
    pub(super) fn after(&self, i: &Insn) -> Option<i32> {
        i32::try_from(i64::from(i.off) + i64::from(i.len) + i64::from(i.disp)).ok()
    }

    /// The instruction's memory operand as a host address expression, and its width. `t` may be used on the way.
    pub(super) fn ea_mem(&mut self, t: R) -> Low<(Mem, u8)> {
        let i = *self.insn();
        let mut m = Mem { base: None, index: None, disp: i.disp };
        if i.base == IP_REG {
            // Page base plus a constant.
            let Some(disp) = self.after(&i) else { return self.refuse() };
            if let Some(at) = self.known(i64::from(disp)) {
                return Ok((Mem { base: None, index: None, disp: at }, i.addr));
            }
            self.asm.load(8, t, field::page_rip());
            return Ok((Mem { base: Some(t), index: None, disp }, i.addr));
        }
        let mut t_used = false;
        if i.base < 16 {
            m.base = Some(match self.host(i.base) {
                Some(h) => h,
                None => match self.cached(Held::Guest(i.base)) {
                    // Where it is read once only, it stays there.
                    Some((from, _)) if i.index < 16 && self.host(i.index).is_some() => {
                        let index = self.host(i.index).map(|h| (h, i.scale & 3));
                        self.asm.lea(8, t, Mem { base: Some(from), index, disp: i.disp });
                        return Ok((Mem::at(t, 0), i.addr));
                    }
                    Some((from, _)) if i.index >= 16 && self.free & !(1 << from.0) != 0 => {
                        self.borrow(from);
                        from
                    }
                    _ => {
                        self.load_guest(t, i.base);
                        t_used = true;
                        t
                    }
                },
            });
        }
        if i.index < 16 {
            let h = match self.host(i.index) {
                Some(h) => h,
                None if !t_used => {
                    self.load_guest(t, i.index);
                    t
                }
                None => {
                    // Both in memory: scale the index in, then add the base.
                    let u = self.fresh()?;
                    self.load_guest(u, i.index);
                    let all = Mem { base: Some(t), index: Some((u, i.scale & 3)), disp: i.disp };
                    self.asm.lea(8, t, all);
                    self.give(u);
                    return Ok((Mem::at(t, 0), i.addr));
                }
            };
            m.index = Some((h, i.scale & 3));
        }
        Ok((m, i.addr))
    }
}
