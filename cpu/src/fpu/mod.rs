//! The x87 unit: arithmetic ([`soft`] everywhere, [`host`] where the host has the same unit), transcendentals
//! ([`transcendental`], ours everywhere), the register stack with its faults ([`unit`]) and the images that
//! FSTENV, FSAVE, FXSAVE and XSAVE write ([`image`]).
//!
//! Follows Intel SDM volume 1, chapter 8 ("Programming with the x87 FPU"). Knows no memory and no instruction encoding.

pub mod float;
#[cfg(target_arch = "x86_64")]
pub mod host;
pub mod image;
pub mod soft;
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod tests;
pub mod transcendental;
pub mod unit;
mod wide;

use crate::state::F80;
use float::{Num, ex};
use soft::{Out, Relation, Stored};

/// Bits of the status word beside the exception flags of [`ex`].
#[allow(missing_docs)]
pub mod sw {
    pub const SF: u16 = 1 << 6;
    pub const ES: u16 = 1 << 7;
    pub const C0: u16 = 1 << 8;
    pub const C1: u16 = 1 << 9;
    pub const C2: u16 = 1 << 10;
    pub const TOP: u16 = 7 << 11;
    pub const C3: u16 = 1 << 14;
    pub const B: u16 = 1 << 15;
    pub const CC: u16 = C0 | C1 | C2 | C3;
}

/// The second operand of an arithmetic instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A register, or an integer already converted.
    Ext(F80),
    /// A single in memory.
    M32(u32),
    /// A double in memory.
    M64(u64),
}

impl Operand {
    /// Unpacked.
    pub fn num(self) -> Num {
        match self {
            Operand::Ext(v) => Num::from_f80(v),
            Operand::M32(v) => Num::from_f32(v),
            Operand::M64(v) => Num::from_f64(v),
        }
    }
    /// A signed integer from memory.
    pub fn int(v: i64) -> Operand {
        Operand::Ext(Num::from_i64(v).to_f80())
    }
}

/// Whether the host's unit may compute: it is there and the guest masks everything.
#[inline(always)]
fn on_host(cw: u16) -> bool {
    cfg!(target_arch = "x86_64") && cw & ex::ALL == ex::ALL
}

macro_rules! host_or_soft {
    ($cw:expr, $host:expr, $soft:expr) => {{
        #[cfg(target_arch = "x86_64")]
        if on_host($cw) {
            return $host;
        }
        let _ = on_host;
        $soft
    }};
}

/// FSQRT.
pub fn sqrt(a: F80, cw: u16, sw: u16) -> Out {
    let _ = sw;
    host_or_soft!(cw, host::sqrt(&a, cw, sw), soft::sqrt(a, cw))
}

/// FRNDINT.
pub fn round_to_integral(a: F80, cw: u16, sw: u16) -> Out {
    let _ = sw;
    host_or_soft!(cw, host::round_to_integral(&a, cw, sw), soft::round_to_integral(a, cw))
}

/// FST m32.
#[inline(always)]
pub fn store_f32(a: &F80, cw: u16, sw: u16) -> Stored {
    let _ = sw;
    host_or_soft!(cw, host::store_f32(a, cw, sw), soft::store_f32(*a, cw))
}

/// FST m64.
#[inline(always)]
pub fn store_f64(a: &F80, cw: u16, sw: u16) -> Stored {
    let _ = sw;
    host_or_soft!(cw, host::store_f64(a, cw, sw), soft::store_f64(*a, cw))
}

/// FIST with the rounding of `cw`; `bits` is 16, 32 or 64.
#[inline(always)]
pub fn store_int(a: &F80, bits: u32, cw: u16, sw: u16) -> Stored {
    let _ = sw;
    host_or_soft!(
        cw,
        match bits {
            16 => host::store_i16(a, cw, sw),
            32 => host::store_i32(a, cw, sw),
            _ => host::store_i64(a, cw, sw),
        },
        soft::store_int(*a, bits, soft::rounding(cw))
    )
}

/// Compare: the relation and the exception flags. Ordinary numbers take a short way.
#[inline(always)]
pub fn compare(a: F80, b: Operand, quiet: bool) -> (Relation, u16) {
    if let Operand::Ext(b) = b {
        let plain = |v: F80| (v.se & 0x7fff).wrapping_sub(1) < 0x7ffe && v.mant >> 63 != 0;
        if plain(a) && plain(b) {
            // Sign and magnitude as one number that orders as the values do.
            let key = |v: F80| {
                let m = i128::from(v.se & 0x7fff) << 64 | i128::from(v.mant);
                if v.se >> 15 != 0 { -m } else { m }
            };
            let r = match key(a).cmp(&key(b)) {
                core::cmp::Ordering::Less => Relation::Less,
                core::cmp::Ordering::Equal => Relation::Equal,
                core::cmp::Ordering::Greater => Relation::Greater,
            };
            return (r, 0);
        }
    }
    soft::compare(Num::from_f80(a), b.num(), quiet)
}

/// C3, C2, C0 for the result of a comparison.
pub fn condition(r: Relation) -> u16 {
    match r {
        Relation::Greater => 0,
        Relation::Less => sw::C0,
        Relation::Equal => sw::C3,
        Relation::Unordered => sw::C3 | sw::C2 | sw::C0,
    }
}

/// C0, C3, C1 for the low three bits of a remainder's quotient (Q2, Q1, Q0).
pub fn quotient_condition(q: u8) -> u16 {
    u16::from(q >> 2 & 1) << 8 | u16::from(q >> 1 & 1) << 14 | u16::from(q & 1) << 9
}
