//! Calls and returns in traces: a return is expected to lead behind its call, or where it has led before, and code in other pages
//! to stay where it was found. Expectations are computed here.

mod rig;
use iced_x86::code_asm::*;
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::gpr;
use rig::code::*;

/// Runs to HLT on the translator, in slices of `slice` instructions: between them it chooses traces anew.
fn translated(r: &mut rig::Rig, slice: u64) {
    r.derived = Derived::new(Engine::Translator);
    loop {
        let mut x = r.exec();
        x.limit = slice;
        match lucid86_cpu::interp::run(&mut x) {
            Stop::Halted => return,
            stop => assert_eq!(stop, Stop::Limit),
        }
    }
}

const SLICES: [u64; 4] = [10_000_000, 20_000, 977, 100];

/// A function in another page, called from two places; now and then it returns a little further than behind its call. It takes a word
/// off the stack, and what is behind its call needs the flags that it leaves.
#[test]
fn returns_elsewhere() {
    const TURNS: u64 = 20_000;
    const FUNCTION: u64 = CODE + 0x5_0000;
    for bits in [32, 64] {
        let w = u64::from(bits / 8);
        let code = |seldom: u32| {
            assemble(bits, CODE, |a| {
                let (mut top, mut other, mut next) = (a.create_label(), a.create_label(), a.create_label());
                a.set_label(&mut top)?;
                a.test(ecx, seldom as i32)?;
                a.je(other)?;
                if bits == 64 {
                    a.push(rcx)?
                } else {
                    a.push(ecx)?
                }
                a.call(FUNCTION)?;
                a.adc(ebx, 7)?; // 83 d3 07
                a.adc(edi, 0)?;
                a.rol(ebx, 3)?;
                a.jmp(next)?;
                a.set_label(&mut other)?;
                if bits == 64 {
                    a.push(rdx)?
                } else {
                    a.push(edx)?
                }
                a.call(FUNCTION)?;
                a.sbb(ebx, 9)?; // 83 db 09
                a.adc(edi, 0)?;
                a.ror(ebx, 5)?;
                a.set_label(&mut next)?;
                a.dec(ecx)?;
                a.jne(top)?;
                a.hlt()
            })
        };
        let function = |further: u32| {
            assemble(bits, FUNCTION, |a| {
                let mut back = a.create_label();
                a.xor(eax, eax)?;
                a.test(ecx, further as i32)?;
                a.setz(al)?;
                a.lea(eax, ptr(eax + eax * 2))?;
                if bits == 64 {
                    a.add(qword_ptr(rsp), rax)?
                } else {
                    a.add(dword_ptr(esp), eax)?
                }
                a.test(ecx, 1 << 30)?;
                a.je(back)?;
                a.ud2()?;
                a.set_label(&mut back)?;
                if bits == 64 {
                    a.cmp(ebx, dword_ptr(rsp + 8))?
                } else {
                    a.cmp(ebx, dword_ptr(esp + 4))?
                }
                a.ret_1(w as i32)
            })
        };
        for (seldom, further) in [(!0, !0), (0x3f, !0), (0x3f, 0xff), (1, 3), (!0, 0xfff)] {
            let (mut sum, mut carries) = (0u32, 0u64);
            for c in (1..=TURNS as u32).rev() {
                let other = c & seldom == 0;
                let mut carry = sum < if other { 0x8000_0000 } else { c };
                if c & further != 0 {
                    let n = u32::from(carry);
                    (sum, carry) =
                        if other { sum.overflowing_sub(9 + n) } else { sum.overflowing_add(7 + n) };
                }
                carries += u64::from(carry);
                sum = if other { sum.rotate_right(5) } else { sum.rotate_left(3) };
            }
            let setup = |turns: u64| {
                let mut r = if bits == 64 { long64() } else { flat32() };
                r.mem.write_physical(CODE, &code(seldom));
                r.mem.write_physical(FUNCTION, &function(further));
                (r.cpu.gpr[gpr::RCX], r.cpu.gpr[gpr::RDX]) = (turns, 0x8000_0000);
                r
            };
            assert_eq!(run(&mut setup(200), 100_000).0, Stop::Halted);
            for slice in SLICES {
                let mut r = setup(TURNS);
                let stack = r.cpu.gpr[gpr::RSP];
                translated(&mut r, slice);
                let how = format!("{bits} bits, {seldom:x}, {further:x}, slices of {slice}");
                assert_eq!(r.cpu.gpr[gpr::RBX] as u32, sum, "{how}");
                assert_eq!(r.cpu.gpr[gpr::RDI], carries, "{how}");
                assert_eq!(r.cpu.gpr[gpr::RSP], stack, "{how}");
            }
        }
    }
}

/// Functions in other pages change which frames the pages are in: their own caller's, and another function's that is called next.
#[test]
fn pages_that_change_under_a_trace() {
    const TURNS: u64 = 6000;
    const MAPPER: u64 = CODE + 0x1_0000;
    const OTHER: u64 = CODE + 0x1_4000;
    const LOOP: u64 = CODE + 0x1_8000;
    const TABLE: u64 = 0x10_3000;
    // Of the page of OTHER and of that of LOOP there are two frames each, as bits 8 and 3 of the count say.
    let frames = |at: u64| [at & !0xfff, (at & !0xfff) + 0x2_0000];
    let entry = |at: u64| TABLE + 8 * (at >> 12);
    let body = |plus: i32| {
        assemble(64, LOOP, |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.call(MAPPER)?;
            a.add(rbx, plus)?;
            a.call(OTHER)?;
            a.rol(rbx, 1)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        })
    };
    let mapper = assemble(64, MAPPER, |a| {
        for (at, bit) in [(OTHER, 8), (LOOP, 3)] {
            let mut same = a.create_label();
            a.mov(eax, ecx)?;
            a.shr(eax, bit)?;
            a.and(eax, 1)?;
            a.shl(eax, 17)?;
            a.add(eax, frames(at)[0] as i32 | 0x63)?;
            a.cmp(rax, qword_ptr(entry(at)))?;
            a.je(same)?;
            a.mov(qword_ptr(entry(at)), rax)?;
            a.invlpg(byte_ptr(at))?;
            a.set_label(&mut same)?;
        }
        a.ret()
    });
    let setup = |turns: u64| {
        let mut r = long64();
        r.put64(0x10_2000, TABLE | 3);
        (0..512).for_each(|n| r.put64(TABLE + 8 * n, n << 12 | 0x63));
        for k in 0..2 {
            let other = assemble(64, OTHER, |a| {
                a.xor(rbx, 0x55 + k)?;
                a.ret()
            });
            r.mem.write_physical(frames(OTHER)[k as usize] | OTHER & 0xfff, &other);
            r.mem.write_physical(frames(LOOP)[k as usize] | LOOP & 0xfff, &body(10 + 20 * k));
        }
        r.mem.write_physical(MAPPER, &mapper);
        r.cpu.rip = LOOP;
        r.cpu.gpr[gpr::RCX] = turns;
        r
    };
    let model = |turns: u64| {
        (1..=turns).rev().fold(0u64, |sum, c| {
            let (other, plus) = (c >> 8 & 1, c >> 3 & 1);
            (sum.wrapping_add(10 + 20 * plus) ^ (0x55 + other)).rotate_left(1)
        })
    };
    let mut r = setup(600);
    assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
    assert_eq!(r.cpu.gpr[gpr::RBX], model(600));
    for slice in SLICES {
        let mut r = setup(TURNS);
        translated(&mut r, slice);
        assert_eq!(r.cpu.gpr[gpr::RBX], model(TURNS), "slices of {slice}");
    }
}

/// A loop that lies across a page's end, whose second page becomes another frame while it doesn't run; in between, that of another
/// function does.
#[test]
fn second_pages_that_change() {
    const ROUNDS: u64 = 3000;
    const LOOP: u64 = CODE + 0x1_8ff4;
    const BEHIND: u64 = (LOOP | 0xfff) + 1;
    const OTHER: u64 = CODE + 0x1_c000;
    const TABLE: u64 = 0x10_3000;
    let entry = |at: u64| TABLE + 8 * (at >> 12);
    let inner = |plus: i32| {
        assemble(64, LOOP, |a| {
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.add(eax, 0x1234)?;
            a.rol(eax, 3)?;
            a.db(&[0x66, 0x0f, 0x1f, 0x44, 0, 0])?;
            a.add(eax, plus)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.ret()
        })
    };
    // Each of both pages is another frame when the number of the round has these bits clear.
    let masks = [(OTHER, 3), (BEHIND, 7)];
    let outer = assemble(64, CODE, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        a.call(OTHER)?;
        a.mov(ecx, 20)?;
        a.call(LOOP)?;
        for (at, mask) in masks {
            let mut same = a.create_label();
            a.test(esi, mask)?;
            a.jne(same)?;
            a.xor(dword_ptr(entry(at)), 0x2_0000)?;
            a.invlpg(byte_ptr(at))?;
            a.set_label(&mut same)?;
        }
        a.dec(esi)?;
        a.jne(top)?;
        a.hlt()
    });
    for slice in SLICES {
        let mut r = long64();
        r.put64(0x10_2000, TABLE | 3);
        (0..512).for_each(|n| r.put64(TABLE + 8 * n, n << 12 | 0x63));
        r.mem.write_physical(CODE, &outer);
        let code = inner(0x1111_1111);
        let head = (BEHIND - LOOP) as usize;
        r.mem.write_physical(LOOP, &code[..head]);
        for (frame, plus) in [(0, 0x1111_1111), (0x2_0000, 0x2222_2222)] {
            r.mem.write_physical(BEHIND ^ frame, &inner(plus)[head..]);
            let other = assemble(64, OTHER, |a| {
                a.xor(eax, plus)?;
                a.ret()
            });
            r.mem.write_physical(OTHER ^ frame, &other);
        }
        r.cpu.gpr[gpr::RAX] = 0;
        r.cpu.gpr[gpr::RSI] = ROUNDS;
        translated(&mut r, slice);
        let (mut sum, mut now) = (0u32, [0x1111_1111u32; 2]);
        for round in (1..=ROUNDS).rev() {
            sum ^= now[0];
            for _ in 0..20 {
                sum = sum.wrapping_add(0x1234).rotate_left(3).wrapping_add(now[1]);
            }
            for (now, (_, mask)) in now.iter_mut().zip(masks) {
                *now ^= if round & mask as u64 == 0 { 0x3333_3333 } else { 0 };
            }
        }
        assert_eq!(r.cpu.gpr[gpr::RAX] as u32, sum, "slices of {slice}");
    }
}

/// A function in another page that is stored to, by the code that calls it and from outside.
#[test]
fn functions_that_are_rewritten() {
    const TURNS: u64 = 5000;
    const FUNCTION: u64 = CODE + 0x3000;
    let code = assemble(32, CODE, |a| {
        let (mut top, mut same) = (a.create_label(), a.create_label());
        a.set_label(&mut top)?;
        a.test(ecx, 0xff)?;
        a.jne(same)?;
        a.mov(byte_ptr(FUNCTION as u32 + 2), ch)?;
        a.set_label(&mut same)?;
        a.call(FUNCTION)?;
        a.rol(ebx, 1)?;
        a.dec(ecx)?;
        a.jne(top)?;
        a.hlt()
    });
    let function = assemble(32, FUNCTION, |a| {
        a.add(ebx, 1)?; // 83 c3 01
        a.ret()
    });
    assert_eq!(function[..3], [0x83, 0xc3, 1]);
    for slice in SLICES {
        let mut r = flat32();
        r.mem.write_physical(CODE, &code);
        r.mem.write_physical(FUNCTION, &function);
        r.cpu.gpr[gpr::RCX] = TURNS;
        r.derived = Derived::new(Engine::Translator);
        let (mut sum, mut plus, mut left) = (0u32, 1u32, TURNS as u32);
        let mut turns = |until: u32, plus: &mut u32| {
            while left > until {
                if left & 0xff == 0 {
                    *plus = left >> 8 & 0xff;
                }
                sum = sum.wrapping_add(*plus).rotate_left(1);
                left -= 1;
            }
            sum
        };
        loop {
            let mut x = r.exec();
            x.limit = slice;
            let stop = lucid86_cpu::interp::run(&mut x);
            if stop == Stop::Halted {
                break;
            }
            // Only before a turn is it known how far it is.
            if r.cpu.rip == CODE {
                turns(r.cpu.gpr[gpr::RCX] as u32, &mut plus);
                plus = (plus * 5 + 3) & 0x7f;
                r.mem.write_physical(FUNCTION + 2, &[plus as u8]);
            }
        }
        assert_eq!(r.cpu.gpr[gpr::RBX] as u32, turns(0, &mut plus), "slices of {slice}");
    }
}

/// The last of many returns leads to an address that isn't canonical: #GP at the return, whose RSP and flags are those of before.
#[test]
fn a_return_to_no_address() {
    const TURNS: u64 = 3000;
    const FUNCTION: u64 = CODE + 0x2000;
    const HANDLER: u64 = 0x4000;
    let code = assemble(64, CODE, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        a.dec(ecx)?;
        a.call(FUNCTION)?;
        a.inc(rbx)?;
        a.jmp(top)
    });
    let function = assemble(64, FUNCTION, |a| {
        a.xor(eax, eax)?;
        a.test(ecx, ecx)?;
        a.setz(al)?;
        a.shl(eax, 7)?;
        a.or(byte_ptr(rsp + 6), al)?;
        a.cmp(ecx, 5)?;
        a.ret()
    });
    let handler = assemble(64, HANDLER, |a| {
        a.mov(rsi, qword_ptr(rsp + 8))?;
        a.mov(rdi, qword_ptr(rsp + 24))?;
        a.mov(rbp, qword_ptr(rsp + 32))?;
        a.hlt()
    });
    let at = FUNCTION + function.len() as u64 - 1;
    for slice in SLICES {
        let mut r = long64();
        r.mem.write_physical(CODE, &code);
        r.mem.write_physical(FUNCTION, &function);
        r.mem.write_physical(HANDLER, &handler);
        r.put64(0x6008, 0x00af_9b00_0000_ffff);
        r.put64(0x7000 + 16 * 13, HANDLER | 8 << 16 | 0x8e00 << 32);
        (r.cpu.gdtr.base, r.cpu.gdtr.limit) = (0x6000, 15);
        (r.cpu.idtr.base, r.cpu.idtr.limit) = (0x7000, 0xfff);
        r.cpu.gpr[gpr::RCX] = TURNS;
        translated(&mut r, slice);
        assert_eq!(r.cpu.gpr[gpr::RBX], TURNS - 1, "slices of {slice}");
        assert_eq!(r.cpu.gpr[gpr::RSI], at, "slices of {slice}");
        assert_eq!(r.cpu.gpr[gpr::RBP], 0x8000 - 8, "slices of {slice}");
        // 0 compared with 5: CF, AF and SF.
        assert_eq!(r.cpu.gpr[gpr::RDI] & 0x8d5, 0x91, "slices of {slice}");
    }
}

/// A function stores by a register, which now and then points to where its return address is, and now and then to where its caller has put
/// a number that it then adds. And the same with its stack where no RAM is.
#[test]
fn constants_that_are_stored_over() {
    const TURNS: u64 = 20_000;
    const FUNCTION: u64 = CODE + 0x4000;
    const ELSEWHERE: u64 = 0x7000;
    let masks = [(!0, !0), (0x1f, !0), (!0, 0x1f), (0x7f, 0x3f), (1, 1)];
    for (bits, (over_return, over_number)) in [32, 64].into_iter().flat_map(|b| masks.map(|m| (b, m))) {
        let w = bits as i32 / 8;
        let assembled = |far: u32| {
            assemble(bits, CODE, |a| {
                let mut top = a.create_label();
                a.set_label(&mut top)?;
                a.mov(edi, ELSEWHERE as i32)?;
                a.lea(edx, ptr(esp - w))?;
                a.test(ecx, over_return)?;
                a.cmove(edi, edx)?;
                a.lea(edx, ptr(esp + 0x20))?;
                a.test(ecx, over_number)?;
                a.cmove(edi, edx)?;
                a.mov(eax, far)?;
                if bits == 64 {
                    a.mov(dword_ptr(rsp + 0x20), 7)?
                } else {
                    a.mov(dword_ptr(esp + 0x20), 7)?
                }
                a.call(FUNCTION)?;
                a.add(ebx, 3)?; // 83 c3 03
                a.rol(ebx, 1)?;
                a.dec(ecx)?;
                a.jne(top)?;
                a.hlt()
            })
        };
        let at = assembled(0).windows(3).position(|c| c == [0x83, 0xc3, 3]).expect("ADD EBX, 3");
        let far = CODE as u32 + at as u32 + 3;
        let code = assembled(far);
        let function = assemble(bits, FUNCTION, |a| {
            if bits == 64 {
                a.push(rcx)?;
                a.mov(qword_ptr(rdi), rax)?;
                a.add(ebx, dword_ptr(rsp + 16 + 0x20))?;
                a.pop(rdx)?;
            } else {
                a.push(ecx)?;
                a.mov(dword_ptr(edi), eax)?;
                a.add(ebx, dword_ptr(esp + 8 + 0x20))?;
                a.pop(edx)?;
            }
            a.ret()
        });
        let model = |turns: u64| {
            (1..=turns).rev().fold(0u32, |sum, c| {
                let number = c as i32 & over_number == 0;
                let skips = c as i32 & over_return == 0 && !number;
                let sum = sum.wrapping_add(if number { far } else { 7 });
                sum.wrapping_add(if skips { 0 } else { 3 }).rotate_left(1)
            })
        };
        let setup = |turns: u64| {
            let mut r = if bits == 64 { long64() } else { flat32() };
            r.mem.write_physical(CODE, &code);
            r.mem.write_physical(FUNCTION, &function);
            (r.cpu.gpr[gpr::RCX], r.cpu.gpr[gpr::RSP]) = (turns, 0x8800);
            r
        };
        let mut r = setup(300);
        assert_eq!(run(&mut r, 100_000).0, Stop::Halted);
        assert_eq!(r.cpu.gpr[gpr::RBX] as u32, model(300), "{bits} bits");
        for slice in SLICES {
            let mut r = setup(TURNS);
            translated(&mut r, slice);
            let how = format!("{bits} bits, {over_return:x}, {over_number:x}, slices of {slice}");
            assert_eq!(r.cpu.gpr[gpr::RBX] as u32, model(TURNS), "{how}");
        }
    }
}

/// The stack is where a chip is: what calls store isn't what returns load.
#[test]
fn a_stack_without_memory() {
    /// Behind the 256 frames of RAM.
    const CHIP: u64 = 256 << 12;
    const FUNCTION: u64 = CODE + 0x1000;
    let code = assemble(32, CODE, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        a.call(FUNCTION)?;
        a.inc(ebx)?;
        a.dec(ecx)?;
        a.jne(top)?;
        a.hlt()
    });
    let function = assemble(32, FUNCTION, |a| {
        a.mov(edx, dword_ptr(esp))?;
        a.add(esi, edx)?;
        a.ret()
    });
    let mut ends = Vec::new();
    for engine in [Engine::Interpreter, Engine::Translator] {
        for (turns, slice) in [(40, 10_000), (3000, 977)] {
            let mut r = flat32();
            r.mem.write_physical(CODE, &code);
            r.mem.write_physical(FUNCTION, &function);
            r.derived = Derived::new(engine);
            // First in RAM, until it is hot.
            (r.cpu.gpr[gpr::RCX], r.cpu.gpr[gpr::RSP]) = (turns, 0x8800);
            loop {
                let mut x = r.exec();
                x.limit = slice;
                if lucid86_cpu::interp::run(&mut x) == Stop::Halted {
                    break;
                }
            }
            // Then in the page of the rig's chip, whose loads don't give what was stored.
            r.cpu.rip = CODE;
            r.cpu.activity = lucid86_cpu::state::Activity::Running;
            (r.cpu.gpr[gpr::RCX], r.cpu.gpr[gpr::RSP]) = (turns, CHIP + 0x800);
            let mut x = r.exec();
            x.limit = 50;
            let stop = lucid86_cpu::interp::run(&mut x);
            let count = x.count;
            ends.push((turns, stop, count, r.cpu.gpr, r.cpu.rip));
        }
    }
    assert_eq!(ends[..2], ends[2..]);
}
