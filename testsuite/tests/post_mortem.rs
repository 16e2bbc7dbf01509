//! Five deliberately broken kernels: each report names the cause. What is broken is written in each guest's code; the words
//! are looked for, not the whole text.

#[path = "../../machine/tests/common/mod.rs"]
mod common;

use common::{config, machine};
use iced_x86::code_asm::*;
use lucid86_machine::debug::{Goal, Why};
use lucid86_machine::{Config, Machine, NoIo, Outcome, View};

/// Tables of the guests.
const GDT: u64 = 0x30_0000;
const IDT: u64 = 0x30_1000;
const TSS: u64 = 0x30_2000;
const PML4: u64 = 0x31_0000;
const PDPT: u64 = 0x31_1000;
const PD: u64 = 0x31_2000;

fn triple(name: &str, code: impl FnOnce(&mut CodeAssembler)) -> (Machine, String) {
    let mut m = machine(name, Config { no_reboot: true, ..config() }, code);
    let Outcome::TripleFault(report) = m.run(&mut NoIo) else {
        panic!("{name} was to end in a triple fault")
    };
    println!("{report}");
    (m, report)
}

fn store(a: &mut CodeAssembler, at: u64, v: u64) {
    a.mov(dword_ptr(at), v as u32 as i32).unwrap();
    a.mov(dword_ptr(at + 4), (v >> 32) as u32 as i32).unwrap();
}

/// Loads GDTR or IDTR from the stack.
fn load_table(a: &mut CodeAssembler, base: u64, limit: u16, idt: bool) {
    a.sub(esp, 8).unwrap();
    a.mov(word_ptr(esp), u32::from(limit)).unwrap();
    a.mov(dword_ptr(esp + 2), base as i32).unwrap();
    if idt {
        a.lidt(ptr(esp)).unwrap()
    } else {
        a.lgdt(ptr(esp)).unwrap()
    }
    a.add(esp, 8).unwrap();
}

fn gate32(handler: u64, dpl: u64) -> u64 {
    handler & 0xffff | 0x08 << 16 | (0x8e00 | dpl << 13) << 32 | (handler >> 16) << 48
}

/// Flat segments: code 08, data 10, ring 3 code 18 and data 20, TSS 28.
fn segments(a: &mut CodeAssembler) {
    store(a, GDT, 0);
    store(a, GDT + 8, 0x00cf_9a00_0000_ffff);
    store(a, GDT + 16, 0x00cf_9200_0000_ffff);
    store(a, GDT + 24, 0x00cf_fa00_0000_ffff);
    store(a, GDT + 32, 0x00cf_f200_0000_ffff);
    store(a, GDT + 40, 0x67 | (TSS & 0xff_ffff) << 16 | 0x89 << 40 | (TSS >> 24) << 56);
    load_table(a, GDT, 47, false);
}

/// The segments, and 32-bit interrupt gates of privilege `dpl` for `vectors`, all to one handler.
fn handlers(a: &mut CodeAssembler, vectors: &[u64], dpl: u64) {
    segments(a);
    for v in vectors {
        store(a, IDT + 8 * v, gate32(0x10_0000, dpl));
    }
    load_table(a, IDT, 255, true);
}

#[test]
fn an_idt_that_is_too_short() {
    let (_, report) = triple("idt", |a| {
        segments(a);
        load_table(a, IDT, 8 * 6 - 1, true);
        a.ud2().unwrap();
    });
    assert!(report.contains("the IDT ends before vector 0x6: its limit is 0x2f"), "{report}");
    assert!(report.contains("#UD") && report.contains("ud2"), "{report}");
}

#[test]
fn page_tables_that_miss_the_stack() {
    let (_, report) = triple("unmapped", |a| {
        handlers(a, &[8, 13, 14], 0);
        // Identity-mapped 4 MiB pages for 0-4 MiB, none for the stack at 8 MiB.
        a.mov(dword_ptr(PD), 0x83i32).unwrap();
        a.mov(eax, cr4).unwrap();
        a.or(eax, 0x10).unwrap();
        a.mov(cr4, eax).unwrap();
        a.mov(esp, 0x80_0000).unwrap();
        a.mov(eax, PD as i32).unwrap();
        a.mov(cr3, eax).unwrap();
        a.mov(eax, cr0).unwrap();
        a.or(eax, 0x8000_0000u32 as i32).unwrap();
        a.mov(cr0, eax).unwrap();
        a.push(eax).unwrap();
    });
    assert!(report.contains("pushes to the current stack pointer, 0x800000"), "{report}");
    assert!(report.contains("PDE") && report.contains("not present (P = 0)"), "{report}");
}

#[test]
fn a_tss_with_a_wrong_stack() {
    let (_, report) = triple("tss", |a| {
        handlers(a, &[6, 8, 10, 13, 14], 3);
        a.mov(dword_ptr(TSS + 4), 0x20_0000i32).unwrap();
        // SS0: the code segment.
        a.mov(dword_ptr(TSS + 8), 0x08i32).unwrap();
        a.mov(ax, 0x28).unwrap();
        a.ltr(ax).unwrap();
        // CALL pushes the address of what follows it: the user's code.
        let mut over = a.create_label();
        a.push(0x23).unwrap();
        a.push(0x28_0000).unwrap();
        a.pushfd().unwrap();
        a.push(0x1b).unwrap();
        a.call(over).unwrap();
        a.ud2().unwrap();
        a.set_label(&mut over).unwrap();
        a.iretd().unwrap();
    });
    assert!(report.contains("SS0 of the TSS is 0x8, no writable data segment"), "{report}");
}

/// Into 64-bit mode with the first 4 MiB mapped; what follows is 64-bit code, as bytes.
fn long(a: &mut CodeAssembler, bytes: &[u8]) {
    store(a, GDT, 0);
    store(a, GDT + 8, 0x00af_9a00_0000_ffff);
    store(a, GDT + 16, 0x00cf_9200_0000_ffff);
    load_table(a, GDT, 23, false);
    load_table(a, IDT, 0, true);
    store(a, PML4, PDPT | 3);
    store(a, PDPT, PD | 3);
    store(a, PD, 0x83);
    store(a, PD + 8, 0x20_0083);
    a.mov(esp, 0x2f_0000).unwrap();
    a.mov(eax, cr4).unwrap();
    a.or(eax, 0x20).unwrap();
    a.mov(cr4, eax).unwrap();
    a.mov(eax, PML4 as i32).unwrap();
    a.mov(cr3, eax).unwrap();
    a.mov(ecx, 0xc000_0080u32 as i32).unwrap();
    a.rdmsr().unwrap();
    a.or(eax, 0x100).unwrap();
    a.wrmsr().unwrap();
    a.mov(eax, cr0).unwrap();
    a.or(eax, 0x8000_0000u32 as i32).unwrap();
    a.mov(cr0, eax).unwrap();
    let mut over = a.create_label();
    a.push(8).unwrap();
    a.call(over).unwrap();
    a.db(bytes).unwrap();
    a.set_label(&mut over).unwrap();
    a.retf().unwrap();
}

#[test]
fn an_iret_frame_that_is_not_canonical() {
    let mut b = CodeAssembler::new(64).expect("a 64-bit assembler");
    b.push(0x10).unwrap();
    b.mov(rax, 0x2f_0000u64).unwrap();
    b.push(rax).unwrap();
    b.pushfq().unwrap();
    b.push(8).unwrap();
    b.mov(rax, 0x0000_8000_0000_1234u64).unwrap();
    b.push(rax).unwrap();
    b.iretq().unwrap();
    let bytes = b.assemble(0).expect("code");
    let (_, report) = triple("iret", |a| long(a, &bytes));
    assert!(
        report.contains("the frame of IRETQ") && report.contains("0x800000001234, which is not canonical"),
        "{report}"
    );
    assert!(report.contains("iretq"), "{report}");
}

#[test]
fn an_exception_whose_handler_raises_it_again() {
    // #UD's handler is an UD2: it never ends, until someone asks.
    let mut m = machine("endless", config(), |a| {
        segments(a);
        a.mov(esp, 0x28_0000).unwrap();
        let mut over = a.create_label();
        a.call(over).unwrap();
        a.mov(esp, 0x28_0000).unwrap();
        a.ud2().unwrap();
        a.set_label(&mut over).unwrap();
        a.pop(eax).unwrap();
        a.mov(word_ptr(IDT + 48), ax).unwrap();
        a.shr(eax, 16).unwrap();
        a.mov(word_ptr(IDT + 54), ax).unwrap();
        a.mov(dword_ptr(IDT + 50), 0x8e00_0008u32 as i32).unwrap();
        load_table(a, IDT, 255, true);
        a.ud2().unwrap();
    });
    m.run_until(&mut NoIo, lucid86_machine::Until { time_ns: Some(50_000_000), count: None });
    let report = m.post_mortem(0, "a report on request");
    let text = report.text();
    println!("{text}");
    assert!(report.findings[0].contains("again and again"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
    assert_eq!(json["chain"][0]["vector"], 6);
}

#[test]
fn what_led_to_a_death_is_found_by_going_back() {
    let mut m = machine("trail", config(), |a| {
        let mut on = a.create_label();
        a.mov(al, 5).unwrap();
        a.out(0x80, al).unwrap();
        a.mov(eax, dword_ptr(0xfee0_0020u64)).unwrap();
        a.jmp(on).unwrap();
        a.nop().unwrap();
        a.set_label(&mut on).unwrap();
        load_table(a, IDT, 0, true);
        a.ud2().unwrap();
    });
    m.keep_history(64 << 20);
    m.debugger().attached = true;
    let s = m.debug_run(&mut NoIo, Goal::Continue);
    assert_eq!(s.why, Why::TripleFault);
    let before = (m.count(), m.state_hash());
    m.find_trail(0);
    let r = m.post_mortem(0, "triple fault");
    println!("{}", r.text());
    assert_eq!((m.count(), m.state_hash(), m.in_past()), (before.0, before.1, false));
    // By the guest's own code: OUT, a load from the local APIC's ID register, one jump, UD2 last.
    let two = |lines: &[String], what: &str| lines.iter().any(|l| l.contains(what));
    assert!(
        two(&r.last_accesses, "port 0x80") && two(&r.last_accesses, "0xfee00020"),
        "{:?}",
        r.last_accesses
    );
    assert!(r.last_branches.last().is_some_and(|l| l.contains("jmp")), "{:?}", r.last_branches);
    assert!(two(&r.last_instructions, "lidt"), "{:?}", r.last_instructions);
}

#[test]
fn a_loop_with_interrupts_off_is_noticed() {
    let mut m = machine("loop", config(), |a| {
        let mut on = a.create_label();
        a.cli().unwrap();
        a.set_label(&mut on).unwrap();
        a.inc(eax).unwrap();
        a.jmp(on).unwrap();
    });
    m.look_out(true);
    let s = m.debug_run(&mut NoIo, Goal::Continue);
    assert!(matches!(&s.why, Why::Trouble(t) if t.contains("interrupts are off")), "{:?}", s.why);
    let mut m = machine("halt", config(), |a| {
        a.cli().unwrap();
        a.hlt().unwrap();
    });
    m.look_out(true);
    let s = m.debug_run(&mut NoIo, Goal::Continue);
    let halted = matches!(&s.why, Why::Trouble(t) if t.contains("HLT"));
    assert!(halted || s.why == Why::Ended(Outcome::NothingPending), "{:?}", s.why);
}
