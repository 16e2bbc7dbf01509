//! Network cards on the board: where they answer, which interrupt request they drive.

use super::wires::{PortMap, Wire};
use super::{Board, Chips};
use crate::config::{Config, NetModel};
use lucid86_cpu::memory::PAGE;
use lucid86_devices::net::NetworkCard;
use lucid86_devices::net::ne2000::{Ne2000, PORTS};
use lucid86_devices::pci::{PciFunction, pirq_of};

/// Most network cards.
pub const CARDS: usize = 4;
/// PCI device number of the first card's slot.
pub const FIRST_SLOT: u8 = 3;

/// How a card is set: its jumpers on ISA, its slot on PCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jumpers {
    /// First port and interrupt request.
    Isa(u16, u8),
    /// In the slot that goes with its number.
    Pci,
}

/// The cards that the configuration names, with boot ROMs of so many pages.
pub fn cards(config: &Config, rom_pages: [u32; CARDS]) -> Vec<Ne2000> {
    let mac = |i| config.mac(i);
    let card = |(i, n): (usize, &crate::config::NetSpec)| match n.model {
        NetModel::Ne2kIsa { ram, .. } => Ne2000::isa(i, mac(i), ram),
        NetModel::Ne2kPci => Ne2000::pci(i, mac(i), rom_pages[i] * PAGE as u32),
    };
    config.net.iter().take(CARDS).enumerate().map(card).collect()
}

/// Their jumpers.
pub fn jumpers(config: &Config) -> Vec<Jumpers> {
    let jumpers = |n: &crate::config::NetSpec| match n.model {
        NetModel::Ne2kIsa { base, irq, .. } => Jumpers::Isa(base, irq),
        NetModel::Ne2kPci => Jumpers::Pci,
    };
    config.net.iter().take(CARDS).map(jumpers).collect()
}

/// The PCI function in a slot.
pub fn function(nics: &mut [Ne2000], slot: u8) -> Option<&mut dyn PciFunction> {
    let card = nics.get_mut(usize::from(slot.checked_sub(FIRST_SLOT)?))?;
    if card.function().is_some() { Some(card) } else { None }
}

impl Chips {
    /// Whether another machine's chips have the same cards.
    pub fn same_cards(&self, other: &Chips) -> bool {
        let kinds = |c: &Chips| c.nics.iter().map(|n| n.function().is_some()).collect::<Vec<_>>();
        kinds(self) == kinds(other)
    }
}

impl Board {
    pub(super) fn map_cards(&self, ports: &mut PortMap) {
        for (i, (card, jumpers)) in self.chips.nics.iter().zip(&self.jumpers).enumerate() {
            let first = match *jumpers {
                Jumpers::Isa(base, _) => Some(base),
                Jumpers::Pci => card.ports().map(|m| m.base as u16),
            };
            if let Some(first) = first {
                ports.put(first, PORTS, Wire::Nic(i as u8));
            }
        }
    }

    /// The request that card `i` drives now.
    fn card_irq(&self, i: usize) -> Option<u8> {
        match *self.jumpers.get(i)? {
            Jumpers::Isa(_, irq) => Some(irq),
            Jumpers::Pci => self.chips.isa_bridge.irq_of(pirq_of(FIRST_SLOT + i as u8, 1)),
        }
    }

    /// Whether a card drives request `irq`.
    pub(super) fn card_line(&self, irq: u8) -> bool {
        let mut nics = self.chips.nics.iter().enumerate();
        nics.any(|(i, n)| n.irq() && self.card_irq(i) == Some(irq))
    }

    /// The request that one card drives, after an access to it.
    pub(super) fn update_card_line(&mut self, card: usize) {
        if let Some(irq) = self.card_irq(card) {
            self.drive(irq, self.board_line(irq));
        }
    }

    /// Whether frames wait or come that the card would take now.
    pub(super) fn frames_would_pass(&self, card: u8) -> bool {
        let waits = self.watch.packets || self.outside.packets_arrived();
        waits
            && self
                .chips
                .nics
                .get(usize::from(card))
                .is_some_and(|n| (n.acknowledged() || n.emptied()) && n.ready())
    }

    /// The requests that cards may drive, as of now.
    pub(super) fn card_lines(&mut self) {
        if !self.chips.nics.is_empty() {
            // A card's line may have moved to another request: all of those that no chip of the board has for itself.
            for irq in [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15] {
                self.drive(irq, self.board_line(irq));
            }
            self.carry();
        }
    }

    /// The card behind a port, if accesses of this width move its data.
    pub(super) fn card_row(&mut self, port: u16, width: u8) -> Option<&mut Ne2000> {
        let (Wire::Nic(card), offset) = self.whole(port, width)? else { return None };
        if self.log.chips {
            return None;
        }
        let card = self.chips.nics.get_mut(usize::from(card))?;
        card.is_row(offset, width.into()).then_some(card)
    }
}
