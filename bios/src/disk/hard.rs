//! INT 13h for hard disks, and who serves which drive number. IBM PS/2 BIOS Interface Technical Reference, "Interrupt
//! 13h"; numbers from 80h are hard disks, from E0h CD drives, and an emulated drive pushes the real ones up.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter, leave};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int13"; }
    enter(a);
    asm! { a;
        sti;
        // BL: the drive after emulation is taken into account.
        mov bl, [bp + caller::DL];
        cmp byte(fs_at(CD_ACTIVE)), 0;
        je ".real";
        cmp ah, 0x4B;
        je "cd_boot_info";
        cmp byte(fs_at(CD_MEDIA)), 0;
        je ".real";
        mov al, fs_at(CD_NUMBER);
        cmp bl, al;
        je "emulated_disk";
        // Of the same kind and above: one less.
        xor al, bl;
        js ".real";
        cmp bl, 0xE0;
        jae ".real";
        dec bl;
        at ".real";
        cmp bl, 0xE0;
        jae ".cd";
        cmp bl, 0x80;
        jb "floppy";
        mov al, bl;
        sub al, 0x80;
        cmp al, fs_at(E_HD_COUNT);
        jae ".no_drive";
        movzx si, al;
        movzx di, byte(fs_at(si + E_HD_MAP));
        jmp ".drive";
        at ".cd";
        mov al, bl;
        sub al, 0xE0;
        cmp al, fs_at(E_CD_COUNT);
        jae ".no_drive";
        movzx si, al;
        movzx di, byte(fs_at(si + E_CD_MAP));
        at ".drive";
        shl di, 5;
        add di, E_DRIVES;
        cmp byte(fs_at(di + D_KIND)), 2;
        je "cd_disk";
        cmp ah, 0x41;
        jae "edd";
        cmp ah, 0x16;
        jae "disk_bad";
        movzx si, ah;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            "disk_ok", ".status", ".read", ".write", ".verify", "disk_ok", "disk_bad", "disk_bad", ".parameters",
            "disk_ok", "disk_bad", "disk_bad", "disk_ok", "disk_ok", "disk_bad", "disk_bad", "disk_ok", "disk_ok",
            "disk_bad", "disk_bad", "disk_ok", ".kind"
        ];
        at ".no_drive";
        cmp ah, 0x15;
        je ".no_kind";
        cmp ah, 0x08;
        jne "disk_bad";
        mov word(bp + caller::CX), 0;
        mov word(bp + caller::DX), 0;
        mov ah, 0x07;
        jmp "disk_fail";
        at ".no_kind";
        mov byte(bp + caller::AH), 0;
        mov word(bp + caller::CX), 0;
        mov word(bp + caller::DX), 0;
        mov byte(HD_STATUS), 0;
        jmp "no_carry";

        at ".status";
        mov ah, [HD_STATUS];
        mov byte(HD_STATUS), 0;
        mov [bp + caller::AH], ah;
        test ah, ah;
        jz "no_carry";
        jmp "carry";

        at ".read";
        mov byte(fs_at(R_OP)), 0;
        jmp ".access";
        at ".write";
        mov byte(fs_at(R_OP)), 1;
        jmp ".access";
        at ".verify";
        mov byte(fs_at(R_OP)), 2;
        at ".access";
        mov al, [bp + caller::AL];
        test al, al;
        jz "disk_bad";
        cmp al, 128;
        ja "disk_bad";
        xor ah, ah;
        mov fs_at(R_COUNT), ax;
        call "chs_to_lba";
        jc "disk_bad";
        mov fs_at(R_LBA), eax;
        mov dword(fs_at(R_LBA + 4)), 0;
        // Not behind the end.
        movzx edx, word(fs_at(R_COUNT));
        add edx, eax;
        cmp dword(fs_at(di + D_SIZE + 4)), 0;
        jne ".inside";
        cmp edx, fs_at(di + D_SIZE);
        ja ".not_found";
        at ".inside";
        mov ax, [bp + caller::BX];
        mov fs_at(R_OFFSET), ax;
        mov ax, [bp + caller::ES];
        mov fs_at(R_SEGMENT), ax;
        call "ata_transfer";
        mov al, fs_at(R_DONE);
        mov [bp + caller::AL], al;
        jc "disk_fail";
        jmp "disk_ok";
        at ".not_found";
        mov ah, 0x04;
        jmp "disk_fail";

        at ".parameters";
        mov cx, fs_at(di + D_CYLINDERS);
        dec cx;
        mov ax, fs_at(di + D_SECTORS);
        xchg cl, ch;
        shl cl, 6;
        or cl, al;
        mov [bp + caller::CX], cx;
        mov ax, fs_at(di + D_HEADS);
        dec ax;
        mov [bp + caller::DH], al;
        mov al, fs_at(E_HD_COUNT);
        cmp byte(fs_at(CD_MEDIA)), 4; // an emulated one too
        jne ".count";
        inc al;
        at ".count";
        mov [bp + caller::DL], al;
        mov byte(bp + caller::AL), 0;
        jmp "disk_ok";

        at ".kind";
        mov ax, fs_at(di + D_CYLINDERS);
        mul word(fs_at(di + D_HEADS));
        mov cx, fs_at(di + D_SECTORS);
        movzx eax, ax;
        shl edx, 16;
        or eax, edx;
        movzx ecx, cx;
        mul ecx;
        mov [bp + caller::DX], ax;
        shr eax, 16;
        mov [bp + caller::CX], ax;
        mov byte(bp + caller::AH), 3;
        mov byte(HD_STATUS), 0;
        jmp "no_carry";

        // EAX: sector of the caller's CX, DH on the drive at FS:DI; carry if there is no such.
        at "chs_to_lba";
        mov cx, [bp + caller::CX];
        movzx ebx, cl;
        and bl, 0x3F;
        jz ".none";
        cmp bx, fs_at(di + D_SECTORS);
        ja ".none";
        movzx eax, ch;
        shr cl, 6;
        mov ah, cl;
        cmp ax, fs_at(di + D_CYLINDERS);
        jae ".none";
        movzx ecx, word(fs_at(di + D_HEADS));
        mul ecx;
        movzx edx, byte(bp + caller::DH);
        cmp dx, cx;
        jae ".none";
        add eax, edx;
        movzx ecx, word(fs_at(di + D_SECTORS));
        mul ecx;
        lea eax, [eax + ebx - 1];
        clc;
        ret;
        at ".none";
        stc;
        ret;

        at "disk_bad";
        mov ah, 0x01;
        at "disk_fail";
        mov [HD_STATUS], ah;
        mov [bp + caller::AH], ah;
        or byte(bp + caller::FLAGS), 1;
        jmp "disk_done";
        at "disk_ok";
        mov byte(HD_STATUS), 0;
        mov byte(bp + caller::AH), 0;
        and byte(bp + caller::FLAGS), 0xFE;
        at "disk_done";
    }
    leave(a);
}
