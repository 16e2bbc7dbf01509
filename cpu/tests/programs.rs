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
