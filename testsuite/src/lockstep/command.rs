//! `lockstep [GUEST...] [--vary] [--engines A,B] [--every N] [--limit N] [--minutes N] [--seed N] [machine words]`

use super::{Plan, Verdict, Way, run};
use crate::guests::fetch::Cache;
use crate::guests::list::GUESTS;
use crate::tally::Tally;
use lucid86_machine::Config;
use lucid86_machine::config::{Engine, WORDS, WordKind};
use std::time::{Duration, Instant};

struct Options {
    names: Vec<String>,
    engines: [Engine; 2],
    vary: bool,
    narrow: bool,
    every: u64,
    limit: u64,
    minutes: u64,
    seed: u64,
    words: Config,
    own: bool,
}

/// Runs guests of the suite, or the machine that words of the command line describe.
pub fn command(args: &[String]) -> Result<Tally, String> {
    let o = options(args)?;
    let mut tally = Tally::default();
    if o.own {
        let config = o.words.clone();
        one("machine", config, &o, &mut tally)?;
        return Ok(tally);
    }
    let cache = Cache::open()?;
    for (name, make) in GUESTS {
        let wanted =
            o.names.is_empty() || o.names.iter().any(|n| name == n || name.starts_with(&format!("{n}-")));
        if !wanted {
            continue;
        }
        match make(&cache) {
            Err(e) => {
                println!("{name}: skipped: {e}");
                tally.skipped += 1;
            }
            Ok(runs) => {
                for guest in runs {
                    let mut config = guest.config;
                    config.script_text = Some(guest.script);
                    if let Err(e) = one(name, config, &o, &mut tally) {
                        println!("{name}: skipped: {e}");
                        tally.skipped += 1;
                    }
                }
            }
        }
    }
    Ok(tally)
}

fn one(name: &str, config: Config, o: &Options, tally: &mut Tally) -> Result<(), String> {
    let started = Instant::now();
    let plan = Plan {
        config,
        ways: [
            Way::engine(o.engines[0]),
            Way { vary: o.vary.then_some(o.seed), ..Way::engine(o.engines[1]) },
        ],
        every: o.every,
        limit: o.limit,
        until: (o.minutes > 0).then(|| started + Duration::from_secs(60 * o.minutes)),
        narrow: o.narrow,
    };
    let verdict = run(&plan)?;
    let seconds = started.elapsed().as_secs_f64();
    match verdict {
        Verdict::Same(n, end) => {
            tally.passed += 1;
            let end = end.map_or("the limit".into(), |e| format!("{e:?}"));
            println!("{name}: the same over {n} instructions, up to {end} ({seconds:.1} s)");
        }
        Verdict::Differ(text) => {
            tally.failed += 1;
            println!("{name}: DIFFERENT ({seconds:.1} s)\n{text}");
        }
    }
    Ok(())
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut o = Options {
        names: Vec::new(),
        engines: [Engine::Interpreter, Engine::Translator],
        vary: false,
        narrow: true,
        every: 1 << 20,
        limit: u64::MAX,
        minutes: 0,
        seed: 1,
        words: Config::default(),
        own: false,
    };
    let mut engines = None;
    let mut args = args.iter();
    while let Some(a) = args.next() {
        let mut number = |name: &str| -> Result<u64, String> {
            args.next().and_then(|v| v.parse().ok()).ok_or(format!("{name} wants a number"))
        };
        match a.as_str() {
            "--every" => o.every = number(a)?.max(1),
            "--limit" => o.limit = number(a)?,
            "--minutes" => o.minutes = number(a)?,
            "--seed" => o.seed = number(a)?,
            "--vary" => o.vary = true,
            "--no-narrow" => o.narrow = false,
            "--engines" => {
                let text = args.next().ok_or("--engines wants two names: interpreter,translator")?;
                let (a, b) = text.split_once(',').ok_or("--engines wants two names with a comma between")?;
                engines = Some([Engine::parse(a)?, Engine::parse(b)?]);
            }
            word if word.starts_with("--") => {
                let name = &word[2..];
                let known = WORDS.iter().find(|w| w.name == name);
                let flag = known.is_some_and(|w| w.kind == WordKind::Flag);
                let value = if flag { None } else { args.next().map(String::as_str) };
                o.words.set(name, value).map_err(|e| e.to_string())?;
                o.own = true;
            }
            name if GUESTS.iter().any(|(n, _)| *n == name || n.starts_with(&format!("{name}-"))) => {
                o.names.push(name.into());
            }
            other => return Err(format!("no guest '{other}'; `guests --list` names them")),
        }
    }
    o.engines = match engines {
        Some(e) => e,
        None if o.vary => [Engine::Interpreter; 2],
        None => o.engines,
    };
    Ok(o)
}
