//! Small programs, assembled with `iced-x86`, run whole on both engines: 16-, 32- and 64-bit, and the block cache's
//! coherence. Expectations are computed here in Rust or follow from the manual.

mod rig;
use iced_x86::code_asm::*;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{Seg, flag, gpr};
use rig::Rig;

const CODE: u64 = 0x1000;

fn assemble(bits: u32, at: u64, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let mut a = CodeAssembler::new(bits).expect("assembler");
    f(&mut a).expect("program");
    a.assemble(at).expect("assembled")
}
use iced_x86::IcedError;

fn run(r: &mut Rig, limit: u64) -> (Stop, u64) {
    r.run(limit)
}

fn flat32() -> Rig {
    let mut r = Rig::new("x86-64-v2", 256);
    r.protected(0);
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}

fn real16() -> Rig {
    let mut r = Rig::new("x86-64-v2", 300);
    r.cpu.seg[Seg::Cs as usize].base = 0;
    r.cpu.seg[Seg::Cs as usize].selector = 0;
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}

/// 64-bit mode over an identity map of the first 2 MiB by one large page.
fn long64() -> Rig {
    let mut r = Rig::new("x86-64-v2", 512);
    r.long(0, 0x10_0000);
    r.put64(0x10_0000, 0x10_1003);
    r.put64(0x10_1000, 0x10_2003);
    r.put64(0x10_2000, 0x83);
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}

#[test]
fn sums_in_every_mode() {
    for bits in [16, 32, 64] {
        let mut r = match bits {
            16 => real16(),
            32 => flat32(),
            _ => long64(),
        };
        let code = assemble(bits, CODE, |a| {
            let mut top = a.create_label();
            a.xor(eax, eax)?;
            a.mov(ecx, 100)?;
            a.set_label(&mut top)?;
            a.add(eax, ecx)?;
            a.push(cx)?;
            a.pop(dx)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        let (stop, count) = run(&mut r, 10_000);
        assert_eq!(stop, Stop::Halted, "{bits}");
        assert_eq!(r.cpu.gpr[gpr::RAX], 5050, "{bits}");
        assert_eq!(r.cpu.gpr[gpr::RDX] & 0xffff, 1, "{bits}");
        assert_eq!(count, 2 + 500 + 1, "{bits}");
        assert_eq!(r.cpu.gpr[gpr::RSP], 0x8000);
        assert_ne!(r.cpu.rflags & flag::ZF, 0);
    }
}

#[test]
fn stops_at_the_exact_count() {
    for limit in 1..40 {
        let mut r = flat32();
        let code = assemble(32, CODE, |a| {
            let mut top = a.create_label();
            a.mov(edi, 0x5000)?;
            a.mov(ecx, 7)?;
            a.set_label(&mut top)?;
            a.inc(eax)?;
            a.rep().stosb()?;
            a.mov(ecx, 3)?;
            a.inc(ebx)?;
            a.jmp(top)
        });
        r.mem.write_physical(CODE, &code);
        let (stop, count) = run(&mut r, limit);
        assert_eq!((stop, count), (Stop::Limit, limit));
        // 2, then inc, 7 iterations, mov, inc, jmp, inc, 3 iterations, ...
        if (4..10).contains(&limit) {
            assert_eq!(r.cpu.gpr[gpr::RCX], 7 - (limit - 3));
            assert_eq!(r.cpu.gpr[gpr::RDI], 0x5000 + limit - 3);
        }
        // Going on one by one gives the same as going at once.
        let mut s = flat32();
        s.mem.write_physical(CODE, &code);
        for _ in 0..limit {
            assert_eq!(run(&mut s, 1).1, 1);
        }
        assert_eq!(s.cpu, r.cpu);
    }
}

#[test]
fn calls_and_memory() {
    let mut r = long64();
    let code = assemble(64, CODE, |a| {
        let mut fib = a.create_label();
        let mut small = a.create_label();
        a.mov(edi, 15)?;
        a.call(fib)?;
        a.hlt()?;
        a.set_label(&mut fib)?;
        a.cmp(edi, 2)?;
        a.jb(small)?;
        a.push(rdi)?;
        a.dec(edi)?;
        a.call(fib)?;
        a.xchg(qword_ptr(rsp), rax)?;
        a.lea(edi, ptr(rax - 2))?;
        a.call(fib)?;
        a.add(rax, qword_ptr(rsp))?;
        a.add(rsp, 8)?;
        a.ret()?;
        a.set_label(&mut small)?;
        a.mov(eax, edi)?;
        a.ret()
    });
    r.mem.write_physical(CODE, &code);
    assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
    assert_eq!(r.cpu.gpr[gpr::RAX], 610);
}

#[test]
fn code_that_changes_itself() {
    // The store hits the next instruction of the running block.
    let mut r = flat32();
    let code = assemble(32, CODE, |a| {
        a.mov(byte_ptr(CODE as u32 + 8), 2)?; // 7 bytes: the immediate of the next
        a.mov(al, 1)?;
        a.hlt()
    });
    assert_eq!(code[7..9], [0xb0, 1]);
    r.mem.write_physical(CODE, &code);
    let _ = run(&mut r, 100);
    assert_eq!(r.cpu.gpr[gpr::RAX] & 0xff, 2);

    // Each time round a loop another instruction is there, and DMA changes it too.
    let mut r = flat32();
    let code = assemble(32, CODE, |a| {
        let mut top = a.create_label();
        a.xor(ebx, ebx)?;
        a.xor(edx, edx)?;
        a.set_label(&mut top)?;
        a.add(ebx, 1)?; // 83 c3 01 at +4
        a.inc(edx)?;
        a.mov(byte_ptr(CODE as u32 + 6), dl)?;
        a.cmp(edx, 5)?;
        a.jne(top)?;
        a.hlt()
    });
    r.mem.write_physical(CODE, &code);
    let _ = run(&mut r, 100);
    assert_eq!(r.cpu.gpr[gpr::RBX], 1 + 1 + 2 + 3 + 4);
    r.mem.write_physical(CODE + 6, &[100]);
    r.cpu.rip = CODE;
    r.cpu.activity = lucid86_cpu::state::Activity::Running;
    let _ = run(&mut r, 5);
    assert_eq!(r.cpu.gpr[gpr::RBX], 100);
}

/// A hot loop of several blocks is one translation. What lies in the middle of it, and what it leaves to, may change at
/// any moment, and it may be left after any instruction.
#[test]
fn code_in_the_middle_of_a_trace_may_change() {
    // Apart, so that a store to one's code is none to another's.
    let (common_way, seldom_way) = (CODE + 256, CODE + 128);
    let pieces = [
        assemble(32, CODE, |a| {
            a.inc(ecx)?;
            a.test(ecx, 0x3f)?;
            a.je(seldom_way)?;
            a.jmp(common_way)
        }),
        assemble(32, seldom_way, |a| {
            a.add(esi, 1)?; // 83 c6 01
            a.jmp(CODE)
        }),
        assemble(32, common_way, |a| {
            a.add(ebx, 1)?; // 83 c3 01
            a.cmp(ecx, edx)?;
            a.jne(CODE)?;
            a.hlt()
        }),
    ];
    assert_eq!(pieces[1][..3], [0x83, 0xc6, 1]);
    assert_eq!(pieces[2][..3], [0x83, 0xc3, 1]);
    for engine in [Engine::Interpreter, Engine::Translator] {
        let mut r = flat32();
        r.derived = Derived::new(engine);
        for (at, piece) in [CODE, seldom_way, common_way].iter().zip(&pieces) {
            r.mem.write_physical(*at, piece);
        }
        r.cpu.gpr[gpr::RCX] = 0;
        r.cpu.gpr[gpr::RDX] = u64::from(u32::MAX);
        let (mut n, mut common, mut seldom) = (0u64, 1u64, 1u64);
        let mut sums = [0; 2];
        for round in 1..40u64 {
            // Both constants take their turn, as by DMA.
            if round % 2 == 1 {
                common = round;
                r.mem.write_physical(common_way + 2, &[round as u8]);
            } else {
                seldom = 2 * round;
                r.mem.write_physical(seldom_way + 2, &[2 * round as u8]);
            }
            // 63 times the common way, once the other: left in the middle, and gone on with.
            let length = 63 * 7 + 5;
            for part in [100, length - 100] {
                let mut x = r.exec();
                x.limit = part;
                assert_eq!(lucid86_cpu::interp::run(&mut x), Stop::Limit);
                assert_eq!(x.count, part);
            }
            n += 64;
            sums[0] += 63 * common;
            sums[1] += seldom;
            let seen = [gpr::RCX, gpr::RBX, gpr::RSI].map(|g| r.cpu.gpr[g]);
            assert_eq!(seen, [n, sums[0], sums[1]], "{engine:?}, round {round}");
            assert_eq!(r.cpu.rip, CODE);
        }
    }
}

/// A jump to another page is linked for one address space. In the next one, which maps the same code, it is soon linked anew.
#[test]
fn far_jumps_follow_the_space() {
    let mut r = Rig::new("x86-64-v2", 64);
    r.derived = Derived::new(Engine::Translator);
    // The same 64 pages under two roots, in tables of 2 MiB pages each.
    for root in [0x1_0000u64, 0x1_4000] {
        r.put64(root, (root + 0x1000) | 7);
        r.put64(root + 0x1000, (root + 0x2000) | 7);
        r.put64(root + 0x2000, 0x87);
    }
    let callee = CODE + 0x1000;
    let near = assemble(64, CODE, |a| {
        a.call(callee)?;
        a.dec(ecx)?;
        a.jne(CODE)?;
        a.hlt()
    });
    let far = assemble(64, callee, |a| {
        a.add(rax, rcx)?;
        a.ret()
    });
    r.mem.write_physical(CODE, &near);
    r.mem.write_physical(callee, &far);
    let mut made = Vec::new();
    for root in [0x1_0000, 0x1_4000, 0x1_0000] {
        r.long(0, root);
        r.cpu.rip = CODE;
        r.cpu.activity = lucid86_cpu::state::Activity::Running;
        (r.cpu.gpr[gpr::RAX], r.cpu.gpr[gpr::RCX], r.cpu.gpr[gpr::RSP]) = (0, 5000, 0x8000);
        let mut x = r.exec();
        x.limit = 1_000_000;
        assert_eq!(lucid86_cpu::interp::run(&mut x), Stop::Halted);
        assert_eq!(x.count, 5000 * 5 + 1);
        assert_eq!(r.cpu.gpr[gpr::RAX], 5000 * 5001 / 2);
        let Some(jit) = &r.derived.jit else { return };
        made.push(jit.statistics.links);
    }
    assert!(made.is_sorted_by(|a, b| a < b), "links made: {made:?}");
    assert!(made[2] - made[0] < 20, "links made: {made:?}");
}

#[test]
fn instruction_across_pages() {
    let mut r = flat32();
    r.cpu.rip = 0x1ffd;
    r.mem.write_physical(0x1ffd, &[0xb8, 1, 2, 3, 4, 0xf4]);
    assert_eq!(run(&mut r, 100).0, Stop::Halted);
    assert_eq!(r.cpu.gpr[gpr::RAX], 0x0403_0201);
    for second in [9u8, 7] {
        r.mem.write_physical(0x2000, &[second]);
        r.cpu.rip = 0x1ffd;
        r.cpu.activity = lucid86_cpu::state::Activity::Running;
        let _ = run(&mut r, 1);
        assert_eq!(r.cpu.gpr[gpr::RAX], 0x0400_0201 | u64::from(second) << 16);
    }
}

/// An instruction that crossed pages is replaced by shorter ones at the same place, and comes back.
#[test]
fn bytes_at_a_page_end_may_change() {
    let mut r = flat32();
    // B8h takes four more bytes, three of them in the next page; 40h (INC EAX) takes none. HLT (F4h) ends both.
    let long: &[u8] = &[0xb8, 0x78, 0x56, 0x34, 0x12, 0xf4];
    let short: &[u8] = &[0x40, 0x40, 0xf4];
    for (bytes, sum) in
        [(long, 0x1234_5678), (long, 0x1234_5678), (short, 7), (long, 0x1234_5678), (short, 7)]
    {
        r.mem.write_physical(0x1ffe, bytes);
        r.cpu.rip = 0x1ffe;
        r.cpu.gpr[gpr::RAX] = 5;
        r.cpu.activity = lucid86_cpu::state::Activity::Running;
        assert_eq!(run(&mut r, 100).0, Stop::Halted);
        assert_eq!(r.cpu.gpr[gpr::RAX], sum);
    }
}

#[test]
fn strings() {
    let mut r = long64();
    let text: Vec<u8> = (0..9000u32).map(|n| (n * 7) as u8).collect();
    r.mem.write_physical(0x2_0123, &text);
    let code = assemble(64, CODE, |a| {
        a.mov(esi, 0x2_0123)?;
        a.mov(edi, 0x3_0456)?;
        a.mov(ecx, 9000)?;
        a.rep().movsb()?;
        a.mov(edi, 0x4_0001)?;
        a.mov(ecx, 0x1001)?;
        a.mov(eax, 0x1122_3344)?;
        a.rep().stosd()?;
        a.mov(esi, 0x2_0123)?;
        a.mov(edi, 0x3_0456)?;
        a.mov(ecx, 9001)?;
        a.repe().cmpsb()?;
        a.hlt()
    });
    r.mem.write_physical(CODE, &code);
    r.mem.write_physical(0x2_0123 + 9000, &[1]);
    let (stop, count) = run(&mut r, 1_000_000);
    assert_eq!(stop, Stop::Halted);
    assert_eq!(count, 9 + 9000 + 0x1001 + 9001 + 1);
    let mut got = vec![0; 9000];
    r.mem.read_physical(0x3_0456, &mut got);
    assert_eq!(got, text);
    assert_eq!(r.get32(0x4_0001 + 4 * 0x1000), 0x1122_3344);
    assert_eq!(r.get32(0x4_0001 + 4 * 0x1001), 0);
    assert_eq!(r.cpu.gpr[gpr::RDI], 0x3_0456 + 9001);
    assert_eq!(r.cpu.rflags & flag::ZF, 0);

    // An overlapping copy upwards spreads a pattern.
    let mut r = flat32();
    let code = assemble(32, CODE, |a| {
        a.mov(word_ptr(0x5000), 0xbbaa)?;
        a.mov(esi, 0x5000)?;
        a.mov(edi, 0x5002)?;
        a.mov(ecx, 10)?;
        a.rep().movsw()?;
        a.hlt()
    });
    r.mem.write_physical(CODE, &code);
    let _ = run(&mut r, 100);
    assert_eq!(r.get64(0x5000 + 14), 0xbbaa_bbaa_bbaa_bbaa);
}

#[test]
fn real_mode_interrupt_and_fault() {
    let mut r = real16();
    // Vector 21h at 0:2000h, vector 0 at 0:3000h.
    r.put32(4 * 0x21, 0x2000);
    r.put32(0, 0x3000);
    r.mem.write_physical(0x2000, &[0xb4, 0x77, 0xcf]);
    r.mem.write_physical(0x3000, &[0xb3, 0x55, 0xf4]);
    let code = assemble(16, CODE, |a| {
        a.int(0x21)?;
        a.xor(cx, cx)?;
        a.div(cx)?;
        a.hlt()
    });
    r.mem.write_physical(CODE, &code);
    assert_eq!(run(&mut r, 100).0, Stop::Halted);
    assert_eq!(r.cpu.gpr[gpr::RAX] >> 8 & 0xff, 0x77);
    assert_eq!(r.cpu.gpr[gpr::RBX] & 0xff, 0x55);
    assert_eq!(r.get16(0x8000 - 6), CODE as u16 + 4);
}

#[test]
fn single_step_traps_after_each_instruction() {
    let mut r = real16();
    r.put32(4, 0x2000);
    // inc bp; iret
    r.mem.write_physical(0x2000, &[0x45, 0xcf]);
    let code = assemble(16, CODE, |a| {
        a.pushf()?;
        a.pop(ax)?;
        a.or(ax, 0x100)?;
        a.push(ax)?;
        a.popf()?;
        a.nop()?;
        a.nop()?;
        a.nop()?;
        a.and(ax, !0x100)?;
        a.push(ax)?;
        a.popf()?;
        a.nop()?;
        a.hlt()
    });
    r.mem.write_physical(CODE, &code);
    assert_eq!(run(&mut r, 200).0, Stop::Halted);
    assert_eq!(r.cpu.gpr[gpr::RBP], 6);
}

/// Two routines in other segments (one begins in the middle of a page), an interrupt, strings in both directions, far
/// pointers: what 16-bit code does at every turn.
#[test]
fn segments_of_real_mode() {
    const ROUNDS: u16 = 40;
    for first in [0u16, 0x8000] {
        let mut r = real16();
        // At 123h:10h, 1240h: RETF 2. At 400h:0: RETF. At 0:2000h: IRET.
        let far = assemble(16, 0x10, |a| {
            a.add(dx, bp)?;
            a.db(&[0xca, 2, 0])
        });
        let near = assemble(16, 0, |a| {
            a.inc(dx)?;
            a.db(&[0xcb])
        });
        let handler = assemble(16, 0x2000, |a| {
            a.inc(byte_ptr(0x700))?;
            a.iret()
        });
        let offset = first;
        let code = assemble(16, CODE, |a| {
            let (mut top, mut on) = (a.create_label(), a.create_label());
            a.set_label(&mut top)?;
            // A word through ES, and back through DS and FS.
            a.mov(bx, 0x2000)?;
            a.mov(es, bx)?;
            a.mov(word_ptr(offset).es(), cx)?;
            a.push(es)?;
            a.pop(fs)?;
            a.add(dx, word_ptr(offset).fs())?;
            a.lds(si, dword_ptr(0x710))?;
            a.les(di, dword_ptr(0x714).ss())?;
            a.movsw()?;
            a.std()?;
            a.lodsb()?;
            a.stosb()?;
            a.cld()?;
            a.scasb()?;
            a.cmpsb()?;
            a.je(on)?;
            a.inc(word_ptr(0x702).ss())?;
            a.set_label(&mut on)?;
            a.xor(bx, bx)?;
            // The x87 keeps the segments that it was used with.
            a.fninit()?;
            a.fld(dword_ptr(0x30))?;
            a.mov(ds, bx)?;
            // With and without interrupts.
            a.pushf()?;
            a.cli()?;
            a.int(0x21)?;
            a.popf()?;
            a.pushf()?;
            a.pop(ax)?;
            a.and(ax, 0x200)?;
            a.add(word_ptr(0x704), ax)?;
            a.push(bp)?;
            a.fld(dword_ptr(0x730))?;
            a.db(&[0x9a, 0x10, 0, 0x23, 0x01])?; // call 123h:10h
            a.db(&[0xff, 0x1e, 0x18, 0x07])?; // call far [718h]
            a.dec(cx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.mem.write_physical(CODE, &code);
        r.mem.write_physical(0x1240, &far);
        r.mem.write_physical(0x4000, &near);
        r.mem.write_physical(0x2000, &handler);
        r.put32(4 * 0x21, 0x2000);
        r.put32(0x710, 0x2000_0000 | u32::from(offset));
        r.put32(0x714, 0x3000_0100);
        r.put32(0x718, 0x0400_0000);
        r.cpu.rflags |= flag::IF;
        r.cpu.gpr[gpr::RCX] = ROUNDS.into();
        r.cpu.gpr[gpr::RBP] = 3;
        r.cpu.gpr[gpr::RDX] = 0;
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
        // RETF 2 drops what was pushed for it.
        assert_eq!(r.cpu.gpr[gpr::RSP], 0x8000);
        let sum = (1..=ROUNDS).sum::<u16>() + 4 * ROUNDS;
        assert_eq!(r.cpu.gpr[gpr::RDX] as u16, sum);
        assert_eq!(r.get16(0x700) & 0xff, ROUNDS);
        assert_eq!(r.get16(0x704), 0x200u16.wrapping_mul(ROUNDS));
        // MOVSW copies the count, and the byte behind it goes over the next one there.
        assert_eq!(r.get16(0x3_0100), 1);
        let (seg, cpu) = (&r.cpu.seg, &r.cpu);
        assert_eq!(seg.iter().map(|s| s.selector).collect::<Vec<_>>(), [0x3000, 0, 0, 0, 0x2000, 0]);
        assert!(seg.iter().all(|s| s.base == u64::from(s.selector) << 4), "{cpu:?}");
    }
}

/// A segment register takes what the descriptor is when it is loaded, however often its selector has been loaded before.
#[test]
fn data_segments_follow_their_descriptors() {
    const GDT: u64 = 0x600;
    const ROUNDS: u32 = 50;
    let mut r = flat32();
    r.cpu.gdtr.base = GDT;
    r.cpu.gdtr.limit = 0x27;
    // 18h: data of 4 KiB at 5000h, which goes up by a word each round; 10h, 20h: flat data.
    r.put64(GDT + 0x10, 0x00cf_9200_0000_ffff);
    r.put64(GDT + 0x18, 0x0040_9200_5000_0fff);
    r.put64(GDT + 0x20, 0x00cf_9200_0000_ffff);
    for n in 0..2 * ROUNDS {
        r.put32(0x5000 + 4 * u64::from(n), n + 1);
    }
    let code = assemble(32, CODE, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        a.mov(eax, 0x18)?;
        a.mov(fs, eax)?;
        a.add(edx, dword_ptr(0).fs())?;
        a.add(word_ptr(GDT + 0x1a), 4)?;
        a.mov(fs, eax)?;
        a.add(edx, dword_ptr(0).fs())?;
        a.push(0x20)?;
        a.pop(fs)?;
        a.add(edx, dword_ptr(0x5000).fs())?;
        a.push(3)?;
        a.pop(fs)?;
        a.mov(gs, eax)?;
        a.push(gs)?;
        a.pop(es)?;
        a.add(edx, dword_ptr(4).es())?;
        a.push(ss)?;
        a.pop(es)?;
        a.dec(ecx)?;
        a.jne(top)?;
        // Now it is not there: #NP, and there is no IDT.
        a.mov(byte_ptr(GDT + 0x1d), 0x12)?;
        a.mov(fs, eax)?;
        a.hlt()
    });
    r.mem.write_physical(CODE, &code);
    r.cpu.gpr[gpr::RCX] = ROUNDS.into();
    r.cpu.gpr[gpr::RDX] = 0;
    let (stop, _) = run(&mut r, 100_000);
    assert_ne!(stop, Stop::Halted);
    let sum: u32 = (0..ROUNDS).map(|n| (n + 1) + (n + 2) + 1 + (n + 3)).sum();
    assert_eq!(r.cpu.gpr[gpr::RDX], u64::from(sum));
    assert_eq!(r.cpu.seg[Seg::Fs as usize].selector, 3);
    assert_eq!(r.cpu.seg[Seg::Gs as usize].base, 0x5000 + 4 * u64::from(ROUNDS));
    assert_eq!(r.get64(GDT + 0x20) >> 40 & 1, 1, "accessed");
}

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
