//! Lucid86's own firmware for a 440FX/PIIX3 PC, assembled here into ROM images with symbols.
//!
//! - [`system_rom`]: 128 KiB for the top of the 4 GiB space and its alias below 1 MiB. POST, interrupts 5h to 76h, data
//!   areas, PCI set-up, boot.
//! - [`video_rom`]: the option ROM behind the display adapter's expansion-ROM BAR. INT 10h, fonts, VBE.
//!
//! The code is 80386 code, mostly 16-bit. It is not: a set of ACPI, SMBIOS or MP tables. Those describe the machine, so
//! whoever builds the machine makes them and hands them over in [`Options`].
//!
//! Manuals: IBM PS/2 and Personal Computer BIOS Interface Technical Reference (1991), IBM PC/AT Technical Reference
//! (1986), Phoenix Enhanced Disk Drive Specification 1.1, "El Torito" Bootable CD-ROM Format 1.0, PCI BIOS 2.1, VESA
//! BIOS Extension 3.0, ACPI 2.0 section 14 (E820); Intel 82441FX and 82371SB/AB datasheets.

mod areas;
mod asm;
mod disk;
mod frame;
mod pci;
mod post;
mod services;
mod video;

pub use post::contract::*;

use asm::assemble;

/// What the machine knows when it is built.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Bytes for [`ANCHORS`] (F0000h), at most [`ANCHORS_SIZE`]: RSDP, `_SM_`, `_MP_`, `$PIR` and whatever may lie
    /// beside them, at offsets that the machine chose, with final addresses and checksums inside.
    pub anchors: Vec<u8>,
    /// Tables that POST copies to RAM at `tables_at`, at most 64 KiB. They lie at E0000h in the ROM.
    pub tables: Vec<u8>,
    /// Where they go: a 4 KiB boundary in the RAM below 4 GiB. From there to the end of that RAM, INT 15h E820h says
    /// "ACPI data". 0 if there are none.
    pub tables_at: u32,
}

/// A finished ROM.
#[derive(Clone, Debug)]
pub struct Rom {
    /// The bytes.
    pub image: Vec<u8>,
    /// Names and where they are: physical addresses below 1 MiB for the system ROM, offsets in the image for the video
    /// ROM (which POST copies to C0000h). Sorted by address. A name with a dot in it is local to the one before the dot.
    pub symbols: Vec<(String, u32)>,
}

/// Size of the system ROM in bytes.
pub const SYSTEM_ROM_SIZE: usize = 0x2_0000;

/// Builds the system ROM. Its last byte belongs at the highest address of the 4 GiB space and also at FFFFFh.
///
/// # Panics
/// When `options` hold more than fits; the limits stand there.
pub fn system_rom(options: &Options) -> Rom {
    assert!(options.anchors.len() <= ANCHORS_SIZE, "anchors over {ANCHORS_SIZE} bytes");
    assert!(options.tables.len() <= 0x1_0000, "tables over 64 KiB");
    let segment = assemble(0x1_0000, |a| post::system(a, options));
    let mut image = vec![0; 0x1_0000];
    image[..options.tables.len()].copy_from_slice(&options.tables);
    image.extend_from_slice(&segment.bytes);
    image[0x1_0000..][..options.anchors.len()].copy_from_slice(&options.anchors);
    Rom { image, symbols: symbols(segment.names, 0xF_0000) }
}

/// Builds the video option ROM: its size is a multiple of 512 bytes, all of it adding up to zero.
pub fn video_rom() -> Rom {
    let segment = assemble(0x1_0000, video::rom);
    let size = (segment.end + 1).next_multiple_of(512);
    let mut image = segment.bytes;
    image.truncate(size);
    let blocks = (size / 512) as u8;
    let pcir = u16::from_le_bytes([image[0x18], image[0x19]]) as usize;
    image[2] = blocks;
    image[pcir + 0x10] = blocks;
    image[size - 1] = image.iter().fold(0u8, |s, &b| s.wrapping_add(b)).wrapping_neg();
    Rom { image, symbols: symbols(segment.names, 0) }
}

fn symbols(names: asm::Names, base: u32) -> Vec<(String, u32)> {
    let mut list: Vec<_> = names.into_iter().map(|(name, at)| (name, base + at as u32)).collect();
    list.sort_by(|x, y| (x.1, &x.0).cmp(&(y.1, &y.0)));
    list
}
