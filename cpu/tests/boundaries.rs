//! What happens between instructions: shadows, single step, breakpoints, RF, NMI blocking, REP and faults. Programs in
//! 32-bit protected mode whose handlers note where they were entered from.
//! Expectations from Intel SDM volume 3, 6.7-6.9 (priorities, NMI, masking), 18.3 (debug exceptions), and volume 2 (REP, STI, MOV).

mod rig;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{Fpu, Seg, TableReg, attr, cr0, cr4, flag, gpr};
use rig::Rig;

const CODE: u64 = 0x1_0000;
const GDT: u64 = 0x1000;
const IDT: u64 = 0x2000;
const STUBS: u64 = 0x4000;
/// Records of eight bytes: vector and return address; the next free one is named at `LOG_END`.
const LOG: u64 = 0x8000;
const LOG_END: u64 = 0x7ff8;
const STACK: u64 = 0x6000;

/// A vector that pushes an error code.
fn has_code(v: u64) -> bool {
    matches!(v, 8 | 10..=14 | 17)
}

/// Flat 32-bit code at level 0; every vector's handler notes (vector, EIP of the frame) and returns, for #UD, #GP, #PF and
/// #BR past the faulting instruction by the number of bytes in EBP.
fn rig(program: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Rig {
    let mut r = Rig::new("x86-64-v2", 512);
    r.protected(0);
    r.put64(GDT + 8, 0x00cf_9b00_0000_ffff);
    r.put64(GDT + 16, 0x00cf_9300_0000_ffff);
    r.cpu.gdtr = TableReg { base: GDT, limit: 0x1f };
    r.cpu.idtr = TableReg { base: IDT, limit: 0x7ff };
    for v in 0..256u64 {
        let at = STUBS + 64 * (v & 63);
        r.put64(IDT + 8 * v, at & 0xffff | 8 << 16 | 0x8e00 << 32 | (at >> 16) << 48);
        if v >= 64 {
            continue;
        }
        let mut a = CodeAssembler::new(32).unwrap();
        stub(&mut a, v).unwrap();
        let code = a.assemble(at).unwrap();
        assert!(code.len() <= 64);
        r.mem.write_physical(at, &code);
    }
    r.put32(LOG_END, LOG as u32);
    let mut a = CodeAssembler::new(32).unwrap();
    program(&mut a).unwrap();
    let code = a.assemble(CODE).unwrap();
    r.mem.write_physical(CODE, &code);
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = STACK;
    r
}

fn stub(a: &mut CodeAssembler, v: u64) -> Result<(), IcedError> {
    if !has_code(v) {
        a.push(0)?;
    }
    a.push(eax)?;
    a.push(ebx)?;
    a.mov(ebx, dword_ptr(LOG_END))?;
    a.mov(eax, dword_ptr(esp + 12))?;
    a.mov(dword_ptr(ebx), v as u32)?;
    a.mov(dword_ptr(ebx + 4), eax)?;
    a.add(dword_ptr(LOG_END), 8)?;
    if matches!(v, 5 | 6 | 13 | 14) {
        a.add(dword_ptr(esp + 12), ebp)?;
    }
    a.pop(ebx)?;
    a.pop(eax)?;
    a.add(esp, 4)?;
    a.iretd()
}

fn run(r: &mut Rig) -> Stop {
    r.run(100_000).0
}

/// The log, addresses relative to the program.
fn log(r: &Rig) -> Vec<(u32, u32)> {
    let end = u64::from(r.get32(LOG_END));
    (LOG..end).step_by(8).map(|at| (r.get32(at), r.get32(at + 4).wrapping_sub(CODE as u32))).collect()
}

fn halts(r: &mut Rig) -> Vec<(u32, u32)> {
    assert_eq!(run(r), Stop::Halted);
    log(r)
}

#[test]
fn sti_shadows_one_instruction() {
    let mut r = rig(|a| {
        a.sti()?; // 0
        a.nop()?; // 1
        a.nop()?; // 2: taken before this one
        a.cli()?;
        a.hlt()
    });
    r.board.interrupt = Some(0x20);
    assert_eq!(halts(&mut r), [(0x20, 2)]);
    // STI; CLI: nothing gets through.
    let mut r = rig(|a| {
        a.sti()?;
        a.cli()?;
        a.nop()?;
        a.hlt()
    });
    r.board.interrupt = Some(0x20);
    assert_eq!(halts(&mut r), []);
    // STI with IF already set has no shadow; STI; HLT wakes after the HLT.
    let mut r = rig(|a| {
        a.sti()?;
        a.hlt()?; // 1
        a.cli()?; // 2
        a.hlt()
    });
    r.board.interrupt = Some(0x21);
    assert_eq!(halts(&mut r), [(0x21, 2)]);
}

/// What an OUT brings about comes before the next instruction, although that is in the same block; with IF clear it comes
/// after the instruction that follows STI.
#[test]
fn an_interrupt_that_a_port_raises_comes_at_once() {
    let mut r = rig(|a| {
        a.sti()?; // 0
        a.mov(al, 0x22)?; // 1
        a.out(i32::from(rig::RAISE), al)?; // 3
        a.inc(ecx)?; // 5
        a.cli()?; // 6
        a.mov(al, 0x23)?; // 7
        a.out(i32::from(rig::RAISE), al)?; // 9
        a.inc(ecx)?; // 11
        a.sti()?; // 12
        a.inc(ecx)?; // 13
        a.inc(ecx)?; // 14
        a.cli()?;
        a.hlt()
    });
    assert_eq!(halts(&mut r), [(0x22, 5), (0x23, 14)]);
    assert_eq!(r.cpu.gpr[gpr::RCX], 4);
}

/// Loads of data segments between accesses of one block: each access goes by what was loaded last (SDM volume 3, section
/// 3.4.3), by MOV, POP and LFS, from flat to a base and limit of its own and back; beyond the limit it is #GP.
#[test]
fn accesses_go_by_the_segment_just_loaded() {
    let mut r = rig(|a| {
        a.mov(ebp, 6)?;
        a.mov(ebx, 0x1111_1111)?;
        a.mov(eax, 0x18)?;
        a.mov(ecx, 0x10)?;
        a.mov(ds, eax)?;
        a.mov(dword_ptr(0x10).ds(), ebx)?;
        a.push(ds)?;
        a.mov(dword_ptr(0x14), ebx)?;
        a.mov(ds, ecx)?;
        a.mov(dword_ptr(0x3_0014), ebx)?;
        a.add(ebx, ebx)?;
        a.pop(es)?;
        a.mov(dword_ptr(0x18).es(), ebx)?;
        a.mov(edx, es)?;
        a.lfs(esi, dword_ptr(0x3_0020))?;
        a.mov(dword_ptr(esi).fs(), ebx)?;
        a.mov(dword_ptr(0x1000).fs(), ebx)?; // beyond the limit
        a.mov(edi, 1)?;
        a.hlt()
    });
    // Base 20000h, 4096 bytes.
    r.put64(GDT + 24, 0x0040_9302_0000_0fff);
    r.put32(0x3_0020, 0x1c);
    r.put32(0x3_0024, 0x18);
    let log = halts(&mut r);
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].0, 13);
    assert_eq!(r.cpu.gpr[gpr::RDX], 0x18);
    let words = [0x2_0010, 0x2_0014, 0x3_0014, 0x2_0018, 0x2_001c].map(|at| r.get32(at));
    assert_eq!(words, [0x1111_1111, 0x1111_1111, 0x1111_1111, 0x2222_2222, 0x2222_2222]);
}

/// PUSHF shows all of RFLAGS but RF and VM (SDM volume 2, PUSHF).
#[test]
fn pushed_flags_are_those_of_the_moment() {
    let mut r = rig(|a| {
        a.mov(eax, 0x7fff_ffff)?;
        a.add(eax, 1)?;
        a.pushfd()?;
        a.pop(ebx)?;
        a.sti()?;
        a.std()?;
        a.stc()?;
        a.pushfd()?;
        a.cli()?;
        a.cld()?;
        a.pop(ecx)?;
        a.hlt()
    });
    let system = flag::ONE | 3 << 12 | flag::ID | flag::AC;
    r.cpu.rflags = system | flag::RF;
    assert_eq!(halts(&mut r), []);
    // 7FFFFFFFh + 1: OF, SF, AF, PF.
    assert_eq!(r.cpu.gpr[gpr::RBX], system | flag::OF | flag::SF | flag::AF | flag::PF);
    let later = flag::OF | flag::SF | flag::AF | flag::PF | flag::CF | flag::DF | flag::IF;
    assert_eq!(r.cpu.gpr[gpr::RCX], system | later);
}

#[test]
fn mov_ss_shadows_interrupts_and_single_step() {
    let mut r = rig(|a| {
        a.mov(ax, 16)?; // 0, 4 bytes
        a.sti()?; // 4
        a.mov(ss, eax)?; // 5, in the shadow of STI
        a.nop()?; // 7, in the shadow of MOV SS
        a.nop()?; // 8
        a.cli()?;
        a.hlt()
    });
    r.board.interrupt = Some(0x20);
    assert_eq!(halts(&mut r), [(0x20, 8)]);
    // TF: no trap between MOV SS and the next instruction.
    let mut r = rig(|a| {
        a.mov(ax, 16)?; // 0
        a.pushfd()?; // 4
        a.or(dword_ptr(esp), flag::TF as i32)?; // 5, 7 bytes
        a.popfd()?; // 12
        a.nop()?; // 13: trap after it, at 14
        a.mov(ss, eax)?; // 14, 2 bytes: none at 16
        a.nop()?; // 16: trap at 17
        a.push(2)?; // 17, TF off, for a #DB would wake HLT
        a.popfd()?;
        a.hlt()
    });
    let l = halts(&mut r);
    assert_eq!(l[..2], [(1, 14), (1, 17)]);
    assert_eq!(r.cpu.dr6 & 1 << 14, 1 << 14);
}

#[test]
fn single_step_over_rep_int_and_popf() {
    // The instruction after POPF that sets TF is the first to trap; REP traps after each iteration.
    let mut r = rig(|a| {
        a.mov(ecx, 3)?; // 0, 5
        a.mov(edi, 0x2_0000)?; // 5, 5
        a.push(0x102)?; // 10, 5
        a.popfd()?; // 15
        a.rep().stosb()?; // 16, 2
        a.push(2)?; // 18, 2
        a.popfd()?; // 20
        a.hlt() // 21
    });
    // The last trap comes after POPF although it cleared TF: TF was set when it began.
    assert_eq!(halts(&mut r), [(1, 16), (1, 16), (1, 18), (1, 20), (1, 21)]);
    // INT clears TF on its way; the handler is not stepped, and no trap comes at its first instruction.
    let mut r = rig(|a| {
        a.push(0x102)?; // 0
        a.popfd()?; // 5
        a.int(0x30)?; // 6, 2
        a.nop()?; // 8
        a.push(2)?; // 9
        a.popfd()?; // 11
        a.hlt()
    });
    // IRET restores TF: the instruction after it runs, then the trap.
    assert_eq!(halts(&mut r), [(0x30, 8), (1, 9), (1, 11), (1, 12)]);
}

#[test]
fn code_breakpoints_and_rf() {
    let mut r = rig(|a| {
        a.nop()?; // 0
        a.nop()?; // 1: breakpoint
        a.nop()?; // 2
        a.hlt()
    });
    // The handler does not set RF, so a bare IRET would meet the breakpoint again for ever: it disarms it instead.
    let mut a = CodeAssembler::new(32).unwrap();
    a.or(dword_ptr(esp + 8), flag::RF as i32).unwrap();
    a.inc(dword_ptr(LOG)).unwrap();
    a.iretd().unwrap();
    let code = a.assemble(STUBS + 64).unwrap();
    r.mem.write_physical(STUBS + 64, &code);
    r.cpu.dr[1] = CODE + 1;
    r.cpu.dr7 = 0x404;
    assert_eq!(run(&mut r), Stop::Halted);
    assert_eq!(r.get32(LOG), 1, "once");
    assert_eq!(r.cpu.dr6 & 15, 2);
    assert_eq!(r.cpu.rflags & flag::RF, 0, "cleared by the instruction");
}

#[test]
fn data_and_io_breakpoints_trap_after_the_instruction() {
    let mut r = rig(|a| {
        a.mov(eax, dword_ptr(0x2_0000))?; // 0, 5: loads do not hit
        a.mov(dword_ptr(0x2_0000), eax)?; // 5, 5: hits, reported at 10
        a.mov(dx, 0x60)?; // 10, 4
        a.in_(al, dx)?; // 14: hits, reported at 15
        a.mov(dword_ptr(0x2_0004), eax)?; // 15, 5
        a.hlt()
    });
    r.cpu.cr4 |= cr4::DE;
    r.cpu.dr[0] = 0x2_0000;
    r.cpu.dr[3] = 0x60;
    // DR0: 4 bytes, writes; DR3: 1 byte, I/O.
    r.cpu.dr7 = 0x400 | 1 | 0x40 | 0xd << 16 | 2 << 28;
    assert_eq!(halts(&mut r), [(1, 10), (1, 15)]);
    assert_eq!(r.cpu.dr6 & 15, 8, "the second replaced the first");
}

#[test]
fn nmi_waits_for_iret() {
    let mut r = rig(|a| {
        a.nop()?;
        a.hlt()
    });
    // The NMI handler latches another one by hand: it comes only after the IRET.
    r.cpu.nmi_pending = true;
    r.cpu.nmi_blocked = true;
    assert_eq!(halts(&mut r), [], "blocked");
    r.cpu.rip = CODE;
    r.cpu.nmi_blocked = false;
    r.cpu.activity = Default::default();
    assert_eq!(halts(&mut r), [(2, 0)]);
    assert!(!r.cpu.nmi_blocked);
}

#[test]
fn hlt_with_nmi_and_interrupts_off() {
    let mut r = rig(|a| {
        a.hlt()?; // 0
        a.hlt() // 1
    });
    assert_eq!(run(&mut r), Stop::Halted);
    r.board.interrupt = Some(0x20);
    assert_eq!(run(&mut r), Stop::Halted);
    assert_eq!(log(&r), []);
    r.board.interrupt = None;
    r.cpu.nmi_pending = true;
    assert_eq!(halts(&mut r), [(2, 1)]);
}

/// REP MOVSB whose fifth store page-faults: four bytes moved, registers at the fifth, EIP at the instruction.
#[test]
fn rep_stops_where_it_faults() {
    let mut r = rig(|a| {
        a.mov(esi, 0x2_0000)?; // 0
        a.mov(edi, 0x2_1ffc)?; // 5
        a.mov(ecx, 9)?; // 10
        a.mov(ebp, 2)?; // 15
        a.rep().movsb()?; // 20, 2
        a.hlt()
    });
    // Identity map of 2 MiB; page 22000h absent.
    r.put32(0x3_0000, 0x3_1003);
    for i in 0..512u32 {
        r.put32(0x3_1000 + 4 * u64::from(i), i << 12 | 3);
    }
    r.put32(0x3_1000 + 4 * 0x22, 0);
    r.cpu.cr3 = 0x3_0000;
    r.cpu.cr0 |= cr0::PG;
    r.mem.write_physical(0x2_0000, b"abcdefghi");
    assert_eq!(halts(&mut r), [(14, 20)]);
    let g = &r.cpu.gpr;
    assert_eq!((g[gpr::RCX], g[gpr::RSI], g[gpr::RDI]), (5, 0x2_0004, 0x2_2000));
    assert_eq!(r.get32(0x2_1ffc), u32::from_le_bytes(*b"abcd"));
    assert_eq!(r.cpu.cr2, 0x2_2000);
}

/// Real mode to protected, to long, to compatibility mode, back to protected and real, as SDM 10.8 and 9.9 ask.
#[test]
fn modes_in_every_direction() {
    let mut r = Rig::new("x86-64-v2", 512);
    let descriptors: [u64; 7] = [
        0,
        0x00cf_9b00_0000_ffff, // 8: 32-bit code
        0x00cf_9300_0000_ffff, // 10: data
        0x00af_9b00_0000_ffff, // 18: 64-bit code
        0x0000_9b00_0000_ffff, // 20: 16-bit code
        0x0000_9300_0000_ffff, // 28: 16-bit data
        0x0000_8900_9000_0067, // 30: TSS at 9000h
    ];
    for (i, d) in descriptors.iter().enumerate() {
        r.put64(GDT + 8 * i as u64, *d);
    }
    r.put16(0x1800, 0x37);
    r.put32(0x1802, GDT as u32);
    r.put64(0x3_0000, 0x3_1003);
    r.put64(0x3_1000, 0x83);
    let place = |r: &mut Rig, bits, at, f: &dyn Fn(&mut CodeAssembler) -> Result<(), IcedError>| {
        let mut a = CodeAssembler::new(bits).unwrap();
        f(&mut a).unwrap();
        let code = a.assemble(at).unwrap();
        r.mem.write_physical(at, &code);
    };
    let far = |r: &mut Rig, at: u64, offset: u32, selector: u16, prefix: bool| {
        // JMP ptr16:32 (16-bit code: with 66h).
        let mut b = vec![];
        if prefix {
            b.push(0x66);
        }
        b.push(0xea);
        b.extend(offset.to_le_bytes());
        b.extend(selector.to_le_bytes());
        r.mem.write_physical(at, &b);
    };
    // Real mode.
    place(&mut r, 16, 0xa000, &|a| {
        a.lgdt(ptr(0x1800))?;
        a.mov(eax, cr0)?;
        a.or(eax, 1)?;
        a.mov(cr0, eax)?;
        a.jmp(0xa100)
    });
    far(&mut r, 0xa100, 0xb000, 8, true);
    // 32-bit protected mode.
    place(&mut r, 32, 0xb000, &|a| {
        a.mov(eax, 0x10)?;
        a.mov(ds, eax)?;
        a.mov(ss, eax)?;
        a.mov(dword_ptr(0x2_0000), 32)?;
        a.mov(eax, 0x30)?;
        a.ltr(ax)?;
        a.mov(eax, cr4)?;
        a.or(eax, cr4::PAE as i32)?;
        a.mov(cr4, eax)?;
        a.mov(eax, 0x3_0000)?;
        a.mov(cr3, eax)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.or(eax, 0x100)?;
        a.wrmsr()?;
        a.mov(eax, cr0)?;
        a.or(eax, i32::MIN)?;
        a.mov(cr0, eax)?;
        a.jmp(0xb200)
    });
    far(&mut r, 0xb200, 0xc000, 0x18, false);
    // 64-bit mode; to compatibility mode by RETFQ.
    place(&mut r, 64, 0xc000, &|a| {
        a.mov(rsp, 0x6000u64)?;
        a.mov(rax, 0x1122_3344_5566_7788u64)?;
        a.mov(qword_ptr(0x2_0008), rax)?;
        a.push(8)?;
        a.push(0xd000)?;
        a.db(&[0x48, 0xcb])
    });
    // Compatibility mode: paging off, long mode off, 16-bit segment, real mode.
    place(&mut r, 32, 0xd000, &|a| {
        a.mov(dword_ptr(0x2_0010), 0x33)?;
        a.mov(eax, cr0)?;
        a.and(eax, i32::MAX)?;
        a.mov(cr0, eax)?;
        a.mov(ecx, 0xc000_0080u32)?;
        a.rdmsr()?;
        a.mov(dword_ptr(0x2_0014), eax)?;
        a.xor(eax, eax)?;
        a.wrmsr()?;
        a.jmp(0xd100)
    });
    far(&mut r, 0xd100, 0xe000, 0x20, false);
    place(&mut r, 16, 0xe000, &|a| {
        a.mov(ax, 0x28)?;
        a.mov(ds, ax)?;
        a.mov(ss, ax)?;
        a.mov(eax, cr0)?;
        a.and(al, 0xfe)?;
        a.mov(cr0, eax)?;
        a.jmp(0xe100)
    });
    // JMP 0:F000h in real mode.
    r.mem.write_physical(0xe100, &[0xea, 0x00, 0xf0, 0x00, 0x00]);
    place(&mut r, 16, 0xf000, &|a| {
        a.mov(ax, 0x2000)?;
        a.mov(ds, ax)?;
        a.mov(word_ptr(0x18), 0x16)?;
        a.hlt()
    });
    let code = &mut r.cpu.seg[1];
    (code.base, code.selector) = (0, 0);
    r.cpu.rip = 0xa000;
    assert_eq!(run(&mut r), Stop::Halted);
    assert_eq!(r.get32(0x2_0000), 32);
    assert_eq!(r.get64(0x2_0008), 0x1122_3344_5566_7788);
    assert_eq!(r.get32(0x2_0010), 0x33);
    assert_eq!(r.get32(0x2_0014), 0x100, "LMA went with PG, LME stays");
    assert_eq!(r.get16(0x2_0018), 0x16);
    assert!(!r.cpu.is_protected());
}

/// LOCK is #UD on anything that doesn't write memory, and on register destinations (SDM volume 2, LOCK).
#[test]
fn lock_legality() {
    let cases: &[(&[u8], bool)] = &[
        (&[0xf0, 0x01, 0x05, 0, 0, 2, 0], true),        // lock add [20000], eax
        (&[0xf0, 0x01, 0xc0], false),                   // lock add eax, eax
        (&[0xf0, 0x90], false),                         // lock nop
        (&[0xf0, 0x03, 0x05, 0, 0, 2, 0], false),       // lock add eax, [20000]
        (&[0xf0, 0x39, 0x05, 0, 0, 2, 0], false),       // lock cmp [20000], eax
        (&[0xf0, 0x87, 0x05, 0, 0, 2, 0], true),        // lock xchg
        (&[0xf0, 0x89, 0x05, 0, 0, 2, 0], false),       // lock mov
        (&[0xf0, 0x0f, 0xb1, 0x0d, 0, 0, 2, 0], true),  // lock cmpxchg
        (&[0xf0, 0x0f, 0xc7, 0x0d, 0, 0, 2, 0], true),  // lock cmpxchg8b
        (&[0xf0, 0x0f, 0xa3, 0x05, 0, 0, 2, 0], false), // lock bt
        (&[0xf0, 0x0f, 0xab, 0x05, 0, 0, 2, 0], true),  // lock bts
        (&[0xf0, 0xf7, 0x1d, 0, 0, 2, 0], true),        // lock neg
        (&[0xf0, 0xff, 0x35, 0, 0, 2, 0], false),       // lock push
        (&[0xf0, 0x0f, 0xc1, 0x05, 0, 0, 2, 0], true),  // lock xadd
    ];
    for (bytes, legal) in cases {
        let mut r = rig(|a| {
            a.db(bytes)?;
            a.hlt()
        });
        r.cpu.gpr[gpr::RBP] = bytes.len() as u64;
        let want: &[(u32, u32)] = if *legal { &[] } else { &[(6, 0)] };
        assert_eq!(halts(&mut r), want, "{bytes:02x?}");
    }
}

/// What a model lacks is #UD on it, also where other models have it in the host's unit (SDM volume 2, "Exceptions" of each
/// instruction and its CPUID flag).
#[test]
fn what_a_model_lacks() {
    let cases: &[(&str, &[u8])] = &[
        ("pentium-mmx", &[0xdb, 0xc0]),                         // fcmovnb st0, st0
        ("pentium-mmx", &[0xda, 0xc9]),                         // fcmove st0, st1
        ("486", &[0xdb, 0xf1]),                                 // fcomi st0, st1
        ("pentium", &[0xdf, 0xe9]),                             // fucomip st0, st1
        ("pentium3", &[0xdb, 0x0d, 0, 0, 2, 0]),                // fisttp dword [20000]
        ("pentium3", &[0xdd, 0x0d, 0, 0, 2, 0]),                // fisttp qword [20000]
        ("pentium", &[0x0f, 0x44, 0xc1]),                       // cmove eax, ecx
        ("pentium", &[0x0f, 0xfe, 0xc1]),                       // paddd mm0, mm1
        ("486", &[0x0f, 0xc7, 0x0d, 0, 0, 2, 0]),               // cmpxchg8b [20000]
        ("386", &[0x0f, 0xc8]),                                 // bswap eax
        ("pentium3", &[0x66, 0x0f, 0x58, 0xc1]),                // addpd xmm0, xmm1
        ("core2", &[0x66, 0x0f, 0x38, 0x17, 0xc1]),             // ptest xmm0, xmm1
        ("core2", &[0x66, 0x0f, 0x38, 0x37, 0xc1]),             // pcmpgtq xmm0, xmm1
        ("x86-64-v2,-sse4.2", &[0xf2, 0x0f, 0x38, 0xf1, 0xc1]), // crc32 eax, ecx
        ("x86-64-v2,-fxsr", &[0x0f, 0xae, 5, 0, 0, 2, 0]),      // fxsave [20000]
    ];
    for (model, bytes) in cases {
        let mut r = rig(|a| {
            a.nop()?;
            a.db(bytes)?;
            a.hlt()
        });
        r.cpu.model = lucid86_cpu::model::CpuModel::parse(model).expect(model);
        r.cpu.gpr[gpr::RBP] = bytes.len() as u64;
        r.cpu.cr4 |= cr4::OSFXSR;
        // As FNINIT leaves it: with exceptions unmasked, as after reset, x87 code isn't translated.
        r.cpu.fpu = Fpu::default();
        assert_eq!(halts(&mut r), [(6, 1)], "{model}: {bytes:02x?}");
    }
}

/// Between iterations RF is set, and an interrupt there pushes it set; after the last it is clear (SDM 18.3.1.1).
#[test]
fn rf_between_iterations() {
    let mut r = rig(|a| {
        a.mov(ecx, 8)?; // 0
        a.mov(edi, 0x2_0000)?; // 5
        a.rep().stosb()?; // 10
        a.hlt()
    });
    r.cpu.rflags |= flag::IF;
    assert_eq!(r.run(5).0, Stop::Limit);
    assert_eq!((r.cpu.rip, r.cpu.gpr[gpr::RCX]), (CODE + 10, 5));
    assert_ne!(r.cpu.rflags & flag::RF, 0);
    r.board.interrupt = Some(0x20);
    assert_eq!(halts(&mut r), [(0x20, 10)]);
    // The frame below the stack's top still holds the image.
    assert_ne!(u64::from(r.get32(STACK - 4)) & flag::RF, 0);
    assert_eq!(r.cpu.rflags & flag::RF, 0);
    assert_eq!(r.cpu.gpr[gpr::RCX], 0);
}

/// MOV SS holds back all that would come at the boundary behind it: breakpoints, NMI, the trap of TF (SDM volume 3, 6.8.3).
#[test]
fn mov_ss_holds_everything_back() {
    // A data breakpoint on its own operand.
    let mut r = rig(|a| {
        a.db(&[0x8e, 0x15, 0, 0, 2, 0])?; // 0: mov ss, [20000h]
        a.nop()?; // 6
        a.hlt() // 7
    });
    r.put16(0x2_0000, 16);
    r.cpu.dr[0] = 0x2_0000;
    r.cpu.dr7 = 0x400 | 1 | 3 << 16;
    assert_eq!(halts(&mut r), [(1, 7)]);
    // An NMI that comes meanwhile.
    let mut r = rig(|a| {
        a.mov(eax, 16)?; // 0
        a.mov(ss, eax)?; // 5
        a.nop()?; // 7
        a.nop()?; // 8
        a.hlt()
    });
    assert_eq!(r.run(2).0, Stop::Limit);
    r.cpu.nmi_pending = true;
    assert_eq!(halts(&mut r), [(2, 8)]);
    // INT n behind it under TF: the step behind MOV SS is lost, it doesn't come in the handler.
    let mut r = rig(|a| {
        a.mov(eax, 16)?; // 0
        a.push(0x102)?; // 5
        a.popfd()?; // 10
        a.mov(ss, eax)?; // 11
        a.int(0x30)?; // 13
        a.nop()?; // 15
        a.push(2)?; // 16
        a.popfd()?; // 18
        a.hlt()
    });
    assert_eq!(halts(&mut r), [(0x30, 15), (1, 16), (1, 18), (1, 19)]);
}

/// IRET sets RF from its image, also when RF was set for the IRET itself (SDM volume 3, 18.3.1.1).
#[test]
fn iret_loads_rf() {
    let mut r = rig(|a| {
        for target in [26, 25] {
            a.push(0x1_0002)?; // 5 bytes
            a.push(8)?; // 2
            a.push(CODE as i32 + target)?; // 5
        }
        a.iretd()?; // 24
        a.iretd()?; // 25
        a.nop()?; // 26: a breakpoint
        a.hlt()
    });
    r.cpu.dr[0] = CODE + 26;
    r.cpu.dr7 = 0x401;
    assert_eq!(halts(&mut r), []);
    assert_eq!(r.cpu.dr6 & 15, 0);
}

/// SDM volume 3, table 6-2: traps of the instruction before come first, then NMI, then interrupts.
#[test]
fn priorities_at_a_boundary() {
    let program = |a: &mut CodeAssembler| {
        a.nop()?;
        a.cli()?;
        a.hlt()
    };
    for debug in [true, false] {
        let mut r = rig(program);
        r.cpu.rflags |= flag::IF;
        r.board.interrupt = Some(0x20);
        r.cpu.pending_debug = if debug { 1 << 14 } else { 0 };
        r.cpu.nmi_pending = !debug;
        assert_eq!(halts(&mut r), [(if debug { 1 } else { 2 }, 0), (0x20, 0)]);
    }
}

/// Instructions within, across and beyond the code segment's limit (SDM volume 3, 5.3).
#[test]
fn code_ends_at_its_limit() {
    for (limit, refused) in [(0, Some(1)), (1, Some(1)), (4, Some(1)), (5, Some(6)), (6, Some(7)), (7, None)]
    {
        let mut r = rig(|a| {
            a.nop()?; // 0
            a.mov(eax, 5)?; // 1
            a.nop()?; // 6
            a.hlt() // 7
        });
        // The handler's IRET loads the segment anew, without this limit.
        r.cpu.seg[Seg::Cs as usize].limit = (CODE + limit) as u32;
        assert_eq!(
            halts(&mut r),
            refused.map(|at| (13, at)).into_iter().collect::<Vec<_>>(),
            "limit {limit}"
        );
    }
}

/// A 16-bit address size wraps within a segment that goes on, wherever the segment begins (SDM volume 1, 3.3.7, 3.6).
#[test]
fn rep_wraps_at_its_address_size() {
    let mut r = rig(|a| {
        a.mov(edi, 0x1234_fff8)?;
        a.mov(ecx, 0xabcd_0010u32)?;
        a.mov(eax, 0x5a)?;
        a.db(&[0x67, 0xf3, 0xaa])?; // a16 rep stosb
        a.hlt()
    });
    r.cpu.seg[Seg::Es as usize].base = 0x2_0010;
    assert_eq!(halts(&mut r), []);
    assert_eq!((r.cpu.gpr[gpr::RDI], r.cpu.gpr[gpr::RCX]), (0x1234_0008, 0xabcd_0000));
    let fives = 0x5a5a_5a5a_5a5a_5a5a;
    assert_eq!((r.get64(0x3_0008), r.get64(0x3_0010)), (fives, 0));
    assert_eq!((r.get64(0x2_0008), r.get64(0x2_0010), r.get64(0x2_0018)), (0, fives, 0));
}

/// A segment's end in the middle of a row: what lies before it is done (SDM volume 2, REP).
#[test]
fn rep_ends_at_the_limit() {
    let mut r = rig(|a| {
        a.mov(edi, 0x2_0000)?; // 0
        a.mov(ecx, 0x10)?; // 5
        a.mov(eax, 0x5a)?; // 10
        a.rep().stosb()?; // 15
        a.hlt()
    });
    r.cpu.seg[Seg::Es as usize].limit = 0x2_0007;
    r.cpu.gpr[gpr::RBP] = 2;
    assert_eq!(halts(&mut r), [(13, 15)]);
    assert_eq!((r.cpu.gpr[gpr::RDI], r.cpu.gpr[gpr::RCX], r.get64(0x2_0008)), (0x2_0008, 8, 0));
}

/// A comparison that is repeated leaves the flags alone until its last iteration: a fault on the way finds them as before the
/// instruction (SDM volume 2, REP), and so does whoever looks at the processor in between.
#[test]
fn repeated_comparisons_set_flags_at_their_end() {
    let search = |a: &mut CodeAssembler| {
        a.mov(edi, 0x2_0000)?; // 0
        a.mov(ecx, 0x10)?; // 5
        a.mov(eax, 0x5a)?; // 10
        a.stc()?; // 15
        a.repne().scasb()?; // 16
        a.hlt()
    };
    let mut r = rig(search);
    r.cpu.seg[Seg::Es as usize].limit = 0x2_0007;
    r.cpu.gpr[gpr::RBP] = 2;
    assert_eq!(r.run(7).0, Stop::Limit);
    assert_eq!((r.cpu.gpr[gpr::RCX], r.cpu.rflags & flag::CF), (13, flag::CF));
    assert_eq!(halts(&mut r), [(13, 16)]);
    assert_eq!((r.cpu.gpr[gpr::RCX], u64::from(r.get32(STACK - 4)) & flag::CF), (8, flag::CF));
    let mut r = rig(search);
    assert_eq!(halts(&mut r), []);
    assert_eq!((r.cpu.gpr[gpr::RCX], r.cpu.rflags & flag::CF), (0, 0));
}

/// Searches and comparisons of any width end at the first element that ends them (SDM volume 2, SCAS, CMPS, REP).
#[test]
fn searches_end_where_they_must() {
    let (a_at, b_at) = (0x2_0003, 0x3_0001);
    let mut ended = 0;
    for n in 0..600u32 {
        let w = [1, 2, 4][n as usize % 3];
        let (while_equal, compare) = (n / 3 % 2 == 1, n / 6 % 2 == 1);
        // Two values that differ in one bit anywhere; the place where the run of the same ends; no end at all at times.
        let (count, end) = (1 + n % 41, n * 7 % 50);
        let (one, other) =
            (0x8001_7f80u32.rotate_left(n), 0x8001_7f80u32.rotate_left(n) ^ 1 << (n % (8 * w)));
        let mask = u32::MAX >> (32 - 8 * w);
        let element = |k: u32| if (k < end) == while_equal { one } else { other } & mask;
        let mut r = rig(|a| {
            a.mov(esi, a_at)?;
            a.mov(edi, b_at)?;
            a.mov(ecx, count)?;
            a.mov(eax, one)?;
            match (w, compare, while_equal) {
                (1, false, false) => a.repne().scasb()?,
                (1, false, true) => a.repe().scasb()?,
                (1, true, false) => a.repne().cmpsb()?,
                (1, true, true) => a.repe().cmpsb()?,
                (2, false, false) => a.repne().scasw()?,
                (2, false, true) => a.repe().scasw()?,
                (2, true, false) => a.repne().cmpsw()?,
                (2, true, true) => a.repe().cmpsw()?,
                (_, false, false) => a.repne().scasd()?,
                (_, false, true) => a.repe().scasd()?,
                (_, true, false) => a.repne().cmpsd()?,
                (_, true, true) => a.repe().cmpsd()?,
            }
            a.hlt()
        });
        for k in 0..count {
            for i in 0..w {
                r.mem.ram.write(a_at as usize + (k * w + i) as usize, (one >> (8 * i)) as u8);
                r.mem.ram.write(b_at as usize + (k * w + i) as usize, (element(k) >> (8 * i)) as u8);
            }
        }
        assert_eq!(halts(&mut r), []);
        let done = (end + 1).min(count);
        ended += u32::from(end < count);
        assert_eq!(r.cpu.gpr[gpr::RCX], u64::from(count - done), "{n}");
        assert_eq!(r.cpu.gpr[gpr::RDI], u64::from(b_at + done * w), "{n}");
        let zf = r.cpu.rflags & flag::ZF != 0;
        assert_eq!(zf, element(done - 1) == one & mask, "{n}");
    }
    assert!((200..550).contains(&ended), "both kinds of end: {ended}");
}

/// A data breakpoint stops a repeated instruction after the iteration that met it (SDM volume 3, 18.2.5).
#[test]
fn rep_stops_at_a_data_breakpoint() {
    let mut r = rig(|a| {
        a.mov(edi, 0x2_0000)?; // 0
        a.mov(ecx, 8)?; // 5
        a.rep().stosb()?; // 10
        a.hlt() // 12
    });
    r.cpu.dr[0] = 0x2_0002;
    r.cpu.dr7 = 0x400 | 1 | 1 << 16;
    assert_eq!(halts(&mut r), [(1, 10)]);
    assert_eq!((r.cpu.gpr[gpr::RDI], r.cpu.gpr[gpr::RCX]), (0x2_0008, 0));
}

/// A store that begins before a routine and reaches into it changes the routine (SDM volume 3, 13.6, 9.1.3: self-modifying code).
#[test]
fn a_store_that_reaches_into_code() {
    const ROUTINE: u64 = 0x3_0040;
    let mut r = rig(|a| {
        let mut top = a.create_label();
        a.mov(ebp, 20)?;
        a.xor(ebx, ebx)?;
        a.mov(edi, ROUTINE as u32)?;
        a.set_label(&mut top)?;
        // NOP; MOV EAX, EBP.
        a.mov(eax, ebp)?;
        a.shl(eax, 16)?;
        a.or(eax, 0xb890)?;
        a.mov(dword_ptr(ROUTINE - 1), eax)?;
        a.call(edi)?;
        a.add(ebx, eax)?;
        a.dec(ebp)?;
        a.jne(top)?;
        a.hlt()
    });
    r.mem.write_physical(ROUTINE, &[0xb8, 0, 0, 0, 0, 0xc3]);
    assert_eq!(halts(&mut r), []);
    assert_eq!(r.cpu.gpr[gpr::RBX], 20 * 21 / 2);
}

/// Fifteen bytes are the most; beyond is #GP(0) (SDM volume 2, 2.3.11; volume 3, table 6-2).
#[test]
fn the_longest_instruction() {
    for (prefixes, legal) in [(14, true), (15, false)] {
        let mut r = rig(|a| {
            a.db(&[0x66; 15][..prefixes])?;
            a.db(&[0x90])?;
            a.hlt()
        });
        r.cpu.gpr[gpr::RBP] = prefixes as u64 + 1;
        let want: &[(u32, u32)] = if legal { &[] } else { &[(13, 0)] };
        assert_eq!(halts(&mut r), want, "{prefixes} prefixes");
    }
}

/// Expand-down, with the limit at the top: no offset is valid (SDM volume 3, 5.3).
#[test]
fn an_expand_down_segment_without_room() {
    let mut r = rig(|a| {
        a.mov(eax, dword_ptr(0x2_0000))?; // 5 bytes
        a.hlt()
    });
    r.cpu.seg[Seg::Ds as usize].attr |= attr::DC;
    let mut a = CodeAssembler::new(32).unwrap();
    a.hlt().unwrap();
    r.mem.write_physical(STUBS + 64 * 13, &a.assemble(STUBS + 64 * 13).unwrap());
    assert_eq!(run(&mut r), Stop::Halted);
    assert_eq!(r.cpu.rip, STUBS + 64 * 13 + 1, "#GP");
}
