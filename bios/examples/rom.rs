//! Writes the ROM images and their symbols to a folder: `cargo run -p lucid86-bios --example rom -- DIR`.

use std::io::Write;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    std::fs::create_dir_all(&dir)?;
    let system = lucid86_bios::system_rom(&lucid86_bios::Options::default());
    let video = lucid86_bios::video_rom();
    for (name, rom) in [("bios", system), ("video", video)] {
        std::fs::write(Path::new(&dir).join(format!("{name}.bin")), &rom.image)?;
        let mut out = std::fs::File::create(Path::new(&dir).join(format!("{name}.sym")))?;
        for (symbol, address) in &rom.symbols {
            writeln!(out, "{address:05x} {symbol}")?;
        }
    }
    Ok(())
}
