//! The long tail of integer and system instructions: ordinary Rust on [`Exec`], most of it glue between an instruction's
//! operands and `crate::helper`. Each is a [`crate::ops::Helper`]: it runs with `cpu.rip` at the instruction's start.

use crate::{
    Exec, Fault,
    helper::{self, SoftKind},
    insn::{Insn, seg_from},
    interp::flags,
    mmu::Access,
    ops::Shift,
    state::{Seg, Shadow, flag, gpr},
};

type R = Result<(), Fault>;

const RAX: u8 = gpr::RAX as u8;
const RDX: u8 = gpr::RDX as u8;

/// Operands, for helpers.
impl Exec<'_> {
    /// Loads `w` bytes at a linear address.
    pub fn load_wide(&mut self, at: u64, w: u8) -> Result<u64, Fault> {
        match w {
            1 => self.load::<u8>(at).map(u64::from),
            2 => self.load::<u16>(at).map(u64::from),
            4 => self.load::<u32>(at).map(u64::from),
            _ => self.load::<u64>(at),
        }
    }
    /// Stores `w` bytes at a linear address.
    pub fn store_wide(&mut self, at: u64, w: u8, v: u64) -> R {
        match w {
            1 => self.store(at, v as u8),
            2 => self.store(at, v as u16),
            4 => self.store(at, v as u32),
            _ => self.store(at, v),
        }
    }
    /// Loads `w` bytes at `seg:offset`.
    pub fn load_at(&mut self, seg: Seg, offset: u64, w: u8) -> Result<u64, Fault> {
        let at = self.linear(seg, offset, u64::from(w), Access::Read)?;
        self.load_wide(at, w)
    }
    /// Stores `w` bytes at `seg:offset`.
    pub fn store_at(&mut self, seg: Seg, offset: u64, w: u8, v: u64) -> R {
        let at = self.linear(seg, offset, u64::from(w), Access::Write)?;
        self.store_wide(at, w, v)
    }
    /// Loads `w` bytes of the memory operand, `skip` bytes into it.
    pub fn load_operand(&mut self, i: &Insn, skip: u64, w: u8) -> Result<u64, Fault> {
        let ea = self.ea(i).wrapping_add(skip) & Insn::mask(i.addr);
        self.load_at(seg_from(i.seg), ea, w)
    }
    /// Stores `w` bytes of the memory operand, `skip` bytes into it.
    pub fn store_operand(&mut self, i: &Insn, skip: u64, w: u8, v: u64) -> R {
        let ea = self.ea(i).wrapping_add(skip) & Insn::mask(i.addr);
        self.store_at(seg_from(i.seg), ea, w, v)
    }
    /// The r/m operand that comes first, register or memory.
    pub fn rm(&mut self, i: &Insn, w: u8) -> Result<u64, Fault> {
        if i.is_mem() { self.load_operand(i, 0, w) } else { Ok(self.reg(i.dst, w)) }
    }
    /// The r/m operand that comes second.
    pub fn rm2(&mut self, i: &Insn, w: u8) -> Result<u64, Fault> {
        if i.is_mem() { self.load_operand(i, 0, w) } else { Ok(self.reg(i.src, w)) }
    }
    /// Writes the r/m operand that comes first.
    pub fn set_rm(&mut self, i: &Insn, w: u8, v: u64) -> R {
        if i.is_mem() {
            return self.store_operand(i, 0, w, v);
        }
        self.set_reg(i.dst, w, v);
        Ok(())
    }
    fn sp(&self, i: &Insn) -> u64 {
        self.reg(4, i.stack_width())
    }
    fn push_one(&mut self, i: &Insn, w: u8, v: u64) -> R {
        let sp = self.sp(i).wrapping_sub(u64::from(w)) & Insn::mask(i.stack_width());
        self.store_at(Seg::Ss, sp, w, v)?;
        self.set_reg(4, i.stack_width(), sp);
        Ok(())
    }
    fn top_of_stack(&mut self, i: &Insn, w: u8) -> Result<u64, Fault> {
        let sp = self.sp(i);
        self.load_at(Seg::Ss, sp, w)
    }
    fn drop_stack(&mut self, i: &Insn, n: u64) {
        let sp = self.sp(i).wrapping_add(n);
        self.set_reg(4, i.stack_width(), sp);
    }
    fn set_status(&mut self, mask: u64, v: u64) {
        self.cpu.rflags = self.cpu.rflags & !mask | v & mask;
    }
}

macro_rules! tails {
    ($($(#[$doc:meta])* $name:ident($x:ident, $i:ident) $body:block)*) => { $(
        $(#[$doc])*
        #[allow(unused_variables)]
        pub fn $name($x: &mut Exec<'_>, $i: &Insn) -> R $body
    )* };
}

fn sign_zero_parity(v: u64) -> u64 {
    flags::Flags::logic(1, v & 0xff).bits()
}

// BCD. SDM volume 2 AAA, AAS, DAA, DAS, AAM, AAD; flags that it leaves undefined are as on AMD's Zen: those of the one addition or
// subtraction that adjusts (AAA, AAS: of 16 bits, before AL is cut to a digit; AAD: AL plus the product). AAM: AF, CF, OF = 0.
tails! {
    /// AAA.
    aaa(x, i) { ascii_adjust(x, true); Ok(()) }
    /// AAS.
    aas(x, i) { ascii_adjust(x, false); Ok(()) }
    /// DAA.
    daa(x, i) { decimal_adjust(x, true); Ok(()) }
    /// DAS.
    das(x, i) { decimal_adjust(x, false); Ok(()) }
    /// AAM.
    aam(x, i) {
        let base = i.imm & 0xff;
        if base == 0 {
            if x.cpu.model.generation == crate::model::Generation::I8086 {
                // The fault of an 8086 comes after its internal division has set flags.
                x.set_status(flag::STATUS, flags::sub(1, 0, 0, 0).1.bits());
                x.cpu.rip = x.next_rip(i);
            } else if x.cpu.model.generation == crate::model::Generation::I286 {
                let f = flags::Flags::logic(1, x.reg(RAX, 1) >> 1).bits();
                x.set_status(flag::STATUS, f);
            }
            return Err(Fault::de());
        }
        let al = x.reg(RAX, 1);
        x.set_reg(RAX, 2, ((al / base) << 8) | (al % base));
        x.set_status(flag::STATUS, sign_zero_parity(al % base));
        Ok(())
    }
    /// AAD.
    aad(x, i) {
        let ax = x.reg(RAX, 2);
        let (al, f) = flags::add(1, ax & 0xff, ((ax >> 8) * (i.imm & 0xff)) & 0xff, 0);
        x.set_reg(RAX, 2, al & 0xff);
        x.set_status(flag::STATUS, f.bits());
        Ok(())
    }
}

fn ascii_adjust(x: &mut Exec<'_>, add: bool) {
    let ax = x.reg(RAX, 2);
    let adjust = ax & 15 > 9 || x.cpu.rflags & flag::AF != 0;
    let old = x.cpu.model.generation == crate::model::Generation::I8086;
    let mut v = ax;
    if adjust {
        v = match (add, old) {
            (true, false) => ax.wrapping_add(0x106),
            (false, false) => ax.wrapping_sub(0x106),
            // An 8086 adjusts AL and AH apart.
            (true, true) => ax.wrapping_add(0x100) & 0xff00 | ax.wrapping_add(6) & 0xff,
            (false, true) => ax.wrapping_sub(0x100) & 0xff00 | ax.wrapping_sub(6) & 0xff,
        };
    }
    x.set_reg(RAX, 2, v & 0xff0f);
    let by = if adjust { 0x106 } else { 0 };
    let f = if add { flags::add(2, ax, by, 0).1 } else { flags::sub(2, ax, by, 0).1 };
    let carry = if adjust { flag::CF | flag::AF } else { 0 };
    x.set_status(flag::STATUS, f.bits() & !(flag::CF | flag::AF) | carry);
}

fn decimal_adjust(x: &mut Exec<'_>, add: bool) {
    let al = x.reg(RAX, 1);
    let f = x.cpu.rflags;
    let (mut v, mut cf) = (al, false);
    let af = al & 15 > 9 || f & flag::AF != 0;
    // An 8086 compares with 9Fh instead of 99h where AF was set.
    let old = x.cpu.model.generation == crate::model::Generation::I8086 && f & flag::AF != 0;
    let limit = if old { 0x9f } else { 0x99 };
    if af {
        v = if add { v.wrapping_add(6) } else { v.wrapping_sub(6) };
        cf = !add && al < 6 && x.cpu.model.generation != crate::model::Generation::I8086;
    }
    if al > limit || f & flag::CF != 0 {
        v = if add { v.wrapping_add(0x60) } else { v.wrapping_sub(0x60) };
        cf = true;
    }
    x.set_reg(RAX, 1, v);
    let by = v.wrapping_sub(al) & 0xff;
    let f = if add { flags::add(1, al, by, 0).1 } else { flags::sub(1, al, al.wrapping_sub(v) & 0xff, 0).1 };
    let r = f.bits() & !(flag::CF | flag::AF);
    x.set_status(flag::STATUS, r | u64::from(cf) | if af { flag::AF } else { 0 });
}

tails! {
    /// Shift or rotate of an 8086: the count is not masked.
    shift_8086(x, i) {
        let w = i.size;
        let op = Shift::of(i.third);
        let ones = i.third == 6;
        let n = if i.src == 1 { x.reg(1, 1) as u32 } else { i.imm as u8 as u32 };
        let rflags = x.cpu.rflags;
        let run = |v: u64| match n {
            0 => (v, rflags),
            _ if ones => {
                let r = Insn::mask(w);
                (r, rflags & !flag::STATUS | flags::Flags::logic(w, r).bits())
            }
            _ => {
                let old = flags::Flags::from_rflags(rflags);
                let (r, f) = flags::shift_by(op, w, v, n, &old).unwrap_or((v, old));
                (r, rflags & !flag::STATUS | f.bits())
            }
        };
        let v = x.rm(i, w)?;
        let (r, f) = run(v);
        x.set_rm(i, w, r)?;
        x.cpu.rflags = f;
        Ok(())
    }
    /// DIV and IDIV (`third` = 1) of an 8086: a fault returns to the next instruction, IDIV refuses the most negative
    /// quotient, REP negates IDIV's quotient.
    div_8086(x, i) {
        let w = i.size;
        let signed = i.third != 0;
        let d = x.rm(i, w)?;
        let high = if w == 1 { 16 } else { RDX };
        let (hi, lo) = (x.reg(high, w), x.reg(RAX, w));
        let next = x.next_rip(i);
        let most = 1u64 << (8 * w - 1);
        let negate = i.prefix & (crate::insn::prefix::REP | crate::insn::prefix::REPNE) != 0;
        match flags::div(signed, w, hi, lo, d) {
            Some((q, r)) if !signed || q != most => {
                let q = if signed && negate { q.wrapping_neg() } else { q };
                x.set_reg(RAX, w, q);
                x.set_reg(high, w, r);
                x.cpu.rip = next;
                Ok(())
            }
            _ => {
                let (mut a, mut b) = (hi, d);
                if signed {
                    let whole = flags::sext(2 * w, hi << (8 * w) | lo) as i64;
                    a = whole.unsigned_abs() >> (8 * w);
                    b = (flags::sext(w, d) as i64).unsigned_abs();
                }
                let f = flags::sub(w, a & Insn::mask(w), b, 0).1;
                x.set_status(flag::STATUS, f.bits());
                helper::soft_int(x, 0, SoftKind::Break, next)
            }
        }
    }
    /// POP to memory of a 286: SP has moved before the store (hardware captures).
    pop_mem_286(x, i) {
        let v = x.top_of_stack(i, 2)?;
        x.drop_stack(i, 2);
        x.store_operand(i, 0, 2, v)
    }
    /// ESC where there is no x87: nothing, but a 286 offers it to the coprocessor at ports F8h and FCh (opcode; IP, CS,
    /// operand's offset and selector; hardware captures).
    escape(x, i) {
        use crate::{model::Generation, state::cr0};
        if x.cpu.model.generation >= Generation::I286 && x.cpu.cr0 & (cr0::EM | cr0::TS) != 0 {
            return Err(Fault::nm());
        }
        if x.cpu.model.generation != Generation::I286 {
            return Ok(());
        }
        let seg = x.seg_of(i);
        if i.is_mem() {
            let ea = x.ea(i);
            x.linear(seg, ea, 2, Access::Read)?;
        }
        let words = [
            x.cpu.rip,
            u64::from(x.cpu.seg[Seg::Cs as usize].selector),
            x.ea(i),
            u64::from(x.cpu.seg[seg as usize].selector),
        ];
        helper::port_out(x, 0xf8, 2, i.imm as u32);
        for &w in &words[..if i.is_mem() { 4 } else { 2 }] {
            helper::port_out(x, 0xfc, 2, w as u32);
        }
        Ok(())
    }
    /// PUSHF.
    pushf(x, i) {
        let v = helper::pushf(x, i.size)?;
        x.push_one(i, i.size, v)
    }
    /// POPF.
    popf(x, i) {
        let v = x.top_of_stack(i, i.size)?;
        helper::popf(x, v, i.size)?;
        x.drop_stack(i, u64::from(i.size));
        Ok(())
    }
    /// CLI.
    cli(x, i) { helper::cli(x) }
    /// STI.
    sti(x, i) { helper::sti(x) }
    /// HLT.
    hlt(x, i) { helper::hlt(x) }
    /// PUSHA: all eight are checked before the first is stored.
    pusha(x, i) {
        let w = u64::from(i.size);
        let mask = Insn::mask(i.stack_width());
        let sp = x.sp(i);
        let values: [u64; 8] = std::array::from_fn(|n| x.reg(n as u8, i.size));
        let mut at = [0; 8];
        for (n, a) in at.iter_mut().enumerate() {
            let offset = sp.wrapping_sub(w * (n as u64 + 1)) & mask;
            *a = x.linear(Seg::Ss, offset, w, Access::Write)?;
            let _ = x.probe_write(*a, w as usize)?;
        }
        for (a, v) in at.iter().zip(values) {
            x.store_wide(*a, i.size, v)?;
        }
        x.set_reg(4, i.stack_width(), sp.wrapping_sub(8 * w));
        Ok(())
    }
    /// POPA: SP's slot is skipped.
    popa(x, i) {
        let w = u64::from(i.size);
        let mask = Insn::mask(i.stack_width());
        let sp = x.sp(i);
        let mut values = [0; 8];
        for (n, v) in values.iter_mut().enumerate() {
            *v = x.load_at(Seg::Ss, sp.wrapping_add(w * n as u64) & mask, i.size)?;
        }
        for (n, v) in values.iter().rev().enumerate() {
            if n != 4 {
                x.set_reg(n as u8, i.size, *v);
            }
        }
        x.set_reg(4, i.stack_width(), sp.wrapping_add(8 * w));
        Ok(())
    }
    /// ENTER.
    enter(x, i) {
        let w = u64::from(i.size);
        let mask = Insn::mask(i.stack_width());
        let (size, level) = (i.imm & 0xffff, i.imm >> 16 & 31);
        let sp = x.sp(i);
        let bp = x.reg(5, i.stack_width());
        let mut values = [0; 33];
        values[0] = x.reg(5, i.size);
        let frame = sp.wrapping_sub(w) & mask;
        let mut n = 1;
        for k in 1..level {
            let at = bp.wrapping_sub(w * k) & mask;
            let v = x.load_at(Seg::Ss, at, i.size)?;
            values[n] = pushed_over(v, at, &values[..n], sp, w, mask);
            n += 1;
        }
        if level > 0 {
            values[n] = if i.stack_width() == 2 || i.size == 2 { frame & 0xffff } else { frame };
            n += 1;
        }
        let mut at = [0; 33];
        for (k, a) in at.iter_mut().enumerate().take(n) {
            *a = x.linear(Seg::Ss, sp.wrapping_sub(w * (k as u64 + 1)) & mask, w, Access::Write)?;
            let _ = x.probe_write(*a, w as usize)?;
        }
        let last = sp.wrapping_sub(w * n as u64).wrapping_sub(size) & mask;
        // The new top of the stack must be writable (SDM volume 2, ENTER).
        let probe = x.linear(Seg::Ss, last, w, Access::Write)?;
        let _ = x.probe_write(probe, w as usize)?;
        for (a, v) in at.iter().zip(values).take(n) {
            x.store_wide(*a, i.size, v)?;
        }
        x.set_reg(5, i.size, frame);
        x.set_reg(4, i.stack_width(), last);
        Ok(())
    }
    /// BOUND.
    bound(x, i) {
        let w = i.size;
        let low = x.load_operand(i, 0, w)?;
        let high = x.load_operand(i, u64::from(w), w)?;
        let v = flags::sext(w, x.reg(i.dst, w)) as i64;
        let inside = v >= flags::sext(w, low) as i64 && v <= flags::sext(w, high) as i64;
        if inside { Ok(()) } else { Err(Fault::new(crate::fault::vector::BR)) }
    }
    /// CMPXCHG8B.
    cmpxchg8b(x, i) {
        let at = x.ea(i);
        let at = x.linear(seg_from(i.seg), at, 8, Access::Write)?;
        let h = x.probe_write(at, 8)?;
        let old: u64 = x.load_probed(&h);
        let expected = x.reg(RDX, 4) << 32 | x.reg(RAX, 4);
        let equal = old == expected;
        let new = if equal { x.reg(1, 4) << 32 | x.reg(3, 4) } else { old };
        x.store_probed(&h, new);
        if !equal {
            x.set_reg(RAX, 4, old & 0xffff_ffff);
            x.set_reg(RDX, 4, old >> 32);
        }
        x.set_status(flag::ZF, u64::from(equal) << 6);
        Ok(())
    }
    /// CMPXCHG16B.
    cmpxchg16b(x, i) {
        let at = x.ea(i);
        let ac = x.cpu.rflags & flag::AC;
        x.cpu.rflags &= !flag::AC;
        let at = x.linear(seg_from(i.seg), at, 16, Access::Write);
        x.cpu.rflags |= ac;
        let at = at?;
        if at & 15 != 0 {
            return Err(Fault::gp(0));
        }
        let h = x.probe_write(at, 16)?;
        let low: u64 = x.load(at)?;
        let high: u64 = x.load(at + 8)?;
        let equal = low == x.cpu.gpr[gpr::RAX] && high == x.cpu.gpr[gpr::RDX];
        let (new_low, new_high) =
            if equal { (x.cpu.gpr[gpr::RBX], x.cpu.gpr[gpr::RCX]) } else { (low, high) };
        let mut b = [0; 16];
        b[..8].copy_from_slice(&new_low.to_le_bytes());
        b[8..].copy_from_slice(&new_high.to_le_bytes());
        x.store_probed_bytes(&h, &b);
        if !equal {
            x.cpu.gpr[gpr::RAX] = low;
            x.cpu.gpr[gpr::RDX] = high;
        }
        x.set_status(flag::ZF, u64::from(equal) << 6);
        Ok(())
    }
    /// IN: port in DX, or immediate.
    port_in(x, i) {
        let port = if i.src == RDX { x.reg(RDX, 2) } else { i.imm & 0xff } as u16;
        helper::check_io(x, port, i.size)?;
        let v = helper::port_in(x, port, i.size);
        x.set_reg(RAX, i.size, u64::from(v));
        Ok(())
    }
    /// OUT: port in DX, or immediate.
    port_out(x, i) {
        let port = if i.dst == RDX { x.reg(RDX, 2) } else { i.imm & 0xff } as u16;
        helper::check_io(x, port, i.size)?;
        let v = x.reg(RAX, i.size) as u32;
        helper::port_out(x, port, i.size, v);
        Ok(())
    }
    /// INT n.
    int_n(x, i) { let next = x.next_rip(i); helper::soft_int(x, i.imm as u8, SoftKind::Int, next) }
    /// INT3.
    int3(x, i) { let next = x.next_rip(i); helper::soft_int(x, 3, SoftKind::Break, next) }
    /// INT1.
    int1(x, i) { let next = x.next_rip(i); helper::soft_int(x, 1, SoftKind::Icebp, next) }
    /// INTO.
    into(x, i) {
        let next = x.next_rip(i);
        if x.cpu.rflags & flag::OF != 0 {
            return helper::soft_int(x, 4, SoftKind::Break, next);
        }
        x.cpu.rip = next;
        Ok(())
    }
    /// IRET.
    iret(x, i) { let next = x.next_rip(i); helper::iret(x, i.size, next) }
    /// JMP FAR, direct.
    jump_far(x, i) {
        let next = x.next_rip(i);
        helper::far_jump(x, (i.imm >> 32) as u16, i.imm & 0xffff_ffff, i.size, next)
    }
    /// CALL FAR, direct.
    call_far(x, i) {
        let next = x.next_rip(i);
        helper::far_call(x, (i.imm >> 32) as u16, i.imm & 0xffff_ffff, i.size, next)
    }
    /// JMP FAR through memory.
    jump_far_mem(x, i) {
        let next = x.next_rip(i);
        let offset = x.load_operand(i, 0, i.size)?;
        let selector = x.load_operand(i, u64::from(i.size), 2)?;
        helper::far_jump(x, selector as u16, offset, i.size, next)
    }
    /// CALL FAR through memory.
    call_far_mem(x, i) {
        let next = x.next_rip(i);
        let offset = x.load_operand(i, 0, i.size)?;
        let selector = x.load_operand(i, u64::from(i.size), 2)?;
        helper::far_call(x, selector as u16, offset, i.size, next)
    }
    /// RETF.
    far_ret(x, i) { helper::far_ret(x, i.size, i.imm as u16) }
    /// MOV Sreg, r/m.
    mov_to_seg(x, i) {
        let v = x.rm2(i, 2)?;
        load_seg(x, i.dst, v as u16)
    }
    /// POP Sreg.
    pop_seg(x, i) {
        let sp = x.sp(i);
        let v = x.load_at(Seg::Ss, sp, 2)?;
        let width = i.stack_width();
        load_seg(x, i.dst, v as u16)?;
        x.set_reg(4, width, sp.wrapping_add(u64::from(i.size)));
        Ok(())
    }
    /// POP CS of an 8086.
    pop_cs(x, i) {
        let v = x.top_of_stack(i, 2)?;
        let next = x.next_rip(i);
        x.drop_stack(i, 2);
        helper::far_jump(x, v as u16, next, 2, next)
    }
    /// LES, LDS, LSS, LFS, LGS; the segment is in `third`.
    load_far_pointer(x, i) {
        let offset = x.load_operand(i, 0, i.size)?;
        let selector = x.load_operand(i, u64::from(i.size), 2)?;
        helper::load_segment(x, seg_from(i.third), selector as u16)?;
        x.set_reg(i.dst, i.size, offset);
        Ok(())
    }
    /// LGDT and LIDT (`third`).
    load_table(x, i) {
        helper::system::require_cpl0(x)?;
        let limit = x.load_operand(i, 0, 2)? as u16;
        let base = if i.long() { x.load_operand(i, 2, 8)? } else { x.load_operand(i, 2, 4)? };
        let base = if i.size == 2 && !i.long() { base & 0xff_ffff } else { base };
        if i.third == 0 { helper::lgdt(x, base, limit) } else { helper::lidt(x, base, limit) }
    }
    /// SGDT and SIDT (`third`).
    store_table(x, i) {
        let t = if i.third == 0 { helper::sgdt(x)? } else { helper::sidt(x)? };
        let w: u8 = if i.long() { 8 } else { 4 };
        let ea = x.ea(i);
        let at = x.linear(seg_from(i.seg), ea, u64::from(w) + 2, Access::Write)?;
        let mut b = [0; 10];
        b[..2].copy_from_slice(&t.limit.to_le_bytes());
        b[2..].copy_from_slice(&t.base.to_le_bytes());
        if x.cpu.model.generation == crate::model::Generation::I286 {
            b[5] = 0xff;
        }
        x.store_bytes(at, &b[..usize::from(w) + 2])
    }
    /// SLDT.
    sldt(x, i) { let v = helper::sldt(x)?; put_selector(x, i, u64::from(v)) }
    /// STR.
    store_tr(x, i) { let v = helper::str(x)?; put_selector(x, i, u64::from(v)) }
    /// SMSW.
    smsw(x, i) { let v = helper::smsw(x)?; put_selector(x, i, v) }
    /// LLDT.
    lldt(x, i) { real_is_ud(x)?; helper::system::require_cpl0(x)?; let v = x.rm(i, 2)?; helper::lldt(x, v as u16) }
    /// LTR.
    ltr(x, i) { real_is_ud(x)?; helper::system::require_cpl0(x)?; let v = x.rm(i, 2)?; helper::ltr(x, v as u16) }
    /// LMSW.
    lmsw(x, i) { helper::system::require_cpl0(x)?; let v = x.rm(i, 2)?; helper::lmsw(x, v as u16) }
    /// VERR.
    verr(x, i) { verify(x, i, false) }
    /// VERW.
    verw(x, i) { verify(x, i, true) }
    /// LAR.
    lar(x, i) { look(x, i, false) }
    /// LSL.
    lsl(x, i) { look(x, i, true) }
    /// ARPL.
    arpl(x, i) {
        real_is_ud(x)?;
        let src = x.reg(i.src, 2) as u16;
        if !i.is_mem() {
            let dst = x.reg(i.dst, 2) as u16;
            let (v, changed) = helper::arpl(x, dst, src)?;
            x.set_reg(i.dst, 2, u64::from(v));
            x.set_status(flag::ZF, u64::from(changed) << 6);
            return Ok(());
        }
        let ea = x.ea(i);
        let seg = seg_from(i.seg);
        let dst = x.load_at(seg, ea, 2)? as u16;
        let (v, changed) = helper::arpl(x, dst, src)?;
        if changed {
            // Written only if it changes: found on the host's processor, on pages that can only be read.
            x.store_at(seg, ea, 2, u64::from(v))?;
        }
        x.set_status(flag::ZF, u64::from(changed) << 6);
        Ok(())
    }
    /// MOV r, CRn.
    mov_from_cr(x, i) {
        let v = helper::mov_from_cr(x, i.src)?;
        x.set_reg(i.dst, if i.long() { 8 } else { 4 }, v);
        Ok(())
    }
    /// MOV CRn, r.
    mov_to_cr(x, i) { let v = x.reg(i.src, if i.long() { 8 } else { 4 }); helper::mov_to_cr(x, i.dst, v) }
    /// MOV r, DRn.
    mov_from_dr(x, i) {
        let v = helper::mov_from_dr(x, i.src)?;
        x.set_reg(i.dst, if i.long() { 8 } else { 4 }, v);
        Ok(())
    }
    /// MOV DRn, r.
    mov_to_dr(x, i) { let v = x.reg(i.src, if i.long() { 8 } else { 4 }); helper::mov_to_dr(x, i.dst, v) }
    /// CLTS.
    clts(x, i) { helper::clts(x) }
    /// INVLPG.
    invlpg(x, i) { let ea = x.ea(i); helper::invlpg(x, ea) }
    /// INVPCID.
    invpcid(x, i) {
        helper::system::require_cpl0(x)?;
        let kind = x.reg(i.dst, if i.long() { 8 } else { 4 });
        let low = x.load_operand(i, 0, 8)?;
        let high = x.load_operand(i, 8, 8)?;
        helper::invpcid(x, kind, low, high)
    }
    /// INVD, WBINVD.
    wbinvd(x, i) { helper::wbinvd(x) }
    /// MONITOR.
    monitor(x, i) { helper::monitor(x) }
    /// MWAIT.
    mwait(x, i) { helper::mwait(x) }
    /// RDTSC.
    rdtsc(x, i) { helper::rdtsc(x) }
    /// RDTSCP.
    rdtscp(x, i) { helper::rdtscp(x) }
    /// RDPMC.
    rdpmc(x, i) { helper::rdpmc(x) }
    /// RDMSR.
    rdmsr(x, i) { helper::rdmsr(x) }
    /// WRMSR.
    wrmsr(x, i) { helper::wrmsr(x) }
    /// CPUID.
    cpuid(x, i) { helper::cpuid(x) }
    /// SWAPGS.
    swapgs(x, i) { helper::swapgs(x) }
    /// SYSCALL.
    syscall(x, i) { let next = x.next_rip(i); helper::syscall(x, next) }
    /// SYSRET.
    sysret(x, i) { helper::sysret(x, i.size == 8) }
    /// SYSENTER.
    sysenter(x, i) { helper::sysenter(x) }
    /// SYSEXIT.
    sysexit(x, i) { helper::sysexit(x, i.size == 8) }
    /// XGETBV.
    xgetbv(x, i) { helper::xgetbv(x) }
    /// XSETBV.
    xsetbv(x, i) { helper::xsetbv(x) }
    /// RDFSBASE, RDGSBASE (`third`).
    read_base(x, i) {
        let v = helper::read_segment_base(x, seg_from(i.third))?;
        x.set_reg(i.dst, i.size, v);
        Ok(())
    }
    /// WRFSBASE, WRGSBASE (`third`).
    write_base(x, i) { let v = x.reg(i.dst, i.size); helper::write_segment_base(x, seg_from(i.third), v) }
    /// CLAC, STAC (`third`).
    set_ac(x, i) { helper::set_ac(x, i.third != 0) }
    /// RSM.
    rsm(x, i) { helper::rsm(x) }
    /// UD0, UD1, UD2 and whatever the model does not have.
    undefined(x, i) { Err(Fault::ud()) }
    /// RDRAND and RDSEED: a hash of the machine's seed and the count, so that runs repeat.
    random(x, i) {
        let mut z = x.count.wrapping_add(x.cpu.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x.set_reg(i.dst, i.size, z ^ z >> 31);
        x.set_status(flag::STATUS, flag::CF);
        Ok(())
    }
    /// RDPID.
    rdpid(x, i) {
        let v = x.cpu.msr.tsc_aux & 0xffff_ffff;
        x.set_reg(i.dst, if i.long() { 8 } else { 4 }, v);
        Ok(())
    }
}

fn load_seg(x: &mut Exec<'_>, seg: u8, selector: u16) -> R {
    helper::load_segment(x, seg_from(seg), selector)?;
    if seg == Seg::Ss as u8 {
        x.cpu.shadow = Shadow::MovSs;
    }
    Ok(())
}

fn put_selector(x: &mut Exec<'_>, i: &Insn, v: u64) -> R {
    let w = if i.is_mem() { 2 } else { i.size };
    x.set_rm(i, w, v)
}

fn real_is_ud(x: &Exec<'_>) -> R {
    if x.cpu.is_protected() { Ok(()) } else { Err(Fault::ud()) }
}

fn verify(x: &mut Exec<'_>, i: &Insn, write: bool) -> R {
    real_is_ud(x)?;
    let v = x.rm(i, 2)?;
    let ok = helper::verify(x, v as u16, write)?;
    x.set_status(flag::ZF, u64::from(ok) << 6);
    Ok(())
}

fn look(x: &mut Exec<'_>, i: &Insn, limit: bool) -> R {
    real_is_ud(x)?;
    let v = x.rm2(i, 2)?;
    let found = helper::look(x, v as u16, limit)?;
    if let Some(v) = found {
        x.set_reg(i.dst, i.size, u64::from(v));
    }
    x.set_status(flag::ZF, u64::from(found.is_some()) << 6);
    Ok(())
}

/// What ENTER reads at stack offset `at` when the old frame overlaps what it has pushed already (`pushed`, below `sp`): each
/// level is read after the one before was pushed (SDM volume 2, ENTER, "Operation").
fn pushed_over(v: u64, at: u64, pushed: &[u64], sp: u64, w: u64, mask: u64) -> u64 {
    let mut bytes = v.to_le_bytes();
    for (j, p) in pushed.iter().enumerate() {
        let start = sp.wrapping_sub(w * (j as u64 + 1));
        for b in 0..w {
            let n = at.wrapping_add(b).wrapping_sub(start) & mask;
            if n < w {
                bytes[b as usize] = p.to_le_bytes()[n as usize];
            }
        }
    }
    u64::from_le_bytes(bytes) & Insn::mask(w as u8)
}
