//! The reset path: resume after a shutdown code, or the whole of POST.
//!
//! IBM PC/AT Technical Reference, "POST": CMOS byte 0Fh tells why the processor was reset.

use crate::Options;
use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm, options: &Options) {
    resume(a);
    asm! { a;
        at "cold";
        xor ax, ax;
        mov ss, ax;
        mov sp, START_STACK;
        mov ds, ax;
        // Both interrupt controllers silent until they are set up.
        mov al, 0xFF;
        out 0x21, al;
        out 0xA1, al;
        // A20 through, without a fast reset.
        in_ al, 0x92;
        or al, 2;
        and al, 0xFE;
        out 0x92, al;
        call "shadow";
        call "clear_areas";
        call "set_vectors";
        call "memory_size";
        call "chips";
        call "cpu_setup";
        call "pci_setup";
        call "video_start";
        sti;
        mov si, "banner";
        call "print";
        call "print_memory";
        call "keyboard_start";
        call "ports_start";
        call "floppy_start";
        call "ide_start";
        call "clock_start";
        call "roms_start";
        call "place_tables";
        call "roms_lock";
        mov ax, 0x40;
        mov ds, ax;
        mov word(WARM), 0;
        call "boot_prepare";
        int 0x19;
        at ".stop";
        hlt;
        jmp ".stop";

        at "banner";
    }
    a.text(concat!("Lucid86 BIOS ", env!("CARGO_PKG_VERSION"), "\r\n\r\n"));
    clear(a);
    tables(a, options);
}

fn resume(a: &mut Asm) {
    asm! { a;
        at "post";
        cli;
        cld;
        mov al, 0x8F;
        out 0x70, al;
        in_ al, 0x71;
        mov bl, al;
        mov al, 0x8F;
        out 0x70, al;
        xor al, al;
        out 0x71, al;
        mov ax, BDA;
        cmp bl, 0x05;
        je ".eoi_jump";
        cmp bl, 0x09;
        je ".iret";
        cmp bl, 0x0A;
        je ".jump";
        cmp bl, 0x0B;
        je ".iret";
        cmp bl, 0x0C;
        je ".retf";
        jmp "cold";
        at ".eoi_jump";
        mov ds, ax;
        mov al, 0x20;
        out 0xA0, al;
        out 0x20, al;
        in_ al, 0x60;
        jmp ".go";
        at ".jump";
        mov ds, ax;
        at ".go";
        jmp_to dword(RESUME);
        at ".iret";
        mov ds, ax;
        lss sp, [RESUME];
        iret;
        at ".retf";
        mov ds, ax;
        lss sp, [RESUME];
        retf;
    }
}

/// Zeroes vectors and data areas, but for the warm-start word.
fn clear(a: &mut Asm) {
    asm! { a;
        at "clear_areas";
        xor ax, ax;
        mov es, ax;
        mov bx, es_at(0x472);
        // The caller's address is on the stack, above what is cleared.
        mov di, ax;
        mov cx, 0x500 / 2;
        rep_stosw;
        cmp bx, 0x1234;
        jne ".cold";
        mov es_at(0x472), bx;
        at ".cold";
        mov bx, 0xA000 - EBDA_KB * 64;
        mov es, bx;
        xor di, di;
        mov cx, EBDA_KB * 512;
        rep_stosw;
        mov byte(es_at(0)), EBDA_KB;
        mov ax, BDA;
        mov ds, ax;
        mov [EBDA_SEG], bx;
        mov fs, bx;
        mov word(BASE_KB), 640 - EBDA_KB;
        // Keyboard buffer, time-outs, processor with coprocessor and PS/2 mouse.
        mov ax, KB_BUFFER;
        mov [KB_HEAD], ax;
        mov [KB_TAIL], ax;
        mov [KB_START], ax;
        mov word(KB_END), KB_BUFFER + 32;
        mov byte(KB_FLAG3), 0x10;
        mov dword(LPT_TIMEOUT), 0x1414_1414;
        mov dword(COM_TIMEOUT), 0x0101_0101;
        // What CMOS says about floppies, display and coprocessor, and that a mouse port is there.
        mov al, 0x14;
        call "cmos_read";
        and al, 0xCF; // display: decided by the video ROM
        or al, 0x04;
        xor ah, ah;
        mov [EQUIPMENT], ax;
        ret;

        // AL: index in, byte out.
        at "cmos_read";
        or al, 0x80;
        out 0x70, al;
        in_ al, 0x71;
        ret;

        // AL: index, AH: byte.
        at "cmos_write";
        or al, 0x80;
        out 0x70, al;
        mov al, ah;
        out 0x71, al;
        ret;
    }
}

/// Copies the machine's tables from E0000h to where they belong.
fn tables(a: &mut Asm, options: &Options) {
    asm! { a; at "place_tables"; }
    if !options.tables.is_empty() && options.tables_at != 0 {
        asm! { a;
            call "flat_fs";
            mov esi, 0xE_0000;
            mov edi, options.tables_at;
            mov ecx, options.tables.len().div_ceil(4) as i32;
            at ".copy";
            mov eax, fs_at(esi);
            mov fs_at(edi), eax;
            add esi, 4;
            add edi, 4;
            dec ecx;
            jnz ".copy";
        }
    }
    asm! { a; ret; }
}
