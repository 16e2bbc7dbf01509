//! INT 1Ah AH=B1h: the PCI BIOS for 16-bit callers. PCI BIOS Specification 2.1.

use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // From INT 1Ah, in its frame. AL: function.
        at "pci_bios";
        cmp al, 0x01;
        je ".present";
        cmp al, 0x02;
        je ".find";
        cmp al, 0x03;
        je ".find_class";
        cmp al, 0x08;
        jb ".no_function";
        cmp al, 0x0D;
        jbe ".configuration";
        cmp al, 0x0E;
        je ".routing";
        at ".no_function";
        mov ah, 0x81;
        jmp "fail_ah";

        at ".present";
        mov dword(bp + caller::EDX), 0x2049_4350; // "PCI "
        mov byte(bp + caller::AL), 1; // mechanism 1
        mov word(bp + caller::BX), 0x0210;
        mov byte(bp + caller::CL), 0; // last bus
        jmp "ok";

        at ".find"; // CX device, DX vendor, SI index
        mov eax, [bp + caller::ECX];
        shl eax, 16;
        mov ax, [bp + caller::DX];
        cmp ax, 0xFFFF;
        je ".bad_vendor";
        mov esi, eax;
        xor di, di;
        mov ecx, 0xFFFF_FFFFu32;
        call ".search";
        jmp ".found";

        at ".find_class"; // ECX class, SI index
        mov esi, [bp + caller::ECX];
        shl esi, 8;
        mov di, 8;
        mov ecx, 0xFFFF_FF00u32;
        call ".search";
        at ".found";
        jc ".not_found";
        mov [bp + caller::BX], bx;
        jmp "ok";
        at ".not_found";
        mov ah, 0x86;
        jmp "fail_ah";
        at ".bad_vendor";
        mov ah, 0x83;
        jmp "fail_ah";

        // BX: the caller's SI-th function whose register DI, under mask ECX, is ESI.
        at ".search";
        mov dx, [bp + caller::SI];
        xor bx, bx;
        at ".next";
        push di;
        xor di, di;
        call "pci_read16";
        pop di;
        cmp ax, 0xFFFF;
        je ".absent";
        call "pci_read32";
        and eax, ecx;
        cmp eax, esi;
        jne ".other";
        sub dx, 1;
        jc ".this";
        at ".other";
        test bl, 7;
        jnz ".step";
        push di;
        mov di, 0x0E;
        call "pci_read8";
        pop di;
        test al, 0x80;
        jnz ".step";
        at ".absent";
        test bl, 7;
        jnz ".step";
        add bx, 7;
        at ".step";
        inc bx;
        cmp bx, 0x100;
        jb ".next";
        stc;
        ret;
        at ".this";
        clc;
        ret;

        at ".configuration"; // 08 to 0D: read byte, word, dword, write byte, word, dword
        mov bx, [bp + caller::BX];
        mov di, [bp + caller::DI];
        cmp di, 0x100;
        jae ".bad_register";
        mov ecx, [bp + caller::ECX];
        sub al, 8;
        movzx si, al;
        // Words on even, doublewords on fourth addresses.
        mov ah, cs_at(si + a.o(".masks"));
        mov dx, di;
        test dl, ah;
        jnz ".bad_register";
        add si, si;
        jmp_to word(cs_at(si + a.o(".accesses")));
        at ".bad_register";
        mov ah, 0x87;
        jmp "fail_ah";
        at ".masks";
        db &[0, 1, 3, 0, 1, 3];
        at ".accesses";
        table &[".read8", ".read16", ".read32", ".write8", ".write16", ".write32"];
        at ".read8";
        call "pci_read8";
        mov [bp + caller::CL], al;
        jmp "ok";
        at ".read16";
        call "pci_read16";
        mov [bp + caller::CX], ax;
        jmp "ok";
        at ".read32";
        call "pci_read32";
        mov [bp + caller::ECX], eax;
        jmp "ok";
        at ".write8";
        call "pci_write8";
        jmp "ok";
        at ".write16";
        call "pci_write16";
        jmp "ok";
        at ".write32";
        call "pci_write32";
        jmp "ok";

        // ES:DI: buffer length, far pointer. The slots from the $PIR table, if the machine brought one.
        at ".routing";
        mov di, [bp + caller::DI];
        xor esi, esi;
        at ".scan";
        cmp dword(cs_at(si)), 0x5249_5024; // "$PIR"
        je ".have";
        add si, 16;
        cmp si, crate::ANCHORS_SIZE as i32;
        jb ".scan";
        jmp ".no_function";
        at ".have";
        mov cx, cs_at(si + 6);
        sub cx, 32;
        mov ax, es_at(di);
        mov es_at(di), cx;
        cmp ax, cx;
        jb ".too_small";
        mov bx, cs_at(si + 10);
        mov [bp + caller::BX], bx;
        add si, 32;
        les di, es_at(di + 2);
        at ".copy";
        mov al, cs_at(si);
        stosb;
        inc si;
        loop_ ".copy";
        jmp "ok";
        at ".too_small";
        mov ah, 0x89;
        jmp "fail_ah";
    }
}
