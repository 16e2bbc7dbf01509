//! Random programs: a loop of random instructions with forward jumps, on random registers, natively and on our engines. Pointers
//! and the counter keep their registers, so that the operands stay in memory. A program that differs is cut down, an
//! instruction at a time, to what still does.

use super::{Finding, Round};
use crate::oracle::cases::{self, Case};
use crate::oracle::programs::{self, Line};
use crate::oracle::{amd, compare, native::Native, ours::Ours};
use crate::rng::Rng;
use iced_x86::{Code, Mnemonic as M};
use lucid86_cpu::derived::Engine;

/// How often the loop runs: enough for a translator to find it hot.
const TURNS: u64 = 50;

struct Lab {
    host: Native,
    /// The interpreter and, if asked for, another engine.
    engines: Vec<(Engine, Ours)>,
    strict: bool,
    codes: [Vec<Code>; 2],
    /// Of these: comparisons, jumps on flags, other readers of flags.
    flags: [[Vec<Code>; 3]; 2],
}

/// The fuzzer. The interpreter always runs; `engine` beside it.
pub fn fuzzer(engine: Engine, without: &[String]) -> Result<Round, String> {
    let mut engines = vec![(Engine::Interpreter, Ours::new(Engine::Interpreter)?)];
    if engine != Engine::Interpreter {
        engines.push((engine, Ours::eager(engine)?));
    }
    if engine == Engine::Translator {
        engines.push((engine, Ours::own_flags()?));
    }
    for (_, e) in &mut engines {
        e.times = 2;
    }
    let model = cases::model();
    let wanted = |c: &Code| !without.iter().any(|w| format!("{c:?}").starts_with(w));
    let codes: [Vec<Code>; 2] = [false, true]
        .map(|wide| programs::program_encodings(wide, &model).into_iter().filter(wanted).collect());
    let of = |wide: usize, role: fn(M) -> bool| -> Vec<Code> {
        codes[wide].iter().copied().filter(|c| role(c.mnemonic())).collect()
    };
    let flags = [0, 1].map(|wide| [of(wide, compares), of(wide, jumps), of(wide, reads)]);
    let mut lab = Lab { host: Native::new()?, engines, strict: amd(), codes, flags };
    Ok(Box::new(move |r: &mut Rng| lab.round(r)))
}

fn compares(m: M) -> bool {
    matches!(m, M::Cmp | M::Test | M::Sub | M::Add | M::And | M::Cmpxchg)
}

fn jumps(m: M) -> bool {
    format!("{m:?}").starts_with('J')
}

fn reads(m: M) -> bool {
    let name = format!("{m:?}");
    name.starts_with("Set") || name.starts_with("Cmov") || matches!(m, M::Adc | M::Sbb | M::Lahf | M::Pushf)
}

impl Lab {
    fn round(&mut self, r: &mut Rng) -> Finding {
        let wide = !r.one_in(3) || !self.host.narrow;
        let count = 3 + r.below(24);
        // Few kinds of instruction in one program, so that they meet.
        let all = &self.codes[usize::from(wide)];
        let mut few: Vec<Code> = (0..1 + r.below(12)).map(|_| r.pick(all)).collect();
        if r.one_in(2) {
            // Flags that one block makes and another asks for.
            few.truncate(3);
            for role in &self.flags[usize::from(wide)] {
                few.extend((0..if role.is_empty() { 0 } else { 2 }).map(|_| r.pick(role)));
            }
        }
        let mut lines: Vec<Line> = (0..count).filter_map(|_| programs::line(r.pick(&few), wide, r)).collect();
        if r.one_in(4) {
            let at = r.below(lines.len() as u64 + 1) as usize;
            lines.splice(at..at, programs::table(wide, r));
        }
        if r.one_in(4) {
            let at = r.below(lines.len() as u64 + 1) as usize;
            lines.splice(at..at, programs::sums(wide, r));
        }
        let (before, data) = programs::program_state(wide, TURNS, r);
        let keep_flags = r.one_in(2);
        let make = |lines: &[Line]| programs::program(lines, wide, keep_flags, &before, &data);
        // What another maker's processor leaves otherwise is compared between the engines alone.
        let apart = !self.strict && lines.iter().any(|l| compare::varies(l.ins.mnemonic()));
        let mut text = self.differs(&make(&lines)?, apart)?;
        let mut n = 0;
        while n < lines.len() {
            let mut fewer = lines.clone();
            fewer.remove(n);
            let shorter = make(&fewer).and_then(|c| self.differs(&c, apart));
            match shorter {
                Some(t) => (lines, text) = (fewer, t),
                None => n += 1,
            }
        }
        let case = make(&lines)?;
        let listing: Vec<String> = lines.iter().map(|l| format!("    {}", l.ins)).collect();
        let bytes: String = case.bytes.iter().map(|b| format!("{b:02x}")).collect();
        Some(format!(
            "{}-bit program, {TURNS} turns{}:\n{}\n    bytes {bytes}\n    gpr {:x?} flags {:x} cw {:x} mxcsr {:x}\n    {text}",
            if wide { 64 } else { 32 },
            if keep_flags { ", flags kept" } else { "" },
            listing.join("\n"),
            case.before.gpr,
            case.before.rflags,
            case.before.cw,
            case.before.mxcsr,
        ))
    }

    /// Runs a program everywhere (`apart`: but on the host); what differs.
    fn differs(&mut self, case: &Case, apart: bool) -> Option<String> {
        let mut first = (!apart).then(|| {
            self.host.code()[case.at..case.at + case.bytes.len()].copy_from_slice(&case.bytes);
            self.host.data().copy_from_slice(&case.data);
            let (h, end) = self.host.run(&case.before, case.wide);
            let data = self.host.data().to_vec();
            self.host.code().fill(0xcc);
            (h, end, data)
        });
        for (engine, ours) in &mut self.engines {
            ours.place(case.at, &case.bytes);
            let mut data = case.data.clone();
            let text = match (ours.run(&case.before, case.wide, &mut data), &first) {
                (Err(e), _) => e,
                (Ok((o, end)), None) => {
                    first = Some((o, end, data));
                    continue;
                }
                (Ok((o, end)), Some((h, h_end, h_data))) => {
                    compare::differences(case, (h, h_end, h_data), (&o, &end, &data), true)
                }
            };
            if !text.is_empty() {
                return Some(format!("{engine:?}: {text}"));
            }
        }
        None
    }
}
