//! What translated code remembers of pages, by whole programs on both engines: the stack's page, variables in one page, code that
//! runs on into the next. Expectations are computed here in Rust.

mod rig;
use iced_x86::code_asm::*;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::gpr;
use rig::Rig;
use rig::code::*;

/// Where the page table for the first 2 MiB is.
const TABLE: u64 = 0x10_3000;

/// Long mode over an identity map of the first 2 MiB by pages of 4 KiB.
fn small_pages() -> Rig {
    let mut r = long64();
    r.put64(0x10_2000, TABLE | 3);
    for n in 0..512 {
        r.put64(TABLE + 8 * n, (n * 0x1000) | 3);
    }
    r
}

/// The page under the stack becomes another, again and again: what was pushed is where the page was at that time. It is read
/// only for a while, which supervisor code with WP clear doesn't mind; and the stack leaves it and comes back.
#[test]
fn stacks_move() {
    const ROUNDS: u64 = 60;
    const LINEAR: u64 = 0x3_0000;
    const FRAMES: [u64; 2] = [0x4_0000, 0x5_0000];
    let entry = TABLE + 8 * (LINEAR >> 12);
    let mut r = small_pages();
    r.put64(entry, FRAMES[0] | 3);
    let code = assemble(64, CODE, |a| {
        let (mut top, mut f) = (a.create_label(), a.create_label());
        a.set_label(&mut top)?;
        a.mov(rsp, LINEAR + 0x800)?;
        a.push(rsi)?;
        a.call(f)?;
        a.pop(rax)?;
        a.add(rbx, rax)?;
        // Another frame there.
        a.xor(dword_ptr(entry), (FRAMES[0] ^ FRAMES[1]) as u32)?;
        a.invlpg(byte_ptr(rsp))?;
        // What the other round but this one pushed.
        a.add(rbx, qword_ptr(rsp - 8))?;
        a.push(rbx)?;
        // Read only, then not.
        a.xor(dword_ptr(entry), 2)?;
        a.invlpg(byte_ptr(rsp))?;
        a.pop(rdx)?;
        a.push(rsi)?;
        a.call(f)?;
        a.pop(rcx)?;
        a.xor(dword_ptr(entry), 2)?;
        a.invlpg(byte_ptr(rsp))?;
        // Across the page's end, by whole words and not.
        a.mov(rsp, LINEAR + 0x1008)?;
        for _ in 0..3 {
            a.push(rdx)?;
        }
        a.mov(rsp, LINEAR + 0x1004)?;
        a.push(rbx)?;
        a.call(f)?;
        a.pop(rax)?;
        a.sub(rbx, rax)?;
        a.add(rbx, rdx)?;
        a.dec(rsi)?;
        a.jne(top)?;
        a.hlt()?;
        a.set_label(&mut f)?;
        a.add(rbx, qword_ptr(rsp + 8))?;
        a.ret()
    });
    r.mem.write_physical(CODE, &code);
    r.cpu.gpr[gpr::RSI] = ROUNDS;
    assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
    // The same in Rust: two frames with the word below 800h.
    let mut top = [0u64; 2];
    let (mut sum, mut frame) = (0u64, 0);
    for round in (1..=ROUNDS).rev() {
        top[frame] = round;
        sum = sum.wrapping_add(2 * round);
        frame ^= 1;
        sum = sum.wrapping_add(top[frame]);
        let popped = sum;
        top[frame] = round;
        sum = sum.wrapping_add(round).wrapping_add(popped);
    }
    assert_eq!(r.cpu.gpr[gpr::RBX], sum);
    for (n, frame) in FRAMES.into_iter().enumerate() {
        let mut word = [0; 8];
        r.mem.read_physical(frame + 0x7f8, &mut word);
        assert_eq!(u64::from_le_bytes(word), top[n]);
    }
}

/// Variables at fixed addresses, relative to RIP or not, in one page and at its end; also by a register that points there.
#[test]
fn variables() {
    const ROUNDS: u32 = 50;
    for bits in [32, 64] {
        let mut r = if bits == 64 { small_pages() } else { flat32() };
        let at = |n: u32| 0x2_0000 + n;
        let code = assemble(bits, CODE, |a| {
            let mut top = a.create_label();
            let w = |n: u32| dword_ptr(u64::from(at(n)));
            a.set_label(&mut top)?;
            a.add(w(0x10), 3)?;
            a.mov(eax, w(0x10))?;
            a.add(w(0xffc), eax)?;
            a.mov(edx, w(0xffc))?;
            // Across the end, and behind it.
            a.add(w(0xffe), edx)?;
            a.mov(eax, w(0x1004))?;
            a.add(eax, w(0xffe))?;
            a.mov(w(0x1004), eax)?;
            if bits == 64 {
                a.lea(rdi, byte_ptr(u64::from(at(0x20))))?;
                a.add(dword_ptr(rdi + 4), eax)?;
                a.mov(ecx, dword_ptr(rdi - 0x10))?;
            } else {
                a.lea(edi, byte_ptr(u64::from(at(0x20))))?;
                a.add(dword_ptr(edi + 4), eax)?;
                a.mov(ecx, dword_ptr(edi - 0x10))?;
            }
            a.add(w(0x800), ecx)?;
            a.sub(w(0x24), 1)?;
            a.dec(esi)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[gpr::RSI] = ROUNDS.into();
        assert_eq!(run(&mut r, 10_000).0, Stop::Halted);
        let mut mem = vec![0u8; 0x1100];
        let get = |m: &[u8], n: usize| u32::from_le_bytes([m[n], m[n + 1], m[n + 2], m[n + 3]]);
        let add = |m: &mut [u8], n: usize, v: u32| {
            let sum = get(m, n).wrapping_add(v);
            m[n..n + 4].copy_from_slice(&sum.to_le_bytes());
        };
        for _ in 0..ROUNDS {
            add(&mut mem, 0x10, 3);
            let v = get(&mem, 0x10);
            add(&mut mem, 0xffc, v);
            let v = get(&mem, 0xffc);
            add(&mut mem, 0xffe, v);
            let v = get(&mem, 0xffe);
            add(&mut mem, 0x1004, v);
            let v = get(&mem, 0x1004);
            add(&mut mem, 0x24, v);
            let v = get(&mem, 0x10);
            add(&mut mem, 0x800, v);
            add(&mut mem, 0x24, u32::MAX);
        }
        let mut got = vec![0; mem.len()];
        r.mem.read_physical(at(0).into(), &mut got);
        assert_eq!(got, mem, "{bits} bits");
    }
}

/// A loop that lies across a page's end at each place, and changes an instruction of its own in either page.
#[test]
fn loops_across_a_pages_end() {
    const ROUNDS: u64 = 30;
    for bits in [32, 64] {
        for start in 0xfd0..0x1004 {
            for changed in [false, true] {
                let mut r = if bits == 64 { small_pages() } else { flat32() };
                let at = CODE + start;
                // ADD EAX, imm32; the same with EDX; INC dword of what ECX points to; DEC ESI; JNE.
                let code = assemble(bits, at, |a| {
                    let mut top = a.create_label();
                    a.set_label(&mut top)?;
                    a.add(eax, 0x1122_3344)?;
                    a.add(edx, 0x2233_4455)?;
                    if bits == 64 {
                        a.add(dword_ptr(rcx), edi)?;
                    } else {
                        a.add(dword_ptr(ecx), edi)?;
                    }
                    a.add(eax, edx)?;
                    a.add(ebx, 0x3344_5566)?;
                    a.dec(esi)?;
                    a.jne(top)?;
                    a.hlt()
                });
                r.mem.write_physical(at, &code);
                r.cpu.rip = at;
                r.cpu.gpr[gpr::RSI] = ROUNDS;
                r.cpu.gpr[gpr::RDX] = 0;
                // The constant of ADD EDX or of ADD EBX.
                let constant =
                    |v: u32| code.windows(4).position(|w| w == v.to_le_bytes()).expect("it is there");
                let target = constant(if start % 2 == 0 { 0x2233_4455 } else { 0x3344_5566 });
                r.cpu.gpr[gpr::RCX] = if changed { at + target as u64 } else { 0x2_0000 };
                r.cpu.gpr[gpr::RDI] = 7;
                let how = run(&mut r, 10_000).0;
                assert_eq!(how, Stop::Halted, "{bits} bits from {start:x}h, changed: {changed}");
                let (mut a, mut b, mut d) = (0u32, 0u32, 0u32);
                let (mut two, mut three) = (0x2233_4455u32, 0x3344_5566u32);
                for _ in 0..ROUNDS {
                    a = a.wrapping_add(0x1122_3344);
                    d = d.wrapping_add(two);
                    if changed && start % 2 == 0 {
                        two += 7;
                    } else if changed {
                        three += 7;
                    }
                    a = a.wrapping_add(d);
                    b = b.wrapping_add(three);
                }
                let got = [gpr::RAX, gpr::RBX, gpr::RDX].map(|n| r.cpu.gpr[n] as u32);
                assert_eq!(got, [a, b, d], "{bits} bits from {start:x}h, changed: {changed}");
            }
        }
    }
}

/// The same where the loop maps another frame behind the page's end, at each turn or at some, by an instruction of its own
/// or a string's: what is there from the next instruction on is what runs.
#[test]
fn loops_whose_second_page_changes() {
    for start in 0xfc0..0x1000 {
        for every in [1, 3, 64] {
            for string in [false, true] {
                second_page_changes(start, every, string);
            }
        }
    }
}

/// A loop at `start` in a page maps another frame there after so many turns each.
fn second_page_changes(start: u64, every: u32, string: bool) {
    const TURNS: u32 = 500;
    const FRAMES: [u64; 2] = [0x4_0000, 0x5_0000];
    let entry = TABLE + 8 * ((CODE >> 12) + 1);
    let mut r = small_pages();
    let at = CODE + start;
    let code = assemble(64, at, |a| {
        let (mut top, mut same) = (a.create_label(), a.create_label());
        a.set_label(&mut top)?;
        a.add(eax, 0x1122_3344)?;
        a.dec(ebp)?;
        a.jne(same)?;
        if string {
            a.xor(r10d, r11d)?;
            a.xchg(eax, r10d)?;
            a.mov(ecx, 1)?;
            a.rep().stosd()?;
            a.sub(rdi, 4)?;
            a.xchg(eax, r10d)?;
        } else {
            a.xor(dword_ptr(rdi), r11d)?;
        }
        a.mov(ebp, every)?;
        a.set_label(&mut same)?;
        a.add(edx, 0x2233_4455)?;
        a.add(ebx, 0x3344_5566)?;
        a.dec(esi)?;
        a.jne(top)?;
        a.hlt()
    });
    // Behind the page's end the constants are others in the second frame.
    let inside = (CODE + 0x1000 - at) as usize;
    let place = |v: u32| code.windows(4).position(|w| w == v.to_le_bytes()).expect("it is there");
    let places = [0x1122_3344, 0x2233_4455, 0x3344_5566].map(place);
    let mut codes = [code.clone(), code.clone()];
    for n in places.iter().flat_map(|p| *p..p + 4).filter(|n| *n >= inside) {
        codes[1][n] ^= 0x5a;
    }
    r.mem.write_physical(at, &code[..inside.min(code.len())]);
    for (frame, code) in FRAMES.iter().zip(&codes) {
        r.mem.write_physical(*frame, &code[inside.min(code.len())..]);
    }
    r.put64(entry, FRAMES[0] | 3);
    r.cpu.rip = at;
    r.cpu.gpr[gpr::RAX] = 0;
    r.cpu.gpr[gpr::RBX] = 0;
    r.cpu.gpr[gpr::RDX] = 0;
    r.cpu.gpr[gpr::RDI] = entry;
    r.cpu.gpr[gpr::RBP] = every.into();
    r.cpu.gpr[gpr::RSI] = TURNS.into();
    r.cpu.gpr[10] = FRAMES[0] | 3;
    r.cpu.gpr[11] = FRAMES[0] ^ FRAMES[1];
    assert_eq!(run(&mut r, 100_000).0, Stop::Halted, "from {start:x}h, every {every}, by a string: {string}");
    let mut frame = 0;
    let mut sums = [0u32; 3];
    for turn in 1..=TURNS {
        for (k, sum) in sums.iter_mut().enumerate() {
            let c = &codes[frame][places[k]..];
            *sum = sum.wrapping_add(u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            if k == 0 && turn % every == 0 {
                frame ^= 1;
            }
        }
    }
    let got = [gpr::RAX, gpr::RDX, gpr::RBX].map(|n| r.cpu.gpr[n] as u32);
    assert_eq!(got, sums, "from {start:x}h, every {every}, by a string: {string}");
}

/// Operands of x87 instructions near one another, over several pages' ends, behind integers there and before them.
#[test]
fn x87_operands() {
    const COUNT: u64 = 1500;
    const FROM: u64 = 0x2_0ff4;
    for bits in [32, 64] {
        let mut r = if bits == 64 { small_pages() } else { flat32() };
        r.put64(FROM, 1f64.to_bits());
        r.put64(FROM + 8, 0.5f64.to_bits());
        let code = assemble(bits, CODE, |a| {
            let mut top = a.create_label();
            a.fninit()?;
            a.set_label(&mut top)?;
            if bits == 64 {
                a.fld(qword_ptr(rcx))?;
                a.fadd(qword_ptr(rcx + 8))?;
                a.cmp(dword_ptr(rcx + 8), edx)?;
                a.fmul(qword_ptr(rdi))?;
                a.fst(qword_ptr(rcx + 16))?;
                a.fistp(word_ptr(rdi + 8))?;
                a.adc(eax, dword_ptr(rcx + 20))?;
                a.add(rcx, 8)?;
            } else {
                a.fld(qword_ptr(ecx))?;
                a.fadd(qword_ptr(ecx + 8))?;
                a.cmp(dword_ptr(ecx + 8), edx)?;
                a.fmul(qword_ptr(edi))?;
                a.fst(qword_ptr(ecx + 16))?;
                a.fistp(word_ptr(edi + 8))?;
                a.adc(eax, dword_ptr(ecx + 20))?;
                a.add(ecx, 8)?;
            }
            a.dec(esi)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.put64(0x1_0000, 0.75f64.to_bits());
        r.cpu.gpr[gpr::RCX] = FROM;
        r.cpu.gpr[gpr::RDX] = 0x7777_7777;
        r.cpu.gpr[gpr::RDI] = 0x1_0000;
        r.cpu.gpr[gpr::RSI] = COUNT;
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted, "{bits} bits");
        let (mut a, mut b, mut sum) = (1f64, 0.5f64, 0u32);
        let double =
            |r: &Rig, at: u64| f64::from_bits(u64::from(r.get32(at)) | u64::from(r.get32(at + 4)) << 32);
        for n in 0..COUNT {
            let less = (b.to_bits() as u32) < 0x7777_7777;
            (a, b) = (b, (a + b) * 0.75);
            let got = double(&r, FROM + 8 * n + 16);
            // The unit adds in 64 bits and rounds the product: as good as equal.
            assert!((got / b - 1.0).abs() < 1e-12, "{bits} bits, {n}: {got} for {b}");
            b = got;
            sum = sum.wrapping_add((b.to_bits() >> 32) as u32).wrapping_add(less.into());
        }
        assert_eq!(r.cpu.gpr[gpr::RAX] as u32, sum, "{bits} bits");
    }
}
