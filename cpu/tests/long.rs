//! Long mode: gates with IST, IRETQ, SYSCALL and its kin, control-register consistency.
//! Expectations from Intel SDM volume 2 (IRET, MOV CR, SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, WRMSR) and volume 3, 6.14, 4.1.

mod rig;
use lucid86_cpu::Fault;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::fault::vector;
use lucid86_cpu::helper::{self, SoftKind};
use lucid86_cpu::mmu::Access;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Activity, Seg, TableReg, attr, cr0, cr4, efer, flag, gpr};
use rig::Rig;

const GDT: u64 = 0x8000;
const IDT: u64 = 0x9000;
const TSS: u64 = 0xb000;
const CODE: u16 = 0x08;
const DATA: u16 = 0x10;
const USER32: u16 = 0x18 | 3;
const USER_DATA: u16 = 0x20 | 3;
const USER: u16 = 0x28 | 3;
const TSS_SEL: u16 = 0x30;
const CALL_GATE: u16 = 0x40;
const HOLE: u64 = 0x0000_8000_0000_0000;

/// 64-bit mode at `cpl`, 1 GiB identity-mapped for all.
fn long(cpl: u8) -> Rig {
    let mut r = Rig::new("x86-64-v2", 256);
    r.put64(0x1000, 0x2007);
    r.put64(0x2000, 0x87);
    let entries: [u64; 10] = [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_fb00_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
        0x0000_8b00_0000_0067 | TSS << 16,
        0,
        0x0012_ec00_0008_3456,
        0x1,
    ];
    for (i, e) in entries.iter().enumerate() {
        r.put64(GDT + 8 * i as u64, *e);
    }
    r.long(cpl, 0x1000);
    r.cpu.gdtr = TableReg { base: GDT, limit: 0x4f };
    r.cpu.idtr = TableReg { base: IDT, limit: 0xfff };
    r.cpu.tr.base = TSS;
    r.cpu.tr.limit = 0x67;
    r.cpu.tr.selector = TSS_SEL;
    r.cpu.ldtr.attr = attr::UNUSABLE;
    for i in 0..3 {
        r.put64(TSS + 4 + 8 * i, 0x2_0008 + 0x1000 * i);
    }
    for i in 1..8 {
        r.put64(TSS + 28 + 8 * i, 0x3_0000 + 0x1000 * i);
    }
    r.cpu.rip = 0x7777;
    r.cpu.gpr[gpr::RSP] = 0x6_0009;
    r.cpu.rflags = flag::ONE | flag::IF;
    let (cs, ss) = if cpl == 3 { (USER, USER_DATA) } else { (CODE, DATA) };
    r.cpu.seg[Seg::Cs as usize].selector = cs;
    r.cpu.seg[Seg::Ss as usize].selector = ss;
    r
}

fn set_gate(r: &mut Rig, v: u8, access: u8, ist: u8, offset: u64) {
    let low = offset & 0xffff
        | u64::from(CODE) << 16
        | u64::from(ist) << 32
        | u64::from(access) << 40
        | (offset >> 16 & 0xffff) << 48;
    r.put64(IDT + 16 * u64::from(v), low);
    r.put64(IDT + 16 * u64::from(v) + 8, offset >> 32);
}

fn sel(r: &Rig, s: Seg) -> u16 {
    r.cpu.seg[s as usize].selector
}

#[test]
fn exception_from_user_and_iretq() {
    let mut r = long(3);
    set_gate(&mut r, vector::PF, 0x8e, 0, 0x12_3456_7890);
    let before = r.cpu.clone();
    helper::deliver_fault(&mut r.exec(), Fault::pf(0xdead_b000, 6)).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl, r.cpu.cr2), (0x12_3456_7890, 0, 0xdead_b000));
    // RSP0 aligned down to 16, six words; SS is null with RPL 0.
    let sp = 0x2_0000 - 48;
    assert_eq!(r.cpu.gpr[gpr::RSP], sp);
    let frame: Vec<u64> = (0..6).map(|i| r.get64(sp + 8 * i)).collect();
    let image = before.rflags | flag::RF;
    assert_eq!(frame, [6, 0x7777, u64::from(USER), image, 0x6_0009, u64::from(USER_DATA)]);
    assert_eq!(sel(&r, Seg::Ss), 0);
    r.cpu.gpr[gpr::RSP] += 8;
    helper::iret(&mut r.exec(), 8, 0).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl, r.cpu.gpr[gpr::RSP]), (0x7777, 3, 0x6_0009));
    assert_eq!((sel(&r, Seg::Cs), sel(&r, Seg::Ss)), (USER, USER_DATA));
}

/// A segment that the outer level may not use: only its selector becomes null (SDM volume 2, IRET, operation), so that 64-bit
/// code there reaches by its base what it reached before.
#[test]
fn a_null_selector_after_iretq_keeps_its_base() {
    let mut r = long(0);
    r.cpu.seg[Seg::Gs as usize].selector = DATA;
    r.cpu.seg[Seg::Gs as usize].base = 0x12_3456_7890;
    let sp = r.cpu.gpr[gpr::RSP] - 40;
    for (i, v) in [0x7777, u64::from(USER), 2, 0x6_0009, u64::from(USER_DATA)].into_iter().enumerate() {
        r.put64(sp + 8 * i as u64, v);
    }
    r.cpu.gpr[gpr::RSP] = sp;
    helper::iret(&mut r.exec(), 8, 0).unwrap();
    let gs = r.cpu.seg[Seg::Gs as usize];
    assert_eq!((r.cpu.cpl, gs.selector, gs.base), (3, 0, 0x12_3456_7890));
    assert_ne!(gs.attr & attr::UNUSABLE, 0);
}

/// Machine-check banks: status, address and the rest can be cleared only (SDM volume 3, 16.3.2.2 to 16.3.2.4).
#[test]
fn machine_check_banks() {
    let mut r = long(0);
    let mut taken = |n: u64, v: u64| {
        let g = &mut r.cpu.gpr;
        (g[gpr::RCX], g[gpr::RAX], g[gpr::RDX]) = (n, v & 0xffff_ffff, v >> 32);
        helper::wrmsr(&mut r.exec()).is_ok() && {
            helper::rdmsr(&mut r.exec()).unwrap();
            r.cpu.gpr[gpr::RAX] | r.cpu.gpr[gpr::RDX] << 32 == v
        }
    };
    for bank in 0..4 {
        let n = 0x400 + 4 * bank;
        assert!(taken(n, !0) && taken(n, 0));
        for register in n + 1..n + 4 {
            assert!(taken(register, 0) && !taken(register, 1) && !taken(register, !0));
        }
    }
}

#[test]
fn same_level_aligns_the_stack_and_ist_switches_it() {
    let mut r = long(0);
    set_gate(&mut r, 0x40, 0x8f, 0, 0x4000);
    set_gate(&mut r, vector::NMI, 0x8e, 3, 0x5000);
    helper::deliver_interrupt(&mut r.exec(), 0x40).unwrap();
    assert_eq!(r.cpu.gpr[gpr::RSP], 0x6_0000 - 40);
    assert_eq!(r.get64(0x6_0000 - 16), 0x6_0009);
    assert_eq!(sel(&r, Seg::Ss), DATA, "no change of level keeps SS");
    assert_ne!(r.cpu.rflags & flag::IF, 0, "trap gate");
    helper::deliver_nmi(&mut r.exec()).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.gpr[gpr::RSP]), (0x5000, 0x3_3000 - 40));
    assert!(r.cpu.nmi_blocked);
    helper::iret(&mut r.exec(), 8, 0).unwrap();
    assert!(!r.cpu.nmi_blocked);
    assert_eq!((r.cpu.rip, r.cpu.gpr[gpr::RSP]), (0x4000, 0x6_0000 - 40));
}

#[test]
fn gate_faults() {
    let soft = |r: &mut Rig, v| helper::soft_int(&mut r.exec(), v, SoftKind::Int, 0);
    let mut r = long(3);
    let idt = |v: u32| v * 8 + 2;
    set_gate(&mut r, 0x30, 0x8e, 0, 0x4000);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(idt(0x30))), "DPL");
    set_gate(&mut r, 0x30, 0xe5, 0, 0x4000);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(idt(0x30))), "no task gates");
    set_gate(&mut r, 0x30, 0xe6, 0, 0x4000);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(idt(0x30))), "no 16-bit gates");
    set_gate(&mut r, 0x30, 0x6e, 0, 0x4000);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::np(idt(0x30))));
    set_gate(&mut r, 0x30, 0xee, 0, HOLE);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(0)), "target not canonical");
    set_gate(&mut r, 0x30, 0xee, 0, 0x4000);
    r.put64(TSS + 4, HOLE);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::ss(0)), "stack not canonical");
    r.cpu.tr.limit = 10;
    assert_eq!(soft(&mut r, 0x30), Err(Fault::ts(u32::from(TSS_SEL))));
    // A 32-bit code segment can't be a handler.
    r.put64(GDT + 8, 0x00cf_9b00_0000_ffff);
    assert_eq!(soft(&mut r, 0x30), Err(Fault::gp(u32::from(CODE))));
    // A page fault on the handler's stack, while delivering #PF, is a double fault; with that failing too, shutdown.
    let mut r = long(3);
    set_gate(&mut r, vector::PF, 0x8e, 0, 0x4000);
    set_gate(&mut r, vector::DF, 0x8e, 1, 0x5000);
    r.put64(TSS + 4, 0x7fff_0000_0000);
    helper::deliver_fault(&mut r.exec(), Fault::pf(1, 4)).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.gpr[gpr::RSP], r.get64(0x3_1000 - 48)), (0x5000, 0x3_1000 - 48, 0));
    assert_eq!(r.cpu.cr2, 0x7fff_0000_0000 - 48);
    let mut r = long(3);
    set_gate(&mut r, vector::PF, 0x8e, 0, 0x4000);
    r.put64(TSS + 4, 0x7fff_0000_0000);
    assert_eq!(helper::deliver_fault(&mut r.exec(), Fault::pf(1, 4)), Err(Stop::TripleFault));
}

/// IRETQ with this frame.
fn frame(r: &mut Rig, f: [u64; 5]) -> Result<(), Fault> {
    r.cpu.gpr[gpr::RSP] = 0x5_0000;
    for (i, v) in f.iter().enumerate() {
        r.put64(0x5_0000 + 8 * i as u64, *v);
    }
    helper::iret(&mut r.exec(), 8, 0)
}

#[test]
fn iretq_checks() {
    let (c, d) = (u64::from(CODE), u64::from(DATA));
    let (u, ud) = (u64::from(USER), u64::from(USER_DATA));
    let mut r = long(0);
    let gp = |v: u64| Err(Fault::gp(v as u32 & !3));
    assert_eq!(frame(&mut r, [HOLE, c, 2, 0, d]), Err(Fault::gp(0)));
    assert_eq!(frame(&mut r, [0, 0, 2, 0, d]), Err(Fault::gp(0)));
    assert_eq!(frame(&mut r, [0, d, 2, 0, d]), gp(d));
    assert_eq!(frame(&mut r, [0, u, 2, 0, 0]), Err(Fault::gp(0)), "null SS at level 3");
    assert_eq!(frame(&mut r, [0, u, 2, 0, d]), gp(d));
    assert_eq!(frame(&mut r, [0, c, 2, 0, ud]), gp(ud));
    assert_eq!(frame(&mut r, [0x100, c, 2, HOLE, 0]), Ok(()), "null SS at level 0; RSP is not checked");
    assert_eq!(r.cpu.gpr[gpr::RSP], HOLE);
    r.cpu.rflags |= flag::NT;
    assert_eq!(frame(&mut r, [0, c, 2, 0, d]), Err(Fault::gp(0)), "NT in long mode");
    // To compatibility mode.
    let mut r = long(0);
    assert_eq!(frame(&mut r, [0x1234, u64::from(USER32), 0x202, 0x1_0000_5678, ud]), Ok(()));
    assert!(!r.cpu.is_64());
    assert_eq!((r.cpu.cpl, r.cpu.rip, r.cpu.gpr[gpr::RSP]), (3, 0x1234, 0x5678));
    // Level 3 changes neither IF nor IOPL.
    let mut r = long(3);
    assert_eq!(frame(&mut r, [0x1234, u, 0x3000, 0x9000, ud]), Ok(()));
    assert_eq!(r.cpu.rflags, flag::ONE | flag::IF);
}

#[test]
fn call_gate_64() {
    let mut r = long(3);
    helper::far_call(&mut r.exec(), CALL_GATE | 3, 0, 4, 0x7780).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl, sel(&r, Seg::Ss)), (0x1_0012_3456, 0, 0));
    let sp = 0x2_0008 - 32;
    assert_eq!(r.cpu.gpr[gpr::RSP], sp);
    let frame: Vec<u64> = (0..4).map(|i| r.get64(sp + 8 * i)).collect();
    assert_eq!(frame, [0x7780, u64::from(USER), 0x6_0009, u64::from(USER_DATA)]);
    helper::far_ret(&mut r.exec(), 8, 0).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl, r.cpu.gpr[gpr::RSP]), (0x7780, 3, 0x6_0009));
}

#[test]
fn syscall_and_sysret() {
    let mut r = long(3);
    assert_eq!(helper::syscall(&mut r.exec(), 0), Err(Fault::ud()), "EFER.SCE clear");
    r.cpu.msr.efer |= efer::SCE;
    r.cpu.msr.star = 0x0018_0008 << 32;
    r.cpu.msr.lstar = 0xffff_8000_0000_1000;
    r.cpu.msr.fmask = flag::IF | flag::TF;
    r.cpu.rflags |= flag::RF | flag::CF;
    helper::syscall(&mut r.exec(), 0x7779).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl), (0xffff_8000_0000_1000, 0));
    assert_eq!((sel(&r, Seg::Cs), sel(&r, Seg::Ss)), (8, 16));
    assert_eq!((r.cpu.gpr[gpr::RCX], r.cpu.gpr[11]), (0x7779, flag::ONE | flag::IF | flag::CF));
    assert_eq!(r.cpu.rflags, flag::ONE | flag::CF);
    r.cpu.gpr[gpr::RCX] = HOLE;
    assert_eq!(helper::sysret(&mut r.exec(), true), Err(Fault::gp(0)));
    r.cpu.gpr[gpr::RCX] = 0x1234;
    // RF, VM and reserved bits of R11 are not loaded.
    r.cpu.gpr[11] = !0;
    helper::sysret(&mut r.exec(), true).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl), (0x1234, 3));
    assert_eq!((sel(&r, Seg::Cs), sel(&r, Seg::Ss)), (0x2b, 0x23));
    assert_eq!(r.cpu.rflags, 0x3c_7fd7, "SDM: R11 and 3C7FD7h, or 2");
    assert_eq!(helper::sysret(&mut r.exec(), true), Err(Fault::gp(0)), "level 3");
    r.cpu.seg[Seg::Cs as usize].attr &= !attr::L;
    assert_eq!(helper::syscall(&mut r.exec(), 0), Err(Fault::ud()), "Intel: 64-bit mode only");
}

#[test]
fn sysenter_and_sysexit() {
    let mut r = long(3);
    assert_eq!(helper::sysenter(&mut r.exec()), Err(Fault::gp(0)), "SYSENTER_CS null");
    r.cpu.msr.sysenter_cs = 8;
    r.cpu.msr.sysenter_esp = 0x2_0000;
    r.cpu.msr.sysenter_eip = 0x4000;
    helper::sysenter(&mut r.exec()).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cpl, r.cpu.gpr[gpr::RSP]), (0x4000, 0, 0x2_0000));
    assert!(r.cpu.is_64());
    assert_eq!(r.cpu.rflags & flag::IF, 0);
    r.cpu.gpr[gpr::RCX] = 0x5000;
    r.cpu.gpr[gpr::RDX] = HOLE;
    assert_eq!(helper::sysexit(&mut r.exec(), true), Err(Fault::gp(0)));
    r.cpu.gpr[gpr::RDX] = 0x6000;
    helper::sysexit(&mut r.exec(), true).unwrap();
    assert_eq!((sel(&r, Seg::Cs), sel(&r, Seg::Ss), r.cpu.rip), (0x2b, 0x33, 0x6000));
    assert_eq!(helper::sysexit(&mut r.exec(), false), Err(Fault::gp(0)));
}

#[test]
fn control_register_consistency() {
    let to = |r: &mut Rig, n, v| helper::mov_to_cr(&mut r.exec(), n, v);
    let gp = Err(Fault::gp(0));
    let mut r = long(0);
    let (c0, c4) = (r.cpu.cr0, r.cpu.cr4);
    assert_eq!(to(&mut r, 0, c0 & !cr0::PE), gp, "PG without PE");
    assert_eq!(to(&mut r, 0, (c0 | cr0::NW) & !cr0::CD), gp, "NW without CD");
    assert_eq!(to(&mut r, 0, c0 | 1 << 32), gp);
    assert_eq!(to(&mut r, 0, c0 & !cr0::PG), gp, "leaving long mode from 64-bit code");
    assert_eq!(to(&mut r, 4, c4 & !cr4::PAE), gp);
    assert_eq!(to(&mut r, 4, c4 | cr4::VMXE), gp, "not there");
    assert_eq!(to(&mut r, 4, c4 | 1 << 31), gp);
    r.cpu.cr3 |= 1;
    assert_eq!(to(&mut r, 4, c4 | cr4::PCIDE), gp, "PCIDE with CR3[11:0] set");
    r.cpu.cr3 &= !1;
    assert_eq!(to(&mut r, 4, c4 | cr4::PCIDE), Ok(()));
    assert_eq!(to(&mut r, 3, 1 << 63 | 0x1005), Ok(()));
    assert_eq!(r.cpu.cr3, 0x1005, "bit 63 is not stored");
    assert_eq!(to(&mut r, 3, 1 << 40), gp, "beyond the physical width");
    assert_eq!(to(&mut r, 8, 16), gp);
    assert_eq!(to(&mut r, 1, 0), Err(Fault::ud()));
    assert_eq!(to(&mut r, 5, 0), Err(Fault::ud()));
    // Enabling paging with LME needs PAE, a 16-bit or 32-bit CS, and a 32-bit TSS.
    let mut r = Rig::new("x86-64-v2", 16);
    r.protected(0);
    r.cpu.msr.efer |= efer::LME;
    let on = cr0::PE | cr0::PG;
    assert_eq!(to(&mut r, 0, on), gp);
    r.cpu.cr4 |= cr4::PAE;
    r.cpu.seg[Seg::Cs as usize].attr |= attr::L;
    assert_eq!(to(&mut r, 0, on), gp);
    r.cpu.seg[Seg::Cs as usize].attr &= !attr::L;
    assert_eq!(to(&mut r, 0, on), Ok(()));
    assert_ne!(r.cpu.msr.efer & efer::LMA, 0);
    assert_eq!(to(&mut r, 0, cr0::PE), Ok(()), "from compatibility mode");
    assert_eq!(r.cpu.msr.efer & efer::LMA, 0);
    // Level 3 may do none of it.
    let mut r = long(3);
    assert_eq!(to(&mut r, 3, 0), gp);
    assert_eq!(helper::mov_from_cr(&mut r.exec(), 0), Err(Fault::gp(0)));
    assert_eq!(helper::mov_from_cr(&mut r.exec(), 7), Err(Fault::ud()));
}

#[test]
fn model_specific_registers() {
    let mut r = long(0);
    let write = |r: &mut Rig, n: u64, v: u64| {
        r.cpu.gpr[gpr::RCX] = n;
        r.cpu.gpr[gpr::RAX] = v & 0xffff_ffff;
        r.cpu.gpr[gpr::RDX] = v >> 32;
        helper::wrmsr(&mut r.exec())
    };
    let gp = Err(Fault::gp(0));
    let e = r.cpu.msr.efer;
    assert_eq!(write(&mut r, 0xc000_0080, e & !efer::LME), gp, "LME while paging");
    assert_eq!(write(&mut r, 0xc000_0080, e | 1 << 9), gp);
    assert_eq!(write(&mut r, 0xc000_0080, e | efer::NXE), Ok(()));
    for msr in [0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102, 0x175, 0x176] {
        assert_eq!(write(&mut r, msr, HOLE), gp, "{msr:x}");
        assert_eq!(write(&mut r, msr, !0), Ok(()), "{msr:x}");
    }
    assert_eq!(r.cpu.seg[Seg::Gs as usize].base, !0);
    assert_eq!(write(&mut r, 0x277, 2), gp, "PAT type 2 is reserved");
    assert_eq!(write(&mut r, 0x277, 0x0007_0106_0007_0106), Ok(()));
    assert_eq!(write(&mut r, 0x2ff, 0x1000), gp);
    assert_eq!(write(&mut r, 0x1234_5678, 0), gp);
    assert_eq!(write(&mut r, 0x10, 1 << 40), Ok(()));
    assert_eq!(r.exec().tsc(), 1 << 40);
    r.cpu.cpl = 3;
    assert_eq!(write(&mut r, 0x277, 0), gp);
    assert_eq!(helper::rdmsr(&mut r.exec()), gp);
    assert_eq!(helper::rdtsc(&mut r.exec()), Ok(()));
    r.cpu.cr4 |= cr4::TSD;
    assert_eq!(helper::rdtsc(&mut r.exec()), gp);
    assert_eq!(helper::rdpmc(&mut r.exec()), gp);
    assert_eq!(helper::swapgs(&mut r.exec()), gp);
}

#[test]
fn debug_registers() {
    let mut r = long(0);
    let to = |r: &mut Rig, n, v| helper::mov_to_dr(&mut r.exec(), n, v);
    assert_eq!(to(&mut r, 7, 1 << 32), Err(Fault::gp(0)));
    assert_eq!(to(&mut r, 6, 0), Ok(()));
    assert_eq!(r.cpu.dr6, 0xffff_0ff0);
    assert_eq!(to(&mut r, 5, 0xffff_dfff), Ok(()));
    assert_eq!(r.cpu.dr7 & 1 << 10, 1 << 10);
    r.cpu.cr4 |= cr4::DE;
    assert_eq!(to(&mut r, 5, 0), Err(Fault::ud()));
    r.cpu.dr7 = 0x400;
    // A data breakpoint on four bytes at 5004h: stores only; then loads too.
    assert_eq!(to(&mut r, 0, 0x5004), Ok(()));
    r.exec().store::<u32>(0x5004, 0).unwrap();
    assert_eq!(to(&mut r, 7, 0x000d_0001), Ok(()));
    let mut x = r.exec();
    x.load::<u32>(0x5004).unwrap();
    x.store::<u32>(0x5000, 0).unwrap();
    x.store::<u32>(0x5008, 0).unwrap();
    assert_eq!(x.cpu.pending_debug, 0);
    x.store::<u16>(0x5007, 0).unwrap();
    assert_eq!(std::mem::take(&mut x.cpu.pending_debug), 1);
    assert_eq!(to(&mut r, 7, 0x000f_0001), Ok(()));
    let mut x = r.exec();
    x.load::<u64>(0x5000).unwrap();
    assert_eq!(std::mem::take(&mut x.cpu.pending_debug), 1);
    // GD: any access to a debug register is #DB with BD, and the delivery clears GD.
    set_gate(&mut r, vector::DB, 0x8e, 0, 0x4000);
    assert_eq!(to(&mut r, 7, 1 << 13), Ok(()));
    let f = helper::mov_from_dr(&mut r.exec(), 0).unwrap_err();
    assert_eq!((f.vector, f.info), (vector::DB, 1 << 13));
    helper::deliver_fault(&mut r.exec(), f).unwrap();
    assert_eq!(r.cpu.dr7 & 1 << 13, 0);
    assert_eq!(r.cpu.dr6, 0xffff_2ff0);
}

/// SMI saves, RSM restores: the whole state comes back, in both layouts.
#[test]
fn smm_round_trip() {
    for model in ["x86-64-v2", "pentium3"] {
        let mut r = if model == "pentium3" {
            let mut r = Rig::new(model, 256);
            r.protected(3);
            r
        } else {
            long(3)
        };
        r.cpu.gpr = std::array::from_fn(|i| if model == "pentium3" && i > 7 { 0 } else { 0x100 + i as u64 });
        r.cpu.smi_pending = true;
        let mut before = r.cpu.clone();
        before.smi_pending = false;
        helper::enter_smm(&mut r.exec());
        assert!(r.cpu.smm && !r.cpu.is_protected());
        assert_eq!((r.cpu.rip, r.cpu.seg[Seg::Cs as usize].base), (0x8000, 0x3_0000));
        // The revision identifier says which layout.
        let revision = if model == "pentium3" { 0x2_0000 } else { 0x2_0064 };
        assert_eq!(r.get32(0x3_0000 + 0xfefc), revision);
        r.cpu.gpr = [0; 16];
        helper::rsm(&mut r.exec()).unwrap();
        assert_eq!(r.cpu, before, "{model}");
        assert_eq!(helper::rsm(&mut r.exec()), Err(Fault::ud()));
    }
}

/// Selectors and 16-byte descriptors (SDM volume 2, MOV, LTR, LLDT, and volume 3, 8.2.3).
#[test]
fn descriptors_of_sixteen_bytes() {
    let gp = |s: u16| Err(Fault::gp(u32::from(s & !3)));
    let mut r = long(0);
    r.put64(GDT + u64::from(TSS_SEL), 0x0000_8900_0000_0067 | TSS << 16);
    for limit in 0x37..0x3f {
        r.cpu.gdtr.limit = limit;
        assert_eq!(helper::ltr(&mut r.exec(), TSS_SEL), gp(TSS_SEL), "half of it within {limit:x}");
    }
    r.cpu.gdtr.limit = 0x4f;
    for high in [1 << 40, 1 << 44, 0x8000] {
        r.put64(GDT + u64::from(TSS_SEL) + 8, high);
        assert_eq!(helper::ltr(&mut r.exec(), TSS_SEL), gp(TSS_SEL), "{high:x}");
    }
    r.put64(GDT + u64::from(TSS_SEL) + 8, 0xffff_8000);
    assert_eq!(helper::ltr(&mut r.exec(), TSS_SEL), Ok(()));
    assert_eq!(r.cpu.tr.base, 0xffff_8000_0000_0000 | TSS);
    // Call gates.
    for limit in 0x47..0x4f {
        r.cpu.gdtr.limit = limit;
        assert_eq!(helper::far_call(&mut r.exec(), CALL_GATE, 0, 8, 0), gp(CALL_GATE), "{limit:x}");
    }
    r.cpu.gdtr.limit = 0x4f;
    r.put64(GDT + u64::from(CALL_GATE) + 8, 1 << 40 | 1);
    assert_eq!(helper::far_call(&mut r.exec(), CALL_GATE, 0, 8, 0), gp(CALL_GATE), "upper type");
    r.put64(GDT + u64::from(CALL_GATE) + 8, 1);
    r.put64(GDT + u64::from(CODE), 0x00cf_9b00_0000_ffff);
    assert_eq!(helper::far_call(&mut r.exec(), CALL_GATE, 0, 8, 0), gp(CODE), "to code that isn't 64-bit");
    // A null SS is for levels 0 to 2, with RPL = CPL.
    let load = |level, v| helper::load_segment(&mut long(level).exec(), Seg::Ss, v);
    assert_eq!((load(0, 0), load(1, 1), load(2, 2)), (Ok(()), Ok(()), Ok(())));
    assert_eq!((load(3, 3), load(3, 0), load(0, 1)), (gp(0), gp(0), gp(0)));
}

/// SDM volume 2, IRET: SS at level 3, code segments that are neither 64-bit nor 32-bit.
#[test]
fn iretq_looks_at_ss_and_the_kind_of_code() {
    let mut r = long(0);
    assert_eq!(frame(&mut r, [0, u64::from(USER), 2, 0, 3]), Err(Fault::gp(0)), "null SS of level 3");
    let ss = u64::from(DATA | 3);
    assert_eq!(
        frame(&mut r, [0, u64::from(USER), 2, 0, ss]),
        Err(Fault::gp(u32::from(DATA))),
        "SS of level 0"
    );
    r.put64(GDT + u64::from(USER & !3), 0x00ef_fb00_0000_ffff);
    let both = Err(Fault::gp(u32::from(USER & !3)));
    assert_eq!(frame(&mut r, [0, u64::from(USER), 2, 0, u64::from(USER_DATA)]), both, "L and D");
}

/// SDM volume 3, table 6-5: a page fault while a contributory exception is delivered is delivered itself.
#[test]
fn page_fault_on_top_of_another_exception() {
    let mut r = long(3);
    set_gate(&mut r, vector::GP, 0x8e, 0, 0x4000);
    set_gate(&mut r, vector::PF, 0x8e, 1, 0x5000);
    set_gate(&mut r, vector::DF, 0x8e, 2, 0x6000);
    r.put64(TSS + 4, 0x7fff_0000_0000);
    helper::deliver_fault(&mut r.exec(), Fault::gp(0)).unwrap();
    assert_eq!((r.cpu.rip, r.cpu.cr2), (0x5000, 0x7fff_0000_0000 - 48));
}

/// What level 3 is kept from, and operands that raise #GP (SDM volume 2, by instruction; UMIP: volume 3, 2.5).
#[test]
fn privileged_instructions() {
    let gp = Err(Fault::gp(0));
    let ud = Err(Fault::ud());
    let mut r = long(3);
    r.cpu.cr4 |= cr4::UMIP | cr4::FSGSBASE;
    let mut x = r.exec();
    assert_eq!(helper::sgdt(&mut x).map(drop), gp);
    assert_eq!(helper::sidt(&mut x).map(drop), gp);
    assert_eq!(helper::sldt(&mut x).map(drop), gp);
    assert_eq!(helper::str(&mut x).map(drop), gp);
    assert_eq!(helper::smsw(&mut x).map(drop), gp);
    assert_eq!((helper::monitor(&mut x), helper::mwait(&mut x)), (ud, ud));
    assert_eq!((helper::hlt(&mut x), helper::wbinvd(&mut x), helper::invlpg(&mut x, 0)), (gp, gp, gp));
    assert_eq!((helper::lgdt(&mut x, 0, 0), helper::lidt(&mut x, 0, 0), helper::clts(&mut x)), (gp, gp, gp));
    assert_eq!(helper::swapgs(&mut x), gp);
    assert_eq!(helper::write_segment_base(&mut x, Seg::Fs, HOLE), gp);
    assert_eq!(helper::write_segment_base(&mut x, Seg::Fs, !0), Ok(()));
    x.cpu.cr4 &= !cr4::UMIP;
    assert_eq!(helper::sgdt(&mut x).map(drop), Ok(()));
    let mut r = long(0);
    let mut x = r.exec();
    assert_eq!((helper::lgdt(&mut x, HOLE, 0), helper::lidt(&mut x, HOLE, 0)), (gp, gp));
    x.cpu.gpr[gpr::RCX] = 2;
    assert_eq!(helper::rdpmc(&mut x), gp, "two counters");
    for level in [0, 3] {
        let mut r = long(level);
        r.cpu.model = CpuModel::parse("x86-64-v2,+smap,+xsave").unwrap();
        r.cpu.cr4 |= cr4::OSXSAVE;
        let mut x = r.exec();
        assert_eq!(helper::set_ac(&mut x, true), if level == 0 { Ok(()) } else { ud });
        for (v, ok) in [(1, true), (3, true), (2, false), (0, false), (5, false), (1 << 9 | 1, false)] {
            (x.cpu.gpr[gpr::RAX], x.cpu.gpr[gpr::RDX], x.cpu.gpr[gpr::RCX]) = (v, 0, 0);
            assert_eq!(helper::xsetbv(&mut x), if ok && level == 0 { Ok(()) } else { gp }, "XCR0 {v:x}");
        }
    }
}

/// SDM volume 2, INVPCID: a PCID only with CR4.PCIDE, reserved bits, canonical address, known types.
#[test]
fn invpcid_operands() {
    let gp = Err(Fault::gp(0));
    let mut r = long(0);
    let mut x = r.exec();
    assert_eq!((helper::invpcid(&mut x, 0, 1, 0), helper::invpcid(&mut x, 1, 1, 0)), (gp, gp), "no PCIDs");
    assert_eq!((helper::invpcid(&mut x, 0, 0, 0), helper::invpcid(&mut x, 1, 0, HOLE)), (Ok(()), Ok(())));
    x.cpu.cr4 |= cr4::PCIDE;
    assert_eq!((helper::invpcid(&mut x, 0, 1, 0), helper::invpcid(&mut x, 1, 1, 0)), (Ok(()), Ok(())));
    assert_eq!(helper::invpcid(&mut x, 0, 1, HOLE), gp);
    for kind in 0..4 {
        assert_eq!(helper::invpcid(&mut x, kind, 1 << 12, 0), gp, "reserved bits, type {kind}");
    }
    assert_eq!(helper::invpcid(&mut x, 4, 0, 0), gp);
    x.cpu.cpl = 3;
    assert_eq!(helper::invpcid(&mut x, 2, 0, 0), gp);
}

/// SDM volume 2, MOV to CR, and LMSW; volume 3, 10.8.5 (the TSS) and 4.10.1 (PCIDs).
#[test]
fn control_registers_across_modes() {
    let to = |r: &mut Rig, n, v| helper::mov_to_cr(&mut r.exec(), n, v);
    let gp = Err(Fault::gp(0));
    let mut r = Rig::new("x86-64-v2", 16);
    r.protected(0);
    assert_eq!(to(&mut r, 4, cr4::PCIDE), gp, "PCIDs outside long mode");
    assert_eq!(helper::lmsw(&mut r.exec(), 0), Ok(()));
    assert_ne!(r.cpu.cr0 & cr0::PE, 0, "LMSW clears PE not");
    r.cpu.msr.efer |= efer::LME;
    r.cpu.cr4 |= cr4::PAE;
    r.cpu.tr.attr = attr::P | 3;
    assert_eq!(to(&mut r, 0, cr0::PE | cr0::PG), gp, "a 16-bit TSS");
    r.cpu.tr.attr = attr::P | 11;
    assert_eq!(to(&mut r, 0, cr0::PE | cr0::PG), Ok(()));
    r.cpu.cr4 |= cr4::PCIDE;
    assert_eq!(to(&mut r, 0, cr0::PE), gp, "paging stays on with PCIDs");
    r.cpu.cr4 &= !cr4::PCIDE;
    assert_eq!(to(&mut r, 0, cr0::PE), Ok(()));
    assert_ne!(r.cpu.cr0 & cr0::ET, 0, "ET can't be cleared");
}

/// All bytes of an access must have canonical addresses (SDM volume 1, 3.3.7.1).
#[test]
fn accesses_across_the_canonical_boundary() {
    let mut r = long(0);
    let mut linear = |s, at, len| r.exec().linear(s, at, len, Access::Read);
    for (len, last) in [(1, HOLE - 1), (2, HOLE - 2), (8, HOLE - 8), (16, HOLE - 16)] {
        assert_eq!(linear(Seg::Ds, last, len), Ok(last));
        assert_eq!(linear(Seg::Ds, last + 1, len), Err(Fault::gp(0)), "{len} bytes");
        assert_eq!(linear(Seg::Ss, last + 1, len), Err(Fault::ss(0)), "{len} bytes");
    }
}

/// SDM volume 3, 18.2.5: LEN masks the address's low bits; I/O breakpoints need CR4.DE and hit any byte.
#[test]
fn bytes_of_breakpoints() {
    let mut r = long(0);
    // Four bytes at 5006h: those from 5004h on.
    r.cpu.dr[0] = 0x5006;
    r.cpu.dr7 = 0x000f_0401;
    let mut x = r.exec();
    for (at, hit) in [(0x5003, false), (0x5004, true), (0x5007, true), (0x5008, false)] {
        x.load::<u8>(at).unwrap();
        assert_eq!(std::mem::take(&mut x.cpu.pending_debug) == 1, hit, "{at:x}");
    }
    // Four ports from 60h on.
    r.cpu.dr[0] = 0x60;
    r.cpu.dr7 = 0x000e_0401;
    for de in [false, true] {
        r.cpu.cr4 = r.cpu.cr4 & !cr4::DE | if de { cr4::DE } else { 0 };
        let mut x = r.exec();
        for (port, width, hit) in
            [(0x5f, 1, false), (0x5f, 2, true), (0x60, 1, true), (0x63, 1, true), (0x64, 4, false)]
        {
            helper::port_in(&mut x, port, width);
            assert_eq!(std::mem::take(&mut x.cpu.pending_debug) == 1, hit && de, "port {port:x}, DE {de}");
        }
    }
}

/// The save area at SMBASE + 8000h (APM volume 2, table 10-1; SDM volume 3, table 32-1).
#[test]
fn smm_save_area() {
    const AREA: u64 = 0x3_8000;
    let mut r = long(0);
    r.cpu.gpr = std::array::from_fn(|i| 0x1111_0000_0000 + i as u64);
    r.cpu.dr6 = 0xffff_0ff1;
    helper::enter_smm(&mut r.exec());
    let slots = [
        (0x7ff8, 0),
        (0x7ff0, 1),
        (0x7fe8, 2),
        (0x7fe0, 3),
        (0x7fd8, 4),
        (0x7fd0, 5),
        (0x7fc8, 6),
        (0x7fc0, 7),
    ];
    for (at, n) in slots.into_iter().chain((8..16).map(|n| (0x7fb8 - 8 * (n - 8), n))) {
        assert_eq!(r.get64(AREA + at), 0x1111_0000_0000 + n, "register {n}");
    }
    for (at, v) in [
        (0x7f78, 0x7777),
        (0x7f68, 0xffff_0ff1),
        (0x7f60, 0x400),
        (0x7f50, 0x1000),
        (0x7e68, GDT),
        (0x7e98, TSS),
    ] {
        assert_eq!(r.get64(AREA + at), v, "{at:x}");
    }
    assert_eq!((r.get16(AREA + 0x7e10), r.get32(AREA + 0x7f00)), (CODE, 0x3_0000));
    let mut r = Rig::new("pentium3", 256);
    r.protected(3);
    r.cpu.gpr = std::array::from_fn(|i| if i < 8 { 0x100 + i as u64 } else { 0 });
    r.cpu.rip = 0x7777;
    helper::enter_smm(&mut r.exec());
    for n in 0..8u64 {
        assert_eq!(r.get32(AREA + 0x7fd0 + 4 * n), 0x100 + n as u32, "EAX upwards, register {n}");
    }
    assert_eq!(
        (r.get32(AREA + 0x7ff0), r.get32(AREA + 0x7fac), r.get32(AREA + 0x7ef8)),
        (0x7777, 0xb, 0x3_0000)
    );
}

/// SMM blocks NMI, RSM puts blocking and HLT back, and shuts down on a state that can't be (SDM volume 3, 32.4.2, 32.8, 32.10).
#[test]
fn what_rsm_restores_and_refuses() {
    const AREA: u64 = 0x3_8000;
    for (blocked, halted) in [(false, false), (true, false), (false, true)] {
        for model in ["x86-64-v2", "pentium3"] {
            let mut r = if model == "pentium3" { Rig::new(model, 256) } else { long(0) };
            if model == "pentium3" {
                r.protected(0);
                r.cpu.cr4 = cr4::PSE;
            }
            r.cpu.nmi_blocked = blocked;
            r.cpu.activity = if halted { Activity::Halted } else { Activity::Running };
            let before = r.cpu.clone();
            helper::enter_smm(&mut r.exec());
            assert!(r.cpu.nmi_blocked && r.cpu.activity == Activity::Running);
            helper::rsm(&mut r.exec()).unwrap();
            assert_eq!(r.cpu, before, "{model}, NMI blocked {blocked}, halted {halted}");
        }
    }
    // CR0: PG without PE, NW without CD. CR4: a bit that isn't there. Long mode without paging.
    let c0 = cr0::PE | cr0::PG;
    for (at, v) in [
        (0x7f58, cr0::PG),
        (0x7f58, c0 | cr0::NW),
        (0x7f58, cr0::PE),
        (0x7f48, cr4::PAE | 1 << 31),
        (0x7f48, 0),
    ] {
        let mut r = long(0);
        helper::enter_smm(&mut r.exec());
        r.put64(AREA + at, v);
        helper::rsm(&mut r.exec()).unwrap();
        assert_eq!(r.cpu.activity, Activity::Shutdown, "{at:x}: {v:x}");
    }
}
