//! Fault injection: the oracle's cases again, with the pages of their operands taken away or made read-only one after the
//! other, and with segment limits before and within their operands. An instruction that faults has changed nothing but what
//! DESIGN §2 allows, and the error code and CR2 are those of the access; one that doesn't need the page does what it did
//! with it. No other processor is asked: these are rules that hold whatever the instruction computes.
//!
//! Page-fault error codes: Intel SDM volume 3, section 4.7.

use crate::oracle::cases::{self, Case};
use crate::oracle::ours::{Ours, Setup};
use crate::oracle::state::{DATA, Ending, State};
use crate::rng::Rng;
use crate::tally::Tally;
use iced_x86::{InstructionInfoFactory, Mnemonic as M, OpAccess, Register};
use lucid86_cpu::derived::Engine;

/// How much to run.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Who runs the code.
    pub engine: Engine,
    /// Seed of everything random.
    pub seed: u64,
    /// Cases for each encoding; each runs some seven times.
    pub each: u64,
    /// Only encodings whose name starts so.
    pub only: String,
    /// At most this many violations are described.
    pub lines: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs that kept the rules.
    pub passed: u64,
    /// Runs that did not.
    pub failed: u64,
    /// Runs in which the injected fault struck.
    pub struck: u64,
    /// Violations.
    pub lines: Vec<String>,
}

/// `inject [--seed N] [--cases N] [--engine E] [--only PREFIX]`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let mut e = Effort { engine: Engine::Interpreter, seed: 1, each: 40, only: String::new(), lines: 40 };
    let mut args = args.iter();
    while let Some(a) = args.next() {
        let value = args.next().ok_or(format!("{a} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{a} wants a number, not '{value}'"));
        match a.as_str() {
            "--seed" => e.seed = number()?,
            "--cases" => e.each = number()?,
            "--only" => e.only = value.clone(),
            "--engine" => {
                e.engine = Engine::parse(value)
                    .ok_or(format!("--engine: '{value}' is not interpreter, translator or auto"))?;
            }
            other => return Err(format!("inject: '{other}' is no option of it")),
        }
    }
    let r = run(&e)?;
    for line in &r.lines {
        println!("{line}");
    }
    println!("the injected fault struck in {} runs", r.struck);
    Ok(Tally { passed: r.passed, failed: r.failed, skipped: 0 })
}

/// The ways to spoil a case.
fn setups(wide: bool) -> Vec<Setup> {
    const PRESENT: u64 = 1;
    const WRITE: u64 = 2;
    let all = PRESENT | WRITE;
    let mut list = vec![
        Setup { pages: [0, all], ..Setup::default() },
        Setup { pages: [all, 0], ..Setup::default() },
        Setup { pages: [PRESENT, all], ..Setup::default() },
        Setup { pages: [all, PRESENT], ..Setup::default() },
    ];
    if !wide {
        let middle = DATA as u32 + 0x1000;
        for limit in [middle - 1, middle + 6, middle - 9] {
            list.push(Setup { limit, ..Setup::default() });
            list.push(Setup { limit, down: true, ..Setup::default() });
        }
    }
    list
}

/// Runs it.
pub fn run(e: &Effort) -> Result<Report, String> {
    let mut ours = Ours::eager(e.engine)?;
    let model = cases::model();
    let mut report = Report::default();
    for wide in [true, false] {
        for code in cases::encodings(wide) {
            let name = format!("{code:?}");
            let Some((_, bytes)) = cases::sample(code, wide) else { continue };
            if !name.starts_with(&e.only) || !cases::known(&bytes, wide, &model) {
                continue;
            }
            let mut rng = Rng::new(e.seed ^ (code as u64) << 20 ^ u64::from(wide) << 40);
            for _ in 0..e.each {
                let Some(case) = cases::make_any(code, wide, &mut rng, &model) else { continue };
                if !left_out(case.ins.mnemonic()) {
                    one(&mut ours, &case, &name, e, &mut report);
                }
            }
        }
    }
    Ok(report)
}

/// Events on purpose, which change what a fault does not; SYSCALL and SYSENTER leave for where nothing lies; clocks and
/// random numbers are new each time.
fn left_out(m: M) -> bool {
    matches!(m, M::Int | M::Int1 | M::Int3 | M::Into | M::Syscall | M::Sysenter)
        || matches!(m, M::Rdtsc | M::Rdtscp | M::Rdpmc | M::Rdrand | M::Rdseed)
}

type Outcome = Result<(State, Ending), String>;

fn attempt(ours: &mut Ours, case: &Case, setup: Setup) -> (Outcome, Vec<u8>) {
    let mut data = case.data.clone();
    ours.set_up(setup);
    let outcome = ours.run(&case.before, case.wide, &mut data);
    ours.set_up(Setup::default());
    (outcome, data)
}

fn one(ours: &mut Ours, case: &Case, name: &str, e: &Effort, report: &mut Report) {
    ours.place(case.at, &case.bytes);
    let plain = attempt(ours, case, Setup::default());
    let mut judge = |what: &str, verdict: Result<(), String>| match verdict {
        Ok(()) => report.passed += 1,
        Err(text) => {
            report.failed += 1;
            let told = report.lines.iter().any(|l| l.split(' ').next() == Some(name));
            if report.lines.len() < e.lines && !told {
                let bytes: String = case.bytes.iter().map(|b| format!("{b:02x}")).collect();
                let bits = if case.wide { 64 } else { 32 };
                report.lines.push(format!("{name} '{}' [{bytes}] {bits}-bit, {what}: {text}", case.ins));
            }
        }
    };
    judge("plain", rules(case, &plain, Setup::default()));
    for setup in setups(case.wide) {
        let spoilt = attempt(ours, case, setup);
        let same = match (&plain, &spoilt) {
            ((Ok(a), x), (Ok(b), y)) => a == b && x == y,
            _ => false,
        };
        if !same {
            report.struck += 1;
        }
        let verdict = rules(case, &spoilt, setup).and_then(|()| {
            let refused = faulted(case, &spoilt.0);
            if !same && !refused {
                Err("it ends otherwise without a fault".into())
            } else if !refused && !faulted(case, &plain.0) && beyond(case, setup) {
                Err("an access beyond the limit is allowed".into())
            } else {
                Ok(())
            }
        });
        judge(&format!("{setup:x?}"), verdict);
    }
}

/// Whether the instruction itself was refused.
fn faulted(case: &Case, o: &Outcome) -> bool {
    o.as_ref().is_ok_and(|(s, e)| e.vector != 3 && s.rip == case.before.rip)
}

/// Whether an access that the instruction surely makes lies outside its segment (SDM volume 3, section 5.3).
fn beyond(case: &Case, setup: Setup) -> bool {
    // POP of a segment register may read two bytes or four.
    let unsure = matches!(case.ins.mnemonic(), M::Bt | M::Bts | M::Btr | M::Btc | M::Enter | M::Leave)
        || case.ins.mnemonic() == M::Pop && case.ins.op0_register().is_segment_register();
    if case.wide || unsure || case.ins.is_string_instruction() {
        return false;
    }
    let value = |r: Register, _, _| {
        let full = r.full_register();
        full.is_gpr().then(|| {
            let v = case.before.gpr[full.number()];
            match r.size() {
                1 => v & 0xff,
                2 => v & 0xffff,
                _ => v & 0xffff_ffff,
            }
        })
    };
    InstructionInfoFactory::new().info(&case.ins).used_memory().iter().any(|m| {
        let sure = matches!(m.access(), OpAccess::Read | OpAccess::Write | OpAccess::ReadWrite)
            && m.segment() != Register::CS;
        let Some(first) =
            m.virtual_address(0, |r, i, n| if r.is_segment_register() { Some(0) } else { value(r, i, n) })
        else {
            return false;
        };
        let last = first + (m.memory_size().size().max(1) as u64 - 1);
        let limit = u64::from(setup.limit);
        sure && if setup.down { first <= limit } else { last > limit }
    })
}

/// What must hold after any run.
fn rules(case: &Case, (outcome, data): &(Outcome, Vec<u8>), setup: Setup) -> Result<(), String> {
    let (after, end) = outcome.as_ref().map_err(String::clone)?;
    if !faulted(case, outcome) {
        return Ok(());
    }
    let repeated =
        case.ins.is_string_instruction() && (case.ins.has_rep_prefix() || case.ins.has_repne_prefix());
    let mut want = case.before.clone();
    want.rflags |= after.rflags & lucid86_cpu::state::flag::RF;
    if repeated {
        for r in [0, 1, 6, 7] {
            want.gpr[r] = after.gpr[r];
        }
        want.rflags = after.rflags;
    } else if data != &case.data {
        return Err(format!("memory changed, then {end:x?}"));
    }
    if end.vector == 19 {
        // Flags of a vector exception are set when it is raised (SDM volume 1, section 11.5.1).
        want.mxcsr |= after.mxcsr & 0x3f;
        let turns = matches!(
            case.ins.mnemonic(),
            M::Cvtpi2ps | M::Cvtps2pi | M::Cvttps2pi | M::Cvtpd2pi | M::Cvttpd2pi
        );
        if turns {
            // The unit has turned to MMX by then: so does the host's processor (`crate::oracle`).
            (want.sw, want.tag, want.st) = (after.sw, after.tag, after.st);
        }
    }
    if &want != after {
        return Err(format!("{end:x?}, but registers changed: {after:x?} from {want:x?}"));
    }
    if end.vector == 14 && (DATA..DATA + 0x2000).contains(&end.address) {
        page_fault(case, end, setup)?;
    }
    Ok(())
}

/// CR2 lies in a page that was spoilt, and the error code says how.
fn page_fault(case: &Case, end: &Ending, setup: Setup) -> Result<(), String> {
    let spoilt = setup.pages[usize::from(end.address >= DATA + 0x1000)];
    let wrong = |why: &str| Err(format!("{end:x?}: {why}"));
    if spoilt == 3 {
        return wrong("nothing is wrong with this page");
    }
    // The descriptor tables are the supervisor's; all that lies here is asked for by the program.
    if end.code & !7 != 0 || end.code & 4 == 0 || end.code & 1 != (spoilt & 1) as u32 {
        return wrong("the code should be 4 to 7, its bit 0 as the page was");
    }
    let written = end.code & 2 != 0;
    if spoilt == 1 && !written {
        return wrong("reading is allowed");
    }
    let mut factory = InstructionInfoFactory::new();
    let (mut reads, mut writes) = (false, false);
    for m in factory.info(&case.ins).used_memory() {
        match m.access() {
            OpAccess::Read | OpAccess::CondRead => reads = true,
            OpAccess::NoMemAccess | OpAccess::None => {}
            _ => writes = true,
        }
    }
    // ARPL and masked moves look before they write; BT reads as it likes.
    let unsure = matches!(case.ins.mnemonic(), M::Arpl);
    if !unsure && (written && !writes || !written && !reads) {
        return wrong("the instruction has no such access");
    }
    Ok(())
}
