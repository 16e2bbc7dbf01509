//! What the host's processor must have, and what it does where the manual leaves it free.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use crate::interp::flags::{self, Flags};
#[cfg(target_arch = "x86_64")]
use crate::ops::{Bits, Shift};
#[cfg(target_arch = "x86_64")]
use crate::state::flag;

/// Whether the host can run translated code.
pub fn serves() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("popcnt")
        && logic_clears_af();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// AND, OR, XOR and TEST leave AF clear on every known processor, though the manual calls it undefined; the two engines'
/// common definition is that too. Checked, because it is relied on.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn logic_clears_af() -> bool {
    let flags: u64;
    // SAFETY: sets AF by a subtraction, runs TEST, reads the flags; only registers named here change.
    unsafe {
        std::arch::asm!("xor {t:e}, {t:e}", "sub {t:e}, 1", "test {t:e}, {t:e}", "pushfq", "pop {f}",
            t = out(reg) _, f = out(reg) flags);
    }
    flags & flag::AF == 0
}

/// Runs `$code` on RAX = `a`, RDX = `b`, CL = `c`, with the six status flags as in `before`; yields those afterwards.
#[cfg(target_arch = "x86_64")]
macro_rules! run {
    ($code:literal, $a:expr, $b:expr, $c:expr, $before:expr) => {{
        let mut f: u64 = $before | 0x202;
        // SAFETY: the code works on the registers named here; of the flags only status bits differ from the usual.
        unsafe {
            std::arch::asm!("push {f}", "popfq", $code, "pushfq", "pop {f}",
                f = inout(reg) f, inout("rax") $a => _, in("rdx") $b, in("cl") $c as u8);
        }
        f & flag::STATUS
    }};
}

/// Whether the flags that the manual leaves undefined come out as [`crate::interp::flags`] has them, by kind of
/// instruction. On AMD's processors all do, on Intel's those of bit tests and scans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exact {
    /// Shifts, double shifts and rotates.
    pub shifts: bool,
    /// Two-operand IMUL, and so the others.
    pub products: bool,
    /// BT and its kin.
    pub tests: bool,
    /// BSF and BSR.
    pub scans: bool,
}

impl Exact {
    /// As on a host that has them all, or none.
    pub fn all(exact: bool) -> Exact {
        Exact { shifts: exact, products: exact, tests: exact, scans: exact }
    }

    /// This host's: tried on enough operands, with each status flag set and clear before.
    pub fn of_host() -> Exact {
        #[cfg(target_arch = "x86_64")]
        return tried();
        #[cfg(not(target_arch = "x86_64"))]
        Exact::default()
    }
}

#[cfg(target_arch = "x86_64")]
fn tried() -> Exact {
    const OPERANDS: [u64; 8] =
        [0, 1, 0x80, 0x8000_0000, !0 >> 1, 0x8000_0000_0000_0001, 0x1234_5678_9abc_def0, !0];
    const COUNTS: [u8; 9] = [1, 2, 3, 7, 8, 9, 15, 17, 31];
    let all = |f: &dyn Fn(u64, u64) -> bool| {
        OPERANDS.iter().all(|&a| [0, flag::STATUS].iter().all(|&before| f(a, before)))
    };
    Exact {
        shifts: all(&|a, before| COUNTS.iter().all(|&c| shifts(a, before, c))),
        products: all(&|a, before| OPERANDS.iter().all(|&b| products(a, b, before))),
        tests: all(&|a, before| OPERANDS.iter().all(|&b| tests(a, b, before))),
        scans: all(&scans),
    }
}

#[cfg(target_arch = "x86_64")]
fn mask(w: u8) -> u64 {
    !0 >> (64 - 8 * u32::from(w))
}

#[cfg(target_arch = "x86_64")]
fn shifts(a: u64, before: u64, c: u8) -> bool {
    let old = Flags::from_rflags(before);
    let b = a.rotate_left(13) ^ 0x55;
    let ours = |op, w| flags::shift(op, w, a & mask(w), c.into(), &old).map_or(before, |r| r.1.bits());
    let double = |left, w| {
        flags::double_shift(left, w, a & mask(w), b & mask(w), c.into()).map_or(before, |r| r.1.bits())
    };
    run!("shl al, cl", a, b, c, before) == ours(Shift::Shl, 1)
        && run!("shl ax, cl", a, b, c, before) == ours(Shift::Shl, 2)
        && run!("shl eax, cl", a, b, c, before) == ours(Shift::Shl, 4)
        && run!("shl rax, cl", a, b, c, before) == ours(Shift::Shl, 8)
        && run!("shr al, cl", a, b, c, before) == ours(Shift::Shr, 1)
        && run!("shr ax, cl", a, b, c, before) == ours(Shift::Shr, 2)
        && run!("shr eax, cl", a, b, c, before) == ours(Shift::Shr, 4)
        && run!("shr rax, cl", a, b, c, before) == ours(Shift::Shr, 8)
        && run!("sar al, cl", a, b, c, before) == ours(Shift::Sar, 1)
        && run!("sar eax, cl", a, b, c, before) == ours(Shift::Sar, 4)
        && run!("rol eax, cl", a, b, c, before) == ours(Shift::Rol, 4)
        && run!("ror eax, cl", a, b, c, before) == ours(Shift::Ror, 4)
        && run!("rcl eax, cl", a, b, c, before) == ours(Shift::Rcl, 4)
        && run!("rcr eax, cl", a, b, c, before) == ours(Shift::Rcr, 4)
        && run!("shld ax, dx, cl", a, b, c, before) == double(true, 2)
        && run!("shrd ax, dx, cl", a, b, c, before) == double(false, 2)
        && run!("shld eax, edx, cl", a, b, c, before) == double(true, 4)
        && run!("shrd rax, rdx, cl", a, b, c, before) == double(false, 8)
}

#[cfg(target_arch = "x86_64")]
fn products(a: u64, b: u64, before: u64) -> bool {
    let old = Flags::from_rflags(before);
    let ours = |w| {
        let (.., over) = flags::mul(true, w, a & mask(w), b & mask(w));
        old.with_cf_of(over, over).bits()
    };
    run!("imul ax, dx", a, b, 0, before) == ours(2)
        && run!("imul eax, edx", a, b, 0, before) == ours(4)
        && run!("imul rax, rdx", a, b, 0, before) == ours(8)
}

#[cfg(target_arch = "x86_64")]
fn tests(a: u64, b: u64, before: u64) -> bool {
    let carry = if a >> (b & 63) & 1 != 0 { flag::CF } else { 0 };
    run!("bt rax, rdx", a, b, 0, before) == before & !flag::CF | carry
        && run!("bts rax, rdx", a, b, 0, before) == before & !flag::CF | carry
}

#[cfg(target_arch = "x86_64")]
fn scans(a: u64, before: u64) -> bool {
    let old = Flags::from_rflags(before);
    let ours = |op| flags::bits(op, 8, a, 0, &old).1.bits();
    run!("bsf rax, rdx", 0u64, a, 0, before) == ours(Bits::Bsf)
        && run!("bsr rax, rdx", 0u64, a, 0, before) == ours(Bits::Bsr)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod checks {
    use super::*;

    #[test]
    fn a_defined_result_agrees() {
        // ADD's flags are defined: the macro reads what the host did.
        assert_eq!(run!("add rax, rdx", !0u64, 1u64, 0, 0u64), flag::CF | flag::ZF | flag::AF | flag::PF);
    }
}
