//! What a debugger is given: commands, expressions, recordings, snapshots and scripts, whole and damaged, against a machine
//! with the tour in it; and packets against the program itself. Nothing may panic or hang; what is refused is refused in a line.

use super::{Finding, Round};
use crate::rng::Rng;
use lucid86_machine::config::ClockKind;
use lucid86_machine::debug::command::{Act, Session, complete};
use lucid86_machine::debug::expr::Expr;
use lucid86_machine::debug::{Goal, Motion};
use lucid86_machine::{Config, Input, Key, Machine, NoIo, Until, View};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Beginnings of commands that are tried; every other command is found by its name in the help.
const WORDS: &[&str] = &[
    "x/16xb",
    "x/5i",
    "x/s",
    "xp",
    "x/999999999x",
    "print",
    "set",
    "symbols",
    "symbol",
    "goto",
    "checkpoint",
    "cut",
    "back",
    "step",
    "next",
    "until",
    "rc",
    "break",
    "watch",
    "awatch",
    "mmio",
    "vector",
    "port",
    "condition",
    "walk",
];

const ARGUMENTS: &[&str] = &[
    "",
    "0",
    "rax",
    "0xffffffffffffffff",
    "0x7c00",
    "F000:FFF0",
    "-1",
    "byte[rsp]",
    "phys 0x1000 4",
    "0x200000 8 if ecx == 5",
    "1-2",
    "3 == 4",
    "rax = 5",
    "byte[0x500] = 0x90",
    "qword[-4] = 1",
    "time 3ms",
    "((((",
    "1/0",
    "all",
    "linux",
    "bios",
    "load /no/such",
    "x",
    "\u{0}",
    "0x100000 0xffffffffffffffff",
    "cs:eip",
    "1 2 3",
    "pc",
    "com1",
    "vga",
    "pics",
    "on",
    "off",
    "offset",
    "linear",
    "99999999999999999999",
    "if",
    "rip+-1",
    "0 - 1 64",
];

const EXPRESSIONS: &[&str] = &[
    "rax == 5 && byte[rsp+8] != 0",
    "phys dword[0x1000]",
    "start_kernel+4",
    "F000:FFF0",
    "cs:eip",
    "-1 >> 63",
    "(1+2)*3 % 7 | ~4 ^ !0",
    "[[[0x7c00]]]",
    "*rsp",
    "1 << 64",
    "word[0xffffffffffffffff]",
    "1 || 1/0",
    "0x10_00h",
];

const SCRIPT: &str = "wait 500ms\nkey 2\nwait screen \"mode\"\nkey ctrl-alt-delete\ntype \"a\\tb\\\"c\"\nserial \"x\\n\"\n\
                      wait serial \"y\"\nscreenshot /dev/null\nwait 3s\nquit\n";

fn damage(r: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + r.below(8) {
        if bytes.is_empty() {
            return;
        }
        let at = r.below(bytes.len() as u64) as usize;
        match r.below(5) {
            0 => bytes[at] = r.bits() as u8,
            1 => bytes[at] ^= 1 << r.below(8),
            2 if r.one_in(4) => bytes.truncate(at),
            3 => {
                let n = r.below(1 + (bytes.len() - at).min(16) as u64) as usize;
                let copy = bytes[at..at + n].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.insert(at, r.bits() as u8),
        }
    }
}

fn text(r: &mut Rng, from: &str) -> String {
    let mut bytes = from.as_bytes().to_vec();
    if !r.one_in(3) {
        damage(r, &mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tour(clock: ClockKind, memory: u64) -> Config {
    Config {
        memory,
        clock,
        built_in_floppy: Some(lucid86_examples::tour::floppy_image()),
        ..Config::default()
    }
}

fn machine(config: Config) -> Machine {
    Machine::new(config).expect("the tour's machine")
}

/// An error is one line.
fn line(what: &str, e: &str) -> Finding {
    (e.is_empty() || e.trim_end().contains('\n')).then(|| format!("{what:?}: {e:?}"))
}

/// Whether a command may write a file (or read one with more commands): those are left out.
fn writes_files(text: &str) -> bool {
    let first = text.trim_start().split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
    let first = first.to_ascii_lowercase();
    let files = ["postmortem", "save", "screenshot", "source"];
    text.contains("export") || !first.is_empty() && files.iter().any(|f| f.starts_with(&first))
}

/// Commands of the monitor.
pub fn commands() -> Round {
    let mut m = machine(tour(ClockKind::Virtual, 8 << 20));
    m.keep_history(32 << 20);
    m.run_until(&mut NoIo, Until { time_ns: Some(50_000_000), ..Until::default() });
    let mut s = Session::default();
    let help = m.command(&mut s, "help").map(|h| h.0).unwrap_or_default();
    let names: Vec<String> = help
        .lines()
        .filter_map(|l| l.strip_prefix("  ")?.split([',', ' ']).next().map(str::to_owned))
        .filter(|n| {
            !matches!(n.as_str(), "quit" | "postmortem" | "save" | "screenshot" | "source" | "continue")
        })
        .collect();
    Box::new(move |r| {
        let n = r.below(ARGUMENTS.len() as u64) as usize;
        let word = if r.one_in(2) {
            r.pick(WORDS).to_owned()
        } else {
            names[r.below(names.len() as u64) as usize].clone()
        };
        let text = text(r, &format!("{word} {}", ARGUMENTS[n]));
        if writes_files(&text) {
            return None;
        }
        complete(&m, &text);
        let mut found = None;
        match m.command(&mut s, &text) {
            Ok((_, Act::Move(motion))) => {
                let small = matches!(motion, Motion::Step(_, 0..5000) | Motion::ReverseStep(..));
                let limit = Motion::Count(m.count() + 1000);
                let stopped = m.debug_move(&mut NoIo, if small { motion } else { limit });
                m.describe(&mut s, &stopped);
            }
            Ok(_) => {}
            Err(e) => found = line(&text, &e),
        }
        if r.one_in(50) {
            m.debugger().remove_where(|_| true);
        }
        found
    })
}

/// Expressions.
pub fn expressions() -> Round {
    let mut m = machine(tour(ClockKind::Virtual, 8 << 20));
    m.run_until(&mut NoIo, Until { time_ns: Some(50_000_000), ..Until::default() });
    Box::new(move |r| {
        let from = r.pick(EXPRESSIONS);
        let mut t = text(r, from);
        if r.one_in(3) {
            let (between, from) = (r.pick(&["+", "&&", ":", "[", "(", " "]), r.pick(EXPRESSIONS));
            t = format!("{t}{between}{}", text(r, from));
        }
        let done = Expr::parse(&t).and_then(|e| e.value(&m.eyes(0)));
        done.err().and_then(|e| line(&t, &e))
    })
}

/// Recordings: read, replayed for a while.
pub fn recordings() -> Round {
    let mut m = machine(tour(ClockKind::Host, 4 << 20));
    m.start_log();
    let to = m.connect();
    for key in [Key::ESC, Key::ENTER, Key::SPACE] {
        let _ = to.send(Input::Key { key, down: true });
        let until = m.count() + 200_000;
        m.run_until(&mut NoIo, Until { count: Some(until), ..Until::default() });
    }
    let whole = m.recording();
    drop(m);
    // Its only piece: length and checksum stand before the body.
    let body = |i: &usize| (whole.len() - i).to_le_bytes() == whole[i - 16..i - 8];
    let body = (16..whole.len()).find(body).expect("a piece");
    Box::new(move |r| {
        let mut bytes = whole.clone();
        damage(r, &mut bytes);
        // Most of it is to come through to whoever reads the body.
        if !r.one_in(4) && bytes.len() > body {
            let (len, sum) = (bytes.len() - body, xxhash_rust::xxh3::xxh3_64(&bytes[body..]));
            bytes[body - 16..body - 8].copy_from_slice(&len.to_le_bytes());
            bytes[body - 8..body].copy_from_slice(&sum.to_le_bytes());
        }
        let mut m = machine(tour(ClockKind::Host, 4 << 20));
        match m.replay(&bytes) {
            Err(e) => line("recording", &e.to_string()),
            Ok(()) => {
                let _ = m.debug_run(&mut NoIo, Goal::Count(100_000));
                None
            }
        }
    })
}

/// Snapshots: loaded, run for a while.
pub fn snapshots() -> Round {
    let mut m = machine(tour(ClockKind::Virtual, 4 << 20));
    m.run_until(&mut NoIo, Until { time_ns: Some(60_000_000), ..Until::default() });
    let whole = m.save().expect("a state");
    Box::new(move |r| {
        let mut bytes = whole.clone();
        damage(r, &mut bytes);
        match m.load(&bytes) {
            Err(e) => line("snapshot", &e.to_string()),
            Ok(()) => {
                let count = m.count().saturating_add(20_000);
                let _ = m.debug_run(&mut NoIo, Goal::Count(count));
                m = machine(tour(ClockKind::Virtual, 4 << 20));
                None
            }
        }
    })
}

/// Scripts: read, followed for a while.
pub fn scripts() -> Round {
    Box::new(|r| {
        let t = text(r, SCRIPT);
        // Files are not written here.
        if t.contains("shot") && !t.contains("/dev/null\n") {
            return None;
        }
        let config = Config { script_text: Some(t.clone()), ..tour(ClockKind::Virtual, 2 << 20) };
        match Machine::new(config) {
            Err(e) => line(&t, &e.to_string()),
            Ok(mut m) => {
                m.run_until(&mut NoIo, Until { count: Some(100_000), ..Until::default() });
                None
            }
        }
    })
}

/// Packets as gdb sends them (GDB manual, appendix E).
const PACKETS: &[&str] = &[
    "qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;vContSupported+",
    "vMustReplyEmpty",
    "QStartNoAckMode",
    "Hgp0.0",
    "qXfer:features:read:target.xml:0,ffb",
    "qTStatus",
    "?",
    "qfThreadInfo",
    "qsThreadInfo",
    "qC",
    "Hc-1",
    "qAttached",
    "g",
    "G0000",
    "p10",
    "P10=0000000000000000",
    "p3ff",
    "m7c00,10",
    "m7c00,ffffffff",
    "mffffffffffffffff,10",
    "M7c00,2:9090",
    "X7c00,2:ab",
    "Z0,7c00,1",
    "z0,7c00,1",
    "Z2,500,4",
    "Z3,500,0",
    "Z4,ffffffffffffffff,ffffffff",
    "z2,500,4",
    "vCont?",
    "vCont;s:1",
    "vCont;c",
    "vCont;s:p1.1;c",
    "bs",
    "bc",
    "s",
    "qRcmd,68656c70",
    "qRcmd,787878",
    "qRcmd,zz",
    "T1",
    "T99",
    "qThreadExtraInfo,1",
    "D",
    "R0",
    "vKill;1",
    "vRun;",
    "qSymbol::",
    "Qqemu.PhyMemMode:1",
];

/// Longest time that anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program with gdb's port open.
struct Served {
    child: Child,
    port: u16,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(program: &std::path::Path) -> Option<Served> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let mut command = Command::new(program);
        command.args([
            "--clock",
            "virtual",
            "--display",
            "none",
            "--serial",
            "none",
            "--memory",
            "8M",
            "--history",
            "16M",
        ]);
        command.args(["--gdb", &format!("127.0.0.1:{port}"), "--paused"]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        Some(Served { child, port })
    }

    /// `None` if it has ended or doesn't hear.
    fn connect(&mut self) -> Option<TcpStream> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            if let Ok(s) = TcpStream::connect(("127.0.0.1", self.port)) {
                s.set_read_timeout(Some(Duration::from_millis(2))).ok()?;
                return Some(s);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// What it said at its end, if that was none of ours: a panic (status 101) or a signal.
    fn died(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        if status.code().is_some_and(|c| c != 101) {
            return Some(String::new());
        }
        let mut said = String::new();
        let _ = self.child.stderr.take()?.read_to_string(&mut said);
        Some(format!("{status}: {said}"))
    }
}

fn packet(r: &mut Rng) -> Vec<u8> {
    let mut body = r.pick(PACKETS).as_bytes().to_vec();
    if r.one_in(2) {
        damage(r, &mut body);
    }
    let sum = body.iter().fold(0u8, |s, b| s.wrapping_add(*b));
    let mut all = format!("${}#{sum:02x}", "").into_bytes();
    all.splice(1..1, body);
    if r.one_in(10) {
        damage(r, &mut all);
    }
    all
}

/// Packets to gdb's port. An error where the program isn't built beside the suite, or nobody can connect to it.
pub fn packets() -> Result<Round, String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let beside = here.ancestors().skip(1).map(|d| d.join("lucid86")).find(|p| p.is_file());
    let program = beside.ok_or("the program lucid86 is not built beside the suite")?;
    let mut served = Served::start(&program);
    if served.as_mut().and_then(Served::connect).is_none() {
        return Err(format!("{} opens no port for gdb", program.display()));
    }
    let mut sent = String::new();
    Ok(Box::new(move |r| {
        if served.is_none() {
            served = Served::start(&program);
        }
        let Some(s) = served.as_mut() else { return Some("the program can't be started again".into()) };
        let wrong = match s.connect() {
            Some(stream) => {
                sent.clear();
                session(r, stream, &mut sent)
            }
            None => Some("gdb's port isn't heard any more".into()),
        };
        // A packet may have ended it: the next round starts another one.
        let wrong = s.died().or(wrong)?;
        served = None;
        (!wrong.is_empty()).then(|| format!("{wrong} after {sent}"))
    }))
}

/// One session; what was wrong with its end.
fn session(r: &mut Rng, mut stream: TcpStream, sent: &mut String) -> Option<String> {
    for _ in 0..1 + r.below(24) {
        let p = if r.one_in(40) { vec![3] } else { packet(r) };
        *sent += &format!("{} ", p.escape_ascii());
        if stream.write_all(&p).is_err() {
            break;
        }
        if r.one_in(3) {
            let _ = stream.read(&mut [0; 4096]);
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match stream.read(&mut [0; 4096]) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(n) if n > 0 => {}
            _ => return None,
        }
    }
    Some("a session that its client has left doesn't end".into())
}
