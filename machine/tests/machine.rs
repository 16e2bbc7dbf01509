//! Whole machines: snapshots and hashes.

use lucid86_machine::config::ClockKind;
use lucid86_machine::{Config, Machine, NoIo, Until};

fn config() -> Config {
    Config { memory: 8 << 20, clock: ClockKind::Virtual, ..Config::default() }
}

#[test]
fn a_saved_machine_comes_back_the_same() {
    let mut a = Machine::new(config()).unwrap();
    a.write_memory(0x5000, b"something");
    let _ = a.run_until(&mut NoIo, Until { count: Some(100_000), time_ns: None });
    let saved = a.save().unwrap();
    let hash = a.state_hash();
    let mut b = Machine::new(config()).unwrap();
    b.write_memory(0x9000, b"what must go");
    b.load(&saved).unwrap();
    assert_eq!(b.state_hash_parts(), a.state_hash_parts());
    assert_eq!(b.state_hash(), hash);
}

#[test]
fn damaged_snapshots_are_errors_and_change_nothing() {
    let mut a = Machine::new(config()).unwrap();
    let saved = a.save().unwrap();
    let hash = a.state_hash();
    let step = (saved.len() / 200).max(1);
    for n in (0..saved.len()).step_by(step) {
        assert!(a.load(&saved[..n]).is_err());
    }
    let mut random = 1u64;
    for _ in 0..300 {
        let mut bytes = saved.clone();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (random >> 33) as usize % bytes.len();
        bytes[at] ^= 1 << (random >> 20 & 7);
        if a.load(&bytes).is_ok() {
            a.load(&saved).unwrap();
        }
    }
    assert_eq!(a.state_hash(), hash);
    let mut other = Machine::new(Config { memory: 16 << 20, ..config() }).unwrap();
    assert!(other.load(&saved).unwrap_err().0.contains("--memory"));
}
