//! Writes the tour's floppy image to a file, for other emulators and real machines.

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "tour.img".into());
    std::fs::write(path, lucid86_examples::tour::floppy_image())
}
