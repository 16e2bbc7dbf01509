//! The unit's state as bytes in memory: the environment of FSTENV and FLDENV, the registers of FSAVE and FRSTOR, and
//! the 512 bytes of FXSAVE and FXRSTOR, which begin the XSAVE area.
//!
//! Follows Intel SDM volume 1, figures 8-9 to 8-12 (environments), table 10-2 (FXSAVE), and section 13.4 (XSAVE).

use super::soft;
use crate::Cpu;
use crate::state::{F80, Fpu};

/// Layout of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// 28 bytes with 32-bit fields, else 14 bytes.
    pub wide: bool,
    /// Pointers as 20- or 32-bit linear addresses (real mode and V86), else as selector and offset.
    pub real: bool,
}

impl Form {
    /// Length in bytes.
    pub fn len(self) -> usize {
        if self.wide { 28 } else { 14 }
    }
    /// Whether it has no bytes (it has).
    pub fn is_empty(self) -> bool {
        false
    }
}

/// Bytes of the image that FNSAVE and FRSTOR use in 32- and 64-bit code.
pub const HOST_IMAGE: usize = 108;

/// MXCSR bits that exist.
pub const MXCSR_MASK: u32 = 0xffff;

impl Fpu {
    /// The full tag word: two bits a register, computed from the contents.
    pub fn tag_word(&self) -> u16 {
        (0..8).fold(0, |w, i| {
            let bits = if self.tag >> i & 1 == 0 {
                3
            } else {
                match self.regs[i].se & 0x7fff {
                    0 if self.regs[i].mant == 0 => 1,
                    0 | 0x7fff => 2,
                    _ if self.regs[i].mant >> 63 == 0 => 2,
                    _ => 0,
                }
            };
            w | bits << (2 * i)
        })
    }

    fn set_tag_word(&mut self, w: u16) {
        self.tag = (0..8).fold(0, |t, i| t | u8::from(w >> (2 * i) & 3 != 3) << i);
    }

    /// FSTENV's image; its first [`Form::len`] bytes count.
    pub fn environment(&self, form: Form) -> [u8; 28] {
        let mut b = [0u8; 28];
        let linear = |seg: u16, off: u64| (u64::from(seg) << 4).wrapping_add(off) as u32;
        let (ip, dp) = (linear(self.fcs, self.fip), linear(self.fds, self.fdp));
        let fop = u32::from(self.fop & 0x7ff);
        let (cw, sw, tw) = (u32::from(self.cw), u32::from(self.sw), u32::from(self.tag_word()));
        let words = match form {
            Form { wide: true, real: false } => [
                0xffff_0000 | cw,
                0xffff_0000 | sw,
                0xffff_0000 | tw,
                self.fip as u32,
                u32::from(self.fcs) | fop << 16,
                self.fdp as u32,
                0xffff_0000 | u32::from(self.fds),
            ],
            Form { wide: true, real: true } => [
                0xffff_0000 | cw,
                0xffff_0000 | sw,
                0xffff_0000 | tw,
                0xffff_0000 | ip & 0xffff,
                (ip & 0xffff_0000) >> 4 | fop,
                0xffff_0000 | dp & 0xffff,
                (dp & 0xffff_0000) >> 4,
            ],
            Form { wide: false, real: false } => {
                [cw, sw, tw, self.fip as u32, u32::from(self.fcs), self.fdp as u32, u32::from(self.fds)]
            }
            Form { wide: false, real: true } => {
                [cw, sw, tw, ip, (ip & 0xf_0000) >> 4 | fop, dp, (dp & 0xf_0000) >> 4]
            }
        };
        for (n, w) in words.into_iter().enumerate() {
            if form.wide {
                b[4 * n..4 * n + 4].copy_from_slice(&w.to_le_bytes());
            } else {
                b[2 * n..2 * n + 2].copy_from_slice(&(w as u16).to_le_bytes());
            }
        }
        b
    }

    /// FLDENV.
    pub fn load_environment(&mut self, form: Form, b: &[u8; 28]) {
        let word = |n: usize| {
            if form.wide {
                u32::from_le_bytes([b[4 * n], b[4 * n + 1], b[4 * n + 2], b[4 * n + 3]])
            } else {
                u32::from(u16::from_le_bytes([b[2 * n], b[2 * n + 1]]))
            }
        };
        self.sw = word(1) as u16;
        self.set_tag_word(word(2) as u16);
        (self.fcs, self.fds) = (0, 0);
        match form {
            Form { real: false, .. } => {
                self.fip = u64::from(word(3));
                self.fcs = word(4) as u16;
                self.fop = if form.wide { (word(4) >> 16) as u16 & 0x7ff } else { 0 };
                self.fdp = u64::from(word(5));
                self.fds = word(6) as u16;
            }
            Form { wide: true, .. } => {
                self.fip = u64::from(word(3) & 0xffff | (word(4) & 0x0fff_f000) << 4);
                self.fop = word(4) as u16 & 0x7ff;
                self.fdp = u64::from(word(5) & 0xffff | (word(6) & 0x0fff_f000) << 4);
            }
            _ => {
                self.fip = u64::from(word(3) | (word(4) & 0xf000) << 4);
                self.fop = word(4) as u16 & 0x7ff;
                self.fdp = u64::from(word(5) | (word(6) & 0xf000) << 4);
            }
        }
        self.load_control(word(0) as u16);
    }

    /// ST(0) to ST(7) as FSAVE stores them.
    pub fn registers(&self) -> [u8; 80] {
        let mut b = [0; 80];
        for (i, to) in b.chunks_exact_mut(10).enumerate() {
            to.copy_from_slice(&f80_bytes(self.st(i as u8)));
        }
        b
    }

    /// FRSTOR's registers, after its environment.
    pub fn load_registers(&mut self, b: &[u8; 80]) {
        let top = self.top();
        for (i, from) in b.chunks_exact(10).enumerate() {
            self.regs[(top + i) & 7] = f80_from(from);
        }
    }

    /// The image that FRSTOR takes in 64-bit code, without the pointers to the last instruction and operand. Of the tags it
    /// tells only which registers are empty, which is all that the processor looks at (SDM volume 1, section 8.1.7).
    pub fn put_host_image(&self, b: &mut [u8; HOST_IMAGE]) {
        b[..28].fill(0);
        b[..2].copy_from_slice(&self.cw.to_le_bytes());
        b[4..6].copy_from_slice(&self.sw.to_le_bytes());
        let e = u16::from(!self.tag);
        let e = (e | e << 4) & 0x0f0f;
        let e = (e | e << 2) & 0x3333;
        let e = (e | e << 1) & 0x5555;
        b[8..10].copy_from_slice(&(3 * e).to_le_bytes());
        let top = self.top();
        for (i, to) in b[28..].chunks_exact_mut(10).enumerate() {
            let r = self.regs[(top + i) & 7];
            to[..8].copy_from_slice(&r.mant.to_le_bytes());
            to[8..].copy_from_slice(&r.se.to_le_bytes());
        }
    }

    /// Takes back what FNSAVE stored in 64-bit code, without the pointers.
    pub fn take_host_image(&mut self, b: &[u8; HOST_IMAGE]) {
        self.sw = u16::from_le_bytes(get(b, 4));
        let t = u16::from_le_bytes(get(b, 8));
        let e = t & t >> 1 & 0x5555;
        let e = (e | e >> 1) & 0x3333;
        let e = (e | e >> 2) & 0x0f0f;
        self.tag = !((e | e >> 4) as u8);
        let top = self.top();
        for (i, from) in b[28..].chunks_exact(10).enumerate() {
            self.regs[(top + i) & 7] = f80_from(from);
        }
        self.load_control(u16::from_le_bytes(get(b, 0)));
    }

    /// Whether the unit is as after FNINIT, pointers included (the initial configuration of XSAVE's component 0).
    pub fn is_initial(&self) -> bool {
        *self == Fpu::default()
    }
}

/// Ten bytes.
pub fn f80_bytes(v: F80) -> [u8; 10] {
    let mut b = [0; 10];
    b[..8].copy_from_slice(&v.mant.to_le_bytes());
    b[8..].copy_from_slice(&v.se.to_le_bytes());
    b
}

/// From at least ten bytes.
pub fn f80_from(b: &[u8]) -> F80 {
    let mut m = [0; 8];
    m.copy_from_slice(&b[..8]);
    F80 { mant: u64::from_le_bytes(m), se: u16::from_le_bytes([b[8], b[9]]) }
}

fn get<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut v = [0; N];
    v.copy_from_slice(&b[at..at + N]);
    v
}

/// Bytes 0 to 23 and 32 to 159 of the FXSAVE image: the x87 part. `wide`: 64-bit pointers.
pub fn put_x87(f: &Fpu, b: &mut [u8], wide: bool) {
    b[0..2].copy_from_slice(&f.cw.to_le_bytes());
    b[2..4].copy_from_slice(&f.sw.to_le_bytes());
    b[4] = f.tag;
    b[5] = 0;
    b[6..8].copy_from_slice(&f.fop.to_le_bytes());
    b[8..16].copy_from_slice(&f.fip.to_le_bytes());
    b[16..24].copy_from_slice(&f.fdp.to_le_bytes());
    if !wide {
        b[12..14].copy_from_slice(&f.fcs.to_le_bytes());
        b[14..16].fill(0);
        b[20..22].copy_from_slice(&f.fds.to_le_bytes());
        b[22..24].fill(0);
    }
    for i in 0..8 {
        let at = 32 + 16 * i;
        b[at..at + 10].copy_from_slice(&f80_bytes(f.st(i as u8)));
        b[at + 10..at + 16].fill(0);
    }
}

/// The x87 part back.
pub fn take_x87(f: &mut Fpu, b: &[u8], wide: bool) {
    f.sw = u16::from_le_bytes(get(b, 2));
    f.tag = b[4];
    f.fop = u16::from_le_bytes(get(b, 6)) & 0x7ff;
    if wide {
        f.fip = u64::from_le_bytes(get(b, 8));
        f.fdp = u64::from_le_bytes(get(b, 16));
        (f.fcs, f.fds) = (0, 0);
    } else {
        f.fip = u64::from(u32::from_le_bytes(get(b, 8)));
        f.fcs = u16::from_le_bytes(get(b, 12));
        f.fdp = u64::from(u32::from_le_bytes(get(b, 16)));
        f.fds = u16::from_le_bytes(get(b, 20));
    }
    let top = f.top();
    for i in 0..8 {
        f.regs[(top + i) & 7] = f80_from(&b[32 + 16 * i..]);
    }
    f.load_control(u16::from_le_bytes(get(b, 0)));
}

/// MXCSR and its mask.
pub fn put_mxcsr(cpu: &Cpu, b: &mut [u8]) {
    b[24..28].copy_from_slice(&cpu.mxcsr.to_le_bytes());
    b[28..32].copy_from_slice(&MXCSR_MASK.to_le_bytes());
}

/// MXCSR as stored in an image.
pub fn mxcsr(b: &[u8]) -> u32 {
    u32::from_le_bytes(get(b, 24))
}

/// XMM registers 0 to `n`-1.
pub fn put_xmm(cpu: &Cpu, b: &mut [u8], n: usize) {
    for i in 0..n {
        let at = 160 + 16 * i;
        b[at..at + 8].copy_from_slice(&cpu.vec[i].0[0].to_le_bytes());
        b[at + 8..at + 16].copy_from_slice(&cpu.vec[i].0[1].to_le_bytes());
    }
}

/// XMM registers back; upper halves of YMM stay.
pub fn take_xmm(cpu: &mut Cpu, b: &[u8], n: usize) {
    for i in 0..n {
        let at = 160 + 16 * i;
        cpu.vec[i].0[0] = u64::from_le_bytes(get(b, at));
        cpu.vec[i].0[1] = u64::from_le_bytes(get(b, at + 8));
    }
}

/// What a masked stack underflow leaves in a register.
pub const EMPTY: F80 = soft::INDEFINITE;
