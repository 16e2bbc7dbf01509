//! Option ROMs: the display adapter's, those behind PCI expansion-ROM BARs, and those that lie below 1 MiB already.
//!
//! PCI Local Bus Specification 2.1, section 6.3; Plug and Play BIOS Specification 1.0A, section 3 (expansion header, boot
//! entry vector).

use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // Display first, so that there is something to see.
        at "video_start";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        mov word(fs_at(E_ROM_NEXT)), 0xC000;
        mov bx, fs_at(E_VGA);
        test bx, bx;
        jz ".isa";
        call "rom_from_bar";
        jc ".isa";
        jmp ".init";
        at ".isa";
        mov ax, 0xC000;
        mov es, ax;
        cmp word(es_at(0)), 0xAA55;
        jne ".none";
        at ".init";
        mov ax, 0xC000;
        mov bx, fs_at(E_VGA);
        call "rom_init";
        mov ax, 0x0003;
        int 0x10;
        at ".none";
        cmp word(fs_at(E_ROM_NEXT)), 0xC800;
        jae ".end";
        mov word(fs_at(E_ROM_NEXT)), 0xC800;
        at ".end";
        ret;

        // Everything else.
        at "roms_start";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        // Behind BARs.
        xor bx, bx;
        at ".device";
        cmp bx, fs_at(E_VGA);
        je ".next_device";
        xor di, di;
        call "pci_read16";
        cmp ax, 0xFFFF;
        je ".next_device";
        mov di, 0x0E;
        call "pci_read8";
        test al, 0x7F;
        jnz ".next_device";
        call "rom_from_bar";
        jc ".next_device";
        mov ax, fs_at(E_ROM_NEXT);
        call "rom_init";
        at ".next_device";
        inc bx;
        cmp bx, 0x100;
        jb ".device";
        // In place, from where the copies end.
        mov ax, fs_at(E_ROM_NEXT);
        at ".place";
        cmp ax, 0xE000;
        jae ".end";
        mov es, ax;
        cmp word(es_at(0)), 0xAA55;
        jne ".step";
        call "rom_sum";
        jnz ".step";
        mov fs_at(E_ROM_NEXT), ax;
        xor bx, bx;
        call "rom_init";
        mov ax, fs_at(E_ROM_NEXT);
        jmp ".place";
        at ".step";
        add ax, 0x80;
        jmp ".place";
        at ".end";
        ret;

        // ZF if all bytes of the ROM at ES add up to zero.
        at "rom_sum";
        push ax;
        push si;
        push ecx;
        movzx ecx, byte(es_at(2));
        shl ecx, 9;
        xor esi, esi;
        xor al, al;
        test ecx, ecx;
        jz ".bad";
        at ".add";
        add al, es_at(esi);
        inc si;
        dec ecx;
        jnz ".add";
        test al, al;
        jmp ".end";
        at ".bad";
        inc al;
        at ".end";
        pop ecx;
        pop si;
        pop ax;
        ret;

        // Copies the ROM of the device at BX (bus, device, function) to segment E_ROM_NEXT. Carry if it has none.
        at "rom_from_bar";
        pushad;
        mov di, 0x30;
        call "pci_read32";
        and eax, 0xFFFF_F800u32;
        jz ".no_bar";
        mov esi, eax;
        mov bp, fs_at(E_ROM_NEXT);
        // Decode memory and ROM.
        mov di, 4;
        call "pci_read16";
        push bx;
        push ax;
        mov cx, ax;
        or cl, 2;
        call "pci_write16";
        mov di, 0x30;
        mov ecx, esi;
        or cl, 1;
        call "pci_write32";
        call "flat_fs";
        // Walk the images for one of code type 0.
        mov cx, 16;
        at ".image";
        cmp word(fs_at(esi)), 0xAA55;
        jne ".bad";
        movzx edi, word(fs_at(esi + 0x18));
        add edi, esi;
        cmp dword(fs_at(edi)), 0x5249_4350; // "PCIR"
        jne ".bad";
        cmp byte(fs_at(edi + 0x14)), 0;
        je ".found";
        test byte(fs_at(edi + 0x15)), 0x80;
        jnz ".bad";
        movzx eax, word(fs_at(edi + 0x10));
        shl eax, 9;
        add esi, eax;
        loop_ ".image";
        jmp ".bad";
        at ".found";
        movzx ecx, byte(fs_at(esi + 2));
        shl ecx, 9;
        jz ".bad";
        movzx edi, bp;
        shl edi, 4;
        mov eax, edi;
        add eax, ecx;
        cmp eax, 0xE_0000;
        ja ".bad";
        shr ecx, 2;
        at ".copy";
        mov eax, fs_at(esi);
        mov fs_at(edi), eax;
        add esi, 4;
        add edi, 4;
        dec ecx;
        jnz ".copy";
        xor si, si;
        jmp ".close";
        at ".bad";
        mov si, 1;
        at ".close";
        mov fs, [EBDA_SEG];
        pop cx;
        pop bx;
        // Stop decoding.
        mov di, 4;
        call "pci_write16";
        mov di, 0x30;
        call "pci_read32";
        mov ecx, eax;
        and cl, 0xFE;
        call "pci_write32";
        test si, si;
        popad;
        jnz ".none";
        clc;
        ret;
        at ".no_bar";
        popad;
        at ".none";
        stc;
        ret;

        // Runs the ROM at segment AX, of the device at BX; the next one goes behind what it keeps.
        at "rom_init";
        pushad;
        push ds;
        push es;
        push fs;
        push ax;
        push cs;
        push a.o(".back");
        push ax;
        push 3;
        mov ax, cs;
        mov es, ax;
        mov di, "pnp_header";
        mov ax, bx;
        mov bx, 0xFFFF;
        mov dx, bx;
        retf;
        at ".back";
        cld;
        pop ax;
        pop fs;
        pop es;
        pop ds;
        mov es, ax;
        // Boot entry vector?
        mov di, es_at(0x1A);
        test di, di;
        jz ".no_pnp";
        cmp dword(es_at(di)), 0x506E_5024; // "$PnP"
        jne ".no_pnp";
        mov bx, es_at(di + 0x1A);
        test bx, bx;
        jz ".no_pnp";
        cmp dword(fs_at(E_BEV)), 0;
        jne ".no_pnp";
        mov fs_at(E_BEV), bx;
        mov fs_at(E_BEV + 2), ax;
        at ".no_pnp";
        movzx bx, byte(es_at(2));
        shl bx, 5;
        jnz ".sized";
        mov bx, 0x80;
        at ".sized";
        add ax, bx;
        add ax, 0x7F;
        and ax, 0xFF80u32;
        mov fs_at(E_ROM_NEXT), ax;
        popad;
        ret;

        // Write-protects the pages that hold ROMs, gives the others back to the bus.
        at "roms_lock";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        mov bx, 0xC000;
        mov ch, 0x5A;
        at ".pair";
        xor cl, cl;
        cmp bx, fs_at(E_ROM_NEXT);
        jae ".set";
        or cl, 0x01;
        add bx, 0x400;
        cmp bx, fs_at(E_ROM_NEXT);
        jae ".odd";
        or cl, 0x10;
        at ".odd";
        sub bx, 0x400;
        at ".set";
        call "pam_set";
        add bx, 0x800;
        inc ch;
        cmp ch, 0x5E;
        jb ".pair";
        ret;

        align 16;
        at "pnp_header";
        db b"$PnP\x10\x21";
        dw 0;
    }
    // Offset 8: checksum, over a structure whose other bytes are these.
    let entry = a.o("pnp_entry");
    let mut rest =
        vec![0, 0, 0, 0, entry as u8, (entry >> 8) as u8, 0x00, 0xF0, entry as u8, (entry >> 8) as u8];
    rest.extend([0x00, 0x00, 0x0F, 0x00, 0, 0, 0, 0, 0x00, 0xF0, 0x00, 0x00, 0x0F, 0x00]);
    let head: u8 = b"$PnP\x10\x21".iter().chain(&rest).fold(0u8, |s, &b| s.wrapping_add(b));
    debug_assert_eq!(rest.len(), 0x21 - 9);
    a.db(i32::from(head.wrapping_neg()));
    a.db(&rest[..]);
    asm! { a;
        at "pnp_entry"; // no run-time services: "function not supported"
        mov ax, 0x82;
        retf;
    }
}
