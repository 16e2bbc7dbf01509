//! INT 13h on the floppy or hard disk that a boot image on a CD stands for. "El Torito" Bootable CD-ROM Format
//! Specification 1.0, section 4.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "emulated_disk";
        cmp ah, 0x16;
        jae "disk_bad";
        movzx si, ah;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            "disk_ok", ".status", ".read", ".protected", ".verify", ".protected", "disk_bad", "disk_bad",
            ".parameters", "disk_ok", "disk_bad", "disk_bad", "disk_ok", "disk_ok", "disk_bad", "disk_bad", "disk_ok",
            "disk_ok", "disk_bad", "disk_bad", "disk_ok", ".kind"
        ];
        at ".status";
        mov ah, [HD_STATUS];
        mov [bp + caller::AH], ah;
        test ah, ah;
        jz "no_carry";
        jmp "carry";
        at ".protected";
        mov ah, 0x03;
        jmp "disk_fail";

        at ".parameters";
        mov cx, fs_at(CD_CYLINDERS);
        dec cx;
        xchg cl, ch;
        shl cl, 6;
        or cl, fs_at(CD_SECTORS);
        mov [bp + caller::CX], cx;
        mov al, fs_at(CD_HEADS);
        dec al;
        mov [bp + caller::DH], al;
        mov byte(bp + caller::AL), 0;
        cmp byte(fs_at(CD_MEDIA)), 4;
        je ".disks";
        mov bl, fs_at(CD_MEDIA);
        add bl, 1; // 1.2M 2, 1.44M 4, 2.88M 5 or 6
        cmp bl, 3;
        jb ".drive_kind";
        inc bl;
        at ".drive_kind";
        mov bh, 0;
        mov [bp + caller::BX], bx;
        mov ax, "fixed_diskette_parameters";
        mov [bp + caller::DI], ax;
        mov word(bp + caller::ES), 0xF000;
        mov al, fs_at(E_FD_COUNT);
        jmp ".count";
        at ".disks";
        mov al, fs_at(E_HD_COUNT);
        at ".count";
        inc al;
        mov [bp + caller::DL], al;
        jmp "disk_ok";

        at ".kind";
        cmp byte(fs_at(CD_MEDIA)), 4;
        je ".disk_kind";
        mov byte(bp + caller::AH), 1;
        jmp "no_carry";
        at ".disk_kind";
        mov ax, fs_at(CD_CYLINDERS);
        mul word(fs_at(CD_HEADS));
        shl edx, 16;
        mov dx, ax;
        movzx eax, word(fs_at(CD_SECTORS));
        mul edx;
        mov [bp + caller::DX], ax;
        shr eax, 16;
        mov [bp + caller::CX], ax;
        mov byte(bp + caller::AH), 3;
        jmp "no_carry";

        at ".verify";
        call ".address";
        jc "disk_bad";
        jmp "disk_ok";
        at ".read";
        call ".address";
        jc "disk_bad";
        movzx bx, byte(fs_at(CD_INDEX));
        movzx di, byte(fs_at(bx + E_CD_MAP));
        shl di, 5;
        add di, E_DRIVES;
        at ".more";
        mov bx, fs_at(X_LEFT);
        test bx, bx;
        jz "disk_ok";
        mov eax, fs_at(X_SECTOR);
        mov ecx, eax;
        shr eax, 2;
        add eax, fs_at(CD_LBA);
        mov fs_at(R_LBA), eax;
        mov dword(fs_at(R_LBA + 4)), 0;
        mov ax, fs_at(X_OFFSET);
        mov fs_at(R_OFFSET), ax;
        mov ax, fs_at(X_SEGMENT);
        mov fs_at(R_SEGMENT), ax;
        and cx, 3;
        jnz ".part";
        cmp bx, 4;
        jb ".part";
        // Whole blocks.
        shr bx, 2;
        mov fs_at(R_COUNT), bx;
        mov word(fs_at(R_SKIP)), 0;
        mov word(fs_at(R_TAKE)), 0;
        shl bx, 2;
        jmp ".go";
        at ".part"; // BX: as many as the block still has
        mov ax, 4;
        sub ax, cx;
        cmp bx, ax;
        jbe ".fits";
        mov bx, ax;
        at ".fits";
        mov word(fs_at(R_COUNT)), 1;
        shl cx, 8;
        mov fs_at(R_SKIP), cx;
        mov ax, bx;
        shl ax, 8;
        mov fs_at(R_TAKE), ax;
        at ".go";
        push bx;
        call "cd_read";
        pop bx;
        jc "disk_fail";
        movzx eax, bx;
        add fs_at(X_SECTOR), eax;
        sub fs_at(X_LEFT), bx;
        shl bx, 5;
        add fs_at(X_SEGMENT), bx;
        jmp ".more";

        // The request from the caller's registers; carry if it makes no sense.
        at ".address";
        movzx eax, byte(bp + caller::AL);
        test al, al;
        jz ".none";
        mov fs_at(X_LEFT), ax;
        mov ax, [bp + caller::BX];
        mov fs_at(X_OFFSET), ax;
        mov ax, [bp + caller::ES];
        mov fs_at(X_SEGMENT), ax;
        mov cx, [bp + caller::CX];
        movzx ebx, cl;
        and bl, 0x3F;
        jz ".none";
        cmp bx, fs_at(CD_SECTORS);
        ja ".none";
        movzx eax, ch;
        shr cl, 6;
        mov ah, cl;
        cmp ax, fs_at(CD_CYLINDERS);
        jae ".none";
        movzx ecx, word(fs_at(CD_HEADS));
        mul ecx;
        movzx edx, byte(bp + caller::DH);
        cmp dx, cx;
        jae ".none";
        add eax, edx;
        movzx ecx, word(fs_at(CD_SECTORS));
        mul ecx;
        lea eax, [eax + ebx - 1];
        mov fs_at(X_SECTOR), eax;
        clc;
        ret;
        at ".none";
        stc;
        ret;

        // Cylinders, heads and sectors for CD_MEDIA; a hard disk's from the partition table of the image that has been
        // loaded. Carry if that has none.
        at "emulated_geometry";
        mov al, fs_at(CD_MEDIA);
        mov word(fs_at(CD_CYLINDERS)), 80;
        mov word(fs_at(CD_HEADS)), 2;
        mov bx, 15;
        cmp al, 2;
        jb ".floppy";
        mov bx, 18;
        je ".floppy";
        mov bx, 36;
        cmp al, 4;
        jb ".floppy";
        mov ax, fs_at(CD_LOAD);
        mov es, ax;
        movzx ecx, byte(es_at(446 + 6));
        mov al, cl;
        and cl, 0x3F;
        mov bx, cx; // sectors
        jz ".none";
        mov ah, al;
        mov al, es_at(446 + 7);
        shr ah, 6;
        movzx esi, ax; // last cylinder
        movzx edi, byte(es_at(446 + 5)); // last head
        // The partition's last sector by number. If it doesn't end with a cylinder, it tells how many heads there are.
        mov eax, es_at(446 + 8);
        add eax, es_at(446 + 12);
        push eax;
        dec eax;
        xor edx, edx;
        div ecx;
        sub eax, edi;
        jb ".by_head";
        test esi, esi;
        jz ".by_head";
        xor edx, edx;
        div esi;
        test edx, edx;
        jnz ".by_head";
        cmp eax, edi;
        jbe ".by_head";
        cmp eax, 255;
        jbe ".heads";
        at ".by_head";
        lea eax, [edi + 1];
        at ".heads";
        mov fs_at(CD_HEADS), ax;
        mul ecx;
        mov ecx, eax;
        pop eax;
        lea eax, [eax + ecx - 1];
        xor edx, edx;
        div ecx;
        cmp eax, 1024;
        jbe ".cylinders";
        mov ax, 1024;
        at ".cylinders";
        mov fs_at(CD_CYLINDERS), ax;
        at ".floppy";
        mov fs_at(CD_SECTORS), bx;
        clc;
        ret;
        at ".none";
        stc;
        ret;
    }
}
