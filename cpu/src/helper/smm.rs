//! System-management mode: entry on SMI, and RSM. Follows Intel SDM volume 3, chapter 32 (table 32-1, the 32-bit save
//! area, for models without long mode) and AMD APM volume 2, section 10.2 (table 10-1, for those with it).
//! Not here: where SMRAM is seen; the board maps it ([`crate::Board::smm_changed`]).

use crate::Exec;
use crate::fault::Fault;
use crate::memory::Memory;
use crate::mmu::is_canonical;
use crate::model::Feature;
use crate::state::{Activity, Seg, Segment, Shadow, TableReg, attr, cr0, cr4, efer, flag};

/// Revision: SMBASE relocation and I/O restart, in the two layouts.
const REVISION32: u64 = 0x2_0000;
const REVISION64: u64 = 0x2_0064;

/// Offsets in the save area are from SMBASE + 8000h, as the manuals' FExx and FFxx minus 8000h.
const AREA: u64 = 0x8000;

/// The save area of one processor while it is written or read.
struct Area<'a> {
    mem: &'a mut Memory,
    base: u64,
}

impl Area<'_> {
    fn put(&mut self, at: u64, v: u64, n: usize) {
        let at = self.base + AREA + (at & 0x7fff);
        self.mem.write_physical(at, &v.to_le_bytes()[..n]);
    }
    fn get(&self, at: u64, n: usize) -> u64 {
        let mut b = [0; 8];
        self.mem.read_physical(self.base + AREA + (at & 0x7fff), &mut b[..n]);
        u64::from_le_bytes(b)
    }
}

/// Attribute bits as the save areas hold them: bits 8-15 of the descriptor's second word, then AVL, L, D/B, G.
fn pack(s: &Segment) -> u64 {
    let unusable = u64::from(s.attr & attr::UNUSABLE != 0) << 12;
    u64::from(s.attr & 0xff) | u64::from(s.attr >> 12) << 8 | unusable
}

fn unpack(v: u64) -> u16 {
    let unusable = if v >> 12 & 1 != 0 { attr::UNUSABLE } else { 0 };
    (v & 0xff) as u16 | (v as u16 >> 8 & 15) << 12 | unusable
}

/// Enters SMM; the caller has seen `smi_pending` between instructions.
pub fn enter_smm(x: &mut Exec) {
    let halted = x.cpu.activity == Activity::Halted;
    x.cpu.smi_pending = false;
    x.cpu.smm = true;
    x.cpu.activity = Activity::Running;
    x.cpu.shadow = Shadow::None;
    let at = x.moment();
    x.board.smm_changed(x.mem, at, true);
    let wide = x.cpu.model.has(Feature::LongMode);
    let mut area = Area { mem: x.mem, base: u64::from(x.cpu.smbase) };
    if wide {
        save64(x.cpu, &mut area, halted)
    } else {
        save32(x.cpu, &mut area, halted)
    }
    let cpu = &mut *x.cpu;
    cpu.nmi_blocked = true;
    cpu.rflags = flag::ONE;
    cpu.rip = 0x8000;
    cpu.cr0 &= !(cr0::PE | cr0::EM | cr0::TS | cr0::PG);
    cpu.cr4 = 0;
    cpu.msr.efer = 0;
    cpu.dr7 = 0x400;
    cpu.cpl = 0;
    let flat = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::G;
    for s in &mut cpu.seg {
        *s = Segment { base: 0, limit: 0xffff_ffff, attr: flat, selector: 0 };
    }
    let cs = &mut cpu.seg[Seg::Cs as usize];
    cs.base = u64::from(cpu.smbase);
    cs.selector = (cpu.smbase >> 4) as u16;
    x.space_changed();
    x.after_board();
    x.count = x.count.wrapping_add(1);
}

/// Byte offsets of the segment registers in the 64-bit area.
const SEGMENTS64: [(u64, usize); 6] =
    [(0xfe00, 0), (0xfe10, 1), (0xfe20, 2), (0xfe30, 3), (0xfe40, 4), (0xfe50, 5)];

fn save64(cpu: &crate::Cpu, a: &mut Area, halted: bool) {
    let segment = |a: &mut Area, at: u64, s: &Segment| {
        a.put(at, u64::from(s.selector), 2);
        a.put(at + 2, pack(s), 2);
        a.put(at + 4, u64::from(s.limit), 4);
        a.put(at + 8, s.base, 8);
    };
    for (at, i) in SEGMENTS64 {
        segment(a, at, &cpu.seg[i]);
    }
    segment(a, 0xfe70, &cpu.ldtr);
    segment(a, 0xfe90, &cpu.tr);
    for (at, t) in [(0xfe60, cpu.gdtr), (0xfe80, cpu.idtr)] {
        a.put(at + 4, u64::from(t.limit), 4);
        a.put(at + 8, t.base, 8);
    }
    a.put(0xfec8, 0, 1);
    a.put(0xfec9, u64::from(halted), 1);
    a.put(0xfed0, cpu.msr.efer, 8);
    a.put(0xfef0, u64::from(cpu.nmi_blocked) | u64::from(cpu.cpl) << 1, 1);
    a.put(0xfefc, REVISION64, 4);
    a.put(0xff00, u64::from(cpu.smbase), 4);
    for (at, v) in [
        (0xff48, cpu.cr4),
        (0xff50, cpu.cr3),
        (0xff58, cpu.cr0),
        (0xff60, cpu.dr7),
        (0xff68, cpu.dr6),
        (0xff70, cpu.rflags),
        (0xff78, cpu.rip),
    ] {
        a.put(at, v, 8);
    }
    for (i, r) in SAVED_ORDER.iter().enumerate() {
        a.put(0xffc0 + 8 * i as u64, cpu.gpr[*r], 8);
    }
    for i in 8..16 {
        a.put(0xff80 + 8 * (15 - i as u64), cpu.gpr[i], 8);
    }
}

/// RDI, RSI, RBP, RSP, RBX, RDX, RCX, RAX: upwards in the save area.
const SAVED_ORDER: [usize; 8] = [7, 6, 5, 4, 3, 2, 1, 0];

fn load64(cpu: &mut crate::Cpu, a: &Area) {
    let segment = |a: &Area, at: u64| Segment {
        selector: a.get(at, 2) as u16,
        attr: unpack(a.get(at + 2, 2)),
        limit: a.get(at + 4, 4) as u32,
        base: a.get(at + 8, 8),
    };
    for (at, i) in SEGMENTS64 {
        cpu.seg[i] = segment(a, at);
    }
    cpu.ldtr = segment(a, 0xfe70);
    cpu.tr = segment(a, 0xfe90);
    let table = |a: &Area, at: u64| TableReg { base: a.get(at + 8, 8), limit: a.get(at + 4, 2) as u16 };
    cpu.gdtr = table(a, 0xfe60);
    cpu.idtr = table(a, 0xfe80);
    cpu.msr.efer = a.get(0xfed0, 8);
    cpu.cr4 = a.get(0xff48, 8);
    cpu.cr3 = a.get(0xff50, 8);
    cpu.cr0 = a.get(0xff58, 8);
    cpu.dr7 = a.get(0xff60, 8);
    cpu.dr6 = a.get(0xff68, 8);
    cpu.rflags = a.get(0xff70, 8);
    cpu.rip = a.get(0xff78, 8);
    for (i, r) in SAVED_ORDER.iter().enumerate() {
        cpu.gpr[*r] = a.get(0xffc0 + 8 * i as u64, 8);
    }
    for i in 8..16 {
        cpu.gpr[i] = a.get(0xff80 + 8 * (15 - i as u64), 8);
    }
    cpu.smbase = a.get(0xff00, 4) as u32;
    if a.get(0xfec9, 1) & 1 != 0 {
        cpu.activity = Activity::Halted;
    }
}

/// Hidden parts of the segment registers in the 32-bit area: ours, the manual leaves these bytes reserved.
const HIDDEN32: [(u64, usize); 6] =
    [(0xff84, 0), (0xff90, 1), (0xff2c, 2), (0xff38, 3), (0xff44, 4), (0xff50, 5)];

fn save32(cpu: &crate::Cpu, a: &mut Area, halted: bool) {
    for (at, v) in [
        (0xfffc, cpu.cr0),
        (0xfff8, cpu.cr3),
        (0xfff4, cpu.rflags),
        (0xfff0, cpu.rip),
        (0xffcc, cpu.dr6),
        (0xffc8, cpu.dr7),
        (0xffc4, u64::from(cpu.tr.selector)),
        (0xffc0, u64::from(cpu.ldtr.selector)),
        (0xff14, cpu.cr4),
        (0xfefc, REVISION32),
        (0xfef8, u64::from(cpu.smbase)),
    ] {
        a.put(at, v, 4);
    }
    for (i, r) in SAVED_ORDER.iter().enumerate() {
        a.put(0xffec - 4 * i as u64, cpu.gpr[*r], 4);
    }
    for i in 0..6 {
        a.put(0xffa8 + 4 * i as u64, u64::from(cpu.seg[i].selector), 4);
    }
    a.put(0xff02, u64::from(halted), 2);
    a.put(0xff00, 0, 2);
    a.put(0xfef0, u64::from(cpu.nmi_blocked) | u64::from(cpu.cpl) << 1, 1);
    let hidden = |a: &mut Area, at: u64, s: &Segment| {
        a.put(at, pack(s), 4);
        a.put(at + 4, u64::from(s.limit), 4);
        a.put(at + 8, s.base, 4);
    };
    for (at, i) in HIDDEN32 {
        hidden(a, at, &cpu.seg[i]);
    }
    hidden(a, 0xff5c, &cpu.tr);
    hidden(a, 0xff78, &cpu.ldtr);
    for (at, t) in [(0xff20, cpu.gdtr), (0xff18, cpu.idtr)] {
        a.put(at, u64::from(t.limit), 4);
        a.put(at + 4, t.base, 4);
    }
}

fn load32(cpu: &mut crate::Cpu, a: &Area) {
    cpu.cr0 = a.get(0xfffc, 4);
    cpu.cr3 = a.get(0xfff8, 4);
    cpu.rflags = a.get(0xfff4, 4);
    cpu.rip = a.get(0xfff0, 4);
    cpu.dr6 = a.get(0xffcc, 4);
    cpu.dr7 = a.get(0xffc8, 4);
    cpu.cr4 = a.get(0xff14, 4);
    for (i, r) in SAVED_ORDER.iter().enumerate() {
        cpu.gpr[*r] = a.get(0xffec - 4 * i as u64, 4);
    }
    let hidden = |a: &Area, at: u64, selector: u64| Segment {
        attr: unpack(a.get(at, 4)),
        limit: a.get(at + 4, 4) as u32,
        base: a.get(at + 8, 4),
        selector: selector as u16,
    };
    for (at, i) in HIDDEN32 {
        let selector = a.get(0xffa8 + 4 * i as u64, 4);
        cpu.seg[i] = hidden(a, at, selector);
    }
    cpu.tr = hidden(a, 0xff5c, a.get(0xffc4, 4));
    cpu.ldtr = hidden(a, 0xff78, a.get(0xffc0, 4));
    let table = |a: &Area, at: u64| TableReg { limit: a.get(at, 2) as u16, base: a.get(at + 4, 4) };
    cpu.gdtr = table(a, 0xff20);
    cpu.idtr = table(a, 0xff18);
    cpu.smbase = a.get(0xfef8, 4) as u32;
    if a.get(0xff02, 2) & 1 != 0 {
        cpu.activity = Activity::Halted;
    }
}

/// RSM. A save area that describes no valid state shuts the processor down.
pub fn rsm(x: &mut Exec) -> Result<(), Fault> {
    if !x.cpu.smm {
        return Err(Fault::ud());
    }
    let wide = x.cpu.model.has(Feature::LongMode);
    let area = Area { mem: x.mem, base: u64::from(x.cpu.smbase) };
    let hidden = area.get(0xfef0, 1);
    if wide {
        load64(x.cpu, &area)
    } else {
        load32(x.cpu, &area)
    }
    x.cpu.nmi_blocked = hidden & 1 != 0;
    x.cpu.cpl = if x.cpu.is_v86() { 3 } else { (hidden >> 1) as u8 & 3 };
    x.cpu.smm = false;
    let at = x.moment();
    x.board.smm_changed(x.mem, at, false);
    if !valid(x.cpu) {
        x.cpu.activity = Activity::Shutdown;
    }
    x.cpu.rflags = x.cpu.rflags & x.cpu.writable_flags() | flag::ONE;
    if x.cpu.cr0 & cr0::PG != 0 && x.cpu.cr4 & cr4::PAE != 0 && x.cpu.msr.efer & efer::LMA == 0 {
        let cr3 = x.cpu.cr3;
        match super::control::read_pdptes(x, cr3) {
            Ok(p) => x.cpu.pdpte = p,
            Err(_) => x.cpu.activity = Activity::Shutdown,
        }
    }
    x.space_changed();
    x.after_board();
    Ok(())
}

/// The consistency rules of RSM (SDM volume 3, section 32.4.2).
fn valid(cpu: &crate::Cpu) -> bool {
    let paging_ok = cpu.cr0 & cr0::PG == 0 || cpu.cr0 & cr0::PE != 0;
    let cache_ok = cpu.cr0 & cr0::NW == 0 || cpu.cr0 & cr0::CD != 0;
    let cr4_ok = cpu.cr4 & !super::control::known_cr4(&cpu.model) == 0;
    let lma = cpu.msr.efer & efer::LMA != 0;
    let long_ok = !lma || cpu.cr0 & cr0::PG != 0 && cpu.cr4 & cr4::PAE != 0 && cpu.msr.efer & efer::LME != 0;
    let rip_ok = !lma || is_canonical(cpu.rip, false);
    paging_ok && cache_ok && cr4_ok && long_ok && rip_ok
}
