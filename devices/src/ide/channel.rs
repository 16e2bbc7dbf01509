//! One cable with two drives: which of them a register access means (ATA/ATAPI-6, chapters 6 and 9), the control
//! register, and the channel's bus master.

use super::Unit;
use super::bus_master::BusMaster;
use super::interface::{Interface, Phase, Then, status};
use crate::{Ctx, Time, Width};
use serde::{Deserialize, Serialize};

const HOB: u8 = 0x80; // high order byte: show the registers' previous content
const SRST: u8 = 0x04;
const N_IEN: u8 = 0x02; // interrupts off
const DEV: u8 = 0x10; // device register: which drive
const EXECUTE_DIAGNOSTIC: u8 = 0x90;
const DEVICE_RESET: u8 = 0x08;
const RESET_NS: u64 = 10_000;

/// Command block registers by offset.
mod register {
    pub const DATA: u16 = 0;
    pub const ERROR: u16 = 1; // written: features
    pub const COUNT: u16 = 2;
    pub const LOW: u16 = 3;
    pub const MID: u16 = 4;
    pub const HIGH: u16 = 5;
    pub const DEVICE: u16 = 6;
    pub const STATUS: u16 = 7; // written: command
}

/// A drive: its side of the cable and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Drive {
    pub port: Interface,
    pub unit: Unit,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Channel {
    drives: [Option<Drive>; 2],
    selected: usize,
    control: u8,
    pub master: BusMaster,
}

impl Channel {
    pub fn new(units: [Option<Unit>; 2], first_slot: usize) -> Channel {
        let [a, b] = units;
        let drive = |unit: Option<Unit>, slot| unit.map(|unit| Drive { port: Interface::new(slot), unit });
        let mut channel = Channel {
            drives: [drive(a, first_slot), drive(b, first_slot + 1)],
            selected: 0,
            control: 0,
            master: BusMaster::default(),
        };
        channel.reset();
        channel
    }

    pub fn reset(&mut self) {
        self.selected = 0;
        self.control = 0;
        self.master.reset();
        for drive in self.drives.iter_mut().flatten() {
            drive.port = Interface::new(drive.port.slot);
            drive.unit.power_on();
            drive.unit.signature(&mut drive.port);
        }
    }

    pub fn unit(&self, drive: usize) -> Option<&Unit> {
        self.drives[drive].as_ref().map(|d| &d.unit)
    }

    pub fn unit_mut(&mut self, drive: usize) -> Option<&mut Unit> {
        self.drives[drive].as_mut().map(|d| &mut d.unit)
    }

    pub fn irq(&self) -> bool {
        self.control & N_IEN == 0 && self.drives[self.selected].as_ref().is_some_and(|d| d.port.intrq)
    }

    /// The bus master remembers that the line rose.
    pub fn note_edge(&mut self, before: bool) {
        if !before && self.irq() {
            self.master.interrupt();
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        self.drives.iter().flatten().filter_map(|d| d.port.deadline()).min()
    }

    /// Does everything whose time has come.
    pub fn advance(&mut self, ctx: &mut Ctx, may_master: bool) {
        while let Some(at) = self.deadline().filter(|&at| at <= ctx.now) {
            let line = self.irq();
            for drive in self.drives.iter_mut().flatten().filter(|d| d.port.deadline() == Some(at)) {
                match drive.port.phase {
                    Phase::Busy { then: Then::Signature(interrupt), .. } => {
                        drive.port.stop();
                        drive.unit.signature(&mut drive.port);
                        drive.port.intrq = interrupt;
                    }
                    Phase::Busy { then, .. } => drive.unit.step(&mut drive.port, ctx, at, then),
                    _ => drive.unit.dma(&mut drive.port, ctx, &mut self.master),
                }
            }
            self.note_edge(line);
            self.connect_master(at, may_master);
        }
    }

    /// Gives a drive that waits for the bus master its time, or takes it back when the master has been stopped.
    pub fn connect_master(&mut self, at: Time, may_master: bool) {
        let ready = may_master && self.master.active();
        for drive in self.drives.iter_mut().flatten() {
            if let Phase::Dma { until } = &mut drive.port.phase {
                *until = match *until {
                    _ if !ready => None,
                    None => Some(Time(at.0.saturating_add(drive.unit.dma_time()))),
                    already => already,
                };
            }
        }
    }

    /// The drive that answers a register access: the selected one, or device 0 in place of an absent device 1. A
    /// packet device doesn't stand in: its signature there would look like a second one.
    fn answering(&self) -> Option<&Drive> {
        let stands_in = self.drives[0].as_ref().filter(|d| matches!(d.unit, Unit::Disk(_)));
        self.drives[self.selected].as_ref().or(stands_in)
    }

    pub fn alternate_status(&self) -> u8 {
        self.drives[self.selected].as_ref().map_or(0, |d| d.port.status())
    }

    pub fn read_command(&mut self, ctx: &mut Ctx, register: u16, width: Width) -> u32 {
        if register == register::DATA {
            let mut bytes = [0xff; 4];
            let n = (width as usize).min(4);
            self.read_data(ctx.now, &mut bytes[..n]);
            return u32::from_le_bytes(bytes) & (u64::MAX >> (64 - 8 * n)) as u32;
        }
        // A wider access is several narrow ones, as the chipset splits it.
        let mut value = 0;
        for i in 0..(width as u16).min(4) {
            value |= u32::from(self.read_register(register.wrapping_add(i))) << (8 * i);
        }
        value
    }

    fn read_register(&mut self, register: u16) -> u8 {
        if register == register::STATUS {
            let value = self.alternate_status();
            if let Some(drive) = &mut self.drives[self.selected] {
                drive.port.intrq = false;
            }
            return value;
        }
        let hob = self.control & HOB != 0;
        let Some(task) = self.answering().map(|d| &d.port.task) else { return 0 };
        match register {
            register::ERROR => task.error,
            register::COUNT => task.count.read(hob),
            register::LOW => task.low.read(hob),
            register::MID => task.mid.read(hob),
            register::HIGH => task.high.read(hob),
            register::DEVICE => task.device | 0xa0,
            _ => 0xff,
        }
    }

    pub fn write_command(&mut self, ctx: &mut Ctx, register: u16, width: Width, value: u32) {
        let bytes = value.to_le_bytes();
        let bytes = &bytes[..(width as usize).min(4)];
        if register == register::DATA {
            self.write_data(ctx, bytes);
            return;
        }
        for (i, &byte) in bytes.iter().enumerate() {
            self.write_register(ctx, register.wrapping_add(i as u16), byte);
        }
    }

    fn write_register(&mut self, ctx: &mut Ctx, register: u16, value: u8) {
        self.control &= !HOB;
        if register == register::STATUS {
            return self.command(ctx, value);
        }
        if self.drives[self.selected].as_ref().is_some_and(|d| !d.port.accepts()) {
            return;
        }
        if register == register::DEVICE {
            self.selected = usize::from(value & DEV != 0);
        }
        // Both drives take what is written, whichever is selected.
        for drive in self.drives.iter_mut().flatten().filter(|d| d.port.accepts()) {
            let task = &mut drive.port.task;
            match register {
                register::ERROR => task.features.write(value),
                register::COUNT => task.count.write(value),
                register::LOW => task.low.write(value),
                register::MID => task.mid.write(value),
                register::HIGH => task.high.write(value),
                register::DEVICE => task.device = value,
                _ => {}
            }
        }
    }

    fn command(&mut self, ctx: &mut Ctx, code: u8) {
        if code == EXECUTE_DIAGNOSTIC {
            return self.diagnose(ctx.now);
        }
        let Some(drive) = &mut self.drives[self.selected] else { return };
        let packet_reset = code == DEVICE_RESET && matches!(drive.unit, Unit::Cd(_));
        if packet_reset && drive.port.phase != Phase::Reset {
            drive.port.stop();
            drive.unit.reset();
            drive.port.intrq = false;
            drive.port.busy(ctx.now, RESET_NS, Then::Signature(false));
        } else if drive.port.phase == Phase::Idle {
            let port = &mut drive.port;
            port.intrq = false;
            port.task.status &= status::DRDY | status::DSC;
            port.task.error = 0;
            drive.unit.command(port, ctx, code);
        }
    }

    /// EXECUTE DEVICE DIAGNOSTIC goes to both drives; device 0 reports and interrupts.
    fn diagnose(&mut self, now: Time) {
        if self.drives.iter().flatten().any(|d| d.port.phase != Phase::Idle) {
            return;
        }
        self.selected = 0;
        for (i, drive) in self.drives.iter_mut().enumerate() {
            if let Some(drive) = drive {
                drive.port.intrq = false;
                drive.port.busy(now, RESET_NS, Then::Signature(i == 0));
            }
        }
    }

    pub fn write_control(&mut self, now: Time, value: u8) {
        let before = std::mem::replace(&mut self.control, value & (HOB | SRST | N_IEN));
        match (before & SRST != 0, value & SRST != 0) {
            (false, true) => {
                self.selected = 0;
                for drive in self.drives.iter_mut().flatten() {
                    drive.port.stop();
                    drive.port.intrq = false;
                    drive.port.phase = Phase::Reset;
                    drive.unit.reset();
                }
            }
            (true, false) => {
                for drive in self.drives.iter_mut().flatten() {
                    drive.port.busy(now, RESET_NS, Then::Signature(false));
                }
            }
            _ => {}
        }
    }

    pub fn data_left(&self) -> usize {
        match &self.drives[self.selected] {
            Some(d) if matches!(d.port.phase, Phase::DataIn | Phase::DataOut) => d.port.left(),
            _ => 0,
        }
    }

    pub fn read_data(&mut self, now: Time, to: &mut [u8]) -> usize {
        let Some(drive) = self.drives[self.selected].as_mut().filter(|d| d.port.phase == Phase::DataIn)
        else {
            return 0;
        };
        let port = &mut drive.port;
        let n = port.left().min(to.len());
        to[..n].copy_from_slice(&port.buffer[port.position..port.position + n]);
        port.position += n;
        if port.left() == 0 {
            drive.unit.block_taken(port, now);
        }
        n
    }

    pub fn write_data(&mut self, ctx: &mut Ctx, from: &[u8]) -> usize {
        let Some(drive) = self.drives[self.selected].as_mut().filter(|d| d.port.phase == Phase::DataOut)
        else {
            return 0;
        };
        let port = &mut drive.port;
        let n = port.left().min(from.len());
        port.buffer[port.position..port.position + n].copy_from_slice(&from[..n]);
        port.position += n;
        if port.left() == 0 {
            drive.unit.block_given(port, ctx);
        }
        n
    }
}

/// What a drive does, whichever kind it is.
impl Unit {
    fn power_on(&mut self) {
        match self {
            Unit::Disk(d) => d.power_on(),
            Unit::Cd(c) => c.power_on(),
        }
    }

    fn reset(&mut self) {
        match self {
            Unit::Disk(d) => d.soft_reset(),
            Unit::Cd(c) => c.soft_reset(),
        }
    }

    /// The registers after a reset or diagnostics: "I am here, I am well, and this is my kind" (9.12).
    fn signature(&self, port: &mut Interface) {
        let (mid, high, status) = match self {
            Unit::Disk(_) => (0, 0, status::DRDY | status::DSC),
            Unit::Cd(_) => (0x14, 0xeb, 0),
        };
        let task = &mut port.task;
        task.count.set(1);
        task.low.set(1);
        task.mid.set(mid);
        task.high.set(high);
        task.device = 0;
        task.error = 1;
        task.status = status;
    }

    fn command(&mut self, port: &mut Interface, ctx: &mut Ctx, code: u8) {
        match self {
            Unit::Disk(d) => d.command(port, ctx, code),
            Unit::Cd(c) => c.command(port, ctx, code),
        }
    }

    fn step(&mut self, port: &mut Interface, ctx: &mut Ctx, at: Time, then: Then) {
        match self {
            Unit::Disk(d) => d.step(port, ctx, at, then),
            Unit::Cd(c) => c.step(port, ctx, then),
        }
    }

    fn dma(&mut self, port: &mut Interface, ctx: &mut Ctx, master: &mut BusMaster) {
        match self {
            Unit::Disk(d) => d.dma(port, ctx, master),
            Unit::Cd(c) => c.dma(port, ctx, master),
        }
    }

    fn dma_time(&self) -> u64 {
        match self {
            Unit::Disk(d) => d.dma_time(),
            Unit::Cd(c) => c.dma_time(),
        }
    }

    fn block_taken(&mut self, port: &mut Interface, now: Time) {
        match self {
            Unit::Disk(d) => d.block_taken(port, now),
            Unit::Cd(c) => c.block_taken(port, now),
        }
    }

    fn block_given(&mut self, port: &mut Interface, ctx: &mut Ctx) {
        match self {
            Unit::Disk(d) => d.block_given(port, ctx.now),
            Unit::Cd(c) => c.block_given(port, ctx),
        }
    }
}
