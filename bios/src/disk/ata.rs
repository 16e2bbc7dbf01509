//! ATA disks: LBA commands of 28 and 48 bits, by bus master where it can be, else by PIO.
//!
//! AT Attachment with Packet Interface - 6, sections 8 and 9; Intel 82371SB datasheet, "Bus Master IDE Registers". In
//! virtual-8086 mode the buffer's physical address is unknown, so there the data goes by PIO.

use crate::areas::*;
use crate::asm::{Asm, asm};

/// Sectors per command. A multiple of eight keeps the buffer aligned as it was.
const CHUNK: i32 = 64;
/// Seconds that a drive may be busy.
const PATIENCE: i32 = 10;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // Carries out the request in FS:R_*, on the drive at FS:DI. Carry and AH on an error. Changes all but BP, DI,
        // DS, FS.
        at "ata_transfer";
        mov fs_at(R_DRIVE), di;
        mov word(fs_at(R_DONE)), 0;
        at ".more";
        mov ax, fs_at(R_COUNT);
        test ax, ax;
        jz ".all";
        cmp ax, CHUNK;
        jbe ".chunk";
        mov ax, CHUNK;
        at ".chunk";
        mov fs_at(R_CHUNK), ax;
        // Buffer with an offset below 16.
        mov ax, fs_at(R_OFFSET);
        mov bx, ax;
        shr ax, 4;
        add fs_at(R_SEGMENT), ax;
        and bx, 15;
        mov fs_at(R_OFFSET), bx;
        cmp byte(fs_at(R_OP)), 2;
        je ".verify";
        test byte(fs_at(di + D_FLAGS)), 2;
        jz ".pio";
        cmp word(fs_at(di + D_MASTER)), 0;
        je ".pio";
        test bl, 1;
        jnz ".pio";
        smsw ax;
        test al, 1;
        jnz ".pio";
        call "ata_dma";
        jmp ".moved";
        at ".verify";
        call "ata_verify";
        jmp ".moved";
        at ".pio";
        call "ata_pio";
        at ".moved";
        mov di, fs_at(R_DRIVE);
        jc ".failed";
        movzx eax, word(fs_at(R_CHUNK));
        add fs_at(R_LBA), eax;
        adc dword(fs_at(R_LBA + 4)), 0;
        sub fs_at(R_COUNT), ax;
        add fs_at(R_DONE), ax;
        shl ax, 5;
        add fs_at(R_SEGMENT), ax;
        jmp ".more";
        at ".all";
        clc;
        at ".failed";
        ret;

        // Waits until the drive at FS:DI is not busy. AL: status. Carry and AH if it stays so.
        at "ata_idle";
        push bx;
        push dx;
        mov dx, fs_at(di + D_COMMAND);
        add dx, 7;
        in_ al, dx;
        test al, 0x80;
        jz ".idle";
        mov bh, PATIENCE;
        call "timeout_start";
        at ".poll";
        in_ al, dx;
        test al, 0x80;
        jz ".idle";
        call "timeout_check";
        jnz ".poll";
        mov ah, 0x80;
        stc;
        jmp ".end";
        at ".idle";
        clc;
        at ".end";
        pop dx;
        pop bx;
        ret;

        // The same until it has nothing to move either: a drive that waits for the bus master needn't be busy.
        at "ata_quiet";
        push bx;
        mov bh, PATIENCE;
        call "timeout_start";
        at ".poll";
        call "ata_idle";
        jc ".end";
        test al, 0x08;
        jz ".end";
        call "timeout_check";
        jnz ".poll";
        mov ah, 0x80;
        stc;
        at ".end";
        pop bx;
        ret;

        // Selects the drive at FS:DI, with the bits of AH in the device register. Carry and AH if it stays busy.
        at "ata_select";
        call "ata_idle";
        jc ".end";
        push dx;
        mov dx, fs_at(di + D_CONTROL);
        mov al, 0x0A; // no interrupts
        out dx, al;
        mov dx, fs_at(di + D_COMMAND);
        add dx, 6;
        mov al, ah;
        or al, fs_at(di + D_SELECT);
        out dx, al;
        // 400 ns.
        mov dx, fs_at(di + D_CONTROL);
        in_ al, dx;
        in_ al, dx;
        in_ al, dx;
        in_ al, dx;
        pop dx;
        call "ata_idle";
        at ".end";
        ret;

        // Sends the command of the current chunk: CL for 28-bit addresses, CH for 48-bit ones.
        at "ata_send";
        mov eax, fs_at(R_LBA);
        movzx edx, word(fs_at(R_CHUNK));
        add eax, edx;
        jc ".wide";
        cmp dword(fs_at(R_LBA + 4)), 0;
        jne ".wide";
        cmp eax, 0x1000_0000;
        ja ".wide";
        mov ah, fs_at(R_LBA + 3);
        and ah, 0x0F;
        or ah, 0xE0;
        call "ata_select";
        jc ".end";
        mov ch, cl;
        jmp ".low";
        at ".wide";
        test byte(fs_at(di + D_FLAGS)), 1;
        mov ah, 0x01;
        stc;
        jz ".end";
        mov ah, 0x40;
        call "ata_select";
        jc ".end";
        mov dx, fs_at(di + D_COMMAND);
        add dx, 2;
        xor al, al;
        out dx, al;
        inc dx;
        mov al, fs_at(R_LBA + 3);
        out dx, al;
        inc dx;
        mov al, fs_at(R_LBA + 4);
        out dx, al;
        inc dx;
        mov al, fs_at(R_LBA + 5);
        out dx, al;
        at ".low";
        mov dx, fs_at(di + D_COMMAND);
        inc dx;
        xor al, al;
        out dx, al;
        inc dx;
        mov al, fs_at(R_CHUNK);
        out dx, al;
        inc dx;
        mov al, fs_at(R_LBA);
        out dx, al;
        inc dx;
        mov al, fs_at(R_LBA + 1);
        out dx, al;
        inc dx;
        mov al, fs_at(R_LBA + 2);
        out dx, al;
        add dx, 2;
        mov al, ch;
        out dx, al;
        // 400 ns.
        mov dx, fs_at(di + D_CONTROL);
        in_ al, dx;
        in_ al, dx;
        in_ al, dx;
        in_ al, dx;
        clc;
        at ".end";
        ret;

        // Lets the drive interrupt again. Keeps AX and flags.
        at "ata_finish";
        pushf;
        push ax;
        push dx;
        mov dx, fs_at(di + D_CONTROL);
        mov al, 0x08;
        out dx, al;
        pop dx;
        pop ax;
        popf;
        ret;

        // AL: status. Carry and AH, as INT 13h codes, if it tells of an error.
        at "ata_check";
        test al, 0x21;
        jnz ".bad";
        ret; // TEST cleared carry
        at ".bad";
        push dx;
        mov dx, fs_at(di + D_COMMAND);
        inc dx;
        in_ al, dx;
        pop dx;
        mov ah, 0x10; // uncorrectable
        test al, 0x40;
        jnz ".end";
        mov ah, 0x04; // not found
        test al, 0x10;
        jnz ".end";
        mov ah, 0x01; // refused
        test al, 0x04;
        jnz ".end";
        mov ah, 0x20;
        at ".end";
        stc;
        ret;
    }
    pio(a);
    dma(a);
}

fn pio(a: &mut Asm) {
    asm! { a;
        at "ata_pio";
        mov cx, 0x2420;
        cmp byte(fs_at(R_OP)), 0;
        je ".command";
        mov cx, 0x3430;
        at ".command";
        call "ata_send";
        jc ".end";
        mov bx, fs_at(R_CHUNK);
        mov si, fs_at(R_OFFSET);
        mov ax, fs_at(R_SEGMENT);
        mov es, ax;
        at ".sector";
        call "ata_idle";
        jc ".end";
        call "ata_check";
        jc ".end";
        test al, 0x08;
        jz ".no_data";
        mov dx, fs_at(di + D_COMMAND);
        mov cx, 128;
        cmp byte(fs_at(R_OP)), 0;
        jne ".out";
        push di;
        mov di, si;
        rep_insd;
        mov si, di;
        pop di;
        jmp ".moved";
        at ".out";
        db 0x26; // ES:
        rep_outsd;
        at ".moved";
        dec bx;
        jnz ".sector";
        call "ata_idle";
        jc ".end";
        call "ata_check";
        jmp ".end";
        at ".no_data";
        mov ah, 0x20;
        stc;
        at ".end";
        jmp "ata_finish";

        at "ata_verify";
        mov cx, 0x4240;
        call "ata_send";
        jc ".end";
        call "ata_idle";
        jc ".end";
        call "ata_check";
        at ".end";
        jmp "ata_finish";
    }
}

fn dma(a: &mut Asm) {
    asm! { a;
        at "ata_dma";
        movzx ecx, word(fs_at(R_CHUNK));
        shl ecx, 9;
        call "dma_describe";
        mov cx, 0x25C8;
        cmp byte(fs_at(R_OP)), 0;
        je ".command";
        mov cx, 0x35CA;
        at ".command";
        call "dma_prepare";
        call "ata_send";
        jc ".end";
        call "dma_run";
        jc ".end";
        call "ata_check";
        at ".end";
        jmp "ata_finish";

        // Descriptors for ECX bytes at the request's buffer: one, or two where it crosses 64 KiB.
        at "dma_describe";
        push esi;
        movzx eax, word(fs_at(R_SEGMENT));
        shl eax, 4;
        movzx edx, word(fs_at(R_OFFSET));
        add eax, edx;
        mov si, E_PRD;
        mov edx, eax;
        neg dx; // bytes to the boundary, 0 for 64 Ki
        movzx edx, dx;
        test dx, dx;
        jz ".last";
        cmp ecx, edx;
        jbe ".last";
        mov fs_at(si), eax;
        mov fs_at(si + 4), edx;
        add eax, edx;
        sub ecx, edx;
        add si, 8;
        at ".last";
        mov fs_at(si), eax;
        and ecx, 0xFFFF;
        or ecx, 0x8000_0000u32;
        mov fs_at(si + 4), ecx;
        pop esi;
        ret;

        // Bus master stopped, its table and direction set. Keeps CX.
        at "dma_prepare";
        mov dx, fs_at(di + D_MASTER);
        xor al, al;
        cmp byte(fs_at(R_OP)), 0;
        jne ".direction";
        mov al, 8;
        at ".direction";
        out dx, al;
        add dx, 2;
        in_ al, dx;
        or al, 6; // interrupt and error: written to clear
        out dx, al;
        add dx, 2;
        mov ax, fs;
        movzx eax, ax;
        shl eax, 4;
        add eax, E_PRD;
        out dx, eax;
        ret;

        // Starts the bus master, waits for the drive, stops it. AL: the drive's status; carry and AH on a failure.
        at "dma_run";
        mov dx, fs_at(di + D_MASTER);
        in_ al, dx;
        or al, 1;
        out dx, al;
        call "ata_quiet";
        pushf;
        push ax;
        in_ al, dx;
        and al, 0xFE;
        out dx, al;
        add dx, 2;
        in_ al, dx;
        mov ah, al;
        or al, 6;
        out dx, al;
        test ah, 2;
        pop ax;
        jnz ".error";
        popf;
        ret;
        at ".error";
        popf;
        mov ah, 0x20;
        stc;
        ret;
    }
}
