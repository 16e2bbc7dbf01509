//! The fuzzers for a short while. `testsuite -- fuzz NAME` runs them for as long as one likes.

use lucid86_cpu::derived::Engine;
use std::time::{Duration, Instant};
use testsuite::fuzz::{fuzzer, run};

fn briefly(name: &str, rounds: u64) {
    match fuzzer(name, Engine::Translator, &[]) {
        Err(e) => println!("skipped: {e}"),
        Ok(f) => {
            let tally = run(name, f, 77, rounds, Instant::now() + Duration::from_secs(60));
            assert_eq!(tally.failed, 0, "{name}: {tally}");
        }
    }
}

#[test]
fn card() {
    briefly("card", 300);
}

#[test]
fn router() {
    briefly("router", 500);
}

#[test]
fn debugger() {
    for (name, rounds) in [
        ("commands", 3000),
        ("expressions", 20_000),
        ("recordings", 100),
        ("snapshots", 100),
        ("scripts", 60),
    ] {
        briefly(name, rounds);
    }
}

#[test]
fn packets() {
    briefly("packets", 40);
}

#[test]
fn dhcp() {
    briefly("dhcp", 200);
}

#[test]
fn dns() {
    briefly("dns", 200);
}

#[test]
fn tftp() {
    briefly("tftp", 200);
}

#[test]
fn decode() {
    briefly("decode", 20_000);
}

#[test]
fn flags() {
    briefly("flags", 60_000);
}

#[test]
fn single() {
    briefly("single", 50_000);
}

#[test]
fn program() {
    briefly("program", 20_000);
}
