//! Code that the translator treats in ways of its own, by whole programs on both engines: chips, shared probes, counted
//! loops, x87 instructions. Expectations are computed here in Rust or follow from the manual.

mod rig;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{TableReg, flag, gpr};
use rig::code::*;

/// Moves to and from a chip, of each width, with flags alive across them: the chip sees what the interpreter shows it, at
/// the same time.
#[test]
fn moves_to_and_from_a_chip() {
    const ROUNDS: u64 = 20;
    for bits in [32, 64] {
        let (mut r, chip) = if bits == 64 { (long64(), 512 * 4096) } else { (flat32(), 256 * 4096) };
        if bits == 64 {
            // The chip is behind the large page of RAM.
            r.put64(0x10_2008, 0x20_0083);
        }
        let code = assemble(bits, CODE, |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.add(eax, 0x0102_0304)?;
            a.mov(dword_ptr(ebx + 4), eax)?;
            a.mov(byte_ptr(ebx + 9), ah)?;
            a.mov(byte_ptr(ebx + 9), dl)?;
            a.mov(word_ptr(ebx + 6), dx)?;
            a.mov(dword_ptr(ebx + 12), 0x8765_4321u32)?;
            a.mov(byte_ptr(ebx), 0x99)?;
            // What ADD left is still to be seen.
            a.adc(edx, 0)?;
            a.cmp(eax, edx)?;
            a.mov(ecx, dword_ptr(ebx + 4))?;
            a.mov(dh, byte_ptr(ebx + 1))?;
            a.seta(cl)?;
            a.mov(bp, word_ptr(ebx + 2))?;
            a.movzx(edi, word_ptr(ebx + 2))?;
            a.add(edx, edi)?;
            a.movzx(edi, byte_ptr(ebx + 3))?;
            a.lea(edx, dword_ptr(edx + edi * 4))?;
            a.add(edx, ecx)?;
            if bits == 64 {
                a.mov(r9, qword_ptr(rbx + 8))?;
                a.mov(qword_ptr(rbx + 8), r9)?;
                a.mov(qword_ptr(rbx + 8), -2)?;
                a.movzx(r10, byte_ptr(rbx + 3))?;
                a.mov(byte_ptr(rbx + 3), r10b)?;
            }
            a.dec(esi)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[gpr::RBX] = chip;
        r.cpu.gpr[gpr::RSI] = ROUNDS;
        r.board.chip_value = 0x1234_5678_9abc_def0;
        r.board.chip_step = 0x0123_4567_89ab_cdef;
        // `run` compares both engines, what the chip saw included.
        assert_eq!(run(&mut r, 10_000).0, Stop::Halted);
        let log = &r.board.chip_log;
        let writes = if bits == 64 { 9 } else { 6 };
        assert_eq!(log.len() as u64, writes * ROUNDS);
        assert_eq!(log[0], (rig::CHIP, chip + 4, 4, 0x0102_0304));
        assert_eq!(log[1], (rig::CHIP, chip + 9, 1, 3));
        assert_eq!(log[4], (rig::CHIP, chip + 12, 4, 0x8765_4321));
        if bits == 64 {
            assert_eq!(log[7], (rig::CHIP, chip + 8, 8, -2i64 as u64));
            assert_eq!(log.last().map(|l| l.3), Some(r.board.chip_value & 0xff));
        }
    }
}

/// Tables looked up by bytes and the like, wherever they lie: within a page, across the end of one, before a page that is not
/// there (and is never reached). Accessed and dirty bits, which are in memory, are compared like the rest.
#[test]
fn tables() {
    const ROUNDS: u32 = 70;
    for bits in [32, 64] {
        for table in [0x2_0000u32, 0x2_0c00, 0x2_0c04, 0x2_0f80, 0x2_1ff0, 0x2_1400] {
            let mut r = if bits == 64 { long64() } else { flat32() };
            if bits == 64 {
                // 4 KiB pages. Behind 22000h there is none.
                r.put64(0x10_2000, 0x10_3003);
                for n in 0..512 {
                    r.put64(0x10_3000 + 8 * n, (n * 0x1000) | (u64::from(n != 0x22) * 3));
                }
            }
            for n in 0..0x800u64 {
                r.put32(0x2_0000 + 4 * n, (n as u32).wrapping_mul(0x9e37_79b1));
            }
            // Small indices stay in front of the missing page.
            let mask = if table == 0x2_1ff0 { 3 } else { 0xff };
            let code = assemble(bits, CODE, |a| {
                let mut top = a.create_label();
                a.set_label(&mut top)?;
                // A sum as of CRC, by a byte; at another place of the same table; by no base at all.
                a.movzx(eax, bl)?;
                a.and(eax, mask)?;
                a.shr(ebx, 8)?;
                a.xor(ebx, dword_ptr(esi + eax * 4))?;
                a.movzx(eax, bh)?;
                a.and(eax, mask)?;
                a.xor(ebx, dword_ptr(esi + eax * 4))?;
                a.mov(edx, ebx)?;
                a.shr(edx, 24)?;
                a.and(edx, mask)?;
                a.add(ebp, dword_ptr(edx * 4 + table))?;
                a.mov(edi, ebp)?;
                a.and(edi, mask)?;
                // The flags are still to be seen behind the second.
                a.adc(ebp, dword_ptr(edi * 4 + table))?;
                // Counted by bytes.
                a.movzx(edx, byte_ptr(esi + edi * 4))?;
                a.and(edx, mask)?;
                a.inc(dword_ptr(esi + edx * 4))?;
                a.mov(eax, ebx)?;
                a.and(eax, mask)?;
                a.add(dword_ptr(esi + eax * 4), ecx)?;
                a.adc(ebp, 0)?;
                if bits == 64 {
                    // Registers that translated code keeps in memory; 64-bit operands.
                    a.movzx(r9d, bl)?;
                    a.and(r9, mask / 2)?;
                    a.mov(r10, qword_ptr(r8 + r9 * 8))?;
                    a.movzx(r11, r10b)?;
                    a.and(r11, mask / 2)?;
                    a.xor(rbx, qword_ptr(r8 + r11 * 8))?;
                    a.add(qword_ptr(r8 + r11 * 8), r10)?;
                }
                a.dec(ecx)?;
                a.jne(top)?;
                a.hlt()
            });
            r.mem.write_physical(CODE, &code);
            r.cpu.gpr[gpr::RSI] = table.into();
            r.cpu.gpr[8] = table.into();
            r.cpu.gpr[gpr::RBX] = 0x1234_5678;
            r.cpu.gpr[gpr::RCX] = ROUNDS.into();
            assert_eq!(run(&mut r, 100_000).0, Stop::Halted, "{bits} bits, table at {table:x}h");
            if bits == 64 {
                let accessed = |page: u64| r.get16(0x10_3000 + 8 * page) >> 5 & 1;
                assert_eq!([accessed(0x20), accessed(0x22)], [u16::from(table < 0x2_1000), 0]);
            }
        }
    }
}

/// Arrays by indices of 32 bits that go over the end of their range, up and down: in 64-bit code the next element is then 4 GiB
/// away, where another page is mapped; outside long mode addresses wrap with them.
#[test]
fn indices_wrap() {
    /// In the middle of a page: the check for its end must not hide what wraps.
    const ARRAY: u64 = 0x2_0800;
    const PAGE: u64 = ARRAY & !0xfff;
    const FRAME: u64 = 0x4_0000;
    const PASSES: u32 = 90;
    const STEPS: u32 = 8;
    /// Elements in one step, which is one block.
    const EACH: u32 = 3;
    for (bits, down) in [(32, false), (32, true), (64, false), (64, true)] {
        let mut r = if bits == 64 { long64() } else { flat32() };
        if bits == 64 {
            // The page 4 GiB behind the array's.
            r.put64(0x10_1020, 0x10_4003);
            r.put64(0x10_4000, 0x10_5003);
            r.put64(0x10_5000 + 8 * (PAGE >> 12), FRAME | 3);
        }
        for n in 0..0x400u64 {
            for at in [PAGE, FRAME] {
                r.put32(at + 4 * n, (at as u32 ^ n as u32).wrapping_mul(0x9e37_79b1));
            }
        }
        let place = |i: u32| match (bits, ARRAY + u64::from(i)) {
            (64, at) if at >> 32 != 0 => FRAME + (at & 0xfff),
            (_, at) => at & 0xffff_ffff,
        };
        let starts = [0u32, 0x40, 0xffff_ff80, 0xffff_fff0, 0xffff_fffc, 3, 0xffff_ffe0];
        // What is to be found: sums of words at the index and one and two behind it, and what was stored there.
        let mut model = vec![0; 0x8_0000];
        r.mem.read_physical(0, &mut model);
        let mut sum = 0u32;
        for pass in 0..PASSES {
            let mut i = starts[pass as usize % starts.len()];
            for _ in 0..STEPS * EACH {
                let load = |m: &[u8], i: u32| u32::from(m[place(i) as usize]);
                sum = sum.wrapping_add(load(&model, i)).rotate_left(5);
                sum = sum.wrapping_add(load(&model, i.wrapping_add(1)));
                model[place(i.wrapping_add(2)) as usize] = sum as u8;
                i = if down { i.wrapping_sub(1) } else { i.wrapping_add(1) };
            }
        }
        let code = assemble(bits, CODE, |a| {
            let (mut top, mut step) = (a.create_label(), a.create_label());
            let body = |a: &mut CodeAssembler, here: AsmMemoryOperand, next: AsmMemoryOperand| {
                a.movzx(eax, byte_ptr(here))?;
                a.add(ebx, eax)?;
                a.rol(ebx, 5)?;
                a.lea(edx, ptr(esi + 1))?;
                a.movzx(eax, byte_ptr(next))?;
                a.add(ebx, eax)?;
                a.add(edx, 1)?;
                a.mov(byte_ptr(next), bl)
            };
            a.set_label(&mut top)?;
            a.mov(esi, dword_ptr(ebp))?;
            a.mov(ecx, STEPS)?;
            a.set_label(&mut step)?;
            for _ in 0..EACH {
                match bits {
                    64 => body(a, ptr(rdi + rsi), ptr(rdi + rdx))?,
                    _ => body(a, ptr(edi + esi), ptr(edi + edx))?,
                }
                if down { a.dec(esi)? } else { a.inc(esi)? }
            }
            a.dec(ecx)?;
            a.jne(step)?;
            a.add(ebp, 4)?;
            a.dec(dword_ptr(0x7000))?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        for pass in 0..PASSES {
            r.put32(0x5000 + 4 * u64::from(pass), starts[pass as usize % starts.len()]);
        }
        r.put32(0x7000, PASSES);
        r.cpu.gpr[gpr::RDI] = ARRAY;
        r.cpu.gpr[gpr::RBP] = 0x5000;
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted, "{bits} bits");
        assert_eq!(r.cpu.gpr[gpr::RBX] as u32, sum, "{bits} bits, down: {down}");
        for at in [PAGE, FRAME] {
            let is = (at..at + 0x1000).map(|at| r.get16(at) as u8);
            assert!(is.eq(model[at as usize..][..0x1000].iter().copied()), "{bits} bits, from {at:x}h");
        }
    }
}

/// A load and a store behind it, of one structure, on pages of every kind: a load alone makes no page dirty, and a page that
/// is only read serves loads. Accessed and dirty bits, which are in memory, are compared like the rest.
#[test]
fn loads_before_stores() {
    const PAGES: u64 = 24;
    const FIRST: u64 = 0x21;
    const PASSES: u64 = 40;
    for skip in [false, true] {
        let mut r = long64();
        r.cpu.cr0 |= 1 << 16;
        r.put64(0x10_2000, 0x10_3003);
        for n in 0..512 {
            // Dirty already, clean, and where no store comes, read-only.
            let kind = match n % 3 {
                0 => 0x63,
                1 => 0x03,
                _ if skip && n >= FIRST => 0x01,
                _ => 0x23,
            };
            r.put64(0x10_3000 + 8 * n, (n * 0x1000) | kind);
        }
        for n in 0..PAGES {
            // Bit 0: whether to store.
            let store = !skip || n % 3 == 0;
            r.put32((FIRST + n) * 0x1000 + 0x7f8, (n as u32) << 1 | u32::from(store));
        }
        let code = assemble(64, CODE, |a| {
            let (mut pass, mut page, mut on) = (a.create_label(), a.create_label(), a.create_label());
            a.set_label(&mut pass)?;
            a.mov(rsi, FIRST * 0x1000 + 0x7f0)?;
            a.mov(ecx, PAGES as i32)?;
            a.set_label(&mut page)?;
            a.mov(eax, dword_ptr(rsi + 8))?;
            a.lea(rdi, ptr(rsi + rcx * 2))?;
            a.test(al, 1)?;
            a.je(on)?;
            a.mov(edx, dword_ptr(rdi + 16))?;
            a.add(edx, eax)?;
            a.mov(dword_ptr(rdi + 16), edx)?;
            a.adc(ebx, dword_ptr(rsi + 4))?;
            a.mov(dword_ptr(rsi + 4), ebx)?;
            a.set_label(&mut on)?;
            a.add(ebp, eax)?;
            a.add(rsi, 0x1000)?;
            a.dec(ecx)?;
            a.jne(page)?;
            a.dec(r8d)?;
            a.jne(pass)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[8] = PASSES;
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
        for n in 0..PAGES {
            let dirty = r.get16(0x10_3000 + 8 * (FIRST + n)) >> 6 & 1;
            let was = u16::from((FIRST + n).is_multiple_of(3));
            assert_eq!(dirty, if skip && n % 3 != 0 { was } else { 1 }, "page {n}, {skip}");
        }
    }
}

/// LOOP and its kin count to zero, through it where they begin there, and leave flags alone.
#[test]
fn counted_loops() {
    for bits in [16, 32, 64] {
        for count in [1u64, 2, 7, 0x100, 0x1_0000] {
            let mut r = match bits {
                16 => real16(),
                32 => flat32(),
                _ => long64(),
            };
            let code = assemble(bits, CODE, |a| {
                let (mut top, mut equal, mut on) = (a.create_label(), a.create_label(), a.create_label());
                a.set_label(&mut top)?;
                a.inc(esi)?;
                a.add(al, 0x31)?;
                a.loop_(top)?;
                // What the last ADD left.
                a.adc(edx, 0x100)?;
                a.mov(cx, 9)?;
                a.set_label(&mut equal)?;
                a.inc(edi)?;
                a.cmp(edi, 4)?;
                a.loopne(equal)?;
                a.setb(bl)?;
                a.sub(cx, 5)?;
                a.stc()?;
                match bits {
                    16 => a.jcxz(on)?,
                    32 => a.jecxz(on)?,
                    _ => a.jrcxz(on)?,
                }
                a.mov(edx, 0)?;
                a.set_label(&mut on)?;
                a.adc(edx, 0)?;
                a.hlt()
            });
            r.mem.write_physical(CODE, &code);
            r.cpu.gpr[gpr::RDX] = 0;
            r.cpu.gpr[gpr::RCX] = if bits == 16 { count & 0xffff } else { count };
            assert_eq!(run(&mut r, 300_000).0, Stop::Halted, "{bits} bits, {count}");
            assert_eq!(r.cpu.gpr[gpr::RSI], count, "{bits} bits");
            assert_eq!(r.cpu.gpr[gpr::RAX], (count * 0x31) & 0xff, "{bits} bits, {count}");
            let carry = u64::from((count - 1) * 0x31 % 0x100 + 0x31 > 0xff);
            assert_eq!(r.cpu.gpr[gpr::RDX], 0x100 + carry + 1, "{bits} bits, {count}");
            assert_eq!(
                [r.cpu.gpr[gpr::RDI], r.cpu.gpr[gpr::RBX], r.cpu.gpr[gpr::RCX]],
                [4, 0, 0],
                "{bits} bits"
            );
        }
    }
}

/// Instructions whose operands leave the unit and whose results enter it: ordinary operands and all special ones, empty and
/// full registers, any TOP, rounding, precision, and what earlier instructions left in the status word.
#[test]
fn transcendentals() {
    const CASES: u64 = 1500;
    const IMAGE: u64 = 108;
    const FROM: u64 = 0x2_0000;
    const TO: u64 = 0x6_0000;
    type Encode = fn(&mut CodeAssembler) -> Result<(), IcedError>;
    let ops: [(&str, Encode); 14] = [
        ("fsin", CodeAssembler::fsin),
        ("fcos", CodeAssembler::fcos),
        ("fsincos", CodeAssembler::fsincos),
        ("fptan", CodeAssembler::fptan),
        ("fpatan", CodeAssembler::fpatan),
        ("f2xm1", CodeAssembler::f2xm1),
        ("fyl2x", CodeAssembler::fyl2x),
        ("fyl2xp1", CodeAssembler::fyl2xp1),
        ("fscale", CodeAssembler::fscale),
        ("fxtract", CodeAssembler::fxtract),
        ("fprem", CodeAssembler::fprem),
        ("fincstp", CodeAssembler::fincstp),
        ("fdecstp", CodeAssembler::fdecstp),
        ("fnop", CodeAssembler::fnop),
    ];
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    for (name, op) in ops {
        let mut r = flat32();
        let mut inexact = 0;
        for n in 0..CASES {
            let at = FROM + IMAGE * n;
            // Nothing unmasked. Half of the control words are as FNINIT leaves them.
            let cw = if next() >> 63 == 0 { 0x37f } else { 0x7f | next() & 0xf00 };
            // Conditions, TOP and sticky flags; a stack fault that has been sometimes.
            let sw = next() & 0x7f3f | if next() >> 60 == 0 { 0x41 } else { 0 };
            // Any registers full, or just two.
            let two = !0xfu16.rotate_left(2 * (sw >> 11 & 7) as u32);
            let tags = if next() >> 62 == 0 { next() & 0xffff } else { two.into() };
            for (k, word) in [cw, sw, tags, 0, 0, 0, 0].into_iter().enumerate() {
                r.put32(at + 4 * k as u64, word as u32);
            }
            for k in 0..8 {
                let exponent = match next() >> 60 {
                    0 => 0,
                    1 => 0x7fff,
                    2 => next() & 0x7fff,
                    3 => 0x3fff - 70 + (next() >> 32) % 140,
                    _ => 0x3fff - 8 + (next() >> 32) % 9,
                };
                let mantissa = match next() >> 61 {
                    0 => 1 << 63,
                    1 => 0xc000_0000_0000_0000,
                    2 if exponent == 0 => 0,
                    3 => next(),
                    _ => next() | 1 << 63,
                };
                r.put64(at + 28 + 10 * k, mantissa);
                r.put16(at + 36 + 10 * k, (exponent | next() & 0x8000) as u16);
            }
        }
        let code = assemble(32, CODE, |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.frstor(dword_ptr(esi))?;
            op(a)?;
            a.fnstsw(ax)?;
            op(a)?;
            a.fnsave(dword_ptr(edi))?;
            a.mov(dword_ptr(edi + 16), eax)?;
            a.add(esi, IMAGE as i32)?;
            a.add(edi, IMAGE as i32)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[gpr::RSI] = FROM;
        r.cpu.gpr[gpr::RDI] = TO;
        r.cpu.gpr[gpr::RCX] = CASES;
        // `run` compares both engines, memory included.
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted, "{name}");
        for n in 0..CASES {
            let (before, after) = (r.get16(FROM + IMAGE * n + 4), r.get16(TO + IMAGE * n + 16));
            inexact += u32::from(before & 0x20 == 0 && after & 0x20 != 0);
        }
        let exact = ["fscale", "fxtract", "fprem", "fincstp", "fdecstp", "fnop"].contains(&name);
        assert!(exact || inexact > 100, "{name}: {inexact}");
    }
}

/// Status flags made before x87 instructions and read behind them, some of which meet a chip, so that the interpreter runs them.
#[test]
fn flags_across_x87_code() {
    const ROUNDS: u64 = 60;
    const STEP: u32 = 0x6789_abcd;
    const LESS: u32 = 0x9000_0000;
    const RAM: u64 = 0x3_0000;
    for bits in [32, 64] {
        let (mut r, chip) = if bits == 64 { (long64(), 512 * 4096) } else { (flat32(), 256 * 4096) };
        if bits == 64 {
            r.put64(0x10_2008, 0x20_0083);
        }
        let code = assemble(bits, CODE, |a| {
            let (mut top, mut over) = (a.create_label(), a.create_label());
            a.fninit()?;
            a.set_label(&mut top)?;
            a.fldz()?;
            a.add(eax, STEP as i32)?;
            a.fild(dword_ptr(ebx))?;
            a.adc(edx, 0)?;
            a.cmp(eax, edx)?;
            a.faddp(st1, st0)?;
            a.fstp(qword_ptr(esp - 16))?;
            a.seta(cl)?;
            a.movzx(ecx, cl)?;
            a.add(ebp, ecx)?;
            a.cmp(eax, edx)?;
            a.fld1()?;
            a.fiadd(dword_ptr(ebx))?;
            a.fistp(dword_ptr(ebx + 8))?;
            a.ja(over)?;
            a.inc(edi)?;
            a.fldz()?;
            a.sub(edx, LESS as i32)?;
            a.fchs()?;
            a.fstp(st0)?;
            a.sbb(edi, 0)?;
            a.set_label(&mut over)?;
            a.xor(ebx, (chip ^ RAM) as i32)?;
            a.dec(esi)?;
            a.fnstcw(word_ptr(esp - 32))?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.put32(RAM, 77);
        let mut high = 0x8000_0000u32;
        let (mut sum, mut above, mut count) = (0u32, 0u32, 0u32);
        r.cpu.gpr[gpr::RBX] = RAM;
        r.cpu.gpr[gpr::RDX] = high.into();
        r.cpu.gpr[gpr::RSI] = ROUNDS;
        r.board.chip_value = 0x1234_5678;
        // `run` compares both engines, what the chip saw included.
        assert_eq!(run(&mut r, 10_000).0, Stop::Halted, "{bits} bits");
        for _ in 0..ROUNDS {
            let (next, carry) = sum.overflowing_add(STEP);
            (sum, high) = (next, high.wrapping_add(carry.into()));
            above += u32::from(sum > high);
            if sum <= high {
                let (less, borrow) = high.overflowing_sub(LESS);
                high = less;
                count = count.wrapping_add(1).wrapping_sub(borrow.into());
            }
        }
        let got = [gpr::RAX, gpr::RDX, gpr::RBP, gpr::RDI].map(|n| r.cpu.gpr[n] as u32);
        assert_eq!(got, [sum, high, above, count], "{bits} bits");
        assert!((1..ROUNDS as u32).contains(&above) && count != 0);
        // Each other round reads the chip twice and stores to it once.
        assert_eq!(r.board.chip_log.len() as u64, ROUNDS / 2, "{bits} bits");
    }
}

/// RF that IRET sets holds for one instruction: what that pushes, and what those behind it push (SDM volume 3, 18.3.1.1).
#[test]
fn rf_ends_with_the_instruction_returned_to() {
    const GDT: u64 = 0x2000;
    const IDT: u64 = 0x3000;
    const HANDLERS: u64 = 0x4000;
    const LOG: u64 = 0x6000;
    const CHIP: u64 = 256 * 4096;
    const ROUNDS: u32 = 3;
    const LAST: u64 = LOG - 16;
    let mut r = flat32();
    r.put64(GDT + 8, 0x00cf_9b00_0000_ffff);
    r.put64(GDT + 16, 0x00cf_9300_0000_ffff);
    r.cpu.gdtr = TableReg { base: GDT, limit: 0x17 };
    r.cpu.idtr = TableReg { base: IDT, limit: 0x7ff };
    // The flags of each frame go to the log; the handler of #UD steps over the instruction.
    for (v, skip) in [(3, 0), (6, 2)] {
        let at = HANDLERS + 0x40 * v;
        r.put64(IDT + 8 * v, at & 0xffff | 8 << 16 | 0x8e00 << 32);
        let code = assemble(32, at, |a| {
            a.push(eax)?;
            a.mov(eax, dword_ptr(esp + 12))?;
            a.mov(dword_ptr(edi), eax)?;
            a.add(edi, 4)?;
            a.pop(eax)?;
            a.and(dword_ptr(esp + 8), !(flag::RF as i32))?;
            a.add(dword_ptr(esp), skip)?;
            a.iretd()
        });
        r.mem.write_physical(at, &code);
    }
    let code = assemble(32, CODE, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        for case in 0..8 {
            let mut returns = a.create_label();
            a.mov(ecx, 3)?;
            a.push((flag::ONE | flag::RF) as i32)?;
            a.push(8)?;
            a.call(returns)?;
            match case {
                0 => a.nop()?,
                1 => a.int3()?,
                2 => a.ud2()?,
                3 => a.cpuid()?,
                4 => a.lldt(bp)?,
                5 => a.mov(dword_ptr(CHIP), eax)?,
                6 => a.rep().lodsb()?,
                _ => a.jmp(fword_ptr(LAST))?,
            }
            a.int3()?;
            if case < 7 {
                let mut over = a.create_label();
                a.jmp(over)?;
                a.set_label(&mut returns)?;
                a.iretd()?;
                a.set_label(&mut over)?;
                a.nop()?;
            } else {
                a.sub(dword_ptr(LOG - 4), 1)?;
                a.jne(top)?;
                a.hlt()?;
                a.set_label(&mut returns)?;
                a.iretd()?;
            }
        }
        Ok(())
    });
    // The far jump leads to the last INT3.
    let last = code.windows(3).rposition(|w| w == [0xcc, 0x83, 0x2d]).expect("INT3, SUB");
    r.put32(LAST, CODE as u32 + last as u32);
    r.put16(LAST + 4, 8);
    r.mem.write_physical(CODE, &code);
    r.put32(LOG - 4, ROUNDS);
    r.cpu.gpr[gpr::RDI] = LOG;
    assert_eq!(run(&mut r, 10_000).0, Stop::Halted);
    // An instruction that enters a handler, by a fault or of itself, pushes RF as it was before it.
    let set = [false, true, false, true, false, false, false, false, false, false];
    for n in 0..u64::from(ROUNDS) * set.len() as u64 {
        let pushed = u64::from(r.get32(LOG + 4 * n)) & flag::RF != 0;
        assert_eq!(pushed, set[n as usize % set.len()], "frame {n}");
    }
    assert_eq!(r.cpu.gpr[gpr::RDI], LOG + 4 * u64::from(ROUNDS) * set.len() as u64);
    assert_eq!(r.cpu.rflags & flag::RF, 0);
}
