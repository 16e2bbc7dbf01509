//! Near jumps, calls and returns to addresses that are not canonical: #GP(0) at the instruction itself, with RSP as it was
//! (SDM volume 2, JMP, CALL and RET, "64-Bit Mode Exceptions": if the target offset is non-canonical). On both
//! engines, after enough good targets that the way is translated and its targets are known.

mod long;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use long::{CODE, halts, machine, on_both};
use lucid86_cpu::state::gpr;

const GP: u8 = 13;
const ROUNDS: i32 = 100;
const STRAY: u64 = 0x0000_9000_0000_1000;

/// Goes to the address in RDX.
type Way = fn(&mut CodeAssembler) -> Result<(), IcedError>;

const WAYS: &[(&str, u64, Way)] = &[
    ("JMP", 0, |a| a.jmp(rdx)),
    ("CALL", 0, |a| a.call(rdx)),
    ("RET", 8, |a| {
        a.push(rdx)?;
        a.nop()?;
        a.ret()
    }),
    ("RET 24", 32, |a| {
        a.lea(rsp, rsp - 24)?;
        a.push(rdx)?;
        a.nop()?;
        a.ret_1(24)
    }),
];

#[test]
fn stray_targets_fault_where_they_are_used() {
    on_both(|engine| {
        for (name, held, way) in WAYS {
            let mut r = machine(engine, |a| {
                let (mut top, mut out, mut back) = (a.create_label(), a.create_label(), a.create_label());
                a.mov(ecx, ROUNDS)?;
                a.mov(rbx, STRAY)?;
                a.set_label(&mut top)?;
                a.lea(rdx, ptr(back))?;
                a.mov(rsi, rsp)?;
                a.dec(ecx)?;
                a.cmove(rdx, rbx)?;
                a.lea(rdi, ptr(out))?;
                a.cmp(ecx, 1000)?;
                way(a)?;
                a.set_label(&mut out)?;
                a.nop()?;
                a.set_label(&mut back)?;
                a.mov(rsp, rsi)?;
                a.jmp(top)
            });
            assert_eq!(halts(&mut r), Some(GP), "{name}");
            assert_eq!(r.cpu.gpr[gpr::RCX], 0, "{name}: the last round");
            // The frame: error code, RIP, CS, RFLAGS, RSP, SS.
            let frame = r.cpu.gpr[gpr::RSP];
            let at = |n: u64| r.peek64(frame + 8 * n);
            assert_eq!(at(0), 0, "{name}: error code");
            let length = r.cpu.gpr[gpr::RDI] - at(1);
            assert!((1..=3).contains(&length) && at(1) > CODE, "{name}: RIP {:x}", at(1));
            assert_eq!(at(4), r.cpu.gpr[gpr::RSI] - held, "{name}: RSP");
            // 0 - 1000: CF, PF (18h), AF, SF.
            assert_eq!(at(3) & 0x8d5, 0x95, "{name}: flags of the comparison");
        }
    });
}
