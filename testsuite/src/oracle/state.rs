//! What a program can see of a processor, and where the oracle's programs live in memory.

use lucid86_cpu::Cpu;
use lucid86_cpu::state::F80;

/// Everything lies around here: below 2 GiB, so that 32-bit code and 32-bit displacements reach it.
pub const ARENA: u64 = 0x1000_0000;
/// The page that code runs in; the page behind it is not there.
pub const CODE: u64 = ARENA + 0x4000;
/// Two pages of memory operands and stack; the page before is not there, the page behind can only be read, and the one
/// after that is not there.
pub const DATA: u64 = ARENA + 0x8000;
/// Bytes of [`DATA`].
pub const DATA_LEN: usize = 0x2000;
/// The page that can only be read.
pub const FIXED: u64 = DATA + DATA_LEN as u64;
/// Where Linux's own addresses begin (TASK_SIZE_MAX with four levels of page tables).
pub const KERNEL: u64 = 0x7fff_ffff_f000;
/// Code segments as Linux has them: 32-bit and 64-bit code of ring 3, and its stack segment.
pub const CS32: u16 = 0x23;
#[allow(missing_docs)]
pub const CS64: u16 = 0x33;
#[allow(missing_docs)]
pub const SS: u16 = 0x2b;

/// Registers before or after a case. x87 registers in stack order.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct State {
    pub gpr: [u64; 16],
    pub rip: u64,
    pub rflags: u64,
    pub st: [F80; 8],
    pub cw: u16,
    pub sw: u16,
    /// Abridged tags, of the physical registers.
    pub tag: u8,
    pub mxcsr: u32,
    pub xmm: [[u64; 2]; 16],
}

/// How a case ended: by the breakpoint behind it (vector 3), or by a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ending {
    pub vector: u8,
    pub code: u32,
    /// CR2, for page faults.
    pub address: u64,
}

impl State {
    /// The FXSAVE image, 64-bit form (SDM volume 1, table 10-2 and following), pointers zero.
    pub fn image(&self) -> [u8; 512] {
        let mut b = [0; 512];
        b[0..2].copy_from_slice(&self.cw.to_le_bytes());
        b[2..4].copy_from_slice(&self.sw.to_le_bytes());
        b[4] = self.tag;
        b[24..28].copy_from_slice(&self.mxcsr.to_le_bytes());
        for (i, r) in self.st.iter().enumerate() {
            b[32 + 16 * i..][..8].copy_from_slice(&r.mant.to_le_bytes());
            b[40 + 16 * i..][..2].copy_from_slice(&r.se.to_le_bytes());
        }
        for (i, x) in self.xmm.iter().enumerate() {
            b[160 + 16 * i..][..8].copy_from_slice(&x[0].to_le_bytes());
            b[168 + 16 * i..][..8].copy_from_slice(&x[1].to_le_bytes());
        }
        b
    }

    /// Takes the floating-point and vector part of an FXSAVE image.
    pub fn take_image(&mut self, b: &[u8; 512]) {
        let word = |i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
        let long = |i: usize| u64::from_le_bytes(b[i..i + 8].try_into().expect("eight bytes"));
        self.cw = word(0);
        self.sw = word(2);
        self.tag = b[4];
        self.mxcsr = u32::from(word(24)) | u32::from(word(26)) << 16;
        for i in 0..8 {
            self.st[i] = F80 { mant: long(32 + 16 * i), se: word(40 + 16 * i) };
        }
        for i in 0..16 {
            self.xmm[i] = [long(160 + 16 * i), long(168 + 16 * i)];
        }
    }

    /// Puts it into a processor.
    pub fn put(&self, c: &mut Cpu) {
        c.gpr = self.gpr;
        c.rip = self.rip;
        c.rflags = self.rflags;
        c.mxcsr = self.mxcsr;
        for (v, x) in c.vec.iter_mut().zip(&self.xmm) {
            v.0 = [x[0], x[1], 0, 0];
        }
        let f = &mut c.fpu;
        *f = lucid86_cpu::state::Fpu { cw: self.cw, sw: self.sw, tag: self.tag, ..Default::default() };
        let top = usize::from(self.sw >> 11 & 7);
        for (i, r) in self.st.iter().enumerate() {
            f.regs[(top + i) & 7] = *r;
        }
    }

    /// Takes the floating-point and vector part of a processor.
    pub fn take(&mut self, c: &Cpu) {
        self.mxcsr = c.mxcsr;
        for (v, x) in c.vec.iter().zip(&mut self.xmm) {
            *x = [v.0[0], v.0[1]];
        }
        let f = &c.fpu;
        (self.cw, self.sw, self.tag) = (f.cw, f.sw, f.tag);
        let top = usize::from(f.sw >> 11 & 7);
        for (i, r) in self.st.iter_mut().enumerate() {
            *r = f.regs[(top + i) & 7];
        }
    }
}
