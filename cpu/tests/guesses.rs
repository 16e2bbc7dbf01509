//! What translated code supposes until it looks: that an access goes to the page of the time before, that a jump leads where it
//! led in this address space; that branches go on as they began. Expectations are computed here.

mod rig;
use iced_x86::code_asm::*;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::gpr;
use rig::code::*;

/// The first of the pages that are mapped in another order than they lie in memory, and how many they are.
const FIRST: u64 = 0x20;
const PAGES: u64 = 16;

/// Where a linear address of these pages is.
fn place(linear: u64) -> u64 {
    let n = linear / 0x1000 - FIRST;
    (FIRST + n * 7 % PAGES) * 0x1000 + linear % 0x1000
}

/// A list over all these pages, and an array on a stack in them whose elements are taken in disorder. Every guess of a page
/// fails sooner or later: nothing but speed comes of that, and code whose guesses fail all the time is made again without.
#[test]
fn pages_that_change() {
    const NODES: u64 = 200;
    const PASSES: u64 = 60;
    const ARRAY: u64 = FIRST * 0x1000 + 0x400;
    /// Elements: three pages of them.
    const LENGTH: u64 = 1 << 9 | 1 << 10;
    let node = |k: u64| FIRST * 0x1000 + (k * 73 % NODES) * (PAGES * 0x1000 / NODES / 8 * 8);
    let setup = || {
        let mut r = long64();
        r.put64(0x10_2000, 0x10_3003);
        for n in 0..512 {
            let linear = n * 0x1000;
            let frame = if (FIRST..FIRST + PAGES).contains(&n) { place(linear) } else { linear };
            r.put64(0x10_3000 + 8 * n, frame | 3);
        }
        for k in 0..NODES {
            r.put64(place(node(k)), if k + 1 < NODES { node(k + 1) } else { 0 });
            r.put64(place(node(k) + 8), k.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        r
    };
    let mut r = setup();
    let mut memory = vec![0; 0x4_0000];
    r.mem.read_physical(0, &mut memory);
    let word = |m: &[u8], linear: u64| {
        let at = place(linear) as usize;
        u64::from_le_bytes(m[at..at + 8].try_into().expect("eight bytes"))
    };
    let (mut sum, mut random) = (0u64, 1u32);
    for _ in 0..PASSES {
        for k in 0..NODES {
            sum = sum.wrapping_add(word(&memory, node(k) + 8)).rotate_left(3);
            let at = place(node(k) + 16) as usize;
            memory[at..at + 8].copy_from_slice(&sum.to_le_bytes());
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let n = (u64::from(random >> 20) * LENGTH) >> 12;
            sum = sum.wrapping_add(word(&memory, ARRAY + 8 * n));
        }
    }
    let code = assemble(64, CODE, |a| {
        let (mut pass, mut next) = (a.create_label(), a.create_label());
        a.set_label(&mut pass)?;
        a.mov(rdx, node(0))?;
        a.set_label(&mut next)?;
        a.add(rbx, qword_ptr(rdx + 8))?;
        a.rol(rbx, 3)?;
        a.mov(qword_ptr(rdx + 16), rbx)?;
        a.imul_3(esi, esi, 1_664_525)?;
        a.add(esi, 1_013_904_223)?;
        a.mov(eax, esi)?;
        a.shr(eax, 20)?;
        a.imul_3(rax, rax, LENGTH as i32)?;
        a.shr(rax, 12)?;
        a.add(rbx, qword_ptr(rsp + rax * 8))?;
        a.mov(rdx, qword_ptr(rdx))?;
        a.test(rdx, rdx)?;
        a.jne(next)?;
        a.dec(ecx)?;
        a.jne(pass)?;
        a.hlt()
    });
    let begin = |r: &mut rig::Rig| {
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[gpr::RSP] = ARRAY;
        r.cpu.gpr[gpr::RSI] = 1;
        r.cpu.gpr[gpr::RCX] = PASSES;
    };
    let check = |r: &rig::Rig| {
        assert_eq!(r.cpu.gpr[gpr::RBX], sum);
        let mut is = vec![0; memory.len()];
        r.mem.read_physical(0, &mut is);
        let data = (FIRST * 0x1000) as usize..((FIRST + PAGES) * 0x1000) as usize;
        assert!(is[data.clone()] == memory[data], "what was stored");
    };
    begin(&mut r);
    assert_eq!(run(&mut r, 1_000_000).0, Stop::Halted);
    check(&r);
    // In slices, between which the translator reconsiders.
    let mut r = setup();
    begin(&mut r);
    r.derived = Derived::new(Engine::Translator);
    loop {
        let mut x = r.exec();
        x.limit = 2000;
        if lucid86_cpu::interp::run(&mut x) == Stop::Halted {
            break;
        }
    }
    check(&r);
    let Some(jit) = &r.derived.jit else { return };
    assert!(jit.statistics.dropped > 0, "no translation was given up");
}

/// A loop whose branch goes one way as often as the other at first, and one way only from then on: after some slices the
/// translator looks how it runs by now.
#[test]
fn branches_that_change_their_ways() {
    const TURNS: u64 = 40_000;
    const LATE: u64 = TURNS - 100;
    let code = assemble(64, CODE, |a| {
        let (mut top, mut early, mut next) = (a.create_label(), a.create_label(), a.create_label());
        a.set_label(&mut top)?;
        a.lea(rax, ptr(rcx - LATE as i32))?;
        a.cqo()?;
        a.not(rdx)?;
        a.and(rax, rdx)?;
        a.test(al, 1)?;
        a.jne(early)?;
        a.rol(rbx, 5)?;
        a.xor(rbx, rcx)?;
        a.jmp(next)?;
        a.set_label(&mut early)?;
        a.lea(rbx, ptr(rbx + rbx * 2 + 1))?;
        a.set_label(&mut next)?;
        a.dec(rcx)?;
        a.jne(top)?;
        a.hlt()
    });
    let mut sum = 0u64;
    for c in (1..=TURNS).rev() {
        let early = c > LATE && (c - LATE) % 2 == 1;
        sum = if early { sum.wrapping_mul(3).wrapping_add(1) } else { sum.rotate_left(5) ^ c };
    }
    for slice in [u64::MAX, 977, 20_000] {
        let mut r = long64();
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[gpr::RCX] = TURNS;
        r.derived = Derived::new(Engine::Translator);
        let mut slices = 0;
        loop {
            let mut x = r.exec();
            x.limit = slice.min(10_000_000);
            slices += 1;
            if lucid86_cpu::interp::run(&mut x) == Stop::Halted {
                break;
            }
        }
        assert_eq!(r.cpu.gpr[gpr::RBX], sum, "slices of {slice}");
        let Some(jit) = &r.derived.jit else { return };
        assert_eq!(jit.statistics.dropped > 0, slices > 20, "{slices} slices of {slice}");
    }
}

/// A loop that is entered in its middle, where it is hot first: its translation begins where it goes back to.
#[test]
fn a_loop_entered_in_its_middle() {
    const TURNS: u64 = 5000;
    let mut top_at = 0;
    let code = assemble(64, CODE, |a| {
        let (mut top, mut middle) = (a.create_label(), a.create_label());
        a.jmp(middle)?;
        a.nop()?;
        top_at = CODE + 3;
        a.set_label(&mut top)?;
        a.adc(rbx, rcx)?;
        a.test(ecx, 1 << 20)?;
        a.je(middle)?;
        a.ud2()?;
        a.set_label(&mut middle)?;
        a.rol(rbx, 7)?;
        a.add(rbx, rax)?;
        a.dec(rcx)?;
        a.jne(top)?;
        a.hlt()
    });
    const PLUS: u64 = 0xfedc_ba98_7654_3210;
    let sum = (0..TURNS).rev().fold(0u64, |sum, c| {
        let (sum, carry) = sum.rotate_left(7).overflowing_add(PLUS);
        if c == 0 { sum } else { sum.wrapping_add(c).wrapping_add(carry.into()) }
    });
    for slice in [10_000_000, 777] {
        let mut r = long64();
        r.mem.write_physical(CODE, &code);
        r.cpu.gpr[gpr::RCX] = TURNS;
        r.cpu.gpr[gpr::RAX] = PLUS;
        r.derived = Derived::new(Engine::Translator).measured(true, 1);
        loop {
            let mut x = r.exec();
            x.limit = slice;
            if lucid86_cpu::interp::run(&mut x) == Stop::Halted {
                break;
            }
        }
        assert_eq!(r.cpu.gpr[gpr::RBX], sum, "slices of {slice}");
        if r.derived.jit.is_some() {
            let report = lucid86_cpu::report::report(&r.derived, 8 * TURNS);
            let hottest = format!("block at {top_at:x}h");
            assert!(report.contains(&hottest), "no {hottest}: {report}");
        }
    }
}

/// Calls through a register and returns in more address spaces than have a table of jumps, with other code at the same places,
/// RIP 0 and 1 among them; some of it needs the flags of before the call.
#[test]
fn jumps_in_many_spaces() {
    const SPACES: u64 = 7;
    /// Page 0 and this one are others in each space.
    const THERE: u64 = 0x20;
    const TARGETS: [u64; 5] = [0, 1, THERE * 0x1000, THERE * 0x1000 + 0x80, THERE * 0x1000 + 0x7fe];
    const PATTERN: u64 = 0x1234_5678_9abc_def1;
    const LIMIT: u64 = 1 << 63;
    // What the code at a target adds to RBX, and whether CF with it.
    let what = |s: u64, t: usize| (s as i32 * 100 + t as i32 + 1, (s + t as u64).is_multiple_of(3));
    // To and fro between two for long, then one after the other.
    let space = |k: u64| if k < 256 { k & 1 } else { k * k % SPACES };
    let setup = |rounds: u64, called: &[usize]| {
        let mut r = long64();
        for s in 0..SPACES {
            let root = 0x10_0000 + s * 0x4000;
            (0..3).for_each(|n| r.put64(root + n * 0x1000, (root + (n + 1) * 0x1000) | 3));
            for n in 0..512 {
                let frame = match n {
                    0 => 0x40 + s,
                    THERE => 0x50 + s,
                    _ => n,
                };
                r.put64(root + 0x3000 + 8 * n, frame << 12 | 3);
            }
            for (t, target) in TARGETS.into_iter().enumerate() {
                let (n, carry) = what(s, t);
                let code = assemble(64, target, |a| {
                    if target == 0 {
                        // RIP 1 is where the next target is.
                        return a.nop();
                    }
                    if carry {
                        a.adc(ebx, n)?
                    } else {
                        a.lea(rbx, ptr(rbx + n))?
                    }
                    a.ret()
                });
                let frame = if target < 0x1000 { 0x40 + s } else { 0x50 + s };
                r.mem.write_physical(frame << 12 | target & 0xfff, &code);
            }
        }
        let code = assemble(64, CODE, |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.mov(rax, qword_ptr(rsi))?;
            a.mov(cr3, rax)?;
            for &t in called {
                a.mov(rax, TARGETS[t])?;
                a.cmp(r8, r9)?;
                a.call(rax)?;
                a.rol(r9, 7)?;
            }
            a.add(rsi, 8)?;
            a.and(esi, 0x6fff)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        (0..512).for_each(|k| r.put64(0x6000 + 8 * k, 0x10_0000 + space(k) * 0x4000));
        r.cpu.gpr[gpr::RSI] = 0x6000;
        r.cpu.gpr[gpr::RCX] = rounds;
        (r.cpu.gpr[8], r.cpu.gpr[9]) = (LIMIT, PATTERN);
        r
    };
    let model = |rounds: u64, called: &[usize]| {
        let (mut sum, mut pattern) = (0u64, PATTERN);
        for k in 0..rounds {
            for &t in called {
                // RIP 0 leads to the code at RIP 1.
                let (n, carry) = what(space(k & 511), t.max(1));
                let more = n as u64 + u64::from(carry && LIMIT < pattern);
                sum = if carry { (sum + more) & 0xffff_ffff } else { sum + more };
                pattern = pattern.rotate_left(7);
            }
        }
        sum
    };
    let all = [0, 1, 2, 3, 4];
    let mut r = setup(100, &all);
    assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
    assert_eq!(r.cpu.gpr[gpr::RBX], model(100, &all));
    // Code that is translated once it is hot, and then not left when the space changes.
    const ROUNDS: u64 = 4000;
    for called in [&all[..], &all[2..]] {
        let mut r = setup(ROUNDS, called);
        r.derived = Derived::new(Engine::Translator);
        let mut x = r.exec();
        x.limit = 1_000_000;
        assert_eq!(lucid86_cpu::interp::run(&mut x), Stop::Halted);
        assert_eq!(r.cpu.gpr[gpr::RBX], model(ROUNDS, called));
    }
}

/// The same code at two places, where other pages follow it: what it finds relative to RIP, the addresses that it returns to and the
/// code that it calls in the next pages are each place's own. It is hot at the first before it runs at the second.
#[test]
fn code_that_moves() {
    const PLACES: [u64; 2] = [0x3_0000, 0x4_8000];
    const FRAME: u64 = 0x6_0000;
    const ROUNDS: u64 = 400;
    for bits in [32, 64] {
        let mut r = if bits == 64 { long64() } else { flat32() };
        let entry = |r: &mut rig::Rig, linear: u64, frame: u64| match bits {
            64 => r.put64(0x10_3000 + 8 * (linear >> 12), frame | 3),
            _ => r.put32(0x9000 + 4 * (linear >> 12), frame as u32 | 3),
        };
        (0..0x100).for_each(|n| entry(&mut r, n << 12, n << 12));
        if bits == 64 {
            (0x100..0x200).for_each(|n| entry(&mut r, n << 12, n << 12));
            r.put64(0x10_2000, 0x10_3003);
        } else {
            r.put32(0x8000, 0x9003);
            r.cpu.cr3 = 0x8000;
            r.cpu.cr0 |= 1 << 31;
        }
        for at in PLACES {
            entry(&mut r, at, FRAME);
            // A word for what is relative to RIP, code that adds another number.
            r.put32(at + 0x1010, at as u32 ^ 0x55aa);
            let code = assemble(bits, at + 0x2000, |a| {
                a.add(ebx, (at >> 8) as i32)?;
                a.ret()
            });
            r.mem.write_physical(at + 0x2000, &code);
        }
        let moving = assemble(bits, PLACES[0], |a| {
            let (mut top, mut inner, mut even) = (a.create_label(), a.create_label(), a.create_label());
            a.mov(edi, 3)?;
            a.set_label(&mut top)?;
            if bits == 64 {
                // ADD EBX, [RIP + ...] and LEA RDX, [RIP + ...], which end 11 and 18 bytes behind the start.
                let [a0, a1, ..] = (0x1010u32 - 11).to_le_bytes();
                a.db(&[0x03, 0x1d, a0, a1, 0, 0])?;
                a.db(&[0x48, 0x8d, 0x15, 0x77 - 18, 0, 0, 0])?;
                a.add(ebx, edx)?;
            }
            a.call(inner)?;
            a.rol(ebx, 1)?;
            a.test(edi, 1)?;
            a.je(even)?;
            a.call(inner)?;
            a.set_label(&mut even)?;
            a.call(PLACES[0] + 0x2000)?;
            a.dec(edi)?;
            a.jne(top)?;
            a.ret()?;
            a.set_label(&mut inner)?;
            if bits == 64 {
                a.add(ebx, dword_ptr(rsp))?;
            } else {
                a.add(ebx, dword_ptr(esp))?;
            }
            a.ret()
        });
        r.mem.write_physical(FRAME, &moving);
        // Where the first call returns to: ROL EBX, 1. And the next one behind that.
        let back = moving.windows(2).position(|w| w == [0xd1, 0xc3]).expect("ROL") as u64;
        let next = moving[back as usize..].iter().position(|b| *b == 0xe8).expect("CALL") as u64 + back + 5;
        let place = |k: u64| PLACES[usize::from(k > 200 && (k > 300 || k & 1 != 0))];
        let mut sum = 0u32;
        for k in 0..ROUNDS {
            let at = place(k);
            for n in [3, 2, 1] {
                if bits == 64 {
                    sum = sum.wrapping_add(at as u32 ^ 0x55aa).wrapping_add(at as u32 + 0x77);
                }
                sum = sum.wrapping_add((at + back) as u32).rotate_left(1);
                sum = sum.wrapping_add(if n & 1 != 0 { (at + next) as u32 } else { 0 });
                sum = sum.wrapping_add((at >> 8) as u32);
            }
            r.put32(0xa000 + 4 * k, at as u32);
        }
        let code = assemble(bits, CODE, |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            if bits == 64 {
                a.mov(eax, dword_ptr(rsi))?;
                a.call(rax)?;
            } else {
                a.call(dword_ptr(esi))?;
            }
            a.add(esi, 4)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        (r.cpu.gpr[gpr::RSI], r.cpu.gpr[gpr::RCX]) = (0xa000, ROUNDS);
        let begins = r.cpu.clone();
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
        assert_eq!(r.cpu.gpr[gpr::RBX] as u32, sum, "{bits} bits");
        // Once more, translated when it is hot.
        r.cpu = begins;
        r.derived = Derived::new(Engine::Translator);
        let mut x = r.exec();
        x.limit = 100_000;
        assert_eq!(lucid86_cpu::interp::run(&mut x), Stop::Halted);
        assert_eq!(r.cpu.gpr[gpr::RBX] as u32, sum, "{bits} bits");
    }
}

/// A loop that lies across a page's end, and data whose page has the same place in the TLB as the page behind that: neither the look
/// at what follows nor the access leaves the translated code each time.
#[test]
fn data_in_the_place_of_code() {
    const TURNS: u64 = 20_000;
    const FAR: u64 = 0x2000 + (2048 << 12);
    let at = 0x1ff4;
    let code = assemble(64, at, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        a.lea(rax, ptr(rcx + rcx * 4 + 1))?;
        a.add(rbx, rax)?;
        a.mov(rax, 0x1234_5678_9abc_def0u64)?; // It ends behind 0x2000.
        a.xor(rbx, rax)?;
        a.mov(qword_ptr(rsi), rbx)?;
        a.dec(ecx)?;
        a.jne(top)?;
        a.hlt()
    });
    let mut r = long64();
    r.put64(0x10_2000, 0x10_3003);
    (0..512).for_each(|n| r.put64(0x10_3000 + 8 * n, n << 12 | 3));
    // The same place in a TLB of 2048 entries.
    r.put64(0x10_2000 + 8 * (FAR >> 21), 0x10_4003);
    r.put64(0x10_4000 + 8 * (FAR >> 12 & 511), 0x8003);
    r.mem.write_physical(at, &code);
    r.cpu.rip = at;
    (r.cpu.gpr[gpr::RCX], r.cpu.gpr[gpr::RSI]) = (TURNS, FAR + 0x800);
    let sum = (1..=TURNS).rev().fold(0u64, |sum, c| sum.wrapping_add(5 * c + 1) ^ 0x1234_5678_9abc_def0);
    r.derived = Derived::new(Engine::Translator);
    loop {
        let mut x = r.exec();
        x.limit = 5000;
        if lucid86_cpu::interp::run(&mut x) == Stop::Halted {
            break;
        }
    }
    assert_eq!(r.cpu.gpr[gpr::RBX], sum);
    let Some(jit) = &r.derived.jit else { return };
    let s = &jit.statistics;
    assert!(s.entered < TURNS / 10, "{s:?}");
}
