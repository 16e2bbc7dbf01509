//! Temporaries: host registers that no guest register has, and what they still hold of guest registers in memory.

use super::{Held, Loc, Low, Lower};
use crate::jit::encode::{Mem, R, Rm};
use crate::jit::ir::Op;
use crate::jit::regs::field;

/// Whether an operation leaves temporaries alone that it hasn't asked for.
pub(super) fn keeps_temporaries(op: &Op) -> bool {
    matches!(
        op,
        Op::Begin(_)
            | Op::Imm(_)
            | Op::Get { .. }
            | Op::Set { .. }
            | Op::Pure { .. }
            | Op::Zext { .. }
            | Op::Sext { .. }
            | Op::Select { .. }
            | Op::Alu { .. }
            | Op::Unary { .. }
            | Op::Shift { .. }
            | Op::Mul { .. }
            | Op::High(_)
            | Op::Cond(_)
            | Op::Ea
            | Op::NextIp
            | Op::Stride(_)
            | Op::Load(_)
            | Op::Store { .. }
            | Op::SideExit { .. }
            | Op::Inner(_)
            | Op::Expect { .. }
    )
}

impl Lower<'_> {
    pub(super) fn is_temp(&self, t: R) -> bool {
        self.conv.temps >> t.0 & 1 != 0
    }

    pub(super) fn give(&mut self, t: R) {
        if self.is_temp(t) {
            self.free |= 1 << t.0;
        }
    }

    pub(super) fn give_mem(&mut self, m: Mem) {
        if let Some(b) = m.base {
            self.give(b);
        }
        if let Some((i, _)) = m.index {
            self.give(i);
        }
    }

    pub(super) fn lock(&mut self, t: R) {
        self.locked |= 1 << t.0;
    }

    /// A temporary, spilling another value if all are taken.
    pub(super) fn fresh(&mut self) -> Low<R> {
        if self.free == 0 {
            self.spill()?;
        }
        let t = self.idle().unwrap_or(R(self.free.trailing_zeros() as u8));
        Ok(self.take(t))
    }

    /// A free temporary that holds nothing, if there is one.
    pub(super) fn idle(&self) -> Option<R> {
        let idle = (0..16).filter(|&t| self.cached[t].is_none()).fold(0, |m, t| m | 1 << t) & self.free;
        (idle != 0).then(|| R(idle.trailing_zeros() as u8))
    }

    pub(super) fn take(&mut self, t: R) -> R {
        self.free &= !(1 << t.0);
        self.cached[usize::from(t.0)] = None;
        self.lock(t);
        t
    }

    /// A free temporary that holds what is in memory, too, and the bytes beyond which it is known to be zero.
    pub(super) fn cached(&self, what: Held) -> Option<(R, u8)> {
        (0..16).find_map(|t| match self.cached[t] {
            Some((held, w)) if held == what && self.free >> t & 1 != 0 => Some((R(t as u8), w)),
            _ => None,
        })
    }

    /// Keeps a free temporary for what it holds until the operation at hand is done.
    pub(super) fn borrow(&mut self, t: R) {
        self.free &= !(1 << t.0);
        self.borrowed |= 1 << t.0;
        self.lock(t);
    }

    /// The same, of those that the operation at hand reads already.
    pub(super) fn lent(&self, r: u8) -> Option<R> {
        let holds =
            |&t: &usize| self.borrowed >> t & 1 != 0 && self.cached[t].is_some_and(|c| c.0 == Held::Guest(r));
        (0..16).find(holds).map(|t| R(t as u8))
    }

    /// Remembers that temporary `t`, soon free, holds what was just stored, of `w` bytes.
    pub(super) fn cache(&mut self, t: R, what: Held, w: u8) {
        if self.is_temp(t) {
            self.cached[usize::from(t.0)] = Some((what, w));
        }
    }

    /// Moves an unlocked temporary's value to memory.
    pub(super) fn spill(&mut self) -> Low<()> {
        for v in 0..self.at {
            if let Loc::Temp { t, w, clean } = self.loc[v]
                && self.locked >> t.0 & 1 == 0
            {
                let n = self.slots.trailing_ones() as u8;
                if n >= 8 {
                    return self.refuse();
                }
                self.slots |= 1 << n;
                if !clean {
                    self.asm.movzx(w, t, t);
                }
                self.asm.store(8, field::slot(n), t);
                self.loc[v] = Loc::Slot { n };
                self.give(t);
                return Ok(());
            }
        }
        self.refuse()
    }

    /// Guest register `r`, which lives in memory, in `t`.
    pub(super) fn load_guest(&mut self, t: R, r: u8) {
        match self.cached(Held::Guest(r)) {
            Some((from, _)) => self.asm.mov(8, t, from),
            None => self.asm.load(8, t, field::gpr(r)),
        }
    }

    pub(super) fn lock_mem(&mut self, m: Mem) {
        for r in [m.base, m.index.map(|i| i.0)].into_iter().flatten() {
            self.lock(r);
        }
    }

    /// Host register of a guest register, if it has one.
    pub(super) fn host(&self, r: u8) -> Option<R> {
        self.conv.map[usize::from(r & 15)]
    }

    pub(super) fn guest_rm(&self, r: u8) -> Rm {
        self.host(r).map_or(Rm::Mem(field::gpr(r)), Rm::Reg)
    }
}
