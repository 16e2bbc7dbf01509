//! x87, MMX and SSE on a processor at work: which encodings there are, when they are available, alignment, faults with their
//! state, and the images in memory. Expectations from the Intel SDM (sections named at each test) and from flat programs
//! whose results were read off a processor.

mod rig;
use iced_x86::code_asm::*;
use iced_x86::{Code, CpuidFeature, EncodingKind, IcedError};
use lucid86_cpu::meaning::{sse, x87};
use lucid86_cpu::state::{F80, TableReg, cr0, cr4, gpr};
use rig::Rig;

const CODE: u64 = 0x1000;
const DATA: u64 = 0x4000;
/// Handler of vector v is at HANDLERS + 16 v.
const HANDLERS: u64 = 0x1_2000;

/// 64-bit mode at CPL 0, identity map of 2 MiB, an IDT whose handlers are HLT, RSI = DATA, SSE and #MF enabled.
fn machine() -> Rig {
    let mut r = Rig::new("x86-64-v2,+aes,+pclmulqdq,+sha,+xsave,+xsaveopt", 512);
    r.long(0, 0x10_0000);
    r.put64(0x10_0000, 0x10_1003);
    r.put64(0x10_1000, 0x10_2003);
    r.put64(0x10_2000, 0x83);
    r.put64(0x1_1008, 0x00af_9b00_0000_ffff);
    r.put64(0x1_1010, 0x00cf_9300_0000_ffff);
    r.cpu.gdtr = TableReg { base: 0x1_1000, limit: 0x17 };
    for v in 0..32u64 {
        let h = HANDLERS + 16 * v;
        r.put64(0x1_1800 + 16 * v, h & 0xffff | 8 << 16 | 0x8e00 << 32 | (h >> 16) << 48);
        r.put64(0x1_1808 + 16 * v, 0);
        r.mem.write_physical(h, &[0xf4]);
    }
    r.cpu.idtr = TableReg { base: 0x1_1800, limit: 0x1ff };
    r.cpu.cr0 = r.cpu.cr0 & !(cr0::EM | cr0::TS) | cr0::NE | cr0::MP;
    r.cpu.cr4 |= cr4::OSFXSR | cr4::OSXMMEXCPT;
    r.cpu.fpu.init();
    r.cpu.mxcsr = 0x1f80;
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r.cpu.gpr[gpr::RSI] = DATA;
    r
}

/// Runs a program to its HLT; the vector whose handler it ended in, if any.
fn run(r: &mut Rig, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Option<u64> {
    let mut a = CodeAssembler::new(64).expect("assembler");
    f(&mut a).expect("program");
    a.hlt().expect("hlt");
    r.mem.write_physical(CODE, &a.assemble(CODE).expect("assembled"));
    r.cpu.rip = CODE;
    r.cpu.activity = Default::default();
    let _ = r.run(100_000);
    let rip = r.cpu.rip;
    (HANDLERS..HANDLERS + 0x200).contains(&rip).then(|| (rip - HANDLERS) / 16)
}

fn xmm(r: &Rig, n: usize) -> [u64; 2] {
    [r.cpu.vec[n].0[0], r.cpu.vec[n].0[1]]
}

#[test]
fn every_encoding_has_a_meaning() {
    use CpuidFeature as F;
    let ours = |f: F| {
        matches!(
            f,
            F::FPU
                | F::FPU387
                | F::MMX
                | F::SSE
                | F::SSE2
                | F::SSE3
                | F::SSSE3
                | F::SSE4_1
                | F::SSE4_2
                | F::AES
                | F::PCLMULQDQ
                | F::SHA
                | F::FXSR
                | F::CMOV
        )
    };
    // Not vectors: hints and fences (`crate::meaning::moves`), and forms with a WAIT before them, which decode as two.
    let elsewhere = |c: Code| {
        let n = format!("{c:?}");
        let waits = ["Fstenv", "Fstcw", "Fclex", "Finit", "Fsave", "Fstsw", "Feni", "Fdisi", "Fsetpm"];
        n.starts_with("Prefetch")
            || n.starts_with("Cmov")
            || n.contains("fence")
            || n.starts_with("Crc32")
            || n.starts_with("Movnti")
            || n.starts_with("Fx")
            || n.starts_with("Fstdw")
            || n.starts_with("Fstsg")
            || waits.iter().any(|w| n.starts_with(w))
    };
    let missing: Vec<_> = Code::values()
        .filter(|c| c.op_code().encoding() == EncodingKind::Legacy)
        .filter(|c| c.cpuid_features().iter().all(|&f| ours(f)))
        .filter(|&c| !elsewhere(c) && !x87::known(c) && !sse::known(c))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn flat_programs_give_what_a_processor_gave() {
    let mut r = machine();
    r.put32(DATA, 3);
    let end = run(&mut r, |a| {
        a.fldpi()?;
        a.fld(st0)?;
        a.fmulp(st1, st0)?;
        a.fsqrt()?;
        a.fild(dword_ptr(rsi))?;
        a.fdiv_2(st0, st1)?;
        a.mov(rax, 0x0807_0605_0403_0201u64)?;
        a.movq(xmm0, rax)?;
        a.punpcklbw(xmm0, xmm0)?;
        a.pshufd(xmm1, xmm0, 0x1b)?;
        a.movdqa(xmm2, xmm1)?;
        a.paddusb(xmm2, xmm0)
    });
    assert_eq!(end, None);
    assert_eq!(r.cpu.fpu.regs[6], F80 { mant: 0xf476_4525_7566_1fbf, se: 0x3ffe });
    assert_eq!(r.cpu.fpu.regs[7], F80 { mant: 0xc90f_daa2_2168_c235, se: 0x4000 });
    assert_eq!(xmm(&r, 0), [0x0404_0303_0202_0101, 0x0808_0707_0606_0505]);
    assert_eq!(xmm(&r, 1), [0x0606_0505_0808_0707, 0x0202_0101_0404_0303]);
    assert_eq!(xmm(&r, 2), [0x0a0a_0808_0a0a_0808, 0x0a0a_0808_0a0a_0808]);
}

/// SDM volume 3, tables 2-2 and 13-1; volume 2, section 2.4.
#[test]
fn availability_follows_control_registers() {
    type Program = fn(&mut CodeAssembler) -> Result<(), IcedError>;
    let programs: [(&str, Program); 5] = [
        ("x87", |a| a.fld1()),
        ("wait", |a| a.wait()),
        ("mmx", |a| a.paddb(mm0, mm1)),
        ("sse", |a| a.addps(xmm0, xmm1)),
        ("fxsave", |a| a.fxsave(ptr(rsi))),
    ];
    // (set in CR0, cleared in CR4) and the vector for each program.
    let cases = [
        (0, 0, [None, None, None, None, None]),
        (cr0::EM, 0, [Some(7), None, Some(6), Some(6), Some(7)]),
        (cr0::TS, 0, [Some(7), Some(7), Some(7), Some(7), Some(7)]),
        (cr0::EM | cr0::TS, 0, [Some(7), Some(7), Some(6), Some(6), Some(7)]),
        (0, cr4::OSFXSR, [None, None, None, Some(6), None]),
    ];
    for (set, clear, expected) in cases {
        for ((name, program), expected) in programs.into_iter().zip(expected) {
            let mut r = machine();
            r.cpu.cr0 |= set;
            r.cpu.cr4 &= !clear;
            assert_eq!(run(&mut r, program), expected, "{name} with CR0 {set:x}, CR4 without {clear:x}");
        }
    }
    let mut r = machine();
    assert_eq!(run(&mut r, |a| a.xsave(ptr(rsi))), Some(6), "XSAVE without CR4.OSXSAVE");
    let mut r = machine();
    r.cpu.cr0 = r.cpu.cr0 & !cr0::MP | cr0::TS;
    assert_eq!(run(&mut r, |a| a.wait()), None, "WAIT with MP clear");
}

/// SDM volume 2, tables 2-18 and following: legacy SSE operands of 16 bytes are aligned, except where the name says not.
#[test]
fn alignment() {
    type Program = fn(&mut CodeAssembler) -> Result<(), IcedError>;
    let programs: [(Program, Option<u64>); 10] = [
        (|a| a.movaps(xmm0, xmmword_ptr(rsi + 8)), Some(13)),
        (|a| a.movups(xmm0, xmmword_ptr(rsi + 8)), None),
        (|a| a.movaps(xmmword_ptr(rsi + 1), xmm0), Some(13)),
        (|a| a.movdqu(xmmword_ptr(rsi + 1), xmm0), None),
        (|a| a.paddd(xmm0, xmmword_ptr(rsi + 4)), Some(13)),
        (|a| a.addsd(xmm0, qword_ptr(rsi + 1)), None),
        (|a| a.cvtps2pd(xmm0, qword_ptr(rsi + 3)), None),
        (|a| a.pcmpistri(xmm0, xmmword_ptr(rsi + 3), 0), None),
        (|a| a.fxsave(ptr(rsi + 8)), Some(13)),
        (|a| a.movntdqa(xmm0, xmmword_ptr(rsi + 8)), Some(13)),
    ];
    for (n, (program, expected)) in programs.into_iter().enumerate() {
        let mut r = machine();
        assert_eq!(run(&mut r, program), expected, "{n}");
    }
}

/// SDM volume 1, section 9.5 (MMX and x87 share registers): TOP = 0, tags valid, exponents all ones; EMMS empties.
#[test]
fn mmx_registers_are_x87_registers() {
    let mut r = machine();
    assert_eq!(
        run(&mut r, |a| {
            a.fld1()?;
            a.fldpi()?;
            a.mov(rax, 0x1122_3344_5566_7788u64)?;
            a.movq(mm3, rax)
        }),
        None
    );
    assert_eq!(r.cpu.fpu.top(), 0);
    assert_eq!(r.cpu.fpu.tag, 0xff);
    assert_eq!(r.cpu.fpu.regs[3], F80 { mant: 0x1122_3344_5566_7788, se: 0xffff });
    assert_eq!(r.cpu.fpu.regs[7], F80 { mant: 1 << 63, se: 0x3fff });
    assert_eq!(run(&mut r, |a| a.emms()), None);
    assert_eq!(r.cpu.fpu.tag, 0);
}

/// SDM volume 1, section 8.7: an unmasked error is reported by the next waiting instruction, #MF with CR0.NE, FERR# without.
#[test]
fn x87_errors_are_reported_late() {
    let divide = |a: &mut CodeAssembler| {
        a.fldcw(word_ptr(rsi))?;
        a.fld1()?;
        a.fldz()?;
        a.fdivp(st1, st0)?;
        a.mov(eax, 1)?;
        a.fnstsw(ax)?;
        a.fnop()
    };
    let mut r = machine();
    r.put32(DATA, 0x37b);
    assert_eq!(run(&mut r, divide), Some(16));
    assert_eq!(r.cpu.gpr[gpr::RAX] & 0x80bf, 0x8084, "zero divide and the summary");
    let mut r = machine();
    r.cpu.cr0 &= !cr0::NE;
    r.put32(DATA, 0x37b);
    assert_eq!(run(&mut r, divide), None);
    assert!(r.cpu.ferr);
    assert_eq!(run(&mut r, |a| a.fnclex()), None);
    assert!(!r.cpu.ferr);
    // MMX and a WAIT report too; FNSTCW doesn't.
    let mut r = machine();
    r.put32(DATA, 0x37b);
    let program = |a: &mut CodeAssembler| {
        a.fldcw(word_ptr(rsi))?;
        a.fldz()?;
        a.fld1()?;
        a.fdiv_2(st0, st1)?;
        a.fnstcw(word_ptr(rsi + 4))?;
        a.paddb(mm0, mm1)
    };
    assert_eq!(run(&mut r, program), Some(16));
    assert_eq!(r.get16(DATA + 4), 0x37b);
    assert_eq!(r.cpu.fpu.top(), 6, "the MMX instruction has not happened");
}

/// SDM volume 1, section 11.5: #XM with CR4.OSXMMEXCPT, else #UD; the flag is set, the destination is not.
#[test]
fn unmasked_sse_exceptions() {
    for (set, vector) in [(cr4::OSXMMEXCPT, 19), (0, 6)] {
        let mut r = machine();
        r.cpu.cr4 = r.cpu.cr4 & !cr4::OSXMMEXCPT | set;
        r.cpu.mxcsr = 0x1d80;
        r.cpu.vec[0].0[0] = 1.0f64.to_bits();
        assert_eq!(run(&mut r, |a| a.divsd(xmm0, xmm1)), Some(vector));
        assert_eq!(r.cpu.mxcsr, 0x1d84);
        assert_eq!(r.cpu.vec[0].0[0], 1.0f64.to_bits());
    }
    let mut r = machine();
    r.put32(DATA, 0x1_1f80);
    assert_eq!(run(&mut r, |a| a.ldmxcsr(dword_ptr(rsi))), Some(13), "a reserved bit of MXCSR");
}

/// SDM volume 1, tables 10-2 and 10-3.
#[test]
fn fxsave_image() {
    let mut r = machine();
    r.mem.write_physical(DATA, &[0xaa; 512]);
    r.cpu.vec[5].0 = [5, 55, 0, 0];
    assert_eq!(
        run(&mut r, |a| {
            a.fldpi()?;
            a.fld1()?;
            a.fxsave64(ptr(rsi))?;
            a.fninit()?;
            a.pxor(xmm5, xmm5)
        }),
        None
    );
    assert_eq!(r.get16(DATA), 0x37f);
    assert_eq!(r.get16(DATA + 2) >> 11 & 7, 6);
    assert_eq!(r.get16(DATA + 4), 0xc0, "R6 and R7 are full; byte 5 is reserved");
    assert_eq!(r.get16(DATA + 6), 0x1e8, "D9 E8");
    assert_eq!(r.get64(DATA + 8), CODE + 2);
    assert_eq!(r.get32(DATA + 24), 0x1f80);
    assert_eq!(r.get32(DATA + 28), 0xffff);
    assert_eq!(r.get64(DATA + 32), 1 << 63, "ST(0) comes first");
    assert_eq!(r.get64(DATA + 48), 0xc90f_daa2_2168_c235);
    assert_eq!([r.get64(DATA + 160 + 80), r.get64(DATA + 168 + 80)], [5, 55]);
    assert_eq!(r.get64(DATA + 464), 0xaaaa_aaaa_aaaa_aaaa, "left to software");
    let before = r.cpu.fpu.regs;
    assert_eq!(run(&mut r, |a| a.fxrstor64(ptr(rsi))), None);
    assert_eq!(r.cpu.fpu.top(), 6);
    assert_eq!(r.cpu.fpu.tag, 0xc0);
    assert_eq!(r.cpu.fpu.regs, before);
    assert_eq!(xmm(&r, 5), [5, 55]);
}

/// SDM volume 1, sections 13.7 and 13.8: only what is asked for and in use; what is not in use comes back as initial.
#[test]
fn xsave_components() {
    let mut r = machine();
    r.cpu.cr4 |= cr4::OSXSAVE;
    r.cpu.xcr0 = 3;
    r.cpu.vec[2].0 = [2, 22, 0, 0];
    assert_eq!(
        run(&mut r, |a| {
            a.xor(edx, edx)?;
            a.mov(eax, 3)?;
            a.xsave64(ptr(rsi))?;
            a.pcmpeqb(xmm2, xmm2)?;
            a.fld1()?;
            a.xrstor64(ptr(rsi))
        }),
        None
    );
    assert_eq!(r.get64(DATA + 512), 2, "x87 was in its initial configuration, SSE in use");
    assert_eq!(xmm(&r, 2), [2, 22]);
    assert_eq!((r.cpu.fpu.tag, r.cpu.fpu.sw), (0, 0));
    // A bit of XSTATE_BV that XCR0 lacks, and a misaligned area.
    r.put64(DATA + 512, 4);
    assert_eq!(run(&mut r, |a| a.xrstor64(ptr(rsi))), Some(13));
    // Reserved bytes of the header, and none behind them (SDM volume 2, XRSTOR).
    r.put64(DATA + 512, 0);
    for (at, refused) in [(520, true), (528, true), (535, true), (536, false)] {
        r.mem.write_physical(DATA + at, &[1]);
        assert_eq!(run(&mut r, |a| a.xrstor64(ptr(rsi))), refused.then_some(13), "byte {at}");
        r.mem.write_physical(DATA + at, &[0]);
    }
    // XSAVEOPT leaves memory alone for what is in its initial configuration (SDM volume 1, 13.9).
    r.put64(DATA, 0x5555);
    let saved = run(&mut r, |a| {
        a.fninit()?;
        a.xor(edx, edx)?;
        a.mov(eax, 1)?;
        a.xsaveopt64(ptr(rsi))
    });
    assert_eq!((saved, r.get64(DATA), r.get64(DATA + 512)), (None, 0x5555, 0));
    assert_eq!(run(&mut r, |a| a.xsave64(ptr(rsi + 16))), Some(13));
}

/// A signalling NaN with the exception unmasked: FLD leaves the stack as it is (SDM volume 1, 8.5.1.2 and table 8-10).
#[test]
fn an_unmasked_invalid_load() {
    let mut r = machine();
    r.put32(DATA, 0x7f80_0001);
    r.put16(DATA + 8, 0x37e);
    let ended = run(&mut r, |a| {
        a.fldcw(word_ptr(rsi + 8))?;
        a.fld(dword_ptr(rsi))?;
        a.fnstsw(ax)?;
        a.fnclex()
    });
    // B, ES and IE, TOP as before.
    assert_eq!((ended, r.cpu.gpr[gpr::RAX] & 0xffff, r.cpu.fpu.tag), (None, 0x8081, 0));
}

/// SDM volume 1, figures 8-9 to 8-12.
#[test]
fn environments() {
    use lucid86_cpu::fpu::image::Form;
    let mut r = machine();
    let f = &mut r.cpu.fpu;
    (f.fcs, f.fip, f.fds, f.fdp, f.fop) = (0x1234, 0x5678, 0x9abc, 0xdef0, 0x5a5);
    let words = |b: &[u8]| b.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect::<Vec<_>>();
    let b = f.environment(Form { wide: false, real: false });
    assert_eq!(words(&b[..14]), [0x37f, 0, 0xffff, 0x5678, 0x1234, 0xdef0, 0x9abc]);
    let b = f.environment(Form { wide: false, real: true });
    // 12340 + 5678 = 179B8; 9ABC0 + DEF0 = A8AB0.
    assert_eq!(words(&b[..14]), [0x37f, 0, 0xffff, 0x79b8, 0x15a5, 0x8ab0, 0xa000]);
    let b = f.environment(Form { wide: true, real: false });
    assert_eq!(words(&b)[6..14], [0x5678, 0, 0x1234, 0x5a5, 0xdef0, 0, 0x9abc, 0xffff]);
    let b = f.environment(Form { wide: true, real: true });
    assert_eq!(words(&b)[6..14], [0x79b8, 0xffff, 0x15a5, 0, 0x8ab0, 0xffff, 0xa000, 0]);
    for form in [(true, false), (false, false)] {
        let form = Form { wide: form.0, real: form.1 };
        let b = f.environment(form);
        let mut g = f.clone();
        g.init();
        g.load_environment(form, &b);
        assert_eq!((g.fcs, g.fip, g.fds, g.fdp), (0x1234, 0x5678, 0x9abc, 0xdef0));
    }
}
