//! What must be the same, and the short lists of what need not be.

use super::cases::Case;
use super::state::{DATA_LEN, Ending, State};
use iced_x86::{Code, Mnemonic as M, OpKind};
use lucid86_cpu::state::{F80, flag};
use std::fmt::Write;

/// Flags that the manual leaves undefined, with the place in SDM volume 2 (each under "Flags Affected"). A host by AMD is
/// compared in them too: what we define is what AMD's processors do (`cpu/src/interp/flags.rs`).
pub const UNDEFINED: &[(&[M], u64, &str)] = &[
    (&[M::Aaa, M::Aas], flag::OF | flag::SF | flag::ZF | flag::PF, "AAA; AAS"),
    (&[M::Aad, M::Aam], flag::OF | flag::AF | flag::CF, "AAD; AAM"),
    (&[M::Daa, M::Das], flag::OF, "DAA/DAS"),
    (&[M::And, M::Or, M::Xor, M::Test], flag::AF, "AND; OR; XOR; TEST"),
    (&[M::Shl, M::Sal, M::Shr, M::Sar], flag::AF | flag::OF | flag::CF, "SAL/SAR/SHL/SHR"),
    (&[M::Shld, M::Shrd], flag::STATUS, "SHLD; SHRD"),
    (&[M::Rol, M::Ror, M::Rcl, M::Rcr], flag::OF, "RCL/RCR/ROL/ROR"),
    (&[M::Mul, M::Imul], flag::SF | flag::ZF | flag::AF | flag::PF, "MUL; IMUL"),
    (&[M::Div, M::Idiv], flag::STATUS, "DIV; IDIV"),
    (&[M::Bsf, M::Bsr], flag::CF | flag::OF | flag::SF | flag::AF | flag::PF, "BSF; BSR"),
    (&[M::Bt, M::Bts, M::Btr, M::Btc], flag::OF | flag::SF | flag::AF | flag::PF, "BT; BTS; BTR; BTC"),
];

/// Which flags to compare after an instruction. `strict`: the undefined ones too.
fn flags_mask(m: M, strict: bool) -> u64 {
    // RF is what the host's kernel and hardware make of it; the traps themselves set it.
    let mut mask = !flag::RF;
    if !strict {
        for (list, flags, _) in UNDEFINED {
            if list.contains(&m) {
                mask &= !flags;
            }
        }
    }
    mask
}

/// x87 instructions whose results may differ in the last place, since ours are the same on every host (SDM volume 1,
/// section 8.3.10: an error below 1 ulp); C1 tells which way it was rounded.
fn transcendental(m: M) -> bool {
    matches!(m, M::F2xm1 | M::Fyl2x | M::Fyl2xp1 | M::Fptan | M::Fpatan | M::Fsin | M::Fcos | M::Fsincos)
}

/// Approximations to within 1.5 * 2^-12 (SDM volume 2, RCPPS and RSQRTPS).
fn approximate(m: M) -> bool {
    matches!(m, M::Rcpps | M::Rcpss | M::Rsqrtps | M::Rsqrtss)
}

fn order(v: F80) -> i128 {
    let m = i128::from(v.se & 0x7fff) << 63 | i128::from(v.mant & !(1 << 63));
    if v.se >> 15 != 0 { -m } else { m }
}

fn close_f80(a: F80, b: F80) -> bool {
    (order(a) - order(b)).unsigned_abs() <= 1
}

/// Within the error of an approximation. One of two may lie just below the least normal number, where both become zero (SDM
/// volume 2, RCPPS: tiny results are always flushed).
fn close_f32(a: u32, b: u32) -> bool {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    let least = |v: f32| v.abs() <= f32::MIN_POSITIVE && !v.is_subnormal();
    a == b
        || x.is_finite() && y.is_finite() && (x - y).abs() <= 3.0 / 4096.0 * y.abs()
        || least(x) && least(y) && a >> 31 == b >> 31
}

/// Differences, for a person; empty if there are none.
pub fn differences(
    case: &Case,
    host: (&State, &Ending, &[u8]),
    ours: (&State, &Ending, &[u8]),
    strict: bool,
) -> String {
    let (h, h_end, h_data) = host;
    let (o, o_end, o_data) = ours;
    let mut out = String::new();
    let m = case.ins.mnemonic();
    if h_end != o_end {
        let _ = write!(out, "ended host {h_end:x?} ours {o_end:x?}; ");
    }
    let width = if case.wide { !0 } else { 0xffff_ffff };
    let count = if case.wide { 16 } else { 8 };
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut word = |name: &str, a: u64, b: u64| {
        if a != b {
            let _ = write!(out, "{name} host {a:x} ours {b:x}; ");
        }
    };
    for (i, name) in NAMES.iter().enumerate().take(count) {
        word(name, h.gpr[i] & width, o.gpr[i] & width);
    }
    word("rip", h.rip, o.rip);
    let mask = flags_mask(m, strict);
    word("flags", h.rflags & mask, o.rflags & mask);
    word("mxcsr", h.mxcsr.into(), o.mxcsr.into());
    word("cw", h.cw.into(), o.cw.into());
    // AMD's processors turn to MMX before a fault of MASKMOVQ is found.
    let turned = m == M::Maskmovq && h_end.vector != 3 && strict;
    let loose = transcendental(m);
    let sw = if loose { !0x200 } else { !0u16 };
    let sw = if turned { sw & !0x3800 } else { sw };
    word("sw", (h.sw & sw).into(), (o.sw & sw).into());
    if !turned {
        word("tag", h.tag.into(), o.tag.into());
    }
    for i in 0..8 {
        if !turned && h.st[i] != o.st[i] && !(loose && close_f80(h.st[i], o.st[i])) {
            let _ = write!(out, "st{i} host {:04x}:{:016x} ", h.st[i].se, h.st[i].mant);
            let _ = write!(out, "ours {:04x}:{:016x}; ", o.st[i].se, o.st[i].mant);
        }
    }
    for i in 0..count {
        let near = |a: [u64; 2], b: [u64; 2]| {
            (0..4)
                .all(|k| close_f32((a[k / 2] >> (32 * (k % 2))) as u32, (b[k / 2] >> (32 * (k % 2))) as u32))
        };
        if h.xmm[i] != o.xmm[i] && !(approximate(m) && near(h.xmm[i], o.xmm[i])) {
            let _ = write!(out, "xmm{i} host {:x?} ours {:x?}; ", h.xmm[i], o.xmm[i]);
        }
    }
    let skip = |i: usize| case.holes.iter().any(|(at, n)| i >= *at && i < at + n);
    if h_data != o_data
        && let Some(i) = (0..DATA_LEN).find(|&i| h_data[i] != o_data[i] && !skip(i))
    {
        let end = (i + 16).min(DATA_LEN);
        let _ = write!(out, "memory +{i:x} host {:02x?} ours {:02x?}; ", &h_data[i..end], &o_data[i..end]);
    }
    out
}

/// Operands of many bytes that microcode moves in parts: which part faults first is its own affair, and parts that went
/// before stay (SDM volume 3, section 6.15, "#PF": CR2 is any address of the operand).
fn in_parts(m: M) -> bool {
    use M::*;
    matches!(
        m,
        Fnsave
            | Fsave
            | Fnstenv
            | Fstenv
            | Frstor
            | Fldenv
            | Fxsave
            | Fxsave64
            | Fxrstor
            | Fxrstor64
            | Fld
            | Fstp
    ) || matches!(
        m,
        Fbld | Fbstp | Maskmovq | Maskmovdqu | Pusha | Pushad | Popa | Popad | Enter | Cmpxchg16b | Bound
    )
}

/// Differences that are right, with the reason. `strict`: the host is one by AMD, where ours follows Intel.
pub fn excused(case: &Case, host: &Ending, ours: &Ending, strict: bool) -> Option<&'static str> {
    let (i, m) = (&case.ins, case.ins.mnemonic());
    let sha = matches!(
        m,
        M::Sha1msg1
            | M::Sha1msg2
            | M::Sha1nexte
            | M::Sha1rnds4
            | M::Sha256msg1
            | M::Sha256msg2
            | M::Sha256rnds2
    );
    let memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let faults = host.vector != 3 && ours.vector != 3;
    if in_parts(m) && faults {
        let one = |e: &Ending| matches!(e.vector, 12..=14 | 17);
        return (one(host) && one(ours)).then_some("moved in parts");
    }
    if i.is_invalid() && case.at + case.bytes.len() >= 4096 && host.vector == 14 {
        return Some("what is no instruction may be one of more bytes than there are");
    }
    let compares = matches!(i.mnemonic(), M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq);
    if compares && i.is_string_instruction() && faults {
        let one = |e: &Ending| matches!(e.vector, 12..=14 | 17);
        return (one(host) && one(ours)).then_some("two operands, of which either may be looked at first");
    }
    if !strict {
        return None;
    }
    if sha && memory && host.vector != 13 && ours.vector == 13 {
        return Some("AMD's processors don't ask for alignment; SDM volume 2, SHA1MSG1: exceptions type 4");
    }
    let target_first = i.code() == Code::Call_rm64 && ours.vector == 13 && ours.code == 0;
    if target_first && matches!(host.vector, 12 | 14) {
        return Some(
            "the target is looked at before the push (SDM volume 2, CALL, operation); AMD pushes first",
        );
    }
    match i.code() {
        Code::Movsxd_r16_rm16 => Some("AMD reads four bytes (APM volume 3, MOVSXD), Intel two"),
        Code::Reservednop_rm16_r16_0F0D
        | Code::Reservednop_rm32_r32_0F0D
        | Code::Reservednop_rm64_r64_0F0D => {
            Some("with a register AMD raises #UD (APM volume 3, PREFETCHW), Intel does nothing")
        }
        Code::Sysretd | Code::Sysretq | Code::Syscall if !case.wide => {
            Some("Intel has it in 64-bit code only")
        }
        _ if case.bytes.contains(&0xf0) && host.vector == 13 && ours.vector == 6 => {
            Some("LOCK MOV CR0 is AMD's name of CR8 in 32-bit code (APM volume 3, MOV CRn)")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approximations_may_differ_by_their_error_and_no_more() {
        let close = |a: f32, b: f32| close_f32(a.to_bits(), b.to_bits());
        assert!(close(1.0, 1.0003) && !close(1.0, 1.002) && !close(1.0, -1.0) && !close(1.0, 0.0));
        let least = f32::MIN_POSITIVE;
        assert!(close(least, 0.0) && close(-0.0, -least) && !close(least, -0.0) && !close(2.0 * least, 0.0));
        assert!(!close(f32::INFINITY, f32::MAX) && close(f32::INFINITY, f32::INFINITY));
    }
}
