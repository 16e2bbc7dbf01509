//! Task switches. Follows Intel SDM volume 3, chapter 7 (task management); 7.3 gives the order and the commit point.

use super::descriptor::{Descriptor, code_of, is_null, null_segment, system};
use super::segment::v86_segment;
use crate::fault::{Fault, vector};
use crate::mmu::Access;
use crate::state::{Seg, attr, cr0, cr4, flag, gpr};
use crate::watch::Event;
use crate::{Cpu, Exec};

/// What switches tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Jump,
    Call,
    Interrupt,
    Iret,
}

/// Where a TSS of one size keeps its fields.
struct Layout {
    width: u64,
    cr3: Option<u64>,
    ip: u64,
    registers: u64,
    segments: u64,
    segment_count: usize,
    ldt: u64,
    /// Smallest limit.
    min: u32,
}

const TSS32: Layout = Layout {
    width: 4,
    cr3: Some(28),
    ip: 32,
    registers: 40,
    segments: 72,
    segment_count: 6,
    ldt: 96,
    min: 103,
};
const TSS16: Layout =
    Layout { width: 2, cr3: None, ip: 14, registers: 18, segments: 34, segment_count: 4, ldt: 42, min: 43 };

impl Layout {
    fn of(kind: u8) -> &'static Layout {
        if kind & 8 != 0 { &TSS32 } else { &TSS16 }
    }
}

/// What the new TSS holds.
#[derive(Default)]
struct Image {
    cr3: Option<u64>,
    ip: u64,
    flags: u64,
    registers: [u64; 8],
    selectors: [u16; 6],
    ldt: u16,
    trap: bool,
}

fn read(x: &mut Exec, at: u64, width: u64) -> Result<u64, Fault> {
    if width == 4 {
        Ok(u64::from(x.load_system::<u32>(at)?))
    } else {
        Ok(u64::from(x.load_system::<u16>(at)?))
    }
}

fn read_image(x: &mut Exec, base: u64, l: &Layout) -> Result<Image, Fault> {
    let mut i = Image { ip: read(x, base + l.ip, l.width)?, ..Image::default() };
    if let Some(at) = l.cr3 {
        i.cr3 = Some(read(x, base + at, 4)?);
        i.trap = x.load_system::<u16>(base + 100)? & 1 != 0;
    }
    i.flags = read(x, base + l.ip + l.width, l.width)?;
    for (n, r) in i.registers.iter_mut().enumerate() {
        *r = read(x, base + l.registers + n as u64 * l.width, l.width)?;
        if l.width == 2 {
            *r |= 0xffff_0000;
        }
    }
    for n in 0..l.segment_count {
        i.selectors[n] = x.load_system(base + l.segments + n as u64 * l.width)?;
    }
    i.ldt = x.load_system(base + l.ldt)?;
    Ok(i)
}

fn save(x: &mut Exec, base: u64, l: &Layout, rip: u64, flags: u64) -> Result<(), Fault> {
    let put = |x: &mut Exec, at: u64, v: u64| {
        if l.width == 4 { x.store_system(base + at, v as u32) } else { x.store_system(base + at, v as u16) }
    };
    put(x, l.ip, rip)?;
    put(x, l.ip + l.width, flags)?;
    for n in 0..8 {
        let v = x.cpu.gpr[n];
        put(x, l.registers + n as u64 * l.width, v)?;
    }
    for n in 0..l.segment_count {
        x.store_system(base + l.segments + n as u64 * l.width, x.cpu.seg[n].selector)?;
    }
    Ok(())
}

/// Switches to the task of TSS descriptor `d`, whose type and presence the caller has checked. `next_rip` and `flags`
/// are saved in the old task. A fault after the commit point is raised in the new task.
pub(crate) fn task_switch(
    x: &mut Exec,
    selector: u16,
    d: &Descriptor,
    reason: Reason,
    next_rip: u64,
    flags: u64,
    ext: u32,
) -> Result<(), Fault> {
    x.event(|| Event::Task { selector });
    let new = Layout::of(d.kind());
    if d.limit() < new.min {
        return Err(Fault::ts(code_of(selector) + ext));
    }
    let old_tr = x.cpu.tr;
    let old = Layout::of((old_tr.attr & 15) as u8);
    if old_tr.attr & attr::UNUSABLE != 0 || old_tr.limit < old.min {
        return Err(Fault::ts(code_of(old_tr.selector) + ext));
    }
    // Everything that may page-fault comes before the first change.
    let base = d.base();
    x.probe_system(old_tr.base, old.min as usize + 1, Access::Write)?;
    let image = read_image(x, base, new)?;
    let nested = matches!(reason, Reason::Call | Reason::Interrupt);
    if nested {
        x.probe_system(base, 2, Access::Write)?;
    }
    if reason != Reason::Iret {
        x.probe_system(d.at, 8, Access::Write)?;
    }
    if !nested {
        clear_old_busy(x)?;
    }
    let saved = if reason == Reason::Iret { flags & !flag::NT } else { flags };
    save(x, old_tr.base, old, next_rip, saved)?;
    if nested {
        x.store_system(base, old_tr.selector)?;
    }
    if reason != Reason::Iret {
        x.set_busy(d, true)?;
    }
    commit(x, selector, d, &image, nested)?;
    load_segments(x, &image, ext)?;
    if image.trap {
        x.cpu.pending_debug |= 1 << 15;
    }
    Ok(())
}

fn clear_old_busy(x: &mut Exec) -> Result<(), Fault> {
    let selector = x.cpu.tr.selector;
    if let Some(d) = x.try_descriptor(selector)? {
        x.set_busy(&d, false)?;
    }
    Ok(())
}

/// Loads everything that needs no further check; from here on faults belong to the new task.
fn commit(x: &mut Exec, selector: u16, d: &Descriptor, i: &Image, nested: bool) -> Result<(), Fault> {
    let mut tr = d.segment(selector);
    tr.attr |= 2;
    x.cpu.tr = tr;
    x.cpu.cr0 |= cr0::TS;
    x.cpu.dr7 &= !0x155;
    x.cpu.rip = i.ip;
    let known = x.cpu.writable_flags();
    let nt = if nested { flag::NT } else { 0 };
    x.cpu.rflags = i.flags & known | flag::ONE | nt;
    x.cpu.gpr[..8].copy_from_slice(&i.registers);
    for n in 0..6 {
        x.cpu.seg[n] = null_segment(i.selectors[n], 0);
    }
    x.cpu.ldtr = null_segment(i.ldt, 0);
    x.cpu.cpl = if x.cpu.is_v86() { 3 } else { (i.selectors[Seg::Cs as usize] & 3) as u8 };
    if x.cpu.is_v86() {
        for n in 0..6 {
            x.cpu.seg[n] = v86_segment(i.selectors[n]);
        }
    }
    x.space_changed();
    if let Some(cr3) = i.cr3
        && x.cpu.cr0 & cr0::PG != 0
    {
        if x.cpu.cr4 & cr4::PAE != 0 {
            x.cpu.pdpte = super::control::read_pdptes(x, cr3)?;
        }
        x.cpu.cr3 = cr3;
        x.space_changed();
    }
    Ok(())
}

fn load_segments(x: &mut Exec, i: &Image, ext: u32) -> Result<(), Fault> {
    load_ldt(x, i.ldt, ext)?;
    if x.cpu.is_v86() {
        return Ok(());
    }
    let cs = i.selectors[Seg::Cs as usize];
    let rpl = (cs & 3) as u8;
    let code = code_of(cs) + ext;
    if is_null(cs) {
        return Err(Fault::ts(ext));
    }
    let Some(d) = x.try_descriptor(cs)? else { return Err(Fault::ts(code)) };
    if !d.is_code() || d.is_conforming() && d.dpl() > rpl || !d.is_conforming() && d.dpl() != rpl {
        return Err(Fault::ts(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    x.set_accessed(&d)?;
    // The stack comes first so that a #SS in the new task finds CS as loaded.
    x.cpu.seg[Seg::Cs as usize] = d.segment(cs);
    load_stack(x, i.selectors[Seg::Ss as usize], rpl, ext)?;
    for seg in [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs] {
        load_data(x, seg, i.selectors[seg as usize], rpl, ext)?;
    }
    if i.ip > u64::from(d.limit()) {
        return Err(Fault::gp(ext));
    }
    Ok(())
}

fn load_ldt(x: &mut Exec, ldt: u16, ext: u32) -> Result<(), Fault> {
    if is_null(ldt) {
        return Ok(());
    }
    let code = code_of(ldt) + ext;
    if ldt & 4 != 0 {
        return Err(Fault::ts(code));
    }
    let Some(d) = x.try_descriptor(ldt)? else { return Err(Fault::ts(code)) };
    if !d.is_system() || d.kind() != system::LDT || !d.present() {
        return Err(Fault::ts(code));
    }
    x.cpu.ldtr = d.segment(ldt);
    Ok(())
}

fn load_stack(x: &mut Exec, ss: u16, cpl: u8, ext: u32) -> Result<(), Fault> {
    if is_null(ss) {
        return Err(Fault::ts(ext));
    }
    let code = code_of(ss) + ext;
    let Some(d) = x.try_descriptor(ss)? else { return Err(Fault::ts(code)) };
    if !d.is_writable_data() || (ss & 3) as u8 != cpl || d.dpl() != cpl {
        return Err(Fault::ts(code));
    }
    if !d.present() {
        return Err(Fault::ss(code));
    }
    x.set_accessed(&d)?;
    x.cpu.seg[Seg::Ss as usize] = d.segment(ss);
    Ok(())
}

fn load_data(x: &mut Exec, seg: Seg, selector: u16, cpl: u8, ext: u32) -> Result<(), Fault> {
    if is_null(selector) {
        return Ok(());
    }
    let code = code_of(selector) + ext;
    let Some(d) = x.try_descriptor(selector)? else { return Err(Fault::ts(code)) };
    let rpl = (selector & 3) as u8;
    if !d.is_readable() || !d.is_conforming() && (rpl > d.dpl() || cpl > d.dpl()) {
        return Err(Fault::ts(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    x.set_accessed(&d)?;
    x.cpu.seg[seg as usize] = d.segment(selector);
    Ok(())
}

/// JMP or CALL to a TSS or through a task gate, from far-transfer code that has checked privilege.
pub(crate) fn switch_by_transfer(
    x: &mut Exec,
    selector: u16,
    reason: Reason,
    next_rip: u64,
) -> Result<(), Fault> {
    let code = code_of(selector);
    if selector & 4 != 0 || is_null(selector) {
        return Err(Fault::gp(code));
    }
    let d = x.descriptor(selector, vector::GP)?;
    if !d.is_system() || !matches!(d.kind(), system::TSS16 | system::TSS32) {
        return Err(Fault::gp(code));
    }
    if !d.present() {
        return Err(Fault::np(code));
    }
    let flags = x.cpu.rflags;
    task_switch(x, selector, &d, reason, next_rip, flags, 0)
}

/// The RSP register's index, for readers of a TSS image (`registers[RSP]`).
const _: () = assert!(gpr::RSP == 4);

impl Cpu {
    /// Bits of RFLAGS that exist in this model. A 286 in real mode holds zeros in IOPL and NT.
    pub fn writable_flags(&self) -> u64 {
        let real = if crate::mmu::is_286_real(self) { flag::IOPL | flag::NT } else { 0 };
        super::flags::existing(&self.model) & !real
    }
}
