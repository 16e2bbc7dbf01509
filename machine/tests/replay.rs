//! Recordings replay to the same state on either engine; saved states go on alike; nonsense in any file or command is an
//! error, never a panic.

mod common;

use common::{TempFile, config, kernel};
use iced_x86::code_asm::*;
use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::debug::command::{Act, Session};
use lucid86_machine::debug::{Goal, Why};
use lucid86_machine::{Config, Input, Key, Machine, NoIo, Outcome, Until, View};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Counts keys (scan codes from port 60h) and spins between them; after eight it ends.
fn keys(a: &mut CodeAssembler) {
    let mut next = a.create_label();
    a.xor(ebx, ebx).unwrap();
    a.set_label(&mut next).unwrap();
    a.inc(dword_ptr(0x20_0000)).unwrap();
    a.in_(al, 0x64).unwrap();
    a.test(al, 1).unwrap();
    a.jz(next).unwrap();
    a.in_(al, 0x60).unwrap();
    a.movzx(eax, al).unwrap();
    a.imul_2(ebx, eax).unwrap();
    a.add(ebx, eax).unwrap();
    a.inc(edi).unwrap();
    a.cmp(edi, 8).unwrap();
    a.jb(next).unwrap();
    a.mov(al, 1).unwrap();
    a.out(0xf4, al).unwrap();
}

fn guest(name: &str) -> (TempFile, PathBuf) {
    let file = TempFile::new(name, &kernel(keys));
    let path = file.0.clone();
    (file, path)
}

fn with(kernel: &Path, clock: ClockKind, engine: Engine) -> Config {
    let mut c = Config { kernel: Some(kernel.to_owned()), clock, engine, ..config() };
    c.stop_after = None;
    c
}

/// Records a run under the host's clock with keys that arrive when they do.
fn record(kernel: &Path, engine: Engine) -> (Vec<u8>, u64, u64) {
    let mut m = Machine::new(with(kernel, ClockKind::Host, engine)).expect("a machine");
    m.start_log();
    let to = m.connect();
    let typist = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        for key in [Key::ESC, Key::ENTER, Key::SPACE, Key::TAB, Key::ALT, Key::CTRL] {
            for down in [true, false] {
                let _ = to.send(Input::Key { key, down });
                std::thread::sleep(Duration::from_millis(7));
            }
        }
    });
    assert_eq!(m.run(&mut NoIo), Outcome::DebugExit(1));
    typist.join().expect("the typist");
    (m.recording(), m.state_hash(), m.count())
}

#[test]
fn a_recording_replays_to_the_same_state_on_either_engine() {
    let (_file, path) = guest("replay");
    for made_by in [Engine::Auto, Engine::Interpreter] {
        let (bytes, hash, count) = record(&path, made_by);
        for engine in [Engine::Auto, Engine::Interpreter] {
            let file = TempFile::new("recording", &bytes);
            let c = Config { replay: Some(file.0.clone()), ..with(&path, ClockKind::Host, engine) };
            let mut m = Machine::new(c).expect("a machine");
            assert_eq!(m.run(&mut NoIo), Outcome::DebugExit(1));
            assert_eq!((m.state_hash(), m.count()), (hash, count), "made by {made_by:?}, on {engine:?}");
        }
    }
}

#[test]
fn the_past_of_a_live_run_is_what_it_was() {
    let (_file, path) = guest("past");
    let mut m = Machine::new(with(&path, ClockKind::Host, Engine::Auto)).expect("a machine");
    m.keep_history(256 << 20);
    let to = m.connect();
    std::thread::spawn(move || {
        for key in [Key::ESC, Key::ENTER, Key::SPACE, Key::TAB, Key::ALT, Key::CTRL] {
            for down in [true, false] {
                std::thread::sleep(Duration::from_millis(9));
                let _ = to.send(Input::Key { key, down });
            }
        }
    });
    let mut seen = Vec::new();
    for _ in 1..4000u64 {
        let count = m.count() + 15_000;
        let s = m.debug_run(&mut NoIo, Goal::Count(count));
        if matches!(s.why, Why::Ended(_)) {
            break;
        }
        seen.push((m.count(), m.state_hash(), m.cpu(0).gpr));
    }
    assert!(seen.len() > 20);
    for &(count, hash, gpr) in seen.iter().rev().step_by(11) {
        m.go_to(&mut NoIo, count);
        assert_eq!((m.count(), m.cpu(0).gpr), (count, gpr));
        assert_eq!(m.state_hash(), hash, "at {count}");
    }
}

#[test]
fn a_hundred_saves_and_loads_change_nothing() {
    let (_file, path) = guest("cycles");
    let mut c = with(&path, ClockKind::Virtual, Engine::Auto);
    c.script_text = Some(
        "wait 3ms\nkey a\nwait 4ms\nkey b\nwait 5ms\nkey c\nwait 2ms\nkey d\nwait 3ms\nkey e\nwait 10ms\n"
            .into(),
    );
    let mut whole = Machine::new(c.clone()).expect("a machine");
    assert_eq!(whole.run(&mut NoIo), Outcome::DebugExit(1));
    let mut m = Machine::new(c.clone()).expect("a machine");
    let mut seed = 12345u64;
    for _ in 0..100 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let count = m.count() + (seed >> 33) % 300_000;
        if m.run_until(&mut NoIo, Until { count: Some(count), time_ns: None }).is_some() {
            break;
        }
        let bytes = m.save().expect("a state");
        m = Machine::new(c.clone()).expect("a machine");
        m.load(&bytes).expect("the state");
    }
    let ended = m.run(&mut NoIo);
    assert_eq!(ended, Outcome::DebugExit(1));
    assert_eq!((m.state_hash(), m.count()), (whole.state_hash(), whole.count()));
}

/// A seeded source of bytes.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.next() % 8 {
            if bytes.is_empty() {
                return;
            }
            let at = (self.next() % bytes.len() as u64) as usize;
            match self.next() % 4 {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << (self.next() % 8),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, self.next() as u8),
            }
        }
    }
}

/// How long each fuzzer runs in the tests; `LUCID86_FUZZ_SECONDS` makes it longer.
fn fuzz_time() -> Duration {
    let seconds = std::env::var("LUCID86_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

#[test]
fn damaged_recordings_and_snapshots_are_refused_or_run() {
    let (_file, path) = guest("damaged");
    let (recording, ..) = record(&path, Engine::Auto);
    let c = Config { memory: 2 << 20, ..with(&path, ClockKind::Host, Engine::Interpreter) };
    let mut source = Machine::new(c.clone()).expect("a machine");
    source.run_until(&mut NoIo, Until { count: Some(200_000), time_ns: None });
    let snapshot = source.save().expect("a state");
    let end = std::time::Instant::now() + fuzz_time();
    let mut noise = Noise(0x1234_5678_9abc_def1);
    while std::time::Instant::now() < end {
        let (mut r, mut s) = (recording.clone(), snapshot.clone());
        noise.damage(&mut r);
        noise.damage(&mut s);
        let mut m = Machine::new(c.clone()).expect("a machine");
        let _ = m.replay(&r);
        let _ = m.load(&s);
        // Bounded: a damaged state may run for ever.
        let count = m.count().saturating_add(20_000);
        let _ = m.debug_run(&mut NoIo, Goal::Count(count));
    }
}

#[test]
fn any_command_is_answered() {
    let (_file, path) = guest("commands");
    let mut m = Machine::new(with(&path, ClockKind::Virtual, Engine::Auto)).expect("a machine");
    m.keep_history(64 << 20);
    m.run_until(&mut NoIo, Until { count: Some(500_000), time_ns: None });
    let words = [
        "break",
        "tbreak",
        "watch",
        "rwatch",
        "awatch",
        "mmio",
        "vector",
        "port",
        "msr",
        "cr",
        "dr",
        "mode",
        "task",
        "at",
        "points",
        "delete",
        "enable",
        "disable",
        "ignore",
        "condition",
        "x/16xb",
        "x/5i",
        "x/s",
        "xp",
        "x/999999999x",
        "disassemble",
        "print",
        "set",
        "backtrace",
        "symbol",
        "symbols",
        "registers",
        "system",
        "fpu",
        "sse",
        "gdt",
        "ldt",
        "idt",
        "tss",
        "walk",
        "chips",
        "pci",
        "map",
        "timers",
        "interrupts",
        "idle",
        "exceptions",
        "help",
        "cpu",
        "why",
        "pc",
        "phys",
        "hash",
        "step",
        "next",
        "back",
        "rc",
        "goto",
        "checkpoint",
        "checkpoints",
        "cut",
        "until",
    ];
    let arguments = [
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
        "offset",
        "linear",
        "99999999999999999999",
        "if",
        "rip+-1",
        "0 - 1 64",
    ];
    assert!(m.command(&mut Session::default(), "postmortem").is_ok(), "to a file only when one is named");
    let mut noise = Noise(77);
    let mut s = Session::default();
    let end = std::time::Instant::now() + fuzz_time();
    while std::time::Instant::now() < end {
        let word = words[(noise.next() % words.len() as u64) as usize];
        let argument = arguments[(noise.next() % arguments.len() as u64) as usize];
        let mut line = format!("{word} {argument}").into_bytes();
        if noise.next().is_multiple_of(3) {
            noise.damage(&mut line);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        match m.command(&mut s, &line) {
            Ok((_, Act::Move(motion))) => {
                let before = m.count();
                let m_limit = lucid86_machine::debug::Motion::Count(before + 1000);
                let small = matches!(
                    motion,
                    lucid86_machine::debug::Motion::Step(_, 0..5000)
                        | lucid86_machine::debug::Motion::ReverseStep(..)
                );
                let stopped = m.debug_move(&mut NoIo, if small { motion } else { m_limit });
                m.describe(&mut s, &stopped);
            }
            Ok(_) => {}
            Err(e) => assert!(!e.is_empty() && !e.trim_end().contains('\n'), "{line:?}: {e}"),
        }
        if noise.next().is_multiple_of(50) {
            m.debugger().remove_where(|_| true);
        }
    }
}
