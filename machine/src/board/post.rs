//! What firmware's power-on self test leaves behind, for kernels that start without any: interrupt controllers and timer
//! set up, PCI functions placed and routed. (SeaBIOS's choices where software has come to know them.)

use super::Board;
use crate::tables::{PM_BASE, SCI};
use lucid86_cpu::board::Moment;
use lucid86_cpu::{Board as _, Memory};
use lucid86_devices::Time;

/// Interrupts of the four PCI links.
pub const PIRQ_ROUTES: [u8; 4] = [10, 10, 11, 11];
/// Where the display card's frame buffer, registers and ROM go.
const FRAME_BUFFER: u32 = 0xfd00_0000;
const VIDEO_REGISTERS: u32 = 0xfebf_0000;
const VIDEO_ROM: u32 = 0xfebe_0000;
/// I/O ports of the IDE bus masters.
const BUS_MASTER: u32 = 0xc040;

impl Board {
    /// Leaves the board as after a power-on self test.
    pub fn after_post(&mut self, mem: &mut Memory, now: Time) {
        let at = Moment { cpu: 0, now_ns: now.0 };
        let mut out = |port: u16, values: &[u8]| {
            for v in values {
                self.port_out(mem, at, port, 1, (*v).into());
            }
        };
        // Interrupt controllers: vectors 08h and 70h; timer, keyboard, cascade, floppy and clock let through.
        for (port, base, cascade, mask) in [(0x20, 0x08, 0x04, 0xb8), (0xa0, 0x70, 0x02, 0x8f)] {
            out(port, &[0x11]);
            out(port + 1, &[base, cascade, 0x01, mask]);
        }
        out(0x4d1, &[0x0c]); // IRQ 10 and 11 are levels
        out(0x43, &[0x36]); // counter 0: mode 3, 18.2 Hz
        out(0x40, &[0, 0]);
        out(0x43, &[0x54]); // counter 1: refresh
        out(0x41, &[0x12]);
        out(0x92, &[2]);
        out(0x64, &[0x60]); // keyboard controller: interrupt and translation on
        out(0x60, &[0x61]);
        self.place_functions(mem, at);
    }

    fn place_functions(&mut self, mem: &mut Memory, at: Moment) {
        let mut put = |device: u32, function: u32, register: u32, width: u8, value: u32| {
            let address = 1 << 31 | device << 11 | function << 8 | register & 0xfc;
            self.port_out(mem, at, 0xcf8, 4, address);
            self.port_out(mem, at, 0xcfc + (register & 3) as u16, width, value);
        };
        for (i, irq) in PIRQ_ROUTES.iter().enumerate() {
            put(1, 0, 0x60 + i as u32, 1, (*irq).into());
        }
        // IDE: both channels decode.
        put(1, 1, 0x40, 4, 0x8000_8000);
        put(1, 1, 0x20, 4, BUS_MASTER);
        put(1, 1, 0x04, 2, 5);
        // Power management.
        put(1, 3, 0x40, 4, u32::from(PM_BASE) | 1);
        put(1, 3, 0x80, 1, 1);
        put(1, 3, 0x3c, 1, SCI.into());
        put(1, 3, 0x04, 2, 1);
        // Display.
        put(2, 0, 0x10, 4, FRAME_BUFFER);
        put(2, 0, 0x18, 4, VIDEO_REGISTERS);
        put(2, 0, 0x30, 4, VIDEO_ROM);
        put(2, 0, 0x04, 2, 3);
        // SMRAM is closed and locked, option ROMs and BIOS readable as they are.
        self.port_out(mem, at, 0xcf8, 4, 0);
    }
}
