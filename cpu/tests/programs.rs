//! Small programs, assembled with `iced-x86`, run whole on both engines: 16-, 32- and 64-bit, and the block cache's
//! coherence. Expectations are computed here in Rust or follow from the manual.

mod rig;
use iced_x86::code_asm::*;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{Seg, flag, gpr};
use rig::Rig;
use rig::code::*;

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

/// Repeated MOVS, STOS and LODS in both directions, with operands that overlap, across pages' ends, in 16-, 32- and 64-bit code:
/// element by element, as a loop here does it.
#[test]
fn rows_of_strings() {
    const PLACE: u64 = 0x2_0000;
    const SIZE: u64 = 0x6000;
    for bits in [16, 32, 64] {
        for w in [1u64, 2, 4, 8] {
            if w == 8 && bits != 64 {
                continue;
            }
            for down in [false, true] {
                for ahead in [0i64, 1, 2, 4, 7, 8, 40, 0x1000, -1, -2, -4, -8, -40, -0x1001] {
                    let mut r = match bits {
                        16 => real16(),
                        32 => flat32(),
                        _ => long64(),
                    };
                    // MOVS, STOS and LODS, 700 elements each.
                    let (op, wide): (u8, &[u8]) = match (w, bits) {
                        (1, _) => (0, &[]),
                        (2, 16) | (4, 32 | 64) => (1, &[]),
                        (8, _) => (1, &[0x48]),
                        _ => (1, &[0x66]),
                    };
                    let mut code = vec![if down { 0xfd } else { 0xfc }];
                    for what in [0xa4, 0xaa, 0xac] {
                        // The count comes from EBP each time.
                        code.extend([0x89, 0xe9]);
                        let rex = wide == [0x48];
                        code.extend(wide.iter().filter(|_| !rex));
                        code.push(0xf3);
                        code.extend(wide.iter().filter(|_| rex));
                        code.push(what + op);
                    }
                    code.push(0xf4);
                    r.mem.write_physical(CODE, &code);
                    let mut mem: Vec<u8> = (0..SIZE).map(|n| (n * 7) as u8 ^ (n >> 5) as u8).collect();
                    r.mem.write_physical(PLACE, &mem);
                    let base = if bits == 16 { PLACE } else { 0 };
                    for s in [Seg::Ds, Seg::Es] {
                        r.cpu.seg[s as usize].base = base;
                    }
                    let mut from = if down { 0x4f32 } else { 0x10f1 };
                    let mut to = (from as i64 + ahead) as u64;
                    let mut a = 0x8877_6655_4433_2211u64;
                    let offset = |at: u64| PLACE - base + at;
                    r.cpu.gpr[gpr::RSI] = offset(from);
                    r.cpu.gpr[gpr::RDI] = offset(to);
                    r.cpu.gpr[gpr::RAX] = a;
                    r.cpu.gpr[gpr::RBP] = 700;
                    assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
                    let by = if down { w.wrapping_neg() } else { w };
                    let n = w as usize;
                    for _ in 0..700 {
                        mem.copy_within(from as usize..from as usize + n, to as usize);
                        (from, to) = (from.wrapping_add(by), to.wrapping_add(by));
                    }
                    for _ in 0..700 {
                        mem[to as usize..to as usize + n].copy_from_slice(&a.to_le_bytes()[..n]);
                        to = to.wrapping_add(by);
                    }
                    for _ in 0..700 {
                        let mut v = a.to_le_bytes();
                        v[..n].copy_from_slice(&mem[from as usize..from as usize + n]);
                        a = u64::from_le_bytes(v) & if n == 4 { 0xffff_ffff } else { u64::MAX };
                        from = from.wrapping_add(by);
                    }
                    let what = format!("{bits} bits, {w} bytes, down: {down}, ahead by {ahead}");
                    let mut got = vec![0; mem.len()];
                    r.mem.read_physical(PLACE, &mut got);
                    assert!(got == mem, "{what}");
                    assert_eq!(r.cpu.gpr[gpr::RSI], offset(from), "{what}");
                    assert_eq!(r.cpu.gpr[gpr::RDI], offset(to), "{what}");
                    let mask = if bits == 64 { u64::MAX } else { 0xffff_ffff };
                    assert_eq!(r.cpu.gpr[gpr::RAX] & mask, a & mask, "{what}");
                }
            }
        }
    }
}
