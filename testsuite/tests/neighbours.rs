//! One page of code under two addresses with other pages behind them: control that leaves its end, by a jump, a call, a
//! conditional jump, a fall-through or in the middle of an instruction, must come to the page behind the address it runs
//! at (SDM volume 3, section 4.10: translations are of linear addresses). On both engines, long enough that the
//! translator has linked what it links.

mod long;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use long::{PT, WINDOW, halts, machine, on_both};
use lucid86_cpu::state::gpr;

/// Frames: the code with two names, and the two that lie behind it.
const CODE: u64 = 0x3_0000;
const BEHIND: [u64; 2] = [0x3_4000, 0x3_8000];
const ROUNDS: u64 = 200;
/// Where the page under test is entered.
const ENTRY: u64 = 0xf00;
/// Where control comes to in the page behind.
const THERE: u64 = 0x40;

type Part = fn(&mut CodeAssembler) -> Result<(), IcedError>;

fn bytes(at: u64, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let mut a = CodeAssembler::new(64).expect("assembler");
    f(&mut a).expect("program");
    a.assemble(at).expect("assembled")
}

/// Ways out of the page, and where each comes out behind it. Addresses are those of the first name.
const WAYS: &[(&str, u64, Part)] = &[
    ("JMP", THERE, |a| a.jmp(WINDOW + 0x1000 + THERE)),
    ("CALL", THERE, |a| {
        a.call(WINDOW + 0x1000 + THERE)?;
        a.ret()
    }),
    ("JE taken", THERE, |a| {
        a.cmp(ecx, ecx)?;
        a.je(WINDOW + 0x1000 + THERE)?;
        a.hlt()
    }),
    ("JNE not taken, then JMP", THERE, |a| {
        a.cmp(ecx, ecx)?;
        a.jne(WINDOW + 0x1000)?;
        a.jmp(WINDOW + 0x1000 + THERE)
    }),
    ("LOOP", THERE - 0x40, |a| {
        a.mov(edx, ecx)?;
        a.mov(ecx, 2)?;
        a.db(&[0x90; 0xea])?;
        a.mov(r8d, r8d)?;
        a.loop_(WINDOW + 0x1000)
    }),
];

/// The sum of what 200 calls of either name return: 1 behind the first, 1000 behind the second.
fn sum(engine: lucid86_cpu::derived::Engine, code: &[u8], entry: u64, there: u64, swap: bool) -> u64 {
    let mut r = machine(engine, |a| {
        let mut top = a.create_label();
        a.xor(ebx, ebx)?;
        a.mov(ebp, ROUNDS as u32)?;
        a.mov(rsi, WINDOW + entry)?;
        a.mov(rdi, WINDOW + 0x2000 + entry)?;
        a.set_label(&mut top)?;
        a.call(rsi)?;
        a.add(rbx, rax)?;
        a.call(rdi)?;
        a.add(rbx, rax)?;
        if swap {
            a.xchg(rsi, rdi)?;
        }
        a.dec(ebp)?;
        a.jne(top)?;
        a.hlt()
    });
    for (n, frame) in [CODE, BEHIND[0], CODE, BEHIND[1]].into_iter().enumerate() {
        r.poke(PT + 8 * n as u64, &(frame | 3).to_le_bytes());
    }
    r.poke(CODE + entry, code);
    for (frame, v) in BEHIND.into_iter().zip([1u32, 1000]) {
        let routine = bytes(0, |a| {
            a.mov(eax, v)?;
            a.ret()
        });
        r.poke(frame + there, &routine);
    }
    assert_eq!(halts(&mut r), None);
    r.cpu.gpr[gpr::RBX]
}

#[test]
fn control_comes_to_the_page_behind_its_own_address() {
    on_both(|engine| {
        for (name, there, part) in WAYS {
            let code = bytes(WINDOW + ENTRY, part);
            for swap in [false, true] {
                assert_eq!(sum(engine, &code, ENTRY, *there, swap), ROUNDS * 1001, "{name}, swapped: {swap}");
            }
        }
        // Running on over the end.
        assert_eq!(sum(engine, &[0x90; 0x100], ENTRY, 0, false), ROUNDS * 1001, "fall-through");
    });
}

/// MOV EAX, imm32 whose last two bytes lie behind the end: they are the other page's.
#[test]
fn an_instruction_goes_on_behind_its_own_address() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.xor(ebx, ebx)?;
            a.mov(ebp, ROUNDS as u32)?;
            a.mov(rsi, WINDOW + 0xffd)?;
            a.mov(rdi, WINDOW + 0x2ffd)?;
            a.set_label(&mut top)?;
            a.call(rsi)?;
            a.add(rbx, rax)?;
            a.call(rdi)?;
            a.add(rbx, rax)?;
            a.dec(ebp)?;
            a.jne(top)?;
            a.hlt()
        });
        for (n, frame) in [CODE, BEHIND[0], CODE, BEHIND[1]].into_iter().enumerate() {
            r.poke(PT + 8 * n as u64, &(frame | 3).to_le_bytes());
        }
        r.poke(CODE + 0xffd, &[0xb8, 0x05, 0x00]);
        r.poke(BEHIND[0], &[0x00, 0x00, 0xc3]);
        r.poke(BEHIND[1], &[0x01, 0x00, 0xc3]);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBX], ROUNDS * (5 + 0x1_0005));
    });
}
