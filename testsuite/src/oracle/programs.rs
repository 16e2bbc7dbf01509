//! Pieces of random programs: instructions that leave pointers and the counter alone, and the loop around them.

use super::cases::{Case, Maker, excluded, known};
use super::state::{CODE, DATA, DATA_LEN, State};
use super::values;
use crate::rng::Rng;
use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Instruction, InstructionBlock, InstructionInfoFactory,
    MemoryOperand, Mnemonic as M, OpAccess, Register,
};
use lucid86_cpu::model::CpuModel;

/// One instruction of a program, or a jump over the next ones.
#[derive(Clone, Debug)]
pub struct Line {
    /// The instruction; a jump's target is filled in later.
    pub ins: Instruction,
    /// For a jump: how many lines it skips.
    pub skips: usize,
}

/// Registers that a program leaves alone: the counter, and the pointers RBX, RSP, RBP, RSI, RDI.
const KEPT: [Register; 6] =
    [Register::RCX, Register::RBX, Register::RSP, Register::RBP, Register::RSI, Register::RDI];

/// Encodings that programs are made of.
pub fn program_encodings(wide: bool, model: &CpuModel) -> Vec<Code> {
    let fits = |code: &Code| {
        super::cases::sample(*code, wide)
            .is_some_and(|(i, b)| known(&b, wide, model) && excluded(&i, wide).is_none() && usable(&i))
    };
    super::cases::encodings(wide).into_iter().filter(fits).collect()
}

/// Whether an instruction may stand in a program: its result is exact, and the program goes on after it.
fn usable(i: &Instruction) -> bool {
    use M::*;
    let inexact = matches!(i.mnemonic(), F2xm1 | Fyl2x | Fyl2xp1 | Fptan | Fpatan | Fsin | Fcos | Fsincos)
        || matches!(i.mnemonic(), Rcpps | Rcpss | Rsqrtps | Rsqrtss | Aaa | Aas | Aad | Aam | Daa | Das)
        || matches!(
            i.mnemonic(),
            Fnstenv | Fnsave | Fxsave | Fxsave64 | Fxrstor | Fxrstor64 | Frstor | Fldenv
        );
    // A bit of MXCSR is AMD's alone.
    let inexact = inexact || i.mnemonic() == Ldmxcsr;
    let ends =
        i.is_privileged() || matches!(i.mnemonic(), Int3 | Into | Bound | In | Out | Popf | Popfd | Popfq);
    let sha =
        format!("{:?}", i.mnemonic()).starts_with("Sha") || matches!(i.mnemonic(), Movsxd | Reservednop);
    let flow =
        i.is_jmp_near_indirect() || i.is_call_near() || i.is_call_near_indirect() || i.mnemonic() == Ret;
    let jumps = i.is_loop() || i.is_loopcc() || i.is_jcx_short() || i.is_jmp_short_or_near();
    !inexact && !ends && !sha && !flow && !jumps && !i.is_string_instruction()
}

/// An instruction with random operands that writes none of the kept registers.
pub fn line(code: Code, wide: bool, r: &mut Rng) -> Option<Line> {
    let mut factory = InstructionInfoFactory::new();
    for _ in 0..8 {
        let state = State::default();
        let mut m = Maker { r, wide, state, data: Vec::new(), target: DATA, program: true };
        let Some(mut ins) = m.instruction(code) else { continue };
        if ins.is_jcc_short_or_near() {
            ins.as_short_branch();
            return Some(Line { ins, skips: 1 + r.below(3) as usize });
        }
        if ins.has_lock_prefix() {
            ins.set_has_lock_prefix(false);
        }
        let spoils = factory.info(&ins).used_registers().iter().any(|u| {
            let read = matches!(u.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            !read && KEPT.contains(&u.register().full_register())
        });
        if !spoils {
            return Some(Line { ins, skips: 0 });
        }
    }
    None
}

/// Accesses to one table by indices that are small because of how they are made: of bytes, or masked.
pub fn table(wide: bool, r: &mut Rng) -> Vec<Line> {
    use Register::*;
    let own = |r: Register| if wide { r.full_register() } else { r.full_register32() };
    let base = own(r.pick(&[RBX, RBP, RSI, RDI]));
    let scale = r.pick(&[1, 2, 4, 8]);
    let small = if wide { &[EAX, EDX, R8D, R11D, R13D, R15D][..] } else { &[EAX, EDX] };
    let bytes = if wide { &[AL, CL, DL, R8L, R9L, R12L, SIL][..] } else { &[AL, CL, DL, BL, AH, DH] };
    let others = if wide { &[EAX, EDX, R8D, R9D, R12D, R15D][..] } else { &[EAX, EDX] };
    let make = |ins: Result<Instruction, iced_x86::IcedError>| ins.ok().map(|ins| Line { ins, skips: 0 });
    let mut lines = Vec::new();
    for _ in 0..2 + r.below(3) {
        let (index, byte, other) = (r.pick(small), r.pick(bytes), r.pick(others));
        let first = match r.below(5) {
            0 => Instruction::with2(Code::And_rm32_imm32, index, r.pick(&[0u32, 7, 63, 255])),
            1 => Instruction::with2(Code::Shr_rm32_imm8, index, r.pick(&[24u32, 26, 31])),
            2 => Instruction::with2(Code::Movzx_r32_rm8, index, MemoryOperand::with_base(base)),
            _ => Instruction::with2(Code::Movzx_r32_rm8, index, byte),
        };
        lines.extend(make(first));
        // In between the register may lose what is known of it.
        if r.one_in(6) {
            lines.extend(make(Instruction::with2(Code::Add_rm32_imm32, index, r.below(64) as u32)));
        }
        let displacement = r.pick(&[0, 0, 4, -8, 32, -100, 127]);
        let m = MemoryOperand::new(base, own(index), scale, displacement, 1, false, None);
        let accesses = [
            Instruction::with2(Code::Mov_r32_rm32, other, m),
            Instruction::with2(Code::Xor_r32_rm32, other, m),
            Instruction::with2(Code::Adc_r32_rm32, other, m),
            Instruction::with2(Code::Movzx_r32_rm16, other, m),
            Instruction::with2(Code::Add_rm32_r32, m, other),
            Instruction::with2(Code::Mov_rm32_r32, m, other),
            Instruction::with1(Code::Inc_rm8, m),
            Instruction::with2(Code::Xchg_rm32_r32, m, other),
        ];
        let n = r.below(accesses.len() as u64) as usize;
        lines.extend(accesses.into_iter().nth(n).and_then(make));
    }
    lines
}

/// Accesses by indices that are sums of 32 bits, at constant distances from one another for the most part; in 64-bit code
/// some wrap, and so lead 4 GiB away.
pub fn sums(wide: bool, r: &mut Rng) -> Vec<Line> {
    use Register::*;
    let own = |r: Register| if wide { r.full_register() } else { r.full_register32() };
    let make = |ins: Result<Instruction, iced_x86::IcedError>| ins.ok().map(|ins| Line { ins, skips: 0 });
    let indices =
        if wide { r.pick(&[[EAX, EDX], [R8D, EAX], [R11D, R13D], [EDX, R10D]]) } else { [EAX, EDX] };
    let others = if wide { &[R12D, R15D, R14D][..] } else { &[EAX, EDX] };
    let mut base = own(r.pick(&[RBX, RBP, RSI, RDI]));
    let mut lines = Vec::new();
    for i in indices {
        lines.extend(make(Instruction::with2(Code::And_rm32_imm32, i, r.pick(&[7u32, 15, 63]))));
    }
    let scale = if wide && r.one_in(3) {
        // Indices up to FFFFFFFFh that lead to where the pointer does.
        lines.extend(make(Instruction::with2(Code::Mov_r64_rm64, R9, base)));
        for _ in 0..2 {
            lines.extend(make(Instruction::with2(Code::Sub_rm64_imm32, R9, 0x7fff_ffff)));
        }
        lines.extend(make(Instruction::with2(Code::Or_rm32_imm32, indices[0], 0xffff_ffc0u32)));
        base = R9;
        1
    } else {
        r.pick(&[1, 1, 2, 4])
    };
    for _ in 0..3 + r.below(6) {
        let (a, b) = if r.one_in(2) { (indices[0], indices[1]) } else { (indices[1], indices[0]) };
        let by = r.pick(&[1, 1, 2, 4, 8, 31, -1, -4, -16]);
        let sum = |index| MemoryOperand::new(own(b), index, 1, by.into(), 1, false, None);
        let change = [
            Instruction::with1(Code::Inc_rm32, a),
            Instruction::with1(Code::Dec_rm32, a),
            Instruction::with2(Code::Add_rm32_imm8, a, by),
            Instruction::with2(Code::Sub_rm32_imm8, a, by),
            Instruction::with2(Code::Lea_r32_m, a, sum(Register::None)),
            Instruction::with2(Code::Lea_r32_m, a, sum(own(a))),
            Instruction::with2(Code::Mov_r32_rm32, a, b),
            Instruction::with2(Code::Sub_rm32_r32, a, b),
        ];
        let n = r.below(change.len() as u64) as usize;
        lines.extend(change.into_iter().nth(n).and_then(make));
        let displacement = r.pick(&[0, 0, 0, 1, 4, -8, 32]);
        let at = r.pick(&indices);
        let m = MemoryOperand::new(base, own(at), scale, displacement, 1, false, None);
        let other = r.pick(others);
        let accesses = [
            Instruction::with2(Code::Mov_r32_rm32, other, m),
            Instruction::with2(Code::Movzx_r32_rm8, other, m),
            Instruction::with2(Code::Add_rm32_r32, m, other),
            Instruction::with2(Code::Mov_rm32_r32, m, other),
            Instruction::with2(Code::Cmp_rm32_imm8, m, by),
        ];
        let n = r.below(accesses.len() as u64) as usize;
        lines.extend(accesses.into_iter().nth(n).and_then(make));
    }
    lines
}

/// Registers and memory for a program: pointers into the middle of memory, exceptions masked for the most part.
pub fn program_state(wide: bool, turns: u64, r: &mut Rng) -> (State, Vec<u8>) {
    let mut s = values::state(r);
    let mut data = vec![0; DATA_LEN];
    values::memory(r, &mut data);
    for n in [3, 4, 5, 6, 7] {
        // Some just below a page's end, where an operand crosses it.
        let off = if r.one_in(4) { 256 - r.below(8) } else { r.below(32) * 16 };
        s.gpr[n] = DATA + 0x1000 - 256 + off;
    }
    s.gpr[1] = turns;
    // No alignment checks, no tracing.
    s.rflags &= !(1 << 18);
    if !r.one_in(8) {
        s.mxcsr |= 0x1f80;
        s.cw |= 0x3f;
        s.sw &= !0x8080;
    }
    if !wide {
        for g in &mut s.gpr {
            *g &= 0xffff_ffff;
        }
    }
    (s, data)
}

/// A loop around the lines; `keep_flags`: it counts without touching flags.
pub fn program(lines: &[Line], wide: bool, keep_flags: bool, before: &State, data: &[u8]) -> Option<Case> {
    let at = 256;
    let ip = CODE + at as u64;
    // Lines are named by number in place of addresses, which the block encoder replaces.
    let name = |n: usize| 1 + n as u64;
    let mut all: Vec<Instruction> = Vec::new();
    for (n, l) in lines.iter().enumerate() {
        let mut i = l.ins;
        if l.skips > 0 {
            let to = name((n + l.skips).min(lines.len()));
            if wide { i.set_near_branch64(to) } else { i.set_near_branch32(to as u32) }
        }
        i.set_ip(name(n));
        all.push(i);
    }
    let end = name(lines.len());
    let (short, zero, dec) = if wide {
        (Code::Jmp_rel8_64, Code::Jrcxz_rel8_64, Code::Dec_rm64)
    } else {
        (Code::Jmp_rel8_32, Code::Jecxz_rel8_32, Code::Dec_rm32)
    };
    let counter = if wide { Register::RCX } else { Register::ECX };
    let tail: Vec<Instruction> = if keep_flags {
        let lea = if wide { Code::Lea_r64_m } else { Code::Lea_r32_m };
        let less = iced_x86::MemoryOperand::with_base_displ(counter, -1);
        vec![
            Instruction::with2(lea, counter, less).ok()?,
            Instruction::with_branch(zero, end + 3).ok()?,
            Instruction::with_branch(short, name(0)).ok()?,
            Instruction::with(if wide { Code::Nopq } else { Code::Nopd }),
        ]
    } else {
        let jump = if wide { Code::Jne_rel8_64 } else { Code::Jne_rel8_32 };
        vec![Instruction::with1(dec, counter).ok()?, Instruction::with_branch(jump, name(0)).ok()?]
    };
    for (n, mut i) in tail.into_iter().enumerate() {
        i.set_ip(end + n as u64);
        all.push(i);
    }
    let block = InstructionBlock::new(&all, ip);
    let bits = if wide { 64 } else { 32 };
    let bytes = BlockEncoder::encode(bits, block, BlockEncoderOptions::NONE).ok()?.code_buffer;
    if bytes.len() > 3000 {
        return None;
    }
    let mut state = before.clone();
    state.rip = ip;
    let ins = Instruction::with(if wide { Code::Nopq } else { Code::Nopd });
    Some(Case { ins, bytes, at, wide, before: state, data: data.to_vec(), holes: Vec::new() })
}
