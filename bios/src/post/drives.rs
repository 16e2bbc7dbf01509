//! Which drives there are.
//!
//! AT Attachment with Packet Interface - 6, section 8.12 (IDENTIFY DEVICE) and 9.12 (signature). CHS translation for
//! INT 13h: "LBA assist" of the Phoenix Enhanced Disk Drive Specification.

use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    floppies(a);
    asm! { a;
        at "ide_start";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        // Bus-master ports of a PCI controller.
        xor bx, bx;
        at ".controller";
        xor di, di;
        call "pci_read16";
        cmp ax, 0xFFFF;
        je ".next_controller";
        mov di, 0x0A;
        call "pci_read16";
        cmp ax, 0x0101;
        je ".have_controller";
        at ".next_controller";
        inc bx;
        cmp bx, 0x100;
        jb ".controller";
        xor ax, ax;
        jmp ".master";
        at ".have_controller";
        mov di, 0x20;
        call "pci_read16";
        and ax, 0xFFF0u32;
        at ".master";
        mov si, ax;
        // Both channels.
        mov di, E_DRIVES;
        mov dx, 0x1F0;
        mov cl, 0;
        call "ide_channel";
        test si, si;
        jz ".second";
        add si, 8;
        at ".second";
        mov dx, 0x170;
        mov cl, 1;
        call "ide_channel";
        mov al, fs_at(E_HD_COUNT);
        mov [HD_COUNT], al;
        ret;

        // The drives of the channel with ports DX, bus master SI, number CL; into FS:DI, which moves on.
        at "ide_channel";
        mov ch, 2;
        mov al, 0x00;
        at ".drive";
        mov fs_at(di + D_SELECT), al;
        mov fs_at(di + D_COMMAND), dx;
        mov bx, dx;
        add bx, 0x206;
        mov fs_at(di + D_CONTROL), bx;
        mov fs_at(di + D_MASTER), si;
        mov fs_at(di + D_CHANNEL), cl;
        pushad;
        push ds;
        push es;
        call "ide_drive";
        pop es;
        pop ds;
        popad;
        add di, DRIVE_SIZE;
        mov al, 0x10;
        dec ch;
        jnz ".drive";
        ret;
    }
    drive(a);
    geometry(a);
}

fn floppies(a: &mut Asm) {
    asm! { a;
        at "floppy_start";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        xor bx, bx;
        at ".drive";
        call "floppy_kind";
        test al, al;
        jz ".none";
        cmp al, 5;
        ja ".none";
        inc byte(fs_at(E_FD_COUNT));
        mov si, ".name";
        call "print";
        mov ah, al;
        mov al, bl;
        add al, 0x41;
        call "print_char";
        mov al, ah;
        movzx si, al;
        add si, si;
        mov si, cs_at(si + a.o(".kinds") - 2);
        call "print";
        at ".none";
        inc bl;
        cmp bl, 2;
        jb ".drive";
        // Equipment: bit 0 any, bits 6-7 how many less one.
        and byte(EQUIPMENT), 0x3E;
        mov al, fs_at(E_FD_COUNT);
        test al, al;
        jz ".end";
        dec al;
        shl al, 6;
        or al, 1;
        or [EQUIPMENT], al;
        at ".end";
        mov byte(FD_HARDWARE), 0x77; // both drives known, with change lines
        ret;
        at ".name";
        text "Floppy ";
        at ".kinds";
        table &[".k1", ".k2", ".k3", ".k4", ".k5"];
        at ".k1";
        text ": 360 KB\r\n";
        at ".k2";
        text ": 1.2 MB\r\n";
        at ".k3";
        text ": 720 KB\r\n";
        at ".k4";
        text ": 1.44 MB\r\n";
        at ".k5";
        text ": 2.88 MB\r\n";
    }
}

fn drive(a: &mut Asm) {
    asm! { a;
        // Finds out about the drive whose ports are in FS:DI already.
        at "ide_drive";
        mov byte(fs_at(di + D_KIND)), 0;
        mov dx, fs_at(di + D_COMMAND);
        add dx, 7;
        in_ al, dx;
        cmp al, 0xFF; // nothing drives the bus
        je ".absent";
        cmp byte(fs_at(di + D_SELECT)), 0;
        jne ".was_reset";
        // Reset the channel once.
        mov dx, fs_at(di + D_CONTROL);
        mov al, 0x0E;
        out dx, al;
        mov cx, 100;
        at ".hold";
        out 0xED, al;
        loop_ ".hold";
        mov al, 0x0A;
        out dx, al;
        mov cx, 4000;
        at ".settle";
        out 0xED, al;
        loop_ ".settle";
        at ".was_reset";
        mov ah, 0xA0;
        call "ata_select";
        jc ".absent";
        // A drive keeps what is written to its registers.
        mov dx, fs_at(di + D_COMMAND);
        add dx, 3;
        in_ al, dx;
        mov bl, al;
        inc dx;
        in_ al, dx;
        mov cl, al;
        inc dx;
        in_ al, dx;
        mov ch, al; // CX: signature
        sub dx, 3;
        mov al, 0x55;
        out dx, al;
        inc dx;
        mov al, 0xAA;
        out dx, al;
        in_ al, dx;
        cmp al, 0xAA;
        jne ".absent";
        dec dx;
        in_ al, dx;
        cmp al, 0x55;
        jne ".absent";
        mov al, 0xA1; // IDENTIFY PACKET DEVICE
        cmp cx, 0xEB14;
        je ".identify";
        mov al, 0xEC; // IDENTIFY DEVICE
        at ".identify";
        mov bl, al;
        mov dx, fs_at(di + D_COMMAND);
        add dx, 7;
        out dx, al;
        call "ata_idle";
        jc ".absent";
        call "ata_idle";
        jc ".absent";
        test al, 0x21;
        jnz ".absent";
        test al, 0x08;
        jz ".absent";
        mov ax, SCRATCH_SEG;
        mov es, ax;
        mov dx, fs_at(di + D_COMMAND);
        push di;
        xor di, di;
        mov cx, 256;
        rep_insw;
        pop di;
        call "ata_finish";
        cmp bl, 0xA1;
        je ".packet";
        call "ide_disk";
        jmp ".name";
        at ".packet";
        mov byte(fs_at(di + D_KIND)), 2;
        movzx bx, byte(fs_at(E_CD_COUNT));
        inc byte(fs_at(E_CD_COUNT));
        call ".index";
        mov fs_at(bx + E_CD_MAP), al;
        at ".dma";
        test byte(es_at(49 * 2 + 1)), 0x01;
        jz ".model";
        or byte(fs_at(di + D_FLAGS)), 2;
        at ".model";
        // Its name, with the bytes of each word swapped.
        call ".index";
        movzx bx, al;
        imul_3 bx, bx, 40;
        add bx, E_MODELS;
        mov si, 27 * 2;
        mov cx, 20;
        at ".letters";
        mov ax, es_at(si);
        xchg al, ah;
        mov fs_at(bx), ax;
        add si, 2;
        add bx, 2;
        loop_ ".letters";
        call "print_drive";
        ret;
        at ".name";
        movzx bx, byte(fs_at(E_HD_COUNT));
        inc byte(fs_at(E_HD_COUNT));
        call ".index";
        mov fs_at(bx + E_HD_MAP), al;
        jmp ".dma";
        at ".absent";
        call "ata_finish";
        ret;

        at ".index"; // AL: number of the drive at FS:DI
        mov ax, di;
        sub ax, E_DRIVES;
        shr ax, 5;
        ret;

        // One line: what it is, its name and size.
        at "print_drive";
        mov ax, di;
        sub ax, E_DRIVES;
        shr ax, 5;
        movzx bx, al;
        imul_3 bx, bx, 40;
        add bx, E_MODELS;
        cmp byte(fs_at(di + D_KIND)), 2;
        je ".cd";
        mov si, ".hd_text";
        call "print";
        mov al, fs_at(E_HD_COUNT);
        call ".number";
        mov si, bx;
        mov cx, 40;
        call "print_padded";
        mov si, ".comma";
        call "print";
        mov eax, fs_at(di + D_SIZE);
        mov edx, fs_at(di + D_SIZE + 4);
        shrd eax, edx, 11;
        call "print_decimal";
        mov si, ".mib";
        jmp "print";
        at ".cd";
        mov si, ".cd_text";
        call "print";
        mov al, fs_at(E_CD_COUNT);
        call ".number";
        mov si, bx;
        mov cx, 40;
        call "print_padded";
        mov si, ".line";
        jmp "print";
        at ".number";
        add al, 0x30 - 1;
        call "print_char";
        mov si, ".colon";
        jmp "print";
        at ".hd_text";
        text "Hard disk ";
        at ".cd_text";
        text "CD drive ";
        at ".colon";
        text ": ";
        at ".comma";
        text ", ";
        at ".mib";
        text " MiB\r\n";
        at ".line";
        text "\r\n";
    }
}

fn geometry(a: &mut Asm) {
    asm! { a;
        // IDENTIFY data at ES:0, drive at FS:DI: sizes and the geometry that INT 13h shows.
        at "ide_disk";
        mov byte(fs_at(di + D_KIND)), 1;
        mov ax, es_at(2);
        mov fs_at(di + D_OWN_CYLINDERS), ax;
        mov al, es_at(3 * 2);
        mov fs_at(di + D_OWN_HEADS), al;
        mov al, es_at(6 * 2);
        mov fs_at(di + D_OWN_SECTORS), al;
        mov eax, es_at(60 * 2);
        xor edx, edx;
        test byte(es_at(83 * 2 + 1)), 0x04;
        jz ".sized";
        mov ecx, es_at(100 * 2);
        or ecx, es_at(102 * 2);
        jz ".sized";
        or byte(fs_at(di + D_FLAGS)), 1;
        mov eax, es_at(100 * 2);
        mov edx, es_at(102 * 2);
        at ".sized";
        mov fs_at(di + D_SIZE), eax;
        mov fs_at(di + D_SIZE + 4), edx;
        // As it is, where that fits.
        mov cx, fs_at(di + D_OWN_CYLINDERS);
        movzx bx, byte(fs_at(di + D_OWN_HEADS));
        movzx si, byte(fs_at(di + D_OWN_SECTORS));
        test cx, cx;
        jz ".assist";
        test bx, bx;
        jz ".assist";
        test si, si;
        jz ".assist";
        cmp cx, 1024;
        jbe ".set";
        at ".assist";
        mov si, 63;
        mov bx, 255;
        mov cx, 1024;
        test edx, edx;
        jnz ".set";
        cmp eax, 63 * 255 * 1024;
        jae ".set";
        mov ecx, 63;
        div ecx; // EAX: sectors / 63, that is heads times cylinders
        mov bx, 16;
        cmp eax, 16 * 1024;
        jbe ".heads";
        mov bx, 32;
        cmp eax, 32 * 1024;
        jbe ".heads";
        mov bx, 64;
        cmp eax, 64 * 1024;
        jbe ".heads";
        mov bx, 128;
        cmp eax, 128 * 1024;
        jbe ".heads";
        mov bx, 255;
        at ".heads";
        xor edx, edx;
        movzx ecx, bx;
        div ecx;
        mov cx, ax;
        test cx, cx;
        jnz ".whole";
        inc cx;
        at ".whole";
        cmp cx, 1024;
        jbe ".set";
        mov cx, 1024;
        at ".set";
        mov fs_at(di + D_CYLINDERS), cx;
        mov fs_at(di + D_HEADS), bx;
        mov fs_at(di + D_SECTORS), si;
        // Fixed-disk parameter tables of the first two.
        movzx ax, byte(fs_at(E_HD_COUNT));
        cmp al, 2;
        jae ".end";
        shl ax, 4;
        add ax, E_FDPT;
        xchg ax, bx; // BX: table, AX: heads
        mov fs_at(bx), cx;
        mov fs_at(bx + 2), al;
        mov byte(fs_at(bx + 3)), 0xA0; // translated
        mov cl, fs_at(di + D_OWN_SECTORS);
        mov fs_at(bx + 4), cl;
        mov word(fs_at(bx + 5)), 0xFFFF;
        mov byte(fs_at(bx + 8)), 0xC8; // more than eight heads
        mov cx, fs_at(di + D_OWN_CYLINDERS);
        mov fs_at(bx + 9), cx;
        mov cl, fs_at(di + D_OWN_HEADS);
        mov fs_at(bx + 11), cl;
        mov cx, si;
        mov fs_at(bx + 14), cl;
        xor al, al;
        mov cx, 15;
        at ".sum";
        add al, fs_at(bx);
        inc bx;
        loop_ ".sum";
        neg al;
        mov fs_at(bx), al;
        at ".end";
        ret;
    }
}
