//! Local APIC in virtual-wire mode and memory types, on processors that have them.
//!
//! Intel SDM volume 3, "Advanced Programmable Interrupt Controller" and "Memory Type Range Registers"; MultiProcessor
//! Specification 1.4, section 3.6.2.2. The other processors get the same memory types from a start-up IPI; then they
//! halt.

use crate::areas::*;
use crate::asm::{Asm, asm};

const FIXED_WB: i32 = 0x0606_0606;
const FIXED_UC: i32 = 0;
const FIXED_WP: i32 = 0x0505_0505;

/// MSR numbers of the fixed ranges and their type.
const FIXED: [(i32, i32); 11] = [
    (0x250, FIXED_WB),
    (0x258, FIXED_WB),
    (0x259, FIXED_UC),
    (0x268, FIXED_WP),
    (0x269, FIXED_WP),
    (0x26A, FIXED_WP),
    (0x26B, FIXED_WP),
    (0x26C, FIXED_WP),
    (0x26D, FIXED_WP),
    (0x26E, FIXED_WP),
    (0x26F, FIXED_WP),
];

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "cpu_setup";
        call "cpu_features"; // EDX, 0 without CPUID
        test dh, 0x02;
        jz ".no_apic";
        push edx;
        call "flat_fs";
        mov ebx, 0xFEE0_0000u32;
        mov dword(fs_at(ebx + 0xF0)), 0x1FF; // enabled, spurious vector FFh
        mov dword(fs_at(ebx + 0x350)), 0x8700; // LINT0: ExtINT, level
        mov dword(fs_at(ebx + 0x360)), 0x8400; // LINT1: NMI, level
        pop edx;
        test dh, 0x10;
        jz ".others";
        call "set_memory_types";
        at ".others";
        // Start-up IPI to all but ourselves, at a page below 1 MiB. 5Fh in CMOS: how many others there are.
        mov al, 0x5F;
        call "cmos_read";
        test al, al;
        jz ".restore";
        xor ax, ax;
        mov es, ax;
        mov byte(es_at(0x8000)), 0xEA; // JMP F000:...
        mov ax, "other_cpu";
        mov es_at(0x8001), ax;
        mov word(es_at(0x8003)), 0xF000;
        mov dword(es_at(0x8010)), 0;
        mov dword(fs_at(ebx + 0x300)), 0x000C_4500;
        call ".pause";
        mov dword(fs_at(ebx + 0x300)), 0x000C_4608;
        call ".pause";
        at ".restore";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        at ".no_apic";
        ret;
        at ".pause"; // some milliseconds: eight times 256 refresh toggles of 15 us
        mov cx, 0x800;
        at ".toggle";
        in_ al, 0x61;
        loop_ ".toggle";
        ret;

        at "other_cpu";
        cli;
        xor ax, ax;
        mov ds, ax;
        // No stack here: the others run at the same time, so no calls.
        mov si, ".types_done";
        jmp "memory_types_inline";
        at ".types_done";
        at ".sleep";
        cli;
        hlt;
        jmp ".sleep";

        at "set_memory_types";
        push ebx;
        mov si, ".back";
        jmp "memory_types_inline";
        at ".back";
        pop ebx;
        ret;

        // Goes on at SI. Clobbers EAX, ECX, EDX, DI.
        at "memory_types_inline";
        mov di, ".fixed";
        at ".next";
        mov ecx, cs_at(di);
        test ecx, ecx;
        jz ".variable";
        mov eax, cs_at(di + 4);
        mov edx, eax;
        wrmsr;
        add di, 8;
        jmp ".next";
        at ".variable";
        // The PCI hole uncached: the last GiB below 4 GiB, or half of it where RAM reaches into it.
        mov al, 0x35 | 0x80u8 as i32;
        out 0x70, al;
        in_ al, 0x71;
        cmp al, 0xBF;
        mov eax, 0xC000_0000u32;
        jb ".hole";
        mov eax, 0xE000_0000u32;
        at ".hole";
        xor edx, edx;
        mov ecx, 0x200;
        wrmsr;
        or eax, 0x800;
        mov edx, 0xFF;
        mov ecx, 0x201;
        wrmsr;
        mov ecx, 0x2FF;
        mov eax, 0xC06; // on, fixed ranges too, write back elsewhere
        xor edx, edx;
        wrmsr;
        jmp_to si;
        at ".fixed";
    }
    for (msr, kind) in FIXED {
        asm! { a; dd msr; dd kind; }
    }
    asm! { a;
        dd 0;

        // EDX: CPUID leaf 1 feature bits, 0 if there is no CPUID.
        at "cpu_features";
        pushfd;
        pop eax;
        mov ecx, eax;
        xor eax, 0x20_0000;
        push eax;
        popfd;
        pushfd;
        pop eax;
        push ecx;
        popfd;
        xor eax, ecx;
        test eax, 0x20_0000;
        jz ".none";
        xor eax, eax;
        cpuid;
        test eax, eax;
        jz ".none";
        mov eax, 1;
        cpuid;
        ret;
        at ".none";
        xor edx, edx;
        ret;
    }
}
