//! Determinism by hand: runs a kernel to a count in one go, again, and a third time saved and loaded in the middle; prints
//! the state hashes and, where they differ, which parts do.
use lucid86_machine::{Collect, Config, Machine, Until};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let end: u64 = args[0].parse().expect("a count");
    let mut config = Config::default();
    for pair in args[1..].chunks(2) {
        if let Err(e) = config.set(pair[0].trim_start_matches("--"), pair.get(1).map(String::as_str)) {
            eprintln!("{e}");
            return;
        }
    }
    let run = |middle: &[u64]| {
        let mut m = Machine::new(config.clone()).unwrap_or_else(|e| panic!("{e}"));
        let mut io = Collect::default();
        for &count in middle {
            let _ = m.run_until(&mut io, Until { count: Some(count), time_ns: None });
            let saved = m.save().unwrap_or_else(|e| panic!("{e}"));
            println!("saved {} bytes at {count}", saved.len());
            m = Machine::new(config.clone()).unwrap_or_else(|e| panic!("{e}"));
            m.load(&saved).unwrap_or_else(|e| panic!("{e}"));
        }
        let outcome = m.run_until(&mut io, Until { count: Some(end), time_ns: None });
        println!("{outcome:?} {:016x} {} bytes of serial", m.state_hash(), io.serial[0].len());
        m.state_hash_parts()
    };
    let whole = run(&[]);
    for middle in [&[end / 3 + 7][..], &[end / 7, end / 2 + 1]] {
        let parts = run(middle);
        for (a, b) in whole.iter().zip(&parts).filter(|(a, b)| a != b) {
            println!("differs: {} {:x} {:x}", a.0, a.1, b.1);
        }
    }
}
