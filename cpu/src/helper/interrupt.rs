//! Delivery of exceptions, hardware interrupts and software interrupts.
//! Follows Intel SDM volume 3, chapter 6 (6.11 to 6.15), chapter 20 (V86 and VME) and volume 2, INT n.

use super::descriptor::{Descriptor, code_of, is_null, long_mode, null_segment, system};
use super::segment::real_segment;
use super::stack::Stack;
use super::task::{Reason, task_switch};
use crate::exec::Stop;
use crate::fault::{Fault, FaultCode, Vector, vector};
use crate::mmu::View;
use crate::model::Generation;
use crate::state::{Activity, Seg, Segment, Shadow, attr, cr4, flag, gpr};
use crate::{Cpu, Exec, watch};

/// Where an event comes from: decides privilege checks, the error codes' EXT bit and the RF image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A fault: RF is set in the pushed image.
    Fault,
    /// A trap-class exception or INT1.
    Trap,
    /// INTR or NMI.
    External,
    /// INT n.
    Int,
    /// INT3 and INTO.
    Break,
}

/// Something to deliver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub vector: Vector,
    pub code: FaultCode,
    pub source: Source,
    /// Address to return to.
    pub rip: u64,
}

impl Event {
    fn software(&self) -> bool {
        matches!(self.source, Source::Int | Source::Break)
    }
    /// The EXT bit of error codes that delivery itself raises.
    fn ext(&self) -> u32 {
        u32::from(!self.software())
    }
    /// An error code that names this event's IDT entry.
    fn idt_code(&self) -> u32 {
        u32::from(self.vector) * 8 + 2 + self.ext()
    }
}

/// Which software interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftKind {
    /// INT n: gates are checked for privilege, V86 mode traps or redirects it.
    Int,
    /// INT3 and INTO.
    Break,
    /// INT1 (F1h): no privilege check.
    Icebp,
}

/// Severity of an exception that meets another one (SDM volume 3, table 6-5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    Page,
}

fn class(v: Vector) -> Class {
    match v {
        vector::DE | vector::TS | vector::NP | vector::SS | vector::GP => Class::Contributory,
        vector::PF => Class::Page,
        _ => Class::Benign,
    }
}

/// Delivers a fault of the current instruction (or, for #DB traps, after one), with the double- and triple-fault rules.
/// `x.cpu.rip` is the address to return to.
pub fn deliver_fault(x: &mut Exec, fault: Fault) -> Result<(), Stop> {
    let trap = fault.vector == vector::DB && fault.info & DR6_BD == 0;
    let source = if trap { Source::Trap } else { Source::Fault };
    deliver(x, fault, source)
}

/// Delivers a hardware interrupt whose vector has been acknowledged.
pub fn deliver_interrupt(x: &mut Exec, v: Vector) -> Result<(), Stop> {
    deliver(x, Fault::new(v), Source::External)
}

/// Delivers an NMI; the caller has cleared `nmi_pending`.
pub fn deliver_nmi(x: &mut Exec) -> Result<(), Stop> {
    x.cpu.nmi_blocked = true;
    deliver(x, Fault::new(vector::NMI), Source::External)
}

const DR6_BD: u64 = 1 << 13;

fn deliver(x: &mut Exec, first: Fault, source: Source) -> Result<(), Stop> {
    x.count = x.count.wrapping_add(1);
    x.cpu.activity = Activity::Running;
    x.cpu.shadow = Shadow::None;
    // Breakpoints that the aborted instruction met are met again.
    x.cpu.pending_debug = 0;
    let (mut fault, mut source) = (first, source);
    // What is being delivered, for the double-fault rule; an interrupt is benign.
    let mut held = if source == Source::External { Class::Benign } else { class(first.vector) };
    let mut double = source != Source::External && first.vector == vector::DF;
    loop {
        note_registers(x.cpu, &fault, source);
        let at = x.moment();
        x.board.delivering(at, x.cpu, &fault, source == Source::External);
        let rip = x.cpu.rip;
        x.event(|| watch::Event::Vector {
            vector: fault.vector,
            code: fault.code,
            external: source == Source::External,
            rip,
        });
        let event = Event { vector: fault.vector, code: fault.code, source, rip: x.cpu.rip };
        let Err(next) = enter(x, &event) else {
            return Ok(());
        };
        if next.vector == vector::PF {
            // Even where the page fault becomes a double fault (that is how systems tell a stack overflow).
            x.cpu.cr2 = next.info;
        }
        if double {
            x.cpu.activity = Activity::Shutdown;
            return Err(Stop::TripleFault);
        }
        let class = class(next.vector);
        let doubled = match held {
            Class::Benign => false,
            Class::Contributory => class == Class::Contributory,
            Class::Page => class != Class::Benign,
        };
        if doubled {
            fault = Fault::with_code(vector::DF, 0);
            double = true;
        } else {
            fault = next;
        }
        held = class;
        source = Source::Fault;
    }
}

/// CR2, DR6 and DR7 as an exception leaves them.
fn note_registers(cpu: &mut Cpu, f: &Fault, source: Source) {
    if source == Source::External {
        return;
    }
    match f.vector {
        vector::PF => cpu.cr2 = f.info,
        vector::DB => {
            cpu.dr6 = (cpu.dr6 & !0xf) | f.info;
            cpu.dr7 &= !(1 << 13);
            cpu.msr.debugctl &= !3;
        }
        _ => {}
    }
}

/// INT n, INT3, INTO, INT1: returns to `next_rip`.
pub fn soft_int(x: &mut Exec, v: Vector, kind: SoftKind, next_rip: u64) -> Result<(), Fault> {
    let source = match kind {
        SoftKind::Int => Source::Int,
        SoftKind::Break => Source::Break,
        SoftKind::Icebp => Source::Trap,
    };
    let rip = x.cpu.rip;
    x.event(|| watch::Event::Vector { vector: v, code: None, external: false, rip });
    let event = Event { vector: v, code: None, source, rip: next_rip };
    if x.cpu.is_v86() && kind == SoftKind::Int {
        if x.cpu.cr4 & cr4::VME != 0 && !redirect_bit(x, v)? {
            return enter_redirected(x, &event);
        }
        if iopl(x.cpu) < 3 {
            return Err(Fault::gp(0));
        }
    }
    enter(x, &event)?;
    if kind == SoftKind::Icebp {
        // Breakpoints that MOV SS held back join this #DB instead of interrupting its handler.
        x.cpu.dr6 |= std::mem::take(&mut x.cpu.pending_debug);
        x.cpu.dr7 &= !(1 << 13);
    }
    Ok(())
}

pub(crate) fn iopl(cpu: &Cpu) -> u8 {
    (cpu.rflags >> 12) as u8 & 3
}

/// The bit of the TSS's software-interrupt redirection map: set means "deliver through the IDT".
fn redirect_bit(x: &mut Exec, v: Vector) -> Result<bool, Fault> {
    let tr = x.cpu.tr;
    if tr.limit < 103 {
        return Err(Fault::gp(0));
    }
    let io_base: u16 = x.load_system(tr.base + 102)?;
    let at = u64::from(io_base.saturating_sub(32)) + u64::from(v / 8);
    if io_base < 32 || at > u64::from(tr.limit) {
        return Err(Fault::gp(0));
    }
    let byte: u8 = x.load_system(tr.base + at)?;
    Ok(byte >> (v % 8) & 1 != 0)
}

/// VME: a software interrupt of a V86 task through the task's own vector table.
fn enter_redirected(x: &mut Exec, e: &Event) -> Result<(), Fault> {
    let at = u64::from(e.vector) * 4;
    let (ip, cs): (u16, u16) = (x.load(at)?, x.load(at + 2)?);
    let mut image = x.cpu.rflags;
    if iopl(x.cpu) < 3 {
        image |= flag::IOPL;
        image = if image & flag::VIF != 0 { image | flag::IF } else { image & !flag::IF };
    }
    let mut stack = Stack::current(x.cpu);
    stack.push(x, &[image, u64::from(x.cpu.seg[Seg::Cs as usize].selector), e.rip], 2)?;
    x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
    x.cpu.seg[Seg::Cs as usize] = super::segment::v86_segment(cs);
    x.cpu.rip = u64::from(ip);
    let clear = if iopl(x.cpu) == 3 { flag::IF } else { flag::VIF };
    x.cpu.rflags &= !(clear | flag::TF | flag::NT | flag::RF);
    Ok(())
}

fn enter(x: &mut Exec, e: &Event) -> Result<(), Fault> {
    if !x.cpu.is_protected() && !x.cpu.is_v86() {
        enter_real(x, e)
    } else if long_mode(x.cpu) {
        enter_long(x, e)
    } else {
        enter_protected(x, e)
    }
}

fn enter_real(x: &mut Exec, e: &Event) -> Result<(), Fault> {
    let offset = u64::from(e.vector) * 4;
    if offset + 3 > u64::from(x.cpu.idtr.limit) {
        return Err(Fault::gp(e.idt_code()));
    }
    let table = x.cpu.idtr.base.wrapping_add(offset);
    let entry: u32 = x.load_system(table)?;
    let mut stack = Stack::current(x.cpu);
    let mut image = x.cpu.rflags & 0xffff;
    if x.cpu.model.generation == Generation::I8086 {
        image |= 0xf000;
    }
    stack.push(x, &[image, u64::from(x.cpu.seg[Seg::Cs as usize].selector), e.rip], 2)?;
    x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
    let cs = &mut x.cpu.seg[Seg::Cs as usize];
    *cs = real_segment(cs, (entry >> 16) as u16);
    x.cpu.rip = u64::from(entry & 0xffff);
    x.cpu.rflags &= !(flag::IF | flag::TF | flag::AC | flag::RF);
    x.view_changed();
    Ok(())
}

/// The flags image that goes on the stack.
fn image(x: &Exec, e: &Event) -> u64 {
    x.cpu.rflags | if e.source == Source::Fault { flag::RF } else { 0 }
}

/// Flags on entry to a handler; an interrupt gate (even type) also clears IF.
fn enter_flags(x: &mut Exec, kind: u8) {
    x.cpu.rflags &= !(flag::TF | flag::VM | flag::RF | flag::NT);
    if kind & 1 == 0 {
        x.cpu.rflags &= !flag::IF;
    }
}

fn set_code_segment(x: &mut Exec, d: &Descriptor, selector: u16, cpl: u8) {
    x.cpu.seg[Seg::Cs as usize] = d.segment(selector & !3 | u16::from(cpl));
    x.cpu.cpl = cpl;
    x.view_changed();
}

fn enter_protected(x: &mut Exec, e: &Event) -> Result<(), Fault> {
    let offset = u64::from(e.vector) * 8;
    if offset + 7 > u64::from(x.cpu.idtr.limit) {
        return Err(Fault::gp(e.idt_code()));
    }
    let raw: u64 = x.load_system(x.cpu.idtr.base.wrapping_add(offset))?;
    let gate = Descriptor { raw, ..Descriptor::default() };
    let known = matches!(
        gate.kind(),
        system::TASK_GATE | system::INT16 | system::TRAP16 | system::INT32 | system::TRAP32
    );
    if !gate.is_system() || !known || e.software() && gate.dpl() < x.cpu.cpl {
        return Err(Fault::gp(e.idt_code()));
    }
    if !gate.present() {
        return Err(Fault::np(e.idt_code()));
    }
    if gate.kind() == system::TASK_GATE {
        return enter_task(x, e, &gate);
    }
    let (cs, d) = handler_segment(x, e, gate.gate_selector())?;
    let wide = gate.kind() & 8 != 0;
    let target = if wide { gate.gate_offset32() } else { gate.gate_offset16() };
    let width = if wide { 4 } else { 2 };
    let from_v86 = x.cpu.is_v86();
    let inner = !d.is_conforming() && d.dpl() < x.cpu.cpl;
    if from_v86 && !(inner && d.dpl() == 0) {
        return Err(Fault::gp(code_of(cs) + e.ext()));
    }
    let new_cpl = if inner { d.dpl() } else { x.cpu.cpl };
    let selector = |cpu: &Cpu, s: Seg| u64::from(cpu.seg[s as usize].selector);
    let mut frame = [0u64; 10];
    let mut n = 0;
    let mut add = |v: u64| {
        frame[n] = v;
        n += 1;
    };
    let mut stack = Stack::current(x.cpu);
    stack.code = e.ext();
    let mut new_ss = None;
    let mut old_sp = x.cpu.gpr[gpr::RSP];
    if inner {
        let (ss, sp) = inner_stack(x, d.dpl(), e.ext())?;
        let view = View::Supervisor;
        let view = if d.dpl() == 3 { View::User } else { view };
        stack =
            Stack { seg: ss, sp, wide: false, view, code: code_of(ss.selector) + e.ext(), protected: true };
        new_ss = Some(ss);
        old_sp = sp;
        if from_v86 {
            for s in [Seg::Gs, Seg::Fs, Seg::Ds, Seg::Es] {
                add(selector(x.cpu, s));
            }
        }
        add(selector(x.cpu, Seg::Ss));
        add(x.cpu.gpr[gpr::RSP]);
    }
    add(image(x, e));
    add(selector(x.cpu, Seg::Cs));
    add(e.rip);
    if let Some(c) = e.code {
        add(u64::from(c));
    }
    if target > u64::from(d.limit()) {
        return Err(Fault::gp(e.ext()));
    }
    x.set_accessed(&d)?;
    stack.push(x, &frame[..n], width)?;
    if let Some(ss) = new_ss {
        x.cpu.seg[Seg::Ss as usize] = ss;
        if from_v86 {
            for s in [Seg::Gs, Seg::Fs, Seg::Ds, Seg::Es] {
                x.cpu.seg[s as usize] = null_segment(0, 0);
            }
        }
    }
    // A 16-bit inner stack leaves the upper half of ESP to what the TSS held.
    x.cpu.gpr[gpr::RSP] = stack.merge(old_sp);
    set_code_segment(x, &d, cs, new_cpl);
    x.cpu.rip = target;
    enter_flags(x, gate.kind());
    Ok(())
}

/// The code segment that a gate names, with the checks common to 32-bit and long mode. Inlined like [`Exec::descriptor`].
#[inline(always)]
fn handler_segment(x: &mut Exec, e: &Event, cs: u16) -> Result<(u16, Descriptor), Fault> {
    if is_null(cs) {
        return Err(Fault::gp(e.ext()));
    }
    let code = code_of(cs) + e.ext();
    let Some(d) = x.try_descriptor(cs)? else { return Err(Fault::gp(code)) };
    if !d.is_code() || d.dpl() > x.cpu.cpl {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    Ok((cs, d))
}

fn enter_task(x: &mut Exec, e: &Event, gate: &Descriptor) -> Result<(), Fault> {
    let selector = gate.gate_selector();
    let code = code_of(selector) + e.ext();
    if selector & 4 != 0 || is_null(selector) {
        return Err(Fault::gp(code));
    }
    let Some(d) = x.try_descriptor(selector)? else { return Err(Fault::gp(code)) };
    if !d.is_system() || !matches!(d.kind(), system::TSS16 | system::TSS32) {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    // The outgoing task's saved flags hold the image that a stack would get.
    let saved = image(x, e);
    task_switch(x, selector, &d, Reason::Interrupt, e.rip, saved, e.ext())?;
    if let Some(c) = e.code {
        let width = if d.kind() & 8 != 0 { 4 } else { 2 };
        let mut stack = Stack::current(x.cpu);
        stack.code = e.ext();
        stack.push(x, &[u64::from(c)], width)?;
        x.cpu.gpr[gpr::RSP] = stack.merge(x.cpu.gpr[gpr::RSP]);
    }
    Ok(())
}

/// SS and ESP of privilege level `dpl` from the 16- or 32-bit TSS, checked. Inlined like [`Exec::descriptor`].
#[inline(always)]
pub(crate) fn inner_stack(x: &mut Exec, dpl: u8, ext: u32) -> Result<(Segment, u64), Fault> {
    let tr = x.cpu.tr;
    let tss_code = code_of(tr.selector) + ext;
    let wide = tr.attr & 8 != 0;
    let (offset, size) = if wide { (u64::from(dpl) * 8 + 4, 6) } else { (u64::from(dpl) * 4 + 2, 4) };
    if offset + size - 1 > u64::from(tr.limit) {
        return Err(Fault::ts(tss_code));
    }
    let at = tr.base.wrapping_add(offset);
    let (sp, ss): (u64, u16) = if wide {
        (u64::from(x.load_system::<u32>(at)?), x.load_system(at.wrapping_add(4))?)
    } else {
        (u64::from(x.load_system::<u16>(at)?), x.load_system(at.wrapping_add(2))?)
    };
    if is_null(ss) {
        return Err(Fault::ts(ext));
    }
    let code = code_of(ss) + ext;
    let Some(d) = x.try_descriptor(ss)? else { return Err(Fault::ts(code)) };
    if (ss & 3) as u8 != dpl || d.dpl() != dpl || !d.is_writable_data() {
        return Err(Fault::ts(code));
    }
    if !d.present() {
        return Err(Fault::ss(code));
    }
    x.set_accessed(&d)?;
    Ok((d.segment(ss), sp))
}

/// A 64-bit stack pointer from the long-mode TSS: RSP0-2 at 4, IST1-7 at 36.
pub(crate) fn tss64_stack(x: &mut Exec, offset: u64, ext: u32) -> Result<u64, Fault> {
    let tr = x.cpu.tr;
    if offset + 7 > u64::from(tr.limit) {
        return Err(Fault::ts(code_of(tr.selector) + ext));
    }
    let sp: u64 = x.load_system(tr.base.wrapping_add(offset))?;
    if x.cpu.canonical(sp) { Ok(sp) } else { Err(Fault::ss(ext)) }
}

fn enter_long(x: &mut Exec, e: &Event) -> Result<(), Fault> {
    let offset = u64::from(e.vector) * 16;
    if offset + 15 > u64::from(x.cpu.idtr.limit) {
        return Err(Fault::gp(e.idt_code()));
    }
    let at = x.cpu.idtr.base.wrapping_add(offset);
    let gate = Descriptor { raw: x.load_system(at)?, high: x.load_system(at.wrapping_add(8))?, at };
    let known = matches!(gate.kind(), system::INT32 | system::TRAP32);
    if !gate.is_system() || !known || gate.high >> 40 & 0x1f != 0 || e.software() && gate.dpl() < x.cpu.cpl {
        return Err(Fault::gp(e.idt_code()));
    }
    if !gate.present() {
        return Err(Fault::np(e.idt_code()));
    }
    let (cs, d) = handler_segment(x, e, gate.gate_selector())?;
    if d.attr() & (attr::L | attr::DB) != attr::L {
        return Err(Fault::gp(code_of(cs) + e.ext()));
    }
    let inner = !d.is_conforming() && d.dpl() < x.cpu.cpl;
    let new_cpl = if inner { d.dpl() } else { x.cpu.cpl };
    let sp = if gate.gate_ist() != 0 {
        tss64_stack(x, 28 + u64::from(gate.gate_ist()) * 8, e.ext())?
    } else if inner {
        tss64_stack(x, 4 + u64::from(d.dpl()) * 8, e.ext())?
    } else {
        x.cpu.gpr[gpr::RSP]
    };
    let target = gate.gate_offset64();
    if !x.cpu.canonical(target) {
        return Err(Fault::gp(e.ext()));
    }
    let view = match (new_cpl, inner) {
        (3, _) => View::User,
        (_, true) => View::Supervisor,
        _ => crate::mmu::own_view(x.cpu),
    };
    let ss = x.cpu.seg[Seg::Ss as usize];
    let mut stack = Stack { seg: ss, sp: sp & !15, wide: true, view, code: e.ext(), protected: true };
    let frame = [
        u64::from(ss.selector),
        x.cpu.gpr[gpr::RSP],
        image(x, e),
        u64::from(x.cpu.seg[Seg::Cs as usize].selector),
        e.rip,
        u64::from(e.code.unwrap_or(0)),
    ];
    x.set_accessed(&d)?;
    stack.push(x, &frame[..if e.code.is_some() { 6 } else { 5 }], 8)?;
    if inner {
        x.cpu.seg[Seg::Ss as usize] = null_segment(u16::from(new_cpl), new_cpl);
    }
    x.cpu.gpr[gpr::RSP] = stack.sp;
    set_code_segment(x, &d, cs, new_cpl);
    x.cpu.rip = target;
    enter_flags(x, gate.kind());
    Ok(())
}
