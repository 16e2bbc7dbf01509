//! The pair of 8259A programmable interrupt controllers, cascaded as in a PC/AT, with the edge/level control
//! registers (ELCR) of the PCI chip sets.
//!
//! Follows: Intel 8259A data sheet (231468-003), Intel 82371SB (PIIX3) section 2.5.5 for ELCR. Not modelled: the
//! MCS-80/85 CALL sequence and buffered mode's pin, which no PC has wired. Tests at the foot.

use crate::{Ctx, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// What the next write to the odd port is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    /// ICW2: the vector base.
    Icw2,
    /// ICW3: which inputs have slaves, or which slave this is.
    Icw3,
    /// ICW4: modes.
    Icw4,
    /// Initialised: OCW1, the interrupt mask.
    #[default]
    Ocw1,
}

/// One 8259A.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pic {
    lines: u8,            // levels of IR0-IR7 now
    latched: u8,          // edge latches: an input rose, and has not been acknowledged
    isr: u8,              // in-service register
    imr: u8,              // interrupt mask register (OCW1)
    elcr: u8,             // inputs that are level-triggered
    lowest: u8,           // input that has the lowest priority; the next one up (modulo 8) has the highest
    icw1: u8,             // bit 0 IC4, bit 1 SNGL, bit 3 LTIM
    icw2: u8,             // vector base, bits 7:3
    icw3: u8,             // master: inputs with a slave; slave: its number
    icw4: u8,             // bit 0 uPM, bit 1 AEOI, bits 3:2 buffered mode, bit 4 SFNM
    expect: Expect,       // where the initialisation sequence is
    rotate_on_aeoi: bool, // automatic rotation in AEOI mode
    special_mask: bool,   // a masked in-service level holds nobody back
    poll: bool,           // the next read is a poll
    read_isr: bool,       // the even port reads ISR instead of IRR
}

const ICW1_IC4: u8 = 1 << 0; // an ICW4 follows
const ICW1_SNGL: u8 = 1 << 1; // no cascade, no ICW3
const ICW1_LTIM: u8 = 1 << 3; // all inputs level-triggered
const ICW4_AEOI: u8 = 1 << 1; // end of interrupt at the last INTA pulse
const ICW4_SFNM: u8 = 1 << 4; // special fully nested mode
const CASCADE: u8 = 2; // master input that the slave drives

impl Pic {
    fn new() -> Self {
        Pic { lowest: 7, ..Pic::default() }
    }

    /// Interrupt request register: which inputs ask.
    pub fn irr(&self) -> u8 {
        let level = self.level_triggered();
        (self.lines & level) | (self.latched & !level)
    }

    /// In-service register: which levels the processor is serving.
    pub fn isr(&self) -> u8 {
        self.isr
    }

    /// Interrupt mask register.
    pub fn imr(&self) -> u8 {
        self.imr
    }

    /// First vector, that of IR0.
    pub fn vector_base(&self) -> u8 {
        self.icw2 & 0xF8
    }

    fn level_triggered(&self) -> u8 {
        if self.icw1 & ICW1_LTIM != 0 { 0xFF } else { self.elcr }
    }

    fn set_line(&mut self, ir: u8, level: bool) {
        let bit = 1 << (ir & 7);
        if !level {
            // An input has to stay high until it is acknowledged; one that falls earlier takes its request along.
            self.lines &= !bit;
            self.latched &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.latched |= bit;
        }
    }

    /// Position of the most urgent bit of `set` in the current priority order, 0 the highest; 8 if there is none.
    fn urgency(&self, set: u8) -> u8 {
        set.rotate_right(u32::from(self.lowest.wrapping_add(1) & 7)).trailing_zeros() as u8
    }

    fn input_at(&self, urgency: u8) -> u8 {
        self.lowest.wrapping_add(1).wrapping_add(urgency) & 7
    }

    /// The input that INT announces, if any.
    fn pending(&self) -> Option<u8> {
        let request = self.urgency(self.irr() & !self.imr);
        if request == 8 {
            return None;
        }
        let holding = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let service = self.urgency(holding);
        let input = self.input_at(request);
        // A slave's input in special fully nested mode may interrupt itself: its slave knows of something more urgent.
        let nested = self.icw4 & ICW4_SFNM != 0 && self.icw3 & (1 << input) != 0;
        (request < service || (nested && request == service)).then_some(input)
    }

    /// The INTA sequence for input `ir`.
    fn serve(&mut self, ir: u8) {
        self.latched &= !(1 << ir);
        if self.icw4 & ICW4_AEOI == 0 {
            self.isr |= 1 << ir;
        } else if self.rotate_on_aeoi {
            self.lowest = ir;
        }
    }

    fn read(&mut self, odd: bool) -> u8 {
        if std::mem::take(&mut self.poll) {
            return match self.pending() {
                Some(ir) => {
                    self.serve(ir);
                    0x80 | ir
                }
                None => 0,
            };
        }
        match (odd, self.read_isr) {
            (true, _) => self.imr,
            (false, true) => self.isr,
            (false, false) => self.irr(),
        }
    }

    fn write(&mut self, odd: bool, value: u8) {
        match (odd, self.expect) {
            (false, _) if value & 0x10 != 0 => self.icw1(value),
            (false, _) if value & 0x08 != 0 => self.ocw3(value),
            (false, _) => self.ocw2(value),
            (true, Expect::Icw2) => {
                self.icw2 = value;
                self.expect = match self.icw1 & ICW1_SNGL {
                    0 => Expect::Icw3,
                    _ => self.after_icw3(),
                };
            }
            (true, Expect::Icw3) => {
                self.icw3 = value;
                self.expect = self.after_icw3();
            }
            (true, Expect::Icw4) => {
                self.icw4 = value & 0x1F;
                self.expect = Expect::Ocw1;
            }
            (true, Expect::Ocw1) => self.imr = value,
        }
    }

    fn after_icw3(&self) -> Expect {
        if self.icw1 & ICW1_IC4 != 0 { Expect::Icw4 } else { Expect::Ocw1 }
    }

    fn icw1(&mut self, value: u8) {
        // The edge sense circuit starts anew: an input that is high has to fall first.
        *self = Pic {
            lines: self.lines,
            elcr: self.elcr,
            icw1: value & 0x0F,
            icw2: self.icw2,
            icw3: if value & ICW1_SNGL != 0 { 0 } else { self.icw3 },
            lowest: 7,
            expect: Expect::Icw2,
            ..Pic::default()
        };
    }

    fn ocw2(&mut self, value: u8) {
        let level = value & 7;
        match value >> 5 {
            0b001 => _ = self.end_of_interrupt(),
            0b011 => self.isr &= !(1 << level),
            0b101 => {
                if let Some(ir) = self.end_of_interrupt() {
                    self.lowest = ir;
                }
            }
            0b111 => {
                self.isr &= !(1 << level);
                self.lowest = level;
            }
            0b100 => self.rotate_on_aeoi = true,
            0b000 => self.rotate_on_aeoi = false,
            0b110 => self.lowest = level,
            _ => {}
        }
    }

    /// Non-specific end of interrupt: the most urgent level in service ends. Masked ones stay in special mask mode.
    fn end_of_interrupt(&mut self) -> Option<u8> {
        let candidates = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let urgency = self.urgency(candidates);
        if urgency == 8 {
            return None;
        }
        let ir = self.input_at(urgency);
        self.isr &= !(1 << ir);
        Some(ir)
    }

    fn ocw3(&mut self, value: u8) {
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
        if value & 0x04 != 0 {
            self.poll = true;
        } else if value & 0x02 != 0 {
            self.read_isr = value & 0x01 != 0;
        }
    }
}

/// Master and slave, the slave on the master's IR2.
///
/// As [`Ports`]: offsets from [`Pics::MASTER`] (20h-21h), [`Pics::SLAVE`] (A0h-A1h) and [`Pics::ELCR`] (4D0h-4D1h).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pics {
    /// IRQ 0-7.
    pub master: Pic,
    /// IRQ 8-15.
    pub slave: Pic,
}

impl Default for Pics {
    fn default() -> Self {
        Self::new()
    }
}

impl Pics {
    /// Offset of ports 20h and 21h.
    pub const MASTER: u16 = 0;
    /// Offset of ports A0h and A1h.
    pub const SLAVE: u16 = 2;
    /// Offset of ports 4D0h and 4D1h.
    pub const ELCR: u16 = 4;

    /// Both as they come up: nothing initialised, nothing masked.
    pub fn new() -> Self {
        Pics { master: Pic::new(), slave: Pic::new() }
    }

    /// Hard reset. The input levels stay: they are the other chips'.
    pub fn reset(&mut self) {
        for pic in [&mut self.master, &mut self.slave] {
            *pic = Pic { lines: pic.lines, ..Pic::new() };
        }
        self.cascade();
    }

    /// Sets the level of input `irq` (0-15). IRQ 2 is the cascade and has no pin.
    pub fn set_line(&mut self, irq: u8, level: bool) {
        match irq {
            CASCADE => {}
            0..8 => self.master.set_line(irq, level),
            _ => self.slave.set_line(irq & 7, level),
        }
        self.cascade();
    }

    /// A low pulse on input `irq`, which is high afterwards: one edge.
    pub fn pulse(&mut self, irq: u8) {
        self.set_line(irq, false);
        self.set_line(irq, true);
    }

    /// The INTR line to the processor.
    pub fn intr(&self) -> bool {
        self.master.pending().is_some()
    }

    /// The processor's interrupt acknowledge: answers with a vector. When the request has gone meanwhile, that is
    /// the spurious one of IRQ 7 or IRQ 15, with no in-service bit (except that of the cascade).
    pub fn acknowledge(&mut self) -> u8 {
        let Some(ir) = self.master.pending() else {
            return self.master.vector_base() | 7;
        };
        self.master.serve(ir);
        if ir != CASCADE || self.master.icw3 & (1 << CASCADE) == 0 {
            return self.master.vector_base() | ir;
        }
        let vector = self.slave.vector_base();
        let ir = self.slave.pending();
        if let Some(ir) = ir {
            self.slave.serve(ir);
        }
        // The slave's INT falls with the acknowledge, so what is still pending there is a new edge.
        self.master.set_line(CASCADE, false);
        self.cascade();
        vector | ir.unwrap_or(7)
    }

    fn cascade(&mut self) {
        self.master.set_line(CASCADE, self.slave.pending().is_some());
    }

    fn read_port(&mut self, offset: u16) -> u8 {
        let value = match offset {
            0 | 1 => self.master.read(offset & 1 != 0),
            2 | 3 => self.slave.read(offset & 1 != 0),
            4 => self.master.elcr,
            5 => self.slave.elcr,
            _ => 0xFF,
        };
        self.cascade();
        value
    }

    fn write_port(&mut self, offset: u16, value: u8) {
        match offset {
            0 | 1 => self.master.write(offset & 1 != 0, value),
            2 | 3 => self.slave.write(offset & 1 != 0, value),
            4 => self.master.elcr = value & 0xF8, // IRQ 0, 1 and 2 are always edges
            5 => self.slave.elcr = value & 0xDE,  // and so are 8 and 13
            _ => {}
        }
        if offset == 0 && value & 0x10 != 0 {
            // After ICW1 the cascade too needs a new edge; the slave's request gives one when it is acknowledged or
            // renewed. A slave that asks right now is heard, as its INT drops while both are set up.
            self.master.set_line(CASCADE, false);
        }
        self.cascade();
    }
}

impl Ports for Pics {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(port))
    }

    fn write(&mut self, _ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(port, byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set up as every PC BIOS does: vectors 8 and 70h, cascade on 2, 8086 mode, nothing masked.
    fn pc() -> Pics {
        let mut pics = Pics::new();
        for (offset, value) in
            [(0, 0x11), (1, 0x08), (1, 0x04), (1, 0x01), (2, 0x11), (3, 0x70), (3, 0x02), (3, 0x01)]
        {
            pics.write_port(offset, value);
        }
        pics
    }

    fn eoi(pics: &mut Pics) {
        pics.write_port(0, 0x20);
    }

    #[test]
    fn an_edge_gives_one_interrupt() {
        let mut pics = pc();
        pics.set_line(1, true);
        assert!(pics.intr());
        assert_eq!(pics.acknowledge(), 9);
        assert!(!pics.intr());
        eoi(&mut pics);
        assert!(!pics.intr(), "the line is still high, but there was no new edge");
        pics.pulse(1);
        assert!(pics.intr());
    }

    #[test]
    fn lower_priority_waits_for_the_end_of_interrupt() {
        let mut pics = pc();
        pics.set_line(3, true);
        assert_eq!(pics.acknowledge(), 0x0B);
        pics.set_line(4, true);
        assert!(!pics.intr());
        pics.set_line(0, true);
        assert_eq!(pics.acknowledge(), 8);
        eoi(&mut pics);
        assert!(!pics.intr());
        eoi(&mut pics);
        assert_eq!(pics.acknowledge(), 0x0C);
    }

    #[test]
    fn slave_goes_through_the_cascade() {
        let mut pics = pc();
        pics.set_line(14, true);
        assert_eq!(pics.acknowledge(), 0x76);
        assert_eq!((pics.master.isr(), pics.slave.isr()), (0x04, 0x40));
        pics.set_line(8, true);
        assert!(!pics.intr(), "fully nested: the master holds its IR2 back");
        pics.write_port(2, 0x20);
        eoi(&mut pics);
        assert_eq!(pics.acknowledge(), 0x70);
    }

    #[test]
    fn two_slave_requests_are_served_in_turn() {
        let mut pics = pc();
        pics.set_line(12, true);
        pics.set_line(14, true);
        assert_eq!(pics.acknowledge(), 0x74);
        pics.write_port(2, 0x20);
        eoi(&mut pics);
        assert_eq!(pics.acknowledge(), 0x76);
    }

    #[test]
    fn special_fully_nested_mode_lets_the_slave_interrupt_itself() {
        let mut pics = pc();
        for (offset, value) in [(0, 0x11), (1, 0x08), (1, 0x04), (1, 0x11)] {
            pics.write_port(offset, value);
        }
        pics.set_line(14, true);
        assert_eq!(pics.acknowledge(), 0x76);
        pics.set_line(8, true);
        assert_eq!(pics.acknowledge(), 0x70);
    }

    #[test]
    fn a_request_that_went_away_is_spurious() {
        let mut pics = pc();
        pics.set_line(5, true);
        pics.set_line(5, false);
        assert!(!pics.intr());
        assert_eq!(pics.acknowledge(), 0x0F);
        assert_eq!(pics.master.isr(), 0);
    }

    #[test]
    fn level_triggered_input_asks_until_it_falls() {
        let mut pics = pc();
        pics.write_port(5, 0xFF);
        assert_eq!(pics.read_port(5), 0xDE);
        pics.write_port(4, 0xFF);
        assert_eq!(pics.read_port(4), 0xF8);
        pics.set_line(11, true);
        assert_eq!(pics.acknowledge(), 0x73);
        pics.write_port(2, 0x20);
        eoi(&mut pics);
        assert!(pics.intr(), "still high");
        pics.set_line(11, false);
        assert!(!pics.intr());
    }

    #[test]
    fn mask_holds_a_request_back_without_losing_it() {
        let mut pics = pc();
        pics.write_port(1, 0xFF);
        pics.set_line(4, true);
        assert!(!pics.intr());
        assert_eq!(pics.read_port(0), 0x10, "IRR");
        pics.write_port(1, 0xEF);
        assert_eq!(pics.read_port(1), 0xEF);
        assert_eq!(pics.acknowledge(), 0x0C);
        pics.write_port(0, 0x0B);
        assert_eq!(pics.read_port(0), 0x10, "ISR");
    }

    #[test]
    fn special_mask_mode_lets_lower_levels_in() {
        let mut pics = pc();
        pics.set_line(1, true);
        pics.acknowledge();
        pics.set_line(6, true);
        assert!(!pics.intr());
        pics.write_port(0, 0x68);
        pics.write_port(1, 0x02);
        assert_eq!(pics.acknowledge(), 0x0E);
        eoi(&mut pics);
        assert_eq!(pics.master.isr(), 0x02, "the masked level is not ended by a non-specific EOI");
        pics.write_port(0, 0x48);
        eoi(&mut pics);
        assert_eq!(pics.master.isr(), 0);
    }

    #[test]
    fn rotation_makes_the_served_level_the_lowest() {
        let mut pics = pc();
        pics.set_line(4, true);
        pics.acknowledge();
        pics.write_port(0, 0xA0); // rotate on non-specific EOI
        pics.set_line(3, true);
        pics.set_line(5, true);
        assert_eq!(pics.acknowledge(), 0x0D, "5 is now the highest");
        pics.write_port(0, 0x65); // specific EOI of 5
        assert_eq!(pics.master.isr(), 0);
        pics.write_port(0, 0xC2); // lowest is 2, so 3 the highest
        pics.pulse(5);
        assert_eq!(pics.acknowledge(), 0x0B);
    }

    #[test]
    fn automatic_end_of_interrupt_leaves_nothing_in_service() {
        let mut pics = pc();
        for (offset, value) in [(0, 0x11), (1, 0x08), (1, 0x04), (1, 0x03)] {
            pics.write_port(offset, value);
        }
        pics.set_line(0, true);
        assert_eq!(pics.acknowledge(), 8);
        assert_eq!(pics.master.isr(), 0);
        pics.set_line(3, true);
        assert!(pics.intr());
    }

    #[test]
    fn poll_acknowledges() {
        let mut pics = pc();
        pics.write_port(0, 0x0C);
        assert_eq!(pics.read_port(0), 0);
        pics.set_line(3, true);
        pics.write_port(0, 0x0C);
        assert_eq!(pics.read_port(0), 0x83);
        assert_eq!(pics.master.isr(), 0x08);
        assert_eq!(pics.read_port(0), 0, "an ordinary read again: IRR");
    }

    #[test]
    fn icw1_clears_mask_and_edge_latches() {
        let mut pics = pc();
        pics.write_port(1, 0xFF);
        pics.set_line(4, true);
        for (offset, value) in [(0, 0x11), (1, 0x20), (1, 0x04), (1, 0x01)] {
            pics.write_port(offset, value);
        }
        assert_eq!(pics.read_port(1), 0);
        assert!(!pics.intr());
        pics.pulse(4);
        assert_eq!(pics.acknowledge(), 0x24);
    }
}
