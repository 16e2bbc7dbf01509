//! The tables in the video ROM: modes, colours, fonts, and what the save pointer leads to.

use super::{fonts, tables};
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "modes"; }
    for [entry, kind, colors] in tables::MODES {
        a.db(&[entry, kind, colors]);
    }
    asm! { a; align 2; at "entries"; }
    for entry in &tables::ENTRIES {
        a.db(&entry.bytes()[..]);
    }
    for (name, colors) in [
        ("colors_mono", tables::mono_colors()),
        ("colors_cga", tables::cga_colors()),
        ("colors_ega", tables::ega_colors()),
        ("colors_vga", tables::vga_colors()),
    ] {
        asm! { a; at name; }
        a.db(&colors[..]);
    }
    asm! { a;
        at "colors";
        table &["colors_mono", "colors_cga", "colors_ega", "colors_vga"];

        // Video parameters, then nothing else that one may override.
        at "save_pointer";
        dw "entries";
        dw 0xC000;
        dd 0;
        dd 0;
        dd 0;
        dw "save_pointer2";
        dw 0xC000;
        dd 0;
        dd 0;
        at "save_pointer2";
        dw 26;
        dw "display_codes";
        dw 0xC000;
        dd 0;
        dd 0;
        dd 0;
        dd 0;
        dd 0;
        at "display_codes"; // one entry: VGA with colour display alone
        db &[1, 1, 8, 0, 0x00, 0x08];

        // What INT 10h AH=1Bh says is always so.
        at "abilities";
        dd 0x000F_E0FF; // modes 0-7, 0Dh-13h
        dd 0;
        db 0x07; // 200, 350 and 400 lines
        db 0x02; // two font blocks at once
        db 0x08; // eight in all
        dw 0x0CFF; // what is supported
        dw 0;
        db 0x00;
        db 0x00;

        at "no_alternates"; // end of an empty list of shapes for nine-dot characters
        db 0;
        align 2;
        at "font16";
    }
    for glyph in fonts::glyphs16() {
        a.db(&glyph);
    }
    asm! { a; at "font14"; }
    for glyph in fonts::glyphs14() {
        a.db(&glyph);
    }
    asm! { a; at "font8"; }
    for (code, glyph) in fonts::glyphs8().iter().enumerate() {
        if code == 128 {
            asm! { a; at "font8_high"; }
        }
        a.db(glyph);
    }
}
