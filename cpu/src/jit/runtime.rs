//! What translated code calls: misses, helpers, single instructions for the interpreter. All state is in place, or as much of it
//! as the stub says.
#![allow(unsafe_code)]

use super::ir::VecFn;
use super::regs::HELD_SLOTS;
use super::transcendental;
use super::{
    Jit, direction, from_memory_form, key_width, lower, prepare, prepare_code, prepare_segment, space_at,
    space_key, to_memory_form,
};
use crate::insn::{Insn, ModeKey, Move};
use crate::interp::blocks::Blocks;
use crate::memory::PAGE;
use crate::mmu::{Access, access::own_view};
use crate::ops::{Helper, Vec128};
use crate::state::{efer, flag};
use crate::{Cpu, Exec, Fault};
use iced_x86::Code;

/// The `Exec` of the run that the calling code belongs to.
///
/// # Safety
/// Called only from functions that translated code calls, with the processor it runs.
unsafe fn exec_of<'a>(cpu: *mut Cpu) -> &'a mut Exec<'a> {
    // SAFETY: `Jit::run` put the pointer there and keeps the `Exec` borrowed, unused, until translated code returns.
    unsafe { &mut *((*cpu).scratch.0.exec as *mut Exec<'a>) }
}

/// What translated code knows of the stack's page holds until another table is in use or direct access has been taken away.
/// To be called whenever Rust code that may have done either has run.
pub(super) fn check_stack(x: &mut Exec<'_>) {
    let withdrawn = x.derived.tlb.withdrawn();
    let s = &mut x.cpu.scratch.0;
    if s.stack_known != [s.tlb, withdrawn] {
        s.stack_known = [s.tlb, withdrawn];
        s.stack_limits = Default::default();
    }
}

/// A TLB miss at `linear`. 1 if an access of `w` bytes may now be tried again.
pub(super) extern "sysv64" fn fill(cpu: *mut Cpu, linear: u64, w: u64, write: u64) -> u64 {
    // SAFETY: called by the fill stub only.
    let x = unsafe { exec_of(cpu) };
    let filled = try_fill(x, linear, w, write);
    check_stack(x);
    filled
}

fn try_fill(x: &mut Exec<'_>, linear: u64, w: u64, write: u64) -> u64 {
    x.derived.fills += 1;
    let page = linear & !(PAGE - 1);
    if linear.wrapping_add(w - 1) & !(PAGE - 1) != page {
        return 0;
    }
    // Outside long mode an address beyond 32 bits has wrapped: see `Lower::probe_address`.
    if !x.cpu.canonical(linear) || linear >> 32 != 0 && x.cpu.msr.efer & efer::LMA == 0 {
        return 0;
    }
    let view = own_view(x.cpu);
    let access = if write != 0 { Access::Write } else { Access::Read };
    let withdrawn = x.derived.tlb.withdrawn();
    let done = x.prefetch(linear, access, view).is_ok();
    if x.derived.tlb.withdrawn() != withdrawn {
        // What groups rest on may be gone: `one` has to know.
        x.derived.fill_withdrew = true;
        return 0;
    }
    if !done {
        return 0;
    }
    if x.derived.attention || !x.derived.code_touched.is_empty() {
        return 0;
    }
    let table = x.derived.tlb.table_in_use(x.cpu, view);
    x.cpu.scratch.0.tlb = table;
    let tlb = &x.derived.tlb;
    let hit = if write != 0 { tlb.hit_write(linear, w - 1) } else { tlb.hit_read(linear, w - 1) };
    if hit.is_none() {
        x.cpu.scratch.0.unserved[usize::from(write != 0)] = page;
    }
    u64::from(hit.is_some())
}

/// Where the code for the RIP in `exit_rip` is, if it is translated, and may be entered as things are; else 0. General
/// registers are not in place.
pub(super) extern "sysv64" fn seek(cpu: *mut Cpu) -> u64 {
    // `Jit::run` made the three pointers from references that it does not use until translated code returns.
    // SAFETY: called by the stub of that name only, so those are the pointers of the run at hand.
    let (x, j, blocks) = unsafe {
        let [j, blocks] = (*cpu).scratch.0.engine;
        (exec_of(cpu), &mut *(j as *mut Jit), &mut *(blocks as *mut Blocks))
    };
    let code = try_seek(x, j, blocks);
    check_stack(x);
    code
}

fn try_seek(x: &mut Exec<'_>, j: &mut Jit, blocks: &mut Blocks) -> u64 {
    let s = &x.cpu.scratch.0;
    let key = ModeKey(s.key);
    let (rip, recipe, space, budget) = (s.exit_rip, s.recipe as u32, s.space, s.budget);
    let recipe = (recipe != 0).then(|| lower::Recipe::from_number(recipe));
    let quiet = |x: &Exec<'_>, blocks: &Blocks| {
        let d = &*x.derived;
        let still = !d.attention && d.code_touched.is_empty() && !d.watch.has_code();
        still && !blocks.emptied && blocks.dropped.is_empty()
    };
    if !key.code_flat() || rip & !Insn::mask(key_width(key)) != 0 || !quiet(x, blocks) {
        return 0;
    }
    let at = match x.derived.tlb.hit_execute(rip) {
        Some(at) => at,
        None => {
            // The next instruction is fetched for certain only if the budget has room for one.
            let view = own_view(x.cpu);
            if budget <= 0 || !x.cpu.canonical(rip) || x.prefetch(rip, Access::Execute, view).is_err() {
                return 0;
            }
            let table = x.derived.tlb.table_in_use(x.cpu, view);
            x.cpu.scratch.0.tlb = table;
            match x.derived.tlb.hit_execute(rip) {
                Some(at) if quiet(x, blocks) => at,
                _ => return 0,
            }
        }
    };
    if let Some(code) = j.known_jump(x, rip, at as u64, recipe) {
        j.statistics.sought += 1;
        return code;
    }
    let Some(id) = blocks.find(at as u64, key) else { return 0 };
    let b = blocks.block(id);
    let native = b.native;
    let Some(Some(n)) = j.natives.get(native as usize) else { return 0 };
    if b.second != super::NONE || recipe.is_some_and(|r| n.incoming.refuses_recipe(r.inputs())) {
        return 0;
    }
    let code = j.memory.address(n.far) as u64;
    if space_at(x, key, rip) != space {
        return 0;
    }
    j.statistics.sought += 1;
    j.remember_jump(x, key, rip, rip, native);
    code
}

/// Makes the status flags that translated code left as a recipe. General registers are in place.
pub(super) fn make_flags(cpu: &mut Cpu) {
    let s = &mut cpu.scratch.0;
    let n = std::mem::take(&mut s.recipe) as u32;
    if n != 0 {
        let values = |r: u8| match usize::from(r) {
            r @ 0..16 => cpu.gpr[r],
            r => s.held[r & (HELD_SLOTS - 1)],
        };
        let f = lower::Recipe::from_number(n).make(values, from_memory_form(s.flags));
        s.flags = to_memory_form(f);
    }
}

/// Puts count, RIP and (if asked) status flags in place for shared code.
fn place(x: &mut Exec<'_>, i: &Insn, packed: u64) {
    make_flags(x.cpu);
    let rest = packed & 0xffff;
    let s = x.cpu.scratch.0;
    x.count = x.limit.wrapping_sub(s.budget as u64).wrapping_sub(rest);
    x.cpu.rip = s.page_rip.wrapping_add(u64::from(i.off)) & Insn::mask(i.code_width());
    if packed >> 32 & 1 != 0 {
        x.cpu.rflags = x.cpu.rflags & !flag::STATUS | from_memory_form(s.flags);
    }
    if x.derived.resumed.take().is_some() {
        // No instruction but a transfer, which takes care of that itself, tells whether it is set: a fault pushes it as set anyway.
        x.cpu.rflags &= !flag::RF;
    }
}

/// RF as it is now that translated code is left.
pub(super) fn settle_resumed(x: &mut Exec<'_>) {
    if x.derived.resumed.take().is_some_and(|n| n != x.count) {
        x.cpu.rflags &= !flag::RF;
    }
}

fn after(x: &mut Exec<'_>, packed: u64) -> u64 {
    if packed >> 32 & 1 != 0 {
        x.cpu.scratch.0.flags = to_memory_form(x.cpu.rflags);
    }
    let view = own_view(x.cpu);
    let table = x.derived.tlb.table_in_use(x.cpu, view);
    x.cpu.scratch.0.tlb = table;
    let up = x.derived.attention || !x.derived.code_touched.is_empty() || x.cpu.pending_debug != 0;
    if up || remapped(x) { 2 } else { 0 }
}

/// Whether the mapping of code may be another one since translated code was entered: its jumps rest on it.
fn remapped(x: &mut Exec<'_>) -> bool {
    let changes = x.derived.tlb.code_changes();
    if changes == x.derived.space_seen {
        return false;
    }
    let s = &x.cpu.scratch.0;
    let (key, space) = (ModeKey(s.key), s.space);
    let same = space_key(x, key) == space;
    if same {
        x.derived.space_seen = changes;
    }
    !same
}

/// What a call of a [`Helper`] is about: the run, the function, the instruction; with the state in place for it.
///
/// # Safety
/// Called only from functions that translated code calls, with their own arguments.
unsafe fn called<'a>(
    cpu: *mut Cpu,
    f: usize,
    packed: u64,
    insns: *const Insn,
) -> (&'a mut Exec<'a>, Helper, &'a Insn) {
    // SAFETY: `Lower::call` put a function's address and the block's instructions into the code, and these live as long.
    let (x, f, i) = unsafe {
        let f: Helper = std::mem::transmute::<usize, Helper>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    (x, f, i)
}

/// Runs a [`Helper`].
pub(super) extern "sysv64" fn helper(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with what `Lower::call` put there.
    let (x, f, i) = unsafe { called(cpu, f, packed, insns) };
    let how = match f(x, i) {
        Ok(()) => after(x, packed),
        Err(f) => failed_late(x, packed, f),
    };
    check_stack(x);
    how
}

/// What [`one`] is told of an instruction that does nothing but move: bit 35 of `packed` and those above it.
pub(super) fn pack_move(m: Move) -> u64 {
    let log2 = |w: u8| u64::from(w.trailing_zeros());
    let reg = u64::from(m.reg.unwrap_or(MOVES_IMMEDIATE));
    1 << 35 | u64::from(m.store) << 36 | log2(m.w) << 37 | log2(m.reg_w) << 39 | reg << 41
}

/// Stands for a register's number (0-19) where there is none.
const MOVES_IMMEDIATE: u8 = 31;

/// A move to or from a chip, without the interpreter: its cost is that of the chip. `None`: it is something else.
#[inline]
fn move_to_chip(x: &mut Exec<'_>, i: &Insn, packed: u64) -> Option<()> {
    let linear = x.cpu.scratch.0.fill;
    let (n, reg) = (1 << (packed >> 37 & 3), (packed >> 41 & 31) as u8);
    x.count = x.limit.wrapping_sub(x.cpu.scratch.0.budget as u64).wrapping_sub(packed & 0xffff);
    if packed >> 36 & 1 != 0 {
        let v = if reg == MOVES_IMMEDIATE { i.imm } else { x.reg(reg, n) };
        x.store_chip(linear, n.into(), v)?;
    } else {
        let v = x.load_chip(linear, n.into())?;
        x.set_reg(reg, 1 << (packed >> 39 & 3), v);
    }
    Some(())
}

/// Lets the interpreter run an instruction whose access is not to plain memory: 0 go on, 1 fault, 2 go on outside. Of
/// `packed`, bit 33: it leads a group, bit 34: it is among a group's accesses; for the rest see [`pack_move`].
/// What leaving takes (the offset of the instruction at hand, or the next, and what is left of the budget) is done here.
pub(super) extern "sysv64" fn one(cpu: *mut Cpu, native: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with an instruction that `Lower::slow_paths` put there.
    let (x, i) = unsafe { (exec_of(cpu), &*insns.add((packed >> 16 & 0xffff) as usize)) };
    let how = interpret(x, i, native, packed);
    check_stack(x);
    let (done, after) = match how {
        0 => return how,
        1 => (0, 0),
        _ => (1, u64::from(i.len)),
    };
    let s = &mut x.cpu.scratch.0;
    s.exit_rip = u64::from(i.off) + after;
    s.budget += (packed & 0xffff) as i64 - done;
    how
}

fn interpret(x: &mut Exec<'_>, i: &Insn, native: usize, packed: u64) -> u64 {
    x.derived.slow += 1;
    if packed >> 33 & 7 == 0b100 {
        make_flags(x.cpu);
        if move_to_chip(x, i, packed).is_some() {
            // The flags are where translated code left them: nobody has looked at them.
            return after(x, packed & !(1 << 32));
        }
    }
    place(x, i, packed);
    let (leads, under) = (packed >> 33 & 1 != 0, packed >> 34 & 1 != 0);
    let page = x.cpu.scratch.0.fill & !(PAGE - 1);
    if leads {
        x.derived.group_missed = Some((native as u32, page));
    }
    let withdrawn = x.derived.tlb.withdrawn();
    let earlier = std::mem::take(&mut x.derived.fill_withdrew);
    match crate::interp::one(x, i) {
        Ok(up) => {
            // Followers may not go on without their leader, or where direct access was taken away.
            let lost = leads || under && (earlier || x.derived.tlb.withdrawn() != withdrawn);
            if lost {
                x.derived.group_missed = Some((native as u32, page));
            }
            after(x, packed).max(2 * u64::from(up || lost))
        }
        Err(f) => failed_late(x, packed, f),
    }
}

/// Shared code raised a fault: the engine delivers it at the start of the instruction.
fn failed(x: &mut Exec<'_>, f: Fault) -> u64 {
    x.derived.jit_fault = Some(f);
    1
}

/// The same where the code may have changed status flags before it found out.
fn failed_late(x: &mut Exec<'_>, packed: u64, f: Fault) -> u64 {
    if packed >> 32 & 1 != 0 {
        x.cpu.scratch.0.flags = to_memory_form(x.cpu.rflags);
    }
    failed(x, f)
}

/// Instructions that may still run in this slice after the one at hand.
fn budget_left(x: &Exec<'_>) -> u64 {
    x.cpu.scratch.0.budget.max(0) as u64
}

/// The processor's state has been changed by shared code: what translated code keeps of it follows.
fn follow(x: &mut Exec<'_>) {
    let view = own_view(x.cpu);
    let table = x.derived.tlb.table_in_use(x.cpu, view);
    let rflags = x.cpu.rflags;
    let s = &mut x.cpu.scratch.0;
    s.tlb = table;
    s.flags = to_memory_form(rflags);
    s.direction = direction(rflags);
}

/// Runs a [`Helper`] of kind [`Call::Step`](crate::ops::Call): anything may have changed but where control goes.
pub(super) extern "sysv64" fn step(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with what `Lower::call` put there.
    let (x, f, i) = unsafe { called(cpu, f, packed, insns) };
    let how = run_step(x, f, packed, i);
    check_stack(x);
    how
}

fn run_step(x: &mut Exec<'_>, f: Helper, packed: u64, i: &Insn) -> u64 {
    if let Err(f) = f(x, i) {
        return failed_late(x, packed, f);
    }
    follow(x);
    let old = ModeKey(x.cpu.scratch.0.key);
    let key = old.after(x.cpu, i);
    if key == old && i.kind != 0 {
        // POPF may have read its flags from a chip, which may do anything.
        return if x.smooth(budget_left(x)) && !remapped(x) { 0 } else { 2 };
    }
    x.cpu.scratch.0.key = key.0;
    let space = space_key(x, key);
    let same = space == x.cpu.scratch.0.space;
    x.derived.space_seen = x.derived.tlb.code_changes();
    if !x.smooth(budget_left(x)) || key.code64() != old.code64() {
        return 2;
    }
    prepare(x.cpu, key);
    if same {
        return 0;
    }
    set_space(x, key, space);
    x.cpu.scratch.0.exit_rip = x.next_rip(i);
    3
}

/// Code of a mode, in another space, goes on: its jumps go by that one's table.
fn set_space(x: &mut Exec<'_>, key: ModeKey, space: u64) {
    let s = &mut x.cpu.scratch.0;
    // SAFETY: `Jit::run` made the pointer from a reference that it does not use until translated code returns.
    let j = unsafe { &mut *(s.engine[0] as *mut Jit) };
    s.space = space;
    s.jumps = j.jumps.of(key, space);
}

/// Runs a [`Helper`] of kind [`Call::Segment`](crate::ops::Call).
pub(super) extern "sysv64" fn segment(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with what `Lower::call` put there.
    let (x, f, i) = unsafe { called(cpu, f, packed, insns) };
    let how = run_segment(x, f, packed, i);
    check_stack(x);
    how
}

fn run_segment(x: &mut Exec<'_>, f: Helper, packed: u64, i: &Insn) -> u64 {
    if let Err(f) = f(x, i) {
        return failed(x, f);
    }
    let old = ModeKey(x.cpu.scratch.0.key);
    let key = old.after(x.cpu, i);
    if let Some(n) = i.loads_segment()
        && !key.code64()
    {
        prepare_segment(x.cpu, key, n);
        // SAFETY: as in `seek`.
        let j = unsafe { &mut *(x.cpu.scratch.0.engine[0] as *mut Jit) };
        j.remember_segment(x, key, n);
    }
    let up = after(x, packed);
    if key == old {
        return up;
    }
    x.cpu.scratch.0.key = key.0;
    if up != 0 {
        return up;
    }
    // Another mode is another block. Only which segments are flat has changed: CS, the space and what it maps are as before.
    let space = x.cpu.scratch.0.space;
    let space = if key.code_flat() { space >> 32 << 32 | u64::from(key.0) } else { space_key(x, key) };
    set_space(x, key, space);
    x.cpu.scratch.0.exit_rip = x.next_rip(i);
    3
}

/// What [`transfer`] is told of jumps, calls and returns to other segments: bit 33 of `packed`.
pub(super) const FAR: u64 = 1 << 33;

/// Runs a [`Helper`] of kind [`Call::Transfer`](crate::ops::Call): it sets RIP, and most often the mode.
pub(super) extern "sysv64" fn transfer(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with what `Lower::call` put there.
    let (resumed, (x, f, i)) = unsafe { (exec_of(cpu).derived.resumed, called(cpu, f, packed, insns)) };
    if resumed == Some(x.count) {
        x.cpu.rflags |= flag::RF;
    }
    let how = run_transfer(x, f, packed, i);
    check_stack(x);
    how
}

fn run_transfer(x: &mut Exec<'_>, f: Helper, packed: u64, i: &Insn) -> u64 {
    let task = (x.cpu.tr.selector, x.cpu.tr.base);
    let before = x.cpu.rflags & flag::RF;
    if let Err(f) = f(x, i) {
        return failed_late(x, packed, f);
    }
    let returns = matches!(i.code(), Code::Iretw | Code::Iretd | Code::Iretq);
    if !returns {
        x.cpu.rflags &= !before;
    }
    let resumes = if returns { x.cpu.rflags & flag::RF } else { 0 };
    x.cpu.rflags &= !resumes;
    follow(x);
    x.cpu.scratch.0.exit_rip = x.cpu.rip;
    let old = ModeKey(x.cpu.scratch.0.key);
    // To another segment of the same level and task, most often.
    let within = packed & FAR != 0
        && old.far_is_simple()
        && x.cpu.cpl == old.cpl()
        && task == (x.cpu.tr.selector, x.cpu.tr.base);
    let key = if within { old.after_far(x.cpu) } else { ModeKey::of(x.cpu) };
    x.cpu.scratch.0.key = key.0;
    let smooth = x.smooth(budget_left(x));
    x.cpu.rflags |= resumes;
    if !smooth || key.code64() != old.code64() {
        return 2;
    }
    if resumes != 0 {
        // No breakpoint asks for it, and the next instruction runs next.
        x.derived.resumed = Some(x.count.wrapping_add(1));
    }
    let space = space_key(x, key);
    set_space(x, key, space);
    x.derived.space_seen = x.derived.tlb.code_changes();
    if within {
        prepare_code(x.cpu, key)
    } else {
        prepare(x.cpu, key)
    };
    0
}

/// Runs a string instruction as far as it goes.
pub(super) extern "sysv64" fn counted(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the stub of that name only, with what `Lower::call` put there.
    let (x, f, i) = unsafe { called(cpu, f, packed, insns) };
    let how = run_counted(x, f, i);
    check_stack(x);
    how
}

fn run_counted(x: &mut Exec<'_>, f: Helper, i: &Insn) -> u64 {
    let (count, rip) = (x.count, x.cpu.rip);
    let r = f(x, i);
    // The block has paid for one.
    let done = x.count.wrapping_sub(count);
    let s = &mut x.cpu.scratch.0;
    match r {
        Ok(()) => s.budget = s.budget.wrapping_sub(done as i64 - 1),
        Err(f) => {
            s.budget = s.budget.wrapping_sub(done as i64);
            s.flags = to_memory_form(x.cpu.rflags);
            return failed(x, f);
        }
    }
    let spent = s.budget < 0;
    follow(x);
    if x.cpu.rip == rip && Insn::mask(i.code_width()) & rip.wrapping_add(u64::from(i.len)) != rip {
        return 3;
    }
    if spent || !x.smooth(budget_left(x)) || remapped(x) { 2 } else { 0 }
}

/// Makes the image of the guest's x87 state for the host's unit. 0 if that can't serve: an exception is unmasked or waits.
pub(super) extern "sysv64" fn fpu_load(cpu: *mut Cpu) -> u64 {
    // SAFETY: called by the stub of that name only, as `fill` is.
    let x = unsafe { exec_of(cpu) };
    if x.cpu.fpu.cw & 0x3f != 0x3f || x.cpu.fpu.pending() || x.cpu.ferr {
        return 0;
    }
    x.cpu.fpu.put_host_image(&mut x.cpu.scratch.0.fpu_image);
    1
}

/// Takes the guest's x87 state back from the image that the host's unit stored. The pointers are kept by other means.
pub(super) extern "sysv64" fn fpu_store(cpu: *mut Cpu) {
    // SAFETY: as for `fpu_load`.
    let x = unsafe { exec_of(cpu) };
    x.cpu.fpu.take_host_image(&x.cpu.scratch.0.fpu_image);
}

/// Computes a transcendental on what the stub has exchanged: see [`transcendental::compute`].
pub(super) extern "sysv64" fn shared(cpu: *mut Cpu, op: u64) -> u64 {
    // The `Exec` which borrows the processor is not used until translated code returns.
    // SAFETY: called by the stubs of that name only, with the processor that the calling code runs.
    let exchange = unsafe { &mut (*cpu).scratch.0.exchange };
    transcendental::compute(exchange, op)
}

/// Runs a vector operation's shared code; operands and result in the scratch area.
pub(super) extern "sysv64" fn vector(cpu: *mut Cpu, f: usize, packed: u64, insns: *const Insn) -> u64 {
    // SAFETY: called by the vector stub only, with a function and instruction that `Lower::vec` put there.
    let (x, f, i) = unsafe {
        let f: VecFn = std::mem::transmute::<usize, VecFn>(f);
        (exec_of(cpu), f, &*insns.add((packed >> 16 & 0xffff) as usize))
    };
    place(x, i, packed);
    let v = x.cpu.scratch.0.vec;
    let done = f(x, i, Vec128([v[0], v[1]]), Vec128([v[2], v[3]]));
    check_stack(x);
    match done {
        Ok(r) => {
            x.cpu.scratch.0.vec[4..6].copy_from_slice(&r.0);
            if packed >> 32 & 1 != 0 {
                x.cpu.scratch.0.flags = to_memory_form(x.cpu.rflags);
            }
            0
        }
        Err(f) => failed(x, f),
    }
}
