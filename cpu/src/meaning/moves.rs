//! Moves, exchanges, the stack, near control transfer. Intel SDM volume 2, by mnemonic.

use super::operand::{Mem, Operand};
use crate::{
    meaning,
    ops::*,
    state::{Seg, gpr},
};

const RAX: u8 = gpr::RAX as u8;
const RCX: u8 = gpr::RCX as u8;
const RBX: u8 = gpr::RBX as u8;
const RBP: u8 = gpr::RBP as u8;

meaning! {
    /// MOV between general registers, memory and immediates.
    pub Mov<const W: u8; D: Operand, S: Operand>(o, i) {
        let v = S::read(o, i, W)?;
        D::write(o, i, W, v)
    }
    /// MOV AL/AX/EAX/RAX from a 64-bit absolute address.
    pub MovFromAbsolute<const W: u8>(o, i) {
        let ea = o.imm(i.imm);
        let v = o.load(i, i.seg, ea, W)?;
        o.set(RAX, W, v);
        Ok(())
    }
    /// MOV to a 64-bit absolute address.
    pub MovToAbsolute<const W: u8>(o, i) {
        let ea = o.imm(i.imm);
        let v = o.get(RAX, W);
        o.store(i, i.seg, ea, W, v)
    }
    /// MOVZX.
    pub MovZx<const FROM: u8, const W: u8; S: Operand>(o, i) {
        let v = S::read(o, i, FROM)?;
        o.set(i.dst, W, v);
        Ok(())
    }
    /// MOVSX, MOVSXD.
    pub MovSx<const FROM: u8, const W: u8; S: Operand>(o, i) {
        let v = S::read(o, i, FROM)?;
        let v = o.sext(FROM, v);
        o.set(i.dst, W, v);
        Ok(())
    }
    /// MOVBE.
    pub MovBe<const W: u8; D: Operand, S: Operand>(o, i) {
        let v = S::read(o, i, W)?;
        let v = o.bswap(W, v);
        D::write(o, i, W, v)
    }
    /// BSWAP; of 16 bits, undefined by the manual, it yields zero.
    pub Bswap<const W: u8>(o, i) {
        let v = if W == 2 {
            o.imm(0)
        } else {
            let v = o.get(i.dst, W);
            o.bswap(W, v)
        };
        o.set(i.dst, W, v);
        Ok(())
    }
    /// LEA.
    pub Lea<const W: u8>(o, i) {
        let ea = o.ea(i);
        o.set(i.dst, W, ea);
        Ok(())
    }
    /// XCHG of registers.
    pub Xchg<const W: u8>(o, i) {
        let a = o.get(i.dst, W);
        let b = o.get(i.src, W);
        o.set(i.dst, W, b);
        o.set(i.src, W, a);
        Ok(())
    }
    /// XCHG with memory: always locked.
    pub XchgMem<const W: u8>(o, i) {
        let new = o.get(i.src, W);
        let ea = o.ea(i);
        let mut old = new;
        o.locked_rmw(i, ea, W, |_, v| { old = v; new })?;
        o.set(i.src, W, old);
        Ok(())
    }
    /// XADD.
    pub Xadd<const W: u8; D: Operand>(o, i) {
        let b = o.get(i.src, W);
        let mut old = b;
        if i.is_mem() {
            D::update(o, i, W, |o, a| { old = a; o.alu(Alu::Add, W, a, b) })?;
            o.set(i.src, W, old);
            return Ok(());
        }
        let a = o.get(i.dst, W);
        let sum = o.alu(Alu::Add, W, a, b);
        o.set(i.src, W, a);
        o.set(i.dst, W, sum);
        Ok(())
    }
    /// CMPXCHG. The destination is written in any case; the accumulator only when they differ.
    pub CmpXchg<const W: u8; D: Operand>(o, i) {
        if i.is_mem() && o.compare_exchange(i, W)? {
            return Ok(());
        }
        let new = o.get(i.src, W);
        let acc = o.get(RAX, W);
        let mut old = acc;
        let mut equal = acc;
        D::update(o, i, W, |o, a| {
            old = a;
            o.alu(Alu::Sub, W, acc, a);
            equal = o.cond(Cond::E);
            o.select(equal, new, a)
        })?;
        if W == 4 {
            let all = o.get(RAX, 8);
            let v = o.select(equal, all, old);
            o.set(RAX, 8, v);
        } else {
            let v = o.select(equal, acc, old);
            o.set(RAX, W, v);
        }
        Ok(())
    }
    /// CMPXCHG with a register: one that differs is left alone, its upper half too (unlike memory, which is always
    /// written), and the accumulator may be the destination itself.
    pub CmpXchgReg<const W: u8>(o, i) {
        let new = o.get(i.src, W);
        let acc = o.get(RAX, W);
        let old = o.get(i.dst, W);
        o.alu(Alu::Sub, W, acc, old);
        let equal = o.cond(Cond::E);
        let wide = if W == 4 { 8 } else { W };
        let (all, full) = (o.get(RAX, wide), o.get(i.dst, wide));
        let a = o.select(equal, all, old);
        let d = o.select(equal, new, full);
        o.set(RAX, wide, a);
        o.set(i.dst, wide, d);
        Ok(())
    }
    /// XLAT.
    pub Xlat(o, i) {
        let b = o.get(RBX, 8);
        let a = o.get(RAX, 1);
        let ea = o.pure(Pure::Add, a, b);
        let ea = o.zext(i.addr, ea);
        let v = o.load(i, i.seg, ea, 1)?;
        o.set(RAX, 1, v);
        Ok(())
    }
    /// NOP in all its forms, prefetches and hints: the operand is not touched.
    pub Nop(o, i) {
        Ok(())
    }
    /// CLFLUSH: there is no cache, but the address is checked as for a load.
    pub Touch(o, i) {
        Mem::read(o, i, 1).map(|_| ())
    }
    /// LFENCE, MFENCE, SFENCE.
    pub Fence(o, i) {
        o.fence(i);
        Ok(())
    }
    /// PUSH of a register, memory or an immediate.
    pub Push<const W: u8; S: Operand>(o, i) {
        let v = S::read(o, i, W)?;
        o.push(i, W, v)
    }
    /// PUSHF outside V86 mode.
    pub Pushf<const W: u8>(o, i) {
        let status = o.flags();
        let rest = o.system_flags();
        let v = o.pure(Pure::Or, status, rest);
        o.push(i, W, v)
    }
    /// PUSH of a segment register: a wide push writes zeros above the selector.
    pub PushSeg<const W: u8>(o, i) {
        let v = o.selector(i.dst);
        o.push(i, W, v)
    }
    /// MOV from a segment register: two bytes to memory, a whole register.
    pub MovFromSeg<const W: u8; D: Operand>(o, i) {
        let v = o.selector(i.src);
        D::write(o, i, W, v)
    }
    /// PUSH SP of an 8086, which pushes the new value.
    pub PushNewSp(o, i) {
        let v = o.sp(i, -2);
        o.push(i, 2, v)
    }
    /// POP of a register. POP SP leaves the value popped.
    pub Pop<const W: u8>(o, i) {
        let v = o.top(i, W)?;
        let sp = o.sp(i, i32::from(W));
        o.set_sp(i, sp);
        o.set(i.dst, W, v);
        Ok(())
    }
    /// POP to memory: an address that uses the stack pointer uses the new one.
    pub PopMem<const W: u8>(o, i) {
        let v = o.top(i, W)?;
        let sp = o.sp(i, i32::from(W));
        let mut ea = o.ea(i);
        if i.base == 4 {
            let w = o.imm(u64::from(W));
            ea = o.pure(Pure::Add, ea, w);
            ea = o.zext(i.addr, ea);
        }
        o.store(i, i.seg, ea, W, v)?;
        o.set_sp(i, sp);
        Ok(())
    }
    /// LEAVE.
    pub Leave<const W: u8>(o, i) {
        let bp = o.get(RBP, i.stack_width());
        let v = o.load(i, Seg::Ss as u8, bp, W)?;
        let w = o.imm(u64::from(W));
        let sp = o.pure(Pure::Add, bp, w);
        o.set_sp(i, sp);
        o.set(RBP, W, v);
        Ok(())
    }
    /// JMP rel.
    pub Jmp: End::Jump, (o, i) {
        o.jump_direct(i, Jump::Plain)
    }
    /// JMP to a register's or memory's value.
    pub JmpTo<const W: u8; S: Operand>: End::Jump, (o, i) {
        let to = S::read(o, i, W)?;
        o.jump_indirect(i, Jump::Plain, to)
    }
    /// CALL rel.
    pub CallRel<const W: u8>: End::Jump, (o, i) {
        o.check_direct(i)?;
        let next = o.next_ip(i);
        o.push(i, W, next)?;
        o.jump_direct(i, Jump::Call)
    }
    /// CALL to a register's or memory's value.
    pub CallTo<const W: u8; S: Operand>: End::Jump, (o, i) {
        let to = S::read(o, i, W)?;
        o.check_indirect(i, to)?;
        let next = o.next_ip(i);
        o.push(i, W, next)?;
        o.jump_indirect(i, Jump::Call, to)
    }
    /// RET, with or without an immediate.
    pub Ret<const W: u8>: End::Jump, (o, i) {
        let to = o.top(i, W)?;
        o.check_indirect(i, to)?;
        let sp = o.sp(i, i32::from(W) + i.imm as u16 as i32);
        o.set_sp(i, sp);
        o.jump_indirect(i, Jump::Return, to)
    }
    /// Jcc.
    pub Jcc<const C: u8>: End::Jump, (o, i) {
        o.branch_cond(i, Cond(C))
    }
    /// JCXZ, JECXZ, JRCXZ.
    pub Jcxz: End::Jump, (o, i) {
        let c = o.get(RCX, i.addr);
        let zero = o.imm(0);
        let c = o.pure(Pure::Eq, c, zero);
        o.branch(i, c)
    }
    /// LOOP (KIND = 2), LOOPE (1), LOOPNE (0).
    pub Loop<const KIND: u8>: End::Jump, (o, i) {
        let c = o.get(RCX, i.addr);
        let one = o.imm(1);
        let c = o.pure(Pure::Sub, c, one);
        let c = o.zext(i.addr, c);
        let zero = o.imm(0);
        let mut go = o.pure(Pure::Below, zero, c);
        if KIND != 2 {
            let f = o.cond(if KIND == 1 { Cond::E } else { Cond::NE });
            go = o.pure(Pure::And, go, f);
        }
        if i.code_flat() {
            o.set(RCX, i.addr, c);
            return o.branch(i, go);
        }
        // The branch may fault.
        o.branch(i, go)?;
        o.set(RCX, i.addr, c);
        Ok(())
    }
}
