//! MC146818 real-time clock with the PC's CMOS memory behind it.
//!
//! Follows: Motorola MC146818A data sheet (ADI1165), Intel 82371AB (PIIX4) for the second bank of 128 bytes and for the
//! date alarm in register D, and the PC/AT convention of a century byte at 32h. The time registers are the truth: bytes as the guest wrote them, in the
//! format that register B names; an update adds whole seconds to them, however many have passed. What the CMOS bytes
//! above 0Dh mean (memory sizes, drive types) is the board's business. Tests at the foot.

use crate::{Ctx, Ports, Time, Timed, Width, clock, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// Addresses of the clock's registers in CMOS memory.
#[allow(missing_docs)]
pub mod register {
    pub const SECONDS: u8 = 0x00;
    pub const SECONDS_ALARM: u8 = 0x01;
    pub const MINUTES: u8 = 0x02;
    pub const MINUTES_ALARM: u8 = 0x03;
    pub const HOURS: u8 = 0x04;
    pub const HOURS_ALARM: u8 = 0x05;
    pub const DAY_OF_WEEK: u8 = 0x06; // Sunday is 1
    pub const DATE_OF_MONTH: u8 = 0x07;
    pub const MONTH: u8 = 0x08;
    pub const YEAR: u8 = 0x09;
    pub const A: u8 = 0x0A;
    pub const B: u8 = 0x0B;
    pub const C: u8 = 0x0C;
    pub const D: u8 = 0x0D;
    pub const CENTURY: u8 = 0x32;
}
use register::*;

const A_UIP: u8 = 1 << 7; // update in progress
const A_DV: u8 = 7 << 4; // divider: 010 runs from the watch crystal, 11x holds the chain in reset
const A_RS: u8 = 15; // rate of the periodic interrupt
const B_SET: u8 = 1 << 7; // updates are stopped, to set the time
const B_SQWE: u8 = 1 << 3; // square wave output
const B_DM: u8 = 1 << 2; // binary instead of BCD
const B_24H: u8 = 1 << 1; // 24-hour format
const C_IRQF: u8 = 1 << 7; // interrupt request: a flag is set whose enable in B is
const C_PF: u8 = 1 << 6; // periodic (enabled by B bit 6)
const C_AF: u8 = 1 << 5; // alarm (B bit 5)
const C_UF: u8 = 1 << 4; // update ended (B bit 4)
const D_DATE: u8 = 0x3F; // date alarm; 0 is any
const D_VRT: u8 = 1 << 7; // valid RAM and time: the battery is good

const HOUR_PM: u8 = 1 << 7; // in 12-hour format
const ANY: u8 = 0xC0; // alarm bytes from C0h on match anything

const SECOND_NS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// UIP is up this long before an update.
const UIP_NS: u64 = 244_000;

/// The clock chip.
///
/// As [`Ports`]: offsets 0 and 1 are ports 70h and 71h, 2 and 3 are 72h and 73h.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtc {
    cmos: Vec<u8>,      // 256 bytes; registers at the start
    index: u8,          // port 70h, bits 6:0
    nmi_masked: bool,   // port 70h, bit 7
    index_extended: u8, // port 72h
    chain_phase: u64, // nanoseconds that the divider chain is ahead of time; its whole seconds are the updates
    seen: Time,       // updates and periodic ticks are taken into account up to here
}

impl Rtc {
    /// A clock that at [`Time`] zero shows `epoch_s` seconds since 1970-01-01 00:00, in BCD and 24-hour format.
    pub fn new(epoch_s: i64) -> Self {
        let mut rtc = Rtc {
            cmos: vec![0; 256],
            index: 0,
            nmi_masked: false,
            index_extended: 0,
            chain_phase: 0,
            seen: Time(0),
        };
        rtc.put(A, 0x26);
        rtc.put(B, B_24H);
        rtc.put(D, D_VRT);
        rtc.set_epoch(epoch_s);
        rtc
    }

    /// The RESET pin: interrupts off, flags clear. Time, alarm and memory stay.
    pub fn reset(&mut self) {
        self.put(B, self.get(B) & !(C_PF | C_AF | C_UF | B_SQWE));
        self.put(C, 0);
        self.index = 0;
        self.nmi_masked = false;
        self.index_extended = 0;
    }

    /// One byte of CMOS memory, with no side effect.
    pub fn cmos(&self, address: u8) -> u8 {
        self.get(address)
    }

    /// Puts a byte into CMOS memory: for the board's configuration bytes.
    pub fn set_cmos(&mut self, address: u8, value: u8) {
        self.put(address, value);
    }

    /// The IRQ pin (IRQ 8): level.
    pub fn irq(&self) -> bool {
        self.get(C) & C_IRQF != 0
    }

    /// Whether port 70h bit 7 keeps NMI from the processor.
    pub fn nmi_masked(&self) -> bool {
        self.nmi_masked
    }

    /// Sets the time registers to `epoch_s` seconds since 1970-01-01 00:00, in the format that register B names.
    pub fn set_epoch(&mut self, epoch_s: i64) {
        let days = epoch_s.div_euclid(DAY as i64);
        self.put_second_of_day(epoch_s.rem_euclid(DAY as i64) as u32);
        self.put_date(days);
        self.put(DAY_OF_WEEK, self.encode((days + 4).rem_euclid(7) as u8 + 1));
    }

    fn get(&self, address: u8) -> u8 {
        self.cmos.get(usize::from(address)).copied().unwrap_or(0xFF)
    }

    fn put(&mut self, address: u8, value: u8) {
        if let Some(byte) = self.cmos.get_mut(usize::from(address)) {
            *byte = value;
        }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.get(B) & B_DM != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode(&self, value: u8) -> u8 {
        if self.get(B) & B_DM != 0 { value } else { (value >> 4).wrapping_mul(10).wrapping_add(value & 15) }
    }

    fn decode_hour(&self, value: u8) -> u8 {
        if self.get(B) & B_24H != 0 {
            return self.decode(value);
        }
        self.decode(value & !HOUR_PM) % 12 + if value & HOUR_PM != 0 { 12 } else { 0 }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.get(B) & B_24H != 0 {
            return self.encode(hour);
        }
        let pm = if hour >= 12 { HOUR_PM } else { 0 };
        let hour = match hour % 12 {
            0 => 12,
            hour => hour,
        };
        self.encode(hour) | pm
    }

    fn second_of_day(&self) -> u32 {
        let (h, m, s) = (self.decode_hour(self.get(HOURS)), self.get(MINUTES), self.get(SECONDS));
        u32::from(h) * 3600 + u32::from(self.decode(m)) * 60 + u32::from(self.decode(s))
    }

    fn put_second_of_day(&mut self, second: u32) {
        self.put(HOURS, self.encode_hour((second / 3600 % 24) as u8));
        self.put(MINUTES, self.encode((second / 60 % 60) as u8));
        self.put(SECONDS, self.encode((second % 60) as u8));
    }

    /// Days since 1970-01-01 of the date registers.
    fn days(&self) -> i64 {
        let year = i64::from(self.decode(self.get(CENTURY))) * 100 + i64::from(self.decode(self.get(YEAR)));
        days_from_civil(
            year,
            self.decode(self.get(MONTH)).into(),
            self.decode(self.get(DATE_OF_MONTH)).into(),
        )
    }

    fn put_date(&mut self, days: i64) {
        let (year, month, day) = civil_from_days(days);
        self.put(CENTURY, self.encode((year / 100).rem_euclid(100) as u8));
        self.put(YEAR, self.encode(year.rem_euclid(100) as u8));
        self.put(MONTH, self.encode(month));
        self.put(DATE_OF_MONTH, self.encode(day));
    }

    /// Lets `seconds` pass on the time registers.
    fn add_seconds(&mut self, seconds: u64) {
        let total = u64::from(self.second_of_day()).saturating_add(seconds);
        self.put_second_of_day((total % DAY) as u32);
        let days = total / DAY;
        if days != 0 {
            self.put_date(self.days().saturating_add_unsigned(days));
            let weekday = u64::from(self.decode(self.get(DAY_OF_WEEK))).saturating_sub(1);
            self.put(DAY_OF_WEEK, self.encode(((weekday + days % 7) % 7) as u8 + 1));
        }
    }

    /// Seconds from now to the next one that the alarm bytes match.
    fn seconds_to_alarm(&self) -> Option<u64> {
        let now = self.second_of_day() % DAY as u32;
        let after = u64::from(self.seconds_to_time(now)?);
        let date = self.decode(self.get(D) & D_DATE);
        if date == 0 {
            return Some(after);
        }
        let from_midnight = u64::from(self.seconds_to_time(DAY as u32 - 1)?) - 1;
        // Any date comes within two months.
        let days = self.days();
        (0..=62).filter(|k| civil_from_days(days.saturating_add(*k)).2 == date).find_map(|k| match k {
            0 => (u64::from(now) + after < DAY).then_some(after),
            k => Some(k as u64 * DAY + from_midnight - u64::from(now)),
        })
    }

    /// Seconds from second-of-day `from` to the next one, today or tomorrow, that the alarm's time matches.
    fn seconds_to_time(&self, from: u32) -> Option<u32> {
        let field = |register: u8| {
            let raw = self.get(register);
            (raw < ANY).then_some(raw)
        };
        let hour = field(HOURS_ALARM).map(|raw| u32::from(self.decode_hour(raw)));
        let minute = field(MINUTES_ALARM).map(|raw| u32::from(self.decode(raw)));
        let second = field(SECONDS_ALARM).map(|raw| u32::from(self.decode(raw)));
        let start = (from % DAY as u32) + 1;
        (0..=24).find_map(|k| {
            let at_hour = start / 3600 + k;
            if hour.is_some_and(|h| h != at_hour % 24) {
                return None;
            }
            let bound = if k == 0 { start % 3600 } else { 0 };
            first_match(bound, minute, second).map(|s| at_hour * 3600 + s + 1 - start)
        })
    }

    fn chain_runs(&self) -> bool {
        self.get(A) & A_DV == 0x20
    }

    fn updates(&self) -> bool {
        self.chain_runs() && self.get(B) & B_SET == 0
    }

    /// Period of the periodic interrupt in pulses of the watch crystal.
    fn period(&self) -> Option<u64> {
        match self.get(A) & A_RS {
            0 => None,
            rate @ 1..=2 => Some(64 << rate),
            rate => Some(1 << (rate - 1)),
        }
    }

    fn chain_ns(&self, at: Time) -> u64 {
        at.0.saturating_add(self.chain_phase)
    }

    /// Catches up to `now`.
    fn settle(&mut self, now: Time) {
        if now <= self.seen {
            return;
        }
        let (from, to) = (self.chain_ns(self.seen), self.chain_ns(now));
        self.seen = now;
        if !self.chain_runs() {
            return;
        }
        if let Some(period) = self.period() {
            let ticks = |ns| clock::WATCH.tick(Time(ns)) / period;
            if ticks(to) != ticks(from) {
                self.raise(C_PF);
            }
        }
        let seconds = to / SECOND_NS - from / SECOND_NS;
        if seconds != 0 && self.updates() {
            let alarm = self.seconds_to_alarm();
            self.add_seconds(seconds);
            self.raise(C_UF);
            if alarm.is_some_and(|after| after <= seconds) {
                self.raise(C_AF);
            }
        }
    }

    /// Sets a flag of register C, and the request with it if it is enabled.
    fn raise(&mut self, flag: u8) {
        self.put(C, self.get(C) | flag);
        self.update_request();
    }

    fn update_request(&mut self) {
        let flags = self.get(C) & (C_PF | C_AF | C_UF);
        let request = flags & self.get(B) != 0;
        self.put(C, flags | if request { C_IRQF } else { 0 });
    }

    fn update_in_progress(&self, now: Time) -> bool {
        let into = self.chain_ns(now) % SECOND_NS;
        self.updates() && SECOND_NS - into <= UIP_NS
    }

    fn read_register(&mut self, now: Time, address: u8) -> u8 {
        self.settle(now);
        match address {
            A => (self.get(A) & !A_UIP) | if self.update_in_progress(now) { A_UIP } else { 0 },
            C => {
                let flags = self.get(C);
                self.put(C, 0);
                flags
            }
            _ => self.get(address),
        }
    }

    fn write_register(&mut self, now: Time, address: u8, value: u8) {
        self.settle(now);
        match address {
            A => self.write_a(now, value),
            B => {
                // SET clears the update-ended interrupt's enable.
                let value = if value & B_SET != 0 { value & !C_UF } else { value };
                self.put(B, value);
                self.update_request();
            }
            C => {}
            D => self.put(D, value & D_DATE | D_VRT),
            _ => self.put(address, value),
        }
    }

    fn write_a(&mut self, now: Time, value: u8) {
        let ran = self.chain_runs();
        self.put(A, value & !A_UIP);
        if self.chain_runs() && !ran {
            // The first update comes half a second after the chain is let go.
            self.chain_phase = (SECOND_NS / 2 + SECOND_NS - now.0 % SECOND_NS) % SECOND_NS;
        }
    }

    fn read_port(&mut self, now: Time, offset: u16) -> u8 {
        match offset {
            1 => self.read_register(now, self.index),
            2 => self.index_extended,
            3 => self.read_extended(now),
            _ => 0xFF, // 70h is write-only
        }
    }

    fn read_extended(&mut self, now: Time) -> u8 {
        match self.index_extended {
            low @ 0..0x80 => self.read_register(now, low),
            high => self.get(high),
        }
    }

    fn write_port(&mut self, now: Time, offset: u16, value: u8) {
        match offset {
            0 => {
                self.index = value & 0x7F;
                self.nmi_masked = value & 0x80 != 0;
            }
            1 => self.write_register(now, self.index, value),
            2 => self.index_extended = value,
            3 if self.index_extended < 0x80 => self.write_register(now, self.index_extended, value),
            3 => self.put(self.index_extended, value),
            _ => {}
        }
    }

    /// The next pulse of the chain, in its nanoseconds, at which `flag` can rise.
    fn next_event_ns(&self, flag: u8) -> Option<u64> {
        let from = self.chain_ns(self.seen);
        match flag {
            C_PF => {
                let period = self.period()?;
                let tick = (clock::WATCH.tick(Time(from)) / period + 1).checked_mul(period)?;
                Some(clock::WATCH.time(tick).0)
            }
            C_UF => (from / SECOND_NS + 1).checked_mul(SECOND_NS),
            _ => {
                let after = self.seconds_to_alarm()?;
                (from / SECOND_NS + after).checked_mul(SECOND_NS)
            }
        }
    }
}

/// First second of an hour, from `bound` on, with this minute and this second.
fn first_match(bound: u32, minute: Option<u32>, second: Option<u32>) -> Option<u32> {
    let found = match (minute, second) {
        (None, None) => bound,
        (Some(m), None) => bound.max(m * 60),
        (Some(m), Some(s)) => m * 60 + s,
        (None, Some(s)) if bound % 60 <= s => bound / 60 * 60 + s,
        (None, Some(s)) => (bound / 60 + 1) * 60 + s,
    };
    let right_minute = minute.is_none_or(|m| found / 60 == m);
    let right_second = second.is_none_or(|s| found % 60 == s);
    (found >= bound && found < 3600 && right_minute && right_second).then_some(found)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; months and days out of range carry over.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the leap day.
    let months = year * 12 + (month - 1) - 2;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day of a count of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // from March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era.saturating_mul(400).saturating_add(year_of_era + i64::from(month >= 10));
    (year, ((month + 2) % 12 + 1) as u8, day as u8)
}

impl Ports for Rtc {
    fn read(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| self.read_port(ctx.now, port))
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| self.write_port(ctx.now, port, byte));
    }
}

impl Timed for Rtc {
    /// When the interrupt request next rises. While it is up, or nothing is enabled, time changes nothing outside.
    fn deadline(&self) -> Option<Time> {
        if self.irq() || !self.chain_runs() {
            return None;
        }
        let flags = if self.updates() { C_PF | C_AF | C_UF } else { C_PF } & self.get(B);
        [C_PF, C_AF, C_UF]
            .into_iter()
            .filter(|flag| flags & flag != 0)
            .filter_map(|flag| self.next_event_ns(flag))
            .min()
            .map(|ns| Time(ns.saturating_sub(self.chain_phase)))
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.settle(ctx.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: u64 = SECOND_NS;

    struct Clock {
        rtc: Rtc,
        now: Time,
    }

    impl Clock {
        fn at(epoch_s: i64) -> Self {
            Clock { rtc: Rtc::new(epoch_s), now: Time(0) }
        }

        fn pass(&mut self, ns: u64) -> &mut Self {
            self.now.0 += ns;
            self
        }

        fn read(&mut self, address: u8) -> u8 {
            self.rtc.write_port(self.now, 0, address);
            self.rtc.read_port(self.now, 1)
        }

        fn write(&mut self, address: u8, value: u8) {
            self.rtc.write_port(self.now, 0, address);
            self.rtc.write_port(self.now, 1, value);
        }

        fn date(&mut self) -> [u8; 8] {
            [CENTURY, YEAR, MONTH, DATE_OF_MONTH, HOURS, MINUTES, SECONDS, DAY_OF_WEEK].map(|r| self.read(r))
        }

        fn run_to_irq(&mut self) -> u64 {
            let from = self.now.0;
            self.now = self.rtc.deadline().expect("an interrupt is coming");
            self.rtc.settle(self.now);
            assert!(self.rtc.irq());
            self.now.0 - from
        }
    }

    #[test]
    fn shows_the_date_in_bcd() {
        // date -u -d '2024-02-29 23:59:59' +%s, a Thursday
        let mut clock = Clock::at(1_709_251_199);
        assert_eq!(clock.date(), [0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x59, 5]);
        clock.pass(NS);
        assert_eq!(clock.date(), [0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00, 6]);
    }

    #[test]
    fn century_turns() {
        let mut clock = Clock::at(946_684_799); // 1999-12-31 23:59:59, a Friday
        assert_eq!(clock.date(), [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59, 6]);
        clock.pass(NS);
        assert_eq!(clock.date(), [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 7]);
    }

    #[test]
    fn years_pass_at_once() {
        let mut clock = Clock::at(0);
        clock.pass(400 * 365 * DAY * NS);
        // 400 Gregorian years have 97 leap days.
        assert_eq!(clock.date()[..4], [0x23, 0x69, 0x09, 0x26]);
    }

    #[test]
    fn twelve_hour_binary() {
        let mut clock = Clock::at(0);
        clock.write(B, B_SET | B_DM);
        for (register, value) in [(HOURS, 11), (MINUTES, 59), (SECONDS, 59)] {
            clock.write(register, value);
        }
        clock.write(B, B_DM);
        clock.pass(NS);
        assert_eq!(clock.read(HOURS), 0x8C, "12 PM");
        clock.pass(3600 * NS);
        assert_eq!(clock.read(HOURS), 0x81);
        clock.pass(11 * 3600 * NS);
        assert_eq!(clock.read(HOURS), 0x0C, "12 AM is midnight");
        assert_eq!(clock.read(DATE_OF_MONTH), 2);
    }

    #[test]
    fn set_stops_the_clock() {
        let mut clock = Clock::at(0);
        clock.write(B, B_SET | B_24H);
        clock.write(SECONDS, 0x30);
        clock.pass(10 * NS);
        assert_eq!(clock.read(SECONDS), 0x30);
        assert_eq!(clock.read(A) & A_UIP, 0);
        clock.write(B, B_24H);
        clock.pass(2 * NS);
        assert_eq!(clock.read(SECONDS), 0x32);
    }

    #[test]
    fn update_in_progress_announces_the_second() {
        let mut clock = Clock::at(0);
        clock.pass(NS - UIP_NS - 1);
        assert_eq!(clock.read(A) & A_UIP, 0);
        clock.pass(2);
        assert_eq!(clock.read(A) & A_UIP, A_UIP);
        assert_eq!(clock.read(SECONDS), 0);
        clock.pass(UIP_NS);
        assert_eq!(clock.read(A) & A_UIP, 0);
        assert_eq!(clock.read(SECONDS), 1);
    }

    #[test]
    fn first_update_half_a_second_after_the_divider_reset() {
        let mut clock = Clock::at(0);
        clock.pass(3 * NS / 4 + NS);
        clock.write(A, 0x76);
        clock.pass(9 * NS);
        assert_eq!(clock.read(SECONDS), 1);
        clock.write(A, 0x26);
        clock.pass(NS / 2 - 1);
        assert_eq!(clock.read(SECONDS), 1);
        clock.pass(1);
        assert_eq!(clock.read(SECONDS), 2);
    }

    #[test]
    fn periodic_interrupt_at_1024_hertz() {
        let mut clock = Clock::at(0);
        clock.write(B, B_24H | C_PF);
        assert_eq!(clock.run_to_irq(), 976_563);
        assert_eq!(clock.rtc.deadline(), None, "up until register C is read");
        assert_eq!(clock.read(C), C_IRQF | C_PF);
        assert!(!clock.rtc.irq());
        assert_eq!(clock.read(C), 0);
        clock.pass(3600 * NS);
        clock.rtc.settle(clock.now);
        assert_eq!(clock.read(C), C_IRQF | C_PF | C_UF, "missed ones are one");
    }

    #[test]
    fn periodic_rates_of_the_table() {
        for (rate, ns) in [(1, 3_906_250), (2, 7_812_500), (3, 122_071), (15, 500_000_000)] {
            let mut clock = Clock::at(0);
            clock.write(A, 0x20 | rate);
            clock.write(B, B_24H | C_PF);
            assert_eq!(clock.run_to_irq(), ns);
        }
    }

    #[test]
    fn flags_rise_without_interrupt_when_not_enabled() {
        let mut clock = Clock::at(0);
        clock.pass(NS);
        assert_eq!(clock.read(C), C_PF | C_UF);
        assert!(!clock.rtc.irq());
        clock.pass(NS);
        clock.rtc.settle(clock.now);
        clock.write(B, B_24H | C_UF);
        assert!(clock.rtc.irq(), "enabling a flag that is up asks at once");
    }

    #[test]
    fn alarm_at_a_time_of_day() {
        let mut clock = Clock::at(23 * 3600);
        for (register, value) in [(HOURS_ALARM, 0x01), (MINUTES_ALARM, 0x30), (SECONDS_ALARM, 0x05)] {
            clock.write(register, value);
        }
        clock.write(B, B_24H | C_AF);
        assert_eq!(clock.run_to_irq(), (2 * 3600 + 30 * 60 + 5) * NS);
        assert_eq!(clock.read(C) & (C_IRQF | C_AF), C_IRQF | C_AF);
    }

    #[test]
    fn alarm_every_minute() {
        let mut clock = Clock::at(7);
        for (register, value) in [(HOURS_ALARM, 0xFF), (MINUTES_ALARM, 0xC0), (SECONDS_ALARM, 0x05)] {
            clock.write(register, value);
        }
        clock.write(B, B_24H | C_AF);
        assert_eq!(clock.run_to_irq(), 58 * NS);
        clock.read(C);
        assert_eq!(clock.run_to_irq(), 60 * NS);
        clock.read(C);
        clock.pass(59 * NS);
        assert_eq!(clock.read(C) & C_AF, 0);
    }

    #[test]
    fn alarm_on_a_date() {
        let mut clock = Clock::at(1_709_251_199 - DAY as i64); // 2024-02-28 23:59:59
        for (register, value) in
            [(HOURS_ALARM, 0x06), (MINUTES_ALARM, 0x00), (SECONDS_ALARM, 0x00), (D, 0x30)]
        {
            clock.write(register, value);
        }
        assert_eq!(clock.read(D), 0xB0);
        clock.write(B, B_24H | C_AF);
        // February has no 30th: the alarm is on March 30th.
        assert_eq!(clock.run_to_irq(), (1 + 30 * DAY + 6 * 3600) * NS);
        clock.read(C);
        clock.write(D, 0x30);
        assert_eq!(clock.run_to_irq(), 31 * DAY * NS, "April 30th");
        clock.read(C);
        clock.write(D, 0x00);
        assert_eq!(clock.run_to_irq(), DAY * NS);
    }

    #[test]
    fn reset_keeps_time_and_memory() {
        let mut clock = Clock::at(1_709_251_199);
        clock.write(0x40, 0x5A);
        clock.write(B, B_24H | C_PF | C_AF | C_UF);
        clock.rtc.reset();
        assert_eq!(clock.read(B), B_24H);
        assert_eq!(clock.read(0x40), 0x5A);
        assert_eq!(clock.read(YEAR), 0x24);
        assert_eq!(clock.read(D), 0x80, "battery good, no date alarm");
    }

    #[test]
    fn second_bank() {
        let mut clock = Clock::at(0);
        clock.rtc.write_port(clock.now, 2, 0x85);
        clock.rtc.write_port(clock.now, 3, 0x77);
        assert_eq!(clock.rtc.read_port(clock.now, 3), 0x77);
        assert_eq!(clock.read(0x05), 0);
        assert_eq!(clock.rtc.cmos(0x85), 0x77);
    }
}
