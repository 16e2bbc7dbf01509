//! Cases from the decode table: for each encoding that our decoder knows, an instruction with random operands, and a state in
//! which its operands lie where something happens.

use super::ours::MODEL;
use super::state::{CODE, DATA, DATA_LEN, FIXED, State};
use super::values;
use crate::rng::Rng;
use iced_x86::{
    Code, CodeSize, Decoder, DecoderOptions, Encoder, EncodingKind, Instruction, Mnemonic as M,
    OpCodeOperandKind as K, OpKind, Register,
};
use lucid86_cpu::decode;
use lucid86_cpu::insn::{Insn, ModeKey};
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::ops::{Meaning, Select};

/// One run of one instruction.
pub struct Case {
    /// What it is.
    pub ins: Instruction,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it lies in the code page.
    pub at: usize,
    /// 64-bit code, else 32-bit.
    pub wide: bool,
    /// Registers before.
    pub before: State,
    /// Memory before.
    pub data: Vec<u8>,
    /// Ranges of memory that are not compared (offset, length).
    pub holes: Vec<(usize, usize)>,
}

/// Asks whether an instruction has a meaning at all.
#[derive(Clone, Copy)]
pub struct Known;

impl Select for Known {
    type Out = bool;
    fn take<T: Meaning>(self) -> bool {
        !std::any::type_name::<T>().ends_with("::Undefined")
    }
}

/// The key of ring 3 code under Linux.
pub fn key(wide: bool) -> ModeKey {
    // Code and stack size, CPL 3, long mode, OSFXSR.
    let size = if wide { 2 | 2 << 2 } else { 1 | 1 << 2 };
    ModeKey(size | 3 << 4 | 1 << 8 | 0x3f << 9 | 1 << 15 | 1 << 18 | 1 << 19 | 1 << 21)
}

/// Whether our decoder knows these bytes as an instruction of the model.
pub fn known(bytes: &[u8], wide: bool, model: &CpuModel) -> bool {
    known_in(key(wide), bytes, model)
}

/// As [`known`], in any mode.
pub fn known_in(key: ModeKey, bytes: &[u8], model: &CpuModel) -> bool {
    let mut padded = bytes.to_vec();
    padded.resize(16, 0xcc);
    decode::with(Known, &padded, 0, key, model).is_some_and(|(_, _, known): (_, Insn, bool)| known)
}

/// The model that the cases are for.
pub fn model() -> CpuModel {
    CpuModel::parse(MODEL).unwrap_or_default()
}

/// Why an instruction can't be compared with the host.
pub fn excluded(i: &Instruction, wide: bool) -> Option<&'static str> {
    let loads_segment = |n: u32| i.op_count() > n && i.op_register(n).is_segment_register();
    Some(match i.mnemonic() {
        M::Syscall | M::Int => "calls the host's kernel",
        M::Sysenter | M::Sysexit | M::Sysexitq => "AMD's processors don't have it in long mode",
        M::Int1 => "the host's kernel takes it for a debugger's",
        M::Cpuid | M::Rdtsc | M::Rdtscp | M::Rdpmc | M::Rdpid | M::Rdrand | M::Rdseed => "tells of the host",
        M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Smsw => "the host's kernel hides the answer (UMIP)",
        M::Lar | M::Lsl | M::Verr | M::Verw => "depends on the host's descriptor tables",
        M::Rdfsbase | M::Rdgsbase | M::Wrfsbase | M::Wrgsbase => {
            "would change the host program's own segments"
        }
        M::Lds | M::Les | M::Lfs | M::Lgs | M::Lss => "loads a segment from the host's tables",
        M::Mov | M::Pop if loads_segment(0) => "loads a segment from the host's tables",
        M::Retf | M::Iret | M::Iretd | M::Iretq => "loads a segment from the host's tables",
        M::Jmp | M::Call
            if i.is_jmp_far() || i.is_call_far() || i.is_jmp_far_indirect() || i.is_call_far_indirect() =>
        {
            "loads a segment from the host's tables"
        }
        M::Xsave
        | M::Xsave64
        | M::Xrstor
        | M::Xrstor64
        | M::Xsaveopt
        | M::Xsaveopt64
        | M::Xgetbv
        | M::Xsetbv => "the host has components that we don't",
        M::Lzcnt | M::Tzcnt => "without the feature it is BSR or BSF; the host has the feature",
        M::Ud0 | M::Ud1 | M::Ud2 => return None,
        // Found on an AMD host: F2 makes LOOPNE, F3 LOOPE of either; no manual says so.
        M::Loope | M::Loopne if i.has_rep_prefix() || i.has_repne_prefix() => "a prefix that no manual knows",
        // APM volume 3, "Operand-Size Override": AMD takes 66h at near branches of 64-bit code, Intel doesn't.
        _ if wide && i.is_jcc_short_or_near() && i.len() > 6 => "prefixed branches differ by maker",
        _ if wide && i.segment_prefix() == Register::FS => "the host program's own segment",
        _ => return None,
    })
}

const GPR64: [Register; 16] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RSP,
    Register::RBP,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// General register `n` of a size in bytes; byte registers 4 to 7 are AH to BH or SPL to DIL by a toss.
fn register(n: usize, bytes: usize, r: &mut Rng, wide: bool) -> Register {
    let full = GPR64[n];
    match bytes {
        8 => full,
        4 => full.full_register32(),
        2 => Register::AX + n as u32,
        _ if n < 4 => Register::AL + n as u32,
        _ if n < 8 && (!wide || r.one_in(2)) => Register::AH + (n as u32 - 4),
        _ => Register::SPL + (n as u32 - 4),
    }
}

/// An address where something happens for an operand.
fn target(r: &mut Rng, wide: bool) -> u64 {
    let middle = DATA + DATA_LEN as u64 / 2;
    match r.below(32) {
        0..=19 => middle - 256 + r.below(32) * 16,
        20..=25 => middle - 256 + r.below(512),
        26 | 27 => middle - r.below(16),
        28 => FIXED - r.below(16),
        29 => DATA - r.below(16),
        30 => FIXED + r.below(64) * 8,
        _ if wide => r.pick(&[0x7fff_ffff_fff8, 0x8000_0000_0000, 0x7fff_ffff_0000, !0 - 7, !0, 1 << 62]),
        _ => r.bits() & 0xffff_fff8,
    }
}

/// A case of given bytes: pointers are put where the instruction finds its operands. `None`: it can't be compared.
pub fn from_bytes(bytes: &[u8], wide: bool, r: &mut Rng, model: &CpuModel) -> Option<Case> {
    let at = 2048 + r.below(64) as usize;
    let ip = CODE + at as u64;
    let ins = Decoder::with_ip(if wide { 64 } else { 32 }, bytes, ip, DecoderOptions::NO_WBNOINVD).decode();
    if ins.is_invalid() || excluded(&ins, wide).is_some() || unlike(&ins, &bytes[..ins.len()], wide) {
        return None;
    }
    let bytes = &bytes[..ins.len()];
    if !known(bytes, wide, model) {
        return None;
    }
    let state = values::state(r);
    let target = target(r, wide);
    let mut m = Maker { r, wide, state, data: vec![0; DATA_LEN], target, program: false };
    values::memory(m.r, &mut m.data);
    m.pointers();
    let near = |k: OpKind| matches!(k, OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    if ins.op_count() > 0 && near(ins.op0_kind()) {
        let to = ins.near_branch_target();
        // Not into the instruction, and not out of the page.
        if !(CODE..CODE + 4096).contains(&to) || to.wrapping_sub(ip) < 15 {
            return None;
        }
    }
    m.point(&ins);
    m.particulars(&ins);
    if !wide {
        for g in &mut m.state.gpr {
            *g &= 0xffff_ffff;
        }
    }
    let repeats = ins.has_rep_prefix() || ins.has_repne_prefix();
    if repeats && ins.is_string_instruction() {
        m.state.gpr[1] = m.r.below(12);
    }
    m.state.rip = ip;
    let holes = m.holes(&ins);
    Some(Case { ins, bytes: bytes.to_vec(), at, wide, before: m.state, data: m.data, holes })
}

/// Shapes of which the makers of processors have made different things, or of which the next bytes would matter.
fn unlike(i: &Instruction, bytes: &[u8], wide: bool) -> bool {
    let branch = i.is_jcc_short_or_near()
        || i.is_jmp_short_or_near()
        || i.is_call_near()
        || i.is_loop()
        || i.is_loopcc()
        || i.is_jcx_short()
        || i.is_jmp_near_indirect()
        || i.is_call_near_indirect()
        || i.mnemonic() == M::Ret;
    branch && bytes[..bytes.len() - 1].contains(&0x66) || wide && i.segment_prefix() == Register::FS
}

/// What the maker of a case works on.
pub(super) struct Maker<'a> {
    pub r: &'a mut Rng,
    pub wide: bool,
    pub state: State,
    pub data: Vec<u8>,
    /// Where the memory operand lies.
    pub target: u64,
    /// Whether it is for a program: registers that point to memory or count stay what they are.
    pub program: bool,
}

/// A case for an encoding that can be compared with the host. `None`: this time nothing came of it.
pub fn make(code: Code, wide: bool, r: &mut Rng, model: &CpuModel) -> Option<Case> {
    make_any(code, wide, r, model).filter(|c| excluded(&c.ins, wide).is_none())
}

/// A case for an encoding, whether or not the host can be asked.
pub fn make_any(code: Code, wide: bool, r: &mut Rng, model: &CpuModel) -> Option<Case> {
    let mut data = vec![0; DATA_LEN];
    let state = values::state(r);
    let target = target(r, wide);
    let mut m = Maker { r, wide, state, data: Vec::new(), target, program: false };
    values::memory(m.r, &mut data);
    m.data = data;
    m.pointers();
    let mut ins = m.instruction(code)?;
    let mut encoder = Encoder::new(if wide { 64 } else { 32 });
    let at = if m.r.one_in(24) { 4096 - 1 - m.r.below(15) as usize } else { 2048 + m.r.below(64) as usize };
    let ip = CODE + at as u64;
    m.branch(&mut ins, ip);
    encoder.encode(&ins, ip).ok()?;
    let mut bytes = m.prefixes(&ins);
    bytes.extend(encoder.take_buffer());
    // A prefix may ask for bytes beyond the encoder's: breakpoints follow.
    bytes.resize(15, 0xcc);
    let mut d = Decoder::with_ip(if wide { 64 } else { 32 }, &bytes, ip, DecoderOptions::NO_WBNOINVD);
    let ins = d.decode();
    if !ins.is_invalid() && !known(&bytes, wide, model) {
        return None;
    }
    if !ins.is_invalid() {
        bytes.truncate(ins.len());
    }
    m.particulars(&ins);
    let holes = m.holes(&ins);
    if !wide {
        for g in &mut m.state.gpr {
            *g &= 0xffff_ffff;
        }
    }
    m.state.rip = ip;
    // Bytes beyond the page would be instruction fetches that fault.
    bytes.truncate(4096 - at);
    Some(Case { ins, bytes, at, wide, before: m.state, data: m.data, holes })
}

impl Maker<'_> {
    /// Stack and frame pointers into memory.
    fn pointers(&mut self) {
        let middle = DATA + DATA_LEN as u64 / 2;
        self.state.gpr[4] = match self.r.below(32) {
            0 => DATA + self.r.below(24),
            1 => FIXED - self.r.below(24),
            2 => middle + self.r.below(17),
            3 => target(self.r, self.wide),
            _ => middle - 64 + self.r.below(16) * 8,
        };
        if self.r.one_in(2) {
            self.state.gpr[5] = middle - 64 + self.r.below(16) * 8;
        }
    }

    fn number(&mut self) -> usize {
        if self.program {
            let free: &[usize] = if self.wide { &[0, 2, 8, 9, 10, 11, 12, 13, 14, 15] } else { &[0, 2] };
            return if self.r.one_in(6) { self.r.pick(&[3, 5, 6, 7]) } else { self.r.pick(free) };
        }
        self.r.below(if self.wide { 16 } else { 8 }) as usize
    }

    /// Puts the memory operand of a finished instruction at the target, as far as its registers can.
    fn point(&mut self, i: &Instruction) {
        if !(0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory) || i.is_ip_rel_memory_operand() {
            return;
        }
        let (base, index) = (i.memory_base(), i.memory_index());
        let number = |r: Register| r.full_register().number();
        let disp = i.memory_displacement64();
        let scale = u64::from(i.memory_index_scale());
        if i.mnemonic() == M::Xlatb {
            self.state.gpr[3] = self.target.wrapping_sub(self.state.gpr[0] & 0xff);
        } else if base != Register::None && number(base) != 4 {
            let by = if index == Register::None || number(index) == number(base) {
                0
            } else {
                self.state.gpr[number(index)].wrapping_mul(scale)
            };
            self.state.gpr[number(base)] = self.target.wrapping_sub(disp).wrapping_sub(by);
        }
    }

    pub(super) fn instruction(&mut self, code: Code) -> Option<Instruction> {
        let o = code.op_code();
        let mut i = Instruction::default();
        i.set_code(code);
        i.set_code_size(if self.wide { CodeSize::Code64 } else { CodeSize::Code32 });
        for n in 0..o.op_count() {
            self.operand(&mut i, n, o.op_kind(n))?;
        }
        let strings = i.is_string_instruction();
        if strings && self.r.one_in(2) {
            if self.r.one_in(2) {
                i.set_has_repne_prefix(o.can_use_repne_prefix());
            } else {
                i.set_has_rep_prefix(o.can_use_rep_prefix());
            }
            self.state.gpr[1] = self.r.below(12);
        }
        if o.can_use_lock_prefix() && self.r.one_in(4) {
            i.set_has_lock_prefix(true);
        }
        Some(i)
    }

    fn operand(&mut self, i: &mut Instruction, n: u32, kind: K) -> Option<()> {
        let memory = self.r.one_in(2);
        let reg = |i: &mut Instruction, x: Register| {
            i.set_op_kind(n, OpKind::Register);
            i.set_op_register(n, x);
        };
        let number = |m: &mut Self| m.number();
        match kind {
            K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem | K::mm_or_mem | K::xmm_or_mem
                if memory =>
            {
                self.memory(i, n)
            }
            K::mem | K::mem_mib | K::sibmem => self.memory(i, n),
            K::mem_offs => {
                i.set_op_kind(n, OpKind::Memory);
                i.set_memory_displ_size(if self.wide { 8 } else { 4 });
                i.set_memory_displacement64(if self.wide { self.target } else { self.target & 0xffff_ffff });
            }
            K::r8_or_mem | K::r8_reg | K::r8_opcode => {
                let k = number(self);
                let x = register(k, 1, self.r, self.wide);
                reg(i, x);
            }
            K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => {
                let k = number(self);
                reg(i, register(k, 2, self.r, self.wide));
            }
            K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => {
                let k = number(self);
                reg(i, register(k, 4, self.r, self.wide));
            }
            K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode => {
                let k = number(self);
                reg(i, register(k, 8, self.r, self.wide));
            }
            K::mm_or_mem | K::mm_reg | K::mm_rm => reg(i, Register::MM0 + self.r.below(8) as u32),
            K::xmm_or_mem | K::xmm_reg | K::xmm_rm => {
                let k = number(self);
                reg(i, Register::XMM0 + k as u32);
            }
            K::seg_reg => reg(i, Register::ES + self.r.below(6) as u32),
            K::cr_reg => reg(i, Register::CR0 + self.r.pick(&[0u32, 2, 3, 4, 8])),
            K::dr_reg => reg(i, Register::DR0 + self.r.below(8) as u32),
            K::es => reg(i, Register::ES),
            K::cs => reg(i, Register::CS),
            K::ss => reg(i, Register::SS),
            K::ds => reg(i, Register::DS),
            K::fs => reg(i, Register::FS),
            K::gs => reg(i, Register::GS),
            K::al => reg(i, Register::AL),
            K::cl => reg(i, Register::CL),
            K::ax => reg(i, Register::AX),
            K::dx => reg(i, Register::DX),
            K::eax => reg(i, Register::EAX),
            K::rax => reg(i, Register::RAX),
            K::st0 => reg(i, Register::ST0),
            K::sti_opcode => reg(i, Register::ST0 + self.r.below(8) as u32),
            K::imm8 | K::imm8_const_1 => {
                let second = n > 0 && i.op_kind(n - 1) == OpKind::Immediate16;
                i.set_op_kind(n, if second { OpKind::Immediate8_2nd } else { OpKind::Immediate8 });
                let v = match kind {
                    K::imm8_const_1 => 1,
                    _ if self.r.one_in(3) => self.r.bits() as u8,
                    _ => self.r.below(20) as u8,
                };
                if second { i.set_immediate8_2nd(v) } else { i.set_immediate8(v) }
            }
            K::imm8sex16 => self.immediate(i, n, OpKind::Immediate8to16),
            K::imm8sex32 => self.immediate(i, n, OpKind::Immediate8to32),
            K::imm8sex64 => self.immediate(i, n, OpKind::Immediate8to64),
            K::imm16 => self.immediate(i, n, OpKind::Immediate16),
            K::imm32 => self.immediate(i, n, OpKind::Immediate32),
            K::imm32sex64 => self.immediate(i, n, OpKind::Immediate32to64),
            K::imm64 => self.immediate(i, n, OpKind::Immediate64),
            K::seg_rSI => {
                i.set_op_kind(n, if self.wide { OpKind::MemorySegRSI } else { OpKind::MemorySegESI })
            }
            K::es_rDI => i.set_op_kind(n, if self.wide { OpKind::MemoryESRDI } else { OpKind::MemoryESEDI }),
            K::seg_rDI => {
                i.set_op_kind(n, if self.wide { OpKind::MemorySegRDI } else { OpKind::MemorySegEDI })
            }
            K::seg_rBX_al => {
                i.set_op_kind(n, OpKind::Memory);
                i.set_memory_base(if self.wide { Register::RBX } else { Register::EBX });
                i.set_memory_index(Register::AL);
                self.state.gpr[3] = self.target.wrapping_sub(self.state.gpr[0] & 0xff);
            }
            K::br16_1 | K::br16_2 => i.set_op_kind(n, OpKind::NearBranch16),
            K::br32_1 | K::br32_4 => i.set_op_kind(n, OpKind::NearBranch32),
            K::br64_1 | K::br64_4 => i.set_op_kind(n, OpKind::NearBranch64),
            _ => return None,
        }
        Some(())
    }

    fn immediate(&mut self, i: &mut Instruction, n: u32, kind: OpKind) {
        let v = self.r.integer();
        i.set_op_kind(n, kind);
        match kind {
            OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64 => {
                i.set_immediate_i64(n, i64::from(v as i8));
            }
            OpKind::Immediate16 => i.set_immediate16(v as u16),
            OpKind::Immediate32 => i.set_immediate32(v as u32),
            OpKind::Immediate32to64 => i.set_immediate_i64(n, i64::from(v as i32)),
            _ => i.set_immediate64(v),
        }
    }

    /// A memory operand whose address comes out at `target` (where address width allows it).
    fn memory(&mut self, i: &mut Instruction, n: u32) {
        i.set_op_kind(n, OpKind::Memory);
        if self.program {
            let base = self.r.pick(&[3usize, 5, 6, 7, 4]);
            i.set_memory_base(if self.wide { GPR64[base] } else { GPR64[base].full_register32() });
            let disp = match self.r.below(4) {
                0 => self.r.below(600) as i64 - 300,
                1 => 0,
                _ => self.r.below(16) as i64 * 16,
            };
            i.set_memory_displacement64(if self.wide { disp as u64 } else { disp as u32 as u64 });
            i.set_memory_displ_size(if self.wide { 8 } else { 4 });
            return;
        }
        let narrow = self.r.one_in(12);
        let bytes = match (self.wide, narrow) {
            (true, false) => 8,
            (true, true) | (false, false) => 4,
            (false, true) => 2,
        };
        if bytes == 2 {
            let pairs =
                [(Register::BX, Register::SI), (Register::BP, Register::DI), (Register::DI, Register::None)];
            let (base, index) = self.r.pick(&pairs);
            i.set_memory_base(base);
            i.set_memory_index(index);
            return;
        }
        let base = self.number();
        let index = self.number();
        let scale = 1u32 << self.r.below(4);
        let disp = match self.r.below(4) {
            0 => 0,
            1 => self.r.below(256) as i64 - 128,
            _ => i64::from(self.r.bits() as i32 >> self.r.below(24)),
        };
        let put = |i: &mut Instruction, d: i64| {
            i.set_memory_displacement64(if bytes == 4 { d as u32 as u64 } else { d as u64 });
            i.set_memory_displ_size(if d == 0 {
                0
            } else if i8::try_from(d).is_ok() {
                1
            } else {
                bytes
            });
        };
        let fits = self.target < 1 << 31;
        match self.r.below(16) {
            // Absolute, or relative to RIP.
            0 if fits => {
                if self.wide && self.r.one_in(2) {
                    i.set_memory_base(Register::RIP);
                }
                i.set_memory_displacement64(self.target);
                i.set_memory_displ_size(bytes);
            }
            // Index with scale.
            1..=5 if index != 4 && index != base => {
                let x = register(index, bytes as usize, self.r, self.wide);
                i.set_memory_index(x);
                i.set_memory_index_scale(scale);
                i.set_memory_base(register(base, bytes as usize, self.r, self.wide));
                put(i, disp);
                let rest = self.state.gpr[index].wrapping_mul(u64::from(scale)).wrapping_add(disp as u64);
                self.state.gpr[base] = self.target.wrapping_sub(rest);
            }
            _ => {
                i.set_memory_base(register(base, bytes as usize, self.r, self.wide));
                put(i, disp);
                self.state.gpr[base] = self.target.wrapping_sub(disp as u64);
            }
        }
    }

    /// Branches go to a place in the code page.
    fn branch(&mut self, i: &mut Instruction, ip: u64) {
        if i.op_count() == 0 {
            return;
        }
        // Not into the instruction itself: what its middle means is anybody's guess, and its start is an endless loop.
        let forward = ip + 20 + self.r.below(48);
        let back = ip - 20 - self.r.below(48);
        let to = if forward >= CODE + 4096 || self.r.one_in(2) { back } else { forward };
        match i.op_kind(0) {
            OpKind::NearBranch16 => i.set_near_branch16(to as u16),
            OpKind::NearBranch32 => i.set_near_branch32(to as u32),
            OpKind::NearBranch64 => i.set_near_branch64(to),
            _ => {}
        }
    }

    /// Prefixes that change little or nothing, and at times one that is an error.
    fn prefixes(&mut self, i: &Instruction) -> Vec<u8> {
        if !self.r.one_in(12) || i.is_string_instruction() {
            return Vec::new();
        }
        let one = self.r.pick(&[0x26u8, 0x2e, 0x36, 0x3e, 0x65, 0x67, 0xf0, 0xf2, 0xf3, 0x66]);
        let branch = i.is_jcc_short_or_near()
            || i.is_jmp_short_or_near()
            || i.is_call_near()
            || i.is_loop()
            || i.is_loopcc()
            || i.is_jcx_short()
            || i.is_jmp_near_indirect()
            || i.is_call_near_indirect();
        if one == 0x66 && (branch || matches!(i.mnemonic(), M::Ret)) {
            return Vec::new();
        }
        vec![one]
    }

    /// Writes into memory at an address, as far as it lies in it.
    fn put(&mut self, address: u64, bytes: &[u8]) {
        let at = address.wrapping_sub(DATA) as usize;
        if at < DATA_LEN && at + bytes.len() <= DATA_LEN {
            self.data[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// What some instructions need to do anything worth seeing, or to come back.
    fn particulars(&mut self, i: &Instruction) {
        let stack = self.state.gpr[4];
        let code = CODE + 1024 + self.r.below(64);
        match i.mnemonic() {
            M::Popf | M::Popfd | M::Popfq => {
                // Not TF: the trap would come after the breakpoint.
                let v = self.r.bits() & !0x100;
                self.put(stack, &v.to_le_bytes());
            }
            M::Ret if !self.r.one_in(8) => {
                let v = if i.code() == Code::Retnw { code & 0xffff } else { code };
                self.put(stack, &v.to_le_bytes()[..if self.wide { 8 } else { 4 }]);
            }
            M::Jmp | M::Call if i.op0_kind() == OpKind::Memory => self.put(self.target, &code.to_le_bytes()),
            M::Jmp | M::Call if i.op0_kind() == OpKind::Register => {
                self.state.gpr[i.op0_register().full_register().number()] = code;
            }
            M::Loop | M::Loope | M::Loopne | M::Jcxz | M::Jecxz | M::Jrcxz => {
                self.state.gpr[1] = self.r.below(3)
            }
            M::Div | M::Idiv if self.r.one_in(2) => {
                let sign = (self.state.gpr[0] as i64 >> 63) as u64;
                self.state.gpr[2] = self.r.pick(&[0, 1, sign]);
            }
            M::Cmpxchg | M::Cmpxchg8b | M::Cmpxchg16b if self.r.one_in(2) => {
                let (a, d) = (self.state.gpr[0], self.state.gpr[2]);
                let low = if i.mnemonic() == M::Cmpxchg8b { a & 0xffff_ffff | d << 32 } else { a };
                self.put(self.target, &low.to_le_bytes());
                self.put(self.target.wrapping_add(8), &d.to_le_bytes());
            }
            M::Ldmxcsr => {
                // Bit 17 is AMD's alone (APM volume 2, section 11.3.1: MM).
                let v = self.r.bits() as u32 & if self.r.one_in(4) { !(1 << 17) } else { 0xffff };
                self.put(self.target, &v.to_le_bytes());
            }
            M::Fxrstor | M::Fxrstor64 => {
                let v = self.r.bits() as u32 & if self.r.one_in(4) { !(1 << 17) } else { 0xffff };
                self.put(self.target.wrapping_add(24), &v.to_le_bytes());
            }
            _ if i.is_string_instruction() || matches!(i.mnemonic(), M::Maskmovq | M::Maskmovdqu) => {
                self.state.gpr[7] = self.target;
                self.state.gpr[6] = target(self.r, self.wide);
                if self.r.one_in(8) {
                    self.state.gpr[6] = self.target.wrapping_add(self.r.below(32)).wrapping_sub(16);
                }
            }
            _ => {}
        }
    }

    /// Bytes that are not compared: x87 pointers, of which AMD's processors store none unless an error is pending (APM
    /// volume 5, FXSAVE), and what the host's kernel leaves of them (it saves and restores the unit at each signal); the
    /// MXCSR mask; what FXSAVE leaves free.
    fn holes(&self, i: &Instruction) -> Vec<(usize, usize)> {
        let list: &[(usize, usize)] = match i.code() {
            Code::Fnstenv_m14byte | Code::Fnsave_m94byte | Code::Fstenv_m14byte | Code::Fsave_m94byte => {
                &[(6, 8)]
            }
            Code::Fnstenv_m28byte | Code::Fnsave_m108byte | Code::Fstenv_m28byte | Code::Fsave_m108byte => {
                &[(12, 16)]
            }
            Code::Fxsave_m512byte | Code::Fxsave64_m512byte => &[(6, 18), (28, 4), (464, 48)],
            _ => &[],
        };
        let register = |r: Register, _, _| {
            Some(if r.is_segment_register() { 0 } else { self.state.gpr[r.full_register().number()] })
        };
        let Some(address) = (0..i.op_count())
            .find(|n| i.op_kind(*n) == OpKind::Memory)
            .and_then(|n| i.virtual_address(n, 0, register))
        else {
            return Vec::new();
        };
        let address = if self.wide { address } else { address & 0xffff_ffff };
        let at = address.wrapping_sub(DATA) as usize;
        if at >= DATA_LEN {
            return Vec::new();
        }
        list.iter().map(|(o, n)| (at + o, *n)).collect()
    }
}

/// The encodings that cases are made for.
pub fn encodings(wide: bool) -> Vec<Code> {
    Code::values()
        .filter(|c| {
            let o = c.op_code();
            o.encoding() == EncodingKind::Legacy
                && o.is_instruction()
                && if wide { o.mode64() } else { o.mode32() }
        })
        .collect()
}

/// Some bytes of an encoding, and the instruction that they are.
pub fn sample(code: Code, wide: bool) -> Option<(Instruction, Vec<u8>)> {
    let mut r = Rng::new(7);
    for _ in 0..40 {
        let state = State::default();
        let mut m = Maker { r: &mut r, wide, state, data: Vec::new(), target: DATA, program: false };
        let Some(mut ins) = m.instruction(code) else { return far(code, wide) };
        ins.set_has_rep_prefix(false);
        ins.set_has_repne_prefix(false);
        ins.set_has_lock_prefix(false);
        m.branch(&mut ins, CODE);
        let mut e = Encoder::new(if wide { 64 } else { 32 });
        if e.encode(&ins, CODE).is_err() {
            continue;
        }
        let bytes = e.take_buffer();
        let bits = if wide { 64 } else { 32 };
        let decoded = Decoder::with_ip(bits, &bytes, CODE, DecoderOptions::NO_WBNOINVD).decode();
        if decoded.code() == code {
            return Some((decoded, bytes));
        }
        if code.op_code().fwait() && bytes.first() == Some(&0x9b) {
            // WAIT and an instruction of its own.
            let rest = Decoder::with_ip(bits, &bytes[1..], CODE, DecoderOptions::NO_WBNOINVD).decode();
            return (!rest.is_invalid()).then(|| (rest, bytes[1..].to_vec()));
        }
    }
    None
}

/// Far branches with an address of their own.
fn far(code: Code, wide: bool) -> Option<(Instruction, Vec<u8>)> {
    let mut i = Instruction::default();
    i.set_code(code);
    let kind = match code.op_code().op0_kind() {
        K::farbr2_2 => OpKind::FarBranch16,
        K::farbr4_2 => OpKind::FarBranch32,
        _ => return None,
    };
    i.set_op0_kind(kind);
    let mut e = Encoder::new(if wide { 64 } else { 32 });
    e.encode(&i, CODE).ok()?;
    Some((i, e.take_buffer()))
}
