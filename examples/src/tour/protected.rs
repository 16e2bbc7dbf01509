//! 32-bit code: the protected-mode page, and the road on to long mode. EBP is 0 for the page, 1 for the road.

use super::refs::{self, Refs};
use super::screen::{self, BAR, GREEN, GREY, WHITE, YELLOW, place_texts, print_lines, routines};
use super::{Code, at, real, sel, var};
use iced_x86::IcedError;
use iced_x86::code_asm::*;

/// What the page says: row, column, colours, text.
const LINES: &[(u32, u32, u8, &str)] = &[
    (0, 0, BAR, " Lucid86 tour: protected mode                                                   "),
    (2, 2, GREY, "CR0.PE is set. Segment registers now hold selectors: places in the GDT."),
    (4, 2, WHITE, "GDT at 00008010h"),
    (5, 4, GREY, "08h"),
    (6, 4, GREY, "10h"),
    (7, 4, GREY, "18h"),
    (8, 4, GREY, "20h"),
    (9, 4, GREY, "28h"),
    (5, 28, GREY, "code, base 0, limit 4 GiB, 32-bit: this code"),
    (6, 28, GREY, "data, base 0, limit 4 GiB: DS, ES, SS"),
    (7, 28, GREY, "code, 64-bit: for long mode"),
    (8, 28, GREY, "code, 16-bit: the way back"),
    (9, 28, GREY, "data, 64 KiB: the way back"),
    (11, 2, GREY, "CS"),
    (11, 12, GREY, "DS"),
    (11, 22, GREY, "SS"),
    (11, 32, GREY, "CR0"),
    (13, 2, WHITE, "IDT at 00002000h"),
    (13, 22, GREY, "the 8259A controllers now send interrupts 20h-2Fh"),
    (15, 4, GREY, "Timer interrupts (20h)"),
    (16, 4, GREY, "Last scan code (21h)"),
    (18, 2, GREY, "Each goes through a gate of the IDT; between them the processor sleeps (HLT)."),
    (24, 0, BAR, " Press any keys and watch; Enter goes back                                      "),
];

/// The page's program.
pub fn program() -> Code {
    refs::assemble(at::PROTECTED, emit)
}

fn emit(refs: &mut Refs) -> Result<CodeAssembler, IcedError> {
    let mut a = CodeAssembler::new(32)?;
    let mut puts = a.create_label();
    let mut hex = a.create_label();
    let mut clear = a.create_label();
    let timer = refs.spot(&mut a);
    let keyboard = refs.spot(&mut a);
    let other = refs.spot(&mut a);
    let mut to_long = a.create_label();
    let mut wait = a.create_label();
    let idtr = refs.spot(&mut a);

    a.mov(eax, u32::from(sel::DATA32))?;
    for s in [ds, es, fs, gs, ss] {
        a.mov(s, ax)?;
    }
    a.mov(esp, at::BOOT as u32)?;
    a.test(ebp, ebp)?;
    a.jnz(to_long)?;

    a.call(clear)?;
    let texts = print_lines!(a, refs, puts, LINES.iter().copied());
    // The descriptors as they stand in memory.
    for n in 1..6u32 {
        for (half, column) in [(4, 10), (0, 19)] {
            a.mov(ebx, dword_ptr(real::GDT as u32 + 8 * n + half))?;
            show(&mut a, hex, 4 + n, column, 8, GREEN)?;
        }
    }
    for (column, value) in [(5, cs), (15, ds), (25, ss)] {
        a.mov(ebx, value)?;
        show(&mut a, hex, 11, column, 4, GREEN)?;
    }
    a.mov(ebx, cr0)?;
    show(&mut a, hex, 11, 36, 8, GREEN)?;

    // 256 gates to `other`, then the two that matter: 32-bit interrupt gates, present, DPL 0.
    let mut gate = a.create_label();
    a.mov(eax, refs.address(other))?;
    a.mov(edi, at::IDT32 as u32)?;
    a.mov(ecx, 256)?;
    a.set_label(&mut gate)?;
    a.mov(word_ptr(edi), ax)?;
    a.mov(word_ptr(edi + 2), u32::from(sel::CODE32))?;
    a.mov(word_ptr(edi + 4), 0x8e00)?;
    a.mov(word_ptr(edi + 6), 0)?;
    a.add(edi, 8)?;
    a.dec(ecx)?;
    a.jnz(gate)?;
    for (vector, handler) in [(0x20u32, timer), (0x21, keyboard)] {
        a.mov(eax, refs.address(handler))?;
        a.mov(word_ptr(at::IDT32 as u32 + 8 * vector), ax)?;
    }
    a.mov(eax, refs.address(idtr))?;
    a.lidt(ptr(eax))?;
    a.mov(dword_ptr(var::TICKS as u32), 0)?;
    a.mov(dword_ptr(var::KEY as u32), 0)?;
    controllers(&mut a, 0x20, 0x28, 0xfc, 0xff)?;
    a.sti()?;
    a.set_label(&mut wait)?;
    a.hlt()?;
    a.mov(ebx, dword_ptr(var::TICKS as u32))?;
    show(&mut a, hex, 15, 30, 8, YELLOW)?;
    a.mov(ebx, dword_ptr(var::KEY as u32))?;
    show(&mut a, hex, 16, 30, 2, YELLOW)?;
    // Enter was pressed (scan code 1Ch).
    a.cmp(byte_ptr(var::KEY as u32), 0x1c)?;
    a.jne(wait)?;
    a.cli()?;
    controllers(&mut a, 0x08, 0x70, 0xb8, 0x8f)?;
    // JMP 20h:BACK_ENTRY: a 16-bit code segment, still in protected mode.
    a.db(&[0xea])?;
    a.dd(&[real::BACK_ENTRY])?;
    a.dw(&[sel::CODE16])?;

    // Handlers: count or read, then end of interrupt.
    refs.set(&mut a, timer)?;
    a.push(eax)?;
    a.inc(dword_ptr(var::TICKS as u32))?;
    a.mov(al, 0x20)?;
    a.out(0x20, al)?;
    a.pop(eax)?;
    a.iretd()?;
    refs.set(&mut a, keyboard)?;
    a.push(eax)?;
    a.in_(al, 0x60)?;
    a.mov(byte_ptr(var::KEY as u32), al)?;
    a.mov(al, 0x20)?;
    a.out(0x20, al)?;
    a.pop(eax)?;
    a.iretd()?;
    // Nothing else is expected: stop where it can be seen.
    refs.set(&mut a, other)?;
    a.hlt()?;
    a.jmp(refs.label(other))?;

    // To long mode: page tables, PAE, EFER.LME, paging on, far jump into a 64-bit code segment.
    a.set_label(&mut to_long)?;
    a.mov(edi, at::PML4 as u32)?;
    a.mov(ecx, 3 * 1024)?;
    a.xor(eax, eax)?;
    a.cld()?;
    a.rep().stosd()?;
    a.mov(dword_ptr(at::PML4 as u32), at::PDPT as u32 | 3)?;
    a.mov(dword_ptr(at::PDPT as u32), at::PD as u32 | 3)?;
    // Two 2 MiB pages: present, writable, large.
    a.mov(dword_ptr(at::PD as u32), 0x83)?;
    a.mov(dword_ptr(at::PD as u32 + 8), 0x20_0083)?;
    a.mov(eax, cr4)?;
    a.or(eax, 1 << 5)?;
    a.mov(cr4, eax)?;
    a.mov(eax, at::PML4 as u32)?;
    a.mov(cr3, eax)?;
    a.mov(ecx, 0xc000_0080u32)?;
    a.rdmsr()?;
    a.or(eax, 1 << 8)?;
    a.wrmsr()?;
    a.mov(eax, cr0)?;
    a.or(eax, 0x8000_0000u32)?;
    a.mov(cr0, eax)?;
    a.db(&[0xea])?;
    a.dd(&[at::LONG as u32])?;
    a.dw(&[sel::CODE64])?;

    routines!(a, esi, edi, ebx, ecx, puts, hex, clear);
    refs.set(&mut a, idtr)?;
    a.dw(&[256 * 8 - 1])?;
    a.dd(&[at::IDT32 as u32])?;
    place_texts!(a, refs, texts);
    let names = [
        ("timer", refs.label(timer)),
        ("keyboard", refs.label(keyboard)),
        ("other", refs.label(other)),
        ("puts", puts),
        ("hex", hex),
        ("clear", clear),
        ("gate", gate),
        ("wait", wait),
        ("to_long", to_long),
    ];
    refs.name(&names);
    Ok(a)
}

fn show(
    a: &mut CodeAssembler,
    hex: CodeLabel,
    row: u32,
    column: u32,
    digits: u32,
    colour: u8,
) -> Result<(), IcedError> {
    a.mov(edi, screen::cell(row, column))?;
    a.mov(ah, u32::from(colour))?;
    a.mov(ecx, digits)?;
    a.call(hex)
}

/// Programs both 8259As: first vectors, and which requests are masked (8259A datasheet: ICW1 to ICW4, OCW1).
pub fn controllers(
    a: &mut CodeAssembler,
    first: u32,
    second: u32,
    mask1: u32,
    mask2: u32,
) -> Result<(), IcedError> {
    let words = [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, first),
        (0xa1, second),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, mask1),
        (0xa1, mask2),
    ];
    for (port, value) in words {
        a.mov(al, value)?;
        a.out(port, al)?;
    }
    Ok(())
}
