//! CD drives by INT 13h, and finding the boot image on a CD. "El Torito" Bootable CD-ROM Format Specification 1.0;
//! ECMA-119.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // INT 13h on a CD drive. FS:DI: drive, AH: function.
        at "cd_disk";
        cmp ah, 0x41;
        jb ".old";
        cmp ah, 0x4E;
        ja "disk_bad";
        movzx si, ah;
        sub si, 0x41;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            "edd_present", ".read", ".protected", ".verify", ".lock", ".eject", ".verify", "edd_parameters", ".change",
            "disk_bad", "cd_boot_info", "disk_bad", "disk_bad", "disk_ok"
        ];
        at ".old";
        test ah, ah;
        jz "disk_ok";
        cmp ah, 0x01;
        je ".status";
        cmp ah, 0x0D;
        je "disk_ok";
        cmp ah, 0x10;
        je "disk_ok";
        cmp ah, 0x11;
        je "disk_ok";
        cmp ah, 0x14;
        je "disk_ok";
        cmp ah, 0x15;
        jne "disk_bad";
        mov byte(bp + caller::AH), 2; // removable, with change line
        jmp "no_carry";
        at ".status";
        mov ah, [HD_STATUS];
        mov [bp + caller::AH], ah;
        test ah, ah;
        jz "no_carry";
        jmp "carry";
        at ".protected";
        mov ah, 0x03;
        jmp "disk_fail";
        at ".change";
        mov ah, 0x06;
        jmp "disk_fail";

        at ".verify";
        call "edd_packet";
        jc "disk_bad";
        jmp "disk_ok";
        at ".read";
        call "edd_packet";
        jc "disk_bad";
        cmp dword(fs_at(R_LBA + 4)), 0;
        jne "disk_bad";
        mov word(fs_at(R_SKIP)), 0;
        mov word(fs_at(R_TAKE)), 0;
        call "cd_read";
        jmp "edd_end";

        at ".lock"; // AL: 0 lock, 1 unlock, 2 status
        cmp al, 2;
        ja "disk_bad";
        mov byte(bp + caller::AL), 0;
        je "disk_ok";
        xor al, 1;
        push ax;
        call "packet_clear";
        pop ax;
        mov byte(fs_at(E_PACKET)), 0x1E;
        mov fs_at(E_PACKET + 4), al;
        jmp ".plain";
        at ".eject";
        call "packet_clear";
        mov byte(fs_at(E_PACKET)), 0x1B;
        mov byte(fs_at(E_PACKET + 4)), 2;
        at ".plain";
        call "packet_plain";
        jc "disk_fail";
        jmp "disk_ok";
    }
    info(a);
    find(a);
}

fn info(a: &mut Asm) {
    asm! { a;
        at "cd_boot_info"; // AH=4Bh; AL=0 ends the emulation, 1 tells; packet of 13h bytes at DS:SI
        cmp al, 1;
        ja "disk_bad";
        cmp byte(fs_at(CD_ACTIVE)), 0;
        je "disk_bad";
        mov dl, [bp + caller::DL];
        cmp dl, 0x7F; // all
        je ".mine";
        cmp dl, fs_at(CD_NUMBER);
        jne "disk_bad";
        at ".mine";
        mov si, [bp + caller::SI];
        mov bx, [bp + caller::DS];
        mov es, bx;
        mov byte(es_at(si)), 0x13;
        mov ah, fs_at(CD_MEDIA);
        mov es_at(si + 1), ah;
        mov ah, fs_at(CD_NUMBER);
        mov es_at(si + 2), ah;
        movzx bx, byte(fs_at(CD_INDEX));
        movzx di, byte(fs_at(bx + E_CD_MAP));
        shl di, 5;
        add di, E_DRIVES;
        mov ah, fs_at(di + D_CHANNEL);
        mov es_at(si + 3), ah;
        mov ecx, fs_at(CD_LBA);
        mov es_at(si + 4), ecx;
        movzx cx, byte(fs_at(di + D_SELECT));
        shr cx, 4;
        mov es_at(si + 8), cx;
        mov word(es_at(si + 10)), 0;
        mov cx, fs_at(CD_LOAD);
        mov es_at(si + 12), cx;
        mov cx, fs_at(CD_COUNT);
        mov es_at(si + 14), cx;
        mov cx, fs_at(CD_CYLINDERS);
        dec cx;
        mov es_at(si + 16), cl;
        shl ch, 6;
        mov cl, fs_at(CD_SECTORS);
        or cl, ch;
        mov es_at(si + 17), cl;
        mov cl, fs_at(CD_HEADS);
        dec cl;
        mov es_at(si + 18), cl;
        test al, al;
        jnz "disk_ok";
        mov byte(fs_at(CD_ACTIVE)), 0;
        mov byte(fs_at(CD_MEDIA)), 0;
        jmp "disk_ok";
    }
}

fn find(a: &mut Asm) {
    asm! { a;
        // Loads the boot image of CD drive AL. DL: drive number to boot from, ES:0 is where it lies. Carry if there is
        // none. Changes everything but DS and FS.
        at "cd_boot";
        mov fs_at(CD_INDEX), al;
        mov byte(fs_at(CD_ACTIVE)), 0;
        mov byte(fs_at(CD_MEDIA)), 0;
        movzx bx, al;
        movzx di, byte(fs_at(bx + E_CD_MAP));
        shl di, 5;
        add di, E_DRIVES;
        call "cd_ready";
        jc ".no_disc";
        // Boot record: volume descriptor at block 17.
        mov eax, 17;
        call ".block";
        jc ".bad";
        cmp byte(es_at(0)), 0;
        jne ".bad";
        cmp dword(es_at(1)), 0x3030_4443; // "CD00"
        jne ".bad";
        cmp byte(es_at(5)), 0x31;
        jne ".bad";
        push di;
        mov si, ".mark";
        mov di, 7;
        mov cx, 23;
        at ".compare";
        mov al, cs_at(si);
        cmp al, es_at(di);
        jne ".differs";
        inc si;
        inc di;
        loop_ ".compare";
        cmp ax, ax;
        at ".differs";
        pop di;
        jne ".bad";
        // Boot catalog: validation entry, then the default one.
        mov eax, es_at(0x47);
        call ".block";
        jc ".bad";
        cmp byte(es_at(0)), 1;
        jne ".bad";
        cmp word(es_at(0x1E)), 0xAA55;
        jne ".bad";
        xor ax, ax;
        xor si, si;
        mov cx, 16;
        at ".sum";
        add ax, es_at(si);
        add si, 2;
        loop_ ".sum";
        test ax, ax;
        jnz ".bad";
        cmp byte(es_at(0x20)), 0x88;
        jne ".bad";
        mov al, es_at(0x21);
        and al, 0x0F;
        cmp al, 4;
        ja ".bad";
        mov fs_at(CD_MEDIA), al;
        mov ax, es_at(0x22);
        test ax, ax;
        jnz ".segment";
        mov ax, 0x07C0;
        at ".segment";
        mov fs_at(CD_LOAD), ax;
        mov ax, es_at(0x26);
        test ax, ax;
        jnz ".counted";
        inc ax;
        at ".counted";
        mov fs_at(CD_COUNT), ax;
        mov eax, es_at(0x28);
        mov fs_at(CD_LBA), eax;
        // The image must end below the extended data area.
        movzx eax, word(fs_at(CD_COUNT));
        add eax, 3;
        shr eax, 2;
        mov fs_at(R_COUNT), ax;
        shl eax, 11;
        movzx ecx, word(fs_at(CD_LOAD));
        shl ecx, 4;
        add ecx, eax;
        cmp ecx, 0x9_F000;
        ja ".bad";
        mov word(fs_at(R_OFFSET)), 0;
        mov ax, fs_at(CD_LOAD);
        mov fs_at(R_SEGMENT), ax;
        mov eax, fs_at(CD_LBA);
        mov fs_at(R_LBA), eax;
        mov dword(fs_at(R_LBA + 4)), 0;
        mov word(fs_at(R_SKIP)), 0;
        mov word(fs_at(R_TAKE)), 0;
        call "cd_read";
        jc ".bad";
        // Its number: a CD's without emulation; else the first floppy or hard disk.
        mov al, fs_at(CD_MEDIA);
        mov dl, fs_at(CD_INDEX);
        add dl, 0xE0;
        test al, al;
        jz ".number";
        xor dl, dl;
        cmp al, 4;
        jne ".number";
        mov dl, 0x80;
        at ".number";
        mov fs_at(CD_NUMBER), dl;
        call "emulated_geometry";
        jc ".bad";
        mov byte(fs_at(CD_ACTIVE)), 1;
        cmp byte(fs_at(CD_MEDIA)), 1;
        jb ".done";
        cmp byte(fs_at(CD_MEDIA)), 4;
        je ".disk";
        or byte(EQUIPMENT), 1; // a floppy
        jmp ".done";
        at ".disk";
        inc byte(HD_COUNT);
        at ".done";
        mov ax, fs_at(CD_LOAD);
        mov es, ax;
        clc;
        ret;
        at ".no_disc";
        mov ah, 1;
        stc;
        ret;
        at ".bad";
        mov byte(fs_at(CD_MEDIA)), 0;
        mov ah, 2;
        stc;
        ret;

        at ".block"; // block EAX to ES:0
        mov fs_at(R_LBA), eax;
        mov dword(fs_at(R_LBA + 4)), 0;
        mov word(fs_at(R_COUNT)), 1;
        mov word(fs_at(R_OFFSET)), 0;
        mov ax, SCRATCH_SEG;
        mov fs_at(R_SEGMENT), ax;
        mov word(fs_at(R_SKIP)), 0;
        mov word(fs_at(R_TAKE)), 0;
        call "cd_read";
        mov ax, SCRATCH_SEG; // MOV keeps the carry
        mov es, ax;
        ret;
        at ".mark";
        db b"EL TORITO SPECIFICATION";
    }
}
