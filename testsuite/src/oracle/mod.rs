//! The host's own processor as an oracle: single instructions, made from the decode table, run natively and on our engines with
//! random and corner operands; all registers, flags, memory, and the floating-point state are compared, and the vectors, error
//! codes and addresses of faults.
//!
//! 64-bit code and, through the host's 32-bit code segment, 32-bit code; 16-bit code has the hardware captures. What can't be
//! compared is counted by name: encodings that the host lacks, and those on [`cases::excluded`]'s list.

pub mod cases;
pub mod compare;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod native;
pub mod ours;
pub mod programs;
pub mod state;
mod values;

mod command;
pub use command::command;

/// What a run covered.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that agreed.
    pub passed: u64,
    /// Cases that did not.
    pub failed: u64,
    /// Encodings that ran, in 64-bit and in 32-bit code.
    pub covered: [usize; 2],
    /// Encodings that our decoder knows, likewise.
    pub supported: [usize; 2],
    /// Encodings that did not run, with the reason.
    pub skipped: Vec<String>,
    /// Differences, one line each, as many as were asked for.
    pub lines: Vec<String>,
}

/// How much to run.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Seed of everything random.
    pub seed: u64,
    /// Cases for each encoding.
    pub each: u64,
    /// Whether to compare flags that the manual leaves undefined: on hosts by AMD.
    pub strict: bool,
    /// Only encodings whose name starts so.
    pub only: String,
    /// At most this many differences for each encoding are described.
    pub lines: usize,
    /// Which widths of code: 64-bit, 32-bit.
    pub widths: [bool; 2],
}

/// Whether the host's processor is one by AMD.
pub fn amd() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|t| t.contains("AuthenticAMD"))
}

/// Instruction sets that the host has, as Linux names them.
fn host_flags() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// What the host lacks for an encoding.
fn lacking(code: iced_x86::Code, flags: &[String]) -> Option<&'static str> {
    use iced_x86::CpuidFeature as C;
    code.cpuid_features().iter().find_map(|f| {
        let name = match f {
            C::SSE3 => "pni",
            C::SSSE3 => "ssse3",
            C::SSE4_1 => "sse4_1",
            C::SSE4_2 => "sse4_2",
            C::POPCNT => "popcnt",
            C::AES => "aes",
            C::PCLMULQDQ => "pclmulqdq",
            C::SHA => "sha_ni",
            C::MOVBE => "movbe",
            C::CMPXCHG16B => "cx16",
            C::SMAP => "smap",
            C::INVPCID => "invpcid",
            _ => return None,
        };
        (!flags.iter().any(|h| h == name)).then_some(name)
    })
}

/// Runs cases for every encoding on the host and on an engine.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn run(engine: lucid86_cpu::derived::Engine, effort: &Effort) -> Result<Report, String> {
    let mut host = native::Native::new()?;
    let mut ours = ours::Ours::eager(engine)?;
    let model = cases::model();
    let flags = host_flags();
    let mut report = Report::default();
    for (w, wide) in [true, false].into_iter().enumerate() {
        if !effort.widths[w] {
            continue;
        }
        if !wide && !host.narrow {
            report.skipped.push("32-bit code: the host has no segment for it".into());
            continue;
        }
        for code in cases::encodings(wide) {
            let name = format!("{code:?}");
            if !name.starts_with(&effort.only) {
                continue;
            }
            let mut rng = crate::rng::Rng::new(effort.seed ^ (code as u64) << 20 ^ (w as u64) << 40);
            if let Some(reason) = unsuitable(code, wide, &model, &flags, &mut report.supported[w]) {
                if !reason.is_empty() {
                    report.skipped.push(format!("{name} ({}-bit): {reason}", if wide { 64 } else { 32 }));
                }
                continue;
            }
            let mut ran = 0;
            let mut shown = 0;
            let mut tried = 0;
            while ran < effort.each && tried < 20 * effort.each {
                tried += 1;
                let Some(case) = cases::make(code, wide, &mut rng, &model) else { continue };
                ran += 1;
                let text = one(&mut host, &mut ours, &case, effort.strict);
                if text.is_empty() {
                    report.passed += 1;
                } else {
                    report.failed += 1;
                    shown += 1;
                    if shown <= effort.lines {
                        report.lines.push(describe(&case, &name, &text));
                    }
                }
            }
            if shown > effort.lines {
                report.lines.push(format!("{name}: {shown} of {ran} differ"));
            }
            if ran > 0 {
                report.covered[w] += 1;
            } else {
                report
                    .skipped
                    .push(format!("{name} ({}-bit): no case could be made", if wide { 64 } else { 32 }));
            }
        }
    }
    Ok(report)
}

/// Why an encoding doesn't run; empty: it isn't supported by our decoder, which is no news.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn unsuitable(
    code: iced_x86::Code,
    wide: bool,
    model: &lucid86_cpu::model::CpuModel,
    flags: &[String],
    supported: &mut usize,
) -> Option<String> {
    let Some((ins, bytes)) = cases::sample(code, wide) else { return Some(String::new()) };
    if !cases::known(&bytes, wide, model) {
        return Some(String::new());
    }
    *supported += 1;
    if let Some(reason) = cases::excluded(&ins, wide) {
        return Some(reason.into());
    }
    lacking(code, flags).map(|f| format!("the host has no {f}"))
}

/// One case on both; what differs.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn one(host: &mut native::Native, ours: &mut ours::Ours, case: &cases::Case, strict: bool) -> String {
    host.code()[case.at..case.at + case.bytes.len()].copy_from_slice(&case.bytes);
    host.data().copy_from_slice(&case.data);
    let (h, h_end) = host.run(&case.before, case.wide);
    let h_data = host.data().to_vec();
    host.code().fill(0xcc);
    ours.place(case.at, &case.bytes);
    let mut o_data = case.data.clone();
    match ours.run(&case.before, case.wide, &mut o_data) {
        Err(e) => e,
        Ok((_, o_end)) if compare::excused(case, &h_end, &o_end, strict).is_some() => String::new(),
        Ok((o, o_end)) => compare::differences(case, (&h, &h_end, &h_data), (&o, &o_end, &o_data), strict),
    }
}

/// One case on both, and a text to print if they differ; empty if they don't.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn compare_one(
    host: &mut native::Native,
    ours: &mut ours::Ours,
    case: &cases::Case,
    strict: bool,
) -> String {
    let text = one(host, ours, case, strict);
    if text.is_empty() { text } else { describe(case, &format!("{:?}", case.ins.code()), &text) }
}

/// A failing case in a few lines, enough to make it again by hand.
fn describe(case: &cases::Case, name: &str, text: &str) -> String {
    let bytes: String = case.bytes.iter().map(|b| format!("{b:02x}")).collect();
    let s = &case.before;
    let mut out = format!("{name} '{}' [{bytes}] {}-bit: {text}", case.ins, if case.wide { 64 } else { 32 });
    out += &format!("\n    gpr {:x?} flags {:x}", s.gpr, s.rflags);
    if case.ins.is_fpu_code() {
        let st: Vec<String> = s.st.iter().map(|r| format!("{:04x}:{:016x}", r.se, r.mant)).collect();
        out += &format!("\n    cw {:x} sw {:x} tag {:x} st {}", s.cw, s.sw, s.tag, st.join(" "));
    } else if case.ins.op_count() > 0 && (0..case.ins.op_count()).any(|n| case.ins.op_register(n).is_xmm()) {
        out += &format!("\n    mxcsr {:x}", s.mxcsr);
        for n in 0..case.ins.op_count() {
            let r = case.ins.op_register(n);
            if r.is_xmm() {
                out += &format!(" {r:?} {:x?}", s.xmm[r.number()]);
            }
        }
    }
    out
}

trait FpuCode {
    fn is_fpu_code(&self) -> bool;
}

impl FpuCode for iced_x86::Instruction {
    fn is_fpu_code(&self) -> bool {
        lucid86_cpu::meaning::x87::known(self.code())
    }
}
