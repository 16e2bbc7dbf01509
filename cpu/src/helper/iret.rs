//! IRET to every mode. Follows Intel SDM volume 2, IRET/IRETD/IRETQ, and volume 3 chapter 20.

use super::descriptor::{Descriptor, code_of, is_null, long_mode, null_segment, system};
use super::interrupt::iopl;
use super::segment::{drop_inner_segments, real_segment, v86_segment};
use super::stack::Stack;
use super::task::{Reason, task_switch};
use crate::Exec;
use crate::fault::{Fault, vector};
use crate::state::{Seg, attr, cr4, flag, gpr};

/// IRET with operand size `width` (2, 4 or 8).
pub fn iret(x: &mut Exec, width: u8, next_rip: u64) -> Result<(), Fault> {
    x.cpu.nmi_blocked = false;
    if x.cpu.is_v86() {
        return iret_v86(x, width);
    }
    if !x.cpu.is_protected() {
        return iret_real(x, width);
    }
    if x.cpu.rflags & flag::NT != 0 {
        return if long_mode(x.cpu) { Err(Fault::gp(0)) } else { iret_task(x, next_rip) };
    }
    iret_protected(x, width)
}

#[inline(always)]
fn pop_three(x: &mut Exec, stack: &mut Stack, width: u8) -> Result<[u64; 3], Fault> {
    let mut v = [0; 3];
    stack.pop(x, &mut v, width)?;
    Ok(v)
}

/// Writes `bits` of `value` into the flags.
fn set_flags(x: &mut Exec, value: u64, bits: u64) {
    let bits = bits & x.cpu.writable_flags();
    x.cpu.rflags = x.cpu.rflags & !bits | value & bits;
}

const COMMON: u64 = flag::STATUS | flag::TF | flag::DF | flag::NT;

fn iret_real(x: &mut Exec, width: u8) -> Result<(), Fault> {
    let mut stack = Stack::current(x.cpu);
    let [ip, cs, flags] = pop_three(x, &mut stack, width)?;
    if ip > u64::from(x.cpu.seg[Seg::Cs as usize].limit) {
        return Err(Fault::gp(0));
    }
    x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
    x.cpu.rip = ip;
    let s = &mut x.cpu.seg[Seg::Cs as usize];
    *s = real_segment(s, cs as u16);
    let wide = if width > 2 { flag::RF | flag::AC | flag::ID } else { 0 };
    set_flags(x, flags, COMMON | flag::IF | flag::IOPL | wide);
    x.view_changed();
    Ok(())
}

fn iret_v86(x: &mut Exec, width: u8) -> Result<(), Fault> {
    let full = iopl(x.cpu) == 3;
    let vme = width == 2 && x.cpu.cr4 & cr4::VME != 0;
    if !full && !vme {
        return Err(Fault::gp(0));
    }
    let mut stack = Stack::current(x.cpu);
    let [ip, cs, flags] = pop_three(x, &mut stack, width)?;
    if ip > 0xffff {
        return Err(Fault::gp(0));
    }
    if !full && (flags & flag::TF != 0 || flags & flag::IF != 0 && x.cpu.rflags & flag::VIP != 0) {
        return Err(Fault::gp(0));
    }
    x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
    x.cpu.rip = ip;
    x.cpu.seg[Seg::Cs as usize] = v86_segment(cs as u16);
    if full {
        let wide = if width > 2 { flag::RF | flag::AC | flag::ID } else { 0 };
        set_flags(x, flags, COMMON | flag::IF | wide);
    } else {
        set_flags(x, flags, COMMON);
        let vif = if flags & flag::IF != 0 { flag::VIF } else { 0 };
        x.cpu.rflags = x.cpu.rflags & !flag::VIF | vif;
    }
    x.view_changed();
    Ok(())
}

/// NT was set: back to the task in the link field.
fn iret_task(x: &mut Exec, next_rip: u64) -> Result<(), Fault> {
    let link: u16 = x.load_system(x.cpu.tr.base)?;
    let code = code_of(link);
    if link & 4 != 0 || is_null(link) {
        return Err(Fault::ts(code));
    }
    let d = x.descriptor(link, vector::TS)?;
    if !d.is_system() || !matches!(d.kind(), system::TSS16_BUSY | system::TSS32_BUSY) {
        return Err(Fault::ts(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    let flags = x.cpu.rflags;
    task_switch(x, link, &d, Reason::Iret, next_rip, flags, 0)
}

fn iret_protected(x: &mut Exec, width: u8) -> Result<(), Fault> {
    let from64 = x.cpu.is_64();
    let cpl = x.cpu.cpl;
    let mut stack = Stack::current(x.cpu);
    let [rip, cs, flags] = pop_three(x, &mut stack, width)?;
    let cs = cs as u16;
    if width > 2 && flags & flag::VM != 0 && cpl == 0 && !long_mode(x.cpu) {
        return iret_to_v86(x, stack, rip, cs, flags);
    }
    if is_null(cs) {
        return Err(Fault::gp(0));
    }
    let d = x.descriptor(cs, vector::GP)?;
    check_return_code(x, &d, cs, cpl)?;
    let rpl = (cs & 3) as u8;
    let to64 = long_mode(x.cpu) && d.attr() & attr::L != 0;
    let outer = rpl > cpl;
    let mut new_ss = None;
    let mut new_sp = 0;
    if outer || from64 {
        let mut v = [0; 2];
        stack.pop(x, &mut v, width)?;
        new_sp = v[0];
        new_ss = Some(return_stack(x, v[1] as u16, rpl, to64)?);
    }
    check_target(x, &d, rip, to64)?;
    x.set_accessed(&d)?;
    let mut bits = COMMON;
    if width > 2 {
        bits |= flag::RF | flag::AC | flag::ID;
    }
    if cpl <= iopl(x.cpu) {
        bits |= flag::IF;
    }
    if cpl == 0 {
        bits |= flag::IOPL;
        if width > 2 {
            bits |= flag::VIF | flag::VIP;
        }
    }
    x.cpu.seg[Seg::Cs as usize] = d.segment(cs);
    x.cpu.rip = rip;
    x.cpu.cpl = rpl;
    match new_ss {
        Some(ss) => {
            let old = x.cpu.gpr[gpr::RSP];
            x.cpu.gpr[gpr::RSP] = merge_outer(old, new_sp, &ss, to64);
            x.cpu.seg[Seg::Ss as usize] = ss;
        }
        None => x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]),
    }
    set_flags(x, flags, bits);
    if outer {
        drop_inner_segments(x);
    }
    x.view_changed();
    Ok(())
}

/// The stack pointer of an outer stack as a far return loads it.
pub(crate) fn merge_outer(old: u64, sp: u64, ss: &crate::state::Segment, to64: bool) -> u64 {
    if to64 {
        sp
    } else if ss.attr & attr::DB != 0 {
        sp & 0xffff_ffff
    } else {
        old & !0xffff | sp & 0xffff
    }
}

/// Checks of a code segment that IRET or RETF returns to.
pub(crate) fn check_return_code(x: &Exec, d: &Descriptor, cs: u16, cpl: u8) -> Result<(), Fault> {
    let code = code_of(cs);
    let rpl = (cs & 3) as u8;
    if !d.is_code() || rpl < cpl {
        return Err(Fault::gp(code));
    }
    if d.is_conforming() && d.dpl() > rpl || !d.is_conforming() && d.dpl() != rpl {
        return Err(Fault::gp(code));
    }
    if long_mode(x.cpu) && d.attr() & (attr::L | attr::DB) == attr::L | attr::DB {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    Ok(())
}

/// The stack segment that IRET or RETF to level `rpl` loads. Inlined like [`Exec::descriptor`].
#[inline(always)]
pub(crate) fn return_stack(
    x: &mut Exec,
    ss: u16,
    rpl: u8,
    to64: bool,
) -> Result<crate::state::Segment, Fault> {
    if is_null(ss) {
        return if to64 && rpl != 3 && (ss & 3) as u8 == rpl {
            Ok(null_segment(ss, rpl))
        } else {
            Err(Fault::gp(0))
        };
    }
    let d = x.descriptor(ss, vector::GP)?;
    let code = code_of(ss);
    if (ss & 3) as u8 != rpl || !d.is_writable_data() || d.dpl() != rpl {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::ss(code));
    }
    x.set_accessed(&d)?;
    Ok(d.segment(ss))
}

/// The target must lie within the segment, or be canonical in 64-bit mode.
pub(crate) fn check_target(x: &Exec, d: &Descriptor, rip: u64, to64: bool) -> Result<(), Fault> {
    let ok = if to64 { x.cpu.canonical(rip) } else { rip <= u64::from(d.limit()) };
    if ok { Ok(()) } else { Err(Fault::gp(0)) }
}

fn iret_to_v86(x: &mut Exec, mut stack: Stack, eip: u64, cs: u16, flags: u64) -> Result<(), Fault> {
    let mut v = [0; 6];
    stack.pop(x, &mut v, 4)?;
    let [esp, ss, es, ds, fs, gs] = v;
    let order = [(Seg::Ss, ss), (Seg::Es, es), (Seg::Ds, ds), (Seg::Fs, fs), (Seg::Gs, gs)];
    for (seg, selector) in order {
        x.cpu.seg[seg as usize] = v86_segment(selector as u16);
    }
    x.cpu.seg[Seg::Cs as usize] = v86_segment(cs);
    x.cpu.gpr[gpr::RSP] = esp & 0xffff_ffff;
    x.cpu.rip = eip & 0xffff;
    x.cpu.cpl = 3;
    let bits =
        COMMON | flag::IF | flag::IOPL | flag::RF | flag::VM | flag::AC | flag::VIF | flag::VIP | flag::ID;
    set_flags(x, flags, bits);
    x.view_changed();
    Ok(())
}
