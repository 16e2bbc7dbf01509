//! PCI: the configuration mechanism, configuration spaces and the functions of the 440FX/PIIX3 board.
//!
//! Manuals: PCI Local Bus Specification 2.1, chapters 3.7.4 (configuration mechanism #1) and 6 (configuration space);
//! Intel 82441FX (440FX) and 82371FB/SB (PIIX, PIIX3), 82371AB (PIIX4) datasheets.
//!
//! A function keeps its registers in a [`ConfigSpace`] and says through pure functions what they mean for the board
//! (where a BAR lies, which IRQ a PIRQ reaches). There is no bus object: the board matches on bus, device and function.

mod config;
mod host_bridge;
mod ide_function;
mod isa_bridge;
mod mechanism;
mod power;
mod vga_function;

pub use config::{Bar, BarKind, ConfigSpace, Effect, Identity, Mapping, PciFunction, ROM_BAR};
pub use host_bridge::{HostBridge, PamRegion, Smram};
pub use ide_function::IdeFunction;
pub use isa_bridge::{IsaBridge, Reset};
pub use mechanism::{ConfigAccess, ConfigMechanism};
pub use power::PowerFunction;
pub use vga_function::VgaFunction;

/// The PIRQ line, 0 (PIRQA#) to 3 (PIRQD#), that interrupt pin `pin` (1 = INTA# to 4 = INTD#) of the device in `slot`
/// is wired to on a 440FX board: each slot's pins are turned by one against its neighbour's, and slot 1, the
/// PIIX3, has INTA# on PIRQA#.
pub fn pirq_of(slot: u8, pin: u8) -> usize {
    usize::from(slot.wrapping_add(pin).wrapping_sub(2) & 3)
}

#[cfg(test)]
mod tests {
    use super::pirq_of;

    #[test]
    fn pins_turn_with_the_slot() {
        assert_eq!(pirq_of(1, 1), 0);
        assert_eq!(pirq_of(1, 4), 3);
        assert_eq!(pirq_of(2, 1), 1);
        assert_eq!(pirq_of(3, 1), 2);
        assert_eq!(pirq_of(4, 1), 3);
        assert_eq!(pirq_of(5, 1), 0);
        assert_eq!(pirq_of(0, 1), 3);
    }
}
