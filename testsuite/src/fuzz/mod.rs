//! Fuzzers: plain functions of a seeded generator, run for as long as one likes by `testsuite -- fuzz NAME`, and briefly as
//! tests. A finding is printed so that it can be made again from its seed.
//!
//! - [`decode`]: any bytes, in any mode, on any model: no panic, lengths as they should be;
//! - [`flags`]: programs that make, keep and ask for status flags and fault in the end, on two engines;
//! - [`debug`]: what a debugger is given (`commands`, `expressions`, `recordings`, `snapshots`, `scripts`), and `packets` to
//!   gdb's port of the program;
//! - [`network`]: network cards by their ports (`card`), frames and the world at the built-in
//!   router (`router`), those of one of its servers (`dhcp`, `dns`, `tftp`);
//! - [`single`]: instructions from random bytes, natively and on an engine;
//! - [`program`]: random programs with loops and jumps, natively and on both engines, cut down to what matters.

pub mod debug;
pub mod decode;
pub mod flags;
pub mod network;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod program;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod single;

use crate::rng::Rng;
use crate::tally::Tally;
use lucid86_cpu::derived::Engine;
use std::time::{Duration, Instant};

/// What a round of a fuzzer found: nothing, or a text.
pub type Finding = Option<String>;

/// A fuzzer at work: one round with numbers from a generator.
pub type Round = Box<dyn FnMut(&mut Rng) -> Finding>;

/// The fuzzers by name.
pub const NAMES: &[&str] = &[
    "card",
    "router",
    "dhcp",
    "dns",
    "tftp",
    "decode",
    "flags",
    "single",
    "program",
    "commands",
    "expressions",
    "recordings",
    "snapshots",
    "scripts",
    "packets",
];

/// Makes a fuzzer ready. Programs are made without the encodings whose names start as `without` says.
pub fn fuzzer(name: &str, engine: Engine, without: &[String]) -> Result<Round, String> {
    match name {
        "card" => Ok(network::card()),
        "router" | "dhcp" | "dns" | "tftp" => network::router(name),
        "commands" => Ok(debug::commands()),
        "expressions" => Ok(debug::expressions()),
        "recordings" => Ok(debug::recordings()),
        "snapshots" => Ok(debug::snapshots()),
        "scripts" => Ok(debug::scripts()),
        "packets" => debug::packets(),
        "decode" => Ok(decode::fuzzer(engine)),
        "flags" if engine == Engine::Interpreter => {
            Err("flags: compares an engine with the interpreter: give --engine translator".into())
        }
        "flags" => flags::fuzzer(engine),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        "single" => single::fuzzer(engine),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        "program" => program::fuzzer(engine, without),
        other => Err(format!("no fuzzer '{other}' here; there are {}", NAMES.join(", "))),
    }
}

/// Runs rounds until the time is over or there are ten findings. The seed of each round follows from its number.
pub fn run(name: &str, mut round: Round, seed: u64, rounds: u64, until: Instant) -> Tally {
    let mut tally = Tally::default();
    for n in 0..rounds {
        if n % 8 == 0 && Instant::now() > until || tally.failed >= 10 {
            break;
        }
        match round(&mut Rng::new(seed.wrapping_add(n))) {
            None => tally.passed += 1,
            Some(text) => {
                tally.failed += 1;
                println!("{name}, seed {}: {text}", seed.wrapping_add(n));
            }
        }
    }
    tally
}

/// `fuzz NAME [--minutes N] [--seed N] [--rounds N] [--engine E] [--without PREFIX,...]`
pub fn command(args: &[String]) -> Result<Tally, String> {
    let mut args = args.iter();
    let name = args.next().ok_or(format!("fuzz wants a name: {}", NAMES.join(", ")))?;
    let (mut minutes, mut seed, mut rounds, mut engine) = (10, 1, u64::MAX, Engine::Interpreter);
    let mut without = Vec::new();
    while let Some(a) = args.next() {
        let value = args.next().ok_or(format!("{a} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{a} wants a number, not '{value}'"));
        match a.as_str() {
            "--minutes" => minutes = number()?,
            "--seed" => seed = number()?,
            "--rounds" => rounds = number()?,
            "--without" => without = value.split(',').map(str::to_owned).collect(),
            "--engine" => {
                engine = Engine::parse(value)
                    .ok_or(format!("--engine: '{value}' is not interpreter, translator or auto"))?;
            }
            other => return Err(format!("fuzz: '{other}' is no option of it")),
        }
    }
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    Ok(run(name, fuzzer(name, engine, &without)?, seed, rounds, until))
}
