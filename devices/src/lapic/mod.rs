//! Local APIC: xAPIC in memory and x2APIC in MSRs.
//!
//! Follows: Intel SDM volume 3 chapter 11 "Advanced programmable interrupt controller". What it sends leaves as a
//! [`Message`] that the board takes after each access ([`Lapic::take_message`], [`Lapic::take_eoi`]); what it asks of
//! its processor is [`Lapic::interrupt`] and [`Lapic::take_signals`]. Beyond the manual: at power-on the boot
//! processor's LINT0 lets the 8259A through (the "virtual wire" that firmware otherwise sets up), so that software
//! that knows no APIC gets its interrupts. Not modelled: focus processor, arbitration ID, error "accept".
//! Parts: [`registers`] the register file as the guest sees it, [`timer`] the timer. Tests in `tests.rs`.

mod registers;
#[cfg(test)]
mod tests;
mod timer;

pub use registers::Register;

use crate::{
    Time,
    apic_bus::{Delivery, Destination, Message},
};
use serde::{Deserialize, Serialize};
use timer::Timer;

/// IA32_APIC_BASE.
pub const MSR_APIC_BASE: u32 = 0x1B;
/// IA32_TSC_DEADLINE.
pub const MSR_TSC_DEADLINE: u32 = 0x6E0;
/// First and last MSR of x2APIC.
pub const MSR_X2APIC: std::ops::RangeInclusive<u32> = 0x800..=0x8FF;

const BASE_BSP: u64 = 1 << 8; // bootstrap processor
const BASE_EXTD: u64 = 1 << 10; // x2APIC mode
const BASE_ENABLE: u64 = 1 << 11; // global enable
const BASE_DEFAULT: u64 = 0xFEE0_0000;

const SVR_ENABLE: u32 = 1 << 8; // software enable

const LVT_MASKED: u32 = 1 << 16;
const LVT_LEVEL: u32 = 1 << 15; // LINT pins: level-triggered
const LVT_REMOTE_IRR: u32 = 1 << 14; // LINT pins: a level interrupt is accepted and not ended

/// Errors, as bits of ESR.
mod error {
    pub const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
    pub const RECEIVED_ILLEGAL_VECTOR: u32 = 1 << 6;
    pub const ILLEGAL_REGISTER: u32 = 1 << 7;
}

/// Entries of the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Lvt {
    Timer,
    Thermal,
    Performance,
    Lint0,
    Lint1,
    Error,
}

/// 256 bits, one a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Vectors([u32; 8]);

impl Vectors {
    fn get(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 5)] >> (vector & 31) & 1 != 0
    }

    fn set(&mut self, vector: u8, on: bool) {
        let word = &mut self.0[usize::from(vector >> 5)];
        let bit = 1 << (vector & 31);
        *word = if on { *word | bit } else { *word & !bit };
    }

    /// The most urgent: the highest.
    #[inline]
    fn highest(&self) -> Option<u8> {
        let (i, word) = self.0.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        Some((i as u32 * 32 + 31 - word.leading_zeros()) as u8)
    }
}

/// Where a pending interrupt's vector comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// From [`Lapic::acknowledge`].
    Local,
    /// From the 8259A; tell the local APIC by [`Lapic::acknowledge_external`].
    External,
}

/// What reaches the processor beside vectored interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// Non-maskable interrupt.
    pub nmi: bool,
    /// System management interrupt.
    pub smi: bool,
    /// INIT.
    pub init: bool,
    /// Start-up message: begin at real-mode address `page * 1000h`.
    pub startup: Option<u8>,
}

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapic {
    initial_id: u32,   // the ID that the wiring gives; that of x2APIC
    tick_ns: u32,      // period of the bus clock that the timer divides
    x2apic_able: bool, // CPUID has x2APIC
    base: u64,         // IA32_APIC_BASE
    id: u8,            // xAPIC ID
    tpr: u8,           // task priority
    ldr: u8,           // logical destination, xAPIC
    cluster: bool,     // DFR: cluster model instead of flat
    svr: u32,          // spurious interrupt vector and software enable
    irr: Vectors,      // interrupts requested
    isr: Vectors,      // interrupts in service
    tmr: Vectors,      // trigger mode: level
    esr: u32,          // errors as last latched by a write to ESR
    errors: u32,       // errors since
    icr: u64,          // interrupt command
    lvt: [u32; 6],     // local vector table
    timer: Timer,
    lint: [bool; 2],          // levels of the LINT pins
    external: bool,           // an ExtINT message came
    signals: Signals,         // for the processor
    message: Option<Message>, // on its way out
    ended: Option<u8>,        // end of a level interrupt, to be broadcast
}

impl Lapic {
    /// A local APIC with this ID, whose timer counts bus clocks of `tick_ns` nanoseconds. `bsp` is the processor that
    /// boots; `x2apic` whether its model has x2APIC.
    pub fn new(id: u32, bsp: bool, x2apic: bool, tick_ns: u32) -> Self {
        let mut lapic = Lapic {
            initial_id: id,
            tick_ns: tick_ns.max(1),
            x2apic_able: x2apic,
            base: BASE_DEFAULT | BASE_ENABLE | if bsp { BASE_BSP } else { 0 },
            id: id as u8,
            tpr: 0,
            ldr: 0,
            cluster: false,
            svr: 0xFF,
            irr: Vectors::default(),
            isr: Vectors::default(),
            tmr: Vectors::default(),
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [LVT_MASKED; 6],
            timer: Timer::default(),
            lint: [false; 2],
            external: false,
            signals: Signals::default(),
            message: None,
            ended: None,
        };
        if bsp {
            lapic.lvt[Lvt::Lint0 as usize] = (Delivery::ExtInt as u32) << 8;
        }
        lapic
    }

    /// Power-on or hard reset.
    pub fn reset(&mut self) {
        let lint = self.lint;
        *self = Lapic::new(self.initial_id, self.is_bsp(), self.x2apic_able, self.tick_ns);
        self.lint = lint;
    }

    /// What an INIT does: as a reset, but ID and mode stay.
    fn init(&mut self) {
        let (id, base, lint, signals) = (self.id, self.base, self.lint, self.signals);
        *self = Lapic::new(self.initial_id, false, self.x2apic_able, self.tick_ns);
        (self.id, self.base, self.lint, self.signals) = (id, base, lint, signals);
    }

    /// Whether this is the bootstrap processor's.
    pub fn is_bsp(&self) -> bool {
        self.base & BASE_BSP != 0
    }

    /// IA32_APIC_BASE bit 11: the local APIC is there at all.
    #[inline]
    pub fn enabled(&self) -> bool {
        self.base & BASE_ENABLE != 0
    }

    /// Whether it is in x2APIC mode.
    pub fn x2apic(&self) -> bool {
        self.base & BASE_EXTD != 0
    }

    /// Physical address of the register page, while it has one: enabled, and not in x2APIC mode.
    pub fn page(&self) -> Option<u64> {
        let in_memory = self.enabled() && !self.x2apic();
        in_memory.then_some(self.base & 0x000F_FFFF_FFFF_F000)
    }

    /// The ID that physical destinations name.
    pub fn id(&self) -> u32 {
        if self.x2apic() { self.initial_id } else { self.id.into() }
    }

    /// CR8: the upper half of the task priority.
    pub fn task_priority(&self) -> u8 {
        self.tpr >> 4
    }

    /// MOV to CR8.
    pub fn set_task_priority(&mut self, class: u8) {
        self.tpr = class << 4;
    }

    // ---- towards the processor ----

    /// The interrupt that INTR announces, if any.
    #[inline]
    pub fn interrupt(&self) -> Option<Pending> {
        if self.deliverable().is_some() {
            Some(Pending::Local)
        } else if self.external || (self.lint[0] && self.lint0_is_external()) {
            Some(Pending::External)
        } else {
            None
        }
    }

    /// Interrupt acknowledge: moves the most urgent request to service. The spurious vector if it has gone.
    pub fn acknowledge(&mut self, now: Time) -> u8 {
        // Expiries of the timer that met its request still waiting have merged with it.
        self.settle(now);
        let Some(vector) = self.deliverable() else {
            return self.svr as u8;
        };
        self.irr.set(vector, false);
        self.isr.set(vector, true);
        vector
    }

    /// The processor has taken a vector from the 8259A.
    pub fn acknowledge_external(&mut self) {
        self.external = false;
    }

    /// NMI, SMI, INIT and start-up since this was last asked.
    pub fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// Whether [`Lapic::take_signals`] has anything.
    pub fn has_signals(&self) -> bool {
        self.signals != Signals::default()
    }

    #[inline]
    fn deliverable(&self) -> Option<u8> {
        if !self.takes_fixed() {
            return None;
        }
        self.irr.highest().filter(|vector| vector >> 4 > self.processor_priority() >> 4)
    }

    /// PPR: the more urgent of task and interrupt in service.
    #[inline]
    fn processor_priority(&self) -> u8 {
        let service = self.isr.highest().unwrap_or(0);
        if self.tpr >> 4 >= service >> 4 { self.tpr } else { service & 0xF0 }
    }

    // ---- towards the bus ----

    /// The message that the last access sent.
    pub fn take_message(&mut self) -> Option<Message> {
        self.message.take()
    }

    /// The level-triggered vector whose end the last access announced: for the IOAPICs.
    pub fn take_eoi(&mut self) -> Option<u8> {
        self.ended.take()
    }

    /// Whether `message` is for this local APIC.
    pub fn accepts(&self, message: &Message) -> bool {
        self.enabled()
            && match message.destination {
                Destination::All => true,
                Destination::AllBut(id) => id != self.initial_id,
                Destination::Physical(id) => id == self.id(),
                Destination::Logical(set) => self.in_logical(set),
            }
    }

    fn in_logical(&self, set: u32) -> bool {
        if self.x2apic() {
            let own = self.x2apic_ldr();
            return set >> 16 == own >> 16 && set & own & 0xFFFF != 0;
        }
        let set = set as u8;
        match self.cluster {
            false => set & self.ldr != 0,
            true => (set >> 4 == 0xF || set >> 4 == self.ldr >> 4) && set & self.ldr & 0xF != 0,
        }
    }

    fn x2apic_ldr(&self) -> u32 {
        (self.initial_id >> 4) << 16 | 1 << (self.initial_id & 15)
    }

    /// Whether it is enabled in both ways, so that vectored interrupts are accepted.
    #[inline]
    pub fn takes_fixed(&self) -> bool {
        self.enabled() && self.svr & SVR_ENABLE != 0
    }

    /// How urgent its work is, for lowest-priority delivery.
    pub fn arbitration_priority(&self) -> u8 {
        let requested = self.irr.highest().unwrap_or(0) & 0xF0;
        self.processor_priority().max(requested)
    }

    /// Takes a message that [`Lapic::accepts`].
    pub fn receive(&mut self, message: &Message) {
        match message.delivery {
            Delivery::Fixed | Delivery::LowestPriority => self.request(message.vector, message.level),
            Delivery::Smi => self.signals.smi = true,
            Delivery::Nmi => self.signals.nmi = true,
            Delivery::Init => {
                self.init();
                self.signals = Signals { init: true, ..Signals::default() };
            }
            Delivery::Startup => self.signals.startup = Some(message.vector),
            Delivery::ExtInt => self.external = true,
        }
    }

    fn request(&mut self, vector: u8, level: bool) {
        if !self.takes_fixed() {
            return;
        }
        if vector < 16 {
            return self.fail(error::RECEIVED_ILLEGAL_VECTOR);
        }
        self.irr.set(vector, true);
        self.tmr.set(vector, level);
    }

    fn fail(&mut self, error: u32) {
        let first = self.errors & error == 0;
        self.errors |= error;
        let vector = self.lvt(Lvt::Error) as u8;
        // An illegal vector in the error entry itself must not fail again for ever.
        if first && self.lvt(Lvt::Error) & LVT_MASKED == 0 && vector >= 16 {
            self.request(vector, false);
        }
    }

    fn end_of_interrupt(&mut self) {
        let Some(vector) = self.isr.highest() else { return };
        self.isr.set(vector, false);
        if !self.tmr.get(vector) {
            return;
        }
        self.ended = Some(vector);
        for pin in [Lvt::Lint0, Lvt::Lint1] {
            if self.lvt(pin) & (LVT_REMOTE_IRR | 0xFF) == LVT_REMOTE_IRR | u32::from(vector) {
                self.lvt[pin as usize] &= !LVT_REMOTE_IRR;
                self.lint_changed(pin, false);
            }
        }
    }

    // ---- local interrupts ----

    fn lvt(&self, entry: Lvt) -> u32 {
        self.lvt[entry as usize]
    }

    fn lint0_is_external(&self) -> bool {
        let entry = self.lvt(Lvt::Lint0);
        !self.enabled() || (entry & LVT_MASKED == 0 && entry >> 8 & 7 == Delivery::ExtInt as u32)
    }

    /// Drives a LINT pin: 0 is the 8259A's INTR, 1 is NMI.
    pub fn set_lint(&mut self, pin: usize, level: bool) {
        let entry = if pin == 0 { Lvt::Lint0 } else { Lvt::Lint1 };
        let rose = level && !self.lint[pin & 1];
        self.lint[pin & 1] = level;
        if !self.enabled() {
            self.signals.nmi |= entry == Lvt::Lint1 && rose;
            return;
        }
        self.lint_changed(entry, rose);
    }

    fn lint_changed(&mut self, pin: Lvt, rose: bool) {
        let entry = self.lvt(pin);
        let high = self.lint[usize::from(pin == Lvt::Lint1)];
        if entry & LVT_MASKED != 0 || !high {
            return;
        }
        match Delivery::from_code(entry >> 8) {
            Some(Delivery::Fixed)
                if entry & (LVT_LEVEL | LVT_REMOTE_IRR) == LVT_LEVEL && self.takes_fixed() =>
            {
                self.lvt[pin as usize] |= LVT_REMOTE_IRR;
                self.request(entry as u8, true);
            }
            Some(Delivery::Fixed) if entry & LVT_LEVEL != 0 => {}
            Some(Delivery::Fixed) if rose => self.request(entry as u8, false),
            Some(Delivery::Nmi) if rose => self.signals.nmi = true,
            Some(Delivery::Smi) if rose => self.signals.smi = true,
            Some(Delivery::Init) if rose => {
                self.init();
                self.signals = Signals { init: true, ..Signals::default() };
            }
            _ => {} // ExtINT is a level that `interrupt` looks at
        }
    }

    /// Whether the timer goes on by itself after its interrupt.
    pub fn timer_rearms(&self) -> bool {
        timer::Mode::of(self.lvt(Lvt::Timer)) == timer::Mode::Periodic
    }

    /// Catches the timer up.
    fn settle(&mut self, now: Time) {
        let entry = self.lvt(Lvt::Timer);
        if self.timer.settle(now, self.tick_ns, timer::Mode::of(entry)) && entry & LVT_MASKED == 0 {
            self.request(entry as u8, false);
        }
    }
}

impl crate::Timed for Lapic {
    /// When the timer's interrupt comes; none while it would change nothing (masked, or requested already).
    fn deadline(&self) -> Option<Time> {
        let entry = self.lvt(Lvt::Timer);
        let futile = entry & LVT_MASKED != 0 || self.irr.get(entry as u8) || !self.takes_fixed();
        if futile { None } else { self.timer.next() }
    }

    fn advance(&mut self, ctx: &mut crate::Ctx) {
        self.settle(ctx.now);
    }
}
