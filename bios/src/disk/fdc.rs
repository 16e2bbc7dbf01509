//! The floppy controller under INT 13h. Intel 82077AA datasheet; IBM PC/AT Technical Reference, "Diskette".

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

/// Ticks to wait for the controller's interrupt.
const PATIENCE: i32 = 55;
/// Ticks until the motor stops after the last access.
const MOTOR_ON: i32 = 37;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // AL to the controller. Carry and AH if it doesn't take it.
        at "fdc_put";
        push cx;
        push dx;
        push ax;
        mov dx, 0x3F4;
        mov cx, 0x4000;
        at ".poll";
        in_ al, dx;
        and al, 0xC0;
        cmp al, 0x80;
        je ".free";
        loop_ ".poll";
        pop ax;
        mov ah, 0x20;
        stc;
        jmp ".end";
        at ".free";
        pop ax;
        inc dx;
        out dx, al;
        clc;
        at ".end";
        pop dx;
        pop cx;
        ret;

        // AL from the controller. Carry and AH if it has nothing.
        at "fdc_get";
        push cx;
        push dx;
        mov dx, 0x3F4;
        mov cx, 0x4000;
        at ".poll";
        in_ al, dx;
        and al, 0xC0;
        cmp al, 0xC0;
        je ".there";
        loop_ ".poll";
        mov ah, 0x20;
        stc;
        jmp ".end";
        at ".there";
        inc dx;
        in_ al, dx;
        clc;
        at ".end";
        pop dx;
        pop cx;
        ret;

        // Halts until the controller has interrupted. Carry and AH after too long.
        at "fdc_wait";
        push ebx;
        push eax;
        mov ax, 0x9001;
        int 0x15;
        mov ebx, [TICKS];
        at ".halt";
        cli;
        test byte(FD_RECAL), 0x80;
        jnz ".came";
        mov eax, [TICKS];
        sub eax, ebx;
        cmp eax, PATIENCE;
        ja ".late";
        sti;
        hlt;
        jmp ".halt";
        at ".came";
        sti;
        and byte(FD_RECAL), 0x7F;
        pop eax;
        pop ebx;
        clc;
        ret;
        at ".late";
        sti;
        mov byte(FD_RECAL), 0;
        call "fdc_reset";
        pop eax;
        pop ebx;
        mov ah, 0x80;
        stc;
        ret;

        // SENSE INTERRUPT STATUS: AL status 0, AH cylinder.
        at "fdc_sense";
        mov al, 0x08;
        call "fdc_put";
        jc ".end";
        call "fdc_get";
        jc ".end";
        push ax;
        call "fdc_get";
        mov ah, al;
        pop bx;
        mov al, bl;
        at ".end";
        ret;

        at "fdc_reset";
        pushad;
        and byte(FD_RECAL), 0x70;
        mov dx, 0x3F2;
        mov al, [FD_MOTOR];
        shl al, 4;
        and al, 0x30;
        or al, 0x08;
        out dx, al;
        out 0xED, al;
        or al, 0x0C;
        or al, fs_at(F_DRIVE);
        out dx, al;
        // Its interrupt comes at once; a missing one shows in the sense commands.
        mov cx, 0x2000;
        at ".poll";
        sti;
        test byte(FD_RECAL), 0x80;
        jnz ".came";
        out 0xED, al;
        loop_ ".poll";
        at ".came";
        and byte(FD_RECAL), 0x7F;
        mov cx, 4; // one for each drive
        at ".sense";
        call "fdc_sense";
        jc ".failed";
        loop_ ".sense";
        // SPECIFY, from the diskette parameters.
        call "diskette_table";
        mov al, 0x03;
        call "fdc_put";
        mov al, es_at(si);
        call "fdc_put";
        mov al, es_at(si + 1);
        call "fdc_put";
        popad;
        clc;
        ret;
        at ".failed";
        popad;
        mov ah, 0x20;
        stc;
        ret;

        // ES:SI: the diskette parameters of INT 1Eh.
        at "diskette_table";
        xor si, si;
        mov es, si;
        les si, es_at(0x1E * 4);
        ret;
    }
    drive(a);
    rates(a);
    commands(a);
}

fn drive(a: &mut Asm) {
    asm! { a;
        // Motor on, drive selected; it stays on for a while.
        at "fdc_motor";
        push ax;
        push cx;
        push dx;
        mov byte(FD_TIMEOUT), 0xFF;
        mov cl, fs_at(F_DRIVE);
        mov al, 0x11;
        shl al, cl;
        and al, 0x33;
        mov ah, al;
        and ah, 0x03;
        mov [FD_MOTOR], ah;
        and al, 0x30;
        or al, 0x0C;
        or al, cl;
        mov dx, 0x3F2;
        out dx, al;
        mov byte(FD_TIMEOUT), MOTOR_ON;
        pop dx;
        pop cx;
        pop ax;
        ret;

        // ZF if the disk hasn't been changed, or the drive can't tell.
        at "fdc_change_line";
        push ax;
        push bx;
        push dx;
        mov bl, fs_at(F_DRIVE);
        call "floppy_kind";
        cmp al, 1;
        je ".end";
        mov dx, 0x3F7;
        in_ al, dx;
        test al, 0x80;
        at ".end";
        pop dx;
        pop bx;
        pop ax;
        ret;

        at "fdc_recalibrate";
        mov al, 0x07;
        call "fdc_put";
        jc ".end";
        mov al, fs_at(F_DRIVE);
        call "fdc_put";
        jc ".end";
        call "fdc_wait";
        jc ".end";
        call "fdc_sense";
        jc ".end";
        and al, 0xC0;
        mov ah, 0x40;
        stc;
        jnz ".end";
        movzx bx, byte(fs_at(F_DRIVE));
        mov byte(bx + FD_CYLINDER), 0;
        mov cl, bl;
        mov al, 1;
        shl al, cl;
        or [FD_RECAL], al;
        clc;
        at ".end";
        ret;

        // To cylinder CH.
        at "fdc_seek";
        movzx bx, byte(fs_at(F_DRIVE));
        mov cl, bl;
        mov al, 1;
        shl al, cl;
        test [FD_RECAL], al;
        jnz ".calibrated";
        push cx;
        call "fdc_recalibrate";
        pop cx;
        jc ".end";
        movzx bx, byte(fs_at(F_DRIVE));
        at ".calibrated";
        cmp [bx + FD_CYLINDER], ch;
        je ".end";
        mov al, 0x0F;
        call "fdc_put";
        jc ".end";
        mov al, fs_at(F_DRIVE);
        call "fdc_put";
        jc ".end";
        mov al, ch;
        call "fdc_put";
        jc ".end";
        call "fdc_wait";
        jc ".end";
        call "fdc_sense";
        jc ".end";
        and al, 0xC0;
        mov ah, 0x40;
        stc;
        jnz ".end";
        movzx bx, byte(fs_at(F_DRIVE));
        mov [bx + FD_CYLINDER], ch;
        clc;
        at ".end";
        ret;
    }
}

fn rates(a: &mut Asm) {
    asm! { a;
        // Motor, change line, data rate. Carry and AH if there is no usable disk.
        at "fdc_ready";
        call "fdc_motor";
        mov dx, 0x3F4;
        in_ al, dx;
        cmp al, 0xFF;
        je ".no_controller";
        test al, 0x10; // left in the middle of something
        jz ".idle";
        call "fdc_reset";
        at ".idle";
        movzx bx, byte(fs_at(F_DRIVE));
        call "fdc_change_line";
        jz ".same_disk";
        mov al, [bx + FD_MEDIA];
        push ax;
        and byte(bx + FD_MEDIA), 0xEF;
        // A step with a disk inside clears the line.
        call "fdc_recalibrate";
        mov ch, 1;
        call "fdc_seek";
        mov ch, 0;
        call "fdc_seek";
        pop ax;
        call "fdc_change_line";
        jnz ".no_disk";
        test al, 0x10;
        mov ah, 0x06;
        jnz ".failed"; // another one than before
        at ".same_disk";
        movzx bx, byte(fs_at(F_DRIVE));
        mov al, [bx + FD_MEDIA];
        test al, 0x10;
        jz ".try";
        shr al, 6;
        mov dx, 0x3F7;
        out dx, al;
        clc;
        ret;
        at ".no_controller";
        at ".no_disk";
        mov ah, 0x80;
        at ".failed";
        stc;
        ret;

        // The first rate at which a sector's address can be read is the disk's.
        at ".try";
        call "floppy_kind";
        movzx si, al;
        shl si, 2;
        add si, ".candidates";
        at ".next";
        mov al, cs_at(si);
        cmp al, 0xFF;
        mov ah, 0x0C;
        je ".failed";
        mov dx, 0x3F7;
        out dx, al;
        push si;
        call "fdc_recalibrate";
        jc ".other";
        mov al, 0x4A; // READ ID
        call "fdc_put";
        mov al, fs_at(F_DRIVE);
        call "fdc_put";
        jc ".other";
        call "fdc_wait";
        jc ".other";
        call "fdc_result";
        at ".other";
        pop si;
        jnc ".found";
        cmp ah, 0x80;
        je ".failed";
        inc si;
        jmp ".next";
        at ".found";
        movzx bx, byte(fs_at(F_DRIVE));
        mov al, cs_at(si);
        shl al, 6;
        or al, 0x17;
        mov [bx + FD_MEDIA], al;
        clc;
        ret;
        at ".candidates"; // by kind of drive: 0 500, 1 300, 2 250, 3 1,000 kbit/s
        db &[0xFF, 0xFF, 0xFF, 0xFF];
        db &[2, 0xFF, 0xFF, 0xFF];
        db &[0, 1, 0xFF, 0xFF];
        db &[2, 0xFF, 0xFF, 0xFF];
        db &[0, 2, 0xFF, 0xFF];
        db &[3, 0, 2, 0xFF];
    }
}

fn commands(a: &mut Asm) {
    asm! { a;
        // DMA channel 2 for ECX bytes at the caller's ES:BX. Carry and AH if they cross 64 KiB.
        at "fdc_dma";
        movzx eax, word(bp + caller::ES);
        shl eax, 4;
        movzx edx, word(bp + caller::BX);
        add eax, edx;
        dec ecx;
        mov dx, ax;
        add dx, cx;
        mov dx, 0x0900; // MOV keeps the carry
        jc ".crosses";
        cli;
        push ax;
        mov al, 0x06;
        out 0x0A, al;
        out 0x0C, al;
        mov al, fs_at(F_DMA);
        out 0x0B, al;
        pop ax;
        out 0x04, al;
        mov al, ah;
        out 0x04, al;
        shr eax, 16;
        out 0x81, al;
        mov al, cl;
        out 0x05, al;
        mov al, ch;
        out 0x05, al;
        mov al, 0x02;
        out 0x0A, al;
        sti;
        clc;
        ret;
        at ".crosses";
        mov ax, dx;
        stc;
        ret;

        at "fdc_transfer"; // F_COMMAND for the caller's CH, CL, DH, AL
        mov ch, [bp + caller::CH];
        call "fdc_seek";
        jc ".end";
        mov al, fs_at(F_COMMAND);
        call "fdc_put";
        jc ".end";
        call "fdc_head";
        jc ".end";
        mov al, [bp + caller::CH];
        call "fdc_put";
        mov al, [bp + caller::DH];
        call "fdc_put";
        mov al, [bp + caller::CL];
        call "fdc_put";
        mov al, 2; // 512 bytes
        call "fdc_put";
        call "diskette_table";
        call ".last_sector";
        call "fdc_put";
        mov al, es_at(si + 5);
        call "fdc_put";
        mov al, es_at(si + 6);
        call "fdc_put";
        jc ".end";
        call "fdc_wait";
        jc ".end";
        call "fdc_result";
        at ".end";
        ret;

        // AL: last sector of a track: the table's, less on a disk of lower density, more where the caller goes on.
        at ".last_sector";
        mov al, es_at(si + 4);
        cmp al, 18;
        jne ".as_told";
        movzx bx, byte(fs_at(F_DRIVE));
        mov ah, [bx + FD_MEDIA];
        and ah, 0xC0;
        cmp ah, 0x80;
        je ".nine";
        push ax;
        call "floppy_kind";
        cmp al, 2;
        pop ax;
        jne ".as_told";
        mov al, 15;
        jmp ".as_told";
        at ".nine";
        mov al, 9;
        at ".as_told";
        mov ah, [bp + caller::CL];
        cmp ah, al;
        jbe ".known";
        mov al, ah;
        add al, [bp + caller::AL];
        dec al;
        at ".known";
        ret;

        at "fdc_format";
        mov ch, [bp + caller::CH];
        call "fdc_seek";
        jc ".end";
        mov al, 0x4D;
        call "fdc_put";
        jc ".end";
        call "fdc_head";
        jc ".end";
        mov al, 2;
        call "fdc_put";
        mov al, [bp + caller::AL];
        call "fdc_put";
        call "diskette_table";
        mov al, es_at(si + 7);
        call "fdc_put";
        mov al, es_at(si + 8);
        call "fdc_put";
        jc ".end";
        call "fdc_wait";
        jc ".end";
        call "fdc_result";
        at ".end";
        ret;

        at "fdc_head"; // head and drive
        mov al, [bp + caller::DH];
        and al, 1;
        shl al, 2;
        or al, fs_at(F_DRIVE);
        jmp "fdc_put";

        // The seven result bytes, into the data area. Carry and AH if they tell of an error.
        at "fdc_result";
        push di;
        mov di, FD_RESULT;
        mov cx, 7;
        at ".byte";
        call "fdc_get";
        jc ".end";
        mov [di], al;
        inc di;
        loop_ ".byte";
        mov byte(FD_TIMEOUT), MOTOR_ON;
        test byte(FD_RESULT), 0xC0;
        jz ".end"; // TEST cleared carry
        mov al, [FD_RESULT + 1];
        mov ah, 0x04;
        test al, 0x84; // end of cylinder, no data
        jnz ".error";
        mov ah, 0x10;
        test al, 0x20; // CRC
        jnz ".error";
        mov ah, 0x08;
        test al, 0x10; // overrun
        jnz ".error";
        mov ah, 0x03;
        test al, 0x02; // write protected
        jnz ".error";
        mov ah, 0x02;
        test al, 0x01; // address mark
        jnz ".error";
        mov ah, 0x20;
        at ".error";
        stc;
        at ".end";
        pop di;
        ret;
    }
}
