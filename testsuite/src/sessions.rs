//! Whole runs of one guest, a session typed at Linux's shell, that must not depend on how they are made (DESIGN §5):
//! twice in a row, and saved and loaded in the middle, they end at the same count in the same state. The oracle is the
//! first run, and the host's own clock for `sleep`. Figures of speed and idling are printed, never judged: hosts differ.

use crate::guests::fetch::Cache;
use crate::guests::list::shell;
use crate::tally::{Failure, Tally};
use lucid86_machine::config::ClockKind;
use lucid86_machine::{Config, HostIo, Machine, Outcome, Until, View};
use std::time::{Duration, Instant};

/// What is typed. Each answer is spelt so that the echo of the command doesn't hold it.
const SESSION: &str = "\
wait serial \"LUCID86 READY\"
wait serial \"lucid# \"
serial \"uname -a; ls /proc | sort | md5sum; cat /proc/interrupts\\n\"
wait serial \"lucid# \"
serial \"time sleep 10; echo sle''pt\\n\"
wait serial \"slept\"
wait serial \"lucid# \"
quit
";

/// For the host's clock: marks around a sleep.
const SLEEP: &str = "\
wait serial \"LUCID86 READY\"
wait serial \"lucid# \"
serial \"echo be''gin; sleep 10; echo en''d\\n\"
wait serial \"end\"
quit
";

/// How long the BIOS is watched while it waits.
const WATCH: Duration = Duration::from_secs(5);

/// `sessions [--required]`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let required = match args {
        [] => false,
        [a] if a == "--required" => true,
        _ => return Err("sessions takes --required and nothing else".into()),
    };
    let guest = Cache::open().and_then(|c| shell(&c));
    let config = match Tally::or_skip(guest, required, CASES.len() as u64)? {
        Ok(c) => c,
        Err(skipped) => return Ok(skipped),
    };
    let mut tally = Tally::default();
    for (name, case) in CASES {
        tally.case(name, true, case(&config).map_err(Failure::Run));
    }
    Ok(tally)
}

type Case = fn(&Config) -> Result<String, String>;

const CASES: [(&str, Case); 3] =
    [("virtual clock", same_end), ("host clock", sleeps_by_the_wall), ("BIOS without a medium", bios_waits)];

/// Collects COM1, and notes when two words came.
#[derive(Default)]
struct Io {
    text: String,
    begin: Option<Mark>,
    end: Option<Mark>,
}

/// A moment: the wall's, and this process's CPU time.
#[derive(Clone, Copy)]
struct Mark {
    wall: Instant,
    cpu_s: f64,
}

impl Mark {
    fn now() -> Mark {
        Mark { wall: Instant::now(), cpu_s: cpu_seconds() }
    }
}

impl HostIo for Io {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if port == 0 {
            self.text.push_str(&String::from_utf8_lossy(bytes));
        }
        if self.begin.is_none() && self.text.contains("begin") {
            self.begin = Some(Mark::now());
        }
        if self.end.is_none() && self.begin.is_some() && self.text.contains("\nend") {
            self.end = Some(Mark::now());
        }
    }
}

/// CPU time of this process so far (proc(5): fields 14 and 15 of `stat`, in hundredths on Linux); 0 where that isn't.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |n: usize| after.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn machine(config: &Config, clock: ClockKind, script: &str) -> Result<Machine, String> {
    let config = Config { clock, script_text: Some(script.into()), ..config.clone() };
    Machine::new(config).map_err(|e| e.to_string())
}

/// Where a run ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    count: u64,
    hash: u64,
}

fn finish(mut m: Machine, io: &mut Io) -> Result<End, String> {
    match m.run(io) {
        Outcome::Quit => Ok(End { count: m.count(), hash: m.state_hash() }),
        other => Err(format!("ended with {other:?}")),
    }
}

fn same_end(config: &Config) -> Result<String, String> {
    let mut io = Io::default();
    let first = finish(machine(config, ClockKind::Virtual, SESSION)?, &mut io)?;
    let slept = io.text.lines().find_map(|l| l.trim().strip_prefix("real")).map(str::trim).unwrap_or("?");
    if slept != "0m 10.00s" && slept != "0m 10.01s" {
        return Err(format!("`time sleep 10` says {slept}"));
    }
    let second = finish(machine(config, ClockKind::Virtual, SESSION)?, &mut Io::default())?;
    if second != first {
        return Err(format!("two runs differ: {first:?}, {second:?}"));
    }
    let mut a = machine(config, ClockKind::Virtual, SESSION)?;
    let until = Until { count: Some(first.count / 2 + 1), ..Until::default() };
    if let Some(outcome) = a.run_until(&mut Io::default(), until) {
        return Err(format!("ended half way with {outcome:?}"));
    }
    let saved = a.save().map_err(|e| e.to_string())?;
    drop(a);
    let mut b = machine(config, ClockKind::Virtual, SESSION)?;
    b.load(&saved).map_err(|e| e.to_string())?;
    let third = finish(b, &mut Io::default())?;
    if third != first {
        return Err(format!("saved and loaded half way it differs: {first:?}, {third:?}"));
    }
    Ok(format!("three runs, one with save and load, end at {} in {:016x}", first.count, first.hash))
}

fn sleeps_by_the_wall(config: &Config) -> Result<String, String> {
    let mut io = Io::default();
    finish(machine(config, ClockKind::Host, SLEEP)?, &mut io)?;
    let (Some(a), Some(b)) = (io.begin, io.end) else { return Err("the marks didn't come".into()) };
    let wall = (b.wall - a.wall).as_secs_f64();
    // A host that can't keep up makes it longer, nothing may make it shorter.
    if wall < 9.9 {
        return Err(format!("the guest slept 10 s in {wall:.2} s"));
    }
    let share = 100.0 * (b.cpu_s - a.cpu_s) / wall;
    Ok(format!("`sleep 10` took {wall:.2} s of the host's time and {share:.1} % of one processor"))
}

fn bios_waits(_: &Config) -> Result<String, String> {
    let mut m = Machine::new(Config { memory: 64 << 20, clock: ClockKind::Host, ..Config::default() })
        .map_err(|e| e.to_string())?;
    // Keys may come, so the machine waits for them.
    let keys = m.connect();
    let mut io = Io::default();
    let mut run = |m: &mut Machine, seconds: u64| {
        let until = Until { time_ns: Some(m.now_ns() + seconds * 1_000_000_000), ..Until::default() };
        m.run_until(&mut io, until).map_or(Ok(()), |o| Err(format!("ended with {o:?}")))
    };
    run(&mut m, 5)?;
    let a = Mark::now();
    run(&mut m, WATCH.as_secs())?;
    let (b, text) = (Mark::now(), m.text_screen().map(|s| s.text()).unwrap_or_default());
    drop(keys);
    if text.trim().is_empty() {
        return Err("the screen is empty".into());
    }
    let share = 100.0 * (b.cpu_s - a.cpu_s) / (b.wall - a.wall).as_secs_f64();
    let last = text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or_default().trim();
    Ok(format!("{share:.1} % of one processor under the words '{last}'"))
}
