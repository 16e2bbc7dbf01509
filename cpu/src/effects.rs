//! [`Effects`]: the [`Ops`] that computes nothing and lists what an instruction reads and writes. `cpu/tests/effects.rs`
//! compares it with `iced-x86`'s own tables for every encoding: a check of decoding, operands and meanings at once.
//!
//! What a helper ([`Ops::call`]) touches can't be seen; [`Effects::opaque`] then says so.

use crate::{
    Fault,
    insn::{IP_REG, Insn},
    ops::*,
    state::flag,
};

/// One memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEffect {
    /// Segment register, as [`crate::state::Seg`].
    pub seg: u8,
    /// Bytes.
    pub bytes: u8,
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
}

/// What an instruction reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// General registers read, a bit each.
    pub reads: u16,
    /// General registers written.
    pub writes: u16,
    /// Vector registers read.
    pub vector_reads: u16,
    /// Vector registers written.
    pub vector_writes: u16,
    /// Status flags and DF read, as bits of RFLAGS.
    pub flags_read: u64,
    /// Flags written, to whatever value.
    pub flags_written: u64,
    /// Memory accesses in order.
    pub memory: Vec<MemoryEffect>,
    /// Control may go elsewhere.
    pub jumps: bool,
    /// A helper did it: the lists above are not complete.
    pub opaque: bool,
}

impl Effects {
    /// The effects of a meaning on an instruction.
    pub fn of<M: Meaning>(i: &Insn) -> Effects {
        let mut e = Effects::default();
        let _ = M::run(&mut e, i);
        e
    }

    fn access(&mut self, seg: u8, bytes: u8, read: bool, write: bool) {
        self.memory.push(MemoryEffect { seg, bytes, read, write });
    }
}

/// Selects a function that lists the effects of the instruction, once that is complete.
pub struct EffectsLater;

impl Select for EffectsLater {
    type Out = fn(&Insn) -> Effects;
    fn take<M: Meaning>(self) -> Self::Out {
        Effects::of::<M>
    }
}

/// Flags that a condition looks at (SDM volume 1, appendix B).
fn looked_at(c: Cond) -> u64 {
    match c.0 >> 1 & 7 {
        0 => flag::OF,
        1 => flag::CF,
        2 => flag::ZF,
        3 => flag::CF | flag::ZF,
        4 => flag::SF,
        5 => flag::PF,
        6 => flag::SF | flag::OF,
        _ => flag::SF | flag::OF | flag::ZF,
    }
}

impl Ops for Effects {
    type V = ();
    type X = ();

    fn imm(&mut self, _: u64) {}
    fn get(&mut self, r: u8, w: u8) {
        let r = if w == 1 && r >= 16 { r & 3 } else { r };
        self.reads |= 1 << (r & 15);
    }
    fn set(&mut self, r: u8, w: u8, (): ()) {
        let r = if w == 1 && r >= 16 { r & 3 } else { r };
        self.writes |= 1 << (r & 15);
    }
    fn pure(&mut self, _: Pure, (): (), (): ()) {}
    fn zext(&mut self, _: u8, (): ()) {}
    fn sext(&mut self, _: u8, (): ()) {}
    fn select(&mut self, (): (), (): (), (): ()) {}
    fn bswap(&mut self, _: u8, (): ()) {}
    fn alu(&mut self, op: Alu, _: u8, (): (), (): ()) {
        if matches!(op, Alu::Adc | Alu::Sbb) {
            self.flags_read |= flag::CF & !self.flags_written;
        }
        self.flags_written |= flag::STATUS;
    }
    fn unary(&mut self, op: Unary, _: u8, (): ()) {
        self.flags_written |= match op {
            Unary::Not => 0,
            Unary::Neg => flag::STATUS,
            Unary::Inc | Unary::Dec => flag::STATUS & !flag::CF,
        };
    }
    fn shift(&mut self, op: Shift, _: u8, (): (), (): ()) {
        if matches!(op, Shift::Rcl | Shift::Rcr) {
            self.flags_read |= flag::CF;
        }
        self.flags_written |= match op {
            Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr => flag::CF | flag::OF,
            _ => flag::STATUS,
        };
    }
    fn double_shift(&mut self, _: bool, _: u8, (): (), (): (), (): ()) {
        self.flags_written |= flag::STATUS;
    }
    fn mul(&mut self, _: bool, _: u8, (): (), (): ()) -> ((), ()) {
        self.flags_written |= flag::CF | flag::OF;
        ((), ())
    }
    fn div(&mut self, _: bool, _: u8, (): (), (): (), (): ()) -> Result<((), ()), Bail> {
        // CF and OF stay.
        self.flags_written |= flag::STATUS & !(flag::CF | flag::OF);
        Ok(((), ()))
    }
    fn bits(&mut self, _: Bits, _: u8, (): (), (): ()) {
        self.flags_written |= flag::STATUS;
    }
    fn bit_test(&mut self, _: BitOp, _: u8, (): (), (): ()) {
        self.flags_written |= flag::CF;
    }
    fn cond(&mut self, c: Cond) {
        self.flags_read |= looked_at(c) & !self.flags_written;
    }
    fn flags(&mut self) {
        self.flags_read |= flag::STATUS & !self.flags_written;
    }
    fn set_flags(&mut self, mask: u64, (): ()) {
        self.flags_written |= mask;
    }
    fn ea(&mut self, i: &Insn) {
        for r in [i.base, i.index] {
            if r < 16 {
                self.reads |= 1 << r;
            }
        }
        debug_assert!(i.base < 16 || i.base >= IP_REG);
    }
    fn system_flags(&mut self) {
        self.flags_read |= flag::DF & !self.flags_written;
    }
    fn selector(&mut self, _: u8) {}
    fn next_ip(&mut self, _: &Insn) {}
    fn load(&mut self, _: &Insn, seg: u8, (): (), w: u8) -> Result<(), Bail> {
        self.access(seg, w, true, false);
        Ok(())
    }
    fn store(&mut self, _: &Insn, seg: u8, (): (), w: u8, (): ()) -> Done {
        self.access(seg, w, false, true);
        Ok(())
    }
    fn check_store(&mut self, _: &Insn, _: u8, (): (), _: u8) -> Done {
        Ok(())
    }
    fn rmw(&mut self, i: &Insn, (): (), w: u8, f: impl FnOnce(&mut Self, ())) -> Done {
        self.access(i.seg, w, true, true);
        f(self, ());
        Ok(())
    }
    fn fence(&mut self, _: &Insn) {}
    fn jump_direct(&mut self, _: &Insn, _: Jump) -> Done {
        self.jumps = true;
        Ok(())
    }
    fn jump_indirect(&mut self, _: &Insn, _: Jump, (): ()) -> Done {
        self.jumps = true;
        Ok(())
    }
    fn check_direct(&mut self, _: &Insn) -> Done {
        Ok(())
    }
    fn check_indirect(&mut self, _: &Insn, (): ()) -> Done {
        Ok(())
    }
    fn branch(&mut self, _: &Insn, (): ()) -> Done {
        self.jumps = true;
        Ok(())
    }
    fn raise(&mut self, _: Fault) -> Bail {
        self.opaque = true;
        Bail::Fault
    }
    fn call(&mut self, _: &Insn, _: Call, _: Helper) -> Done {
        self.opaque = true;
        Ok(())
    }
    fn xmm(&mut self, r: u8) {
        self.vector_reads |= 1 << (r & 15);
    }
    fn set_xmm(&mut self, r: u8, (): ()) {
        self.vector_writes |= 1 << (r & 15);
    }
    fn load_x(&mut self, _: &Insn, seg: u8, (): (), _: bool) -> Result<(), Bail> {
        self.access(seg, 16, true, false);
        Ok(())
    }
    fn store_x(&mut self, _: &Insn, seg: u8, (): (), _: bool, (): ()) -> Done {
        self.access(seg, 16, false, true);
        Ok(())
    }
    fn x_low(&mut self, _: u8, (): ()) {}
    fn x_high(&mut self, (): ()) {}
    fn x_from(&mut self, (): (), (): ()) {}
    fn vec<M: VecOp>(&mut self, _: &Insn, (): (), (): ()) -> Result<(), Bail> {
        if M::FLAGS {
            self.flags_written |= flag::STATUS;
        }
        Ok(())
    }
    fn mmx(&mut self, _: u8) {}
    fn set_mmx(&mut self, _: u8, (): ()) {}
    fn mmx_ready(&mut self, _: &Insn) -> Done {
        Ok(())
    }
    fn mmx_enter(&mut self, _: &Insn) -> Done {
        Ok(())
    }
}
