//! System instructions that are lowered in place: CLI, SWAPGS, RDTSC, RDTSCP, POPF; segment loads and far transfers of real
//! and V86 mode.

use super::flags::State;
use super::{Low, Lower};
use crate::helper::segment::{REAL_ATTR, V86_ATTR};
use crate::insn::kind;
use crate::jit::encode::{Label, Mem, R};
use crate::jit::ir::Val;
use crate::jit::regs::field;
use crate::jit::stubs::{Target, look_up};
use crate::jit::{PLAIN_BASE, SEGMENTS, SegmentEntry, from_memory_form};
use crate::state::{Seg, attr, cr4, flag, gpr};
use iced_x86::{Code, Mnemonic};
use std::mem::offset_of;

impl Lower<'_> {
    /// CLI and SWAPGS at privilege level 0, where they can't fault and nothing can come of them.
    pub(super) fn system(&mut self) -> Low<bool> {
        let key = self.key;
        if key.v86() || key.cpl() != 0 && !key.real() {
            return Ok(false);
        }
        match self.insn().code() {
            Code::Cli => self.asm.alu_imm(4, 8, field::rflags(), !(flag::IF as i32)),
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

    /// Loads a segment register that has the limit and the attributes that real or V86 mode gives it: base and selector
    /// are all that changes.
    pub(super) fn set_segment(&mut self, seg: u8, v: Val) -> Low<()> {
        self.flush_note()?;
        self.expose()?;
        let t = self.copy(v)?;
        let bail = self.bail_label();
        let u = self.fresh()?;
        self.asm.alu_imm(7, 4, field::seg_limit(seg), 0xffff);
        self.asm.jcc(5, bail);
        self.asm.movzx(2, u, field::seg_attr(seg));
        self.asm.alu_imm(7, 4, u, i32::from(if self.key.v86() { V86_ATTR } else { REAL_ATTR }));
        self.asm.jcc(5, bail);
        self.give(u);
        self.asm.store(2, field::selector(seg), t);
        self.asm.shift_imm(4, 4, t, 4);
        self.asm.store(8, field::seg_base(seg), t);
        self.give(t);
        Ok(())
    }

    /// Leaves if CS isn't one whose base is all that a far transfer changes: see [`crate::jit::Bases`].
    pub(super) fn check_far(&mut self) -> Low<()> {
        self.expose()?;
        let bail = self.bail_label();
        self.asm.test_imm(4, field::space(), PLAIN_BASE as i32);
        self.asm.jcc(4, bail);
        Ok(())
    }

    /// The entry of the interrupt vector table for `n`, which lies in IDTR's limit; a debugger doesn't ask.
    pub(super) fn vector(&mut self, n: u8) -> Low<()> {
        self.expose()?;
        let bail = self.bail_label();
        let t = self.fresh()?;
        self.asm.alu_imm(7, 1, field::events(), 0);
        self.asm.jcc(5, bail);
        let at = 4 * i32::from(n);
        self.asm.movzx(2, t, field::idt_limit());
        self.asm.alu_imm(7, 4, t, at + 3);
        self.asm.jcc(2, bail);
        self.asm.load(8, t, field::idt_base());
        self.asm.lea(8, t, Mem::at(t, at));
        let t = self.load_at_linear(t, 4)?;
        self.result(t, 4, true);
        Ok(())
    }

    /// Leaves if IRET is the end of an NMI's handler, or a debugger asks.
    pub(super) fn check_iret(&mut self) -> Low<()> {
        self.expose()?;
        let bail = self.bail_label();
        self.asm.alu_imm(7, 1, field::nmi_blocked(), 0);
        self.asm.jcc(5, bail);
        self.asm.alu_imm(7, 1, field::events(), 0);
        self.asm.jcc(5, bail);
        Ok(())
    }

    /// Goes to `cs:ip` by way of the jump cache.
    pub(super) fn jump_to_segment(&mut self, cs: Val, ip: Val) -> Low<()> {
        self.flush_note()?;
        self.spill_flags()?;
        self.flags.host = 0;
        let t = self.copy(cs)?;
        self.asm.store(2, field::selector(Seg::Cs as u8), t);
        // Loaded whole by the look-up: stored whole.
        let u = self.fresh()?;
        self.asm.load(8, u, field::space());
        self.asm.load(2, u, t);
        self.asm.store(8, field::space(), u);
        self.give(u);
        self.asm.shift_imm(4, 4, t, 4);
        self.asm.store(8, field::seg_base(Seg::Cs as u8), t);
        self.give(t);
        let t = self.temp(ip)?;
        if t != R::R14 {
            self.asm.mov(8, R::R14, t);
        }
        let miss = self.asm.label();
        look_up(&mut self.asm, miss, false, None);
        self.asm.bind(miss);
        self.jump_to(Target::JumpMiss);
        Ok(())
    }

    /// POPF at privilege level 0 that changes status flags and IF, and brings no interrupt about.
    pub(super) fn pop_flags(&mut self, w: u8, v: Val) -> Low<()> {
        self.expose()?;
        let t = self.temp(v)?;
        let u = self.fresh()?;
        let bail = self.bail_label();
        let mut same = flag::TF | flag::DF | flag::IOPL | flag::NT;
        if w > 2 {
            same |= flag::RF | flag::VM | flag::AC | flag::VIF | flag::VIP | flag::ID;
        }
        self.asm.mov(4, u, t);
        self.asm.alu_r_rm(6, 4, u, field::rflags());
        self.asm.test_imm(4, u, same as i32);
        self.asm.jcc(5, bail);
        let quiet = self.asm.label();
        self.asm.test_imm(4, t, flag::IF as i32);
        self.asm.jcc(4, quiet);
        self.asm.alu_imm(7, 1, field::intr(), 0);
        self.asm.jcc(5, bail);
        self.asm.bind(quiet);
        self.asm.alu_imm(4, 4, u, flag::IF as i32);
        self.asm.alu_rm_r(6, 8, field::rflags(), u);
        // Byte 1 of the memory form is as LAHF has it, byte 0 is OF.
        self.asm.movzx(1, u, t);
        self.asm.alu_imm(4, 4, u, from_memory_form(!0) as i32 & 0xff);
        self.asm.shift_imm(4, 4, u, 8);
        self.asm.shift_imm(5, 4, t, flag::OF.trailing_zeros() as u8);
        self.asm.alu_imm(4, 4, t, 1);
        self.asm.lea(4, t, Mem { base: Some(t), index: Some((u, 0)), disp: 0x200 });
        self.asm.store(2, field::flags(), t);
        self.void_recipe();
        self.flags = State::in_memory();
        self.give(u);
        Ok(())
    }

    /// MOV from a register or POP to a data segment register, of a selector of the GDT that has been loaded before and whose
    /// descriptor is as it was then, at privilege level 0. Elsewhere shared code runs; the label is where this goes on.
    pub(super) fn load_segment(&mut self) -> Low<Option<Label>> {
        let i = *self.insn();
        let key = self.key;
        let far = key.real() || key.v86() || key.long_mode() || key.cpl() != 0 || !key.code_flat();
        let pops = i.code().mnemonic() == Mnemonic::Pop;
        let whole = key.bits() == 32 && i.size == 4 && i.stack_width() == 4;
        if far || i.kind != kind::SEGMENT || i.is_mem() || pops && !whole {
            return Ok(None);
        }
        let seg = i.dst;
        let flat = key.flat() >> seg & 1;
        let (slow, null) = (self.asm.label(), self.asm.label());
        let t = if pops {
            let m = self.probe_top(2)?;
            self.pull_word(m)?
        } else {
            let t = self.fresh()?;
            let from = self.guest_rm(i.src);
            self.asm.movzx(2, t, from);
            t
        };
        self.lock(t);
        self.asm.alu_imm(7, 4, t, 3);
        self.asm.jcc(6, if flat == 0 { null } else { slow });
        self.asm.test_imm(4, t, 4);
        self.asm.jcc(5, slow);
        // Supervisors' pages are looked at as the system does, but for this.
        self.asm.test_imm(4, field::rflags(), flag::AC as i32);
        self.asm.jcc(5, slow);
        let (at, e) = (self.fresh()?, self.fresh()?);
        self.asm.movzx(2, at, field::gdt_limit());
        self.asm.mov(4, e, t);
        self.asm.alu_imm(1, 4, e, 7);
        self.asm.alu_rm_r(7, 4, e, at);
        self.asm.jcc(7, slow);
        self.asm.mov(4, at, t);
        self.asm.alu_imm(4, 4, at, -8);
        self.asm.lea(4, e, Mem { base: None, index: Some((at, 3)), disp: 0 });
        self.asm.alu_imm(4, 4, e, 64 * (SEGMENTS as i32 - 1));
        self.asm.alu_r_rm(0, 8, e, field::segments());
        let entry = |at: usize| Mem::at(e, at as i32);
        self.asm.alu_r_rm(7, 8, t, entry(offset_of!(SegmentEntry, selector)));
        self.asm.jcc(5, slow);
        self.asm.alu_r_rm(0, 4, at, field::gdt_base());
        self.give(t);
        self.lock(e);
        self.lock(at);
        let d = self.load_at_linear(at, 8)?;
        self.asm.alu_r_rm(7, 8, d, entry(offset_of!(SegmentEntry, descriptor)));
        self.asm.jcc(5, slow);
        let mut copy = |from: usize, to: Mem| {
            self.asm.load(8, d, Mem::at(e, from as i32));
            self.asm.store(8, to, d);
        };
        copy(offset_of!(SegmentEntry, base), field::seg_base(seg));
        copy(offset_of!(SegmentEntry, rest), field::seg_limit(seg));
        let n = 8 * i32::from(seg);
        let from = offset_of!(SegmentEntry, prepared);
        copy(from, field::plus(field::read_limit(), n));
        copy(from + 8, field::plus(field::write_limit(), n));
        copy(from + 16, field::plus(field::prepared(), n));
        if pops {
            self.drop_word()?;
        }
        let done = self.asm.label();
        self.asm.alu_imm(7, 1, entry(offset_of!(SegmentEntry, flat)), i32::from(flat));
        self.asm.jcc(4, done);
        // The mode is another: so is the code that goes on.
        let bit = 1 << (9 + seg);
        self.asm.alu_imm(6, 4, field::key(), bit);
        self.asm.alu_imm(6, 8, field::space(), bit);
        let rest = self.insns.len() - usize::from(self.n) - 1;
        if rest > 0 {
            self.asm.alu_imm(0, 8, field::budget(), rest as i32);
        }
        self.asm.load(8, R::R14, field::page_rip());
        self.asm.lea(4, R::R14, Mem::at(R::R14, i32::from(i.off) + i32::from(i.len)));
        self.jump_to(Target::Jump);
        if flat == 0 {
            // A null selector: as shared code loads it.
            self.asm.bind(null);
            self.asm.store_imm(8, field::seg_base(seg), 0);
            self.asm.store_imm(4, field::seg_limit(seg), 0);
            self.asm.store_imm(2, field::seg_attr(seg), i32::from(attr::UNUSABLE));
            self.asm.store(2, field::selector(seg), t);
            self.asm.store_imm(8, field::plus(field::read_limit(), n), 0);
            self.asm.store_imm(8, field::plus(field::write_limit(), n), 0);
            // Not known to be made from anything.
            self.asm.store_imm(8, field::plus(field::prepared(), n), 0);
            if pops {
                self.drop_word()?;
            }
            self.asm.jmp(done);
        }
        self.give(d);
        self.give(e);
        self.asm.bind(slow);
        Ok(Some(done))
    }

    /// A POP of a double word has been done but for ESP.
    fn drop_word(&mut self) -> Low<()> {
        let Some(sp) = self.host(gpr::RSP as u8) else { return self.refuse() };
        self.asm.lea(4, sp, Mem::at(sp, 4));
        Ok(())
    }
}
