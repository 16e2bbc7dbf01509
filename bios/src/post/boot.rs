//! INT 19h and 18h: finding something to boot, the menu, and what is said when there is nothing.
//!
//! BIOS Boot Specification 1.01, section 6, in spirit; the order is in CMOS as `contract` says.

use super::contract::*;
use crate::areas::*;
use crate::asm::{Asm, asm};

/// Kinds of device: floppy, hard disk, CD, network. Their order when CMOS names none.
const USUAL: [u8; 4] = [2, 1, 3, 4];

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // The order of kinds into E_BOOT_ORDER; then the menu if CMOS asks for it.
        at "boot_prepare";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        mov dword(fs_at(E_BOOT_ORDER)), 0;
        mov al, CMOS_BOOT_ORDER as i32;
        call "cmos_read";
        mov bl, al;
        mov al, CMOS_BOOT_FLAGS as i32;
        call "cmos_read";
        mov bh, al;
        shr bh, 4;
        xor di, di;
        mov al, bl;
        call ".add";
        mov al, bl;
        shr al, 4;
        call ".add";
        mov al, bh;
        call ".add";
        // Those not named come last.
        mov si, ".usual";
        mov cx, 4;
        at ".rest";
        mov al, cs_at(si);
        inc si;
        call ".add";
        loop_ ".rest";
        mov al, CMOS_BOOT_FLAGS as i32;
        call "cmos_read";
        test al, CMOS_MENU_BIT as i32;
        jz ".end";
        call "boot_menu";
        at ".end";
        ret;
        at ".add"; // AL as the DI-th, unless it is none or there already
        and al, 0x0F;
        jz ".added";
        cmp al, 4;
        ja ".added";
        cmp di, 4;
        jae ".added";
        push cx;
        push di;
        mov cx, di;
        jcxz ".new";
        at ".seen";
        dec di;
        cmp al, fs_at(di + E_BOOT_ORDER);
        je ".old";
        test di, di;
        jnz ".seen";
        at ".new";
        pop di;
        pop cx;
        mov fs_at(di + E_BOOT_ORDER), al;
        inc di;
        ret;
        at ".old";
        pop di;
        pop cx;
        at ".added";
        ret;
        at ".usual";
        db &USUAL;
    }
    sequence(a);
    kinds(a);
    nothing(a);
    menu(a);
}

fn sequence(a: &mut Asm) {
    asm! { a;
        at "int19";
        mov dx, i32::from(READY_PORT);
        out dx, al;
        sti;
        cld;
        xor ax, ax;
        mov ss, ax;
        mov sp, START_STACK;
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        mov byte(fs_at(E_PASSES)), 0;
        mov byte(fs_at(E_BOOT_TRIED)), 0;
        // The menu's choice goes first, once.
        xor al, al;
        xchg fs_at(E_BOOT_ONCE), al;
        test al, al;
        jnz "boot_kind";
        at "boot_next";
        movzx bx, byte(fs_at(E_PASSES));
        cmp bl, 4;
        jae "boot_failed";
        inc byte(fs_at(E_PASSES));
        mov al, fs_at(bx + E_BOOT_ORDER);
        at "boot_kind"; // AL
        dec al;
        jz "boot_floppy";
        dec al;
        jz "boot_disk";
        dec al;
        jz "boot_cd";
        dec al;
        jz "boot_network";
        jmp "boot_next";

        at "int18"; // what was booted gave up: the next one
        sti;
        cld;
        xor ax, ax;
        mov ss, ax;
        mov sp, START_STACK;
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        jmp "boot_next";
    }
}

fn kinds(a: &mut Asm) {
    asm! { a;
        at "boot_floppy";
        cmp byte(fs_at(E_FD_COUNT)), 0;
        je "boot_next";
        mov si, ".what";
        call "print";
        xor dl, dl;
        call "boot_sector";
        jc "boot_unreadable";
        // The signature, unless CMOS says not to look.
        cmp word(es_at(0x7DFE)), 0xAA55;
        je "boot_go";
        mov al, CMOS_BOOT_FLAGS as i32;
        call "cmos_read";
        test al, 1;
        jz "boot_unsigned";
        // Then at least it should begin as boot sectors do.
        mov al, es_at(0x7C00);
        mov si, ".beginnings";
        at ".beginning";
        cmp byte(cs_at(si)), 0;
        je "boot_unsigned";
        cmp al, cs_at(si);
        je "boot_go";
        inc si;
        jmp ".beginning";
        at ".beginnings"; // JMP, CLI, CLD, XOR, MOV, PUSH CS
        db &[0xEB, 0xE9, 0xEA, 0xFA, 0xFC, 0x33, 0x31, 0xB8, 0x0E, 0];
        at ".what";
        text "Booting from floppy";

        at "boot_disk";
        cmp byte(fs_at(E_HD_COUNT)), 0;
        je "boot_next";
        mov si, ".what";
        call "print";
        mov dl, 0x80;
        call "boot_sector";
        jc "boot_unreadable";
        cmp word(es_at(0x7DFE)), 0xAA55;
        je "boot_go";
        jmp "boot_unsigned";
        at ".what";
        text "Booting from hard disk";

        at "boot_go"; // DL drive, sector at 0:7C00
        mov si, "boot_dots";
        call "print";
        xor ax, ax;
        mov ds, ax;
        mov es, ax;
        mov fs, ax;
        mov bx, ax;
        mov cx, ax;
        mov si, ax;
        mov di, ax;
        mov bp, ax;
        xor dh, dh;
        jmp_far 0, 0x7C00;
        at "boot_dots";
        text "...\r\n\r\n";

        at "boot_sector"; // drive DL to 0:7C00; tries again, as a floppy may have been changed
        xor ax, ax;
        mov es, ax;
        mov di, 3;
        at ".try";
        mov ax, 0x0201;
        mov bx, 0x7C00;
        mov cx, 1;
        xor dh, dh;
        int 0x13;
        jnc ".end";
        push ax;
        xor ah, ah;
        int 0x13;
        pop ax;
        dec di;
        jnz ".try";
        stc;
        at ".end";
        ret;

        at "boot_unreadable";
        cmp ah, 0x80;
        je "boot_empty";
        mov si, ".text";
        call "print";
        jmp "boot_next";
        at ".text";
        text ": can't be read\r\n";
        at "boot_empty";
        mov si, ".text";
        call "print";
        jmp "boot_next";
        at ".text";
        text ": no disk inside\r\n";
        at "boot_unsigned";
        mov si, ".text";
        call "print";
        jmp "boot_next";
        at ".text";
        text ": not bootable (no AA55h at the end of its first sector)\r\n";

        at "boot_cd";
        xor bl, bl;
        at ".drive";
        cmp bl, fs_at(E_CD_COUNT);
        jae "boot_next";
        mov si, ".what";
        call "print";
        push bx;
        mov al, bl;
        call "cd_boot";
        pop bx;
        jc ".failed";
        mov si, "boot_dots";
        call "print";
        mov cx, es;
        xor ax, ax;
        push cx; // RETF to image:0, or 0:7C00 for the usual segment
        cmp cx, 0x07C0;
        jne ".address";
        pop cx;
        push ax;
        mov ax, 0x7C00;
        at ".address";
        push ax;
        xor ax, ax;
        mov ds, ax;
        mov es, ax;
        mov fs, ax;
        mov bx, ax;
        mov cx, ax;
        mov si, ax;
        mov di, ax;
        mov bp, ax;
        xor dh, dh;
        retf;
        at ".failed";
        mov si, "boot_empty.text";
        cmp ah, 1;
        je ".say";
        mov si, ".not_bootable";
        at ".say";
        call "print";
        inc bl;
        jmp ".drive";
        at ".what";
        text "Booting from CD";
        at ".not_bootable";
        text ": not bootable (no El Torito boot image)\r\n";

        at "boot_network";
        cmp dword(fs_at(E_BEV)), 0;
        je "boot_next";
        mov si, ".what";
        call "print";
        mov ax, cs;
        mov es, ax;
        mov di, "pnp_header";
        call_to dword(fs_at(E_BEV));
        jmp "int18";
        at ".what";
        text "Booting from network...\r\n";
    }
}

fn nothing(a: &mut Asm) {
    asm! { a;
        at "boot_failed";
        mov si, ".none";
        call "print";
        xor bl, bl; // anything said yet?
        mov si, ".floppy";
        mov al, fs_at(E_FD_COUNT);
        call ".count";
        mov si, ".disk";
        mov al, fs_at(E_HD_COUNT);
        call ".count";
        mov si, ".cd";
        mov al, fs_at(E_CD_COUNT);
        call ".count";
        test bl, bl;
        jnz ".tried";
        mov si, ".no_drives";
        call "print";
        at ".tried";
        mov si, ".retry";
        call "print";
        xor ah, ah;
        int 0x16;
        mov si, ".line";
        call "print";
        int 0x19;

        at ".count"; // SI if AL isn't 0
        test al, al;
        jz ".counted";
        test bl, bl;
        jz ".first";
        push si;
        mov si, ".comma";
        call "print";
        pop si;
        at ".first";
        inc bl;
        call "print";
        at ".counted";
        ret;
        at ".none";
        text "\r\nNo bootable medium: tried ";
        at ".floppy";
        text "floppy";
        at ".disk";
        text "hard disk";
        at ".cd";
        text "CD";
        at ".comma";
        text ", ";
        at ".no_drives";
        text "nothing, as there is no drive";
        at ".retry";
        text ".\r\nPress a key to try again.\r\n";
        at ".line";
        text "\r\n";
    }
}

fn menu(a: &mut Asm) {
    asm! { a;
        at "boot_menu";
        mov si, ".hint";
        call "print";
        // Two and a half seconds for Esc or F12.
        mov edi, [TICKS];
        add edi, 45;
        at ".wait";
        mov ah, 0x01;
        int 0x16;
        jz ".no_key";
        xor ah, ah;
        int 0x16;
        cmp al, 0x1B;
        je ".show";
        cmp ah, 0x86;
        je ".show";
        at ".no_key";
        hlt;
        cmp [TICKS], edi;
        jb ".wait";
        mov si, "boot_failed.line";
        jmp "print";

        at ".show";
        mov si, ".title";
        call "print";
        xor bl, bl; // entries shown
        cmp byte(fs_at(E_FD_COUNT)), 0;
        je ".no_floppy";
        call ".number";
        mov si, "boot_failed.floppy";
        call "print";
        mov si, "boot_failed.line";
        call "print";
        at ".no_floppy";
        xor bh, bh;
        at ".disk";
        cmp bh, fs_at(E_HD_COUNT);
        jae ".disks_shown";
        call ".number";
        mov si, "boot_failed.disk";
        call "print";
        movzx si, bh;
        movzx si, byte(fs_at(si + E_HD_MAP));
        call ".model";
        inc bh;
        jmp ".disk";
        at ".disks_shown";
        xor bh, bh;
        at ".cd";
        cmp bh, fs_at(E_CD_COUNT);
        jae ".cds_shown";
        call ".number";
        mov si, "boot_failed.cd";
        call "print";
        movzx si, bh;
        movzx si, byte(fs_at(si + E_CD_MAP));
        call ".model";
        inc bh;
        jmp ".cd";
        at ".cds_shown";
        cmp dword(fs_at(E_BEV)), 0;
        je ".choose";
        call ".number";
        mov si, ".network";
        call "print";

        mov si, ".prompt";
        call "print";
        at ".choose";
        xor ah, ah;
        int 0x16;
        cmp al, 0x1B;
        je ".leave";
        sub al, 0x31;
        cmp al, bl;
        jae ".choose";
        // Back from the number to the entry.
        cmp byte(fs_at(E_FD_COUNT)), 0;
        je ".not_floppy";
        sub al, 1;
        mov ah, 1;
        jc ".chosen";
        at ".not_floppy";
        movzx bx, al;
        sub al, fs_at(E_HD_COUNT);
        jc ".is_disk";
        movzx bx, al;
        sub al, fs_at(E_CD_COUNT);
        mov ah, 3;
        jc ".is_cd";
        mov ah, 4;
        jmp ".chosen";
        at ".is_disk"; // the BX-th becomes the first
        mov al, fs_at(bx + E_HD_MAP);
        xchg fs_at(E_HD_MAP), al;
        mov fs_at(bx + E_HD_MAP), al;
        mov ah, 2;
        jmp ".chosen";
        at ".is_cd";
        mov al, fs_at(bx + E_CD_MAP);
        xchg fs_at(E_CD_MAP), al;
        mov fs_at(bx + E_CD_MAP), al;
        at ".chosen";
        mov fs_at(E_BOOT_ONCE), ah;
        at ".leave";
        mov si, "boot_failed.line";
        jmp "print";

        at ".number";
        inc bl;
        mov al, bl;
        add al, 0x30;
        call "print_char";
        mov si, ".dot";
        jmp "print";
        at ".model"; // of drive SI
        imul_3 si, si, 40;
        add si, E_MODELS;
        push si;
        mov si, ".colon";
        call "print";
        pop si;
        mov cx, 40;
        call "print_padded";
        mov si, "boot_failed.line";
        jmp "print";
        at ".hint";
        text "Press Esc or F12 for the boot menu.\r\n";
        at ".title";
        text "\r\nBoot from:\r\n";
        at ".prompt";
        text "Press a number, or Esc to go on.\r\n";
        at ".dot";
        text ". ";
        at ".colon";
        text ": ";
        at ".network";
        text "network\r\n";
    }
}
