//! Encoder of host code: x86-64 instructions into a byte buffer, orthogonal in operation, width and operand, which is what
//! a translator of x86 to x86 wants (one call per shape instead of one macro line per combination).
//!
//! Intel SDM volume 2, chapter 2 (ModRM, SIB, REX, VEX).

/// A host register by its encoding number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct R(pub u8);

#[allow(missing_docs)]
impl R {
    pub const RAX: R = R(0);
    pub const RCX: R = R(1);
    pub const RDX: R = R(2);
    pub const RBX: R = R(3);
    pub const RSP: R = R(4);
    pub const RBP: R = R(5);
    pub const RSI: R = R(6);
    pub const RDI: R = R(7);
    pub const R8: R = R(8);
    pub const R9: R = R(9);
    pub const R10: R = R(10);
    pub const R11: R = R(11);
    pub const R12: R = R(12);
    pub const R13: R = R(13);
    pub const R14: R = R(14);
    pub const R15: R = R(15);
}

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    /// Base register, if any.
    pub base: Option<R>,
    /// Index register (not RSP) and its shift.
    pub index: Option<(R, u8)>,
    /// Displacement.
    pub disp: i32,
}

impl Mem {
    /// `[base + disp]`
    pub fn at(base: R, disp: i32) -> Mem {
        Mem { base: Some(base), index: None, disp }
    }
}

/// Register or memory: what a ModRM byte names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rm {
    /// A register. For width 1, the low byte.
    Reg(R),
    /// AH, CH, DH, BH (register number 0-3): no operand may then need a REX prefix.
    High(u8),
    /// Memory.
    Mem(Mem),
}

impl From<R> for Rm {
    fn from(r: R) -> Rm {
        Rm::Reg(r)
    }
}
impl From<Mem> for Rm {
    fn from(m: Mem) -> Rm {
        Rm::Mem(m)
    }
}

/// A place in the code that a forward jump will be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u32);

/// The byte buffer with its labels.
#[derive(Default)]
pub struct Asm {
    /// Code so far.
    pub bytes: Vec<u8>,
    labels: Vec<Option<u32>>,
    fixups: Vec<(u32, Label)>,
}

impl Asm {
    /// With room for what most blocks of so many instructions become.
    pub fn for_insns(n: usize) -> Asm {
        Asm {
            bytes: Vec::with_capacity(256 + 64 * n),
            labels: Vec::with_capacity(16 + 6 * n),
            fixups: Vec::with_capacity(16 + 8 * n),
        }
    }
    /// Where the next byte goes.
    pub fn here(&self) -> usize {
        self.bytes.len()
    }
    /// A label not bound yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }
    /// Binds a label to here.
    pub fn bind(&mut self, l: Label) {
        self.labels[l.0 as usize] = Some(self.bytes.len() as u32);
    }
    /// Where a bound label is.
    pub fn offset(&self, l: Label) -> usize {
        self.labels[l.0 as usize].expect("label is bound") as usize
    }
    /// Writes all jumps to labels; to be called once everything is bound. Those that cross `split` in either direction are
    /// returned: the offsets of their fields, and whether they go beyond it.
    pub fn resolve(&mut self, split: usize) -> Vec<(u32, bool)> {
        let mut crossing = Vec::new();
        for (at, l) in std::mem::take(&mut self.fixups) {
            let to = self.offset(l);
            let rel = (to as i64 - (i64::from(at) + 4)) as i32;
            self.bytes[at as usize..at as usize + 4].copy_from_slice(&rel.to_le_bytes());
            if ((at as usize) < split) != (to < split) {
                crossing.push((at, to >= split));
            }
        }
        crossing
    }
    /// Forgets everything, keeping the buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.labels.clear();
        self.fixups.clear();
    }

    fn put(&mut self, b: &[u8]) {
        self.bytes.extend_from_slice(b);
    }
    fn put32(&mut self, v: i32) {
        self.put(&v.to_le_bytes());
    }

    /// REX and ModRM parts of one instruction. `prefix` 0 for none; `map` bytes before the opcode (0F, 0F38...).
    #[allow(clippy::too_many_arguments)]
    pub fn op(
        &mut self,
        prefix: u8,
        w: bool,
        map: &[u8],
        opcode: u8,
        reg: u8,
        rm: Rm,
        byte_reg: bool,
        byte_rm: bool,
    ) {
        if prefix != 0 {
            self.bytes.push(prefix);
        }
        let (x, b) = match rm {
            Rm::Reg(r) => (0, r.0 >> 3),
            Rm::High(_) => (0, 0),
            Rm::Mem(m) => (m.index.map_or(0, |(i, _)| i.0 >> 3), m.base.map_or(0, |r| r.0 >> 3)),
        };
        let mut rex = u8::from(w) << 3 | (reg >> 3 & 1) << 2 | x << 1 | b;
        // SPL, BPL, SIL, DIL need an empty REX.
        let low = |r: u8| (4..8).contains(&r);
        if byte_reg && low(reg) || byte_rm && matches!(rm, Rm::Reg(r) if low(r.0)) {
            rex |= 0x40;
        }
        if rex != 0 {
            debug_assert!(!matches!(rm, Rm::High(_)), "a high byte register has no REX form");
            self.bytes.push(0x40 | rex);
        }
        self.put(map);
        self.bytes.push(opcode);
        self.modrm(reg & 7, rm);
    }

    fn modrm(&mut self, reg: u8, rm: Rm) {
        match rm {
            Rm::Reg(r) => self.bytes.push(0xc0 | (reg << 3) | (r.0 & 7)),
            Rm::High(h) => self.bytes.push(0xc0 | (reg << 3) | ((h & 3) + 4)),
            Rm::Mem(m) => self.mem(reg, m),
        }
    }

    fn mem(&mut self, reg: u8, m: Mem) {
        let Some(base) = m.base else {
            // No base: SIB with base 5 and a 32-bit displacement.
            let (i, s) = m.index.unwrap_or((R::RSP, 0));
            self.put(&[reg << 3 | 4, s << 6 | (i.0 & 7) << 3 | 5]);
            self.put32(m.disp);
            return;
        };
        let mode = match m.disp {
            0 if base.0 & 7 != 5 => 0,
            -128..=127 => 1,
            _ => 2,
        };
        if m.index.is_some() || base.0 & 7 == 4 {
            let (i, s) = m.index.unwrap_or((R::RSP, 0));
            debug_assert!(m.index.is_none() || i != R::RSP);
            self.put(&[mode << 6 | reg << 3 | 4, s << 6 | (i.0 & 7) << 3 | base.0 & 7]);
        } else {
            self.bytes.push(mode << 6 | reg << 3 | base.0 & 7);
        }
        match mode {
            1 => self.bytes.push(m.disp as u8),
            2 => self.put32(m.disp),
            _ => {}
        }
    }

    /// An instruction of the usual shape: `opcode` even for width 1, +1 for wider ones.
    fn sized(&mut self, w: u8, opcode: u8, reg: u8, rm: Rm) {
        let prefix = if w == 2 { 0x66 } else { 0 };
        let opcode = if w == 1 { opcode } else { opcode | 1 };
        self.op(prefix, w == 8, &[], opcode, reg, rm, w == 1, w == 1);
    }

    /// `op rm, reg` where `n` is the ALU operation's number (7 = CMP).
    pub fn alu_rm_r(&mut self, n: u8, w: u8, rm: impl Into<Rm>, r: R) {
        self.sized(w, n << 3, r.0, rm.into());
    }
    /// `op reg, rm`.
    pub fn alu_r_rm(&mut self, n: u8, w: u8, r: R, rm: impl Into<Rm>) {
        self.sized(w, n << 3 | 2, r.0, rm.into());
    }
    /// `op rm, imm` (imm as the width allows, at most 32 bits sign-extended).
    pub fn alu_imm(&mut self, n: u8, w: u8, rm: impl Into<Rm>, imm: i32) {
        let rm = rm.into();
        if w == 1 {
            self.sized(1, 0x80, n, rm);
            self.bytes.push(imm as u8);
        } else if (-128..=127).contains(&imm) {
            self.sized(w, 0x83, n, rm);
            self.bytes.push(imm as u8);
        } else {
            self.sized(w, 0x81, n, rm);
            self.imm(w, imm);
        }
    }
    /// The same with an immediate of 32 bits whatever its value, to be patched. `w`: 4 or 8.
    pub fn alu_imm32(&mut self, n: u8, w: u8, rm: impl Into<Rm>, imm: i32) {
        self.sized(w, 0x81, n, rm.into());
        self.put32(imm);
    }
    fn imm(&mut self, w: u8, imm: i32) {
        match w {
            1 => self.bytes.push(imm as u8),
            2 => self.put(&(imm as i16).to_le_bytes()),
            _ => self.put32(imm),
        }
    }
    /// TEST rm, reg.
    pub fn test(&mut self, w: u8, rm: impl Into<Rm>, r: R) {
        self.sized(w, 0x84, r.0, rm.into());
    }
    /// TEST rm, imm.
    pub fn test_imm(&mut self, w: u8, rm: impl Into<Rm>, imm: i32) {
        self.sized(w, 0xf6, 0, rm.into());
        self.imm(w, imm);
    }
    /// MOV rm, reg.
    pub fn store(&mut self, w: u8, rm: impl Into<Rm>, r: R) {
        self.sized(w, 0x88, r.0, rm.into());
    }
    /// MOV reg, rm (narrow widths keep the rest).
    pub fn load(&mut self, w: u8, r: R, rm: impl Into<Rm>) {
        self.sized(w, 0x8a, r.0, rm.into());
    }
    /// MOV rm, imm32 (sign-extended for width 8).
    pub fn store_imm(&mut self, w: u8, rm: impl Into<Rm>, imm: i32) {
        self.sized(w, 0xc6, 0, rm.into());
        self.imm(w, imm);
    }
    /// MOV between registers, 8 bytes (or 4, clearing the upper half).
    pub fn mov(&mut self, w: u8, to: R, from: R) {
        self.sized(w, 0x88, from.0, to.into());
    }
    /// A constant into a register, flags untouched.
    pub fn mov_imm(&mut self, to: R, v: u64) {
        if v <= u64::from(u32::MAX) {
            if to.0 >= 8 {
                self.bytes.push(0x41);
            }
            self.bytes.push(0xb8 | to.0 & 7);
            self.put(&(v as u32).to_le_bytes());
        } else if v as i64 == i64::from(v as i32) {
            self.sized(8, 0xc7, 0, to.into());
            self.put32(v as i32);
        } else {
            self.put(&[0x48 | to.0 >> 3, 0xb8 | to.0 & 7]);
            self.put(&v.to_le_bytes());
        }
    }
    /// Zero-extending load or move of `w` bytes into a full register.
    pub fn movzx(&mut self, w: u8, to: R, rm: impl Into<Rm>) {
        let rm = rm.into();
        match w {
            1 => self.op(0, false, &[0x0f], 0xb6, to.0, rm, false, true),
            2 => self.op(0, false, &[0x0f], 0xb7, to.0, rm, false, false),
            4 => self.load(4, to, rm),
            _ => self.load(8, to, rm),
        }
    }
    /// Sign-extending load or move of `w` bytes to 64 bits.
    pub fn movsx(&mut self, w: u8, to: R, rm: impl Into<Rm>) {
        let rm = rm.into();
        match w {
            1 => self.op(0, true, &[0x0f], 0xbe, to.0, rm, false, true),
            2 => self.op(0, true, &[0x0f], 0xbf, to.0, rm, false, false),
            4 => self.op(0, true, &[], 0x63, to.0, rm, false, false),
            _ => self.load(8, to, rm),
        }
    }
    /// Sign-extending load or move of `w` bytes to 32 bits, zeros above.
    pub fn movsx_32(&mut self, w: u8, to: R, rm: impl Into<Rm>) {
        let rm = rm.into();
        match w {
            1 => self.op(0, false, &[0x0f], 0xbe, to.0, rm, false, true),
            2 => self.op(0, false, &[0x0f], 0xbf, to.0, rm, false, false),
            _ => self.load(4, to, rm),
        }
    }
    /// LEA with a 4- or 8-byte result.
    pub fn lea(&mut self, w: u8, to: R, m: Mem) {
        self.op(0, w == 8, &[], 0x8d, to.0, m.into(), false, false);
    }
    /// Group 3 (F6/F7): 2 NOT, 3 NEG, 4 MUL, 5 IMUL, 6 DIV, 7 IDIV.
    pub fn group3(&mut self, n: u8, w: u8, rm: impl Into<Rm>) {
        self.sized(w, 0xf6, n, rm.into());
    }
    /// INC (0) or DEC (1).
    pub fn incdec(&mut self, n: u8, w: u8, rm: impl Into<Rm>) {
        self.sized(w, 0xfe, n, rm.into());
    }
    /// Shift by an immediate.
    pub fn shift_imm(&mut self, n: u8, w: u8, rm: impl Into<Rm>, count: u8) {
        let rm = rm.into();
        if count == 1 {
            // The short form has the same flags.
            self.sized(w, 0xd0, n, rm);
        } else {
            self.sized(w, 0xc0, n, rm);
            self.bytes.push(count);
        }
    }
    /// Shift by CL.
    pub fn shift_cl(&mut self, n: u8, w: u8, rm: impl Into<Rm>) {
        self.sized(w, 0xd2, n, rm.into());
    }
    /// SHLD or SHRD by an immediate.
    pub fn double_shift_imm(&mut self, left: bool, w: u8, rm: impl Into<Rm>, r: R, count: u8) {
        let opcode = if left { 0xa4 } else { 0xac };
        self.op(if w == 2 { 0x66 } else { 0 }, w == 8, &[0x0f], opcode, r.0, rm.into(), false, false);
        self.bytes.push(count);
    }
    /// SHLD or SHRD by CL.
    pub fn double_shift_cl(&mut self, left: bool, w: u8, rm: impl Into<Rm>, r: R) {
        let opcode = if left { 0xa5 } else { 0xad };
        self.op(if w == 2 { 0x66 } else { 0 }, w == 8, &[0x0f], opcode, r.0, rm.into(), false, false);
    }
    /// RORX: rotate right without flags (BMI2).
    pub fn rorx(&mut self, w: u8, to: R, from: R, count: u8) {
        let r = if to.0 < 8 { 0x80 } else { 0 };
        let b = if from.0 < 8 { 0x20 } else { 0 };
        self.put(&[0xc4, r | 0x40 | b | 3, u8::from(w == 8) << 7 | 0x7b, 0xf0]);
        self.put(&[0xc0 | (to.0 & 7) << 3 | from.0 & 7, count]);
    }
    /// BEXTR: the field of `from` that the low 16 bits of `control` name (BMI1). Destroys flags.
    pub fn bextr(&mut self, to: R, from: R, control: R) {
        let r = if to.0 < 8 { 0x80 } else { 0 };
        let b = if from.0 < 8 { 0x20 } else { 0 };
        self.put(&[0xc4, r | 0x40 | b | 2, 0x80 | (!control.0 & 15) << 3, 0xf7]);
        self.put(&[0xc0 | (to.0 & 7) << 3 | from.0 & 7]);
    }
    /// A two-byte (0F) instruction `op reg, rm`.
    pub fn op_0f(&mut self, opcode: u8, w: u8, r: R, rm: impl Into<Rm>) {
        self.op(if w == 2 { 0x66 } else { 0 }, w == 8, &[0x0f], opcode, r.0, rm.into(), false, false);
    }
    /// The same behind a mandatory F3 prefix (POPCNT, LZCNT, TZCNT).
    pub fn op_f3_0f(&mut self, opcode: u8, w: u8, r: R, rm: impl Into<Rm>) {
        if w == 2 {
            self.bytes.push(0x66);
        }
        self.op(0xf3, w == 8, &[0x0f], opcode, r.0, rm.into(), false, false);
    }
    /// Two bytes as they are: x87 instructions on registers.
    pub fn two(&mut self, a: u8, b: u8) {
        self.bytes.extend([a, b]);
    }
    /// CMPXCHG rm, reg.
    pub fn cmpxchg(&mut self, w: u8, rm: impl Into<Rm>, r: R) {
        let prefix = if w == 2 { 0x66 } else { 0 };
        let opcode = if w == 1 { 0xb0 } else { 0xb1 };
        self.op(prefix, w == 8, &[0x0f], opcode, r.0, rm.into(), w == 1, w == 1);
    }
    /// IMUL reg, rm, imm32.
    pub fn imul_imm(&mut self, w: u8, r: R, rm: impl Into<Rm>, c: i32) {
        self.op(if w == 2 { 0x66 } else { 0 }, w == 8, &[], 0x69, r.0, rm.into(), false, false);
        if w == 2 {
            self.put(&(c as i16).to_le_bytes());
        } else {
            self.put32(c);
        }
    }
    /// BT, BTS, BTR, BTC rm, imm8 (`n` 4-7).
    pub fn bit_imm(&mut self, n: u8, w: u8, rm: impl Into<Rm>, bit: u8) {
        self.op(if w == 2 { 0x66 } else { 0 }, w == 8, &[0x0f], 0xba, n, rm.into(), false, false);
        self.bytes.push(bit);
    }
    /// BT, BTS, BTR, BTC rm, reg (`n` 0-3).
    pub fn bit_reg(&mut self, n: u8, w: u8, rm: impl Into<Rm>, r: R) {
        self.op_0f(0xa3 | n << 3, w, r, rm);
    }
    /// SETcc low byte of a register.
    pub fn setcc(&mut self, cc: u8, to: R) {
        self.op(0, false, &[0x0f], 0x90 | cc, 0, to.into(), false, true);
    }
    /// SETcc of a byte in memory.
    pub fn setcc_mem(&mut self, cc: u8, to: Mem) {
        self.op(0, false, &[0x0f], 0x90 | cc, 0, to.into(), false, false);
    }
    /// CMOVcc.
    pub fn cmov(&mut self, cc: u8, w: u8, to: R, rm: impl Into<Rm>) {
        self.op(0, w == 8, &[0x0f], 0x40 | cc, to.0, rm.into(), false, false);
    }
    /// BSWAP.
    pub fn bswap(&mut self, w: u8, r: R) {
        let rex = u8::from(w == 8) << 3 | r.0 >> 3;
        if rex != 0 {
            self.bytes.push(0x40 | rex);
        }
        self.put(&[0x0f, 0xc8 | r.0 & 7]);
    }
    /// XCHG between registers.
    pub fn xchg(&mut self, a: R, b: R) {
        self.sized(8, 0x86, a.0, b.into());
    }
    /// LAHF.
    pub fn lahf(&mut self) {
        self.bytes.push(0x9f);
    }
    /// SAHF.
    pub fn sahf(&mut self) {
        self.bytes.push(0x9e);
    }
    /// CMC (F5), CLC (F8), STC (F9), CLD (FC), CWDE/CDQE...: a bare opcode byte.
    pub fn byte(&mut self, b: u8) {
        self.bytes.push(b);
    }
    /// PUSH.
    pub fn push(&mut self, r: R) {
        if r.0 >= 8 {
            self.bytes.push(0x41);
        }
        self.bytes.push(0x50 | r.0 & 7);
    }
    /// POP.
    pub fn pop(&mut self, r: R) {
        if r.0 >= 8 {
            self.bytes.push(0x41);
        }
        self.bytes.push(0x58 | r.0 & 7);
    }
    /// RET.
    pub fn ret(&mut self) {
        self.bytes.push(0xc3);
    }
    /// CALL [mem] or JMP [mem] / register.
    pub fn call_rm(&mut self, rm: impl Into<Rm>) {
        self.op(0, false, &[], 0xff, 2, rm.into(), false, false);
    }
    /// JMP through register or memory.
    pub fn jmp_rm(&mut self, rm: impl Into<Rm>) {
        self.op(0, false, &[], 0xff, 4, rm.into(), false, false);
    }
    /// JMP label.
    pub fn jmp(&mut self, l: Label) {
        self.bytes.push(0xe9);
        self.rel(l);
    }
    /// LEA r, [label].
    pub fn lea_label(&mut self, r: R, l: Label) {
        self.put(&[0x48 | r.0 >> 3 << 2, 0x8d, 5 | (r.0 & 7) << 3]);
        self.rel(l);
    }
    /// Jcc label.
    pub fn jcc(&mut self, cc: u8, l: Label) {
        self.put(&[0x0f, 0x80 | cc]);
        self.rel(l);
    }
    /// CALL label.
    pub fn call(&mut self, l: Label) {
        self.bytes.push(0xe8);
        self.rel(l);
    }
    fn rel(&mut self, l: Label) {
        self.fixups.push((self.bytes.len() as u32, l));
        self.put32(0);
    }
    /// A legacy-SSE instruction: mandatory prefix (0, 66, F2, F3), opcode map bytes after 0F, opcode, operands.
    pub fn sse(&mut self, prefix: u8, w: bool, map: &[u8], opcode: u8, reg: u8, rm: Rm) {
        self.op(prefix, w, map, opcode, reg, rm, false, false);
    }
}
