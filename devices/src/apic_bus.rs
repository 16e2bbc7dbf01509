//! Messages between IOAPIC, local APICs and devices (MSI), and who accepts them.
//!
//! Follows: Intel SDM volume 3, 11.6 "Issuing interprocessor interrupts" and 11.11 "Message signalled interrupts";
//! Intel 82093AA data sheet, "I/O redirection table". Tests with the local APIC's.

use crate::lapic::Lapic;
use serde::{Deserialize, Serialize};

/// Delivery mode, with its code in ICR, redirection table and MSI data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Delivery {
    /// To every destination, by vector.
    Fixed = 0,
    /// To that destination that does the least urgent work.
    LowestPriority = 1,
    /// System management interrupt.
    Smi = 2,
    /// Non-maskable interrupt.
    Nmi = 4,
    /// INIT: resets the processor but not its caches or FPU.
    Init = 5,
    /// Start-up: begins at real-mode page `vector`.
    Startup = 6,
    /// The vector comes from the 8259A.
    ExtInt = 7,
}

impl Delivery {
    /// From the three-bit code; 3 is reserved.
    pub fn from_code(code: u32) -> Option<Delivery> {
        Some(match code & 7 {
            0 => Delivery::Fixed,
            1 => Delivery::LowestPriority,
            2 => Delivery::Smi,
            4 => Delivery::Nmi,
            5 => Delivery::Init,
            6 => Delivery::Startup,
            7 => Delivery::ExtInt,
            _ => return None,
        })
    }
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// Every processor.
    All,
    /// Every processor but that with this (initial, x2APIC) ID.
    AllBut(u32),
    /// The processor with this APIC ID.
    Physical(u32),
    /// The processors that this set names.
    Logical(u32),
}

impl Destination {
    /// From the eight-bit field of ICR, redirection table and MSI address.
    pub fn from_xapic(logical: bool, field: u8) -> Destination {
        match (logical, field) {
            (false, 0xFF) => Destination::All,
            (false, id) => Destination::Physical(id.into()),
            (true, set) => Destination::Logical(set.into()),
        }
    }

    /// From the 32-bit field of x2APIC's ICR.
    pub fn from_x2apic(logical: bool, field: u32) -> Destination {
        match (logical, field) {
            (_, u32::MAX) => Destination::All,
            (false, id) => Destination::Physical(id),
            (true, set) => Destination::Logical(set),
        }
    }
}

/// A message on the APIC bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Vector, or page of a start-up message.
    pub vector: u8,
    /// What it does.
    pub delivery: Delivery,
    /// Whom it is for.
    pub destination: Destination,
    /// Level-triggered: its end of interrupt is told to the IOAPICs.
    pub level: bool,
}

impl Message {
    /// A message signalled interrupt: a write of `data` to `address` (FEExxxxxh). `None` if it is not one.
    pub fn from_msi(address: u64, data: u32) -> Option<Message> {
        if address >> 20 != 0xFEE {
            return None;
        }
        Some(Message {
            vector: data as u8,
            delivery: Delivery::from_code(data >> 8)?,
            destination: Destination::from_xapic(address & 4 != 0, (address >> 12) as u8),
            level: data >> 15 & 1 != 0,
        })
    }
}

/// Hands a message to all that it is for; with lowest priority, to one of them. False if nobody accepted it.
pub fn deliver(lapics: &mut [Lapic], message: &Message) -> bool {
    if message.delivery != Delivery::LowestPriority {
        let mut heard = false;
        for lapic in lapics.iter_mut().filter(|lapic| lapic.accepts(message)) {
            lapic.receive(message);
            heard = true;
        }
        return heard;
    }
    let least = lapics
        .iter_mut()
        .filter(|lapic| lapic.accepts(message) && lapic.takes_fixed())
        .min_by_key(|lapic| lapic.arbitration_priority());
    let heard = least.is_some();
    if let Some(lapic) = least {
        lapic.receive(message);
    }
    heard
}
