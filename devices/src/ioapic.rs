//! 82093AA I/O APIC: 24 pins, each with an entry that says what message its interrupt becomes.
//!
//! Follows: Intel 82093AA data sheet (290566-001); from version 20h on with the EOI register of later ones. Messages
//! are taken by the board after each change ([`IoApic::take_message`]). Tests at the foot.

use crate::{
    Ctx, Registers, Width,
    apic_bus::{Delivery, Destination, Message},
};
use serde::{Deserialize, Serialize};

/// Pins.
pub const PINS: usize = 24;

const IOREGSEL: u64 = 0x00; // which register the window shows
const IOWIN: u64 = 0x10; // the window
const EOI: u64 = 0x40; // from version 20h on

const VECTOR: u64 = 0xFF;
const LOGICAL: u64 = 1 << 11;
const DELIVERY_STATUS: u64 = 1 << 12; // read-only: waits to be sent
const REMOTE_IRR: u64 = 1 << 14; // read-only: a level interrupt is accepted and not ended
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
const READ_ONLY: u64 = DELIVERY_STATUS | REMOTE_IRR;
const WRITABLE: u64 = 0xFF00_0000_0001_FFFF & !READ_ONLY;

/// An I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    id: u8,             // four bits
    version: u8,        // 11h: 82093AA
    select: u8,         // IOREGSEL
    lines: u32,         // levels of the pins; polarity is the wiring's affair
    edges: u32,         // edge interrupts that wait to be sent
    table: [u64; PINS], // I/O redirection table
}

impl IoApic {
    /// An I/O APIC with this ID and version (11h, or 20h with an EOI register). All pins are masked.
    pub fn new(id: u8, version: u8) -> Self {
        IoApic { id, version, select: 0, lines: 0, edges: 0, table: [MASKED; PINS] }
    }

    /// Hard reset. Levels at the pins stay.
    pub fn reset(&mut self) {
        *self = IoApic { lines: self.lines, ..IoApic::new(self.id, self.version) };
    }

    /// Drives pin `pin` (0-23): true is asserted.
    pub fn set_line(&mut self, pin: u8, level: bool) {
        let Some(entry) = self.table.get(usize::from(pin)) else { return };
        let bit = 1 << pin;
        let rose = level && self.lines & bit == 0;
        self.lines = if level { self.lines | bit } else { self.lines & !bit };
        // An edge at a masked pin is lost.
        if rose && !is_level(*entry) && entry & MASKED == 0 {
            self.edges |= bit;
        }
    }

    /// Whether an edge at pin `pin` changes nothing.
    pub fn is_masked(&self, pin: u8) -> bool {
        self.table.get(usize::from(pin)).is_none_or(|entry| entry & MASKED != 0)
    }

    /// A low pulse on pin `pin`, which is asserted afterwards: one edge.
    pub fn pulse(&mut self, pin: u8) {
        self.set_line(pin, false);
        self.set_line(pin, true);
    }

    /// The end of level-triggered interrupt `vector`, as a local APIC broadcasts it.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        for entry in self.table.iter_mut().filter(|entry| **entry & VECTOR == u64::from(vector)) {
            *entry &= !REMOTE_IRR;
        }
    }

    /// Whether [`IoApic::take_message`] has one.
    pub fn has_message(&self) -> bool {
        self.ready() != 0
    }

    /// The next message for the local APICs. Take them all after each change.
    pub fn take_message(&mut self) -> Option<Message> {
        while self.ready() != 0 {
            let pin = self.ready().trailing_zeros() as usize;
            self.edges &= !(1 << pin);
            let entry = self.table[pin];
            let level = is_level(entry);
            if level {
                self.table[pin] |= REMOTE_IRR;
            }
            if let Some(delivery) = Delivery::from_code((entry >> 8) as u32) {
                return Some(Message {
                    vector: entry as u8,
                    delivery,
                    destination: Destination::from_xapic(entry & LOGICAL != 0, (entry >> 56) as u8),
                    level,
                });
            }
        }
        None
    }

    /// Pins with an interrupt to send.
    fn ready(&self) -> u32 {
        let mut active = self.lines | self.edges;
        let mut ready = 0;
        while active != 0 {
            let pin = active.trailing_zeros() as usize;
            active &= active - 1;
            let Some(entry) = self.table.get(pin) else { break };
            let asks = match is_level(*entry) {
                true => self.lines >> pin & 1 != 0 && entry & REMOTE_IRR == 0,
                false => self.edges >> pin & 1 != 0,
            };
            ready |= u32::from(asks && entry & MASKED == 0) << pin;
        }
        ready
    }

    fn read_register(&self) -> u32 {
        match self.select {
            0x00 | 0x02 => u32::from(self.id & 0xF) << 24, // ID; arbitration ID follows it
            0x01 => (PINS as u32 - 1) << 16 | u32::from(self.version),
            index @ 0x10..0x40 => {
                let pin = usize::from(index - 0x10) / 2;
                let entry = self.table[pin] | if self.edges >> pin & 1 != 0 { DELIVERY_STATUS } else { 0 };
                (if index & 1 == 0 { entry } else { entry >> 32 }) as u32
            }
            _ => 0,
        }
    }

    fn write_register(&mut self, value: u32) {
        match self.select {
            0x00 => self.id = (value >> 24) as u8 & 0xF,
            index @ 0x10..0x40 => {
                let pin = usize::from(index - 0x10) / 2;
                let (shift, half) = if index & 1 == 0 { (0, 0xFFFF_FFFF) } else { (32, 0xFFFF_FFFF << 32) };
                let written = u64::from(value) << shift & WRITABLE;
                self.table[pin] = self.table[pin] & (!half | READ_ONLY) | written;
                self.entry_changed(pin);
            }
            _ => {}
        }
    }

    fn entry_changed(&mut self, pin: usize) {
        if !is_level(self.table[pin]) {
            // Edge-triggered entries have no remote IRR; older software clears one by switching to edge and back.
            self.table[pin] &= !REMOTE_IRR;
        } else {
            self.edges &= !(1 << pin);
        }
    }
}

/// Whether an entry is level-triggered: only vectors are, whatever the bit says for the other delivery modes.
fn is_level(entry: u64) -> bool {
    let mode = Delivery::from_code((entry >> 8) as u32);
    entry & LEVEL != 0 && matches!(mode, Some(Delivery::Fixed | Delivery::LowestPriority))
}

impl Registers for IoApic {
    fn load(&mut self, _ctx: &mut Ctx, offset: u64, _width: Width) -> u64 {
        match offset & 0xFF {
            IOREGSEL => self.select.into(),
            IOWIN => self.read_register().into(),
            _ => 0,
        }
    }

    fn store(&mut self, _ctx: &mut Ctx, offset: u64, _width: Width, value: u64) {
        match offset & 0xFF {
            IOREGSEL => self.select = value as u8,
            IOWIN => self.write_register(value as u32),
            EOI if self.version >= 0x20 => self.end_of_interrupt(value as u8),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    struct Chip {
        bench: Bench,
        ioapic: IoApic,
    }

    impl Chip {
        fn new() -> Self {
            Chip { bench: Bench::new(), ioapic: IoApic::new(1, 0x11) }
        }

        fn write(&mut self, register: u64, value: u32) {
            self.ioapic.store(&mut self.bench.ctx(), 0, Width::Dword, register);
            self.ioapic.store(&mut self.bench.ctx(), 0x10, Width::Dword, value.into());
        }

        fn read(&mut self, register: u64) -> u32 {
            self.ioapic.store(&mut self.bench.ctx(), 0, Width::Dword, register);
            self.ioapic.load(&mut self.bench.ctx(), 0x10, Width::Dword) as u32
        }

        fn sent(&mut self) -> Vec<u8> {
            std::iter::from_fn(|| self.ioapic.take_message()).map(|message| message.vector).collect()
        }
    }

    #[test]
    fn identification() {
        let mut chip = Chip::new();
        assert_eq!(chip.read(0), 0x0100_0000);
        assert_eq!(chip.read(1), 0x0017_0011);
        chip.write(0, 0x0500_0000);
        assert_eq!(chip.read(0), 0x0500_0000);
        assert_eq!(chip.read(0x10), 0x1_0000);
    }

    #[test]
    fn an_edge_becomes_a_message() {
        let mut chip = Chip::new();
        chip.write(0x12, 0x0931);
        chip.write(0x13, 0x0300_0000);
        chip.ioapic.set_line(1, true);
        let message = chip.ioapic.take_message().unwrap();
        assert_eq!(message.destination, Destination::Logical(3));
        assert_eq!(
            (message.vector, message.delivery, message.level),
            (0x31, Delivery::LowestPriority, false)
        );
        assert_eq!(chip.sent(), []);
        chip.ioapic.pulse(1);
        assert_eq!(chip.sent(), [0x31]);
    }

    #[test]
    fn edges_at_a_masked_pin_are_lost() {
        let mut chip = Chip::new();
        chip.write(0x12, 0x1_0031);
        chip.ioapic.set_line(1, true);
        chip.write(0x12, 0x31);
        assert_eq!(chip.sent(), []);
    }

    #[test]
    fn a_level_is_sent_again_after_its_end() {
        let mut chip = Chip::new();
        chip.write(0x10 + 2 * 11, 0x8041);
        chip.ioapic.set_line(11, true);
        assert_eq!(chip.sent(), [0x41]);
        assert_eq!(chip.read(0x10 + 2 * 11), 0xC041, "remote IRR");
        chip.ioapic.end_of_interrupt(0x40);
        assert_eq!(chip.sent(), []);
        chip.ioapic.end_of_interrupt(0x41);
        assert_eq!(chip.sent(), [0x41], "still asserted");
        chip.ioapic.set_line(11, false);
        chip.ioapic.end_of_interrupt(0x41);
        assert_eq!(chip.sent(), []);
        assert_eq!(chip.read(0x10 + 2 * 11), 0x8041);
    }

    #[test]
    fn a_masked_level_is_sent_when_unmasked() {
        let mut chip = Chip::new();
        chip.write(0x10 + 2 * 11, 0x1_8041);
        chip.ioapic.set_line(11, true);
        assert_eq!(chip.sent(), []);
        chip.write(0x10 + 2 * 11, 0x8041);
        assert_eq!(chip.sent(), [0x41]);
    }

    #[test]
    fn switching_to_edge_clears_remote_irr() {
        let mut chip = Chip::new();
        chip.write(0x10 + 2 * 11, 0x8041);
        chip.ioapic.set_line(11, true);
        chip.sent();
        chip.write(0x10 + 2 * 11, 0x1_0041);
        chip.write(0x10 + 2 * 11, 0x8041);
        assert_eq!(chip.sent(), [0x41]);
    }

    #[test]
    fn eoi_register_from_version_20() {
        let mut chip = Chip::new();
        chip.ioapic = IoApic::new(0, 0x20);
        chip.write(0x10 + 2 * 11, 0x8041);
        chip.ioapic.set_line(11, true);
        chip.sent();
        chip.ioapic.store(&mut chip.bench.ctx(), 0x40, Width::Dword, 0x41);
        assert_eq!(chip.sent(), [0x41]);
    }

    #[test]
    fn pins_beyond_the_last_are_nowhere() {
        let mut chip = Chip::new();
        chip.ioapic.set_line(24, true);
        chip.write(0x40, 0x31);
        assert_eq!(chip.read(0x40), 0);
    }
}
