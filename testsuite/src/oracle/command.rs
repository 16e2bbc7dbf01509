//! `oracle [--seed N] [--cases N] [--minutes N] [--engine E] [--only PREFIX] [--bits 32|64]`

use super::Effort;
use crate::tally::Tally;
use lucid86_cpu::derived::Engine;
use std::time::{Duration, Instant};

struct Options {
    engine: Engine,
    minutes: u64,
    effort: Effort,
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut o = Options {
        engine: Engine::Interpreter,
        minutes: 0,
        effort: Effort {
            seed: 1,
            each: 200,
            strict: super::amd(),
            only: String::new(),
            lines: 3,
            widths: [true, true],
        },
    };
    let mut args = args.iter();
    while let Some(a) = args.next() {
        let value = args.next().ok_or(format!("{a} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{a} wants a number, not '{value}'"));
        match a.as_str() {
            "--seed" => o.effort.seed = number()?,
            "--cases" => o.effort.each = number()?,
            "--minutes" => o.minutes = number()?,
            "--lines" => o.effort.lines = number()? as usize,
            "--only" => o.effort.only = value.clone(),
            "--bits" if value == "64" => o.effort.widths = [true, false],
            "--bits" if value == "32" => o.effort.widths = [false, true],
            "--engine" => {
                o.engine = Engine::parse(value)
                    .ok_or(format!("--engine: '{value}' is not interpreter, translator or auto"))?;
            }
            other => return Err(format!("oracle: '{other}' is no option of it")),
        }
    }
    Ok(o)
}

/// Runs the oracle, once or with one seed after another for as long as asked.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn command(args: &[String]) -> Result<Tally, String> {
    let mut o = options(args)?;
    let end = Instant::now() + Duration::from_secs(60 * o.minutes);
    let mut tally = Tally::default();
    loop {
        let report = super::run(o.engine, &o.effort)?;
        for line in &report.lines {
            println!("{line}");
        }
        if tally == Tally::default() {
            for line in &report.skipped {
                println!("skipped: {line}");
            }
            tally.skipped = report.skipped.len() as u64;
            let (c, s) = (report.covered, report.supported);
            println!("encodings: {} of {} in 64-bit code, {} of {} in 32-bit code", c[0], s[0], c[1], s[1]);
        }
        tally.passed += report.passed;
        tally.failed += report.failed;
        if Instant::now() >= end {
            return Ok(tally);
        }
        o.effort.seed = o.effort.seed.wrapping_add(1);
        println!("seed {}: {tally} so far", o.effort.seed);
    }
}

/// There is no host of our kind to ask.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub fn command(args: &[String]) -> Result<Tally, String> {
    options(args)?;
    println!("skipped: the host is not x86-64 Linux");
    Ok(Tally { skipped: 1, ..Tally::default() })
}
