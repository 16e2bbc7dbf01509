//! Gates, far transfers, task switches and returns, by hand-made descriptor tables.
//! Expectations from Intel SDM volume 3, chapters 5 to 7 and 20, and volume 2 (CALL, INT n, IRET, MOV, POPF).

mod rig;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::fault::vector;
use lucid86_cpu::helper::{self, SoftKind};
use lucid86_cpu::mmu::Access;
use lucid86_cpu::state::{Seg, Shadow, TableReg, attr, cr0, cr4, flag, gpr};
use lucid86_cpu::{Cpu, Fault};
use rig::Rig;

const GDT: u64 = 0x1000;
const LDT: u64 = 0x1800;
const IDT: u64 = 0x2000;
const TSS: u64 = 0x3000;
const TSS_B: u64 = 0x3200;
const TSS_16: u64 = 0x3400;
const STACK0: u32 = 0x5000;

const CODE0: u16 = 0x08;
const DATA0: u16 = 0x10;
const CODE3: u16 = 0x18 | 3;
const DATA3: u16 = 0x20 | 3;
const CONFORMING: u16 = 0x28;
const TSS_SEL: u16 = 0x30;
const TSS_B_SEL: u16 = 0x38;
const TSS16_SEL: u16 = 0x40;
const GATE: u16 = 0x48;
const TASK_GATE: u16 = 0x50;
const LDT_SEL: u16 = 0x58;
const ABSENT: u16 = 0x60;
const CODE16: u16 = 0x68;
const CODE1: u16 = 0x70;

fn descriptor(base: u32, limit: u32, access: u8, flags: u8) -> u64 {
    let (b, l) = (u64::from(base), u64::from(limit));
    l & 0xffff
        | (b & 0xff_ffff) << 16
        | u64::from(access) << 40
        | (l >> 16 & 15) << 48
        | u64::from(flags) << 52
        | (b >> 24) << 56
}

fn gate(selector: u16, offset: u32, access: u8, count: u8) -> u64 {
    u64::from(offset & 0xffff)
        | u64::from(selector) << 16
        | u64::from(count) << 32
        | u64::from(access) << 40
        | u64::from(offset >> 16) << 48
}

/// Protected mode at `cpl` with the tables above, TR loaded, ring-0 stack in the TSS.
fn protected(model: &str, cpl: u8) -> Rig {
    let mut r = Rig::new(model, 64);
    let entries = [
        0,
        descriptor(0, 0xfffff, 0x9b, 0xc),
        descriptor(0, 0xfffff, 0x93, 0xc),
        descriptor(0, 0xfffff, 0xfb, 0xc),
        descriptor(0, 0xfffff, 0xf3, 0xc),
        descriptor(0, 0xfffff, 0x9f, 0xc),
        descriptor(TSS as u32, 0x67, 0x8b, 0),
        descriptor(TSS_B as u32, 0x67, 0xe9, 0),
        descriptor(TSS_16 as u32, 0x2b, 0xe1, 0),
        gate(CODE0, 0x0012_3456, 0xec, 2),
        gate(TSS_B_SEL, 0, 0xe5, 0),
        descriptor(LDT as u32, 0xff, 0x82, 0),
        descriptor(0, 0xfffff, 0x13, 0xc),
        descriptor(0, 0xffff, 0x9b, 0),
        descriptor(0, 0xfffff, 0xbb, 0xc),
    ];
    for (i, e) in entries.iter().enumerate() {
        r.put64(GDT + 8 * i as u64, *e);
    }
    r.protected(cpl);
    r.cpu.gdtr = TableReg { base: GDT, limit: 0x7f };
    r.cpu.idtr = TableReg { base: IDT, limit: 0x7ff };
    r.cpu.ldtr.attr = attr::UNUSABLE;
    r.cpu.tr.base = TSS;
    r.cpu.tr.limit = 0x67;
    r.cpu.tr.selector = TSS_SEL;
    r.cpu.tr.attr = attr::P | 11;
    if cpl == 3 {
        r.cpu.seg[Seg::Cs as usize].selector = CODE3;
        for s in [Seg::Ss, Seg::Ds, Seg::Es, Seg::Fs, Seg::Gs] {
            r.cpu.seg[s as usize].selector = DATA3;
        }
    }
    r.put32(TSS + 4, STACK0);
    r.put16(TSS + 8, DATA0);
    r.put16(TSS + 102, 0x68);
    r.cpu.rip = 0x7777;
    r.cpu.gpr[gpr::RSP] = 0x6000;
    r.cpu.rflags = flag::ONE | flag::IF | flag::CF;
    r
}

fn set_gate(r: &mut Rig, v: u8, g: u64) {
    r.put64(IDT + 8 * u64::from(v), g);
}

fn cs(c: &Cpu) -> u16 {
    c.seg[Seg::Cs as usize].selector
}
fn ss(c: &Cpu) -> u16 {
    c.seg[Seg::Ss as usize].selector
}

#[test]
fn exception_to_inner_level_and_iret_back() {
    let mut r = protected("pentium3", 3);
    set_gate(&mut r, vector::GP, gate(CODE0, 0x4000, 0x8e, 0));
    let before = r.cpu.clone();
    let mut x = r.exec();
    helper::deliver_fault(&mut x, Fault::gp(0x1238)).unwrap();
    assert_eq!(x.count, 1);
    assert_eq!((cs(&r.cpu), r.cpu.rip, r.cpu.cpl), (CODE0, 0x4000, 0));
    assert_eq!((ss(&r.cpu), r.cpu.gpr[gpr::RSP]), (DATA0, u64::from(STACK0) - 24));
    let frame: Vec<u32> = (0..6).map(|i| r.get32(u64::from(STACK0) - 24 + 4 * i)).collect();
    // A fault pushes RF set (SDM 17.3.1.1).
    let flags = (before.rflags | flag::RF) as u32;
    assert_eq!(frame, [0x1238, 0x7777, u32::from(CODE3), flags, 0x6000, u32::from(DATA3)]);
    assert_eq!(r.cpu.rflags & (flag::IF | flag::RF), 0);
    r.cpu.gpr[gpr::RSP] += 4;
    helper::iret(&mut r.exec(), 4, 0).unwrap();
    assert_eq!(r.cpu.rflags, before.rflags | flag::RF);
    r.cpu.rflags &= !flag::RF;
    assert_eq!(r.cpu, before);
}

#[test]
fn trap_gate_keeps_if_and_same_level_pushes_three() {
    let mut r = protected("pentium3", 0);
    r.cpu.seg[Seg::Ss as usize].selector = DATA0;
    set_gate(&mut r, 0x80, gate(CODE0, 0x4000, 0xef, 0));
    helper::soft_int(&mut r.exec(), 0x80, SoftKind::Int, 0x7779).unwrap();
    assert_ne!(r.cpu.rflags & flag::IF, 0);
    assert_eq!(r.cpu.gpr[gpr::RSP], 0x6000 - 12);
    assert_eq!(r.get32(0x6000 - 12), 0x7779);
    assert_eq!(r.get32(0x6000 - 4), (flag::ONE | flag::IF | flag::CF) as u32);
    // 16-bit gate: 16-bit frame.
    set_gate(&mut r, 0x81, gate(CODE16, 0x4444, 0x86, 0));
    r.cpu.gpr[gpr::RSP] = 0x6000;
    helper::soft_int(&mut r.exec(), 0x81, SoftKind::Int, 0x7779).unwrap();
    assert_eq!((r.cpu.gpr[gpr::RSP], r.get16(0x6000 - 6), r.cpu.rip), (0x6000 - 6, 0x7779, 0x4444));
}

#[test]
fn idt_faults() {
    // DPL of the gate counts for INT n only; error codes name the IDT entry, with EXT for events.
    let mut r = protected("pentium3", 3);
    set_gate(&mut r, 0x30, gate(CODE0, 0x4000, 0x8e, 0));
    let soft = |r: &mut Rig, v| helper::soft_int(&mut r.exec(), v, SoftKind::Int, 0);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(0x30 * 8 + 2)));
    set_gate(&mut r, 0x30, gate(CODE0, 0x4000, 0x6e, 0));
    assert_eq!(soft(&mut r, 0x30), Err(Fault::np(0x30 * 8 + 2)));
    set_gate(&mut r, 0x30, gate(CODE0, 0x4000, 0xec, 0));
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(0x30 * 8 + 2)));
    set_gate(&mut r, 0x30, gate(0, 0x4000, 0xee, 0));
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(0)));
    set_gate(&mut r, 0x30, gate(DATA0, 0x4000, 0xee, 0));
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(u32::from(DATA0))));
    set_gate(&mut r, 0x30, gate(0x1000, 0x4000, 0xee, 0));
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(0x1000)));
    r.cpu.idtr.limit = 0x30 * 8 + 6;
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(0x30 * 8 + 2)));
    // Inner stack: null SS, wrong RPL, absent, beyond the TSS.
    r.cpu.idtr.limit = 0x7ff;
    set_gate(&mut r, 0x30, gate(CODE0, 0x4000, 0xee, 0));
    r.put16(TSS + 8, 0);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::ts(0)));
    r.put16(TSS + 8, DATA0 | 1);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::ts(u32::from(DATA0))));
    r.put16(TSS + 8, ABSENT);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::ss(u32::from(ABSENT))));
    r.put16(TSS + 8, DATA0);
    r.cpu.tr.limit = 8;
    assert_eq!(soft(&mut r, 0x30), Err(Fault::ts(u32::from(TSS_SEL))));
    assert_eq!((cs(&r.cpu), r.cpu.gpr[gpr::RSP]), (CODE3, 0x6000));
}

#[test]
fn double_and_triple_faults() {
    // #GP while delivering #NP is contributory on contributory: #DF with code 0.
    let mut r = protected("pentium3", 0);
    set_gate(&mut r, vector::DF, gate(CODE0, 0x4000, 0x8e, 0));
    helper::deliver_fault(&mut r.exec(), Fault::np(8)).unwrap();
    assert_eq!((r.cpu.rip, r.get32(r.cpu.gpr[gpr::RSP])), (0x4000, 0));
    // A benign first exception: the second is delivered itself (#UD with an empty gate becomes #GP).
    let mut r = protected("pentium3", 0);
    set_gate(&mut r, vector::GP, gate(CODE0, 0x4100, 0x8e, 0));
    helper::deliver_fault(&mut r.exec(), Fault::ud()).unwrap();
    assert_eq!((r.cpu.rip, r.get32(r.cpu.gpr[gpr::RSP])), (0x4100, 6 * 8 + 2 + 1));
    // Nothing can be delivered: shutdown.
    let mut r = protected("pentium3", 0);
    r.cpu.idtr.limit = 0;
    assert_eq!(helper::deliver_fault(&mut r.exec(), Fault::ud()), Err(Stop::TripleFault));
}

#[test]
fn call_gate_copies_parameters_and_ret_releases_them() {
    let mut r = protected("pentium3", 3);
    r.put32(0x6000, 0x1111_1111);
    r.put32(0x6004, 0x2222_2222);
    let before = r.cpu.clone();
    helper::far_call(&mut r.exec(), GATE | 3, 0, 4, 0x777e).unwrap();
    assert_eq!((cs(&r.cpu), r.cpu.rip, r.cpu.cpl), (CODE0, 0x12_3456, 0));
    let sp = u64::from(STACK0) - 24;
    assert_eq!(r.cpu.gpr[gpr::RSP], sp);
    let frame: Vec<u32> = (0..6).map(|i| r.get32(sp + 4 * i)).collect();
    assert_eq!(frame, [0x777e, u32::from(CODE3), 0x1111_1111, 0x2222_2222, 0x6000, u32::from(DATA3)]);
    // DS with DPL 3 stays usable; one with DPL 0 is taken away on return.
    helper::load_segment(&mut r.exec(), Seg::Fs, DATA0).unwrap();
    helper::far_ret(&mut r.exec(), 4, 8).unwrap();
    assert_eq!((cs(&r.cpu), r.cpu.rip, r.cpu.cpl), (CODE3, 0x777e, 3));
    assert_eq!(r.cpu.gpr[gpr::RSP], 0x6008);
    assert_eq!(r.cpu.seg[Seg::Ds as usize], before.seg[Seg::Ds as usize]);
    let fs = r.cpu.seg[Seg::Fs as usize];
    assert_eq!((fs.selector, fs.attr & attr::UNUSABLE), (0, attr::UNUSABLE));
    // A far JMP through the gate may not change level.
    assert_eq!(helper::far_jump(&mut r.exec(), GATE | 3, 0, 4, 0), Err(Fault::gp(u32::from(CODE0))));
}

#[test]
fn far_transfer_checks() {
    let mut r = protected("pentium3", 3);
    let jump = |r: &mut Rig, s, o| helper::far_jump(&mut r.exec(), s, o, 4, 0);
    assert_eq!(jump(&mut r, 0, 0), Err(Fault::gp(0)));
    assert_eq!(jump(&mut r, 3, 0), Err(Fault::gp(0)));
    assert_eq!(jump(&mut r, CODE0, 0), Err(Fault::gp(u32::from(CODE0))));
    assert_eq!(jump(&mut r, DATA3, 0), Err(Fault::gp(0x20)));
    assert_eq!(jump(&mut r, 0x200, 0), Err(Fault::gp(0x200)));
    assert_eq!(jump(&mut r, 0x204, 0), Err(Fault::gp(0x204)));
    assert_eq!(jump(&mut r, CONFORMING, 0x1234), Ok(()));
    assert_eq!((cs(&r.cpu), r.cpu.cpl), (CONFORMING | 3, 3));
    let mut r = protected("pentium3", 0);
    assert_eq!(jump(&mut r, CODE16, 0x1_0000), Err(Fault::gp(0)), "beyond the limit");
    assert_eq!(jump(&mut r, CODE16, 0xffff), Ok(()));
    assert_eq!(jump(&mut r, CODE1, 0), Err(Fault::gp(u32::from(CODE1))), "inner to outer");
}

#[test]
fn segment_loads() {
    let mut r = protected("pentium3", 3);
    let load = |r: &mut Rig, s, v| helper::load_segment(&mut r.exec(), s, v);
    assert_eq!(load(&mut r, Seg::Ds, 2), Ok(()));
    assert_eq!(r.exec().linear(Seg::Ds, 0, 1, Access::Read), Err(Fault::gp(0)));
    assert_eq!(load(&mut r, Seg::Ss, 0), Err(Fault::gp(0)));
    assert_eq!(load(&mut r, Seg::Ss, DATA0), Err(Fault::gp(u32::from(DATA0))));
    assert_eq!(load(&mut r, Seg::Ds, DATA0), Err(Fault::gp(u32::from(DATA0))));
    assert_eq!(load(&mut r, Seg::Es, TSS_SEL), Err(Fault::gp(u32::from(TSS_SEL))));
    assert_eq!(load(&mut r, Seg::Es, CONFORMING), Ok(()));
    assert_eq!(load(&mut r, Seg::Es, 0x84), Err(Fault::gp(0x84)), "no LDT");
    r.put64(GDT + 0x20, descriptor(0x10_0000, 0xfff, 0xf2, 0x4));
    assert_eq!(load(&mut r, Seg::Gs, DATA3), Ok(()));
    assert_eq!(r.get64(GDT + 0x20) >> 40 & 0xff, 0xf3, "accessed bit");
    assert_eq!(r.cpu.seg[Seg::Gs as usize].base, 0x10_0000);
    assert_eq!(r.exec().linear(Seg::Gs, 0xffd, 4, Access::Read), Err(Fault::gp(0)));
    assert_eq!(r.exec().linear(Seg::Gs, 0xffc, 4, Access::Write), Ok(0x10_0ffc));
    // Expand-down: offsets above the limit.
    r.put64(GDT + 0x20, descriptor(0, 0xfff, 0xf7, 0x4));
    assert_eq!(load(&mut r, Seg::Gs, DATA3), Ok(()));
    assert_eq!(r.exec().linear(Seg::Gs, 0xfff, 1, Access::Read), Err(Fault::gp(0)));
    assert_eq!(r.exec().linear(Seg::Gs, 0x1000, 1, Access::Read), Ok(0x1000));
    assert_eq!(r.exec().linear(Seg::Gs, 0xffff_fffd, 4, Access::Read), Err(Fault::gp(0)));
    // Absent: #NP, for SS #SS.
    let mut r = protected("pentium3", 0);
    assert_eq!(load(&mut r, Seg::Ds, ABSENT), Err(Fault::np(u32::from(ABSENT))));
    assert_eq!(load(&mut r, Seg::Ss, ABSENT), Err(Fault::ss(u32::from(ABSENT))));
}

fn fill_tss32(r: &mut Rig, at: u64) {
    r.put32(at + 4, STACK0 - 0x400);
    r.put16(at + 8, DATA0);
    r.put32(at + 32, 0x9000);
    r.put32(at + 36, 2 | flag::IF as u32);
    for i in 0..8 {
        r.put32(at + 40 + 4 * i, 0xa0a0_0000 + i as u32);
    }
    r.put32(at + 56, 0x5800);
    for (i, s) in [DATA0, CODE0, DATA0, DATA0, DATA3, 0].iter().enumerate() {
        r.put32(at + 72 + 4 * i as u64, u32::from(*s));
    }
    r.put32(at + 96, u32::from(LDT_SEL));
}

#[test]
fn task_switch_by_jump_call_and_iret() {
    for by_gate in [false, true] {
        let mut r = protected("pentium3", 0);
        r.cpu.seg[Seg::Cs as usize].selector = CODE0;
        fill_tss32(&mut r, TSS_B);
        let selector = if by_gate { TASK_GATE } else { TSS_B_SEL };
        let before = r.cpu.clone();
        helper::far_call(&mut r.exec(), selector, 0, 4, 0x777e).unwrap();
        assert_eq!((cs(&r.cpu), r.cpu.rip, r.cpu.cpl), (CODE0, 0x9000, 0));
        assert_eq!((r.cpu.gpr[gpr::RSP], r.cpu.gpr[gpr::RDI]), (0x5800, 0xa0a0_0007));
        assert_eq!(r.cpu.tr.selector, TSS_B_SEL);
        assert_eq!(r.cpu.ldtr.selector, LDT_SEL);
        assert_ne!(r.cpu.rflags & flag::NT, 0);
        assert_ne!(r.cpu.cr0 & 8, 0, "TS");
        assert_eq!(r.get16(TSS_B), TSS_SEL, "link");
        let kind = |r: &Rig, s: u16| r.get64(GDT + u64::from(s)) >> 40 & 15;
        assert_eq!((kind(&r, TSS_SEL), kind(&r, TSS_B_SEL)), (11, 11), "both busy");
        assert_eq!((r.get32(TSS + 32), r.get32(TSS + 36)), (0x777e, before.rflags as u32));
        assert_eq!(r.get16(TSS + 76), CODE0);
        // A busy TSS can't be entered again.
        assert_eq!(helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0), Err(Fault::gp(u32::from(TSS_B_SEL))));
        // IRET with NT goes back; the old TSS's image has NT clear.
        for (n, s) in [DATA0, CODE0, DATA0, DATA0, DATA0, DATA0].iter().enumerate() {
            r.put32(TSS + 72 + 4 * n as u64, u32::from(*s));
        }
        helper::iret(&mut r.exec(), 4, 0x9001).unwrap();
        assert_eq!((r.cpu.rip, r.cpu.tr.selector), (0x777e, TSS_SEL));
        assert_eq!((kind(&r, TSS_SEL), kind(&r, TSS_B_SEL)), (11, 9));
        assert_eq!(r.get32(TSS_B + 36) & flag::NT as u32, 0);
        assert_eq!(r.get32(TSS_B + 32), 0x9001);
        assert_eq!(r.cpu.rflags & flag::NT, 0);
        // JMP: the old task is not busy any more, no link, NT clear.
        helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0x7790).unwrap();
        assert_eq!((kind(&r, TSS_SEL), kind(&r, TSS_B_SEL)), (9, 11));
        assert_eq!(r.cpu.rflags & flag::NT, 0);
    }
}

#[test]
fn task_switch_faults() {
    // Before the commit point: nothing changes.
    let mut r = protected("pentium3", 0);
    r.put64(GDT + u64::from(TSS_B_SEL), descriptor(TSS_B as u32, 0x66, 0xe9, 0));
    let before = r.cpu.clone();
    let ts = |s: u16| Err(Fault::ts(u32::from(s & !3)));
    assert_eq!(helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0), ts(TSS_B_SEL));
    assert_eq!(r.cpu, before);
    r.put64(GDT + u64::from(TSS_B_SEL), descriptor(TSS_B as u32, 0x67, 0x69, 0));
    assert_eq!(helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0), Err(Fault::np(u32::from(TSS_B_SEL))));
    assert_eq!(r.cpu, before);
    // After it: the fault is the new task's, with its registers loaded.
    let cases: [(u64, u16, Fault); 6] = [
        (96, DATA0, Fault::ts(u32::from(DATA0))),
        (76, 0, Fault::ts(0)),
        (76, DATA0, Fault::ts(u32::from(DATA0))),
        (80, 0, Fault::ts(0)),
        (80, ABSENT, Fault::ss(u32::from(ABSENT))),
        (84, ABSENT, Fault::np(u32::from(ABSENT))),
    ];
    for (at, selector, want) in cases {
        let mut r = protected("pentium3", 0);
        fill_tss32(&mut r, TSS_B);
        r.put16(TSS_B + at, selector);
        assert_eq!(helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0), Err(want), "field {at}");
        assert_eq!((r.cpu.rip, r.cpu.tr.selector), (0x9000, TSS_B_SEL));
    }
}

#[test]
fn task_switch_to_16_bit_tss_and_interrupt_task_gate() {
    let mut r = protected("pentium3", 0);
    let words = [
        0, 0x4f00, DATA0, 0, 0, 0, 0, 0x1234, 2, 1, 2, 3, 4, 0x5700, 5, 6, 7, DATA0, CODE16, DATA0, DATA0, 0,
    ];
    for (i, w) in words.iter().enumerate() {
        r.put16(TSS_16 + 2 * i as u64, *w);
    }
    helper::far_jump(&mut r.exec(), TSS16_SEL, 0, 4, 0x7780).unwrap();
    assert_eq!((cs(&r.cpu), r.cpu.rip), (CODE16, 0x1234));
    assert_eq!(r.cpu.gpr[gpr::RSP] & 0xffff, 0x5700);
    // A #GP through a task gate pushes its error code on the new task's stack.
    let mut r = protected("pentium3", 0);
    fill_tss32(&mut r, TSS_B);
    set_gate(&mut r, vector::GP, gate(TSS_B_SEL, 0, 0x85, 0));
    helper::deliver_fault(&mut r.exec(), Fault::gp(0x55)).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.gpr[gpr::RSP], r.get32(0x57fc)), (0x9000, 0x57fc, 0x55));
    assert_eq!(r.get32(TSS + 32), 0x7777);
    assert_ne!(r.cpu.rflags & flag::NT, 0);
    // The T flag of a TSS: #DB with BT after the switch.
    let mut r = protected("pentium3", 0);
    fill_tss32(&mut r, TSS_B);
    r.put16(TSS_B + 100, 1);
    helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0).unwrap();
    assert_eq!(r.cpu.pending_debug, 1 << 15);
}

#[test]
fn v86_entry_and_exit() {
    let mut r = protected("pentium3", 0);
    r.cpu.gpr[gpr::RSP] = 0x5000 - 36;
    let image = flag::VM | flag::IF | flag::ONE | 3 << 12;
    let frame = [0x100, 0x2000, image as u32, 0xfffe, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000];
    for (i, v) in frame.iter().enumerate() {
        r.put32(0x5000 - 36 + 4 * i as u64, *v);
    }
    helper::iret(&mut r.exec(), 4, 0).unwrap();
    assert!(r.cpu.is_v86());
    assert_eq!((r.cpu.cpl, r.cpu.rip, r.cpu.seg[Seg::Cs as usize].base), (3, 0x100, 0x2_0000));
    assert_eq!(r.cpu.seg[Seg::Gs as usize].base, 0x7_0000);
    assert_eq!((ss(&r.cpu), r.cpu.gpr[gpr::RSP]), (0x3000, 0xfffe));
    set_gate(&mut r, vector::GP, gate(CODE0, 0x4000, 0x8e, 0));
    helper::deliver_fault(&mut r.exec(), Fault::gp(0)).unwrap();
    assert!(!r.cpu.is_v86());
    let sp = u64::from(STACK0) - 40;
    assert_eq!(r.cpu.gpr[gpr::RSP], sp);
    let got: Vec<u32> = (0..10).map(|i| r.get32(sp + 4 * i)).collect();
    let rf = flag::RF as u32;
    let want = [0, 0x100, 0x2000, image as u32 | rf, 0xfffe, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000];
    assert_eq!(got, want);
    assert_eq!(r.cpu.seg[Seg::Ds as usize].selector, 0);
    // A gate to a handler that is not at level 0 is #GP of that selector, EXT set; it comes while delivering #UD.
    r.cpu.gpr[gpr::RSP] += 4;
    helper::iret(&mut r.exec(), 4, 0).unwrap();
    set_gate(&mut r, vector::UD, gate(CODE1, 0x4000, 0x8e, 0));
    helper::deliver_fault(&mut r.exec(), Fault::ud()).unwrap();
    assert_eq!(r.get32(r.cpu.gpr[gpr::RSP]), u32::from(CODE1) + 1);
}

#[test]
fn v86_iopl_and_vme() {
    let mut r = protected("pentium3", 3);
    r.cpu.rflags = flag::ONE | flag::VM;
    for s in &mut r.cpu.seg {
        s.base = u64::from(s.selector) << 4;
        s.limit = 0xffff;
    }
    assert_eq!(helper::cli(&mut r.exec()), Err(Fault::gp(0)));
    assert_eq!(helper::pushf(&mut r.exec(), 2), Err(Fault::gp(0)));
    assert_eq!(helper::soft_int(&mut r.exec(), 0x21, SoftKind::Int, 2), Err(Fault::gp(0)));
    r.cpu.cr4 |= cr4::VME;
    helper::sti(&mut r.exec()).unwrap();
    assert_eq!(r.cpu.rflags & (flag::VIF | flag::IF), flag::VIF);
    let pushed = helper::pushf(&mut r.exec(), 2).unwrap();
    assert_eq!(pushed & (flag::IF | flag::IOPL), flag::IF | flag::IOPL);
    assert_eq!(helper::popf(&mut r.exec(), flag::TF, 2), Err(Fault::gp(0)));
    r.cpu.rflags |= flag::VIP;
    assert_eq!(helper::popf(&mut r.exec(), flag::IF, 2), Err(Fault::gp(0)));
    r.cpu.rflags &= !flag::VIP;
    // Redirection: the bit for INT 21h clear sends it through the vector table at 0.
    r.put16(TSS + 102, 0x88);
    r.cpu.tr.limit = 0xff;
    r.put32(0x21 * 4, 0x1234_5678);
    helper::soft_int(&mut r.exec(), 0x21, SoftKind::Int, 0x102).unwrap();
    assert_eq!((cs(&r.cpu), r.cpu.rip), (0x1234, 0x5678));
    assert_eq!(r.cpu.rflags & flag::VIF, 0);
    r.put16(TSS + 0x88 - 32 + 4, 2);
    assert_eq!(helper::soft_int(&mut r.exec(), 0x21, SoftKind::Int, 2), Err(Fault::gp(0)));
}

#[test]
fn ports() {
    let mut r = protected("pentium3", 3);
    r.cpu.tr.limit = 0x87;
    let check = |r: &mut Rig, p, w| helper::check_io(&mut r.exec(), p, w);
    assert_eq!(check(&mut r, 0x20, 4), Ok(()));
    r.put16(TSS + 0x68 + 4, 0x0008);
    assert_eq!(check(&mut r, 0x23, 1), Err(Fault::gp(0)));
    assert_eq!(check(&mut r, 0x20, 4), Err(Fault::gp(0)));
    assert_eq!(check(&mut r, 0x24, 4), Ok(()));
    // The map must hold the byte after the port's, too.
    assert_eq!(check(&mut r, 0xf0, 1), Ok(()));
    assert_eq!(check(&mut r, 0xf8, 1), Err(Fault::gp(0)));
    r.cpu.rflags |= flag::IOPL;
    assert_eq!(check(&mut r, 0xffff, 1), Ok(()));
}

#[test]
fn real_mode_interrupt_and_iret() {
    let mut r = Rig::new("386", 64);
    r.put32(0x21 * 4, 0x1000_0020);
    r.cpu.rip = 0x100;
    r.cpu.gpr[gpr::RSP] = 0x1_0002;
    r.cpu.seg[Seg::Ss as usize].base = 0x2_0000;
    r.cpu.seg[Seg::Ss as usize].selector = 0x2000;
    r.cpu.rflags |= flag::IF;
    let before = r.cpu.clone();
    helper::soft_int(&mut r.exec(), 0x21, SoftKind::Int, 0x102).unwrap();
    // SP wraps in 16 bits and the upper half of ESP stays.
    assert_eq!((cs(&r.cpu), r.cpu.rip, r.cpu.gpr[gpr::RSP]), (0x1000, 0x20, 0x1_fffc));
    assert_eq!((r.get16(0x2_0000), r.get16(0x2_fffe), r.get16(0x2_fffc)), (0x0202, 0xf000, 0x102));
    helper::iret(&mut r.exec(), 2, 0).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.rflags, r.cpu.gpr[gpr::RSP]), (0x102, before.rflags, 0x1_0002));
    // The reset code segment's high base goes with the first far transfer.
    assert_eq!(r.cpu.seg[Seg::Cs as usize].base, 0xf_0000);
}

/// A table's limit is its last byte: a descriptor that lies beyond it in part is not there (SDM volume 3, 3.5.1).
#[test]
fn tables_end_at_their_limit() {
    let mut r = protected("pentium3", 0);
    r.cpu.gdtr.limit = 0x27;
    assert_eq!(helper::load_segment(&mut r.exec(), Seg::Ds, DATA3), Ok(()));
    for limit in 0x20..0x27 {
        r.cpu.gdtr.limit = limit;
        assert_eq!(helper::load_segment(&mut r.exec(), Seg::Ds, DATA3), Err(Fault::gp(0x20)), "{limit:x}");
    }
}

/// MOV to a segment register: RPL and DPL (SDM volume 2, MOV; volume 3, 5.6 and 5.7).
#[test]
fn segment_loads_look_at_rpl_and_dpl() {
    let load = |r: &mut Rig, s, v| helper::load_segment(&mut r.exec(), s, v);
    let mut r = protected("pentium3", 0);
    assert_eq!(load(&mut r, Seg::Ds, DATA0 | 3), Err(Fault::gp(u32::from(DATA0))), "RPL above DPL");
    assert_eq!(load(&mut r, Seg::Ss, DATA3 & !3), Err(Fault::gp(0x20)), "DPL isn't CPL");
    assert_eq!(load(&mut r, Seg::Ss, DATA0 | 3), Err(Fault::gp(u32::from(DATA0))), "RPL isn't CPL");
    assert_eq!(load(&mut r, Seg::Ss, CODE0), Err(Fault::gp(u32::from(CODE0))), "not writable");
    let mut r = protected("pentium3", 3);
    assert_eq!(load(&mut r, Seg::Ss, DATA0 | 3), Err(Fault::gp(u32::from(DATA0))), "DPL isn't CPL");
}

/// LTR, VERR, VERW, LAR and LSL (SDM volume 2).
#[test]
fn looks_at_descriptors() {
    let mut r = protected("pentium3", 0);
    let kind = |r: &Rig, s: u16| r.get64(GDT + u64::from(s)) >> 40 & 15;
    assert_eq!(helper::ltr(&mut r.exec(), TSS_B_SEL), Ok(()));
    assert_eq!((kind(&r, TSS_B_SEL), r.cpu.tr.attr & 15), (11, 11), "busy in the table and in the register");
    assert_eq!(helper::ltr(&mut r.exec(), TSS_B_SEL), Err(Fault::gp(u32::from(TSS_B_SEL))), "busy already");
    assert_eq!(helper::ltr(&mut r.exec(), LDT_SEL), Err(Fault::gp(u32::from(LDT_SEL))));
    assert_eq!(helper::ltr(&mut r.exec(), 0), Err(Fault::gp(0)));
    let verify = |r: &mut Rig, s, write| helper::verify(&mut r.exec(), s, write).unwrap();
    assert!(verify(&mut r, DATA0, false) && verify(&mut r, DATA0, true));
    assert!(!verify(&mut r, DATA0 | 3, false), "RPL above DPL");
    assert!(verify(&mut r, CODE0, false) && !verify(&mut r, CODE0, true), "code can't be written");
    assert!(verify(&mut r, CONFORMING | 3, false), "conforming: no privilege");
    assert!(!verify(&mut r, TSS_SEL, false) && !verify(&mut r, 0, false) && !verify(&mut r, 0x200, false));
    let look = |r: &mut Rig, s, limit| helper::look(&mut r.exec(), s, limit).unwrap();
    assert_eq!(look(&mut r, DATA0, false), Some(0x00cf_9300));
    assert_eq!(look(&mut r, DATA0, true), Some(!0));
    assert_eq!(look(&mut r, TSS16_SEL, true), Some(0x2b));
    // Gates have rights but no limit.
    assert_eq!(
        (look(&mut r, GATE, false), look(&mut r, GATE, true)),
        (Some(0x0012_ec02 & 0x00ff_ff00), None)
    );
    assert_eq!((look(&mut r, TASK_GATE, false), look(&mut r, TASK_GATE, true)), (Some(0xe500), None));
    assert_eq!(look(&mut r, DATA0 | 3, false), None, "RPL above DPL");
    assert_eq!(look(&mut r, CONFORMING | 3, true), Some(!0));
    r.cpu.cpl = 3;
    assert_eq!((look(&mut r, DATA0, false), look(&mut r, DATA0, true)), (None, None), "CPL above DPL");
}

/// A return to an outer level takes data segments of inner levels away, but leaves conforming code (SDM volume 3, 5.8.6).
#[test]
fn conforming_code_stays_in_data_segment_registers() {
    let mut r = protected("pentium3", 3);
    helper::far_call(&mut r.exec(), GATE | 3, 0, 4, 0x777e).unwrap();
    helper::load_segment(&mut r.exec(), Seg::Fs, CONFORMING).unwrap();
    helper::load_segment(&mut r.exec(), Seg::Gs, CODE0).unwrap();
    helper::far_ret(&mut r.exec(), 4, 8).unwrap();
    let s = |s: Seg| (r.cpu.seg[s as usize].selector, r.cpu.seg[s as usize].attr & attr::UNUSABLE != 0);
    assert_eq!((s(Seg::Fs), s(Seg::Gs)), ((CONFORMING, false), (0, true)));
}

/// Types of segments (SDM volume 3, 5.5): code can't be written, and read only where it says so.
#[test]
fn code_segments_as_data() {
    let mut r = protected("pentium3", 0);
    assert_eq!(r.exec().linear(Seg::Cs, 0x10, 1, Access::Read), Ok(0x10));
    assert_eq!(r.exec().linear(Seg::Cs, 0x10, 1, Access::Write), Err(Fault::gp(0)));
    r.cpu.seg[Seg::Cs as usize].attr &= !attr::RW;
    assert_eq!(r.exec().linear(Seg::Cs, 0x10, 1, Access::Read), Err(Fault::gp(0)));
    assert_eq!(r.exec().linear(Seg::Cs, 0x10, 1, Access::Execute), Ok(0x10));
    // Data that is not writable.
    r.cpu.seg[Seg::Ds as usize].attr &= !attr::RW;
    assert_eq!(r.exec().linear(Seg::Ds, 0x10, 1, Access::Read), Ok(0x10));
    assert_eq!(r.exec().linear(Seg::Ds, 0x10, 1, Access::Write), Err(Fault::gp(0)));
}

/// SDM volume 3, table 6-7, and 6.15, #AC: only at level 3, with CR0.AM and EFLAGS.AC.
#[test]
fn alignment() {
    let ac = |level, am, set, at, len| {
        let mut r = protected("pentium3", level);
        r.cpu.cr0 |= if am { cr0::AM } else { 0 };
        r.cpu.rflags |= if set { flag::AC } else { 0 };
        match r.exec().linear(Seg::Ds, at, len, Access::Read) {
            Ok(_) => false,
            Err(f) => {
                assert_eq!(f, Fault::ac());
                true
            }
        }
    };
    // Word, doubleword, 48-bit pointer, quadword and double, extended, double quadword.
    for (len, align) in [(1, 1), (2, 2), (4, 4), (6, 4), (8, 8), (10, 8), (16, 16)] {
        for at in 0x1000..0x1010u64 {
            assert_eq!(ac(3, true, true, at, len), at % align != 0, "{len} bytes at {at:x}");
        }
        for (level, am, f) in
            [(0, true, true), (1, true, true), (2, true, true), (3, false, true), (3, true, false)]
        {
            assert!(!ac(level, am, f, 0x1001, len));
        }
    }
}

/// SDM volume 3, table 6-5: which exception on top of which is a double fault.
#[test]
fn what_makes_a_double_fault() {
    let contributory = [Fault::de(), Fault::ts(8), Fault::np(8), Fault::ss(8), Fault::gp(8)];
    let benign = [Fault::ud(), Fault::nm(), Fault::new(vector::BR), Fault::mf(), Fault::ac()];
    for (first, doubled) in contributory
        .into_iter()
        .chain([Fault::pf(0x1234, 0)])
        .map(|f| (f, true))
        .chain(benign.map(|f| (f, false)))
    {
        // Its own gate is absent, or not there at all: #NP and #GP while it is delivered.
        for (own, second) in [(gate(CODE0, 0, 0x0e, 0), vector::NP), (0, vector::GP)] {
            let mut r = protected("pentium3", 0);
            set_gate(&mut r, second, gate(CODE0, 0x4100, 0x8e, 0));
            set_gate(&mut r, vector::DF, gate(CODE0, 0x4000, 0x8e, 0));
            set_gate(&mut r, first.vector, own);
            helper::deliver_fault(&mut r.exec(), first).unwrap();
            assert_eq!(r.cpu.rip, if doubled { 0x4000 } else { 0x4100 }, "{first:?}, {second}");
        }
    }
}

/// What handlers start with, and what delivery leaves behind (SDM volume 3, 6.8, 6.12.1 and 18.4).
#[test]
fn what_handlers_find() {
    let mut r = protected("pentium3", 0);
    set_gate(&mut r, vector::GP, gate(CODE0, 0x4000, 0x8f, 0));
    r.cpu.rflags |= flag::NT | flag::TF | flag::RF;
    // A breakpoint that the instruction met before it faulted is met again when it is made again.
    r.cpu.pending_debug = 1;
    helper::deliver_fault(&mut r.exec(), Fault::gp(0)).unwrap();
    assert_eq!(r.cpu.rflags & (flag::NT | flag::TF | flag::RF | flag::IF), flag::IF, "a trap gate");
    assert_eq!(r.cpu.pending_debug, 0);
    // A handler can't be less privileged than what it interrupts.
    let mut r = protected("pentium3", 0);
    set_gate(&mut r, 0x40, gate(CODE3, 0x4000, 0x8e, 0));
    assert_eq!(
        helper::soft_int(&mut r.exec(), 0x40, SoftKind::Int, 0),
        Err(Fault::gp(u32::from(CODE3 & !3)))
    );
    // #DB turns branch records and single-stepping on branches off.
    let mut r = protected("pentium3", 0);
    set_gate(&mut r, vector::DB, gate(CODE0, 0x4000, 0x8e, 0));
    r.cpu.msr.debugctl = 3;
    helper::deliver_fault(&mut r.exec(), Fault::db(1)).unwrap();
    assert_eq!((r.cpu.msr.debugctl, r.cpu.dr6 & 0xf), (0, 1));
}

/// Returns by IRET and RETF (SDM volume 2, IRET, "Protected mode exceptions").
#[test]
fn returns_look_at_privilege() {
    const LOOSE: u16 = ABSENT;
    let back = |r: &mut Rig, cs: u16, iret: bool| {
        r.cpu.gpr[gpr::RSP] = 0x6000;
        let frame = if iret { [0x1234, u32::from(cs), 2, 0, 0] } else { [0x1234, u32::from(cs), 0, 0, 0] };
        for (i, v) in frame.iter().enumerate() {
            r.put32(0x6000 + 4 * i as u64, *v);
        }
        let mut x = r.exec();
        if iret { helper::iret(&mut x, 4, 0) } else { helper::far_ret(&mut x, 4, 0) }
    };
    for iret in [false, true] {
        let mut r = protected("pentium3", 3);
        assert_eq!(back(&mut r, CODE0, iret), Err(Fault::gp(u32::from(CODE0))), "to an inner level");
        assert_eq!(back(&mut r, CONFORMING, iret), Err(Fault::gp(u32::from(CONFORMING))));
        assert_eq!(back(&mut r, CONFORMING | 3, iret), Ok(()));
        // Conforming code of level 3 isn't for level 0.
        let mut r = protected("pentium3", 0);
        r.put64(GDT + u64::from(LOOSE), descriptor(0, 0xfffff, 0xff, 0xc));
        assert_eq!(back(&mut r, LOOSE, iret), Err(Fault::gp(u32::from(LOOSE))));
        assert_eq!(back(&mut r, CODE3 & !3, iret), Err(Fault::gp(u32::from(CODE3 & !3))));
        // Not present comes after privilege.
        r.put64(GDT + u64::from(LOOSE), descriptor(0, 0xfffff, 0x1b, 0xc));
        assert_eq!(back(&mut r, LOOSE, iret), Err(Fault::np(u32::from(LOOSE))));
    }
    // With NT set: to a task that is busy, since it called.
    let mut r = protected("pentium3", 0);
    r.cpu.rflags |= flag::NT;
    fill_tss32(&mut r, TSS_B);
    r.put16(TSS, TSS_B_SEL);
    assert_eq!(helper::iret(&mut r.exec(), 4, 0), Err(Fault::ts(u32::from(TSS_B_SEL))), "available");
    r.put64(GDT + u64::from(TSS_B_SEL), descriptor(TSS_B as u32, 0x67, 0xeb, 0));
    assert_eq!(helper::iret(&mut r.exec(), 4, 0), Ok(()));
}

/// SDM volume 3, 20.3.3.4 and table 20-2: with VME, IRET in V86 mode below IOPL 3 works on VIF, and #GP if an interrupt waits.
#[test]
fn iret_in_v86_mode_with_vme() {
    for (vip, image, want) in [
        (false, flag::IF, Ok(flag::VIF)),
        (true, flag::IF, Err(Fault::gp(0))),
        (true, 0, Ok(0)),
        (false, flag::TF, Err(Fault::gp(0))),
    ] {
        let mut r = protected("pentium3", 3);
        r.cpu.rflags = flag::ONE | flag::VM | if vip { flag::VIP } else { 0 };
        r.cpu.cr4 |= cr4::VME;
        for s in &mut r.cpu.seg {
            (s.base, s.limit, s.attr) = (0, 0xffff, s.attr & !(attr::DB | attr::G));
        }
        for (i, v) in [0x100, 0, image as u16].into_iter().enumerate() {
            r.put16(0x6000 + 2 * i as u64, v);
        }
        let done = helper::iret(&mut r.exec(), 2, 0);
        assert_eq!(done.map(|()| r.cpu.rflags & (flag::VIF | flag::IF)), want, "VIP {vip}, image {image:x}");
    }
}

/// The vector must lie within IDTR's limit in real mode, too (SDM volume 2, INT n, "Real-address mode exceptions").
#[test]
fn real_mode_vectors_end_at_the_limit() {
    let mut r = Rig::new("386", 64);
    r.put32(0x21 * 4, 0x1000_0020);
    for (limit, there) in [(0x83, false), (0x84, false), (0x86, false), (0x87, true)] {
        r.cpu.idtr.limit = limit;
        r.cpu.gpr[gpr::RSP] = 0x1000;
        let done = helper::soft_int(&mut r.exec(), 0x21, SoftKind::Int, 0x102);
        assert_eq!(done.map_err(|f| f.vector), if there { Ok(()) } else { Err(vector::GP) }, "{limit:x}");
    }
}

/// JMP, CALL and call gates: CPL, RPL and DPL (SDM volume 3, 5.8.1 and 5.8.4).
#[test]
fn far_transfers_look_at_privilege() {
    let gp = |s: u16| Err(Fault::gp(u32::from(s & !3)));
    let jump = |r: &mut Rig, s| helper::far_jump(&mut r.exec(), s, 0, 4, 0);
    let call = |r: &mut Rig, s| helper::far_call(&mut r.exec(), s, 0, 4, 0);
    let mut r = protected("pentium3", 0);
    assert_eq!(jump(&mut r, CODE0 | 3), gp(CODE0), "RPL above CPL");
    r.put64(GDT + u64::from(ABSENT), descriptor(0, 0xfffff, 0xff, 0xc));
    assert_eq!(jump(&mut r, ABSENT), gp(ABSENT), "conforming code of level 3");
    assert_eq!(call(&mut r, ABSENT), gp(ABSENT));
    // A gate of level 0, from level 3 and by a selector of level 3.
    r.put64(GDT + u64::from(GATE), gate(CODE0, 0x4000, 0x8c, 0));
    assert_eq!(call(&mut r, GATE | 3), gp(GATE));
    assert_eq!(call(&mut r, GATE), Ok(()));
    let mut r = protected("pentium3", 3);
    r.put64(GDT + u64::from(GATE), gate(CODE0, 0x4000, 0x8c, 0));
    assert_eq!(call(&mut r, GATE), gp(GATE));
    // IRET at level 3 pops no VM.
    for (i, v) in [0x1234, u32::from(CODE3), (flag::VM | flag::ONE) as u32].into_iter().enumerate() {
        r.put32(0x6000 + 4 * i as u64, v);
    }
    helper::iret(&mut r.exec(), 4, 0).unwrap();
    assert!(!r.cpu.is_v86() && r.cpu.rip == 0x1234 && cs(&r.cpu) == CODE3);
}

/// SDM volume 3, table 7-1: what the new task's registers are checked for. And 18.2.4: local breakpoints go with the task.
#[test]
fn new_tasks_are_checked() {
    let ts = |s: u16| Fault::ts(u32::from(s & !3));
    let cases = [
        (80, DATA3 & !3, ts(DATA3)),
        (84, DATA0 | 3, ts(DATA0)),
        (76, ABSENT, Fault::np(u32::from(ABSENT))),
        (96, TSS_SEL, ts(TSS_SEL)),
        (96, ABSENT, ts(ABSENT)),
    ];
    for (at, selector, want) in cases {
        let mut r = protected("pentium3", 0);
        fill_tss32(&mut r, TSS_B);
        r.put64(GDT + u64::from(ABSENT), descriptor(0, 0xfffff, 0x1b, 0xc));
        r.put16(TSS_B + at, selector);
        assert_eq!(helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0), Err(want), "field {at}");
    }
    for (eip, want) in [(0xffff, Ok(())), (0x1_0000, Err(Fault::gp(0)))] {
        let mut r = protected("pentium3", 0);
        fill_tss32(&mut r, TSS_B);
        r.put16(TSS_B + 76, CODE16);
        r.put32(TSS_B + 32, eip);
        r.cpu.dr7 = 0x4ff;
        assert_eq!(helper::far_jump(&mut r.exec(), TSS_B_SEL, 0, 4, 0), want, "EIP {eip:x}");
        assert_eq!(r.cpu.dr7 & 0xff, 0xaa, "L0 to L3 are off, G0 to G3 on");
    }
    // A busy task isn't entered by way of a gate either.
    let mut r = protected("pentium3", 0);
    r.put64(GDT + u64::from(TSS_B_SEL), descriptor(TSS_B as u32, 0x67, 0xeb, 0));
    let busy = Err(Fault::gp(u32::from(TSS_B_SEL)));
    assert_eq!(helper::far_jump(&mut r.exec(), TASK_GATE, 0, 4, 0), busy);
}

/// POPF: IOPL at level 0 only, IF up to IOPL (SDM volume 2, POPF, table 4-19).
#[test]
fn popf_by_level() {
    for level in 0..4 {
        for iopl in 0..4u64 {
            let mut r = protected("pentium3", level);
            r.cpu.rflags = flag::ONE | iopl << 12 | flag::RF;
            helper::popf(&mut r.exec(), (3 - iopl) << 12 | flag::IF | flag::RF | flag::CF, 4).unwrap();
            let new_iopl = if level == 0 { 3 - iopl } else { iopl };
            let int = if u64::from(level) <= iopl { flag::IF } else { 0 };
            assert_eq!(r.cpu.rflags, flag::ONE | new_iopl << 12 | int | flag::CF, "CPL {level}, IOPL {iopl}");
        }
    }
}

/// The whole frame must fit on the inner stack before any of it is pushed (SDM volume 3, 6.12.1; 5.3 for expand-down).
#[test]
fn inner_stacks_that_are_too_small() {
    // Five doublewords below 5000h: 4FECh is the lowest, and valid offsets are those above the limit.
    for (limit, fits) in [(0x4feb, true), (0x4fec, false), (0x4ffa, false)] {
        let mut r = protected("pentium3", 3);
        r.put64(GDT + u64::from(DATA0), descriptor(0, limit, 0x97, 0x4));
        set_gate(&mut r, 0x40, gate(CODE0, 0x4000, 0xee, 0));
        r.put32(u64::from(STACK0) - 4, 0x5a5a_5a5a);
        let done = helper::soft_int(&mut r.exec(), 0x40, SoftKind::Int, 0x7779);
        assert_eq!(done, if fits { Ok(()) } else { Err(Fault::ss(u32::from(DATA0))) }, "limit {limit:x}");
        assert_eq!(r.get32(u64::from(STACK0) - 4) != 0x5a5a_5a5a, fits, "limit {limit:x}");
    }
}

/// SDM volume 2, STI (table 4-20), PUSHF: the shadow, virtual interrupts, what isn't pushed.
#[test]
fn sti_and_pushf() {
    for on in [false, true] {
        let mut r = protected("pentium3", 0);
        r.cpu.rflags = flag::ONE | flag::RF | if on { flag::IF } else { 0 };
        assert_eq!(helper::pushf(&mut r.exec(), 4), Ok(r.cpu.rflags & !flag::RF), "RF is pushed clear");
        helper::sti(&mut r.exec()).unwrap();
        assert_eq!(r.cpu.shadow, if on { Shadow::None } else { Shadow::Sti }, "only where it turns them on");
    }
    // Protected-mode virtual interrupts: at level 3 below IOPL, STI sets VIF, but not while an interrupt waits.
    for (pvi, vip, want) in
        [(true, false, Ok(flag::VIF)), (true, true, Err(Fault::gp(0))), (false, false, Err(Fault::gp(0)))]
    {
        let mut r = protected("pentium3", 3);
        r.cpu.cr4 = if pvi { cr4::PVI } else { 0 };
        r.cpu.rflags = flag::ONE | if vip { flag::VIP } else { 0 };
        let done = helper::sti(&mut r.exec());
        assert_eq!(done.map(|()| r.cpu.rflags & (flag::VIF | flag::IF)), want, "PVI {pvi}, VIP {vip}");
    }
}
