//! The video option ROM: INT 10h for a VGA with Bochs' display interface ("dispi") beside it.
//!
//! IBM PS/2 and Personal Computer BIOS Interface Technical Reference, "Interrupt 10h - Video"; PCI Local Bus
//! Specification 2.1, section 6.3 (header).

mod data;
mod draw;
mod font;
pub(crate) mod fonts;
mod info;
mod mode;
mod palette;
mod pixel;
mod scroll;
mod state;
mod tables;
mod text;
mod vbe;
mod vbe_modes;
mod vbe_protected;
mod vbe_state;

use crate::asm::{Asm, asm};
use crate::frame::{enter, leave};

/// INT 10h functions 00h to 13h and 1Ah to 1Ch.
const FUNCTIONS: [&str; 29] = [
    "set_mode",
    "cursor_shape",
    "cursor_set",
    "cursor_get",
    "v_done", // light pen
    "set_page",
    "scroll_up",
    "scroll_down",
    "read_char",
    "write_char_attribute",
    "write_char",
    "cga_palette",
    "write_pixel",
    "read_pixel",
    "teletype",
    "get_mode",
    "palette",
    "font",
    "alternate",
    "write_string",
    "v_done",
    "v_done",
    "v_done",
    "v_done",
    "v_done",
    "v_done",
    "display_code",
    "state_info",
    "state_save",
];

/// The whole ROM. The sizes and the checksum are filled in by [`crate::video_rom`].
pub(crate) fn rom(a: &mut Asm) {
    asm! { a;
        db &[0x55, 0xAA, 0];
        jmp "start";
        org 0x18;
        dw "pcir";
        dw 0; // no expansion header
        org 0x1E;
        text "IBM VGA compatible"; // some programs look for IBM at 1Eh
        align 4;
        at "pcir";
        db b"PCIR";
        dw 0x1234; // vendor, device
        dw 0x1111;
        dw 0;
        dw 0x18; // length of this structure
        db 0;
        db &[0x00, 0x00, 0x03]; // class: VGA-compatible display
        dw 0; // length of the image
        dw 0x0001;
        db 0; // PC-AT code
        db 0x80; // last image
        dw 0;
        at "name";
        text concat!("Lucid86 VGA BIOS ", env!("CARGO_PKG_VERSION"));

        // From the system's firmware.
        at "start";
        pushf;
        pushad;
        push ds;
        push es;
        push fs;
        cli;
        cld;
        xor ax, ax;
        mov ds, ax;
        mov ax, "int10";
        mov [0x10 * 4], ax;
        mov [0x10 * 4 + 2], cs;
        mov [0x6D * 4], ax; // where the VGA's own handler is looked for
        mov [0x6D * 4 + 2], cs;
        mov ax, "font8_high";
        mov [0x1F * 4], ax;
        mov [0x1F * 4 + 2], cs;
        mov ax, "font16";
        mov [0x43 * 4], ax;
        mov [0x43 * 4 + 2], cs;
        mov ax, 0x40;
        mov ds, ax;
        // 80 columns and colour; no EGA switches to speak of.
        and word(0x10), 0xFFCFu32;
        or word(0x10), 0x0020;
        mov byte(0x87), 0x60;
        mov byte(0x88), 0xF9;
        mov byte(0x89), 0x51; // 400 lines, VGA
        mov byte(0x8A), 0x08;
        mov ax, "save_pointer";
        mov [0xA8], ax;
        mov [0xAA], cs;
        // The display's enables: subsystem on, colour addresses.
        mov dx, 0x3C3;
        mov al, 1;
        out dx, al;
        mov dx, 0x3C2;
        mov al, 0x67;
        out dx, al;
        sti;
        mov ax, 0x0003;
        int 0x10;
        pop fs;
        pop es;
        pop ds;
        popad;
        popf;
        retf;

        at "int10";
    }
    enter(a);
    asm! { a;
        sti;
        cmp ah, 0x4F;
        je "vbe";
        cmp ah, FUNCTIONS.len() as i32;
        jae "v_done";
        movzx si, ah;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &FUNCTIONS;

        at "v_done";
    }
    leave(a);
    mode::code(a);
    text::code(a);
    scroll::code(a);
    draw::code(a);
    pixel::code(a);
    palette::code(a);
    font::code(a);
    info::code(a);
    state::code(a);
    vbe::code(a);
    vbe_state::code(a);
    vbe_protected::code(a);
    vbe_modes::table(a);
    data::code(a);
}
