//! 8042 keyboard controller with a PS/2 keyboard and mouse on it; its output port drives A20 and the reset line.
//!
//! Follows: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller". The
//! controller's own answers are there at once; a byte from a device takes its time on the serial line, so that the
//! interrupt line falls between two bytes. Tests at the foot.

use crate::{
    Ctx, Ports, Time, Timed, Width,
    keyboard::{Keyboard, Translator},
    keys::KeyCode,
    mouse::{Motion, Mouse},
    read_bytes, write_bytes,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const STATUS_OBF: u8 = 1 << 0; // output buffer full
const STATUS_SYS: u8 = 1 << 2; // the system flag of the command byte
const STATUS_CMD: u8 = 1 << 3; // the last write was to the command port
const STATUS_UNLOCKED: u8 = 1 << 4; // the key lock is open
const STATUS_AUX: u8 = 1 << 5; // the output buffer holds a byte of the mouse

const COMMAND_KIE: u8 = 1 << 0; // keyboard interrupt
const COMMAND_AIE: u8 = 1 << 1; // mouse interrupt
const COMMAND_SYS: u8 = 1 << 2; // system flag
const COMMAND_KDIS: u8 = 1 << 4; // keyboard's clock held
const COMMAND_ADIS: u8 = 1 << 5; // mouse's clock held
const COMMAND_XLAT: u8 = 1 << 6; // set 2 becomes set 1

const OUTPUT_RESET: u8 = 1 << 0; // low resets the processor
const OUTPUT_A20: u8 = 1 << 1;
const OUTPUT_KEYBOARD_IRQ: u8 = 1 << 4;
const OUTPUT_MOUSE_IRQ: u8 = 1 << 5;
const OUTPUT_LATCHED: u8 = 0xCF; // bits that are a latch; the others show the buffer
const OUTPUT_IDLE: u8 = 0xCF;

/// A byte's time on the serial line: eleven bits.
const BYTE_NS: u64 = 100_000;

/// Who put a byte into the output buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Source {
    Controller,
    Keyboard,
    Mouse,
}

/// What the next byte at the data port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    #[default]
    Keyboard,
    /// This byte of the controller's memory; 0 is the command byte.
    Memory(u8),
    OutputPort,
    /// Into the output buffer as if a device had sent it.
    FromKeyboard,
    FromMouse,
    Mouse,
    /// A password, byte by byte; nothing is done with it.
    Password,
}

/// The controller and its two devices.
///
/// As [`Ports`]: offset 0 is the data port (60h), offset 4 the status and command port (64h).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    /// The keyboard.
    pub keyboard: Keyboard,
    /// The mouse.
    pub mouse: Mouse,
    memory: [u8; 32],      // byte 0 is the command byte
    output: u8,            // output buffer
    full: Option<Source>,  // who filled the output buffer, until it is read
    answers: VecDeque<u8>, // the controller's own answers that wait for the buffer
    output_port: u8,       // bits 7, 6, 3, 2 free; 1 A20; 0 reset
    expect: Expect,
    command_last: bool, // the last write was a command
    translator: Translator,
    line_free: Time,   // no byte from a device before this
    reset_asked: bool, // the reset line was pulsed
}

impl Default for I8042 {
    fn default() -> Self {
        Self::new()
    }
}

impl I8042 {
    /// Offset of the data port.
    pub const DATA: u16 = 0;
    /// Offset of the status and command port.
    pub const COMMAND: u16 = 4;

    /// After power-on: both devices connected, interrupts off, A20 open.
    pub fn new() -> Self {
        let mut memory = [0; 32];
        memory[0] = COMMAND_ADIS | COMMAND_KDIS | COMMAND_XLAT;
        I8042 {
            keyboard: Keyboard::new(),
            mouse: Mouse::new(),
            memory,
            output: 0,
            full: None,
            answers: VecDeque::new(),
            output_port: OUTPUT_IDLE,
            expect: Expect::Keyboard,
            command_last: false,
            translator: Translator::default(),
            line_free: Time(0),
            reset_asked: false,
        }
    }

    /// Hard reset. Keys that are held stay held.
    pub fn reset(&mut self) {
        let held: Vec<KeyCode> =
            KeyCode::ALL.iter().copied().filter(|key| self.keyboard.is_down(*key)).collect();
        *self = Self::new();
        self.keyboard.hold(&held);
    }

    /// A key goes down or up.
    pub fn key(&mut self, now: Time, key: KeyCode, pressed: bool) {
        self.keyboard.key(now, key, pressed);
    }

    /// Whether another key fits into the keyboard's buffer.
    pub fn has_room(&self) -> bool {
        self.keyboard.has_room()
    }

    /// The mouse moves, or its buttons change.
    pub fn mouse_input(&mut self, motion: Motion) {
        self.mouse.input(motion);
    }

    /// IRQ 1.
    pub fn keyboard_irq(&self) -> bool {
        let full = matches!(self.full, Some(Source::Controller | Source::Keyboard));
        full && self.command_byte() & COMMAND_KIE != 0
    }

    /// IRQ 12.
    pub fn mouse_irq(&self) -> bool {
        self.full == Some(Source::Mouse) && self.command_byte() & COMMAND_AIE != 0
    }

    /// Whether the output port lets address line 20 through.
    pub fn a20(&self) -> bool {
        self.output_port & OUTPUT_A20 != 0
    }

    /// Whether the reset line was pulsed since this was last asked.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.reset_asked)
    }

    fn command_byte(&self) -> u8 {
        self.memory[0]
    }

    fn status(&self) -> u8 {
        let flag = |on, bit| if on { bit } else { 0 };
        STATUS_UNLOCKED
            | flag(self.full.is_some(), STATUS_OBF)
            | flag(self.full == Some(Source::Mouse), STATUS_AUX)
            | flag(self.command_byte() & COMMAND_SYS != 0, STATUS_SYS)
            | flag(self.command_last, STATUS_CMD)
    }

    fn output_port(&self) -> u8 {
        let flag = |on, bit| if on { bit } else { 0 };
        self.output_port & OUTPUT_LATCHED
            | flag(self.keyboard_irq(), OUTPUT_KEYBOARD_IRQ)
            | flag(self.mouse_irq(), OUTPUT_MOUSE_IRQ)
    }

    fn set_output_port(&mut self, value: u8) {
        self.output_port = value | OUTPUT_RESET;
        self.reset_asked |= value & OUTPUT_RESET == 0;
    }

    fn put(&mut self, byte: u8, source: Source) {
        self.output = byte;
        self.full = Some(source);
    }

    /// The controller answers; the answer waits if the buffer has not been read.
    fn answer(&mut self, byte: u8) {
        if self.full.is_none() {
            self.put(byte, Source::Controller);
        } else if self.answers.len() < 4 {
            self.answers.push_back(byte);
        }
    }

    /// Lets the next byte into the output buffer if it is time.
    fn settle(&mut self, now: Time) {
        if self.full.is_some() {
            return;
        }
        if let Some(byte) = self.answers.pop_front() {
            return self.put(byte, Source::Controller);
        }
        if now < self.line_free {
            return;
        }
        if self.command_byte() & COMMAND_KDIS == 0 && self.take_from_keyboard(now) {
            return;
        }
        if self.command_byte() & COMMAND_ADIS == 0
            && let Some(byte) = self.mouse.take(now)
        {
            self.put(byte, Source::Mouse);
        }
    }

    fn take_from_keyboard(&mut self, now: Time) -> bool {
        while let Some(byte) = self.keyboard.take(now) {
            let translated = match self.command_byte() & COMMAND_XLAT {
                0 => Some(byte),
                _ => self.translator.translate(byte),
            };
            if let Some(byte) = translated {
                self.put(byte, Source::Keyboard);
                return true;
            }
        }
        false
    }

    fn occupy_line(&mut self, now: Time) {
        self.line_free = Time(now.0.saturating_add(BYTE_NS));
    }

    fn read_data(&mut self, now: Time) -> u8 {
        self.settle(now);
        // What waits comes in at the next `settle`, not now: the interrupt line has to fall in between.
        if self.full.take().is_some() {
            self.occupy_line(now);
        }
        self.output
    }

    fn read_port(&mut self, now: Time, offset: u16) -> u8 {
        match offset {
            Self::DATA => self.read_data(now),
            Self::COMMAND => {
                self.settle(now);
                self.status()
            }
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, now: Time, offset: u16, value: u8) {
        self.settle(now);
        match offset {
            Self::DATA => {
                self.command_last = false;
                self.write_data(now, value);
            }
            Self::COMMAND => {
                self.command_last = true;
                self.expect = Expect::Keyboard;
                self.command(value);
            }
            _ => {}
        }
    }

    fn write_data(&mut self, now: Time, value: u8) {
        match std::mem::take(&mut self.expect) {
            Expect::Keyboard => {
                // Talking to the keyboard lets go of its clock.
                self.memory[0] &= !COMMAND_KDIS;
                self.occupy_line(now);
                self.keyboard.write(now, value);
            }
            Expect::Mouse => {
                self.memory[0] &= !COMMAND_ADIS;
                self.occupy_line(now);
                self.mouse.write(now, value);
            }
            Expect::Memory(at) => self.memory[usize::from(at & 31)] = value,
            Expect::OutputPort => self.set_output_port(value),
            Expect::FromKeyboard => self.put(value, Source::Keyboard),
            Expect::FromMouse => self.put(value, Source::Mouse),
            Expect::Password if value != 0 => self.expect = Expect::Password,
            Expect::Password => {}
        }
    }

    fn command(&mut self, command: u8) {
        match command {
            0x20..=0x3F => self.answer(self.memory[usize::from(command & 31)]),
            0x60..=0x7F => self.expect = Expect::Memory(command & 31),
            0xA4 => self.answer(0xF1), // no password installed
            0xA5 => self.expect = Expect::Password,
            0xA7 => self.memory[0] |= COMMAND_ADIS,
            0xA8 => self.memory[0] &= !COMMAND_ADIS,
            0xA9 => self.answer(0x00), // mouse interface test: no error
            0xAA => {
                self.memory[0] |= COMMAND_SYS;
                self.answer(0x55); // self test passed
            }
            0xAB => self.answer(0x00), // keyboard interface test: no error
            0xAD => self.memory[0] |= COMMAND_KDIS,
            0xAE => self.memory[0] &= !COMMAND_KDIS,
            0xC0 => self.answer(0xBF), // input port: not locked, colour display, no manufacturing jumper
            0xD0 => self.answer(self.output_port()),
            0xD1 => self.expect = Expect::OutputPort,
            0xD2 => self.expect = Expect::FromKeyboard,
            0xD3 => self.expect = Expect::FromMouse,
            0xD4 => self.expect = Expect::Mouse,
            0xDD => self.output_port &= !OUTPUT_A20, // a later habit: A20 in one command
            0xDF => self.output_port |= OUTPUT_A20,
            0xE0 => self.answer(0x00), // test inputs: both clocks
            0xF0..=0xFF => {
                // Pulses low the output bits whose bit here is clear; only that of the reset line is felt.
                self.reset_asked |= command & OUTPUT_RESET == 0;
            }
            _ => {}
        }
    }
}

impl Ports for I8042 {
    fn read(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(ctx.now, port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx.now, port, byte));
    }
}

impl Timed for I8042 {
    fn deadline(&self) -> Option<Time> {
        if self.full.is_some() {
            return None;
        }
        if !self.answers.is_empty() {
            return Some(Time(0));
        }
        let enabled = |disable| self.command_byte() & disable == 0;
        let keyboard = if enabled(COMMAND_KDIS) { self.keyboard.ready() } else { None };
        let mouse = if enabled(COMMAND_ADIS) { self.mouse.ready() } else { None };
        [keyboard, mouse].into_iter().flatten().min().map(|at| at.max(self.line_free))
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.settle(ctx.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    struct Pc {
        bench: Bench,
        i8042: I8042,
    }

    impl Pc {
        /// As a BIOS leaves it: interrupts and translation on.
        fn new() -> Self {
            let mut pc = Pc { bench: Bench::new(), i8042: I8042::new() };
            pc.command(0x60);
            pc.data(0x47);
            pc
        }

        fn command(&mut self, value: u8) {
            self.bench.outb(&mut self.i8042, I8042::COMMAND, value);
        }

        fn data(&mut self, value: u8) {
            self.bench.outb(&mut self.i8042, I8042::DATA, value);
        }

        fn status(&mut self) -> u8 {
            self.bench.inb(&mut self.i8042, I8042::COMMAND)
        }

        fn read(&mut self) -> u8 {
            self.bench.inb(&mut self.i8042, I8042::DATA)
        }

        /// Runs to each deadline and collects what an interrupt handler would, with the line that asked.
        fn interrupts(&mut self) -> Vec<(u8, u8)> {
            let mut collected = Vec::new();
            while let Some(at) = self.i8042.deadline() {
                self.bench.now = self.bench.now.max(at);
                self.i8042.advance(&mut self.bench.ctx());
                let irq = if self.i8042.mouse_irq() { 12 } else { 1 };
                assert!(self.i8042.mouse_irq() ^ self.i8042.keyboard_irq());
                collected.push((irq, self.read()));
                assert!(!self.i8042.mouse_irq() && !self.i8042.keyboard_irq(), "the line falls in between");
            }
            collected
        }
    }

    #[test]
    fn self_test_and_command_byte() {
        let mut pc = Pc { bench: Bench::new(), i8042: I8042::new() };
        assert_eq!(pc.status() & 0x05, 0);
        pc.command(0xAA);
        assert_eq!(pc.status() & 0x0D, 0x0D, "output buffer full, system flag, command");
        assert_eq!(pc.read(), 0x55);
        assert_eq!(pc.status() & 1, 0);
        pc.command(0x60);
        pc.data(0x47);
        pc.command(0x20);
        assert_eq!(pc.read(), 0x47);
        for (command, answer) in [(0xAB, 0), (0xA9, 0), (0xA4, 0xF1)] {
            pc.command(command);
            assert_eq!(pc.read(), answer);
        }
    }

    #[test]
    fn keys_arrive_translated_one_interrupt_a_byte() {
        let mut pc = Pc::new();
        pc.i8042.key(pc.bench.now, KeyCode::Up, true);
        pc.i8042.key(pc.bench.now, KeyCode::Up, false);
        assert_eq!(pc.interrupts(), [(1, 0xE0), (1, 0x48), (1, 0xE0), (1, 0xC8)]);
    }

    #[test]
    fn without_translation_set_2_arrives() {
        let mut pc = Pc::new();
        pc.command(0x60);
        pc.data(0x07);
        pc.i8042.key(pc.bench.now, KeyCode::A, true);
        pc.i8042.key(pc.bench.now, KeyCode::A, false);
        assert_eq!(pc.interrupts(), [(1, 0x1C), (1, 0xF0), (1, 0x1C)]);
    }

    #[test]
    fn keyboard_commands_and_translated_id() {
        let mut pc = Pc::new();
        pc.data(0xF2);
        assert_eq!(pc.interrupts(), [(1, 0xFA), (1, 0xAB), (1, 0x41)]);
        pc.data(0xFF);
        assert_eq!(pc.interrupts(), [(1, 0xFA), (1, 0xAA)]);
    }

    #[test]
    fn a_disabled_keyboard_keeps_its_bytes() {
        let mut pc = Pc::new();
        pc.command(0xAD);
        pc.i8042.key(pc.bench.now, KeyCode::A, true);
        assert_eq!(pc.i8042.deadline(), None);
        pc.command(0xAE);
        pc.i8042.key(pc.bench.now, KeyCode::A, false);
        assert_eq!(pc.interrupts(), [(1, 0x1E), (1, 0x9E)]);
    }

    #[test]
    fn mouse_on_irq_12() {
        let mut pc = Pc::new();
        pc.command(0xD4);
        pc.data(0xF4);
        assert_eq!(pc.interrupts(), [(12, 0xFA)]);
        pc.i8042.mouse_input(Motion { dx: 2, buttons: 1, ..Motion::default() });
        assert_eq!(pc.interrupts(), [(12, 0x09), (12, 2), (12, 0)]);
        pc.i8042.mouse_input(Motion { dx: 2, ..Motion::default() });
        pc.bench.pass(20_000_000);
        pc.i8042.advance(&mut pc.bench.ctx());
        assert_eq!(pc.status() & 0x21, 0x21);
    }

    #[test]
    fn loopback_commands_fill_the_buffer() {
        let mut pc = Pc::new();
        pc.command(0xD2);
        pc.data(0x5A);
        assert!(pc.i8042.keyboard_irq());
        assert_eq!(pc.read(), 0x5A);
        pc.command(0xD3);
        pc.data(0xA5);
        assert!(pc.i8042.mouse_irq());
        assert_eq!(pc.read(), 0xA5);
    }

    #[test]
    fn a20_and_reset() {
        let mut pc = Pc::new();
        assert!(pc.i8042.a20());
        pc.command(0xD1);
        pc.data(0xDD);
        assert!(!pc.i8042.a20());
        pc.command(0xD0);
        assert_eq!(pc.read() & 3, 1);
        pc.command(0xDF);
        assert!(pc.i8042.a20());
        assert!(!pc.i8042.take_reset());
        pc.command(0xFF);
        assert!(!pc.i8042.take_reset());
        pc.command(0xFE);
        assert!(pc.i8042.take_reset());
        assert!(!pc.i8042.take_reset());
        pc.command(0xD1);
        pc.data(0xFE);
        assert!(pc.i8042.take_reset());
    }

    #[test]
    fn an_answer_waits_for_the_buffer() {
        let mut pc = Pc::new();
        pc.i8042.key(pc.bench.now, KeyCode::A, true);
        pc.i8042.advance(&mut pc.bench.ctx());
        pc.command(0x20);
        assert_eq!(pc.read(), 0x1E);
        assert_eq!(pc.read(), 0x47);
    }
}
