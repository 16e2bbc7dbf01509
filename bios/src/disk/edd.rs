//! INT 13h extensions: packets with sector numbers. Phoenix Enhanced Disk Drive Specification 1.1; 3.0 for the
//! device path.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // Hard disks. FS:DI: drive, AH: function.
        at "edd";
        cmp ah, 0x4E;
        ja "disk_bad";
        movzx si, ah;
        sub si, 0x41;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            "edd_present", ".read", ".write", ".verify", "disk_ok", "disk_bad", ".seek", "edd_parameters",
            ".change", "disk_bad", "disk_bad", "disk_bad", "disk_bad", "disk_ok"
        ];
        at ".change";
        mov ah, 0x06;
        jmp "disk_fail";
        at ".read";
        mov byte(fs_at(R_OP)), 0;
        jmp ".access";
        at ".write";
        mov byte(fs_at(R_OP)), 1;
        jmp ".access";
        at ".verify";
        mov byte(fs_at(R_OP)), 2;
        at ".access";
        call "edd_packet";
        jc "disk_bad";
        call "edd_inside";
        jc "disk_bad";
        call "ata_transfer";
        at "edd_end";
        // Sectors done, also after an error.
        mov si, [bp + caller::SI];
        mov dx, [bp + caller::DS];
        mov es, dx;
        mov dx, fs_at(R_DONE);
        mov es_at(si + 2), dx;
        jc "disk_fail";
        jmp "disk_ok";
        at "edd.seek";
        call "edd_packet";
        jc "disk_bad";
        mov word(fs_at(R_COUNT)), 1;
        call "edd_inside";
        jc "disk_bad";
        jmp "disk_ok";

        at "edd_present";
        cmp word(bp + caller::BX), 0x55AA;
        jne "disk_bad";
        mov word(bp + caller::BX), 0xAA55;
        mov word(bp + caller::CX), 0x0007; // packets, removable media, drive parameters
        mov byte(HD_STATUS), 0;
        mov byte(bp + caller::AH), 0x30;
        and byte(bp + caller::FLAGS), 0xFE;
        jmp "disk_done";

        // Takes the packet at the caller's DS:SI into the request. Carry if it isn't one.
        at "edd_packet";
        mov si, [bp + caller::SI];
        mov ax, [bp + caller::DS];
        mov es, ax;
        cmp byte(es_at(si)), 16;
        jb ".bad";
        mov ax, es_at(si + 2);
        mov fs_at(R_COUNT), ax;
        mov word(fs_at(R_DONE)), 0;
        mov eax, es_at(si + 4);
        cmp eax, 0xFFFF_FFFFu32; // a 64-bit address follows: not supported
        je ".bad";
        mov fs_at(R_OFFSET), eax;
        mov eax, es_at(si + 8);
        mov fs_at(R_LBA), eax;
        mov eax, es_at(si + 12);
        mov fs_at(R_LBA + 4), eax;
        clc;
        ret;
        at ".bad";
        stc;
        ret;

        // Carry if the request reaches behind the drive's end.
        at "edd_inside";
        mov eax, fs_at(R_LBA);
        mov edx, fs_at(R_LBA + 4);
        movzx ecx, word(fs_at(R_COUNT));
        add eax, ecx;
        adc edx, 0;
        jc ".end";
        mov ecx, fs_at(di + D_SIZE);
        sub ecx, eax;
        mov ecx, fs_at(di + D_SIZE + 4);
        sbb ecx, edx;
        at ".end";
        ret;
    }
    parameters(a);
}

fn parameters(a: &mut Asm) {
    asm! { a;
        at "edd_parameters"; // buffer at the caller's DS:SI, its size in its first word
        mov si, [bp + caller::SI];
        mov ax, [bp + caller::DS];
        mov es, ax;
        mov dx, es_at(si);
        cmp dx, 26;
        jb "disk_bad";
        cmp byte(fs_at(di + D_KIND)), 2;
        je ".cd";
        mov ax, 0x0002; // geometry is valid, errors at 64 KiB are handled
        movzx ecx, word(fs_at(di + D_OWN_CYLINDERS));
        cmp dword(fs_at(di + D_SIZE + 4)), 0;
        jne ".large";
        cmp dword(fs_at(di + D_SIZE)), 16383 * 16 * 63;
        jbe ".geometry";
        at ".large";
        xor ax, ax;
        mov cx, 16383;
        at ".geometry";
        mov es_at(si + 2), ax;
        mov es_at(si + 4), ecx;
        movzx eax, byte(fs_at(di + D_OWN_HEADS));
        mov es_at(si + 8), eax;
        movzx eax, byte(fs_at(di + D_OWN_SECTORS));
        mov es_at(si + 12), eax;
        mov eax, fs_at(di + D_SIZE);
        mov es_at(si + 16), eax;
        mov eax, fs_at(di + D_SIZE + 4);
        mov es_at(si + 20), eax;
        mov word(es_at(si + 24)), 512;
        jmp ".rest";
        at ".cd";
        mov word(es_at(si + 2)), 0x0074; // removable, lockable, change line, no geometry
        mov eax, 0xFFFF_FFFFu32;
        mov es_at(si + 4), eax;
        mov es_at(si + 8), eax;
        mov es_at(si + 12), eax;
        mov es_at(si + 16), eax;
        mov es_at(si + 20), eax;
        mov word(es_at(si + 24)), 2048;
        at ".rest";
        mov word(es_at(si)), 26;
        cmp dx, 30;
        jb "disk_ok";
        // Where the drive's ports are.
        mov word(es_at(si)), 30;
        mov word(es_at(si + 26)), E_DPTE;
        mov es_at(si + 28), fs;
        call ".extension";
        cmp dx, 66;
        jb "disk_ok";
        // Device path: bus and interface by name, then where.
        mov word(es_at(si)), 66;
        mov word(es_at(si + 30)), 0xBEDD;
        mov word(es_at(si + 32)), 36;
        mov word(es_at(si + 34)), 0;
        mov dword(es_at(si + 36)), 0x2049_4350; // "PCI "
        mov dword(es_at(si + 40)), 0x2041_5441; // "ATA "
        mov dword(es_at(si + 44)), 0x2020_2020;
        mov eax, 0x0001_0100; // bus 0, device 1, function 1
        mov es_at(si + 48), eax;
        movzx eax, byte(fs_at(di + D_CHANNEL));
        mov es_at(si + 51), al;
        mov dword(es_at(si + 52)), 0;
        mov al, fs_at(di + D_SELECT);
        shr al, 4;
        mov es_at(si + 56), eax;
        mov dword(es_at(si + 60)), 0;
        mov word(es_at(si + 64)), 0;
        mov cx, 35;
        mov bx, 30;
        xor al, al;
        at ".sum";
        add al, es_at(bx + si);
        inc bx;
        loop_ ".sum";
        neg al;
        mov es_at(si + 65), al;
        jmp "disk_ok";

        at ".extension";
        mov eax, fs_at(di + D_COMMAND); // both ports
        mov fs_at(E_DPTE), eax;
        mov al, fs_at(di + D_SELECT);
        or al, 0xE0;
        mov fs_at(E_DPTE + 4), al;
        mov byte(fs_at(E_DPTE + 5)), 0xCB;
        mov al, fs_at(di + D_CHANNEL);
        add al, 14;
        mov fs_at(E_DPTE + 6), al;
        mov byte(fs_at(E_DPTE + 7)), 1;
        mov word(fs_at(E_DPTE + 8)), 0;
        mov ax, 0x0010; // LBA
        cmp byte(fs_at(di + D_KIND)), 2;
        jne ".options";
        mov ax, 0x0070; // and removable, ATAPI
        at ".options";
        mov fs_at(E_DPTE + 10), ax;
        mov word(fs_at(E_DPTE + 12)), 0;
        mov byte(fs_at(E_DPTE + 14)), 0x11;
        xor al, al;
        mov bx, E_DPTE;
        mov cx, 15;
        at ".add";
        add al, fs_at(bx);
        inc bx;
        loop_ ".add";
        neg al;
        mov fs_at(bx), al;
        ret;
    }
}
