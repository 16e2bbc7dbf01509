//! INT 13h for floppies. IBM PS/2 BIOS Interface Technical Reference, "Interrupt 13h - Diskette". INT 40h is the same.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int40"; }
    enter(a);
    asm! { a;
        sti;
        mov bl, dl;
        // BL: drive, AH: function.
        at "floppy";
        mov fs_at(F_DRIVE), bl;
        cmp ah, 0x18;
        ja ".bad";
        movzx si, ah;
        add si, si;
        cmp ah, 0x08;
        je ".go";
        cmp ah, 0x15;
        je ".go";
        call "floppy_kind";
        test al, al;
        jz ".no_drive";
        at ".go";
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            ".reset", ".status", ".read", ".write", ".verify", ".format", ".bad", ".bad", ".parameters", ".bad", ".bad",
            ".bad", ".bad", ".bad", ".bad", ".bad", ".bad", ".bad", ".bad", ".bad", ".bad", ".kind", ".changed",
            ".set_kind", ".set_media"
        ];
        at ".no_drive";
        mov ah, 0x80;
        jmp "floppy_fail";
        at ".bad";
        mov ah, 0x01;
        at "floppy_fail";
        mov [FD_STATUS], ah;
        mov [bp + caller::AH], ah;
        jmp "carry";
        at "floppy_ok";
        mov byte(FD_STATUS), 0;
        jmp "ok";

        // AL: what CMOS says about drive BL: 0 none, 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M.
        at "floppy_kind";
        xor al, al;
        cmp bl, 1;
        ja ".end";
        mov al, 0x10;
        call "cmos_read";
        cmp bl, 1;
        je ".second";
        shr al, 4;
        at ".second";
        and al, 0x0F;
        at ".end";
        ret;

        at "floppy.reset";
        mov byte(FD_RECAL), 0;
        call "fdc_reset";
        jc "floppy_fail";
        jmp "floppy_ok";

        at "floppy.status";
        mov ah, [FD_STATUS];
        mov [bp + caller::AH], ah;
        test ah, ah;
        jz "no_carry";
        jmp "carry";

        at "floppy.read";
        mov cx, 0x46E6; // DMA mode: to memory; READ DATA
        jmp ".transfer";
        at "floppy.verify";
        mov cx, 0x42E6; // DMA mode: verify
        jmp ".transfer";
        at "floppy.write";
        mov cx, 0x4AC5; // DMA mode: from memory; WRITE DATA
        at "floppy.transfer";
        mov fs_at(F_COMMAND), cl;
        mov fs_at(F_DMA), ch;
        mov al, [bp + caller::AL];
        test al, al;
        jz ".none_done";
        cmp byte(bp + caller::DH), 1;
        ja ".none_done";
        cmp byte(bp + caller::CL), 0;
        je ".none_done";
        movzx ecx, al;
        shl ecx, 9;
        call "fdc_dma";
        jc ".transfer_failed";
        call "fdc_ready";
        jc ".transfer_failed";
        call "fdc_transfer";
        jc ".transfer_failed";
        jmp "floppy_ok";
        at "floppy.none_done";
        mov ah, 0x01;
        at "floppy.transfer_failed";
        mov byte(bp + caller::AL), 0;
        jmp "floppy_fail";

        at "floppy.format"; // AL sectors, CH cylinder, DH head, ES:BX addresses
        mov byte(fs_at(F_DMA)), 0x4A;
        movzx ecx, byte(bp + caller::AL);
        shl ecx, 2;
        jz ".bad";
        call "fdc_dma";
        jc "floppy_fail";
        call "fdc_ready";
        jc "floppy_fail";
        call "fdc_format";
        jc "floppy_fail";
        jmp "floppy_ok";
    }
    facts(a);
}

/// What drives and media are.
fn facts(a: &mut Asm) {
    asm! { a;
        at "floppy.parameters";
        mov byte(bp + caller::AL), 0;
        mov byte(bp + caller::BH), 0;
        mov al, fs_at(E_FD_COUNT);
        mov byte(bp + caller::DL), 0;
        mov [bp + caller::DL], al;
        call "floppy_kind";
        mov [bp + caller::BL], al;
        test al, al;
        jz ".absent";
        cmp al, 5;
        ja ".absent";
        movzx si, al;
        add si, si;
        mov cx, cs_at(si + a.o(".last") - 2); // last cylinder and sector
        mov [bp + caller::CX], cx;
        mov byte(bp + caller::DH), 1;
        mov ax, "fixed_diskette_parameters";
        mov [bp + caller::DI], ax;
        mov word(bp + caller::ES), 0xF000;
        jmp "floppy_ok";
        at "floppy.absent";
        mov word(bp + caller::CX), 0;
        mov byte(bp + caller::DH), 0;
        mov word(bp + caller::DI), 0;
        mov word(bp + caller::ES), 0;
        jmp "floppy_ok";
        at "floppy.last";
        words &[0x2709, 0x4F0F, 0x4F09, 0x4F12, 0x4F24];

        at "floppy.kind";
        call "floppy_kind";
        mov ah, 0; // no drive
        test al, al;
        jz ".is_kind";
        inc ah; // without change line
        cmp al, 1;
        je ".is_kind";
        inc ah;
        at "floppy.is_kind";
        mov [bp + caller::AH], ah;
        mov byte(FD_STATUS), 0;
        jmp "no_carry";

        at "floppy.changed";
        call "fdc_motor";
        call "fdc_change_line";
        jz "floppy_ok";
        mov ah, 0x06;
        jmp "floppy_fail";

        at "floppy.set_kind"; // AL: 1 to 4, for formatting
        mov al, [bp + caller::AL];
        dec al;
        cmp al, 4;
        jae ".bad";
        movzx si, al;
        mov al, cs_at(si + a.o(".states"));
        jmp ".set_state";
        at "floppy.states"; // 360K in 360K, in 1.2M, 1.2M, 720K
        db &[0x93, 0x74, 0x15, 0x97];

        at "floppy.set_media"; // CH last cylinder, CL sectors
        mov cl, [bp + caller::CL];
        mov al, 0x17; // 500 kbit/s
        cmp cl, 18;
        je ".media_known";
        cmp cl, 15;
        je ".media_known";
        mov al, 0xD7; // 1 Mbit/s
        cmp cl, 36;
        je ".media_known";
        mov al, 0x97; // 250 kbit/s
        cmp cl, 9;
        mov ah, 0x0C; // media unknown
        jne "floppy_fail";
        at "floppy.media_known";
        mov dx, "fixed_diskette_parameters";
        mov [bp + caller::DI], dx;
        mov word(bp + caller::ES), 0xF000;
        at "floppy.set_state";
        xor bh, bh;
        mov [bx + FD_MEDIA], al;
        jmp "floppy_ok";
    }
}
