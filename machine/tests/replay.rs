//! Recordings replay to the same state on either engine; saved states go on alike. (Nonsense in files and commands: the suite's
//! fuzzers. Linux: `testsuite -- recordings`.)

mod common;

use common::{TempFile, config, kernel};
use iced_x86::code_asm::*;
use lucid86_machine::config::{ClockKind, Engine};
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
fn a_recording_in_a_file_is_written_as_it_goes_and_can_be_cut_anywhere() {
    let (_file, path) = guest("pieces");
    let (bytes, hash, count) = {
        let mut m = Machine::new(with(&path, ClockKind::Host, Engine::Auto)).expect("a machine");
        let file = TempFile::new("pieces-recording", &[]);
        m.record_to(std::fs::File::create(&file.0).expect("a file")).expect("it can be written");
        let to = m.connect();
        let typist = std::thread::spawn(move || {
            for n in 0..8 {
                std::thread::sleep(Duration::from_millis(300));
                let _ = to.send(Input::Key { key: Key::ESC, down: n % 2 == 0 });
            }
        });
        assert_eq!(m.run(&mut NoIo), Outcome::DebugExit(1));
        typist.join().expect("the typist");
        // Most of it is there before the end.
        let before = std::fs::metadata(&file.0).expect("it is there").len();
        m.finish_recording().expect("it was written");
        let bytes = std::fs::read(&file.0).expect("it is there");
        assert!(before > 200 && bytes.len() as u64 > before, "{before} of {}", bytes.len());
        (bytes, m.state_hash(), m.count())
    };
    let replay = |bytes: &[u8]| {
        let file = TempFile::new("pieces-replay", bytes);
        let c = Config { replay: Some(file.0.clone()), ..with(&path, ClockKind::Host, Engine::Auto) };
        let mut m = Machine::new(c).expect("a recording");
        (m.run(&mut NoIo), m.count(), m.state_hash(), m.replay_cut_short())
    };
    let (outcome, end, state, cut) = replay(&bytes);
    assert_eq!((outcome, end, state, cut), (Outcome::DebugExit(1), count, hash, None));
    let (outcome, end, _, cut) = replay(&bytes[..bytes.len() - 1]);
    assert_eq!((outcome, Some(end)), (Outcome::Quit, cut.map(|s| s.count)));
    assert!(end > 0 && end < count, "{end} of {count}");
}

#[test]
fn a_recording_follows_a_machine_that_goes_on_from_its_past() {
    let (_file, path) = guest("beside");
    let mut m = Machine::new(with(&path, ClockKind::Host, Engine::Auto)).expect("a machine");
    let file = TempFile::new("beside-recording", &[]);
    m.record_to(std::fs::File::create(&file.0).expect("a file")).expect("it can be written");
    m.keep_history(256 << 20);
    let to = m.connect();
    std::thread::spawn(move || {
        // After the machine has ended nobody hears it.
        for n in 0..40 {
            std::thread::sleep(Duration::from_millis(250));
            let _ = to.send(Input::Key { key: Key::ESC, down: n % 2 == 0 });
        }
    });
    let (mut longest, mut cuts) = (0, 0);
    while cuts < 40_000 {
        let count = m.count() + 300_000;
        if matches!(m.debug_run(&mut NoIo, Goal::Count(count)).why, Why::Ended(_)) {
            break;
        }
        let len = std::fs::metadata(&file.0).expect("it is there").len();
        // Twice, when a piece has been written: back to before it, and on from there.
        if len > longest && longest > 0 && cuts < 2 {
            m.go_to(&mut NoIo, count / 2);
            assert!(m.cut_future().expect("no medium"), "there was a future");
            longest = std::fs::metadata(&file.0).expect("it is there").len();
            assert!(longest < len, "it is not in the file");
            cuts += 1;
        } else {
            longest = len;
        }
    }
    assert_eq!(cuts, 2);
    m.finish_recording().expect("it was written");
    let c = Config { replay: Some(file.0.clone()), ..with(&path, ClockKind::Host, Engine::Auto) };
    let mut again = Machine::new(c).expect("a recording");
    assert_eq!(again.run(&mut NoIo), Outcome::DebugExit(1));
    assert_eq!((again.state_hash(), again.count()), (m.state_hash(), m.count()));
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
