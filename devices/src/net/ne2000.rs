//! The NE2000: a DP8390 with a PROM for its address, 16 KiB of buffer memory of its own, a data port in place of shared
//! memory and a reset port. As an ISA card (Novell/Eagle NE2000), and as the RTL8029(AS), which is the same on PCI.
//!
//! Thirty-two ports: 00h-0Fh the controller, 10h-17h the data port, 18h-1Fh reset. Seen from the controller's DMA the PROM
//! lies at 0 and the memory from 4000h on.
//!
//! Follows: DP8390D datasheet and National's AN-729 (the NE2000's schematic); Realtek RTL8029AS datasheet, chapters 5 (registers)
//! and 6 (PCI configuration). Tests at the foot, and those of the controller beside it.

use super::NetworkCard;
use super::dp8390::{BufferMemory, Dp8390};
use crate::pci::{BarKind, ConfigSpace, Identity, Mapping, PciFunction, ROM_BAR};
use crate::{Ctx, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// Ports of the card.
pub const PORTS: u16 = 0x20;
const DATA: u16 = 0x10;
const RESET: u16 = 0x18;
/// Where the memory starts for the controller.
const RAM_AT: u16 = 0x4000;
/// Bytes of memory of the original card.
pub const RAM: usize = 16 << 10;
/// The most that the controller's addresses leave room for.
pub const MAX_RAM: usize = 32 << 10;

/// PROM and memory of the card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Buffer {
    prom: [u8; 16],
    ram: Vec<u8>,
}

impl Buffer {
    fn new(mac: [u8; 6], ram: usize) -> Buffer {
        let mut prom = [0; 16];
        prom[..6].copy_from_slice(&mac);
        prom[14..].fill(0x57); // 'W': a card of 16 bits
        Buffer { prom, ram: vec![0; ram.clamp(RAM, MAX_RAM)] }
    }

    fn place(&self, addr: u16, len: usize) -> Option<std::ops::Range<usize>> {
        let at = usize::from(addr.checked_sub(RAM_AT)?);
        (at + len <= self.ram.len()).then_some(at..at + len)
    }
}

impl BufferMemory for Buffer {
    fn get(&self, addr: u16) -> u8 {
        match addr {
            // On eight of the sixteen data lines, so that each byte is seen twice.
            0..0x20 => self.prom[usize::from(addr >> 1)],
            _ => self.place(addr, 1).map_or(0xff, |r| self.ram[r.start]),
        }
    }

    fn set(&mut self, addr: u16, value: u8) {
        if let Some(r) = self.place(addr, 1) {
            self.ram[r.start] = value;
        }
    }

    fn read(&self, addr: u16, to: &mut [u8]) {
        match self.place(addr, to.len()) {
            Some(r) => to.copy_from_slice(&self.ram[r]),
            None => to.iter_mut().enumerate().for_each(|(i, b)| *b = self.get(addr.wrapping_add(i as u16))),
        }
    }

    fn write(&mut self, addr: u16, from: &[u8]) {
        match self.place(addr, from.len()) {
            Some(r) => self.ram[r].copy_from_slice(from),
            None => from.iter().enumerate().for_each(|(i, b)| self.set(addr.wrapping_add(i as u16), *b)),
        }
    }
}

/// The card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ne2000 {
    cable: usize, // the host's index of what it is plugged into
    core: Dp8390,
    buffer: Buffer,
    function: Option<ConfigSpace>, // on PCI
}

impl Ne2000 {
    /// An ISA card with `ram` bytes of memory (16 or 32 KiB).
    pub fn isa(cable: usize, mac: [u8; 6], ram: usize) -> Ne2000 {
        Ne2000 { cable, core: Dp8390::new(), buffer: Buffer::new(mac, ram), function: None }
    }

    /// A PCI card, the RTL8029, with a boot ROM of `rom` bytes (0: none).
    pub fn pci(cable: usize, mac: [u8; 6], rom: u32) -> Ne2000 {
        let id = Identity { vendor: 0x10ec, device: 0x8029, revision: 0, class: 0x020000 };
        let mut config = ConfigSpace::new(id)
            .with_bar(0, BarKind::Io, PORTS.into())
            .with_pin(1)
            .with_subsystem(0x10ec, 0x8029);
        if rom != 0 {
            config = config.with_bar(ROM_BAR, BarKind::Rom, rom);
        }
        config.allow(0x04, 0x0003, 2); // ports and (for a boot ROM) memory; it is no bus master
        let mut card = Ne2000 { function: Some(config), ..Ne2000::isa(cable, mac, MAX_RAM) };
        card.reset();
        card
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        self.core.reset();
        if let Some(f) = &mut self.function {
            f.reset_header();
        }
    }

    /// The interrupt line.
    pub fn irq(&self) -> bool {
        self.core.irq()
    }

    /// The PCI function, if it is a PCI card.
    pub fn function(&self) -> Option<&ConfigSpace> {
        self.function.as_ref()
    }

    /// Where the ports of a PCI card lie.
    pub fn ports(&self) -> Option<Mapping> {
        self.function.as_ref()?.mapping(0)
    }

    /// Where the boot ROM of a PCI card lies.
    pub fn rom(&self) -> Option<Mapping> {
        self.function.as_ref()?.mapping(ROM_BAR)
    }

    /// Reads the data port `width` bytes at a time, as far as nothing but memory is concerned; the number of bytes.
    pub fn read_row(&mut self, to: &mut [u8], width: usize) -> usize {
        self.core.remote_read_row(&self.buffer, to, width)
    }

    /// Writes the data port `width` bytes at a time, as far as nothing but memory is concerned; the number of bytes.
    pub fn write_row(&mut self, from: &[u8], width: usize) -> usize {
        self.core.remote_write_row(&mut self.buffer, from, width)
    }

    /// Whether an access of `width` bytes at `offset` moves whole units through the data port: a word, or two at once.
    pub fn is_row(&self, offset: u16, width: usize) -> bool {
        offset == DATA && matches!(width, 2 | 4) && self.core.words()
    }

    fn read_data(&mut self, width: Width) -> u32 {
        let first = u32::from(self.core.remote_read(&self.buffer));
        match width {
            Width::Byte | Width::Word => first,
            _ => first & 0xffff | u32::from(self.core.remote_read(&self.buffer)) << 16,
        }
    }

    fn write_data(&mut self, width: Width, value: u32) {
        self.core.remote_write(&mut self.buffer, value as u16);
        if width > Width::Word {
            self.core.remote_write(&mut self.buffer, (value >> 16) as u16);
        }
    }

    fn read_register(&mut self, offset: u8) -> u8 {
        let page = self.core.page();
        match (self.core.read(offset), &self.function) {
            (Some(value), _) => value,
            // RTL8029AS: its name on page 0; on page 3 no EEPROM, 10BASE-T with link, full duplex.
            (None, Some(_)) => match (page, offset & 15) {
                (0, 10) => 0x50,
                (0, 11) => 0x43,
                (3, 5 | 6) => 0x40,
                (3, _) => 0,
                _ => 0xff,
            },
            (None, None) => 0xff,
        }
    }
}

impl Ports for Ne2000 {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        match offset {
            DATA..RESET => self.read_data(width),
            RESET.. => {
                self.core.reset();
                0xff
            }
            _ => read_bytes(offset, width, |port| self.read_register(port as u8)),
        }
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        match offset {
            DATA..RESET => self.write_data(width, value),
            RESET.. => {} // the end of the pulse that a read began
            _ => write_bytes(offset, width, value, |port, byte| {
                if let Some(frame) = self.core.write(&mut self.buffer, port as u8, byte) {
                    ctx.host.packet_out(self.cable, &frame);
                }
            }),
        }
    }
}

impl NetworkCard for Ne2000 {
    fn ready(&self) -> bool {
        !self.core.listens() || self.core.has_room()
    }

    fn acknowledged(&self) -> bool {
        !self.core.listens() || self.core.acknowledged()
    }

    fn emptied(&self) -> bool {
        self.core.emptied()
    }

    fn receive(&mut self, frame: &[u8]) {
        self.core.receive(&mut self.buffer, frame);
    }
}

/// The PCI side. An ISA card has none, and is never asked for it.
impl PciFunction for Ne2000 {
    fn config(&self) -> &ConfigSpace {
        self.function.as_ref().expect("the board asks only cards on PCI")
    }

    fn config_mut(&mut self) -> &mut ConfigSpace {
        self.function.as_mut().expect("the board asks only cards on PCI")
    }
}
