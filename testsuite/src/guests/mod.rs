//! Real software from Debian's packages, booted headless to a mark on the serial port or the screen.

pub mod cpio;
pub mod fetch;
pub mod iso;
pub mod list;
pub mod media;
pub mod net;

use crate::tally::{Failure, Tally};
use fetch::Cache;
use list::{CI, GUESTS, Guest, Make};
use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::{HostIo, Machine, Outcome, View};
use net::NETWORK;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Options of the command.
struct Options {
    names: Vec<String>,
    required: bool,
    engine: Engine,
    limit: Duration,
    jobs: usize,
    big: usize,
    peer: bool,
}

/// `guests [NAME...] [--ci] [--jobs N] [--required] [--engine E] [--minutes N] [--mib N] [--peer] [--list]`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let mut o = Options {
        names: Vec::new(),
        required: false,
        engine: Engine::Auto,
        limit: Duration::from_secs(3600),
        jobs: 1,
        big: 100 << 20,
        peer: false,
    };
    let mut args = args.iter();
    while let Some(a) = args.next() {
        match a.as_str() {
            "--required" => o.required = true,
            "--peer" => o.peer = true,
            "--ci" => o.names.extend(CI.iter().map(|n| n.to_string())),
            "--jobs" => {
                o.jobs = args.next().and_then(|v| v.parse().ok()).ok_or("--jobs wants a number")?;
            }
            "--engine" => {
                let word = args.next().ok_or("--engine wants a name")?;
                o.engine = Engine::parse(word).map_err(|e| e.to_string())?;
            }
            "--mib" => {
                let n: usize = args.next().and_then(|v| v.parse().ok()).ok_or("--mib wants a number")?;
                o.big = n << 20;
            }
            "--minutes" => {
                let n: u64 = args.next().and_then(|v| v.parse().ok()).ok_or("--minutes wants a number")?;
                o.limit = Duration::from_secs(60 * n);
            }
            "--list" => {
                all_names().for_each(|name| println!("{name}"));
                return Ok(Tally::default());
            }
            name if all_names().any(|n| n == name || n.starts_with(&format!("{name}-"))) => {
                o.names.push(name.into())
            }
            other => return Err(format!("no guest '{other}'; --list names them")),
        }
    }
    let cache = Cache::open()?;
    let wanted = |name: &str| {
        o.names.is_empty() || o.names.iter().any(|n| name == n || name.starts_with(&format!("{n}-")))
    };
    let network = NETWORK.iter().filter(|(n, _)| wanted(n));
    let queue = Mutex::new(GUESTS.iter().filter(|(n, _)| wanted(n)));
    let cache = Mutex::new(cache);
    let tally = Mutex::new(Tally::default());
    for (name, case) in network {
        on_the_network(name, *case, &cache, &o, &tally);
    }
    std::thread::scope(|s| {
        for _ in 0..o.jobs.max(1) {
            s.spawn(|| {
                while let Some((name, make)) = next(&queue) {
                    one(name, *make, &cache, &o, &tally);
                }
            });
        }
    });
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn all_names() -> impl Iterator<Item = &'static str> {
    GUESTS.iter().map(|g| g.0).chain(NETWORK.iter().map(|g| g.0))
}

/// Runs a case of the network and counts it. One at a time: they measure.
fn on_the_network(name: &str, case: net::Case, cache: &Mutex<Cache>, o: &Options, tally: &Mutex<Tally>) {
    let started = Instant::now();
    let options = net::Options { engine: o.engine, limit: o.limit, big: o.big, peer: o.peer };
    let result = case(&cache.lock().unwrap_or_else(PoisonError::into_inner), &options);
    let seconds = started.elapsed().as_secs_f64();
    let said = result.map(|said| format!("ok ({seconds:.1} s): {said}"));
    tally.lock().unwrap_or_else(PoisonError::into_inner).case(name, o.required, said);
}

/// The next of a queue that several threads take from.
fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Runs a guest and counts it.
fn one(name: &str, make: Make, cache: &Mutex<Cache>, o: &Options, tally: &Mutex<Tally>) {
    let started = Instant::now();
    let result = run(name, make, cache, o);
    let said = result.map(|()| format!("ok ({:.1} s)", started.elapsed().as_secs_f64()));
    tally.lock().unwrap_or_else(PoisonError::into_inner).case(name, o.required, said);
}

fn run(name: &str, make: Make, cache: &Mutex<Cache>, o: &Options) -> Result<(), Failure> {
    let (runs, made) = {
        let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        (make(&cache).map_err(Failure::Missing)?, cache.made().map_err(Failure::Missing)?)
    };
    for guest in runs {
        run_one(name, guest, &made, o).map_err(Failure::Run)?;
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

/// Guest time that no run needs: hosts differ, guests don't. One that waits for what never comes is through it at once.
const PATIENCE: &str = "400s";

fn run_one(name: &str, guest: Guest, made: &Path, o: &Options) -> Result<(), String> {
    let Guest { mut config, script, end, check, scratch: _kept } = guest;
    config.clock = ClockKind::Virtual;
    config.engine = o.engine;
    config.script_text = Some(script);
    config.set("stop-after", Some(PATIENCE)).map_err(|e| e.to_string())?;
    let mut machine = Machine::new(config).map_err(|e| e.to_string())?;
    let mut io = Io { serial: Vec::new(), until: Instant::now() + o.limit, late: false };
    let outcome = machine.run(&mut io);
    let text = String::from_utf8_lossy(&io.serial).into_owned();
    let verdict = if io.late {
        Err("it took too long".to_owned())
    } else if outcome == Outcome::StopAfter {
        Err(format!("it had not done it after {PATIENCE} of its time"))
    } else if outcome != end {
        Err(format!("it ended with {outcome:?}, not {end:?}"))
    } else {
        check(&text)
    };
    if verdict.is_err() {
        let _ = std::fs::write(made.join(format!("{name}.serial.txt")), &io.serial);
        if let Ok(png) = machine.screenshot_png() {
            let _ = std::fs::write(made.join(format!("{name}.png")), png);
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
