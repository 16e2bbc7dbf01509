//! Lowering of x87 instructions: the host's own, on the guest's register stack, which translated code loads into the host's
//! unit when it first needs it ([`Target::FpuLoad`]); whoever leaves or calls Rust puts it back. Only with all exceptions
//! masked and none waiting. For transcendentals the unit hands over the operands and takes the results ([`Shared`]);
//! remainders, BCD and everything that moves the environment are shared code that wants the state in memory.
//!
//! The pointers to the last instruction and operand are kept in the processor's state as the manual asks (SDM volume 1,
//! section 8.1.8), stored only where somebody could look.

use super::{Cold, Low, Lower};
use crate::insn::Insn;
use crate::jit::encode::{Mem, R};
use crate::jit::groups::Role;
use crate::jit::ir::Op;
use crate::jit::regs::{field, state};
use crate::jit::stubs::Target;
use crate::jit::transcendental::Shared;
use crate::ops::Call;
use crate::state::{Cpu, Fpu};
use iced_x86::Code;
use std::mem::offset_of;

/// What the last x87 instruction leaves behind, not stored yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Its number in the block.
    n: u16,
    /// Segment of its memory operand.
    seg: Option<u8>,
}

/// How an instruction is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Registers only.
    Plain,
    /// Registers, and EFLAGS are set.
    SetsFlags,
    /// Registers, by a condition on EFLAGS.
    ReadsFlags,
    /// Loads so many bytes.
    Load(u8),
    /// Stores so many bytes.
    Store(u8),
    /// Neither pointer is changed: FNSTCW, FNSTSW.
    StoreControl,
    /// FLDCW.
    LoadControl,
    /// FNSTSW AX.
    StatusToAx,
    /// WAIT.
    Nothing,
    /// The same code as the interpreter's, but only operands and results leave and enter the unit.
    Shared(Shared),
}

fn kind(code: Code) -> Option<Kind> {
    use Code::*;
    Some(match code {
        Fadd_m32fp | Fmul_m32fp | Fsub_m32fp | Fsubr_m32fp | Fdiv_m32fp | Fdivr_m32fp | Fcom_m32fp
        | Fcomp_m32fp | Fiadd_m32int | Fimul_m32int | Fisub_m32int | Fisubr_m32int | Fidiv_m32int
        | Fidivr_m32int | Ficom_m32int | Ficomp_m32int | Fld_m32fp | Fild_m32int => Kind::Load(4),
        Fadd_m64fp | Fmul_m64fp | Fsub_m64fp | Fsubr_m64fp | Fdiv_m64fp | Fdivr_m64fp | Fcom_m64fp
        | Fcomp_m64fp | Fld_m64fp | Fild_m64int => Kind::Load(8),
        Fiadd_m16int | Fimul_m16int | Fisub_m16int | Fisubr_m16int | Fidiv_m16int | Fidivr_m16int
        | Ficom_m16int | Ficomp_m16int | Fild_m16int => Kind::Load(2),
        Fld_m80fp => Kind::Load(10),
        Fst_m32fp | Fstp_m32fp | Fist_m32int | Fistp_m32int | Fisttp_m32int => Kind::Store(4),
        Fst_m64fp | Fstp_m64fp | Fistp_m64int | Fisttp_m64int => Kind::Store(8),
        Fist_m16int | Fistp_m16int | Fisttp_m16int => Kind::Store(2),
        Fstp_m80fp => Kind::Store(10),
        Fadd_st0_sti | Fadd_sti_st0 | Faddp_sti_st0 | Fmul_st0_sti | Fmul_sti_st0 | Fmulp_sti_st0
        | Fsub_st0_sti | Fsub_sti_st0 | Fsubp_sti_st0 | Fsubr_st0_sti | Fsubr_sti_st0 | Fsubrp_sti_st0
        | Fdiv_st0_sti | Fdiv_sti_st0 | Fdivp_sti_st0 | Fdivr_st0_sti | Fdivr_sti_st0 | Fdivrp_sti_st0
        | Fcom_st0_sti | Fcomp_st0_sti | Fcompp | Fucom_st0_sti | Fucomp_st0_sti | Fucompp | Fld_sti
        | Fst_sti | Fstp_sti | Fxch_st0_sti | Fld1 | Fldl2t | Fldl2e | Fldpi | Fldlg2 | Fldln2 | Fldz
        | Fchs | Fabs | Fsqrt | Frndint | Ftst | Fxam | Fscale | Fxtract | Fnop | Fincstp | Fdecstp => {
            Kind::Plain
        }
        Fsin => Kind::Shared(Shared::Sin),
        Fcos => Kind::Shared(Shared::Cos),
        Fsincos => Kind::Shared(Shared::SinCos),
        Fptan => Kind::Shared(Shared::Tan),
        Fpatan => Kind::Shared(Shared::Atan),
        F2xm1 => Kind::Shared(Shared::Exp),
        Fyl2x => Kind::Shared(Shared::Log),
        Fyl2xp1 => Kind::Shared(Shared::LogPlusOne),
        Fcomi_st0_sti | Fcomip_st0_sti | Fucomi_st0_sti | Fucomip_st0_sti => Kind::SetsFlags,
        Fcmovb_st0_sti | Fcmove_st0_sti | Fcmovbe_st0_sti | Fcmovu_st0_sti | Fcmovnb_st0_sti
        | Fcmovne_st0_sti | Fcmovnbe_st0_sti | Fcmovnu_st0_sti => Kind::ReadsFlags,
        Fnstcw_m2byte | Fnstsw_m2byte => Kind::StoreControl,
        Fldcw_m2byte => Kind::LoadControl,
        Fnstsw_AX => Kind::StatusToAx,
        Wait => Kind::Nothing,
        _ => return None,
    })
}

/// What an instruction of the host's unit has to do with memory and the guest's registers.
pub enum Use {
    /// Loads so many bytes from its operand.
    Load(u8),
    /// Stores so many.
    Store(u8),
    /// Nothing.
    None,
    /// Sets AX.
    SetsAx,
}

/// The same for an instruction that is called in this way; `None` if it isn't lowered here.
pub fn operand(how: Call, i: &Insn) -> Option<Use> {
    if how == Call::Transfer {
        return None;
    }
    Some(match kind(i.code())? {
        Kind::Load(w) => Use::Load(w),
        Kind::Store(w) => Use::Store(w),
        Kind::StoreControl => Use::Store(2),
        Kind::LoadControl => Use::Load(2),
        Kind::StatusToAx => Use::SetsAx,
        Kind::Plain | Kind::SetsFlags | Kind::ReadsFlags | Kind::Nothing | Kind::Shared(_) => Use::None,
    })
}

fn fpu(offset: usize) -> Mem {
    state(offset_of!(Cpu, fpu) + offset)
}

impl Lower<'_> {
    /// Whether `op` is an instruction of the host's unit that leaves the guest's registers alone: status flags then need be
    /// nowhere if they have a recipe.
    pub(super) fn keeps_flags_apart(&self, op: &Op) -> bool {
        let Op::Call { how, .. } = op else { return false };
        *how != Call::Transfer && kind(self.insn().code()).is_some_and(|k| k != Kind::StatusToAx)
    }

    /// Lowers the instruction at hand if it is one of the host's unit.
    pub(super) fn x87(&mut self) -> Low<bool> {
        let i = *self.insn();
        let Some(kind) = kind(i.code()) else { return Ok(false) };
        // Nothing of these, or with a place that is known, can fail, or changes EFLAGS.
        let follows = matches!(self.groups.role(self.at), Some(Role::Follows { .. }))
            && matches!(kind, Kind::Load(_) | Kind::Store(_));
        if !self.fpu_ready || !follows && !matches!(kind, Kind::Plain | Kind::ReadsFlags | Kind::Nothing) {
            self.expose()?;
        }
        let opcode = i.imm as u16;
        let (escape, modrm) = (0xd8 | (opcode >> 8 & 7) as u8, opcode as u8);
        if !self.fpu_ready {
            let (from, back) = (self.asm.label(), self.asm.label());
            self.asm.alu_imm(7, 4, field::fpu_on(), 0);
            self.asm.jcc(4, from);
            self.asm.bind(back);
            let at = self.here();
            self.cold.push(Cold::Fpu { from, back, at });
            self.fpu_ready = true;
        }
        match kind {
            Kind::Nothing => return Ok(true),
            Kind::Plain => self.asm.two(escape, modrm),
            Kind::SetsFlags => {
                self.asm.two(escape, modrm);
                self.produced(crate::jit::passes::fl::ALL, 0);
            }
            Kind::ReadsFlags => {
                use crate::jit::passes::fl;
                self.need(fl::C | fl::Z | fl::P)?;
                self.asm.two(escape, modrm);
            }
            Kind::StatusToAx => self.asm.two(escape, modrm),
            Kind::Shared(op) => {
                self.cached[usize::from(R::R14.0)] = None;
                self.asm.mov_imm(R::R14, op as u64);
                self.call_to(Target::Shared(op.form()));
                // ZF: done.
                let bail = self.bail_label();
                self.asm.jcc(5, bail);
            }
            Kind::Load(w) | Kind::Store(w) => {
                let write = matches!(kind, Kind::Store(_));
                let m = self.operand_with_pointer(w, write)?;
                self.asm.op(0, false, &[], escape, modrm >> 3 & 7, m.into(), false, false);
                self.give_mem(m);
            }
            Kind::StoreControl => {
                let m = self.probe_operand(i.seg, 2, true)?;
                self.asm.op(0, false, &[], escape, modrm >> 3 & 7, m.into(), false, false);
                self.give_mem(m);
            }
            Kind::LoadControl => {
                // Something unmasked is for shared code.
                let m = self.probe_operand(i.seg, 2, false)?;
                self.lock_mem(m);
                let t = self.fresh()?;
                self.asm.movzx(1, t, m);
                self.asm.group3(2, 4, t);
                self.asm.test_imm(1, t, 0x3f);
                let bail = self.bail_label();
                self.asm.jcc(5, bail);
                self.give(t);
                self.asm.op(0, false, &[], escape, modrm >> 3 & 7, m.into(), false, false);
                self.give_mem(m);
            }
        }
        match kind {
            Kind::Load(_) | Kind::Store(_) => self.note = Some(Note { n: self.n, seg: Some(i.seg) }),
            Kind::Plain | Kind::SetsFlags | Kind::ReadsFlags | Kind::Shared(_) => {
                // The operand pointer's selector stays that of the last operand.
                let seg = self.note.and_then(|n| n.seg);
                self.note = Some(Note { n: self.n, seg });
            }
            _ => {}
        }
        Ok(true)
    }

    /// Probes the memory operand and stores its offset as the operand pointer.
    fn operand_with_pointer(&mut self, w: u8, write: bool) -> Low<Mem> {
        let i = *self.insn();
        let m = self.probe_operand(i.seg, w, write)?;
        self.lock_mem(m);
        let t = self.fresh()?;
        let (ea, width) = self.ea_mem(t)?;
        self.lea(t, ea, width);
        self.asm.store(8, fpu(offset_of!(Fpu, fdp)), t);
        self.give(t);
        Ok(m)
    }

    /// Stores what a note says, through `t`. Leaves EFLAGS alone.
    pub(super) fn store_note(&mut self, note: Note, t: R) {
        let i = self.insns[usize::from(note.n)];
        self.asm.load(8, t, field::page_rip());
        self.lea(t, Mem::at(t, i32::from(i.off)), i.code_width());
        self.asm.store(8, fpu(offset_of!(Fpu, fip)), t);
        self.asm.movzx(2, t, field::selector(crate::state::Seg::Cs as u8));
        self.asm.store(2, fpu(offset_of!(Fpu, fcs)), t);
        self.asm.store_imm(2, fpu(offset_of!(Fpu, fop)), i32::from((i.imm as u16 & 0x7ff) as i16));
        if let Some(seg) = note.seg {
            self.asm.movzx(2, t, field::selector(seg));
            self.asm.store(2, fpu(offset_of!(Fpu, fds)), t);
        }
    }

    /// Before control goes on elsewhere, or a segment that it names changes.
    pub(super) fn flush_note(&mut self) -> Low<()> {
        let Some(note) = self.note.take() else { return Ok(()) };
        let t = self.fresh()?;
        self.store_note(note, t);
        self.give(t);
        Ok(())
    }
}
