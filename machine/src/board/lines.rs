//! Interrupt lines: from the chips' pins to the interrupt controllers, and from there to the processors.

use super::wires::{Wire, ioapic_input, irq};
use super::{Board, Signal};
use lucid86_devices::apic_bus::deliver;
use lucid86_devices::hpet::{self, Route};
use lucid86_devices::{Time, Timed};

impl Board {
    /// Drives ISA interrupt request `irq` to `level`.
    pub(super) fn drive(&mut self, irq: u8, level: bool) {
        let bit = 1 << irq;
        let level = level || self.card_line(irq);
        if (self.chips.lines & bit != 0) == level {
            return;
        }
        self.chips.lines ^= bit;
        self.chips.pics.set_line(irq, level);
        self.chips.ioapic.set_line(ioapic_input(irq), level);
    }

    fn timer_edges(&mut self, now: Time) {
        if self.chips.pit.take_edges(now) != 0 && !self.chips.hpet.legacy() {
            self.pulse(irq::TIMER);
        }
    }

    fn pulse(&mut self, irq: u8) {
        self.chips.pics.pulse(irq);
        self.chips.ioapic.pulse(ioapic_input(irq));
    }

    /// The HPET's comparators: in place of timer and clock, or on pins of the IOAPIC.
    fn hpet_lines(&mut self) {
        for n in 0..hpet::TIMERS {
            let route = self.chips.hpet.route(n);
            let level = self.chips.hpet.level(n);
            let edge = self.chips.hpet.take_edge(n);
            match route {
                Route::LegacyTimer if edge => self.pulse(irq::TIMER),
                Route::LegacyClock if edge => self.pulse(irq::RTC),
                Route::LegacyTimer | Route::LegacyClock => {}
                Route::Pin(pin) => {
                    let bit = 1 << n;
                    if edge {
                        self.chips.ioapic.pulse(pin);
                    } else if (self.chips.hpet_levels & bit != 0) != level {
                        self.chips.hpet_levels ^= bit;
                        self.chips.ioapic.set_line(pin, level);
                    }
                }
            }
        }
    }

    /// The processor's FERR# line, as of now.
    pub fn set_ferr(&mut self, asserted: bool) {
        self.chips.fpu_error.set_ferr(asserted);
        self.drive(irq::FPU, self.chips.fpu_error.irq());
    }

    fn com_level(&self, first: usize) -> bool {
        self.chips.uarts[first].irq() || self.chips.uarts[first + 2].irq()
    }

    /// The printer acknowledges a byte by a pulse.
    fn printer_line(&mut self) {
        if self.chips.parallel.take_pulse() {
            self.pulse(irq::LPT1);
        }
    }

    /// The line that belongs to one group of ports, after an access there.
    pub(super) fn update_line_of(&mut self, wire: Wire, now: Time) {
        match wire {
            Wire::Pit | Wire::Speaker => self.timer_edges(now),
            // In legacy mode the HPET has taken this line.
            Wire::Rtc if self.chips.hpet.legacy() => {}
            Wire::Rtc => self.drive(irq::RTC, self.chips.rtc.irq()),
            Wire::Hpet => self.hpet_lines(),
            Wire::Fdc | Wire::FdcDir | Wire::Dma1 => self.drive(irq::FLOPPY, self.chips.floppy.irq()),
            Wire::Lpt1 => self.printer_line(),
            Wire::FpuBusy => self.drive(irq::FPU, self.chips.fpu_error.irq()),
            Wire::Com1 | Wire::Com3 => self.drive(irq::COM1, self.com_level(0)),
            Wire::Com2 | Wire::Com4 => self.drive(irq::COM2, self.com_level(1)),
            Wire::KeyboardData | Wire::KeyboardCommand => {
                self.drive(irq::KEYBOARD, self.chips.i8042.keyboard_irq());
                self.drive(irq::MOUSE, self.chips.i8042.mouse_irq());
            }
            Wire::Ide0 | Wire::Ide0Control => self.drive(irq::IDE0, self.chips.ide.irq(0)),
            Wire::Ide1 | Wire::Ide1Control => self.drive(irq::IDE1, self.chips.ide.irq(1)),
            Wire::BusMaster => {
                self.drive(irq::IDE0, self.chips.ide.irq(0));
                self.drive(irq::IDE1, self.chips.ide.irq(1));
            }
            Wire::PowerManagement | Wire::Apm => self.drive(irq::SCI, self.chips.pm.sci()),
            Wire::Nic(card) => self.update_card_line(card.into()),
            _ => {}
        }
        self.carry();
    }

    /// What the interrupt controllers have for each other and for the processors.
    pub(super) fn carry(&mut self) {
        let c = &mut self.chips;
        if c.lapics.is_empty() {
            return;
        }
        c.lapics[0].set_lint(0, c.pics.intr());
        loop {
            while let Some(m) = c.ioapic.take_message() {
                deliver(&mut c.lapics, &m);
            }
            let sent = c.lapics.iter_mut().find_map(|l| l.take_message());
            if let Some(m) = &sent {
                deliver(&mut c.lapics, m);
            }
            let ended = c.lapics.iter_mut().find_map(|l| l.take_eoi());
            if let Some(vector) = ended {
                c.ioapic.end_of_interrupt(vector);
            }
            if sent.is_none() && ended.is_none() && !c.ioapic.has_message() {
                break;
            }
        }
        for i in 0..self.chips.lapics.len() {
            if self.chips.lapics[i].has_signals() {
                let s = self.chips.lapics[i].take_signals();
                let signals = [
                    s.init.then_some(Signal::Init(i)),
                    s.startup.map(|page| Signal::Startup(i, page)),
                    s.nmi.then_some(Signal::Nmi(i)),
                    s.smi.then_some(Signal::Smi(i)),
                ];
                signals.into_iter().flatten().for_each(|s| self.signal(s));
            }
        }
    }

    /// All lines.
    pub fn update_lines(&mut self, now: Time) {
        for wire in [
            Wire::Hpet,
            Wire::Fdc,
            Wire::Lpt1,
            Wire::FpuBusy,
            Wire::Pit,
            Wire::Rtc,
            Wire::Com1,
            Wire::Com2,
            Wire::KeyboardData,
            Wire::BusMaster,
            Wire::Apm,
        ] {
            self.update_line_of(wire, now);
        }
        self.card_lines();
    }

    /// The level of a line that chips of the board itself drive, if a card may drive it too.
    pub(super) fn board_line(&self, irq: u8) -> bool {
        match irq {
            irq::COM1 => self.com_level(0),
            irq::COM2 => self.com_level(1),
            irq::SCI => self.chips.pm.sci(),
            irq::MOUSE => self.chips.i8042.mouse_irq(),
            irq::IDE0 => self.chips.ide.irq(0),
            irq::IDE1 => self.chips.ide.irq(1),
            irq::FLOPPY => self.chips.floppy.irq(),
            _ => false,
        }
    }

    /// When the chip behind a group of ports next changes something by itself.
    pub(super) fn deadline_of(&self, wire: Wire) -> Option<Time> {
        let c = &self.chips;
        match wire {
            Wire::Pit | Wire::Speaker => c.pit.deadline(),
            Wire::Rtc => c.rtc.deadline(),
            Wire::Com1 => c.uarts[0].deadline(),
            Wire::Com2 => c.uarts[1].deadline(),
            Wire::Com3 => c.uarts[2].deadline(),
            Wire::Com4 => c.uarts[3].deadline(),
            Wire::KeyboardData | Wire::KeyboardCommand => c.i8042.deadline(),
            Wire::Ide0 | Wire::Ide1 | Wire::Ide0Control | Wire::Ide1Control | Wire::BusMaster => {
                c.ide.deadline()
            }
            Wire::PowerManagement | Wire::Apm => c.pm.deadline(),
            Wire::Fdc | Wire::FdcDir | Wire::Dma1 => c.floppy.deadline(),
            Wire::Hpet => c.hpet.deadline(),
            _ => None,
        }
    }

    /// Whether INTR is up at processor `cpu`.
    pub(super) fn intr(&self, cpu: usize) -> bool {
        match self.chips.lapics.get(cpu) {
            Some(l) => l.interrupt().is_some(),
            None => cpu == 0 && self.chips.pics.intr(),
        }
    }
}
