//! Drives every classic chip by bytes: random accesses, inputs and leaps in time. Nothing may panic or stand still:
//! a chip that was run to its deadline has a later one, or none.
//!
//! `testsuite` feeds [`classic_chips`] for as long as one likes; the test below runs a few seeds.

use crate::{
    Ctx, Dma, Host, Medium, Ports, Registers, Time, Timed, Width,
    apic_bus::{self, Message},
    debug::{DebugConsole, DebugExit},
    dma::DmaControllers,
    fw_cfg::FwCfg,
    hpet::Hpet,
    i8042::I8042,
    ioapic::IoApic,
    keys::KeyCode,
    lapic::{Lapic, Pending},
    mouse::Motion,
    parallel::Parallel,
    pic::Pics,
    pit::Pit,
    pm::Pm,
    port92::Port92,
    rtc::Rtc,
    smbus::SmBus,
    speaker::Speaker,
    uart::{ModemLines, Uart},
};

/// Memory and outside that swallow everything.
struct Nothing;

impl Dma for Nothing {
    fn read(&mut self, addr: u64, to: &mut [u8]) {
        for (byte, at) in to.iter_mut().zip(addr as u8..=u8::MAX) {
            *byte = at;
        }
    }

    fn write(&mut self, _addr: u64, _from: &[u8]) {}
}

impl Host for Nothing {
    fn serial_out(&mut self, _port: usize, _byte: u8) {}

    fn parallel_out(&mut self, _port: usize, _byte: u8) {}

    fn debug_out(&mut self, _byte: u8) {}

    fn medium(&mut self, _slot: usize) -> Option<&mut dyn Medium> {
        None
    }
}

/// Reads numbers from the input; zeros when it has run out.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let bytes = self.byte() & 7;
        (0..=bytes).fold(0, |sum, _| sum << 8 | u64::from(self.byte()))
    }

    fn width(&mut self) -> Width {
        match self.byte() & 3 {
            0 | 1 => Width::Byte,
            2 => Width::Word,
            _ => Width::Dword,
        }
    }
}

struct Chips {
    pics: Pics,
    pit: Pit,
    speaker: Speaker,
    rtc: Rtc,
    dma: DmaControllers,
    i8042: I8042,
    port92: Port92,
    uart: Uart,
    parallel: Parallel,
    console: DebugConsole,
    exit: DebugExit,
    pm: Pm,
    smbus: SmBus,
    lapics: Vec<Lapic>,
    ioapic: IoApic,
    hpet: Hpet,
    fw_cfg: FwCfg,
}

impl Chips {
    fn new() -> Self {
        let mut fw_cfg = FwCfg::new();
        fw_cfg.put_file("etc/file", vec![1; 100]);
        Chips {
            pics: Pics::new(),
            pit: Pit::new(),
            speaker: Speaker::new(),
            rtc: Rtc::new(1_700_000_000),
            dma: DmaControllers::new(),
            i8042: I8042::new(),
            port92: Port92::new(),
            uart: Uart::new(0),
            parallel: Parallel::new(0),
            console: DebugConsole,
            exit: DebugExit::default(),
            pm: Pm::new(),
            smbus: SmBus::new(),
            lapics: (0..3).map(|id| Lapic::new(id, id == 0, true, 1)).collect(),
            ioapic: IoApic::new(0, 0x20),
            hpet: Hpet::new(),
            fw_cfg,
        }
    }

    fn ports(&mut self, n: u8) -> &mut dyn Ports {
        match n % 12 {
            0 => &mut self.pics,
            1 => &mut self.pit,
            2 => &mut self.rtc,
            3 => &mut self.dma,
            4 => &mut self.i8042,
            5 => &mut self.port92,
            6 => &mut self.uart,
            7 => &mut self.parallel,
            8 => &mut self.console,
            9 => &mut self.exit,
            10 => &mut self.pm,
            _ if n & 16 == 0 => &mut self.smbus,
            _ => &mut self.fw_cfg,
        }
    }

    fn registers(&mut self, n: u8) -> &mut dyn Registers {
        match n % 4 {
            0 | 1 => &mut self.lapics[usize::from(n & 1)],
            2 => &mut self.ioapic,
            _ => &mut self.hpet,
        }
    }

    fn input(&mut self, now: Time, input: &mut Input) {
        match input.byte() % 12 {
            0 => self.pics.set_line(input.byte() & 15, input.byte() & 1 != 0),
            1 => _ = self.pics.acknowledge(),
            2 => {
                let key = KeyCode::ALL[usize::from(input.byte()) % KeyCode::ALL.len()];
                self.i8042.key(now, key, input.byte() & 1 != 0);
            }
            3 => {
                let [dx, dy, wheel] = [0; 3].map(|_| input.number() as i32);
                self.i8042.mouse_input(Motion { dx, dy, wheel, buttons: input.byte() });
            }
            4 => _ = self.uart.receive(now, input.byte()),
            5 => {
                let bits = input.byte();
                let [clear_to_send, data_set_ready, ring, carrier] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
                self.uart.set_modem_lines(ModemLines { clear_to_send, data_set_ready, ring, carrier });
            }
            6 => self.ioapic.set_line(input.byte(), input.byte() & 1 != 0),
            7 => self.lapics[0].set_lint(usize::from(input.byte()), input.byte() & 1 != 0),
            8 => {
                let lapic = &mut self.lapics[usize::from(input.byte() % 3)];
                match lapic.interrupt() {
                    Some(Pending::Local) => _ = lapic.acknowledge(now),
                    Some(Pending::External) => lapic.acknowledge_external(),
                    None => {}
                }
            }
            9 => {
                if let Some(message) =
                    Message::from_msi(0xFEE0_0000 | input.number() & 0xF_FFFF, input.number() as u32)
                {
                    apic_bus::deliver(&mut self.lapics, &message);
                }
            }
            10 => {
                let (channel, len) = (usize::from(input.byte() & 7), input.byte());
                self.dma.to_memory(&mut Nothing, channel, &vec![0; usize::from(len)]);
                self.dma.from_memory(&mut Nothing, channel, &mut vec![0; usize::from(len)]);
            }
            _ => self.speaker.write(now, &mut self.pit, input.byte()),
        }
    }

    fn msr(&mut self, now: Time, input: &mut Input) {
        let msr = match input.byte() {
            0..0x20 => 0x1B,
            0x20..0x40 => 0x6E0,
            n => 0x800 + u32::from(n & 0x3F),
        };
        let lapic = &mut self.lapics[usize::from(input.byte() % 3)];
        lapic.read_msr(now, msr);
        lapic.write_msr(now, now.0, msr, input.number());
    }

    /// What a board does after each call.
    fn settle(&mut self, now: Time) {
        self.pit.take_edges(now);
        (0..3).for_each(|n| _ = self.hpet.take_edge(n));
        self.speaker.read(now, &self.pit);
        for i in 0..self.lapics.len() {
            if let Some(message) = self.lapics[i].take_message() {
                apic_bus::deliver(&mut self.lapics, &message);
            }
            if let Some(vector) = self.lapics[i].take_eoi() {
                self.ioapic.end_of_interrupt(vector);
            }
            self.lapics[i].take_signals();
        }
        // A pin has at most one message; an end may let it send another.
        for _ in 0..crate::ioapic::PINS {
            let Some(message) = self.ioapic.take_message() else { break };
            apic_bus::deliver(&mut self.lapics, &message);
        }
        assert!(!self.ioapic.has_message());
    }

    fn timed(&mut self, n: usize) -> &mut dyn Timed {
        match n {
            0 => &mut self.pit,
            1 => &mut self.rtc,
            2 => &mut self.i8042,
            3 => &mut self.uart,
            4 => &mut self.pm,
            5 => &mut self.hpet,
            _ => &mut self.lapics[n - 6],
        }
    }

    /// Runs chip `n` to its deadline, if that is not too far, and checks that it gets on.
    fn run_to_deadline(&mut self, now: Time, n: usize) -> Time {
        let Some(at) = self.timed(n).deadline() else { return now };
        if at.0 > now.0.saturating_add(1 << 50) {
            return now;
        }
        let now = now.max(at);
        self.timed(n).advance(&mut Ctx { now, dma: &mut Nothing, host: &mut Nothing });
        self.settle(now);
        let next = self.timed(n).deadline();
        assert!(next.is_none_or(|next| next > now), "chip {n} stands still at {now:?}: {next:?}");
        now
    }
}

/// Takes `data` for a list of accesses, inputs and steps of time to all classic chips.
pub fn classic_chips(data: &[u8]) {
    let mut input = Input(data);
    let mut chips = Chips::new();
    let mut now = Time(0);
    while !input.0.is_empty() {
        let operation = input.byte();
        let ctx = &mut Ctx { now, dma: &mut Nothing, host: &mut Nothing };
        match operation % 8 {
            0 | 1 => {
                let (chip, offset, width) = (input.byte(), input.byte() & 0x7F, input.width());
                chips.ports(chip).read(ctx, offset.into(), width);
            }
            2 | 3 => {
                let (chip, offset, width) = (input.byte(), input.byte() & 0x7F, input.width());
                chips.ports(chip).write(ctx, offset.into(), width, input.number() as u32);
            }
            4 => {
                let (chip, offset) = (input.byte(), input.number() & 0x3FF);
                chips.registers(chip).load(ctx, offset, Width::Dword);
                chips.registers(chip).store(ctx, offset, Width::Dword, input.number());
            }
            5 => chips.msr(now, &mut input),
            6 => chips.input(now, &mut input),
            _ => now.0 = now.0.saturating_add(input.number() & ((1 << 48) - 1)),
        }
        chips.settle(now);
        if operation & 0x80 != 0 {
            now = chips.run_to_deadline(now, usize::from(operation >> 3) % 9);
        }
    }
}

#[cfg(test)]
mod tests {
    /// A xorshift generator: any will do that gives the same bytes for the same seed.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    #[test]
    fn chips_survive_noise() {
        for seed in 0..200 {
            super::classic_chips(&noise(seed, 20_000));
        }
    }
}
