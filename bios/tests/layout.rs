//! Where things lie in the ROM images. Expected values: IBM PC/AT Technical Reference (fixed addresses), Standard BIOS
//! 32-bit Service Directory 0.4, Plug and Play BIOS Specification 1.0A, PCI Local Bus Specification 2.1 section 6.3.

use lucid86_bios::{ANCHORS, Options, Rom, SYSTEM_ROM_SIZE, system_rom, video_rom};

/// The F000h segment of a system ROM.
fn segment(rom: &Rom) -> &[u8] {
    &rom.image[SYSTEM_ROM_SIZE - 0x1_0000..]
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |s, &b| s.wrapping_add(b))
}

fn symbol(rom: &Rom, name: &str) -> u32 {
    rom.symbols.iter().find(|s| s.0 == name).unwrap_or_else(|| panic!("no symbol {name}")).1
}

#[test]
fn the_system_rom_starts_where_the_processor_does() {
    let rom = system_rom(&Options::default());
    assert_eq!(rom.image.len(), SYSTEM_ROM_SIZE);
    let f = segment(&rom);
    assert_eq!(f[0xFFF0..0xFFF5], [0xEA, 0x5B, 0xE0, 0x00, 0xF0], "JMP F000:E05B");
    assert_eq!((f[0xFFF7], f[0xFFFA]), (b'/', b'/'), "date at F000:FFF5");
    assert_eq!(f[0xFFFE], 0xFC, "model byte: AT");
    assert_eq!(f[0xFF53], 0xCF, "IRET");
}

#[test]
fn entry_points_are_jumps_at_their_old_addresses() {
    let rom = system_rom(&Options::default());
    let f = segment(&rom);
    for at in [
        0xE05B, 0xE2C3, 0xE3FE, 0xE6F2, 0xE739, 0xE82E, 0xE987, 0xEC59, 0xEF57, 0xEFD2, 0xF065, 0xF841,
        0xF84D, 0xF859, 0xFE6E, 0xFEA5, 0xFF54,
    ] {
        assert!(matches!(f[at], 0xE9 | 0xEB), "{at:04X}: {:02X}", f[at]);
    }
    assert_eq!(f[0xE6F5..0xE6F8], [8, 0, 0xFC], "configuration table");
    assert_eq!(f[0xE729..0xE72B], [0x17, 0x04], "110 bit/s");
    assert_eq!(f[0xEFC7 + 3..0xEFC7 + 5], [2, 18], "512-byte sectors, 18 a track");
}

#[test]
fn headers_that_are_searched_for_add_up() {
    let rom = system_rom(&Options::default());
    let f = segment(&rom);
    let directory = (symbol(&rom, "bios32_header") - 0xF_0000) as usize;
    assert_eq!(directory % 16, 0);
    assert_eq!(f[directory..directory + 4], *b"_32_");
    assert_eq!(sum(&f[directory..directory + 16]), 0);
    let pnp = (symbol(&rom, "pnp_header") - 0xF_0000) as usize;
    assert_eq!(pnp % 16, 0);
    assert_eq!(f[pnp..pnp + 4], *b"$PnP");
    assert_eq!(sum(&f[pnp..pnp + f[pnp + 5] as usize]), 0);
}

#[test]
fn tables_and_anchors_are_where_the_machine_put_them() {
    let options = Options { anchors: vec![0x5A; 100], tables: vec![0xA5; 5000], tables_at: 0x07FE_0000 };
    let rom = system_rom(&options);
    assert_eq!(rom.image[..5000], options.tables[..]);
    let anchors = (ANCHORS - 0xE_0000) as usize;
    assert_eq!(rom.image[anchors..anchors + 100], options.anchors[..]);
    let plain = system_rom(&Options::default());
    assert!(symbol(&rom, "place_tables.copy") > 0xF_0000);
    assert!(!plain.symbols.iter().any(|s| s.0 == "place_tables.copy"));
}

#[test]
fn the_video_rom_is_an_option_rom_for_the_display() {
    let rom = video_rom();
    assert_eq!(rom.image[..2], [0x55, 0xAA]);
    assert_eq!(rom.image[2] as usize * 512, rom.image.len());
    assert!(rom.image.len() <= 0x8000);
    assert_eq!(sum(&rom.image), 0);
    let pcir = u16::from_le_bytes([rom.image[0x18], rom.image[0x19]]) as usize;
    assert_eq!(rom.image[pcir..pcir + 4], *b"PCIR");
    assert_eq!(rom.image[pcir + 0x10] as usize * 512, rom.image.len());
}
