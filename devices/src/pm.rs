//! Power management of the PIIX4: the ACPI event and control registers, the timer, general-purpose events, and the
//! command port by which an operating system calls on firmware.
//!
//! Follows: Intel 82371AB (PIIX4) data sheet (290562-001), sections 7.1 (APM) and 7.2 (power management I/O); ACPI
//! specification 6.4, 4.8.3. Not modelled: idle and trap timers, throttling, general-purpose pins. Tests at the foot.

use crate::{Ctx, Ports, Time, Timed, Width, clock, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// Bits of PMSTS, the PM1 status register; those of PMEN are at the same places.
mod event {
    pub const TIMER: u16 = 1 << 0; // the timer's most significant bit toggled
    pub const GLOBAL: u16 = 1 << 5; // firmware wants attention
    pub const POWER_BUTTON: u16 = 1 << 8;
    pub const RTC: u16 = 1 << 10;
    pub const WAKE: u16 = 1 << 15; // status only

    pub const STATUS: u16 = TIMER | GLOBAL | POWER_BUTTON | RTC | WAKE;
    pub const ENABLE: u16 = TIMER | GLOBAL | POWER_BUTTON | RTC;
}

/// Bits of PMCNTRL, the PM1 control register.
mod control {
    pub const SCI_ENABLE: u16 = 1 << 0; // events raise the SCI: ACPI mode
    pub const BUS_MASTER_RELOAD: u16 = 1 << 1;
    pub const SLEEP_TYPE: u16 = 7 << 10;
    pub const SLEEP: u16 = 1 << 13; // write-only
    pub const KEPT: u16 = SCI_ENABLE | BUS_MASTER_RELOAD | SLEEP_TYPE;
}

/// APM commands by which firmware's SMI handler switches ACPI mode, as the tables say.
const ACPI_ENABLE: u8 = 0xF1;
const ACPI_DISABLE: u8 = 0xF0;

/// What the guest asked for by writing SLP_EN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sleep {
    /// SLP_TYP 0: soft off.
    Off,
    /// SLP_TYP 1: suspend to RAM.
    ToRam,
    /// Any other type.
    Other(u8),
}

/// The power management block.
///
/// As [`Ports`]: offsets from the base in the PIIX4's PMBASE, 64 bytes; [`Pm::APM`] on for B2h and B3h.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pm {
    status: u16,          // PMSTS
    enable: u16,          // PMEN
    control: u16,         // PMCNTRL
    gp_status: u16,       // GPSTS
    gp_enable: u16,       // GPEN
    rest: Vec<u8>,        // 10h to 3Fh: kept, without effect
    apm: [u8; 2],         // APMC and APMS
    seen: Time,           // toggles of the timer's top bit are counted up to here
    sleep: Option<Sleep>, // asked for, not yet taken
    smi: bool,            // an SMI was asked for through APMC
}

/// The timer's top bit: a 24-bit counter.
const TIMER_BITS: u32 = 24;
/// Where the block's kept registers begin.
const REST: u16 = 0x10;

impl Default for Pm {
    fn default() -> Self {
        Self::new()
    }
}

impl Pm {
    /// Length of the register block.
    pub const LEN: u16 = 0x40;
    /// Offset of ports B2h (command) and B3h (status).
    pub const APM: u16 = 0x40;

    /// After power-on: legacy mode, nothing enabled.
    pub fn new() -> Self {
        Pm {
            status: 0,
            enable: 0,
            control: 0,
            gp_status: 0,
            gp_enable: 0,
            rest: vec![0; usize::from(Self::LEN - REST)],
            apm: [0; 2],
            seen: Time(0),
            sleep: None,
            smi: false,
        }
    }

    /// Hard reset.
    pub fn reset(&mut self) {
        *self = Pm { seen: self.seen, ..Self::new() };
    }

    /// The system control interrupt: level.
    pub fn sci(&self) -> bool {
        let fixed = self.status & self.enable & event::ENABLE != 0;
        let general = self.gp_status & self.gp_enable != 0;
        self.control & control::SCI_ENABLE != 0 && (fixed || general)
    }

    /// The sleep state that the guest asked for since this was last asked.
    pub fn take_sleep(&mut self) -> Option<Sleep> {
        self.sleep.take()
    }

    /// Whether a write to APMC asked for an SMI since this was last asked. The board delivers it if the PIIX4's
    /// DEVACTB and the machine say so.
    pub fn take_smi(&mut self) -> bool {
        std::mem::take(&mut self.smi)
    }

    /// Someone presses the power button.
    pub fn press_power_button(&mut self) {
        self.status |= event::POWER_BUTTON;
    }

    /// The real-time clock's alarm rings.
    pub fn ring_alarm(&mut self) {
        self.status |= event::RTC;
    }

    /// General-purpose event `n` (0-15) happens.
    pub fn general_event(&mut self, n: u8) {
        self.gp_status |= 1 << (n & 15);
    }

    /// Whether the guest is in ACPI mode.
    pub fn acpi_mode(&self) -> bool {
        self.control & control::SCI_ENABLE != 0
    }

    /// PMTMR at `now`.
    pub fn timer(now: Time) -> u32 {
        clock::PM_TIMER.tick(now) as u32 & ((1 << TIMER_BITS) - 1)
    }

    fn settle(&mut self, now: Time) {
        let toggles = |at| clock::PM_TIMER.tick(at) >> (TIMER_BITS - 1);
        if toggles(now) > toggles(self.seen) {
            self.status |= event::TIMER;
        }
        self.seen = self.seen.max(now);
    }

    fn read_port(&mut self, now: Time, offset: u16) -> u8 {
        self.settle(now);
        let byte = |value: u32| (value >> (8 * (offset & 3))) as u8;
        let pair = |low: u16, high: u16| byte(u32::from(low) | u32::from(high) << 16);
        match offset {
            0x00..0x04 => pair(self.status, self.enable),
            0x04..0x08 => pair(self.control, 0),
            0x08..0x0C => byte(Self::timer(now)),
            0x0C..0x10 => pair(self.gp_status, self.gp_enable),
            REST..Self::LEN => self.rest.get(usize::from(offset - REST)).copied().unwrap_or(0),
            0x40..0x42 => self.apm[usize::from(offset & 1)],
            _ => 0xFF,
        }
    }

    fn write_port(&mut self, now: Time, offset: u16, value: u8) {
        self.settle(now);
        let shift = 8 * (offset & 1);
        let wide = u16::from(value) << shift;
        let merged = |old: u16| old & !(0xFF << shift) | wide;
        match offset {
            0x00 | 0x01 => self.status &= !(wide & event::STATUS),
            0x02 | 0x03 => self.enable = merged(self.enable) & event::ENABLE,
            0x04 | 0x05 => {
                let written = merged(self.control);
                self.control = written & control::KEPT;
                if written & control::SLEEP != 0 {
                    self.go_to_sleep();
                }
            }
            0x0C | 0x0D => self.gp_status &= !wide,
            0x0E | 0x0F => self.gp_enable = merged(self.gp_enable),
            REST..Self::LEN => {
                if let Some(byte) = self.rest.get_mut(usize::from(offset - REST)) {
                    *byte = value;
                }
            }
            0x40 => self.apm_command(value),
            0x41 => self.apm[1] = value,
            _ => {}
        }
    }

    fn go_to_sleep(&mut self) {
        let sleep = match (self.control & control::SLEEP_TYPE) >> 10 {
            0 => Sleep::Off,
            1 => Sleep::ToRam,
            other => Sleep::Other(other as u8),
        };
        // States that the machine doesn't have are left at once, so that nobody waits for ever to wake.
        if sleep != Sleep::Off {
            self.status |= event::WAKE;
        }
        self.sleep = Some(sleep);
    }

    /// ACPI mode is switched here at once, in place of the SMI handler that a real PC's firmware would bring along.
    fn apm_command(&mut self, command: u8) {
        self.apm[0] = command;
        match command {
            ACPI_ENABLE => self.control |= control::SCI_ENABLE,
            ACPI_DISABLE => self.control &= !control::SCI_ENABLE,
            _ => self.smi = true,
        }
    }
}

impl Ports for Pm {
    fn read(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(ctx.now, port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx.now, port, byte));
    }
}

impl Timed for Pm {
    /// The timer's next toggle, while that would raise the SCI.
    fn deadline(&self) -> Option<Time> {
        let armed = self.enable & !self.status & event::TIMER != 0 && self.acpi_mode();
        let half = 1 << (TIMER_BITS - 1);
        let next = (clock::PM_TIMER.tick(self.seen) / half + 1).saturating_mul(half);
        armed.then(|| clock::PM_TIMER.time(next))
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.settle(ctx.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    const PMSTS: u16 = 0;
    const PMEN: u16 = 2;
    const PMCNTRL: u16 = 4;
    const PMTMR: u16 = 8;

    struct Chip {
        bench: Bench,
        pm: Pm,
    }

    impl Chip {
        /// In ACPI mode.
        fn new() -> Self {
            let mut chip = Chip { bench: Bench::new(), pm: Pm::new() };
            chip.bench.outb(&mut chip.pm, Pm::APM, ACPI_ENABLE);
            chip
        }

        fn read(&mut self, offset: u16) -> u16 {
            self.pm.read(&mut self.bench.ctx(), offset, Width::Word) as u16
        }

        fn write(&mut self, offset: u16, value: u16) {
            self.pm.write(&mut self.bench.ctx(), offset, Width::Word, value.into());
        }
    }

    #[test]
    fn acpi_mode_by_command() {
        let mut chip = Chip { bench: Bench::new(), pm: Pm::new() };
        assert_eq!(chip.read(PMCNTRL), 0);
        chip.bench.outb(&mut chip.pm, Pm::APM, ACPI_ENABLE);
        assert_eq!(chip.read(PMCNTRL), 1);
        assert!(!chip.pm.take_smi());
        chip.bench.outb(&mut chip.pm, Pm::APM, 0x42);
        assert!(chip.pm.take_smi());
        assert_eq!(chip.bench.inb(&mut chip.pm, Pm::APM), 0x42);
    }

    #[test]
    fn timer_runs_at_3_58_megahertz() {
        let mut chip = Chip::new();
        chip.bench.pass(1_000_000_000);
        assert_eq!(chip.pm.read(&mut chip.bench.ctx(), PMTMR, Width::Dword), 3_579_545);
        chip.bench.pass(4_000_000_000);
        assert_eq!(chip.pm.read(&mut chip.bench.ctx(), PMTMR, Width::Dword), 17_897_727 - (1 << 24));
    }

    #[test]
    fn timer_overflow_raises_the_sci() {
        let mut chip = Chip::new();
        chip.write(PMEN, event::TIMER);
        let at = chip.pm.deadline().unwrap();
        assert_eq!(at, clock::PM_TIMER.time(1 << 23));
        chip.bench.now = at;
        chip.pm.advance(&mut chip.bench.ctx());
        assert!(chip.pm.sci());
        assert_eq!(chip.pm.deadline(), None);
        chip.write(PMSTS, event::TIMER);
        assert!(!chip.pm.sci());
        assert_eq!(chip.pm.deadline(), Some(clock::PM_TIMER.time(2 << 23)));
    }

    #[test]
    fn power_button_raises_the_sci_until_cleared() {
        let mut chip = Chip::new();
        chip.write(PMEN, event::POWER_BUTTON);
        chip.pm.press_power_button();
        assert!(chip.pm.sci());
        assert_eq!(chip.read(PMSTS), event::POWER_BUTTON);
        chip.write(PMSTS, event::POWER_BUTTON);
        assert!(!chip.pm.sci());
    }

    #[test]
    fn soft_off() {
        let mut chip = Chip::new();
        chip.write(PMCNTRL, 0x2001);
        assert_eq!(chip.pm.take_sleep(), Some(Sleep::Off));
        assert_eq!(chip.pm.take_sleep(), None);
        assert_eq!(chip.read(PMCNTRL), 1, "SLP_EN reads as zero");
        chip.write(PMCNTRL, 0x2401);
        assert_eq!(chip.pm.take_sleep(), Some(Sleep::ToRam));
        assert_eq!(chip.read(PMSTS), event::WAKE);
    }

    #[test]
    fn general_purpose_events() {
        let mut chip = Chip::new();
        chip.pm.general_event(2);
        assert!(!chip.pm.sci());
        chip.write(0x0E, 4);
        assert!(chip.pm.sci());
        chip.write(0x0C, 4);
        assert!(!chip.pm.sci());
    }
}
