//! Writes the packet program to a file: `cargo run -p lucid86-examples --example packet -- packet.bin`, and then
//! `lucid86 packet.bin --net user,model=ne2k_isa --serial stdio`.

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "packet.bin".into());
    std::fs::write(path, lucid86_examples::packet::kernel())
}
