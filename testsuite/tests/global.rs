//! Global pages, INVLPG, CR4.PGE and process-context identifiers under running programs, on both engines. Each program does
//! what the manual asks of software before it relies on a change (SDM volume 3, sections 4.10.2 and 4.10.4), so that there
//! is one right result; what may be kept longer is not asked for.

mod long;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use long::{PML4, PT, WINDOW, entry_of, halts, machine, on_both};
use lucid86_cpu::derived::Engine;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{cr4, gpr};
use testsuite::rig::Rig;

const ROUNDS: u32 = 60;
const ONE: u64 = 0x3_0000;
const TWO: u64 = 0x3_1000;
/// Present, writable, global.
const GLOBAL: u64 = 0x103;

/// A loop of a body that reads the page at RSI and adds it to RAX after changing its global entry at RDI. RBX is CR3, R12
/// CR4 with PGE, R13 without. The sum of 60 rounds, half of them 1 and half 1000.
fn rounds(engine: Engine, body: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>) -> u64 {
    let mut r = machine(engine, |a| {
        let mut top = a.create_label();
        a.mov(rsi, WINDOW)?;
        a.mov(rdi, entry_of(WINDOW))?;
        a.mov(rbx, cr3)?;
        a.mov(r12, iced_x86::code_asm::cr4)?;
        a.mov(r13, r12)?;
        a.btr(r13, 7)?;
        a.xor(eax, eax)?;
        a.mov(ecx, ROUNDS)?;
        a.set_label(&mut top)?;
        a.xor(qword_ptr(rdi), 0x1000)?;
        body(a)?;
        a.add(rax, qword_ptr(rsi))?;
        a.dec(ecx)?;
        a.jne(top)?;
        a.hlt()
    });
    r.poke(PT, &(ONE | GLOBAL).to_le_bytes());
    r.poke(ONE, &1u64.to_le_bytes());
    r.poke(TWO, &1000u64.to_le_bytes());
    assert_eq!(halts(&mut r), None);
    r.cpu.gpr[gpr::RAX]
}

const HALF_EACH: u64 = ROUNDS as u64 / 2 * 1001;

/// INVLPG drops a global translation too.
#[test]
fn invlpg_reaches_global_pages() {
    on_both(|engine| assert_eq!(rounds(engine, |a| a.invlpg(byte_ptr(rsi))), HALF_EACH));
}

/// A change of CR4.PGE, either way, drops all translations, global ones included.
#[test]
fn toggling_global_pages_drops_them() {
    use iced_x86::code_asm::cr4 as control;
    on_both(|engine| {
        let off_and_on = rounds(engine, |a| {
            a.mov(control, r13)?;
            a.mov(control, r12)
        });
        assert_eq!(off_and_on, HALF_EACH);
        // Left in the other state each time.
        let each_way = rounds(engine, |a| {
            a.mov(control, r13)?;
            a.xchg(r12, r13)
        });
        assert_eq!(each_way, HALF_EACH);
    });
}

/// Without CR4.PGE the G bit means nothing: a load of CR3 drops the translation.
#[test]
fn without_pge_a_load_of_cr3_is_enough() {
    use iced_x86::code_asm::cr4 as control;
    on_both(|engine| {
        let sum = rounds(engine, |a| {
            a.mov(control, r13)?;
            a.mov(cr3, rbx)
        });
        assert_eq!(sum, HALF_EACH);
    });
}

/// The G bit does not make a page readable where the tables have taken it away and INVLPG said so.
#[test]
fn a_global_page_can_go() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rsi, WINDOW)?;
            a.mov(rdi, entry_of(WINDOW))?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.add(rax, qword_ptr(rsi))?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.and(qword_ptr(rdi), -2)?;
            a.invlpg(byte_ptr(rsi))?;
            a.add(rax, qword_ptr(rsi))?;
            a.hlt()
        });
        r.poke(PT, &(ONE | GLOBAL).to_le_bytes());
        assert_eq!(halts(&mut r), Some(14));
        assert_eq!(r.cpu.cr2, WINDOW);
        // The supervisor's read of a page that is not there.
        let frame = r.cpu.gpr[gpr::RSP];
        assert_eq!(r.peek64(frame), 0);
    });
}

/// A machine whose processor has PCIDs and INVPCID, with a second root that maps the window to [`TWO`].
fn two_spaces(engine: Engine, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Rig {
    let mut r = machine(engine, f);
    r.cpu.model = CpuModel::parse("x86-64-v2,+pcid,+invpcid").expect("model");
    // The other space shares all but the way to the window.
    const OTHER: [u64; 4] = [0x11_0000, 0x11_1000, 0x11_2000, 0x11_3000];
    r.poke(OTHER[0], &(OTHER[1] | 3).to_le_bytes());
    r.poke(OTHER[1], &(OTHER[2] | 3).to_le_bytes());
    r.poke(OTHER[2], &0x10_3003u64.to_le_bytes());
    r.poke(OTHER[2] + 8, &(OTHER[3] | 3).to_le_bytes());
    r.poke(OTHER[3], &(TWO | 3).to_le_bytes());
    r.poke(PT, &(ONE | 3).to_le_bytes());
    r.poke(ONE, &1u64.to_le_bytes());
    r.poke(TWO, &1000u64.to_le_bytes());
    r.cpu.cr4 |= cr4::PCIDE;
    r.cpu.gpr[gpr::RSI] = WINDOW;
    // CR3 of each space, with an identifier, and bit 63: keep what is cached.
    r.cpu.gpr[12] = PML4 | 1 | 1 << 63;
    r.cpu.gpr[13] = OTHER[0] | 2 | 1 << 63;
    r
}

/// Two identifiers keep two spaces apart although nothing is dropped on the way between them.
#[test]
fn identifiers_keep_spaces_apart() {
    on_both(|engine| {
        let mut r = two_spaces(engine, |a| {
            let mut top = a.create_label();
            a.xor(eax, eax)?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.mov(cr3, r12)?;
            a.add(rax, qword_ptr(rsi))?;
            a.mov(cr3, r13)?;
            a.add(rax, qword_ptr(rsi))?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.mov(rbx, cr3)?;
            a.hlt()
        });
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RAX], u64::from(ROUNDS) * 1001);
        // Bit 63 is not part of CR3.
        assert_eq!(r.cpu.gpr[gpr::RBX], 0x11_0002);
    });
}

/// INVPCID of each type makes the other space's change visible here.
#[test]
fn invpcid_drops_what_it_names() {
    on_both(|engine| {
        for kind in 0..4u64 {
            let mut r = two_spaces(engine, |a| {
                let mut top = a.create_label();
                a.xor(eax, eax)?;
                a.mov(ecx, ROUNDS)?;
                a.set_label(&mut top)?;
                a.mov(cr3, r12)?;
                a.add(rax, qword_ptr(rsi))?;
                a.mov(cr3, r13)?;
                a.add(rax, qword_ptr(rsi))?;
                // The other space's entry, by its physical address below 2 MiB.
                a.xor(qword_ptr(PT), 0x1000)?;
                a.invpcid(r14, xmmword_ptr(r15))?;
                a.dec(ecx)?;
                a.jne(top)?;
                a.hlt()
            });
            let descriptor = 0x3_3000;
            r.poke(descriptor, &(if kind < 2 { 1u64 } else { 0 }).to_le_bytes());
            r.poke(descriptor + 8, &WINDOW.to_le_bytes());
            (r.cpu.gpr[14], r.cpu.gpr[15]) = (kind, descriptor);
            assert_eq!(halts(&mut r), None, "type {kind}");
            let other = u64::from(ROUNDS) * 1000;
            assert_eq!(r.cpu.gpr[gpr::RAX], HALF_EACH + other, "type {kind}");
        }
    });
}

/// What INVPCID, MOV CR3 and MOV CR4 refuse (volume 2, INVPCID and MOV; volume 3, section 4.10.1).
#[test]
fn identifiers_that_are_refused() {
    on_both(|engine| {
        let hole = 0x8000_0000_0000u64;
        for (kind, low, high, want) in [
            (0, 0x1001, 0, Some(13)),
            (0, 1, hole, Some(13)),
            (1, 1 << 63, 0, Some(13)),
            (2, 0x1000, 0, Some(13)),
            (4, 0, 0, Some(13)),
            (0, 0xfff, 0x1000, None),
            (1, 5, hole, None),
            (2, 7, hole, None),
            (3, 9, hole, None),
        ] {
            let mut r = two_spaces(engine, |a| {
                a.invpcid(r14, xmmword_ptr(r15))?;
                a.hlt()
            });
            r.poke(0x3_3000, &u64::to_le_bytes(low));
            r.poke(0x3_3008, &u64::to_le_bytes(high));
            (r.cpu.gpr[14], r.cpu.gpr[15]) = (kind, 0x3_3000);
            assert_eq!(halts(&mut r), want, "type {kind}, {low:x}, {high:x}");
        }
        // Bit 63 of CR3 is reserved without identifiers; they can't be turned on under one that is not 0; off they may go
        // at any time.
        let refused: [(&str, u64, u64, Option<u8>); 3] = [
            ("MOV CR3", 0, 0, Some(13)),
            ("CR4.PCIDE on", 0, 1, Some(13)),
            ("CR4.PCIDE off", cr4::PCIDE, 1, None),
        ];
        for (what, bits, low, want) in refused {
            let mut r = two_spaces(engine, |a| {
                match what {
                    "MOV CR3" => a.mov(cr3, r12)?,
                    _ => {
                        a.mov(rax, iced_x86::code_asm::cr4)?;
                        a.btc(rax, 17)?;
                        a.mov(iced_x86::code_asm::cr4, rax)?
                    }
                }
                a.hlt()
            });
            r.cpu.cr4 = r.cpu.cr4 & !cr4::PCIDE | bits;
            r.cpu.cr3 |= low;
            assert_eq!(halts(&mut r), want, "{what}");
        }
    });
}
