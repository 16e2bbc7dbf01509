//! Watches the host clock: virtual time against the wall's while a machine runs.
use lucid86_machine::{Collect, Config, Machine, Until, View};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut config = Config::default();
    for pair in args.chunks(2) {
        if let Err(e) = config.set(pair[0].trim_start_matches("--"), pair.get(1).map(String::as_str)) {
            eprintln!("{e}");
            return;
        }
    }
    let mut m = Machine::new(config).unwrap_or_else(|e| panic!("{e}"));
    let mut io = Collect::default();
    let start = std::time::Instant::now();
    let mut next = 0;
    loop {
        next += 200_000_000;
        let outcome = m.run_until(&mut io, Until { count: None, time_ns: Some(next) });
        println!(
            "wall {:?} virtual {} ms, {} instructions",
            start.elapsed(),
            m.now_ns() / 1_000_000,
            m.count()
        );
        print!("{}", String::from_utf8_lossy(&std::mem::take(&mut io.serial[0])));
        if let Some(outcome) = outcome {
            println!("{outcome:?}");
            return;
        }
    }
}
