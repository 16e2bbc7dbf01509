//! INT 13h and what is under it: ATA disks, ATAPI drives, floppies, and images on bootable CDs.

mod ata;
mod atapi;
mod edd;
mod eltorito;
mod emulated;
mod fdc;
mod floppy;
mod hard;

use crate::asm::Asm;

pub(crate) fn code(a: &mut Asm) {
    hard::code(a);
    edd::code(a);
    ata::code(a);
    atapi::code(a);
    eltorito::code(a);
    emulated::code(a);
    floppy::code(a);
    fdc::code(a);
}
