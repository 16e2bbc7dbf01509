//! Runs a machine given in the words of the command line, and says where its processors stand at the end.
use lucid86_machine::{Collect, Config, Machine};

fn main() {
    let mut config = Config::default();
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        let word = a.trim_start_matches("--").to_string();
        if config.set(&word, None).is_err() {
            let v = args.next().unwrap_or_default();
            if let Err(e) = config.set(&word, Some(&v)) {
                eprintln!("{e}");
                std::process::exit(2);
            }
        }
    }
    let mut m = match Machine::new(config) {
        Ok(m) => m,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2);
        }
    };
    let mut io = Collect::default();
    let outcome = m.run(&mut io);
    println!("{}", String::from_utf8_lossy(&io.serial[0]));
    for line in &io.log {
        eprintln!("{line}");
    }
    println!("{outcome:?}");
    print!("{}", m.post_mortem(0, "a probe").registers);
    if let Some(t) = lucid86_machine::View::text_screen(&m) {
        print!("{}", t.text());
    }
    let mut code = [0; 128];
    m.read_memory(m.cpu(0).rip & !63, &mut code);
    println!("{code:02x?}");
    let mut boot = [0; 64];
    m.read_memory(0x7c00, &mut boot);
    println!("{boot:02x?}");
    m.read_memory(0x7dc0, &mut boot);
    println!("{boot:02x?}");
    let mut low = vec![0; 1 << 20];
    m.read_memory(0, &mut low);
    for text in low.split(|b| !(b' '..0x7f).contains(b)).filter(|t| t.len() > 24) {
        println!("{}", String::from_utf8_lossy(text));
    }
}
