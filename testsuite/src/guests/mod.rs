//! Real software from Debian's packages, booted headless to a mark on the serial port or the screen.

pub mod cpio;
pub mod fetch;
pub mod iso;
pub mod list;
pub mod media;

use crate::tally::Tally;
use fetch::Cache;
use list::{GUESTS, Guest, Make};
use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::{HostIo, Machine, View};
use std::time::{Duration, Instant};

/// Options of the command.
struct Options {
    names: Vec<String>,
    required: bool,
    engine: Engine,
    limit: Duration,
}

/// `guests [NAME...] [--required] [--engine E] [--minutes N] [--list]`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let mut o = Options {
        names: Vec::new(),
        required: false,
        engine: Engine::Auto,
        limit: Duration::from_secs(1800),
    };
    let mut args = args.iter();
    while let Some(a) = args.next() {
        match a.as_str() {
            "--required" => o.required = true,
            "--engine" => {
                let word = args.next().ok_or("--engine wants a name")?;
                o.engine = Engine::parse(word).map_err(|e| e.to_string())?;
            }
            "--minutes" => {
                let n: u64 = args.next().and_then(|v| v.parse().ok()).ok_or("--minutes wants a number")?;
                o.limit = Duration::from_secs(60 * n);
            }
            "--list" => {
                for (name, _) in GUESTS {
                    println!("{name}");
                }
                return Ok(Tally::default());
            }
            name if GUESTS.iter().any(|(n, _)| n == &name || n.starts_with(&format!("{name}-"))) => {
                o.names.push(name.into())
            }
            other => return Err(format!("no guest '{other}'; --list names them")),
        }
    }
    let cache = Cache::open()?;
    let mut tally = Tally::default();
    let wanted = |name: &str| {
        o.names.is_empty() || o.names.iter().any(|n| name == n || name.starts_with(&format!("{n}-")))
    };
    for (name, make) in GUESTS.iter().filter(|(n, _)| wanted(n)) {
        let started = Instant::now();
        match run(name, *make, &cache, &o) {
            Ok(()) => {
                tally.passed += 1;
                println!("{name}: ok ({:.1} s)", started.elapsed().as_secs_f64());
            }
            Err(Failure::Fetch(e)) if !o.required => {
                tally.skipped += 1;
                println!("{name}: skipped: {e}");
            }
            Err(Failure::Fetch(e) | Failure::Run(e)) => {
                tally.failed += 1;
                println!("{name}: FAILED ({:.1} s): {e}", started.elapsed().as_secs_f64());
            }
        }
    }
    Ok(tally)
}

enum Failure {
    /// What the guest is made of could not be had.
    Fetch(String),
    /// It did not do what it must.
    Run(String),
}

fn run(name: &str, make: Make, cache: &Cache, o: &Options) -> Result<(), Failure> {
    let runs = make(cache).map_err(Failure::Fetch)?;
    for guest in runs {
        run_one(name, guest, cache, o).map_err(Failure::Run)?;
    }
    Ok(())
}

/// Collects COM1 and watches the wall clock.
struct Io {
    serial: Vec<u8>,
    until: Instant,
    late: bool,
}

impl HostIo for Io {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if port == 0 {
            self.serial.extend_from_slice(bytes);
        }
    }
    fn quit(&mut self) -> bool {
        self.late = Instant::now() > self.until;
        self.late
    }
}

fn run_one(name: &str, guest: Guest, cache: &Cache, o: &Options) -> Result<(), String> {
    let Guest { mut config, script, end, check } = guest;
    config.clock = ClockKind::Virtual;
    config.engine = o.engine;
    config.script_text = Some(script);
    let mut machine = Machine::new(config).map_err(|e| e.to_string())?;
    let mut io = Io { serial: Vec::new(), until: Instant::now() + o.limit, late: false };
    let outcome = machine.run(&mut io);
    let text = String::from_utf8_lossy(&io.serial).into_owned();
    let verdict = if io.late {
        Err("it took too long".to_owned())
    } else if outcome != end {
        Err(format!("it ended with {outcome:?}, not {end:?}"))
    } else {
        check(&text)
    };
    if verdict.is_err() {
        let dir = cache.made()?;
        let _ = std::fs::write(dir.join(format!("{name}.serial.txt")), &io.serial);
        if let Ok(png) = machine.screenshot_png() {
            let _ = std::fs::write(dir.join(format!("{name}.png")), png);
        }
        if let Some(screen) = machine.text_screen() {
            eprintln!("{}", screen.text());
        }
        let tail: Vec<&str> = text.lines().rev().take(6).collect();
        eprintln!("{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        eprintln!("serial output and screen of {name} are in the cache's folder `made`");
    }
    verdict
}
