//! IDE: two channels of two drives with bus masters, as the PIIX3 has them.
//!
//! Manuals: ATA/ATAPI-6 (T13 1410D) for registers, protocols and commands; SFF-8020i and MMC-3 for the CD-ROM; Intel
//! 82371SB for the controller. The board puts the register blocks at their ports and passes accesses to the methods of
//! [`Ide`]; a request is executed when its virtual time has come, by [`Timed::advance`] or by the next access.
//!
//! Not modelled: cable timing (IDETIM's and SIDETIM's values change nothing), overlap and queueing, security, host
//! protected area.

mod atapi;
mod bus_master;
mod cd;
mod channel;
mod disk;
#[cfg(test)]
pub(crate) mod fake;
mod identify;
mod interface;
mod media_info;
mod raw;
mod sense;
mod smart;
#[cfg(test)]
mod tests;

pub use cd::Cd;
pub use disk::Disk;

use crate::pci::{IdeFunction, PciFunction};
use crate::{Ctx, Time, Timed, Width};
use channel::Channel;
use serde::{Deserialize, Serialize};

/// A drive as it is bought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Unit {
    /// A hard disk.
    Disk(Disk),
    /// A CD-ROM drive.
    Cd(Cd),
}

/// The controller with its drives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ide {
    /// The controller's configuration space: PIIX3 function 1. After a write to it call [`Timed::advance`], which sees
    /// whether the bus masters may go on.
    pub function: IdeFunction,
    channels: [Channel; 2],
}

impl Ide {
    /// A controller with drives primary master, primary slave, secondary master, secondary slave. Drive `i`'s medium is
    /// the host's slot `first_slot + i`.
    pub fn new(drives: [Option<Unit>; 4], first_slot: usize) -> Ide {
        let [a, b, c, d] = drives;
        Ide {
            function: IdeFunction::new(),
            channels: [Channel::new([a, b], first_slot), Channel::new([c, d], first_slot + 2)],
        }
    }

    /// A hard reset: drives, bus masters and configuration space as after power-on.
    pub fn reset(&mut self) {
        self.function.reset();
        self.channels.iter_mut().for_each(Channel::reset);
    }

    /// The interrupt line of channel 0 (IRQ 14) or 1 (IRQ 15).
    pub fn irq(&self, channel: usize) -> bool {
        self.channels[channel & 1].irq()
    }

    /// IN from the command block (1F0h or 170h) + `register`. The data port takes any width, the others bytes.
    pub fn read_command(&mut self, ctx: &mut Ctx, channel: usize, register: u16, width: Width) -> u32 {
        self.with(ctx, channel, |c, ctx| c.read_command(ctx, register, width))
    }

    /// OUT to the command block.
    pub fn write_command(&mut self, ctx: &mut Ctx, channel: usize, register: u16, width: Width, value: u32) {
        self.with(ctx, channel, |c, ctx| c.write_command(ctx, register, width, value));
    }

    /// IN from the control port (3F6h or 376h): the alternate status.
    pub fn read_control(&mut self, ctx: &mut Ctx, channel: usize) -> u8 {
        self.with(ctx, channel, |c, _| c.alternate_status())
    }

    /// OUT to the control port: HOB, SRST, nIEN.
    pub fn write_control(&mut self, ctx: &mut Ctx, channel: usize, value: u8) {
        self.with(ctx, channel, |c, ctx| c.write_control(ctx.now, value));
    }

    /// IN from the sixteen bus master ports.
    pub fn read_bus_master(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        self.with(ctx, usize::from(offset >> 3), |c, _| c.master.read(offset & 7, width))
    }

    /// OUT to the sixteen bus master ports.
    pub fn write_bus_master(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        self.with(ctx, usize::from(offset >> 3), |c, _| c.master.write(offset & 7, width, value));
    }

    /// Many INs from a channel's data port at once: fills `to` from the current block and says how many bytes there
    /// were; 0 when there is none. Never goes on into the next block, which is not there yet. `ctx.now` is the time of
    /// the last of the accesses.
    pub fn read_data(&mut self, ctx: &mut Ctx, channel: usize, to: &mut [u8]) -> usize {
        self.with(ctx, channel, |c, ctx| c.read_data(ctx.now, to))
    }

    /// Many OUTs to a channel's data port at once; how many bytes the current block took.
    pub fn write_data(&mut self, ctx: &mut Ctx, channel: usize, from: &[u8]) -> usize {
        self.with(ctx, channel, |c, ctx| c.write_data(ctx, from))
    }

    /// Bytes left in the block that the host is reading from or writing to a channel's data port.
    pub fn data_left(&self, channel: usize) -> usize {
        self.channels[channel & 1].data_left()
    }

    /// The medium in a CD drive has been changed from outside: there is one now, or none.
    pub fn medium_changed(&mut self, drive: usize, present: bool) {
        if let Some(Unit::Cd(cd)) = self.unit_mut(drive) {
            cd.medium_changed(present);
        }
    }

    /// A drive, 0 to 3.
    pub fn unit(&self, drive: usize) -> Option<&Unit> {
        self.channels[drive >> 1 & 1].unit(drive & 1)
    }

    fn unit_mut(&mut self, drive: usize) -> Option<&mut Unit> {
        self.channels[drive >> 1 & 1].unit_mut(drive & 1)
    }

    /// Catches a channel up to now, lets something happen to it, and looks whether data can flow then.
    fn with<R>(&mut self, ctx: &mut Ctx, channel: usize, f: impl FnOnce(&mut Channel, &mut Ctx) -> R) -> R {
        let may_master = self.function.config().bus_master();
        let channel = &mut self.channels[channel & 1];
        channel.advance(ctx, may_master);
        let line = channel.irq();
        let result = f(channel, ctx);
        channel.note_edge(line);
        channel.connect_master(ctx.now, may_master);
        result
    }
}

impl Timed for Ide {
    fn deadline(&self) -> Option<Time> {
        self.channels.iter().filter_map(Channel::deadline).min()
    }
    fn advance(&mut self, ctx: &mut Ctx) {
        let may_master = self.function.config().bus_master();
        for channel in &mut self.channels {
            channel.connect_master(ctx.now, may_master);
            channel.advance(ctx, may_master);
        }
    }
}
