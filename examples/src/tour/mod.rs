//! The built-in tour: a small guest that a student can read. It boots from a floppy through the BIOS and walks from real
//! mode to protected mode to long mode and back, showing on the screen what each step set up.
//!
//! | file | what runs there |
//! |---|---|
//! | `real.rs` | boot sector, menu, real-mode page, graphics picture, power-off: 16-bit code |
//! | `protected.rs` | the protected-mode page: 32-bit code |
//! | `long.rs` | the long-mode page: 64-bit code |
//! | `refs.rs` | addresses of labels as constants |
//! | `screen.rs` | writing text and numbers straight into video memory, in either |
//!
//! Memory map: 0000:0500 variables ([`var`]); 2000h and 3000h the two IDTs; 7C00h boot sector, then stack below it; 8000h the
//! rest of the program, 16-, 32- and 64-bit parts at fixed places ([`at`]); 10000h-12FFFh page tables.
//!
//! Manuals: Intel SDM volume 3, sections 9.8 (mode switching), 9.9 (to real mode), 3.4-3.5 (descriptors), 4.5 (4-level paging);
//! 8259A and 8254 datasheets; VGA mode 13h; PIIX4 datasheet section 7 (power management).

mod long;
mod protected;
mod real;
mod refs;
mod screen;

use iced_x86::IcedError;

/// Fixed addresses of the parts.
pub(crate) mod at {
    pub const BOOT: u64 = 0x7c00;
    pub const REAL: u64 = 0x8000;
    pub const PROTECTED: u64 = 0xa000;
    pub const LONG: u64 = 0xc000;
    pub const END: u64 = 0xe000;
    pub const IDT32: u64 = 0x2000;
    pub const IDT64: u64 = 0x3000;
    pub const PML4: u64 = 0x1_0000;
    pub const PDPT: u64 = 0x1_1000;
    pub const PD: u64 = 0x1_2000;
}

/// Variables shared by the parts.
pub(crate) mod var {
    /// Timer interrupts counted since the page was entered.
    pub const TICKS: u64 = 0x500;
    /// Last scan code from the keyboard.
    pub const KEY: u64 = 0x504;
    /// BIOS number of the boot drive.
    pub const DRIVE: u64 = 0x508;
    /// Stack pointer to come back to.
    pub const STACK: u64 = 0x50c;
}

/// Selectors of the one GDT, which `real.rs` holds.
pub(crate) mod sel {
    pub const CODE32: u16 = 0x08;
    pub const DATA32: u16 = 0x10;
    pub const CODE64: u16 = 0x18;
    pub const CODE16: u16 = 0x20;
    pub const DATA16: u16 = 0x28;
}

/// Bytes of a 1.44 MB floppy.
const FLOPPY: usize = 1_474_560;

/// The parts: name, address, what lies there.
fn parts() -> [(&'static str, u64, Part); 4] {
    let assembled = |part: Code| part.expect("the tour's own code assembles");
    [
        ("boot", at::BOOT, assembled(real::boot())),
        ("real", at::REAL, assembled(real::program())),
        ("protected", at::PROTECTED, assembled(protected::program())),
        ("long", at::LONG, assembled(long::program())),
    ]
}

/// Names of places in the tour's code and of its data, with their linear addresses, for a debugger.
pub fn symbols() -> Vec<(String, u64)> {
    let data = [
        ("ticks", var::TICKS),
        ("key", var::KEY),
        ("drive", var::DRIVE),
        ("stack", var::STACK),
        ("idt32", at::IDT32),
        ("idt64", at::IDT64),
        ("pml4", at::PML4),
        ("pdpt", at::PDPT),
        ("pd", at::PD),
    ];
    let mut list: Vec<(String, u64)> = data.map(|(n, at)| (format!("tour.{n}"), at)).into();
    for (part, place, code) in parts() {
        list.push((format!("tour.{part}"), place));
        list.extend(code.names.into_iter().map(|(n, at)| (format!("tour.{part}.{n}"), at)));
    }
    list
}

/// The tour as a bootable 1.44 MB floppy image.
pub fn floppy_image() -> Vec<u8> {
    let mut image = vec![0; FLOPPY];
    for (_, place, part) in parts() {
        let code = part.bytes;
        let offset = if place == at::BOOT { 0 } else { 512 + (place - at::REAL) as usize };
        image[offset..offset + code.len()].copy_from_slice(&code);
    }
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// One part, assembled: its bytes, and the places in it that have names.
struct Part {
    bytes: Vec<u8>,
    names: Vec<(&'static str, u64)>,
}

type Code = Result<Part, IcedError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit() {
        assert!(real::boot().unwrap().bytes.len() <= 510);
        assert!(real::program().unwrap().bytes.len() as u64 <= at::PROTECTED - at::REAL);
        assert!(protected::program().unwrap().bytes.len() as u64 <= at::LONG - at::PROTECTED);
        assert!(long::program().unwrap().bytes.len() as u64 <= at::END - at::LONG);
    }

    #[test]
    fn names_lie_in_their_parts() {
        let all = symbols();
        let at = |name: &str| all.iter().find(|s| s.0 == name).unwrap_or_else(|| panic!("{name}")).1;
        assert_eq!((at("tour.boot"), at("tour.long")), (at::BOOT, at::LONG));
        assert!((at::LONG..at::END).contains(&at("tour.long.timer")));
        assert!((at::PROTECTED..at::LONG).contains(&at("tour.protected.keyboard")));
        assert!((at::REAL..at::PROTECTED).contains(&at("tour.real.menu")));
    }

    #[test]
    fn image_boots_like_a_floppy() {
        let image = floppy_image();
        assert_eq!(image.len(), 1_474_560);
        assert_eq!(image[510..512], [0x55, 0xaa]);
    }
}
