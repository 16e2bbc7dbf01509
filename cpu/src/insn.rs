//! [`Insn`]: one decoded instruction, compact, with everything that is known before it runs (operands, widths, the parts
//! of the mode that it depends on), and [`ModeKey`], the part of the processor's state that decoding depends on.
//!
//! SDM volume 2, chapter 2 (instruction format) and volume 3, section 3.4 (segments).

use crate::{
    Cpu, Exec,
    interp::Handler,
    state::{Seg, attr, cr0, cr4, efer, flag},
};
use iced_x86::Code;

/// Register number for "none" in [`Insn::base`] and [`Insn::index`].
pub const NO_REG: u8 = 0xff;
/// [`Insn::base`] of an IP-relative operand.
pub const IP_REG: u8 = 0xfe;

/// Bits of [`Insn::prefix`].
pub mod prefix {
    /// LOCK.
    pub const LOCK: u8 = 1;
    /// F3.
    pub const REP: u8 = 2;
    /// F2.
    pub const REPNE: u8 = 4;
    /// The memory operand's segment comes from a prefix (not the default).
    pub const SEGMENT: u8 = 8;
}

/// Bits of [`Insn::kind`]: frequent system instructions of which it is known how little they change.
pub mod kind {
    /// Changes only RFLAGS, of which no bit is in [`super::ModeKey`] at privilege level 0.
    pub const FLAGS: u8 = 1;
    /// Loads the data segment register that `dst` names and changes nothing else of the hidden state (not SS, whose size
    /// is in the key).
    pub const SEGMENT: u8 = 2;
    /// The same of the one that `third` names.
    pub const FAR_POINTER: u8 = 4;
    /// SWAPGS.
    pub const SWAPGS: u8 = 8;
}

/// A decoded instruction.
#[derive(Clone, Copy)]
pub struct Insn {
    /// Runs it on the interpreter.
    pub handler: Handler,
    /// Writes it down for the translator.
    pub build: crate::jit::builder::Build,
    /// The immediate, sign-extended as the instruction asks; a branch's displacement; a 64-bit absolute address; for far
    /// direct transfers the offset (low 32 bits) and the selector (bits 47:32); ENTER: size, and level in bits 23:16.
    pub imm: u64,
    /// Displacement of the memory operand.
    pub disp: i32,
    /// The `iced_x86::Code`, as its number.
    pub code: u16,
    /// Its place within its 4 KiB page.
    pub off: u16,
    /// Length in bytes.
    pub len: u8,
    /// The register that is the first operand. 16-19: AH, CH, DH, BH. For segment, control, debug, MMX, XMM and ST
    /// registers: their own number.
    pub dst: u8,
    /// The register that is the second operand (also where the first is in memory).
    pub src: u8,
    /// The register that is the third operand (VEX).
    pub third: u8,
    /// Base register, [`NO_REG`] or [`IP_REG`].
    pub base: u8,
    /// Index register or [`NO_REG`].
    pub index: u8,
    /// Shift of the index: 0-3.
    pub scale: u8,
    /// Segment of the memory operand, as [`Seg`].
    pub seg: u8,
    /// Operand size in bytes (of the whole instruction: what 66h and REX.W select).
    pub size: u8,
    /// Address size in bytes: 2, 4, 8.
    pub addr: u8,
    /// Segments that are flat for reading and writing: bit [`Seg`]. Bit 7: that of the memory operand is.
    pub flat: u8,
    /// Bits of [`prefix`].
    pub prefix: u8,
    /// Code size (bits 1:0: 0 = 16, 1 = 32, 2 = 64 bits), stack size (3:2, likewise), memory operand present (bit 4),
    /// modes (5: real, 6: V86), code segment flat (7).
    pub mode: u8,
    /// One of [`kind`], or zero.
    pub kind: u8,
}

/// What a [plain move](Insn::plain_move) moves. Widths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// To memory.
    pub store: bool,
    /// Width in memory.
    pub w: u8,
    /// Width in the register: not less.
    pub reg_w: u8,
    /// The register; `None`: the immediate.
    pub reg: Option<u8>,
}

impl Insn {
    /// Whether it is a jump, call or return to another segment.
    pub fn leaves_segment(&self) -> bool {
        use iced_x86::Code::*;
        let code = self.code();
        let there = code.is_jmp_far()
            || code.is_jmp_far_indirect()
            || code.is_call_far()
            || code.is_call_far_indirect();
        there || matches!(code, Retfw | Retfd | Retfq | Retfw_imm16 | Retfd_imm16 | Retfq_imm16)
    }
    /// Whether it has a LOCK prefix.
    #[inline(always)]
    pub fn has_lock(&self) -> bool {
        self.prefix & prefix::LOCK != 0
    }
    /// Whether `rm` is memory.
    #[inline(always)]
    pub fn is_mem(&self) -> bool {
        self.mode & 16 != 0
    }
    /// Bytes of IP, EIP or RIP: 2, 4, 8.
    #[inline(always)]
    pub fn code_width(&self) -> u8 {
        2 << (self.mode & 3)
    }
    /// Bytes of SP, ESP or RSP: 2, 4, 8.
    #[inline(always)]
    pub fn stack_width(&self) -> u8 {
        2 << (self.mode >> 2 & 3)
    }
    /// V86 mode.
    pub fn v86(&self) -> bool {
        self.mode & 64 != 0
    }
    /// Code segment without base and limit.
    #[inline(always)]
    pub fn code_flat(&self) -> bool {
        self.mode & 128 != 0
    }
    /// 64-bit code.
    #[inline(always)]
    pub fn long(&self) -> bool {
        self.mode & 3 == 2
    }
    /// Whether `seg` is flat: offset = linear address, no limit, no type check.
    #[inline(always)]
    pub fn is_flat(&self, seg: u8) -> bool {
        self.flat >> seg & 1 != 0
    }
    /// The data segment register (not SS) that it loads.
    #[inline(always)]
    pub fn loads_segment(&self) -> Option<usize> {
        match self.kind {
            kind::SEGMENT => Some(usize::from(self.dst)),
            kind::FAR_POINTER => Some(usize::from(self.third)),
            _ => None,
        }
    }
    /// The `iced_x86::Code`.
    pub fn code(&self) -> iced_x86::Code {
        iced_x86::Code::try_from(self.code as usize).unwrap_or(iced_x86::Code::INVALID)
    }
    /// Whether the memory operand's segment is flat.
    #[inline(always)]
    pub fn operand_flat(&self) -> bool {
        self.flat & 128 != 0
    }
    /// What it moves, if all that it does is to move between memory and a register, or an immediate to memory.
    pub fn plain_move(&self) -> Option<Move> {
        use Code::*;
        if !self.is_mem() {
            return None;
        }
        let (store, w) = match self.code() {
            Mov_r8_rm8 | Mov_AL_moffs8 | Movzx_r16_rm8 | Movzx_r32_rm8 | Movzx_r64_rm8 => (false, 1),
            Mov_r16_rm16 | Mov_AX_moffs16 | Movzx_r32_rm16 | Movzx_r64_rm16 => (false, 2),
            Mov_r32_rm32 | Mov_EAX_moffs32 => (false, 4),
            Mov_r64_rm64 | Mov_RAX_moffs64 => (false, 8),
            Mov_rm8_r8 | Mov_rm8_imm8 | Mov_moffs8_AL => (true, 1),
            Mov_rm16_r16 | Mov_rm16_imm16 | Mov_moffs16_AX => (true, 2),
            Mov_rm32_r32 | Mov_rm32_imm32 | Mov_moffs32_EAX => (true, 4),
            Mov_rm64_r64 | Mov_rm64_imm32 | Mov_moffs64_RAX => (true, 8),
            _ => return None,
        };
        let imm = matches!(self.code(), Mov_rm8_imm8 | Mov_rm16_imm16 | Mov_rm32_imm32 | Mov_rm64_imm32);
        let reg_w = match self.code() {
            Movzx_r16_rm8 => 2,
            Movzx_r32_rm8 | Movzx_r32_rm16 => 4,
            Movzx_r64_rm8 | Movzx_r64_rm16 => 8,
            _ => w,
        };
        let reg = if store { self.src } else { self.dst };
        Some(Move { store, w, reg_w, reg: (!imm).then_some(reg) })
    }
    /// What [`Insn::kind`] says of `code` with first register operand `dst`.
    pub fn kind_of(code: Code, dst: u8) -> u8 {
        use Code::*;
        match code {
            Cli | Sti | Clac | Stac | Popfw | Popfd | Popfq => kind::FLAGS,
            Mov_Sreg_rm16 | Mov_Sreg_r32m16 | Mov_Sreg_r64m16 | Popw_ES | Popd_ES | Popw_DS | Popd_DS
            | Popw_FS | Popd_FS | Popq_FS | Popw_GS | Popd_GS | Popq_GS
                if dst != Seg::Ss as u8 && dst != Seg::Cs as u8 =>
            {
                kind::SEGMENT
            }
            Les_r16_m1616 | Les_r32_m1632 | Lds_r16_m1616 | Lds_r32_m1632 | Lfs_r16_m1616 | Lfs_r32_m1632
            | Lfs_r64_m1664 | Lgs_r16_m1616 | Lgs_r32_m1632 | Lgs_r64_m1664 => kind::FAR_POINTER,
            Swapgs => kind::SWAPGS,
            _ => 0,
        }
    }
    /// All ones as wide as a width in bytes.
    #[inline(always)]
    pub const fn mask(w: u8) -> u64 {
        !0 >> (64 - 8 * w as u32)
    }
    /// Where a direct jump goes, from the next instruction's address.
    #[inline(always)]
    pub fn target(&self, next: u64) -> u64 {
        next.wrapping_add(self.imm) & Self::mask(self.size)
    }
}

/// For helpers: they run with `cpu.rip` at the instruction's start.
impl Exec<'_> {
    /// Address of the next instruction.
    #[inline(always)]
    pub fn next_rip(&self, i: &Insn) -> u64 {
        self.cpu.rip.wrapping_add(u64::from(i.len)) & Insn::mask(i.code_width())
    }
    /// Offset of the memory operand within its segment.
    #[inline(always)]
    pub fn ea(&self, i: &Insn) -> u64 {
        self.ea_from(i, self.cpu.rip.wrapping_add(u64::from(i.len)))
    }
    /// As [`Exec::ea`], given the address of the next instruction.
    #[inline(always)]
    pub fn ea_from(&self, i: &Insn, next: u64) -> u64 {
        let mut a = i.disp as i64 as u64;
        if i.base < 16 {
            a = a.wrapping_add(self.cpu.gpr[i.base as usize & 15]);
        } else if i.base == IP_REG {
            a = a.wrapping_add(next);
        }
        if i.index < 16 {
            a = a.wrapping_add(self.cpu.gpr[i.index as usize & 15] << (i.scale & 3));
        }
        if i.addr == 8 { a } else { a & Insn::mask(i.addr) }
    }
    /// As [`Exec::ea_from`] where there is a base and no index.
    #[inline(always)]
    pub fn ea_base(&self, i: &Insn) -> u64 {
        let a = self.cpu.gpr[i.base as usize & 15].wrapping_add(i.disp as i64 as u64);
        if i.addr == 8 { a } else { a & Insn::mask(i.addr) }
    }
    /// The segment of the memory operand.
    pub fn seg_of(&self, i: &Insn) -> Seg {
        seg_from(i.seg)
    }
    /// General register `r` (numbered as in [`Insn::dst`]) as `w` bytes, zero-extended.
    #[inline(always)]
    pub fn reg(&self, r: u8, w: u8) -> u64 {
        if w == 1 && r >= 16 {
            return self.cpu.gpr[r as usize & 3] >> 8 & 0xff;
        }
        self.cpu.gpr[r as usize & 15] & Insn::mask(w)
    }
    /// Writes general register `r` as an instruction of operand width `w` does.
    #[inline(always)]
    pub fn set_reg(&mut self, r: u8, w: u8, v: u64) {
        let g = &mut self.cpu.gpr;
        match w {
            1 if r >= 16 => {
                let g = &mut g[r as usize & 3];
                *g = *g & !0xff00 | (v & 0xff) << 8;
            }
            1 => g[r as usize & 15] = g[r as usize & 15] & !0xff | v & 0xff,
            2 => g[r as usize & 15] = g[r as usize & 15] & !0xffff | v & 0xffff,
            4 => g[r as usize & 15] = v & 0xffff_ffff,
            _ => g[r as usize & 15] = v,
        }
    }
}

/// [`Seg`] from its number (numbers above 5 can't come from a decoded instruction; they read as GS).
#[inline(always)]
pub fn seg_from(n: u8) -> Seg {
    match n {
        0 => Seg::Es,
        1 => Seg::Cs,
        2 => Seg::Ss,
        3 => Seg::Ds,
        4 => Seg::Fs,
        _ => Seg::Gs,
    }
}

/// Everything besides the bytes that decoding depends on, computed in one place. What is not in it is tested when the
/// instruction runs.
///
/// Bits: 1:0 code size, 3:2 stack size (0 = 16, 1 = 32, 2 = 64), 5:4 CPL, 6 real mode, 7 V86, 8 long mode, 14:9 flat
/// segments, 15 code segment flat, 16 CR0.EM, 17 CR0.TS, 18 CR0.MP, 19 CR4.OSFXSR, 20 CR4.OSXSAVE, 21 CR0.NE,
/// 22 an exception is unmasked in MXCSR, 23 alignment is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModeKey(pub u32);

impl ModeKey {
    /// No processor's key.
    pub const NEVER: ModeKey = ModeKey(!0);

    /// The key of the processor as it stands.
    pub fn of(cpu: &Cpu) -> ModeKey {
        let real = cpu.cr0 & cr0::PE == 0;
        let v86 = !real && cpu.rflags & flag::VM != 0;
        let long = cpu.msr.efer & efer::LMA != 0;
        let cs = &cpu.seg[Seg::Cs as usize];
        let ss = &cpu.seg[Seg::Ss as usize];
        let code = if long && cs.attr & attr::L != 0 { 2 } else { u32::from(cs.attr & attr::DB != 0) };
        let stack = if code == 2 { 2 } else { u32::from(ss.attr & attr::DB != 0) };
        let checked = cpu.cr0 & cr0::AM != 0 && cpu.rflags & flag::AC != 0 && cpu.cpl == 3;
        let mut k = code | stack << 2 | u32::from(cpu.cpl & 3) << 4;
        k |= u32::from(real) << 6 | u32::from(v86) << 7 | u32::from(long) << 8;
        match () {
            () if checked => {}
            () if code == 2 => k |= FLAT64 << 9,
            () => {
                for (n, s) in cpu.seg.iter().enumerate() {
                    k |= u32::from(flat(s)) << (9 + n);
                }
            }
        }
        k |= u32::from(code == 2 || cs.base == 0 && cs.limit == !0) << 15;
        k |= ((cpu.cr0 & cr0::EM != 0) as u32) << 16 | ((cpu.cr0 & cr0::TS != 0) as u32) << 17;
        k |= ((cpu.cr0 & cr0::MP != 0) as u32) << 18 | ((cpu.cr4 & cr4::OSFXSR != 0) as u32) << 19;
        k |= ((cpu.cr4 & cr4::OSXSAVE != 0) as u32) << 20 | ((cpu.cr0 & cr0::NE != 0) as u32) << 21;
        k |= u32::from(cpu.mxcsr & 0x1f80 != 0x1f80) << 22 | u32::from(checked) << 23;
        ModeKey(k)
    }

    /// The key after `i` has run on a processor of this key, without a look at what `i` can't have changed.
    #[inline]
    pub fn after(self, cpu: &Cpu, i: &Insn) -> ModeKey {
        if i.kind & kind::SWAPGS != 0 || i.kind & kind::FLAGS != 0 && self.cpl() == 0 && !self.v86() {
            return self;
        }
        if let Some(n) = i.loads_segment() {
            // In 64-bit code no bit hangs on them; where alignment is checked they say nothing.
            if self.code64() || self.0 >> 23 & 1 != 0 {
                return self;
            }
            return ModeKey(self.0 & !(1 << (9 + n)) | u32::from(flat(&cpu.seg[n])) << (9 + n));
        }
        ModeKey::of(cpu)
    }

    /// The key after a jump, call or return to another segment, outside long mode and without checks of alignment, that has
    /// changed nothing but CS and RIP.
    pub fn after_far(self, cpu: &Cpu) -> ModeKey {
        let cs = &cpu.seg[Seg::Cs as usize];
        let place = 9 + Seg::Cs as u32;
        let bits = u32::from(cs.attr & attr::DB != 0)
            | u32::from(flat(cs)) << place
            | u32::from(cs.base == 0 && cs.limit == !0) << 15;
        let key = ModeKey(self.0 & !(3 | 1 << place | 1 << 15) | bits);
        debug_assert_eq!(key, ModeKey::of(cpu));
        key
    }

    /// Whether [`ModeKey::after_far`] is for code of this key.
    pub fn far_is_simple(self) -> bool {
        !self.long_mode() && !self.alignment_checked()
    }

    /// Code size in bits.
    pub fn bits(self) -> u32 {
        16 << (self.0 & 3)
    }
    /// 64-bit code.
    pub fn code64(self) -> bool {
        self.0 & 3 == 2
    }
    /// Current privilege level.
    pub fn cpl(self) -> u8 {
        (self.0 >> 4 & 3) as u8
    }
    /// Real mode (CR0.PE clear).
    pub fn real(self) -> bool {
        self.0 >> 6 & 1 != 0
    }
    /// Virtual-8086 mode.
    pub fn v86(self) -> bool {
        self.0 >> 7 & 1 != 0
    }
    /// Long mode, 64-bit code or not.
    pub fn long_mode(self) -> bool {
        self.0 >> 8 & 1 != 0
    }
    /// Bit [`Seg`] set for segments whose offsets are linear addresses, readable and writable without a check.
    pub fn flat(self) -> u8 {
        (self.0 >> 9 & 0x3f) as u8
    }
    /// No limit check and no base for code.
    pub fn code_flat(self) -> bool {
        self.0 >> 15 & 1 != 0
    }
    /// CR0.EM.
    pub fn em(self) -> bool {
        self.0 >> 16 & 1 != 0
    }
    /// CR0.TS.
    pub fn ts(self) -> bool {
        self.0 >> 17 & 1 != 0
    }
    /// CR0.MP.
    pub fn mp(self) -> bool {
        self.0 >> 18 & 1 != 0
    }
    /// CR4.OSFXSR.
    pub fn osfxsr(self) -> bool {
        self.0 >> 19 & 1 != 0
    }
    /// Some vector floating-point exception is unmasked in MXCSR.
    pub fn unmasked_float(self) -> bool {
        self.0 >> 22 & 1 != 0
    }
    /// Alignment is checked.
    pub fn alignment_checked(self) -> bool {
        self.0 >> 23 & 1 != 0
    }
    /// CR4.OSXSAVE.
    pub fn osxsave(self) -> bool {
        self.0 >> 20 & 1 != 0
    }
    /// What [`Insn::mode`] takes from it.
    pub fn insn_mode(self) -> u8 {
        (self.0 & 15) as u8
            | (u8::from(self.real()) << 5)
            | (u8::from(self.v86()) << 6)
            | (u8::from(self.code_flat()) << 7)
    }
}

/// The flat segments of 64-bit code. FS and GS: never, so that SWAPGS and thread switches leave the key as it is.
const FLAT64: u32 = (1 << Seg::Fs as u32) - 1;

fn flat(s: &crate::state::Segment) -> bool {
    let data = attr::S | attr::P | attr::RW;
    let other = s.attr & (data | attr::CODE | attr::DC | attr::UNUSABLE) ^ data;
    // One comparison: each far transfer asks for six segments.
    s.base | u64::from(!s.limit) | u64::from(other) == 0
}
