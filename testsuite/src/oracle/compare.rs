//! What must be the same, and the short lists of what need not be.

use super::cases::Case;
use super::state::{DATA, DATA_LEN, Ending, State};
use iced_x86::{Code, Instruction, Mnemonic as M, OpKind};
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

/// Whether a host by another maker than AMD may leave something else than ours after an instruction that ends well. (Intel's
/// agree in the undefined flags of logic, bit tests and scans.)
pub fn varies(m: M) -> bool {
    use M::*;
    let agrees = matches!(m, And | Or | Xor | Test | Bsf | Bsr | Bt | Bts | Btr | Btc);
    matches!(m, Dpps | Dppd) || !agrees && UNDEFINED.iter().any(|(list, ..)| list.contains(&m))
}

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
    // Intel's cut pointers to the size of addresses even where a repeated instruction does nothing or faults at once.
    let none = o.gpr[1] as u32 == 0;
    let cut = !strict && case.wide && (none || h_end.vector != 3) && short_pointers(&case.ins);
    for (i, name) in NAMES.iter().enumerate().take(count) {
        let width = if cut && (i == 6 || i == 7) { 0xffff_ffff } else { width };
        word(name, h.gpr[i] & width, o.gpr[i] & width);
    }
    word("rip", h.rip, o.rip);
    let mask = flags_mask(m, strict);
    // AMD's keep the flags of the last comparison (ours are as before the instruction: SDM volume 2, REP).
    let kept = strict && h_end.vector != 3 && repeated(&case.ins) && compares(m);
    let mask = if kept { mask & !flag::STATUS } else { mask };
    word("flags", h.rflags & mask, o.rflags & mask);
    word("mxcsr", h.mxcsr.into(), o.mxcsr.into());
    word("cw", h.cw.into(), o.cw.into());
    // AMD's processors turn to MMX before a fault of MASKMOVQ is found, Intel's before one of other stores.
    let turns = if strict { m == M::Maskmovq } else { stores_mmx(&case.ins) };
    let turned = turns && h_end.vector != 3;
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
        // Of several NaNs each maker takes another.
        let no_numbers = |a: [u64; 2], b: [u64; 2]| {
            let lane = |v: [u64; 2], k: usize| (v[k / 2] >> (32 * (k % 2))) as u32;
            let nan = |v: [u64; 2], k: usize| match m {
                M::Dppd => f64::from_bits(v[k / 2]).is_nan(),
                _ => f32::from_bits(lane(v, k)).is_nan(),
            };
            (0..4).all(|k| lane(a, k) == lane(b, k) || nan(a, k) && nan(b, k))
        };
        let same = h.xmm[i] == o.xmm[i]
            || approximate(m) && near(h.xmm[i], o.xmm[i])
            || matches!(m, M::Dpps | M::Dppd) && !strict && no_numbers(h.xmm[i], o.xmm[i]);
        if !same {
            let _ = write!(out, "xmm{i} host {:x?} ours {:x?}; ", h.xmm[i], o.xmm[i]);
        }
    }
    // Of a segment register pushed as four bytes Intel's newer processors store two (SDM volume 2, PUSH).
    let half = (!strict && pushes_segment(case.ins.code()))
        .then(|| (o.gpr[4] & 0xffff_ffff).wrapping_sub(DATA).wrapping_add(2) as usize);
    let skip = |i: usize| {
        case.holes.iter().any(|(at, n)| i >= *at && i < at + n)
            || half.is_some_and(|at| i == at || i == at + 1)
    };
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
        return excused_by_intel(case, host, ours);
    }
    if i.code() == Code::Pause && case.bytes.iter().rev().nth(1).is_some_and(|b| b & 0xf1 == 0x41) {
        return Some("Intel ignores REX.B with PAUSE, AMD exchanges with R8");
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

fn pushes_segment(c: Code) -> bool {
    use Code::*;
    matches!(c, Pushd_ES | Pushd_CS | Pushd_SS | Pushd_DS | Pushd_FS | Pushd_GS)
}

fn repeated(i: &Instruction) -> bool {
    i.is_string_instruction() && (i.has_rep_prefix() || i.has_repne_prefix())
}

fn compares(m: M) -> bool {
    use M::*;
    matches!(m, Cmpsb | Cmpsw | Cmpsd | Cmpsq | Scasb | Scasw | Scasd | Scasq)
}

/// A repeated string instruction with addresses of 32 bits.
fn short_pointers(i: &Instruction) -> bool {
    let short = |n| matches!(i.op_kind(n), OpKind::MemorySegESI | OpKind::MemoryESEDI);
    repeated(i) && (0..i.op_count()).any(short)
}

fn stores_mmx(i: &Instruction) -> bool {
    matches!(i.mnemonic(), M::Movd | M::Movq | M::Movntq)
        && i.op_kind(0) == OpKind::Memory
        && i.op_register(1).is_mm()
}

/// The same beside a host that isn't AMD's, where ours does what AMD's do.
fn excused_by_intel(case: &Case, host: &Ending, ours: &Ending) -> Option<&'static str> {
    use M::*;
    let (i, m) = (&case.ins, case.ins.mnemonic());
    let lost = matches!(ours.vector, 12..=14 | 17);
    let cancelled = matches!(m, Fst | Fstp | Fist | Fistp | Fisttp | Fbstp) && case.before.cw & 0x3f != 0x3f;
    if cancelled && lost && host.vector == 3 {
        return Some("a store that an unmasked exception cancels: Intel doesn't look at the memory first");
    }
    if ours.vector == 17 && host.vector != 17 && pushes_segment(i.code()) {
        return Some("two bytes are stored (SDM volume 2, PUSH), and need no more alignment");
    }
    if i.code() == Code::Call_rm64 && host.vector == 13 && ours.vector == 13 {
        return Some(
            "the target is looked at before the push (SDM volume 2, CALL, operation); the host stores first",
        );
    }
    if ours.vector == 17 && host.vector != 17 && unaligned_vector(m) {
        return Some(
            "whether these check alignment is left to the processor (SDM volume 3, section 6.15, #AC)",
        );
    }
    if matches!(m, Shld | Shrd) && i.op1_register().size() == 2 {
        let count =
            if i.op2_kind() == OpKind::Immediate8 { i.immediate8() } else { case.before.gpr[1] as u8 };
        if count & 31 > 16 {
            return Some("the result is undefined (SDM volume 2, SHLD, SHRD)");
        }
    }
    let around = host.vector == 14 && host.address as u32 > 0xffff_fff0 && matches!(ours.vector, 12 | 13);
    let leaves = m == Leave && ours.vector == 12 && case.before.gpr[5] as u32 > 0xffff_fffb;
    if leaves || !case.wide && around && ours.code == 0 {
        return Some(
            "whether the end of 4 GiB is checked is left to the processor (SDM volume 3, section 5.3)",
        );
    }
    None
}

/// Instructions that take 16 bytes from anywhere.
fn unaligned_vector(m: M) -> bool {
    use M::*;
    matches!(
        m,
        Movups
            | Movupd
            | Movdqu
            | Lddqu
            | Pcmpestri
            | Pcmpestri64
            | Pcmpestrm
            | Pcmpestrm64
            | Pcmpistri
            | Pcmpistrm
    )
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
