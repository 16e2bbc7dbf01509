//! Changing page tables under a running program, on both engines: self-mapped tables, two names of one page, small pages
//! in place of a large one, tables written by a bus master. Each program does what the manual asks of software (SDM
//! volume 3, section 4.10.4: INVLPG or a load of CR3 after the change), so that there is one right result.

mod long;
use iced_x86::code_asm::*;
use long::{PD, PML4, PT, WINDOW, entry_of, halts, machine, on_both};
use lucid86_cpu::state::gpr;

const ROUNDS: u32 = 40;
/// Two frames with a number each.
const ONE: u64 = 0x3_0000;
const TWO: u64 = 0x3_1000;

/// The program swaps the frame of a page through the self map, then reads it: 40 rounds see 20 times 1 and 20 times 1000.
#[test]
fn remapping_through_the_self_map() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.mov(rdi, entry_of(WINDOW))?;
            a.xor(eax, eax)?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.xor(qword_ptr(rdi), 0x1000)?;
            a.invlpg(byte_ptr(rsi))?;
            a.add(rax, qword_ptr(rsi))?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.poke(PT, &(ONE | 3).to_le_bytes());
        r.poke(ONE, &1u64.to_le_bytes());
        r.poke(TWO, &1000u64.to_le_bytes());
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RAX], 20 + 20 * 1000);
    });
}

/// A routine `mov eax, imm32; ret` is patched through another name of its page before each call: the sum of 40 to 1.
#[test]
fn code_patched_through_an_alias() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.mov(rdi, ONE)?;
            a.xor(ebx, ebx)?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.mov(dword_ptr(rsi + 1), ecx)?;
            a.cpuid()?;
            a.mov(ecx, dword_ptr(rsi + 1))?;
            a.call(rdi)?;
            a.add(rbp, rax)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.cpu.gpr[gpr::RBP] = 0;
        r.poke(PT, &(ONE | 3).to_le_bytes());
        r.poke(ONE, &[0xb8, 0, 0, 0, 0, 0xc3]);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBP], 40 * 41 / 2);
    });
}

/// The program puts a large page in place of a table and back: reads alternate between the two.
#[test]
fn a_large_page_over_small_ones() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.mov(rdi, PD + 8)?;
            a.mov(r8, (PT | 3) ^ 0x83)?;
            a.xor(eax, eax)?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.xor(qword_ptr(rdi), r8)?;
            a.mov(rdx, cr3)?;
            a.mov(cr3, rdx)?;
            a.add(rax, qword_ptr(rsi + 0x10))?;
            a.add(qword_ptr(rsi + 0x18), 1)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        // The large page is frame 0, whose word at 10h is 3; the small one is TWO's with 500. Accessed and dirty bits come
        // on top of what the program exchanges, in bits that differ between the two forms: set from the start.
        r.poke(PD + 8, &(PT | 3 | 0x60).to_le_bytes());
        r.poke(PT, &(TWO | 3).to_le_bytes());
        r.poke(0x10, &3u64.to_le_bytes());
        r.poke(TWO + 0x10, &500u64.to_le_bytes());
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RAX], 20 * 3 + 20 * 500);
        assert_eq!((r.peek64(0x18), r.peek64(TWO + 0x18)), (20, 20));
    });
}

/// A bus master writes a page-table entry between two slices; the program loads CR3 before each read.
#[test]
fn tables_written_by_a_bus_master() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.set_label(&mut top)?;
            a.mov(rdx, cr3)?;
            a.mov(cr3, rdx)?;
            a.mov(rax, qword_ptr(rsi))?;
            a.jmp(top)
        });
        r.poke(ONE, &1u64.to_le_bytes());
        r.poke(TWO, &2u64.to_le_bytes());
        for round in 0..50u64 {
            let (frame, want) = if round % 3 == 0 { (TWO, 2) } else { (ONE, 1) };
            r.poke(PT, &(frame | 3).to_le_bytes());
            let _ = r.run(40 + round);
            assert_eq!(r.cpu.gpr[gpr::RAX], want, "round {round}");
        }
    });
}

/// The program clears accessed and dirty bits and sees them come back by a read and a write (SDM 4.8).
#[test]
fn accessed_and_dirty_come_back() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.mov(rdi, entry_of(WINDOW))?;
            a.xor(ebx, ebx)?;
            a.xor(ebp, ebp)?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.and(qword_ptr(rdi), !0x60)?;
            a.invlpg(byte_ptr(rsi))?;
            a.mov(rax, qword_ptr(rsi))?;
            a.mov(rdx, qword_ptr(rdi))?;
            a.and(edx, 0x60)?;
            a.add(ebx, edx)?;
            a.mov(qword_ptr(rsi), rax)?;
            a.mov(rdx, qword_ptr(rdi))?;
            a.and(edx, 0x60)?;
            a.add(ebp, edx)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.poke(PT, &(ONE | 3).to_le_bytes());
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBX], 40 * 0x20);
        assert_eq!(r.cpu.gpr[gpr::RBP], 40 * 0x60);
    });
}

/// The program makes a page read-only by storing to its own table, after many writes to it: the next write is #PF with
/// error code 3 (present, write) and CR2 at the operand; WP counts for ring 0.
#[test]
fn write_protection_takes_hold() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            let mut write = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.mov(rdi, entry_of(WINDOW))?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.cmp(ecx, 1)?;
            a.jne(write)?;
            a.and(qword_ptr(rdi), !2)?;
            a.invlpg(byte_ptr(rsi))?;
            a.set_label(&mut write)?;
            a.mov(dword_ptr(rsi + 0x123), ecx)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.poke(PT, &(ONE | 3).to_le_bytes());
        assert_eq!(halts(&mut r), Some(14));
        assert_eq!(r.cpu.cr2, WINDOW + 0x123);
        assert_eq!(r.peek64(r.cpu.gpr[gpr::RSP]), 3);
        assert_eq!(r.peek64(ONE + 0x123) as u32, 2, "the last write that was allowed");
        assert_eq!(r.cpu.gpr[gpr::RCX], 1);
    });
}

/// The same code at one address in two spaces: CR3 goes to and fro, and each space runs its own bytes.
#[test]
fn two_spaces_run_their_own_code() {
    const OTHER: u64 = 0x11_0000;
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.xor(ebp, ebp)?;
            a.mov(ecx, ROUNDS)?;
            a.mov(rbx, cr3)?;
            a.set_label(&mut top)?;
            a.call(rsi)?;
            a.add(rbp, rax)?;
            a.xor(rbx, (PML4 ^ OTHER) as i32)?;
            a.mov(cr3, rbx)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        let mut put = |at: u64, v: u64| r.poke(at, &v.to_le_bytes());
        put(PT, ONE | 3);
        // The other space shares the first 2 MiB.
        put(OTHER, (OTHER + 0x1000) | 3);
        put(OTHER + 0x1000, (OTHER + 0x2000) | 3);
        put(OTHER + 0x2000, 0x10_3003);
        put(OTHER + 0x2008, (OTHER + 0x3000) | 3);
        put(OTHER + 0x3000, TWO | 3);
        r.poke(ONE, &[0xb8, 1, 0, 0, 0, 0xc3]);
        r.poke(TWO, &[0xb8, 0, 1, 0, 0, 0xc3]);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBP], 20 + 20 * 256);
    });
}

/// A page that was stored to by two names becomes code under a third: what is then stored by either name is run.
#[test]
fn a_page_of_two_names_becomes_code() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            a.mov(rsi, WINDOW)?;
            a.mov(rdx, WINDOW + 0x1000)?;
            a.mov(rdi, ONE)?;
            a.mov(ecx, 20)?;
            let mut top = a.create_label();
            a.set_label(&mut top)?;
            a.mov(dword_ptr(rsi + 1), 1)?;
            a.mov(dword_ptr(rdx + 1), 1)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.call(rdi)?;
            a.imul_3(ebx, eax, 100)?;
            a.mov(dword_ptr(rdx + 1), 20)?;
            a.call(rdi)?;
            a.add(ebx, eax)?;
            a.mov(dword_ptr(rsi + 1), 3)?;
            a.call(rdi)?;
            a.add(ebx, eax)?;
            a.hlt()
        });
        for n in 0..2 {
            r.poke(PT + 8 * n, &(ONE | 3).to_le_bytes());
        }
        r.poke(ONE, &[0xb8, 0, 0, 0, 0, 0xc3]);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBX], 123);
    });
}

/// Code in the upper half, where spaces have much in common: one page calls the other, whose top-level entry the program
/// exchanges before each call (SDM volume 3, 4.10.4: a load of CR3 after it).
#[test]
fn the_upper_half_is_exchanged_under_its_code() {
    const FIRST: u64 = 0xffff_8000_0003_0000;
    const SECOND: u64 = 0xffff_ff80_0003_1000;
    const TABLES: u64 = 0x4_0000;
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, FIRST)?;
            a.mov(rdi, PML4 + 8 * 511)?;
            a.xor(ebx, ebx)?;
            a.mov(ebp, 200)?;
            a.set_label(&mut top)?;
            a.call(rsi)?;
            a.add(rbx, rax)?;
            a.xor(qword_ptr(rdi), 0x4000)?;
            a.mov(rax, cr3)?;
            a.mov(cr3, rax)?;
            a.dec(ebp)?;
            a.jne(top)?;
            a.hlt()
        });
        let mut put = |at: u64, v: u64| r.poke(at, &v.to_le_bytes());
        // The first page is mapped as low memory is; the second by one or the other set of tables.
        put(PML4 + 8 * 256, 0x10_1003);
        put(PML4 + 8 * 511, TABLES | 0x23);
        for (set, frame) in [(TABLES, 0x3_1000), (TABLES + 0x4000, 0x3_2000)] {
            put(set, (set + 0x1000) | 3);
            put(set + 0x1000, (set + 0x2000) | 3);
            put(set + 0x2000 + 8 * 0x31, frame | 3);
        }
        let mut a = CodeAssembler::new(64).expect("assembler");
        a.mov(rax, SECOND).expect("MOV");
        a.jmp(rax).expect("JMP");
        let code = a.assemble(FIRST).expect("assembled");
        r.poke(0x3_0000, &code);
        r.poke(0x3_1000, &[0xb8, 1, 0, 0, 0, 0xc3]);
        r.poke(0x3_2000, &[0xb8, 0xe8, 3, 0, 0, 0xc3]);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBX], 100 + 100 * 1000);
    });
}
