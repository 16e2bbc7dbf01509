//! The interrupt services, a file each.

mod hardware;
mod int05;
mod int08;
mod int09;
mod int14;
mod int15;
mod int15_mouse;
mod int16;
mod int17;
mod int1a;
mod scancodes;
mod small;

use crate::asm::Asm;

pub(crate) fn code(a: &mut Asm) {
    hardware::code(a);
    small::code(a);
    int05::code(a);
    int08::code(a);
    int09::code(a);
    scancodes::table(a);
    int14::code(a);
    int15::code(a);
    int15_mouse::code(a);
    int16::code(a);
    int17::code(a);
    int1a::code(a);
}
