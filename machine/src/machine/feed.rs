//! Input on its way into the chips: characters for the serial ports at the pace of the line, keys as fast as the keyboard
//! takes them. What a chip has no room for waits here, in order, and costs no time while it waits.

use crate::board::{Board, CARDS, Request};
use crate::config::SERIAL_PORTS;
use crate::input::{Input, Key, MouseButton};
use lucid86_devices::Time;
use lucid86_devices::net::{MAX_FRAME, MIN_FRAME, NetworkCard};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most characters and keys that wait; beyond, the oldest source is at fault and its input is dropped.
const LIMIT: usize = 1 << 20;
/// Most frames that wait for one card; more are lost as on a wire.
const FRAMES: usize = 1024;
/// How long a driver that has taken all frames may need to acknowledge them.
const ACKNOWLEDGE_NS: u64 = 100_000;
/// How long a frame waits for room.
const HELD_NS: u64 = 250_000_000;
/// A character at 115,200 baud.
const CHARACTER_NS: u64 = 86_806;
/// Between two changes of keys: slower than a PS/2 line, faster than any typist.
const KEY_NS: u64 = 2_000_000;

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    serial: [VecDeque<u8>; SERIAL_PORTS],
    serial_next: [u64; SERIAL_PORTS],
    keys: VecDeque<(u16, bool)>,
    keys_next: u64,
    buttons: u8,
    packets: [VecDeque<Vec<u8>>; CARDS],
    /// When a frame that waits goes in whether there is room or not.
    packets_due: [Option<u64>; CARDS],
}

impl Feed {
    /// Takes an input. `Some` if it is one for the machine as a whole.
    pub fn take(&mut self, input: Input, board: &mut Board) -> Option<Input> {
        match input {
            Input::Key { key, down } if self.keys.len() < LIMIT => self.keys.push_back((key.0, down)),
            Input::Key { .. } => {}
            Input::SerialByte(port, byte) => {
                if let Some(q) = self.serial.get_mut(port).filter(|q| q.len() < LIMIT) {
                    q.push_back(byte);
                }
            }
            Input::MouseMove { dx, dy, wheel } => board.mouse(dx, dy, wheel, self.buttons),
            Input::MouseButton { button, down } => {
                let bit = match button {
                    MouseButton::Left => 1,
                    MouseButton::Right => 2,
                    MouseButton::Middle => 4,
                };
                self.buttons = if down { self.buttons | bit } else { self.buttons & !bit };
                board.mouse(0, 0, 0, self.buttons);
            }
            Input::Reset => {
                board.request.get_or_insert(Request::Reset("the reset button"));
            }
            Input::PowerButton => board.power_button(),
            Input::Packet { card, frame } => self.packet(card, frame),
            Input::Quit => return Some(input),
        }
        None
    }

    /// Hands over what is due and fits.
    pub fn run(&mut self, board: &mut Board, now: Time) {
        for port in 0..SERIAL_PORTS {
            while self.serial_due(port, board).is_some_and(|t| t <= now.0) {
                let Some(byte) = self.serial[port].pop_front() else { break };
                board.chips.uarts[port].receive(now, byte);
                self.serial_next[port] = now.0 + CHARACTER_NS;
            }
        }
        while self.keys_due(board).is_some_and(|t| t <= now.0) {
            let Some((key, down)) = self.keys.pop_front() else { break };
            board.key(now, Key(key), down);
            self.keys_next = now.0 + KEY_NS;
        }
        board.watch.serial = self.serial.iter().any(|q| !q.is_empty());
        board.watch.keyboard = !self.keys.is_empty();
        self.run_packets(board, now);
    }

    /// A frame that no wire carries is lost; a short one is padded, as whoever sent it should have done.
    fn packet(&mut self, card: usize, mut frame: Vec<u8>) {
        if let Some(q) = self.packets.get_mut(card)
            && q.len() < FRAMES
            && (14..=MAX_FRAME).contains(&frame.len())
        {
            if frame.len() < MIN_FRAME {
                frame.resize(MIN_FRAME, 0);
            }
            q.push_back(frame);
        }
    }

    /// Frames go into a card when its driver has seen those before, as long as it has room: in between they wait, for a card
    /// without flow control would lose them. One that has waited too long goes in anyway: the overflow wakes the driver.
    fn run_packets(&mut self, board: &mut Board, now: Time) {
        board.watch.packets = false;
        for (card, queue) in self.packets.iter_mut().enumerate() {
            let Some(nic) = board.chips.nics.get_mut(card) else { continue };
            let due = &mut self.packets_due[card];
            let mut forced = due.is_some_and(|t| t <= now.0);
            let begin = nic.acknowledged() || forced;
            while begin && (nic.ready() || forced) {
                let Some(frame) = queue.pop_front() else { break };
                if let Some(dump) = &mut board.outside.dump {
                    dump.frame(card, now.0, false, &frame);
                }
                nic.receive(&frame);
                (forced, *due) = (false, None);
            }
            if queue.is_empty() {
                *due = None;
            } else {
                let patience = if nic.emptied() { ACKNOWLEDGE_NS } else { HELD_NS };
                *due = Some(due.unwrap_or(u64::MAX).min(now.0 + patience));
            }
            board.watch.packets |= !queue.is_empty();
            if let Some(Some(plug)) = board.outside.cables.get(card) {
                plug.waiting(queue.len());
            }
        }
    }

    /// When the next thing can go in. What waits for the guest to make room has no time.
    pub fn due(&self, board: &Board) -> Option<u64> {
        let serial = (0..SERIAL_PORTS).filter_map(|port| self.serial_due(port, board));
        serial.chain(self.keys_due(board)).chain(self.packets_due.iter().flatten().copied()).min()
    }

    fn serial_due(&self, port: usize, board: &Board) -> Option<u64> {
        (!self.serial[port].is_empty() && board.chips.uarts[port].room() > 0)
            .then_some(self.serial_next[port])
    }

    fn keys_due(&self, board: &Board) -> Option<u64> {
        (!self.keys.is_empty() && board.keyboard_has_room()).then_some(self.keys_next)
    }
}
