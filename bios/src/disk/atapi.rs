//! ATAPI drives: packet commands, and reading CD blocks. SFF-8020i; AT Attachment with Packet Interface - 6, section
//! 9.8; MultiMedia Commands - 3.

use crate::areas::*;
use crate::asm::{Asm, asm};

/// CD blocks per command.
const CHUNK: i32 = 16;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // Carries out a read of R_COUNT blocks of 2,048 bytes, on the drive at FS:DI. With R_TAKE, one block of which
        // R_SKIP words are dropped and R_TAKE words kept. Carry and AH on an error.
        at "cd_read";
        mov fs_at(R_DRIVE), di;
        mov word(fs_at(R_DONE)), 0;
        mov byte(fs_at(R_OP)), 0;
        at ".more";
        mov ax, fs_at(R_COUNT);
        test ax, ax;
        jz ".all";
        cmp ax, CHUNK;
        jbe ".chunk";
        mov ax, CHUNK;
        at ".chunk";
        mov fs_at(R_CHUNK), ax;
        mov ax, fs_at(R_OFFSET);
        mov bx, ax;
        shr ax, 4;
        add fs_at(R_SEGMENT), ax;
        and bx, 15;
        mov fs_at(R_OFFSET), bx;
        call "packet_clear";
        mov byte(fs_at(E_PACKET)), 0x28; // READ (10)
        mov eax, fs_at(R_LBA);
        db &[0x66, 0x0F, 0xC8]; // bswap eax
        mov fs_at(E_PACKET + 2), eax;
        mov ax, fs_at(R_CHUNK);
        xchg al, ah;
        mov fs_at(E_PACKET + 7), ax;
        // By bus master, if whole blocks go to an even address.
        cmp word(fs_at(R_TAKE)), 0;
        jne ".pio";
        test byte(fs_at(di + D_FLAGS)), 2;
        jz ".pio";
        cmp word(fs_at(di + D_MASTER)), 0;
        je ".pio";
        test bl, 1;
        jnz ".pio";
        smsw ax;
        test al, 1;
        jnz ".pio";
        movzx ecx, word(fs_at(R_CHUNK));
        shl ecx, 11;
        call "dma_describe";
        call "dma_prepare";
        call "packet_dma";
        jmp ".moved";
        at ".pio";
        mov ax, fs_at(R_SEGMENT);
        mov es, ax;
        mov si, fs_at(R_OFFSET);
        call "packet_pio";
        at ".moved";
        mov di, fs_at(R_DRIVE);
        jc ".failed";
        movzx eax, word(fs_at(R_CHUNK));
        add fs_at(R_LBA), eax;
        sub fs_at(R_COUNT), ax;
        add fs_at(R_DONE), ax;
        shl ax, 7;
        add fs_at(R_SEGMENT), ax;
        jmp ".more";
        at ".all";
        clc;
        at ".failed";
        ret;

        at "packet_clear";
        mov dword(fs_at(E_PACKET)), 0;
        mov dword(fs_at(E_PACKET + 4)), 0;
        mov dword(fs_at(E_PACKET + 8)), 0;
        ret;

        // Sends PACKET and then FS:E_PACKET. AL: features. Carry and AH on an error.
        at "packet_send";
        push si;
        push cx;
        push ax;
        mov ah, 0xA0;
        call "ata_select";
        pop cx;
        jc ".end";
        mov dx, fs_at(di + D_COMMAND);
        inc dx;
        mov al, cl;
        out dx, al;
        add dx, 3;
        mov ax, 0xF800; // byte count limit: blocks whole
        out dx, al;
        inc dx;
        mov al, ah;
        out dx, al;
        add dx, 2;
        mov al, 0xA0;
        out dx, al;
        mov dx, fs_at(di + D_CONTROL);
        in_ al, dx;
        in_ al, dx;
        in_ al, dx;
        in_ al, dx;
        call "ata_idle";
        jc ".end";
        test al, 0x21;
        jnz ".refused";
        test al, 0x08;
        jz ".refused";
        mov dx, fs_at(di + D_COMMAND);
        mov si, E_PACKET;
        mov cx, 6;
        db 0x64; // FS:
        rep_outsw;
        clc;
        jmp ".end";
        at ".refused";
        mov ah, 0x20;
        stc;
        at ".end";
        pop cx;
        pop si;
        ret;

        at "packet_dma";
        mov al, 1;
        call "packet_send";
        jc ".end";
        call "dma_run";
        jc ".end";
        call "packet_check";
        at ".end";
        jmp "ata_finish";

        // Carry and AH if AL, the status, tells of an error.
        at "packet_check";
        test al, 0x21;
        jnz ".bad";
        ret;
        at ".bad";
        mov dx, fs_at(di + D_COMMAND);
        inc dx;
        in_ al, dx;
        shr al, 4;
        mov ah, 0x20;
        cmp al, 2; // not ready
        jne ".not_absent";
        mov ah, 0x31; // no medium
        at ".not_absent";
        cmp al, 6; // unit attention
        jne ".code";
        mov ah, 0x06; // medium changed
        at ".code";
        stc;
        ret;

        // Sends the packet; data comes to ES:SI, R_SKIP words dropped, then R_TAKE words kept (0: all), the rest
        // dropped. R_PACKET_BYTES: how many came. Commands that send nothing work too.
        at "packet_pio";
        xor al, al;
        mov dword(fs_at(R_PACKET_BYTES)), 0;
        call "packet_send";
        jc ".end";
        mov bx, fs_at(R_SKIP);
        mov ax, fs_at(R_TAKE);
        test ax, ax;
        jnz ".limited";
        dec ax;
        at ".limited";
        mov fs_at(R_LEFT), ax;
        at ".wait";
        call "ata_idle";
        jc ".end";
        call "packet_check";
        jc ".end";
        test al, 0x08;
        jz ".done";
        mov dx, fs_at(di + D_COMMAND);
        add dx, 4;
        in_ al, dx;
        mov ah, al;
        inc dx;
        in_ al, dx;
        xchg al, ah;
        movzx eax, ax;
        add fs_at(R_PACKET_BYTES), eax;
        inc ax;
        shr ax, 1;
        mov cx, ax;
        mov dx, fs_at(di + D_COMMAND);
        at ".skip";
        test bx, bx;
        jz ".keep";
        jcxz ".wait";
        in_ ax, dx;
        dec bx;
        dec cx;
        jmp ".skip";
        at ".keep";
        mov ax, cx;
        cmp cx, fs_at(R_LEFT);
        jbe ".fits";
        mov cx, fs_at(R_LEFT);
        at ".fits";
        sub ax, cx;
        sub fs_at(R_LEFT), cx;
        push di;
        mov di, si;
        rep_insw;
        mov si, di;
        pop di;
        mov cx, ax;
        at ".drop";
        jcxz ".wait";
        in_ ax, dx;
        dec cx;
        jmp ".drop";
        at ".done";
        clc;
        at ".end";
        jmp "ata_finish";

        // A packet without data: FS:E_PACKET set up by the caller.
        at "packet_plain";
        mov word(fs_at(R_SKIP)), 0;
        mov word(fs_at(R_TAKE)), 0;
        jmp "packet_pio";

        // Is there a disc? Asks a few times, as a drive reports a change first and may be loading. Carry if none.
        at "cd_ready";
        mov cx, 5;
        at ".try";
        push cx;
        call "packet_clear"; // TEST UNIT READY
        call "packet_plain";
        pop cx;
        jnc ".end";
        push cx;
        push ax;
        call "packet_clear";
        mov byte(fs_at(E_PACKET)), 0x03; // REQUEST SENSE
        mov byte(fs_at(E_PACKET + 4)), 18;
        push SCRATCH_SEG;
        pop es;
        xor si, si;
        mov word(fs_at(R_SKIP)), 0;
        mov word(fs_at(R_TAKE)), 1; // drop what comes
        call "packet_pio";
        pop ax;
        pop cx;
        cmp ah, 0x31;
        je ".no_disc";
        loop_ ".try";
        at ".no_disc";
        stc;
        at ".end";
        ret;
    }
}
