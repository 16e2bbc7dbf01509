//! The video option ROM.
pub(crate) mod fonts;
use crate::asm::{Asm, asm};
/// The ROM.
pub(crate) fn rom(a: &mut Asm) {
    asm! { a;
        db &[0x55, 0xAA, 0];
        retf;
        org 0x18;
        dw 0x1C;
        dw 0;
        db b"PCIR";
        org 0x30;
        db &[0];
    }
}
