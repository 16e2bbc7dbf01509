//! Far JMP, CALL and RET. Follows Intel SDM volume 2 (JMP, CALL, RET) and volume 3, sections 5.8 and 7.3.

use super::descriptor::{Descriptor, code_of, is_null, long_mode, null_segment, system};
use super::interrupt::{inner_stack, tss64_stack};
use super::iret::{check_return_code, check_target, merge_outer, return_stack};
use super::segment::{drop_inner_segments, real_segment, v86_segment};
use super::stack::Stack;
use super::task::{Reason, switch_by_transfer};
use crate::Exec;
use crate::fault::{Fault, vector};
use crate::mmu::View;
use crate::state::{Seg, attr, gpr};

/// JMP FAR with operand size `width` (2, 4 or 8); the offset comes already truncated to it.
pub fn far_jump(x: &mut Exec, selector: u16, offset: u64, width: u8, next_rip: u64) -> Result<(), Fault> {
    if !x.cpu.is_protected() {
        return jump_real(x, selector, offset);
    }
    if is_null(selector) {
        return Err(Fault::gp(0));
    }
    let d = x.descriptor(selector, vector::GP)?;
    if d.is_system() {
        return jump_system(x, selector, d, next_rip);
    }
    let to64 = check_direct(x, &d, selector)?;
    check_target(x, &d, offset, to64)?;
    x.set_accessed(&d)?;
    enter_segment(x, &d, selector, offset, x.cpu.cpl);
    let _ = width;
    Ok(())
}

/// CALL FAR.
pub fn far_call(x: &mut Exec, selector: u16, offset: u64, width: u8, next_rip: u64) -> Result<(), Fault> {
    let old_cs = u64::from(x.cpu.seg[Seg::Cs as usize].selector);
    if !x.cpu.is_protected() {
        let mut stack = Stack::current(x.cpu);
        check_real_target(x, offset)?;
        stack.push(x, &[old_cs, next_rip], width)?;
        x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
        return jump_real(x, selector, offset);
    }
    if is_null(selector) {
        return Err(Fault::gp(0));
    }
    let d = x.descriptor(selector, vector::GP)?;
    if d.is_system() {
        return call_system(x, selector, d, next_rip);
    }
    let to64 = check_direct(x, &d, selector)?;
    check_target(x, &d, offset, to64)?;
    let mut stack = Stack::current(x.cpu);
    x.set_accessed(&d)?;
    stack.push(x, &[old_cs, next_rip], width)?;
    x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
    enter_segment(x, &d, selector, offset, x.cpu.cpl);
    Ok(())
}

fn check_real_target(x: &Exec, offset: u64) -> Result<(), Fault> {
    let limit = if x.cpu.is_v86() { 0xffff } else { u64::from(x.cpu.seg[Seg::Cs as usize].limit) };
    if offset > limit { Err(Fault::gp(0)) } else { Ok(()) }
}

fn jump_real(x: &mut Exec, selector: u16, offset: u64) -> Result<(), Fault> {
    check_real_target(x, offset)?;
    let v86 = x.cpu.is_v86();
    let cs = &mut x.cpu.seg[Seg::Cs as usize];
    *cs = if v86 { v86_segment(selector) } else { real_segment(cs, selector) };
    x.cpu.rip = offset;
    Ok(())
}

/// Checks of a code segment that JMP or CALL names directly; the privilege level stays. Whether it is of 64-bit code.
fn check_direct(x: &Exec, d: &Descriptor, selector: u16) -> Result<bool, Fault> {
    let code = code_of(selector);
    let (cpl, rpl) = (x.cpu.cpl, (selector & 3) as u8);
    if !d.is_code() {
        return Err(Fault::gp(code));
    }
    let long = long_mode(x.cpu);
    if long && d.attr() & (attr::L | attr::DB) == attr::L | attr::DB {
        return Err(Fault::gp(code));
    }
    let allowed = if d.is_conforming() { d.dpl() <= cpl } else { rpl <= cpl && d.dpl() == cpl };
    if !allowed {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    Ok(long && d.attr() & attr::L != 0)
}

fn enter_segment(x: &mut Exec, d: &Descriptor, selector: u16, offset: u64, cpl: u8) {
    x.cpu.seg[Seg::Cs as usize] = d.segment(selector & !3 | u16::from(cpl));
    x.cpu.rip = offset;
    if x.cpu.cpl == cpl {
        // The view stays; the mode may not.
        x.mode_event();
    } else {
        x.cpu.cpl = cpl;
        x.view_changed();
    }
}

/// Privilege and presence of a gate or TSS that JMP or CALL names.
fn check_gate(x: &Exec, d: &Descriptor, selector: u16) -> Result<(), Fault> {
    let code = code_of(selector);
    if d.dpl() < x.cpu.cpl || d.dpl() < (selector & 3) as u8 {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    Ok(())
}

fn is_call_gate(x: &Exec, kind: u8) -> bool {
    kind == system::CALL32 || kind == system::CALL16 && !long_mode(x.cpu)
}

fn jump_system(x: &mut Exec, selector: u16, d: Descriptor, next_rip: u64) -> Result<(), Fault> {
    match d.kind() {
        k if is_call_gate(x, k) => {
            let (cs, target, offset, to64) = gate_target(x, selector, d)?;
            let cpl = x.cpu.cpl;
            let allowed = if target.is_conforming() { target.dpl() <= cpl } else { target.dpl() == cpl };
            if !allowed {
                return Err(Fault::gp(code_of(cs)));
            }
            if !target.present() {
                return Err(Fault::np(code_of(cs)));
            }
            check_target(x, &target, offset, to64)?;
            x.set_accessed(&target)?;
            enter_segment(x, &target, cs, offset, cpl);
            Ok(())
        }
        _ => transfer_task(x, selector, d, Reason::Jump, next_rip),
    }
}

/// JMP or CALL to a TSS descriptor or task gate; anything else is #GP.
fn transfer_task(
    x: &mut Exec,
    selector: u16,
    d: Descriptor,
    reason: Reason,
    next_rip: u64,
) -> Result<(), Fault> {
    let task = matches!(d.kind(), system::TASK_GATE | system::TSS16 | system::TSS32);
    if !task || long_mode(x.cpu) {
        return Err(Fault::gp(code_of(selector)));
    }
    if d.kind() == system::TASK_GATE {
        check_gate(x, &d, selector)?;
        return switch_by_transfer(x, d.gate_selector(), reason, next_rip);
    }
    if d.dpl() < x.cpu.cpl || d.dpl() < (selector & 3) as u8 {
        return Err(Fault::gp(code_of(selector)));
    }
    switch_by_transfer(x, selector, reason, next_rip)
}

/// The code segment and offset behind a call gate (its own privilege not yet checked).
fn gate_target(
    x: &mut Exec,
    selector: u16,
    mut gate: Descriptor,
) -> Result<(u16, Descriptor, u64, bool), Fault> {
    let long = long_mode(x.cpu);
    if long {
        x.descriptor_high(selector, &mut gate, vector::GP)?;
        if gate.high >> 40 & 0x1f != 0 {
            return Err(Fault::gp(code_of(selector)));
        }
    }
    check_gate(x, &gate, selector)?;
    let cs = gate.gate_selector();
    if is_null(cs) {
        return Err(Fault::gp(0));
    }
    let d = x.descriptor(cs, vector::GP)?;
    if !d.is_code() || long && d.attr() & (attr::L | attr::DB) != attr::L {
        return Err(Fault::gp(code_of(cs)));
    }
    let offset = match (long, gate.kind()) {
        (true, _) => gate.gate_offset64(),
        (_, system::CALL32) => gate.gate_offset32(),
        _ => gate.gate_offset16(),
    };
    Ok((cs, d, offset, long))
}

fn call_system(x: &mut Exec, selector: u16, gate: Descriptor, next_rip: u64) -> Result<(), Fault> {
    if !is_call_gate(x, gate.kind()) {
        return transfer_task(x, selector, gate, Reason::Call, next_rip);
    }
    let (cs, d, offset, to64) = gate_target(x, selector, gate)?;
    if d.dpl() > x.cpu.cpl {
        return Err(Fault::gp(code_of(cs)));
    }
    if !d.present() {
        return Err(Fault::np(code_of(cs)));
    }
    let width = match (to64, gate.kind()) {
        (true, _) => 8,
        (_, system::CALL32) => 4,
        _ => 2,
    };
    let old_cs = u64::from(x.cpu.seg[Seg::Cs as usize].selector);
    if d.is_conforming() || d.dpl() == x.cpu.cpl {
        check_target(x, &d, offset, to64)?;
        let mut stack = Stack::current(x.cpu);
        x.set_accessed(&d)?;
        stack.push(x, &[old_cs, next_rip], width)?;
        x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
        enter_segment(x, &d, cs, offset, x.cpu.cpl);
        return Ok(());
    }
    if to64 {
        call_inner64(x, cs, d, offset, next_rip)
    } else {
        call_inner(x, cs, d, offset, width, gate, next_rip)
    }
}

/// A call gate to a more privileged level: stack switch and parameters.
fn call_inner(
    x: &mut Exec,
    cs: u16,
    d: Descriptor,
    offset: u64,
    width: u8,
    gate: Descriptor,
    next_rip: u64,
) -> Result<(), Fault> {
    let (ss, sp) = inner_stack(x, d.dpl(), 0)?;
    check_target(x, &d, offset, false)?;
    let count = gate.gate_count() as usize;
    let mut parameters = [0u64; 31];
    Stack::current(x.cpu).pop(x, &mut parameters[..count], width)?;
    let mut frame = [0u64; 36];
    frame[0] = u64::from(x.cpu.seg[Seg::Ss as usize].selector);
    frame[1] = x.cpu.gpr[gpr::RSP];
    for i in 0..count {
        frame[2 + i] = parameters[count - 1 - i];
    }
    frame[2 + count] = u64::from(x.cpu.seg[Seg::Cs as usize].selector);
    frame[3 + count] = next_rip;
    let mut stack = Stack {
        seg: ss,
        sp,
        wide: false,
        view: View::Supervisor,
        code: code_of(ss.selector),
        protected: true,
    };
    x.set_accessed(&d)?;
    stack.push(x, &frame[..4 + count], width)?;
    x.cpu.gpr[gpr::RSP] = stack.merge(sp);
    x.cpu.seg[Seg::Ss as usize] = ss;
    enter_segment(x, &d, cs, offset, d.dpl());
    Ok(())
}

fn call_inner64(x: &mut Exec, cs: u16, d: Descriptor, offset: u64, next_rip: u64) -> Result<(), Fault> {
    let dpl = d.dpl();
    let sp = tss64_stack(x, 4 + u64::from(dpl) * 8, 0)?;
    check_target(x, &d, offset, true)?;
    let ss = x.cpu.seg[Seg::Ss as usize];
    let frame = [
        u64::from(ss.selector),
        x.cpu.gpr[gpr::RSP],
        u64::from(x.cpu.seg[Seg::Cs as usize].selector),
        next_rip,
    ];
    let mut stack = Stack { seg: ss, sp, wide: true, view: View::Supervisor, code: 0, protected: true };
    x.set_accessed(&d)?;
    stack.push(x, &frame, 8)?;
    x.cpu.gpr[gpr::RSP] = stack.sp;
    x.cpu.seg[Seg::Ss as usize] = null_segment(u16::from(dpl), dpl);
    enter_segment(x, &d, cs, offset, dpl);
    Ok(())
}

/// RETF with operand size `width`, releasing `extra` bytes of parameters.
pub fn far_ret(x: &mut Exec, width: u8, extra: u16) -> Result<(), Fault> {
    let mut stack = Stack::current(x.cpu);
    let mut v = [0; 2];
    stack.pop(x, &mut v, width)?;
    let (rip, cs) = (v[0], v[1] as u16);
    if !x.cpu.is_protected() {
        check_real_target(x, rip)?;
        stack.release(u64::from(extra));
        x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
        return jump_real(x, cs, rip);
    }
    if is_null(cs) {
        return Err(Fault::gp(0));
    }
    let d = x.descriptor(cs, vector::GP)?;
    let cpl = x.cpu.cpl;
    check_return_code(x, &d, cs, cpl)?;
    let rpl = (cs & 3) as u8;
    let to64 = long_mode(x.cpu) && d.attr() & attr::L != 0;
    stack.release(u64::from(extra));
    if rpl == cpl {
        check_target(x, &d, rip, to64)?;
        x.set_accessed(&d)?;
        x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
        enter_segment(x, &d, cs, rip, rpl);
        return Ok(());
    }
    let mut v = [0; 2];
    stack.pop(x, &mut v, width)?;
    let ss = return_stack(x, v[1] as u16, rpl, to64)?;
    check_target(x, &d, rip, to64)?;
    x.set_accessed(&d)?;
    let sp = merge_outer(x.cpu.gpr[gpr::RSP], v[0], &ss, to64);
    let sp = merge_outer(sp, sp.wrapping_add(u64::from(extra)), &ss, to64);
    x.cpu.gpr[gpr::RSP] = sp;
    x.cpu.seg[Seg::Ss as usize] = ss;
    enter_segment(x, &d, cs, rip, rpl);
    drop_inner_segments(x);
    Ok(())
}
