//! The speed yardstick's guest programs on our engines, and beside other emulators, in alternating runs.
//!
//! The yardstick (`shared/perf/README.md`) is a folder that its own `build.sh` has filled with kernels and images. Each guest
//! prints `@S NAME` and `@E NAME chk=SUM` around a test; time is taken at those lines, of the wall and of the emulator's
//! process (proc(5), `schedstat`). A sum that differs between emulators is a failure: a fast wrong answer shows.

use crate::tally::Tally;
use lucid86_machine::config::{Config, Display};
use lucid86_machine::{HostIo, Machine};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tests that one boot runs.
const GROUP: usize = 8;
/// How long one boot may take.
const PATIENCE: Duration = Duration::from_secs(600);

const USAGE: &str = "speed DIR [--suite linux-amd64|linux-i386|bare] [--tests A,B] [--scale N] [--runs N] \
                     [--engines A,B] [--peer]";

struct Options {
    dir: PathBuf,
    suite: String,
    tests: Vec<String>,
    scale: u32,
    runs: u32,
    engines: Vec<String>,
    peer: bool,
}

fn parse(args: &[String]) -> Result<Options, String> {
    use lexopt::prelude::*;
    let mut o = Options {
        dir: PathBuf::new(),
        suite: "linux-amd64".into(),
        tests: Vec::new(),
        scale: 30,
        runs: 3,
        engines: vec!["translator".into(), "interpreter".into()],
        peer: false,
    };
    let mut p = lexopt::Parser::from_args(args);
    let text = |p: &mut lexopt::Parser| p.value().and_then(|v| v.string()).map_err(|e| e.to_string());
    let list = |s: String| s.split(',').map(str::to_owned).collect::<Vec<_>>();
    while let Some(arg) = p.next().map_err(|e| e.to_string())? {
        match arg {
            Long("suite") => o.suite = text(&mut p)?,
            Long("tests") => o.tests = list(text(&mut p)?),
            Long("engines") => o.engines = list(text(&mut p)?),
            Long("scale") => o.scale = text(&mut p)?.parse().map_err(|_| "--scale takes a number")?,
            Long("runs") => o.runs = text(&mut p)?.parse().map_err(|_| "--runs takes a number")?,
            Long("peer") => o.peer = true,
            Value(v) if o.dir.as_os_str().is_empty() => o.dir = v.into(),
            other => return Err(format!("{}\nusage: {USAGE}", other.unexpected())),
        }
    }
    if !o.dir.join("out").is_dir() {
        return Err(format!("'{}' is not a built yardstick: it has no folder 'out'", o.dir.display()));
    }
    if !["linux-amd64", "linux-i386", "bare"].contains(&o.suite.as_str()) {
        return Err(format!("--suite: '{}' is not linux-amd64, linux-i386 or bare", o.suite));
    }
    Ok(o)
}

/// What one emulator's run of one test gave.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    wall_s: f64,
    cpu_s: f64,
    sum: String,
}

/// Runs the tests and prints a table: medians in seconds of CPU time, ratios of paired runs to the first column's.
pub fn command(args: &[String]) -> Result<Tally, String> {
    if args.first().is_some_and(|a| a == "--run") {
        run_guest(&args[1..])?;
        std::process::exit(0);
    }
    let o = parse(args)?;
    let mut names = o.engines.clone();
    if o.peer {
        for peer in ["qemu-system-x86_64", "bochs"] {
            let fits = peer != "bochs" || o.suite == "bare";
            if fits && installed(peer) {
                names.insert(0, peer.into());
            } else {
                println!(
                    "skipped: {peer} {}",
                    if fits { "isn't installed" } else { "runs only the suite 'bare'" }
                );
            }
        }
    }
    let tests = if o.suite == "bare" || !o.tests.is_empty() { o.tests.clone() } else { all_tests(&o)? };
    let groups: Vec<&[String]> = if o.suite == "bare" { vec![&[]] } else { tests.chunks(GROUP).collect() };
    // By test, by emulator: a sample for each run.
    let mut samples: BTreeMap<String, BTreeMap<String, Vec<Sample>>> = BTreeMap::new();
    for run in 0..o.runs {
        for group in &groups {
            let mut order: Vec<&String> = names.iter().collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for name in order {
                let child = start(&o, name, group)?;
                for (test, s) in measure(child)? {
                    samples.entry(test).or_default().entry(name.clone()).or_default().push(s);
                }
            }
        }
    }
    Ok(print(&names, &samples))
}

fn installed(program: &str) -> bool {
    let found = |dir: &Path| dir.join(program).is_file();
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| found(&d)))
}

/// The names of a Linux suite's tests, from the yardstick's own program.
fn all_tests(o: &Options) -> Result<Vec<String>, String> {
    let program = o.dir.join("out").join(o.suite.replace("linux-", "bench-"));
    let out =
        Command::new(&program).arg("--list").output().map_err(|e| format!("{}: {e}", program.display()))?;
    let text = String::from_utf8_lossy(&out.stdout);
    Ok(text.split_whitespace().filter(|t| *t != "nop").map(str::to_owned).collect())
}

/// Words for our machine, as on the command line.
fn words(o: &Options, tests: &[String]) -> Vec<(String, String)> {
    let out = o.dir.join("out");
    let path = |name: String| out.join(name).to_string_lossy().into_owned();
    let word = |k: &str, v: String| (k.to_owned(), v);
    match o.suite.strip_prefix("linux-") {
        Some(arch) => vec![
            word("memory", "512M".into()),
            word("kernel", path(format!("vmlinuz-{arch}"))),
            word("initrd", path(format!("initrd-{arch}.gz"))),
            word(
                "append",
                format!("console=ttyS0,115200 panic=-1 quiet bench={} bscale={}", tests.join(","), o.scale),
            ),
        ],
        None => vec![word("memory", "128M".into()), word("fda", path("bare10-floppy.img".into()))],
    }
}

fn start(o: &Options, name: &str, tests: &[String]) -> Result<Child, String> {
    let words = words(o, tests);
    let of = |k: &str| words.iter().find(|w| w.0 == k).map(|w| w.1.clone()).unwrap_or_default();
    let mut c = match name {
        "qemu-system-x86_64" => {
            let mut c = Command::new(name);
            c.args(
                "-accel tcg,thread=single -display none -serial stdio -monitor none -no-reboot".split(' '),
            );
            c.args("-net none -device isa-debug-exit,iobase=0xf4,iosize=4 -m".split(' '));
            c.arg(of("memory"));
            if o.suite == "bare" {
                let drive = format!("file={},format=raw,if=floppy,snapshot=on", of("fda"));
                c.args(["-drive", &drive, "-boot", "a"]);
            } else {
                c.args(["-kernel", &of("kernel"), "-initrd", &of("initrd"), "-append", &of("append")]);
            }
            c
        }
        "bochs" => {
            let mut c = Command::new(o.dir.join("run_bochs.sh"));
            c.args(["bare", &of("fda"), "128"]);
            c
        }
        engine => {
            let me = std::env::current_exe().map_err(|e| e.to_string())?;
            let mut c = Command::new(me);
            c.args(["speed", "--run", "engine", engine]);
            for (k, v) in &words {
                c.args([k, v]);
            }
            c
        }
    };
    c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    c.spawn().map_err(|e| format!("{name}: {e}"))
}

/// CPU time of a process, all its threads.
fn cpu_seconds(pid: u32) -> f64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let ns = |p: PathBuf| {
        let text = std::fs::read_to_string(p.join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.flatten().map(|t| ns(t.path())).sum::<u64>() as f64 / 1e9
}

fn measure(mut child: Child) -> Result<Vec<(String, Sample)>, String> {
    let pid = child.id();
    let Some(out) = child.stdout.take() else { return Err("no output".into()) };
    let started = Instant::now();
    let (mut begun, mut done) = (BTreeMap::new(), Vec::new());
    for line in BufReader::new(out).split(b'\n') {
        let line = String::from_utf8_lossy(&line.map_err(|e| e.to_string())?).into_owned();
        let (wall, cpu) = (Instant::now(), cpu_seconds(pid));
        match marker(&line) {
            Some(Marker::Start(name)) => _ = begun.insert(name.to_owned(), (wall, cpu)),
            Some(Marker::End(name, sum)) => {
                if let Some((w, c)) = begun.remove(name) {
                    let s = Sample { wall_s: (wall - w).as_secs_f64(), cpu_s: cpu - c, sum: sum.to_owned() };
                    done.push((name.to_owned(), s));
                }
            }
            None => {}
        }
        if line.contains("@DONE") || started.elapsed() > PATIENCE {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Ok(done)
}

#[derive(Debug, PartialEq)]
enum Marker<'a> {
    Start(&'a str),
    End(&'a str, &'a str),
}

/// A marker line of the guest, wherever on the line it stands.
fn marker(line: &str) -> Option<Marker<'_>> {
    if let Some((_, rest)) = line.split_once("@S ") {
        return Some(Marker::Start(rest.split_whitespace().next()?));
    }
    let (_, rest) = line.split_once("@E ")?;
    let mut words = rest.split_whitespace();
    let name = words.next()?;
    let sum = words.find_map(|w| w.strip_prefix("chk=")).unwrap_or("");
    Some(Marker::End(name, sum))
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    match v.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => v[n / 2],
        n => (v[n / 2 - 1] + v[n / 2]) / 2.0,
    }
}

fn print(names: &[String], samples: &BTreeMap<String, BTreeMap<String, Vec<Sample>>>) -> Tally {
    let mut tally = Tally::default();
    let mut logs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    println!("CPU seconds, median (wall in brackets); then the ratio to {}", names[0]);
    for (test, by) in samples {
        let sums: Vec<&str> = by.values().flatten().map(|s| s.sum.as_str()).collect();
        let same = sums.windows(2).all(|w| w[0] == w[1]);
        if !same {
            tally.failed += 1;
        } else if by.len() == names.len() {
            tally.passed += 1;
        } else {
            tally.skipped += 1;
        }
        let mut line = format!("{test:<14}");
        let base = by.get(&names[0]);
        for name in names {
            let Some(s) = by.get(name) else {
                line += "  not measured";
                continue;
            };
            let cpu = median(s.iter().map(|s| s.cpu_s).collect());
            let wall = median(s.iter().map(|s| s.wall_s).collect());
            line += &format!("  {name} {cpu:.3} ({wall:.3})");
            if let Some(base) = base.filter(|_| *name != names[0]) {
                let pairs = s.iter().zip(base).filter(|(_, b)| b.cpu_s > 0.0);
                let ratio = median(pairs.map(|(a, b)| a.cpu_s / b.cpu_s).collect());
                line += &format!(" x{ratio:.3}");
                if ratio > 0.0 {
                    logs.entry(name).or_default().push(ratio.ln());
                }
            }
        }
        println!("{line}{}", if same { "" } else { "  CHECKSUMS DIFFER" });
    }
    for (name, l) in logs {
        println!(
            "{name}: geometric mean x{:.3} of {} tests",
            (l.iter().sum::<f64>() / l.len() as f64).exp(),
            l.len()
        );
    }
    tally
}

/// Prints COM1.
struct Out;

impl HostIo for Out {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if port == 0 {
            let mut out = std::io::stdout();
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
    }
}

/// One of our machines in a process of its own: words in pairs.
fn run_guest(args: &[String]) -> Result<(), String> {
    let mut config =
        Config { display: Some(Display::None), no_reboot: true, discard_writes: true, ..Config::default() };
    for pair in args.chunks(2) {
        if let [k, v] = pair {
            config.set(k, Some(v)).map_err(|e| e.to_string())?;
        }
    }
    let mut machine = Machine::new(config).map_err(|e| e.to_string())?;
    machine.run(&mut Out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_anywhere_on_a_line() {
        assert_eq!(marker("[    1.2] @S fib\r"), Some(Marker::Start("fib")));
        assert_eq!(marker("@E fib chk=0017 t=0.5"), Some(Marker::End("fib", "0017")));
        assert_eq!(marker("@E odd"), Some(Marker::End("odd", "")));
        assert_eq!(marker("nothing here"), None);
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn a_folder_that_is_no_yardstick_is_named() {
        let e = command(&["/nowhere".to_owned()]).unwrap_err();
        assert!(e.contains("/nowhere") && e.contains("not a built yardstick"), "{e}");
    }
}
