//! Gates, far transfers, task switches and returns, by hand-made descriptor tables.
//! Expectations from Intel SDM volume 3, chapters 5 to 7 and 20, and volume 2 (CALL, INT n, IRET, MOV, POPF).

mod rig;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::fault::vector;
use lucid86_cpu::helper::{self, SoftKind};
use lucid86_cpu::mmu::Access;
use lucid86_cpu::state::{Seg, TableReg, attr, cr4, flag, gpr};
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
