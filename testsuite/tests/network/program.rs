//! The packet program of the examples: a machine on the built-in router, live, then replayed from its recording.

use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::{Collect, Config, Machine, Outcome, View};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that goes when the test ends.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str, bytes: &[u8]) -> Temp {
        let path = std::env::temp_dir().join(format!("lucid86-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Temp(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn config(kernel: &Path, engine: Engine) -> Config {
    let mut c = Config { memory: 16 << 20, clock: ClockKind::Host, engine, ..Config::default() };
    c.kernel = Some(kernel.to_owned());
    c.set("net", Some("user,model=ne2k_isa,mac=52:54:00:12:34:56")).unwrap();
    c.set("stop-after", Some("60s")).unwrap();
    c
}

/// Runs the program to its end; COM1, and where it ended.
fn run(m: &mut Machine) -> (String, u64, u64) {
    let mut io = Collect::default();
    assert_eq!(m.run(&mut io), Outcome::PowerOff);
    (String::from_utf8_lossy(&io.serial[0]).into_owned(), m.state_hash(), m.count())
}

#[test]
fn it_finds_the_gateway_and_a_recording_replays_on_either_engine() {
    let kernel = Temp::new("packet", &lucid86_examples::packet::kernel());
    for made_by in [Engine::Auto, Engine::Interpreter] {
        let mut m = Machine::new(config(&kernel.0, made_by)).unwrap();
        m.start_log();
        m.plug_in(&(Arc::new(|_: &str| {}) as _)).unwrap();
        let live = run(&mut m);
        assert_eq!(
            live.0,
            "NE2000 at 300h, address 52:54:00:12:34:56\r\nwho has 10.0.2.2? tell 10.0.2.15\r\n\
             10.0.2.2 is at 52:55:0A:00:02:02\r\nping 10.0.2.2: 32 bytes\r\n\
             answer: Lucid: you can see through it...\r\n"
        );
        let recording = Temp::new("packet-recording", &m.recording());
        for engine in [Engine::Auto, Engine::Interpreter] {
            let c = Config { replay: Some(recording.0.clone()), ..config(&kernel.0, engine) };
            let mut m = Machine::new(c).unwrap();
            m.plug_in(&(Arc::new(|_: &str| {}) as _)).unwrap();
            assert_eq!(run(&mut m), live, "made by {made_by:?}, on {engine:?}");
        }
    }
}
