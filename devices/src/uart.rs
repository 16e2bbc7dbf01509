//! 16550A UART, the PC's serial port.
//!
//! Follows: National Semiconductor PC16550D data sheet (TL/C/8652), section 8. A character leaves the moment it is
//! written, so the transmit FIFO is always empty; the receive side takes what the board offers while there is room
//! and never loses any. On a PC, OUT2 gates the interrupt. Tests at the foot.

use crate::{Ctx, Ports, Time, Timed, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const IER_ERBFI: u8 = 1 << 0; // enable received data available
const IER_ETBEI: u8 = 1 << 1; // enable transmitter holding register empty
const IER_ELSI: u8 = 1 << 2; // enable receiver line status
const IER_EDSSI: u8 = 1 << 3; // enable modem status
const IIR_NONE: u8 = 0x01;
const IIR_MODEM: u8 = 0x00;
const IIR_THRE: u8 = 0x02;
const IIR_DATA: u8 = 0x04;
const IIR_LINE: u8 = 0x06;
const IIR_TIMEOUT: u8 = 0x0C; // characters wait in the FIFO, and none came or went for four character times
const IIR_FIFO: u8 = 0xC0;
const FCR_ENABLE: u8 = 1 << 0;
const FCR_RX_RESET: u8 = 1 << 1;
const LCR_BREAK: u8 = 1 << 6;
const LCR_DLAB: u8 = 1 << 7; // divisor latch access
const MCR_DTR: u8 = 1 << 0;
const MCR_RTS: u8 = 1 << 1;
const MCR_OUT1: u8 = 1 << 2;
const MCR_OUT2: u8 = 1 << 3; // lets the interrupt out
const MCR_LOOP: u8 = 1 << 4;
const LSR_DR: u8 = 1 << 0; // data ready
const LSR_OE: u8 = 1 << 1; // overrun error
const LSR_FE: u8 = 1 << 3; // framing error
const LSR_BI: u8 = 1 << 4; // break interrupt
const LSR_ERRORS: u8 = 0x1E; // with parity error
const LSR_THRE: u8 = 1 << 5; // transmitter holding register empty
const LSR_TEMT: u8 = 1 << 6; // transmitter empty
const LSR_FIFO_ERROR: u8 = 1 << 7; // an error waits somewhere in the FIFO
const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;
const MSR_TERI: u8 = 1 << 2; // ring indicator's trailing edge

/// Depth of the receive FIFO.
const FIFO: usize = 16;
/// Input clock of the baud rate generator; a sixteenth of it is divided.
const CLOCK_HZ: u64 = 1_843_200;

/// Modem input lines, as the other end drives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ModemLines {
    pub clear_to_send: bool,
    pub data_set_ready: bool,
    pub ring: bool,
    pub carrier: bool,
}

/// A 16550A.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart {
    outlet: usize, // where characters go: the host's index of this port
    received: VecDeque<Received>,
    last_received: u8,        // RBR keeps its value once read
    overrun: bool,            // LSR bit 1
    divisor: u16,             // DLM and DLL
    ier: u8,                  // interrupt enable register
    fcr: u8,                  // FIFO control register: bit 0 enable, bits 7:6 receive trigger
    lcr: u8,                  // line control register
    mcr: u8,                  // modem control register
    scr: u8,                  // scratch
    modem_inputs: u8,         // MSR bits 7:4 as the other end drives them
    modem_deltas: u8,         // MSR bits 3:0: changes since MSR was read
    thre_pending: bool,       // the transmitter ran empty and IIR has not told yet
    timeout_at: Option<Time>, // when the character timeout comes
    timed_out: bool,          // the character timeout has come
}

/// A character in the receive FIFO, with its line status bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Received {
    byte: u8,
    errors: u8,
}

impl Uart {
    /// A port whose characters leave by the host's serial port `outlet`, with a willing peer at the other end (CTS,
    /// DSR and DCD on).
    pub fn new(outlet: usize) -> Self {
        Uart {
            outlet,
            received: VecDeque::new(),
            last_received: 0,
            overrun: false,
            divisor: 12,
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            modem_inputs: MSR_CTS | MSR_DSR | MSR_DCD,
            modem_deltas: 0,
            thre_pending: false,
            timeout_at: None,
            timed_out: false,
        }
    }

    /// The master reset pin. Divisor and scratch keep their values.
    pub fn reset(&mut self) {
        *self = Uart {
            divisor: self.divisor,
            scr: self.scr,
            modem_inputs: self.modem_inputs,
            ..Uart::new(self.outlet)
        };
    }

    /// The interrupt line.
    pub fn irq(&self) -> bool {
        self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2 && self.source() != IIR_NONE
    }

    /// How many characters [`Uart::receive`] takes now.
    pub fn room(&self) -> usize {
        if self.mcr & MCR_LOOP != 0 { 0 } else { self.depth().saturating_sub(self.received.len()) }
    }

    /// A character comes in from the other end; false if there is no room for it yet.
    pub fn receive(&mut self, now: Time, byte: u8) -> bool {
        let room = self.room() != 0;
        if room {
            self.arrive(now, Received { byte, errors: 0 });
        }
        room
    }

    /// The other end changes its modem lines.
    pub fn set_modem_lines(&mut self, lines: ModemLines) {
        let before = self.modem_status();
        let bit = |on, bit| if on { bit } else { 0 };
        self.modem_inputs = bit(lines.clear_to_send, MSR_CTS)
            | bit(lines.data_set_ready, MSR_DSR)
            | bit(lines.ring, MSR_RI)
            | bit(lines.carrier, MSR_DCD);
        self.note_modem_change(before);
    }

    /// Whether the guest asks the other end to send (RTS) and says that it is there (DTR).
    pub fn modem_outputs(&self) -> (bool, bool) {
        (self.mcr & MCR_RTS != 0, self.mcr & MCR_DTR != 0)
    }

    /// Bits per second that the divisor stands for.
    pub fn baud(&self) -> u32 {
        (CLOCK_HZ / 16 / u64::from(self.divisor.max(1))) as u32
    }

    fn fifo_enabled(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    fn depth(&self) -> usize {
        if self.fifo_enabled() { FIFO } else { 1 }
    }

    fn trigger(&self) -> usize {
        match (self.fifo_enabled(), self.fcr >> 6) {
            (false, _) | (true, 0) => 1,
            (true, 1) => 4,
            (true, 2) => 8,
            (true, _) => 14,
        }
    }

    /// Nanoseconds that a character takes on the line: start bit, data, parity, stop bits.
    fn character_ns(&self) -> u64 {
        let data = 5 + u64::from(self.lcr & 3);
        let bits = 1 + data + u64::from(self.lcr >> 3 & 1) + 1 + u64::from(self.lcr >> 2 & 1);
        bits * 16 * u64::from(self.divisor.max(1)) * 1_000_000_000 / CLOCK_HZ
    }

    fn arrive(&mut self, now: Time, received: Received) {
        if self.received.len() >= self.depth() {
            self.overrun = true;
            if !self.fifo_enabled() {
                self.received.clear();
                self.received.push_back(received);
            }
        } else {
            self.received.push_back(received);
        }
        self.restart_timeout(now);
    }

    fn restart_timeout(&mut self, now: Time) {
        self.timed_out = false;
        let waiting = self.fifo_enabled() && !self.received.is_empty();
        self.timeout_at = waiting.then(|| Time(now.0.saturating_add(4 * self.character_ns())));
    }

    fn settle(&mut self, now: Time) {
        if self.timeout_at.is_some_and(|at| at <= now) {
            self.timeout_at = None;
            self.timed_out = true;
        }
    }

    fn line_status(&self) -> u8 {
        let mut status = LSR_THRE | LSR_TEMT;
        if let Some(first) = self.received.front() {
            status |= LSR_DR | first.errors;
        }
        if self.overrun {
            status |= LSR_OE;
        }
        if self.fifo_enabled() && self.received.iter().any(|r| r.errors != 0) {
            status |= LSR_FIFO_ERROR;
        }
        status
    }

    /// MSR bits 7:4. In loopback the outputs come back as inputs.
    fn modem_status(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return self.modem_inputs;
        }
        [(MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD)]
            .into_iter()
            .fold(0, |sum, (output, input)| if self.mcr & output != 0 { sum | input } else { sum })
    }

    fn note_modem_change(&mut self, before: u8) {
        let after = self.modem_status();
        self.modem_deltas |= ((before ^ after) & !MSR_RI) >> 4;
        if before & !after & MSR_RI != 0 {
            self.modem_deltas |= MSR_TERI;
        }
    }

    /// The most urgent interrupt, as IIR names it.
    fn source(&self) -> u8 {
        let enabled = |bit| self.ier & bit != 0;
        if enabled(IER_ELSI) && self.line_status() & LSR_ERRORS != 0 {
            IIR_LINE
        } else if enabled(IER_ERBFI) && self.received.len() >= self.trigger() {
            IIR_DATA
        } else if enabled(IER_ERBFI) && self.timed_out {
            IIR_TIMEOUT
        } else if enabled(IER_ETBEI) && self.thre_pending {
            IIR_THRE
        } else if enabled(IER_EDSSI) && self.modem_deltas != 0 {
            IIR_MODEM
        } else {
            IIR_NONE
        }
    }

    fn transmit(&mut self, ctx: &mut Ctx, byte: u8) {
        if self.mcr & MCR_LOOP != 0 {
            let mask = 0xFF >> (3 - (self.lcr & 3));
            self.arrive(ctx.now, Received { byte: byte & mask, errors: 0 });
        } else {
            // All eight bits whatever LCR says: the reset value is five bits, and programs that never set it want to be
            // read all the same.
            ctx.host.serial_out(self.outlet, byte);
        }
        self.thre_pending = true;
    }

    fn read_data(&mut self, now: Time) -> u8 {
        if let Some(received) = self.received.pop_front() {
            self.last_received = received.byte;
            self.restart_timeout(now);
        }
        self.last_received
    }

    fn read_line_status(&mut self) -> u8 {
        let status = self.line_status();
        self.overrun = false;
        if let Some(first) = self.received.front_mut() {
            first.errors = 0;
        }
        status
    }

    fn read_identification(&mut self) -> u8 {
        let source = self.source();
        if source == IIR_THRE {
            self.thre_pending = false;
        }
        source | if self.fifo_enabled() { IIR_FIFO } else { 0 }
    }

    fn write_fifo_control(&mut self, value: u8) {
        if (value ^ self.fcr) & FCR_ENABLE != 0 || value & FCR_RX_RESET != 0 {
            self.received.clear();
            self.timeout_at = None;
            self.timed_out = false;
        }
        // The other bits can be set only together with the enable.
        self.fcr = if value & FCR_ENABLE != 0 { value & 0xC9 } else { 0 };
    }

    fn write_line_control(&mut self, now: Time, value: u8) {
        if value & !self.lcr & LCR_BREAK != 0 && self.mcr & MCR_LOOP != 0 {
            self.arrive(now, Received { byte: 0, errors: LSR_BI | LSR_FE });
        }
        self.lcr = value;
    }

    fn write_modem_control(&mut self, value: u8) {
        let before = self.modem_status();
        self.mcr = value & 0x1F;
        self.note_modem_change(before);
    }

    fn read_port(&mut self, now: Time, offset: u16) -> u8 {
        self.settle(now);
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        match (offset, self.lcr & LCR_DLAB != 0) {
            (0, true) => divisor_low,
            (1, true) => divisor_high,
            (0, false) => self.read_data(now),
            (1, false) => self.ier,
            (2, _) => self.read_identification(),
            (3, _) => self.lcr,
            (4, _) => self.mcr,
            (5, _) => self.read_line_status(),
            (6, _) => self.modem_status() | std::mem::take(&mut self.modem_deltas),
            (7, _) => self.scr,
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, ctx: &mut Ctx, offset: u16, value: u8) {
        self.settle(ctx.now);
        match (offset, self.lcr & LCR_DLAB != 0) {
            (0, true) => self.divisor = self.divisor & 0xFF00 | u16::from(value),
            (1, true) => self.divisor = self.divisor & 0x00FF | u16::from(value) << 8,
            (0, false) => self.transmit(ctx, value),
            (1, false) => {
                // An empty transmitter asks as soon as it may.
                self.thre_pending |= value & !self.ier & IER_ETBEI != 0;
                self.ier = value & 0x0F;
            }
            (2, _) => self.write_fifo_control(value),
            (3, _) => self.write_line_control(ctx.now, value),
            (4, _) => self.write_modem_control(value),
            (7, _) => self.scr = value,
            _ => {} // LSR and MSR: writing is for factory tests
        }
    }
}

impl Ports for Uart {
    fn read(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(ctx.now, port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx, port, byte));
    }
}

impl Timed for Uart {
    fn deadline(&self) -> Option<Time> {
        self.timeout_at.filter(|_| self.ier & IER_ERBFI != 0)
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.settle(ctx.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    const RBR: u16 = 0;
    const IER: u16 = 1;
    const IIR: u16 = 2;
    const LCR: u16 = 3;
    const MCR: u16 = 4;
    const LSR: u16 = 5;
    const MSR: u16 = 6;

    struct Port {
        bench: Bench,
        uart: Uart,
    }

    impl Port {
        /// 115200 baud, 8N1, FIFO on with trigger 14, OUT2.
        fn open() -> Self {
            let mut port = Port { bench: Bench::new(), uart: Uart::new(0) };
            for (offset, value) in [(LCR, 0x80), (0, 1), (1, 0), (LCR, 3), (IIR, 0xC7), (MCR, 0x0B)] {
                port.write(offset, value);
            }
            port
        }

        fn read(&mut self, offset: u16) -> u8 {
            self.bench.inb(&mut self.uart, offset)
        }

        fn write(&mut self, offset: u16, value: u8) {
            self.bench.outb(&mut self.uart, offset, value);
        }

        fn receive(&mut self, text: &str) -> usize {
            text.bytes().take_while(|byte| self.uart.receive(self.bench.now, *byte)).count()
        }

        fn pass(&mut self, ns: u64) {
            self.bench.pass(ns);
            self.uart.advance(&mut self.bench.ctx());
        }
    }

    #[test]
    fn transmits() {
        let mut port = Port::open();
        for byte in *b"hi" {
            assert_eq!(port.read(LSR), 0x60);
            port.write(0, byte);
        }
        assert_eq!(port.bench.outside.serial, b"hi");
    }

    /// Programs that never set the line control register are heard as well.
    #[test]
    fn transmits_whole_bytes_whatever_the_word_length() {
        let mut port = Port { bench: Bench::new(), uart: Uart::new(0) };
        port.write(0, b'h');
        port.write(LCR, 2);
        port.write(0, 0xE9);
        assert_eq!(port.bench.outside.serial, b"h\xE9");
    }

    #[test]
    fn empty_transmitter_interrupts_once_for_each_time() {
        let mut port = Port::open();
        port.write(IER, 0x02);
        assert!(port.uart.irq());
        assert_eq!(port.read(IIR), 0xC2);
        assert!(!port.uart.irq(), "reading IIR cleared it");
        assert_eq!(port.read(IIR), 0xC1);
        port.write(0, b'x');
        assert!(port.uart.irq());
        port.write(IER, 0);
        assert!(!port.uart.irq());
    }

    #[test]
    fn receive_interrupts_at_the_trigger_level() {
        let mut port = Port::open();
        port.write(IER, 0x01);
        port.receive("0123456789abc");
        assert!(!port.uart.irq());
        port.receive("d");
        assert_eq!(port.read(IIR), 0xC4);
        assert_eq!(port.read(RBR), b'0');
        assert!(!port.uart.irq(), "below the trigger again");
    }

    #[test]
    fn character_timeout_after_four_characters() {
        let mut port = Port::open();
        port.write(IER, 0x01);
        port.receive("a");
        let four = 4 * (10 * 1_000_000_000 / 115_200);
        assert_eq!(port.uart.deadline(), Some(Time(four)));
        port.pass(four);
        assert_eq!(port.read(IIR), 0xCC);
        assert!(port.uart.irq());
        assert_eq!(port.read(RBR), b'a');
        assert!(!port.uart.irq());
        assert_eq!(port.uart.deadline(), None);
    }

    #[test]
    fn no_room_no_loss() {
        let mut port = Port::open();
        assert_eq!(port.receive("0123456789abcdefghij"), 16);
        assert_eq!(port.read(LSR), 0x61, "no overrun");
        port.read(RBR);
        assert_eq!(port.uart.room(), 1);
    }

    #[test]
    fn without_fifo_it_is_a_16450() {
        let mut port = Port::open();
        port.write(IIR, 0);
        port.write(IER, 0x01);
        assert_eq!(port.read(IIR), 0x01);
        assert_eq!(port.receive("ab"), 1);
        assert_eq!(port.read(IIR), 0x04);
        assert_eq!(port.read(RBR), b'a');
        assert_eq!(port.read(IIR), 0x01);
    }

    #[test]
    fn out2_gates_the_interrupt() {
        let mut port = Port::open();
        port.write(IER, 0x02);
        port.write(MCR, 0x03);
        assert!(!port.uart.irq());
        port.write(MCR, 0x0B);
        assert!(port.uart.irq());
    }

    #[test]
    fn loopback_turns_outputs_into_inputs() {
        let mut port = Port::open();
        port.write(MCR, 0x1A); // as drivers probe: LOOP, OUT2, RTS
        assert_eq!(port.read(MSR) & 0xF0, 0x90, "DCD and CTS");
        assert_eq!(port.read(MSR) & 0x0F, 0, "reading cleared the deltas");
        port.write(0, 0x5A);
        assert!(port.bench.outside.serial.is_empty());
        assert_eq!(port.read(LSR), 0x61);
        assert_eq!(port.read(RBR), 0x5A);
        assert_eq!(port.uart.room(), 0);
    }

    #[test]
    fn loopback_overrun_is_reported_once() {
        let mut port = Port::open();
        port.write(MCR, 0x10);
        for byte in 0..17 {
            port.write(0, byte);
        }
        port.write(IER, 0x04);
        assert_eq!(port.read(IIR), 0xC6);
        assert_eq!(port.read(LSR), 0x63);
        assert_eq!(port.read(LSR), 0x61);
        let data: Vec<u8> = (0..16).map(|_| port.read(RBR)).collect();
        assert_eq!(data, (0..16).collect::<Vec<u8>>(), "the FIFO keeps what it had");
    }

    #[test]
    fn modem_lines_interrupt_when_they_change() {
        let mut port = Port::open();
        port.write(IER, 0x08);
        assert_eq!(port.read(MSR), 0xB0);
        port.uart.set_modem_lines(ModemLines {
            clear_to_send: false,
            data_set_ready: true,
            ring: true,
            carrier: true,
        });
        assert_eq!(port.read(IIR), 0xC0);
        assert_eq!(port.read(MSR), 0xE1);
        assert!(!port.uart.irq());
    }

    #[test]
    fn registers_that_tell_the_models_apart() {
        let mut port = Port::open();
        port.write(IER, 0xFF);
        assert_eq!(port.read(IER), 0x0F);
        port.write(7, 0xA5);
        assert_eq!(port.read(7), 0xA5);
        port.write(LCR, 0x80);
        port.write(1, 0x12);
        port.write(0, 0x34);
        assert_eq!((port.read(1), port.read(0)), (0x12, 0x34));
        port.write(IIR, 0x21); // a 16750 would show bit 5
        assert_eq!(port.read(IIR) & 0xE0, 0xC0);
    }
}
