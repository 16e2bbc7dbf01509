//! The memory map: what answers at each physical page, built from RAM's layout, the host bridge's PAM and SMRAM
//! registers, BARs and the VGA's window (82441FX datasheet, chapter 4.1 "System Address Map").

use super::wires::region;
use super::{Board, layout::Layout};
use lucid86_cpu::Memory;
use lucid86_cpu::memory::{PAGE, Place};

/// Which frames of the one allocation hold what: RAM, then the system ROM, then the video ROM, then video memory, then the boot
/// ROMs of network cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// RAM.
    pub layout: Layout,
    /// Pages of system ROM: its last byte is at FFFFFFFFh.
    pub rom_pages: u32,
    /// Pages of video ROM.
    pub video_rom_pages: u32,
    /// Pages of video memory.
    pub vram_pages: u32,
    /// Pages of each network card's boot ROM.
    pub card_rom_pages: [u32; super::CARDS],
}

impl Frames {
    /// First frame of the system ROM.
    pub fn rom(self) -> u32 {
        (self.layout.ram / PAGE) as u32
    }
    /// First frame of the video ROM.
    pub fn video_rom(self) -> u32 {
        self.rom() + self.rom_pages
    }
    /// First frame of video memory.
    pub fn vram(self) -> u32 {
        self.video_rom() + self.video_rom_pages
    }
    /// First frame of network card `card`'s boot ROM.
    pub fn card_rom(self, card: usize) -> u32 {
        self.vram() + self.vram_pages + self.card_rom_pages[..card].iter().sum::<u32>()
    }
    /// Number of frames in all.
    pub fn total(self) -> u32 {
        self.card_rom(super::CARDS)
    }
    /// Physical pages that the map must have.
    pub fn pages(self) -> usize {
        ((super::layout::FOUR_GIB + self.layout.high_len()) / PAGE) as usize
    }
}

fn page(addr: u64) -> u64 {
    addr / PAGE
}

/// A range of pages that a BAR occupies.
pub type Occupied = (u64, u64);

impl Board {
    /// Builds the whole map.
    pub fn map_all(&mut self, mem: &mut Memory) {
        let f = self.frames;
        mem.unmap_all();
        let low = page(f.layout.low_end());
        mem.map(0, low, Place::Frame(0), Place::Frame(0));
        if f.layout.high_len() > 0 {
            let frame = Place::Frame(low as u32);
            mem.map(page(super::layout::FOUR_GIB), page(f.layout.high_len()), frame, frame);
        }
        self.map_rom_at_top(mem);
        for (at, region) in [(0xfec0_0000, region::IOAPIC), (0xfed0_0000, region::HPET)] {
            mem.map(page(at), 1, Place::Chip(region), Place::Chip(region));
        }
        self.occupied.clear();
        self.apic_pages.clear();
        self.map_low(mem);
        self.map_bars(mem);
        self.map_apics(mem);
    }

    fn map_rom_at_top(&self, mem: &mut Memory) {
        let n = u64::from(self.frames.rom_pages);
        mem.map(page(super::layout::FOUR_GIB) - n, n, Place::Frame(self.frames.rom()), Place::Unmapped);
    }

    /// The pages A0000h-FFFFFh: VGA window, option ROMs, BIOS, as SMRAM and PAM have it.
    pub fn map_low(&mut self, mem: &mut Memory) {
        self.map_vga_window(mem);
        for r in self.chips.host_bridge.pam() {
            for p in page(r.start.into())..page(u64::from(r.start) + u64::from(r.size)) {
                let rom = self.rom_at(p);
                let ram = Place::Frame(p as u32);
                let (read, write) =
                    (if r.read { ram } else { rom }, if r.write { ram } else { Place::Unmapped });
                if (mem.read_place(p), mem.write_place(p)) != (read, write) {
                    mem.map(p, 1, read, write);
                }
            }
        }
    }

    /// The ROM that lies at page `p` of C0000h-FFFFFh when RAM isn't there: the last 128 KiB of the system ROM.
    fn rom_at(&self, p: u64) -> Place {
        let from_top = 0x100 - p;
        if from_top <= u64::from(self.frames.rom_pages.min(32)) {
            return Place::Frame(self.frames.rom() + self.frames.rom_pages - from_top as u32);
        }
        let in_video_rom = p - 0xc0;
        // Without a BIOS of its own that copies it from the card, the video ROM is found at C0000h.
        if self.video_rom_low && in_video_rom < u64::from(self.frames.video_rom_pages) {
            return Place::Frame(self.frames.video_rom() + in_video_rom as u32);
        }
        Place::Unmapped
    }

    /// A0000h-BFFFFh: RAM while SMRAM is open, plain video memory where the VGA lets bytes through, else the chip.
    pub fn map_vga_window(&mut self, mem: &mut Memory) {
        let smram = self.chips.host_bridge.smram();
        self.window = self.chips.vga.direct_window(self.frames.vram_pages as usize * PAGE as usize);
        for p in 0xa0..0xc0u64 {
            let place = if smram.enabled && (smram.open || self.smm_inside) {
                Place::Frame(p as u32)
            } else {
                self.direct_page(p - 0xa0).unwrap_or(Place::Chip(region::VGA))
            };
            if (mem.read_place(p), mem.write_place(p)) != (place, place) {
                mem.map(p, 1, place, place);
            }
        }
    }

    fn direct_page(&self, p: u64) -> Option<Place> {
        let w = self.window?;
        let within = (p * PAGE).checked_sub(w.base.into())?;
        (within + PAGE <= w.len as u64 && w.offset % PAGE as usize == 0)
            .then(|| Place::Frame(self.frames.vram() + ((w.offset as u64 + within) / PAGE) as u32))
    }

    /// Memory BARs: frees the pages that they had and takes those that they have now: anywhere between RAM and the chips at the
    /// top, since firmware chooses where PCI's window begins (OVMF at 2 GiB).
    pub fn map_bars(&mut self, mem: &mut Memory) {
        let mut wanted: Vec<(u64, u64, Place, Place)> = Vec::new();
        let vga = &self.chips.vga_function;
        let frames = self.frames;
        let mut want = |base: u32, size: u64, read: Place, write: Place| {
            let (base, ram) = (u64::from(base), frames.layout.low_end());
            if base >= ram.next_multiple_of(PAGE) && base + size <= 0xfec0_0000 {
                wanted.push((page(base), size.div_ceil(PAGE), read, write));
            }
        };
        if let Some(m) = vga.frame_buffer() {
            let frame = Place::Frame(frames.vram());
            want(m.base, u64::from(frames.vram_pages) * PAGE, frame, frame);
        }
        if let Some(m) = vga.registers() {
            let chip = Place::Chip(region::VGA_REGISTERS);
            want(m.base, m.size.into(), chip, chip);
        }
        if let Some(m) = vga.rom() {
            let size = u64::from(frames.video_rom_pages) * PAGE;
            want(m.base, size.min(m.size.into()), Place::Frame(frames.video_rom()), Place::Unmapped);
        }
        for (card, rom) in self.chips.nics.iter().enumerate().filter_map(|(i, n)| Some((i, n.rom()?))) {
            let size = u64::from(frames.card_rom_pages[card]) * PAGE;
            want(rom.base, size.min(rom.size.into()), Place::Frame(frames.card_rom(card)), Place::Unmapped);
        }
        let now: Vec<Occupied> = wanted.iter().map(|w| (w.0, w.1)).collect();
        if now == self.occupied {
            return;
        }
        for (first, count) in std::mem::replace(&mut self.occupied, now) {
            mem.map(first, count, Place::Unmapped, Place::Unmapped);
        }
        for (first, count, read, write) in wanted {
            mem.map(first, count, read, write);
        }
    }
}
