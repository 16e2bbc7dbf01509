//! Power-on self test: from the reset vector to the boot loader, in the order of this list.

mod boot;
mod chips;
pub(crate) mod contract;
mod cpu;
mod drives;
mod fixed;
mod keyboard;
mod memory;
mod print;
mod roms;
mod shadow;
mod start;
mod vectors;

use crate::asm::{Asm, asm};
use crate::{Options, disk, frame, pci, services};

/// Lays out the whole F000h segment. Code starts behind the window for tables.
pub(crate) fn system(a: &mut Asm, options: &Options) {
    // The window at its start belongs to the machine's tables.
    asm! { a; at "tables"; org contract::ANCHORS_SIZE as i32; }
    start::code(a, options);
    shadow::code(a);
    chips::code(a);
    memory::code(a, options);
    vectors::code(a);
    keyboard::code(a);
    cpu::code(a);
    drives::code(a);
    roms::code(a);
    boot::code(a);
    print::code(a);
    pci::code(a);
    disk::code(a);
    services::code(a);
    frame::exits(a);
    fixed::entries(a);
}
