//! PCI: configuration space, giving out addresses and interrupts, and the PCI BIOS.

mod bios;
mod bios32;
mod config;
mod setup;

use crate::asm::Asm;

pub(crate) fn code(a: &mut Asm) {
    config::code(a);
    setup::code(a);
    bios::code(a);
    bios32::code(a);
}
