//! System instructions that are lowered in place: CLI, SWAPGS, RDTSC, RDTSCP.

use super::{Low, Lower};
use crate::jit::encode::R;
use crate::jit::regs::field;
use crate::state::{Seg, cr4, flag};
use iced_x86::Code;

impl Lower<'_> {
    /// CLI and SWAPGS at privilege level 0, where they can't fault and nothing can come of them.
    pub(super) fn system(&mut self) -> Low<bool> {
        let key = self.key;
        if key.v86() || key.cpl() != 0 && !key.real() {
            return Ok(false);
        }
        match self.insn().code() {
            Code::Cli => self.asm.alu_imm(4, 4, field::rflags(), !(flag::IF as i32)),
            Code::Swapgs if key.code64() => {
                let (a, b) = (self.fresh()?, self.fresh()?);
                let gs = field::seg_base(Seg::Gs as u8);
                self.asm.load(8, a, gs);
                self.asm.load(8, b, field::kernel_gs_base());
                self.asm.store(8, gs, b);
                self.asm.store(8, field::kernel_gs_base(), a);
                self.give(a);
                self.give(b);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// RDTSC and RDTSCP: the time that [`crate::Clock`] gives for the instruction's count. Status flags are in memory.
    pub(super) fn time_stamp(&mut self) -> Low<bool> {
        let code = self.insn().code();
        if !matches!(code, Code::Rdtsc | Code::Rdtscp) {
            return Ok(false);
        }
        if self.key.cpl() != 0 && !self.key.real() {
            self.asm.test_imm(4, field::cr4(), cr4::TSD as i32);
            let bail = self.bail_label();
            self.asm.jcc(5, bail);
        }
        // The block has paid for its instructions from this one on.
        let paid = self.insns.len() - usize::from(self.n);
        self.asm.load(8, R::RAX, field::clock_budget());
        self.asm.alu_r_rm(5, 8, R::RAX, field::budget());
        self.asm.alu_imm(5, 8, R::RAX, paid as i32);
        self.asm.group3(4, 8, field::clock_rate());
        self.asm.double_shift_imm(false, 8, R::RAX, R::RDX, 32);
        self.asm.alu_r_rm(0, 8, R::RAX, field::clock_base());
        self.asm.alu_r_rm(0, 8, R::RAX, field::tsc_offset());
        self.asm.mov(8, R::RDX, R::RAX);
        self.asm.shift_imm(5, 8, R::RDX, 32);
        self.asm.mov(4, R::RAX, R::RAX);
        if code == Code::Rdtscp {
            self.asm.load(4, R::RCX, field::tsc_aux());
        }
        Ok(true)
    }
}
