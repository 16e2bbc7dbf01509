//! A machine with a live network, driven by a script, its serial output kept with the time of each line.

use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::{Config, HostIo, Machine, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How the cases are run.
#[derive(Clone)]
pub struct Options {
    /// On which engine.
    pub engine: Engine,
    /// Longest run.
    pub limit: Duration,
    /// Bytes of the large transfers.
    pub big: usize,
    /// Whether throughput is measured beside QEMU.
    pub peer: bool,
}

/// What came out of COM1, line by line.
#[derive(Default)]
pub struct Run {
    /// All of it.
    pub text: String,
    lines: Vec<(Instant, String)>,
}

impl Run {
    /// What came now.
    pub fn add(&mut self, bytes: &[u8]) {
        for c in String::from_utf8_lossy(bytes).chars() {
            self.text.push(c);
            if self.lines.is_empty() || c == '\n' {
                self.lines.push((Instant::now(), String::new()));
            } else if let Some(last) = self.lines.last_mut() {
                if last.1.is_empty() {
                    last.0 = Instant::now();
                }
                last.1.push(c);
            }
        }
    }

    /// When a line that starts with `mark` began.
    pub fn at(&self, mark: &str) -> Option<Instant> {
        self.lines.iter().find(|l| l.1.starts_with(mark)).map(|l| l.0)
    }

    /// Seconds between two lines.
    pub fn seconds(&self, from: &str, to: &str) -> Option<f64> {
        Some(self.at(to)?.duration_since(self.at(from)?).as_secs_f64())
    }

    /// The last lines, for messages.
    pub fn tail(&self) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

struct Io {
    run: Run,
    until: Instant,
    late: bool,
    stop: Arc<AtomicBool>,
}

impl HostIo for Io {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if port == 0 {
            self.run.add(bytes);
        }
    }

    fn quit(&mut self) -> bool {
        self.late |= Instant::now() > self.until;
        self.late || self.stop.load(Ordering::Relaxed)
    }

    fn tick(&mut self, _view: &dyn lucid86_machine::View) -> Option<Duration> {
        Some(Duration::from_millis(100))
    }
}

/// Runs a machine with its network plugged in until its script quits or `stop` is set.
pub fn run(config: &Config, script: &str, o: &Options, stop: &Arc<AtomicBool>) -> Result<Run, String> {
    let mut config = config.clone();
    config.clock = ClockKind::Host;
    config.engine = o.engine;
    config.script_text = Some(script.into());
    let mut machine = Machine::new(config).map_err(|e| e.to_string())?;
    machine.plug_in(&(Arc::new(|line: &str| println!("  {line}")) as _)).map_err(|e| e.to_string())?;
    let until = Instant::now() + o.limit;
    let mut io = Io { run: Run::default(), until, late: false, stop: Arc::clone(stop) };
    let outcome = machine.run(&mut io);
    if io.late {
        return Err(format!("it took too long; the end of COM1:\n{}", io.run.tail()));
    }
    match outcome {
        Outcome::Quit | Outcome::PowerOff => Ok(io.run),
        other => Err(format!("it ended with {other:?}; the end of COM1:\n{}", io.run.tail())),
    }
}
