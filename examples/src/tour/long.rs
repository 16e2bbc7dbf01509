//! 64-bit code: the long-mode page, and the way back to 32-bit code.

use super::protected::controllers;
use super::refs::{self, Refs};
use super::screen::{self, BAR, GREEN, GREY, WHITE, YELLOW, place_texts, print_lines, routines};
use super::{Code, at, real, sel, var};
use iced_x86::IcedError;
use iced_x86::code_asm::*;

const LINES: &[(u32, u32, u8, &str)] = &[
    (0, 0, BAR, " Lucid86 tour: long mode                                                        "),
    (2, 2, GREY, "Paging is on, and this code runs with 64-bit registers."),
    (4, 2, GREY, "CR0"),
    (4, 30, GREY, "CR3"),
    (5, 2, GREY, "CR4"),
    (5, 30, GREY, "EFER"),
    (5, 60, GREY, "LME 100h, LMA 400h"),
    (7, 2, WHITE, "The page tables that translate this text's own address, 000B8000h"),
    (8, 4, GREY, "PML4 entry   0 at 10000h"),
    (9, 4, GREY, "PDPT entry   0 at 11000h"),
    (10, 4, GREY, "PD entry     0 at 12000h"),
    (8, 50, GREY, "-> PDPT"),
    (9, 50, GREY, "-> page directory"),
    (10, 50, GREY, "a 2 MiB page: A accessed 20h,"),
    (11, 50, GREY, "D dirty 40h, PS large 80h"),
    (13, 2, GREY, "RSP"),
    (13, 30, GREY, "RIP"),
    (14, 2, GREY, "R15 = 0123456789ABCDEFh * 2 ="),
    (16, 4, GREY, "Timer interrupts (20h)"),
    (17, 4, GREY, "Last scan code (21h)"),
    (19, 2, GREY, "Gates are 16 bytes long now; segment bases and limits no longer count."),
    (24, 0, BAR, " Press any keys and watch; Enter goes back to real mode                         "),
];

/// The page's program.
pub fn program() -> Code {
    refs::assemble(at::LONG, emit)
}

fn emit(refs: &mut Refs) -> Result<CodeAssembler, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let mut puts = a.create_label();
    let mut hex = a.create_label();
    let mut clear = a.create_label();
    let timer = refs.spot(&mut a);
    let keyboard = refs.spot(&mut a);
    let other = refs.spot(&mut a);
    let mut wait = a.create_label();
    let idtr = refs.spot(&mut a);
    let leave = refs.spot(&mut a);

    a.mov(esp, at::BOOT as u32)?;
    a.call(clear)?;
    let texts = print_lines!(a, refs, puts, LINES.iter().copied());
    a.mov(rbx, cr0)?;
    show(&mut a, hex, 4, 7, 16, GREEN)?;
    a.mov(rbx, cr3)?;
    show(&mut a, hex, 4, 36, 16, GREEN)?;
    a.mov(rbx, cr4)?;
    show(&mut a, hex, 5, 7, 16, GREEN)?;
    a.mov(ecx, 0xc000_0080u32)?;
    a.rdmsr()?;
    a.mov(ebx, eax)?;
    show(&mut a, hex, 5, 36, 16, GREEN)?;
    for (row, table) in [(8, at::PML4), (9, at::PDPT), (10, at::PD)] {
        a.mov(ebx, table as u32)?;
        a.mov(rbx, qword_ptr(rbx))?;
        show(&mut a, hex, row, 31, 16, GREEN)?;
    }
    a.mov(rbx, rsp)?;
    show(&mut a, hex, 13, 7, 16, GREEN)?;
    let here = refs.spot(&mut a);
    refs.set(&mut a, here)?;
    a.mov(ebx, refs.address(here))?;
    show(&mut a, hex, 13, 36, 16, GREEN)?;
    a.mov(r15, 0x0123_4567_89ab_cdefu64)?;
    a.add(r15, r15)?;
    a.mov(rbx, r15)?;
    show(&mut a, hex, 14, 36, 16, GREEN)?;

    let mut gate = a.create_label();
    a.mov(eax, refs.address(other))?;
    a.mov(edi, at::IDT64 as u32)?;
    a.mov(ecx, 256)?;
    a.set_label(&mut gate)?;
    a.mov(word_ptr(rdi), ax)?;
    a.mov(word_ptr(rdi + 2), u32::from(sel::CODE64))?;
    a.mov(word_ptr(rdi + 4), 0x8e00)?;
    a.mov(word_ptr(rdi + 6), 0)?;
    a.mov(qword_ptr(rdi + 8), 0)?;
    a.add(rdi, 16)?;
    a.dec(ecx)?;
    a.jnz(gate)?;
    for (vector, handler) in [(0x20u32, timer), (0x21, keyboard)] {
        a.mov(eax, refs.address(handler))?;
        a.mov(edi, at::IDT64 as u32 + 16 * vector)?;
        a.mov(word_ptr(rdi), ax)?;
    }
    a.mov(eax, refs.address(idtr))?;
    a.lidt(ptr(rax))?;
    a.mov(dword_ptr(var::TICKS), 0)?;
    a.mov(dword_ptr(var::KEY), 0)?;
    controllers(&mut a, 0x20, 0x28, 0xfc, 0xff)?;
    a.sti()?;
    a.set_label(&mut wait)?;
    a.hlt()?;
    a.mov(ebx, dword_ptr(var::TICKS))?;
    show(&mut a, hex, 16, 30, 8, YELLOW)?;
    a.mov(ebx, dword_ptr(var::KEY))?;
    show(&mut a, hex, 17, 30, 2, YELLOW)?;
    a.cmp(byte_ptr(var::KEY), 0x1c)?;
    a.jne(wait)?;
    a.cli()?;
    controllers(&mut a, 0x08, 0x70, 0xb8, 0x8f)?;
    // To a 32-bit code segment (compatibility mode) by a far return; there paging, LME and PAE go off.
    a.push(u32::from(sel::CODE32) as i32)?;
    a.mov(eax, refs.address(leave))?;
    a.push(rax)?;
    a.db(&[0x48, 0xcb])?; // RETFQ

    refs.set(&mut a, timer)?;
    a.push(rax)?;
    a.inc(dword_ptr(var::TICKS))?;
    a.mov(al, 0x20)?;
    a.out(0x20, al)?;
    a.pop(rax)?;
    a.iretq()?;
    refs.set(&mut a, keyboard)?;
    a.push(rax)?;
    a.in_(al, 0x60)?;
    a.mov(byte_ptr(var::KEY), al)?;
    a.mov(al, 0x20)?;
    a.out(0x20, al)?;
    a.pop(rax)?;
    a.iretq()?;
    refs.set(&mut a, other)?;
    a.hlt()?;
    a.jmp(refs.label(other))?;

    routines!(a, rsi, rdi, rbx, rcx, puts, hex, clear);
    refs.set(&mut a, idtr)?;
    a.dw(&[256 * 16 - 1])?;
    a.dq(&[at::IDT64])?;
    refs.set(&mut a, leave)?;
    a.db(&back_to_32()?)?;
    place_texts!(a, refs, texts);
    let names = [
        ("timer", refs.label(timer)),
        ("keyboard", refs.label(keyboard)),
        ("other", refs.label(other)),
        ("leave", refs.label(leave)),
        ("puts", puts),
        ("hex", hex),
        ("clear", clear),
        ("gate", gate),
        ("wait", wait),
    ];
    refs.name(&names);
    Ok(a)
}

/// Position-independent 32-bit code: paging off, LME off, PAE off, then the 16-bit segment on the way to real mode.
fn back_to_32() -> Result<Vec<u8>, IcedError> {
    let mut b = CodeAssembler::new(32)?;
    b.mov(eax, cr0)?;
    b.and(eax, 0x7fff_ffff)?;
    b.mov(cr0, eax)?;
    b.mov(ecx, 0xc000_0080u32)?;
    b.rdmsr()?;
    b.and(eax, !(1i32 << 8))?;
    b.wrmsr()?;
    b.mov(eax, cr4)?;
    b.and(eax, !(1i32 << 5))?;
    b.mov(cr4, eax)?;
    b.db(&[0xea])?;
    b.dd(&[real::BACK_ENTRY])?;
    b.dw(&[sel::CODE16])?;
    b.assemble(0)
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
