//! The local APIC's registers as the guest reaches them: in memory and by MSR. SDM volume 3, 11.4.1 (table 11-1),
//! 11.12 (x2APIC).

use super::{
    BASE_BSP, BASE_ENABLE, BASE_EXTD, LVT_MASKED, LVT_REMOTE_IRR, Lapic, Lvt, MSR_APIC_BASE,
    MSR_TSC_DEADLINE, MSR_X2APIC, SVR_ENABLE, error, timer::Mode,
};
use crate::{
    Ctx, Registers, Time, Width,
    apic_bus::{Delivery, Destination, Message},
};

/// A register, by its number: the offset in memory divided by 16, or the MSR minus 800h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Register {
    Id,
    Version,
    TaskPriority,
    ArbitrationPriority,
    ProcessorPriority,
    EndOfInterrupt,
    RemoteRead,
    LogicalDestination,
    DestinationFormat,
    SpuriousVector,
    InService(u8),
    TriggerMode(u8),
    Requested(u8),
    ErrorStatus,
    InterruptCommand,
    InterruptCommandHigh,
    LvtTimer,
    LvtThermal,
    LvtPerformance,
    LvtLint0,
    LvtLint1,
    LvtError,
    InitialCount,
    CurrentCount,
    DivideConfiguration,
    SelfIpi,
}

impl Register {
    /// The register of this number.
    pub fn from_number(number: u32) -> Option<Register> {
        use Register::*;
        Some(match number {
            0x02 => Id,
            0x03 => Version,
            0x08 => TaskPriority,
            0x09 => ArbitrationPriority,
            0x0A => ProcessorPriority,
            0x0B => EndOfInterrupt,
            0x0C => RemoteRead,
            0x0D => LogicalDestination,
            0x0E => DestinationFormat,
            0x0F => SpuriousVector,
            0x10..=0x17 => InService(number as u8 & 7),
            0x18..=0x1F => TriggerMode(number as u8 & 7),
            0x20..=0x27 => Requested(number as u8 & 7),
            0x28 => ErrorStatus,
            0x30 => InterruptCommand,
            0x31 => InterruptCommandHigh,
            0x32 => LvtTimer,
            0x33 => LvtThermal,
            0x34 => LvtPerformance,
            0x35 => LvtLint0,
            0x36 => LvtLint1,
            0x37 => LvtError,
            0x38 => InitialCount,
            0x39 => CurrentCount,
            0x3E => DivideConfiguration,
            0x3F => SelfIpi,
            _ => return None,
        })
    }

    fn lvt(self) -> Option<Lvt> {
        Some(match self {
            Register::LvtTimer => Lvt::Timer,
            Register::LvtThermal => Lvt::Thermal,
            Register::LvtPerformance => Lvt::Performance,
            Register::LvtLint0 => Lvt::Lint0,
            Register::LvtLint1 => Lvt::Lint1,
            Register::LvtError => Lvt::Error,
            _ => return None,
        })
    }

    /// Whether x2APIC has it, to read and to write.
    fn in_x2apic(self) -> (bool, bool) {
        use Register::*;
        match self {
            ArbitrationPriority | RemoteRead | DestinationFormat | InterruptCommandHigh => (false, false),
            EndOfInterrupt | SelfIpi => (false, true),
            Id | Version | ProcessorPriority | LogicalDestination | CurrentCount => (true, false),
            InService(_) | TriggerMode(_) | Requested(_) => (true, false),
            _ => (true, true),
        }
    }

    /// Bits that a guest may write; in x2APIC mode any other raises #GP.
    fn writable(self) -> u64 {
        use Register::*;
        match self {
            TaskPriority | SelfIpi => 0xFF,
            SpuriousVector => 0x1FF,
            EndOfInterrupt | ErrorStatus => 0,
            InterruptCommand => 0xFFFF_FFFF_000C_CFFF,
            LvtTimer => 0x7_00FF,
            LvtThermal | LvtPerformance => 0x1_07FF,
            LvtLint0 | LvtLint1 => 0x1_A7FF,
            LvtError => 0x1_00FF,
            DivideConfiguration => 0xB,
            _ => 0xFFFF_FFFF,
        }
    }
}

/// Version 14h, six entries in the local vector table.
const VERSION: u32 = 0x0005_0014;

impl Lapic {
    /// Reads IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register. `None` raises #GP.
    pub fn read_msr(&mut self, now: Time, msr: u32) -> Option<u64> {
        self.settle(now);
        match msr {
            MSR_APIC_BASE => Some(self.base),
            MSR_TSC_DEADLINE => Some(self.timer.deadline()),
            _ if !MSR_X2APIC.contains(&msr) || !self.x2apic() => None,
            _ => {
                let register = Register::from_number(msr - MSR_X2APIC.start())?;
                if !register.in_x2apic().0 {
                    return None;
                }
                Some(match register {
                    Register::InterruptCommand => self.icr,
                    _ => self.read_register(now, register).into(),
                })
            }
        }
    }

    /// Writes one of those. `tsc` is the processor's time-stamp counter now. `None` raises #GP.
    pub fn write_msr(&mut self, now: Time, tsc: u64, msr: u32, value: u64) -> Option<()> {
        self.settle(now);
        match msr {
            MSR_APIC_BASE => self.write_base(value),
            MSR_TSC_DEADLINE => {
                if Mode::of(self.lvt(Lvt::Timer)) == Mode::TscDeadline {
                    self.timer.set_deadline(now, tsc, value);
                    self.settle(now);
                }
                Some(())
            }
            _ if !MSR_X2APIC.contains(&msr) || !self.x2apic() => None,
            _ => {
                let register = Register::from_number(msr - MSR_X2APIC.start())?;
                if !register.in_x2apic().1 || value & !register.writable() != 0 {
                    return None;
                }
                match register {
                    Register::InterruptCommand => {
                        self.icr = value;
                        self.send();
                    }
                    Register::SelfIpi if value < 16 => self.fail(error::SEND_ILLEGAL_VECTOR),
                    Register::SelfIpi => self.request(value as u8, false),
                    _ => self.write_register(now, register, value as u32),
                }
                Some(())
            }
        }
    }

    /// IA32_APIC_BASE: mode changes as in SDM volume 3, figure 11-27.
    fn write_base(&mut self, value: u64) -> Option<()> {
        let reserved = 0xFFF0_0000_0000_02FF | if self.x2apic_able { 0 } else { BASE_EXTD };
        if value & reserved != 0 {
            return None;
        }
        let mode = |base: u64| (base & BASE_ENABLE != 0, base & BASE_EXTD != 0);
        match (mode(self.base), mode(value)) {
            (_, (false, true)) => return None,
            ((false, _), (true, true)) => return None, // disabled to x2APIC only by way of xAPIC
            ((true, true), (true, false)) => return None, // and back only by way of disabled
            ((true, _), (false, false)) => {
                self.init();
                self.id = self.initial_id as u8;
            }
            ((_, false), (true, true)) => self.icr &= 0xFFFF_FFFF,
            _ => {}
        }
        self.base = value & !BASE_BSP | self.base & BASE_BSP;
        Some(())
    }

    fn read_register(&mut self, now: Time, register: Register) -> u32 {
        use Register::*;
        match register {
            Id if self.x2apic() => self.initial_id,
            Id => u32::from(self.id) << 24,
            Version => VERSION,
            TaskPriority => self.tpr.into(),
            ProcessorPriority => self.processor_priority().into(),
            LogicalDestination if self.x2apic() => self.x2apic_ldr(),
            LogicalDestination => u32::from(self.ldr) << 24,
            DestinationFormat => {
                if self.cluster {
                    0x0FFF_FFFF
                } else {
                    0xFFFF_FFFF
                }
            }
            SpuriousVector => self.svr,
            InService(i) => self.isr.0[usize::from(i & 7)],
            TriggerMode(i) => self.tmr.0[usize::from(i & 7)],
            Requested(i) => self.irr.0[usize::from(i & 7)],
            ErrorStatus => self.esr,
            InterruptCommand => self.icr as u32,
            InterruptCommandHigh => (self.icr >> 32) as u32,
            InitialCount => self.timer.initial(),
            CurrentCount => self.timer.current(now, self.tick_ns, Mode::of(self.lvt(Lvt::Timer))),
            DivideConfiguration => self.timer.divide(),
            ArbitrationPriority | EndOfInterrupt | RemoteRead | SelfIpi => 0,
            LvtTimer | LvtThermal | LvtPerformance | LvtLint0 | LvtLint1 | LvtError => {
                register.lvt().map_or(0, |entry| self.lvt(entry))
            }
        }
    }

    fn write_register(&mut self, now: Time, register: Register, value: u32) {
        use Register::*;
        let mode = Mode::of(self.lvt(Lvt::Timer));
        match register {
            Id => self.id = (value >> 24) as u8,
            TaskPriority => self.tpr = value as u8,
            EndOfInterrupt => self.end_of_interrupt(),
            LogicalDestination => self.ldr = (value >> 24) as u8,
            DestinationFormat => self.cluster = value >> 28 == 0,
            SpuriousVector => self.write_svr(value),
            ErrorStatus => self.esr = std::mem::take(&mut self.errors),
            InterruptCommand => {
                self.icr = self.icr & !0xFFFF_FFFF | u64::from(value) & register.writable();
                self.send();
            }
            InterruptCommandHigh => self.icr = self.icr & 0xFFFF_FFFF | u64::from(value & 0xFF00_0000) << 32,
            InitialCount => self.timer.start(now, self.tick_ns, mode, value),
            DivideConfiguration => self.timer.set_divide(now, self.tick_ns, mode, value),
            LvtTimer | LvtThermal | LvtPerformance | LvtLint0 | LvtLint1 | LvtError => {
                if let Some(entry) = register.lvt() {
                    self.write_lvt(entry, value & register.writable() as u32);
                }
            }
            _ => {} // read-only
        }
    }

    fn write_svr(&mut self, value: u32) {
        self.svr = value & 0x1FF;
        if self.svr & SVR_ENABLE == 0 {
            self.lvt.iter_mut().for_each(|entry| *entry |= LVT_MASKED);
        }
    }

    fn write_lvt(&mut self, entry: Lvt, value: u32) {
        let held = if self.svr & SVR_ENABLE == 0 { LVT_MASKED } else { 0 };
        let old = self.lvt(entry);
        self.lvt[entry as usize] = value | held | old & LVT_REMOTE_IRR;
        match entry {
            Lvt::Timer => self.timer.change_mode(Mode::of(old), Mode::of(value)),
            Lvt::Lint0 | Lvt::Lint1 => {
                if value & super::LVT_LEVEL == 0 {
                    self.lvt[entry as usize] &= !LVT_REMOTE_IRR;
                }
                self.lint_changed(entry, false);
            }
            _ => {}
        }
    }

    /// A write to the interrupt command register sends.
    fn send(&mut self) {
        let command = self.icr as u32;
        let Some(delivery) = Delivery::from_code(command >> 8) else { return };
        let vector = command as u8;
        if matches!(delivery, Delivery::Fixed | Delivery::LowestPriority) && vector < 16 {
            return self.fail(error::SEND_ILLEGAL_VECTOR);
        }
        // INIT level de-assert only synchronised arbitration IDs, and ExtINT can't be sent.
        let assert = command >> 14 & 1 != 0;
        if delivery == Delivery::ExtInt || (delivery == Delivery::Init && !assert && command >> 15 & 1 != 0) {
            return;
        }
        let logical = command >> 11 & 1 != 0;
        let field = (self.icr >> 32) as u32;
        let destination = match command >> 18 & 3 {
            0 if self.x2apic() => Destination::from_x2apic(logical, field),
            0 => Destination::from_xapic(logical, (field >> 24) as u8),
            1 => {
                let message = Message { vector, delivery, destination: Destination::All, level: false };
                return self.receive(&message);
            }
            2 => Destination::All,
            _ => Destination::AllBut(self.initial_id),
        };
        // Interprocessor interrupts are edges.
        self.message = Some(Message { vector, delivery, destination, level: false });
    }
}

impl Registers for Lapic {
    fn load(&mut self, ctx: &mut Ctx, offset: u64, width: Width) -> u64 {
        self.settle(ctx.now);
        let (number, byte) = ((offset >> 4) as u32, offset & 15);
        let value = match Register::from_number(number) {
            Some(Register::SelfIpi) | None => {
                self.fail(error::ILLEGAL_REGISTER);
                0
            }
            _ if byte >= 4 => 0, // between registers
            Some(register) => self.read_register(ctx.now, register) >> (8 * byte),
        };
        u64::from(value) & (u64::MAX >> (64 - 8 * width as u32))
    }

    fn store(&mut self, ctx: &mut Ctx, offset: u64, width: Width, value: u64) {
        self.settle(ctx.now);
        match Register::from_number((offset >> 4) as u32) {
            Some(Register::SelfIpi) | None => self.fail(error::ILLEGAL_REGISTER),
            // Registers take whole aligned doublewords; a quadword's upper half falls between registers.
            Some(register) if offset & 15 == 0 && width >= Width::Dword => {
                self.write_register(ctx.now, register, value as u32);
            }
            _ => {}
        }
    }
}
