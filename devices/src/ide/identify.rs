//! IDENTIFY DEVICE and IDENTIFY PACKET DEVICE data (ATA/ATAPI-6, 8.15 and 8.16): 256 words, computed when asked for.

use super::cd::Cd;
use super::disk::{Disk, Geometry, MAX_MULTIPLE};

const FIRMWARE: &str = "1.0";

struct Words([u16; 256]);

impl Words {
    fn set(&mut self, word: usize, value: u16) {
        self.0[word] = value;
    }

    fn set32(&mut self, word: usize, value: u32) {
        self.set(word, value as u16);
        self.set(word + 1, (value >> 16) as u16);
    }

    /// ASCII, padded with spaces, the first character of each pair in the high byte.
    fn text(&mut self, word: usize, words: usize, text: &str) {
        let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
        for w in word..word + words {
            let pair = [bytes.next().unwrap_or(b' '), bytes.next().unwrap_or(b' ')];
            self.set(w, u16::from_be_bytes(pair));
        }
    }

    /// Words 62-68, 88 and 93: transfer modes and their times.
    fn modes(&mut self, dma_mode: u8) {
        let selected = |class: u8| if dma_mode & 0xf0 == class { 0x100 << (dma_mode & 7) } else { 0 };
        self.set(63, 0x0007 | selected(0x20));
        self.set(64, 0x0003); // PIO modes 3 and 4
        for w in 65..=68 {
            self.set(w, 120);
        }
        self.set(88, 0x0007 | selected(0x40)); // up to ultra DMA 2, what a 40-wire cable carries
    }

    /// Signature and checksum in word 255, then bytes.
    fn sealed(mut self) -> [u8; 512] {
        self.set(255, 0x00a5);
        let mut bytes = [0; 512];
        for (pair, word) in bytes.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&word.to_le_bytes());
        }
        let sum = bytes.iter().fold(0u8, |a, &b| a.wrapping_add(b));
        bytes[511] = sum.wrapping_neg();
        bytes
    }
}

pub(super) fn disk(d: &Disk) -> [u8; 512] {
    let mut w = Words([0; 256]);
    let natural = Geometry::natural(d.sectors);
    w.set(0, 0x0040); // fixed, not removable
    w.set(1, natural.cylinders);
    w.set(3, u16::from(natural.heads));
    // Bytes of a track and of a sector (ATA-1, IDENTIFY DRIVE), retired long since, but the BIOS of Bochs moves that many.
    w.set(4, 512 * u16::from(natural.sectors));
    w.set(5, 512);
    w.set(6, u16::from(natural.sectors));
    w.text(10, 10, &d.serial);
    w.set(20, 3); // dual-ported buffer with read cache
    w.set(21, 512); // of 256 KiB
    w.set(22, 4);
    w.text(23, 4, FIRMWARE);
    w.text(27, 20, "LUCID86 HARDDISK");
    w.set(47, 0x8000 | u16::from(MAX_MULTIPLE));
    w.set(48, 1); // doublewords at the data port
    w.set(49, 0x0f00); // IORDY (can be disabled), LBA, DMA
    w.set(50, 0x4000);
    w.set(51, 0x0200);
    w.set(52, 0x0200);
    w.set(53, 0x0007); // words 54-58, 64-70 and 88 hold
    w.set(54, d.geometry.cylinders);
    w.set(55, u16::from(d.geometry.heads));
    w.set(56, u16::from(d.geometry.sectors));
    w.set32(57, d.geometry.total().min(u32::try_from(d.sectors).unwrap_or(u32::MAX)));
    w.set(59, if d.multiple != 0 { 0x0100 | u16::from(d.multiple) } else { 0 });
    w.set32(60, d.sectors.min((1 << 28) - 1) as u32);
    w.modes(d.dma_mode);
    w.set(80, 0x007e); // ATA-1 to ATA/ATAPI-6
    w.set(81, 0x0019); // ATA/ATAPI-6 T13 1410D revision 3a
    w.set(82, 0x0069); // SMART, power management, write cache, look-ahead
    w.set(83, 0x7400); // FLUSH CACHE (EXT), 48-bit addresses
    w.set(84, 0x4000);
    let enabled = u16::from(d.smart) | 0x0008 | u16::from(d.write_cache) << 5 | u16::from(d.look_ahead) << 6;
    w.set(85, enabled);
    w.set(86, 0x3400);
    w.set(87, 0x4000);
    w.set(93, 0x4000 | 0x0001);
    w.set32(100, d.sectors as u32);
    w.set32(102, (d.sectors >> 32) as u32);
    w.sealed()
}

pub(super) fn cd(c: &Cd) -> [u8; 512] {
    let mut w = Words([0; 256]);
    w.set(0, 0x85c0); // ATAPI, CD-ROM, removable, DRQ within 50 us of PACKET, packets of 12 bytes
    w.text(10, 10, &c.serial);
    w.set(20, 3);
    w.set(21, 512);
    w.set(22, 4);
    w.text(23, 4, FIRMWARE);
    w.text(27, 20, "LUCID86 CD-ROM");
    w.set(48, 1);
    w.set(49, 0x0f00);
    w.set(50, 0x4000);
    w.set(53, 0x0006); // words 64-70 and 88 hold
    w.modes(c.dma_mode);
    w.set(71, 30);
    w.set(72, 30);
    w.set(80, 0x007e);
    w.set(81, 0x0019);
    w.set(82, 0x0218); // PACKET, DEVICE RESET, power management
    w.set(83, 0x4000);
    w.set(84, 0x4000);
    w.set(85, 0x0218);
    w.set(86, 0x0000);
    w.set(87, 0x4000);
    w.set(93, 0x4000 | 0x0001);
    w.sealed()
}
