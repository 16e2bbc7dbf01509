//! Page walks against the rules of Intel SDM volume 3: 4.6 (access rights), 4.7 (error codes), 4.8 (accessed and dirty
//! flags), 4.3-4.5 (formats). The expectation is computed here from the manual's words, entry by entry.

mod rig;
use lucid86_cpu::Fault;
use lucid86_cpu::memory::{Place, mark};
use lucid86_cpu::mmu::{Access, View, space};
use lucid86_cpu::state::{cr0, cr4, efer, flag};
use rig::Rig;

const P: u64 = 1;
const W: u64 = 2;
const U: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const NX: u64 = 1 << 63;
/// A reserved address bit: above the default model's 40 bits.
const RSVD: u64 = 1 << 50;

const LINEAR: u64 = 0x0000_7654_3210_0000 & !0xfff;

fn index(linear: u64, level: u32) -> u64 {
    linear >> (12 + 9 * (level - 1)) & 0x1ff
}

/// Tables at 1000h (PML4), 2000h, 3000h, 4000h; the page at 9000h. Returns the addresses of PML4E, PDPTE, PDE, PTE.
fn tables(r: &mut Rig, linear: u64, pde: u64, pte: u64) -> [u64; 4] {
    let at = [
        0x1000 + 8 * index(linear, 4),
        0x2000 + 8 * index(linear, 3),
        0x3000 + 8 * index(linear, 2),
        0x4000 + 8 * index(linear, 1),
    ];
    r.put64(at[0], 0x2000 | P | W | U);
    r.put64(at[1], 0x3000 | P | W | U);
    r.put64(at[2], 0x4000 | pde);
    r.put64(at[3], 0x9000 | pte);
    at
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    cpl: u8,
    access: Access,
    wp: bool,
    nxe: bool,
    smep: bool,
    smap: bool,
    ac: bool,
    pde: u64,
    pte: u64,
}

/// The error code that the manual's sections 4.6 and 4.7 give, or `None` for success.
fn expected(s: &Setting) -> Option<u32> {
    let user = s.cpl == 3;
    let mut code = 0;
    if s.access == Access::Write {
        code |= 2;
    }
    if user {
        code |= 4;
    }
    if s.access == Access::Execute && (s.nxe || s.smep) {
        code |= 16;
    }
    for e in [s.pde, s.pte] {
        if e & P == 0 {
            return Some(code);
        }
        if e & RSVD != 0 || e & NX != 0 && !s.nxe {
            return Some(code | 1 | 8);
        }
    }
    let user_page = s.pde & s.pte & U != 0;
    let writable = s.pde & s.pte & W != 0;
    let no_execute = s.nxe && (s.pde | s.pte) & NX != 0;
    let allowed = if user {
        user_page
            && match s.access {
                Access::Read => true,
                Access::Write => writable,
                Access::Execute => !no_execute,
            }
    } else {
        match s.access {
            Access::Execute => !(no_execute || user_page && s.smep),
            _ if user_page && s.smap && !s.ac => false,
            Access::Read => true,
            Access::Write => writable || !s.wp,
        }
    };
    (!allowed).then_some(code | 1)
}

fn run(r: &mut Rig, s: &Setting) {
    let at = tables(r, LINEAR, s.pde, s.pte);
    r.long(s.cpl, 0x1000);
    let set = |v: &mut u64, bit: u64, on: bool| *v = if on { *v | bit } else { *v & !bit };
    set(&mut r.cpu.cr0, cr0::WP, s.wp);
    set(&mut r.cpu.msr.efer, efer::NXE, s.nxe);
    set(&mut r.cpu.cr4, cr4::SMEP, s.smep);
    set(&mut r.cpu.cr4, cr4::SMAP, s.smap);
    set(&mut r.cpu.rflags, flag::AC, s.ac);
    let linear = LINEAR + 0x123;
    let mut x = r.exec();
    let got: Result<(), Fault> = match s.access {
        Access::Read => x.load::<u8>(linear).map(|_| ()),
        Access::Write => x.store::<u8>(linear, 1),
        Access::Execute => x.fetch_page(linear).map(|_| ()),
    };
    let want = match expected(s) {
        Some(code) => Err(Fault::pf(linear, code)),
        None => Ok(()),
    };
    assert_eq!(got, want, "{s:?}");
    // Accessed on the way, dirty only for a store that went through.
    let leaf = r.get64(at[3]);
    let reached = s.pde & P != 0 && s.pde & RSVD == 0 && (s.pde & NX == 0 || s.nxe);
    assert_eq!(r.get64(at[2]) & A != 0, reached, "A of the PDE, {s:?}");
    assert_eq!(leaf & A != 0, want.is_ok(), "A of the PTE, {s:?}");
    assert_eq!(leaf & D != 0, want.is_ok() && s.access == Access::Write, "D of the PTE, {s:?}");
}

/// Every combination of entry bits, modes and accesses; with the TLB as it comes and dropped before each access.
#[test]
fn rights_and_error_codes() {
    for drop in [false, true] {
        let mut r = Rig::new("x86-64-v2", 64);
        let bits = |n: u64| {
            (n & 1)
                | ((n >> 1 & 1) * W)
                | ((n >> 2 & 1) * U)
                | ((n >> 3 & 1) * NX)
                | if n >> 4 == 1 { RSVD } else { 0 }
        };
        for pde in 0..32 {
            for pte in 0..32 {
                for mode in 0..32 {
                    for (cpl, access) in [0, 3]
                        .into_iter()
                        .flat_map(|c| [Access::Read, Access::Write, Access::Execute].map(|a| (c, a)))
                    {
                        let on = |b: u32| mode >> b & 1 != 0;
                        let s = Setting {
                            cpl,
                            access,
                            wp: on(0),
                            nxe: on(1),
                            smep: on(2),
                            smap: on(3),
                            ac: on(4),
                            pde: bits(pde),
                            pte: bits(pte),
                        };
                        if drop {
                            r.derived = Default::default();
                        }
                        run(&mut r, &s);
                    }
                }
            }
        }
    }
}

/// A store after a load must set D although the translation was known.
#[test]
fn dirty_after_read() {
    let mut r = Rig::new("x86-64-v2", 64);
    let at = tables(&mut r, LINEAR, P | W | U, P | W | U);
    r.long(0, 0x1000);
    let mut x = r.exec();
    x.load::<u32>(LINEAR).unwrap();
    x.store::<u32>(LINEAR, 7).unwrap();
    x.store::<u32>(LINEAR + 4, 8).unwrap();
    assert_eq!(r.get64(at[3]) & (A | D), A | D);
    assert_eq!(r.get64(0x9000), 8 << 32 | 7);
}

/// A guest that changes an entry sees the change with no INVLPG: at every level, by its own stores through another
/// mapping, and by a bus master.
#[test]
fn entries_are_coherent() {
    for level in 0..4 {
        for by_guest in [false, true] {
            let mut r = Rig::new("x86-64-v2", 64);
            let at = tables(&mut r, LINEAR, P | W | U, P | W | U);
            // Identity window over the first 2 MiB at linear 0.
            r.put64(0x1000, 0x5000 | P | W);
            r.put64(0x5000, 0x6000 | P | W);
            r.put64(0x6000, P | W | PS);
            r.long(0, 0x1000);
            let mut x = r.exec();
            for _ in 0..3 {
                assert_eq!(x.load::<u8>(LINEAR), Ok(0));
                x.store::<u8>(LINEAR, 0).unwrap();
            }
            if by_guest {
                let v: u64 = x.load(at[level]).unwrap();
                x.store(at[level], v & !P).unwrap();
            } else {
                let v = r.get64(at[level]);
                r.put64(at[level], v & !P);
            }
            let mut x = r.exec();
            assert_eq!(x.load::<u8>(LINEAR), Err(Fault::pf(LINEAR, 0)), "level {level}");
            let v: u64 = x.load(at[level]).unwrap();
            x.store(at[level], v | P).unwrap();
            assert_eq!(x.load::<u8>(LINEAR), Ok(0));
            // Clearing A is seen too: the next access sets it again.
            let v: u64 = x.load(at[level]).unwrap();
            x.store(at[level], v & !A).unwrap();
            assert_eq!(x.load::<u8>(LINEAR), Ok(0));
            assert_ne!(r.get64(at[level]) & A, 0, "A set again at level {level}");
        }
    }
}

/// Translations survive CR3 loads without becoming wrong: two roots, one changed while the other is in use.
#[test]
fn contexts_stay_coherent_while_out_of_use() {
    let mut r = Rig::new("x86-64-v2", 64);
    let at = tables(&mut r, LINEAR, P | W | U, P | W | U);
    r.put64(0x1000, 0x5000 | P | W);
    r.put64(0x5000, 0x6000 | P | W);
    r.put64(0x6000, P | W | PS);
    // A second root with only the identity window.
    r.put64(0xa000, 0x5000 | P | W);
    r.put64(0xb000, 0x55);
    r.long(0, 0x1000);
    let mut x = r.exec();
    assert_eq!(x.load::<u8>(LINEAR), Ok(0));
    x.cpu.cr3 = 0xa000;
    x.space_changed();
    assert_eq!(x.load::<u8>(LINEAR), Err(Fault::pf(LINEAR, 0)));
    x.store::<u64>(at[3], 0xb000 | P | U).unwrap();
    x.cpu.cr3 = 0x1000;
    x.space_changed();
    assert_eq!(x.load::<u8>(LINEAR), Ok(0x55));
}

/// A self-mapped page table: stores through the self map are seen, however the table frame is reached.
#[test]
fn self_map() {
    let mut r = Rig::new("x86-64-v2", 64);
    let at = tables(&mut r, LINEAR, P | W | U, P | W | U);
    r.put64(0x1000 + 8 * 511, 0x1000 | P | W);
    r.long(0, 0x1000);
    let i = |l| index(LINEAR, l);
    let table = 0xffff_0000_0000_0000 | 511 << 39 | i(4) << 30 | i(3) << 21 | i(2) << 12;
    let mut x = r.exec();
    assert_eq!(x.load::<u8>(LINEAR), Ok(0));
    let pte = table + 8 * i(1);
    let v: u64 = x.load(pte).unwrap();
    assert_eq!(v & !(A | D), 0x9000 | P | W | U);
    x.store::<u64>(pte, 0).unwrap();
    assert_eq!(x.load::<u8>(LINEAR), Err(Fault::pf(LINEAR, 0)));
    assert_eq!(r.get64(at[3]), 0);
}

/// 2 MiB and 1 GiB pages, their reserved bits, and the byte that they reach.
#[test]
fn large_pages() {
    let mut r = Rig::new("x86-64-v2", 1024);
    let at = tables(&mut r, LINEAR, P | W, P | W);
    r.long(0, 0x1000);
    r.put64(0x30_0000 + (LINEAR & 0xf_f000), 0x77);
    r.put64(at[2], 0x20_0000 | P | W | PS);
    assert_eq!(r.exec().load::<u8>(LINEAR & !0x1f_ffff | 0x10_0000 | LINEAR & 0xf_f000), Ok(0x77));
    assert_eq!(r.get64(at[2]) & (A | D), A);
    // Bits 20:13 of a 2 MiB entry are reserved, bit 12 is PAT.
    for bit in 12..21 {
        r.put64(at[2], 0x20_0000 | P | W | PS | 1 << bit);
        let want = if bit == 12 { Ok(0) } else { Err(Fault::pf(LINEAR + 8, 9)) };
        assert_eq!(r.exec().load::<u8>(LINEAR + 8).map(|_| 0), want, "bit {bit}");
    }
    for bit in 12..30 {
        r.put64(at[1], P | W | PS | 1 << bit);
        let want = if bit == 12 { Ok(()) } else { Err(Fault::pf(LINEAR + 8, 9)) };
        assert_eq!(r.exec().load::<u8>(LINEAR + 8).map(|_| ()), want, "bit {bit}");
    }
    // PS in a PML4E is reserved.
    r.put64(at[0], 0x2000 | P | W | PS);
    assert_eq!(r.exec().load::<u8>(LINEAR), Err(Fault::pf(LINEAR, 9)));
    // Without 1 GiB pages PS at level 3 is reserved.
    let mut r = Rig::new("x86-64-v2,-pdpe1gb", 64);
    let at = tables(&mut r, LINEAR, P | W, P | W);
    r.long(0, 0x1000);
    r.put64(at[1], P | W | PS);
    assert_eq!(r.exec().load::<u8>(LINEAR), Err(Fault::pf(LINEAR, 9)));
}

/// 32-bit paging: 4 KiB pages, 4 MiB pages with PSE and PSE-36 (table 4-4).
#[test]
fn bits32() {
    let mut r = Rig::new("pentium3", 2048);
    r.protected(0);
    r.cpu.cr0 |= cr0::PG;
    r.cpu.cr3 = 0x1000;
    let linear = 0x0070_5123;
    r.put32(0x1000 + 4, 0x2007);
    r.put32(0x2000 + 4 * 0x305, 0x3007);
    r.put32(0x3120, 0x4433_2211);
    assert_eq!(r.exec().load::<u8>(linear), Ok(0x44));
    assert_eq!(r.get32(0x1004), 0x2027);
    assert_eq!(r.get32(0x2000 + 4 * 0x305), 0x3027);
    // PS without CR4.PSE is ignored.
    r.put32(0x1004, 0x2087);
    assert_eq!(r.exec().load::<u8>(linear), Ok(0x44));
    r.cpu.cr4 |= cr4::PSE;
    r.put32(0x1004, 0x40_0087);
    r.mem.write_physical(0x70_5123, &[0x99]);
    assert_eq!(r.exec().load::<u8>(linear), Ok(0x99));
    r.put32(0x1004, 0x60_0087);
    assert_eq!(r.exec().load::<u8>(linear), Err(Fault::pf(linear, 9)), "bit 21");
    // PSE-36: bit 13 is address bit 32, which no RAM answers; bit 17 is beyond 36 bits.
    r.put32(0x1004, 0x40_2087);
    assert_eq!(r.exec().load::<u8>(linear), Ok(0xff));
    r.put32(0x1004, 0x42_0087);
    assert_eq!(r.exec().load::<u8>(linear), Err(Fault::pf(linear, 9)), "bit 17");
}

/// PAE: PDPTEs are registers, loaded and checked by MOV to CR3, and not looked at in memory afterwards.
#[test]
fn pae() {
    use lucid86_cpu::helper::mov_to_cr;
    let mut r = Rig::new("pentium3", 64);
    r.protected(0);
    let linear = 0x4020_0000;
    r.put64(0x1008, 0x2001);
    r.put64(0x2008, 0x3003);
    r.put64(0x3000, 0x4003);
    r.put32(0x4000, 0x1234_5678);
    let mut x = r.exec();
    mov_to_cr(&mut x, 3, 0x1000).unwrap();
    mov_to_cr(&mut x, 4, cr4::PAE).unwrap();
    mov_to_cr(&mut x, 0, 0x8001_0011).unwrap();
    assert_eq!(x.load::<u32>(linear), Ok(0x1234_5678));
    r.put64(0x1008, 0);
    let mut x = r.exec();
    assert_eq!(x.load::<u32>(linear), Ok(0x1234_5678), "the register still holds the entry");
    mov_to_cr(&mut x, 3, 0x1000).unwrap();
    assert_eq!(x.load::<u32>(linear), Err(Fault::pf(linear, 0)));
    // Reserved bits of a present PDPTE: 1, 2, 5-8, and above the width.
    for bit in [1, 2, 5, 6, 7, 8, 36, 63] {
        r.put64(0x1008, 0x2001 | 1 << bit);
        let before = r.cpu.clone();
        let mut x = r.exec();
        assert_eq!(mov_to_cr(&mut x, 3, 0x1000), Err(Fault::gp(0)), "bit {bit}");
        assert_eq!(r.cpu, before);
        r.put64(0x1008, 1 << bit);
        assert_eq!(mov_to_cr(&mut r.exec(), 3, 0x1000), Ok(()), "bit {bit}, not present");
    }
}

/// Bits 62:52 of PAE's entries are reserved (SDM volume 3, tables 4-9 to 4-11).
#[test]
fn pae_reserved_bits() {
    for at in [0x2008, 0x3000] {
        for bit in 52..63 {
            let mut r = Rig::new("x86-64-v2", 64);
            r.protected(0);
            r.cpu.cr0 |= cr0::PG;
            r.cpu.cr4 |= cr4::PAE;
            r.cpu.pdpte = [0, 0x2001, 0, 0];
            r.put64(0x2008, 0x3003);
            r.put64(0x3000, 0x4003);
            let linear = 0x4020_0000;
            assert_eq!(r.exec().load::<u32>(linear), Ok(0));
            r.put64(at, r.get64(at) | 1 << bit);
            assert_eq!(r.exec().load::<u32>(linear), Err(Fault::pf(linear, 9)), "{at:x}, bit {bit}");
        }
    }
}

/// One table at hundreds of places: a change of any entry is seen at each of them.
#[test]
fn one_table_at_many_places() {
    let mut r = Rig::new("x86-64-v2", 64);
    r.put64(0x1000, 0x2003);
    r.put64(0x2000, 0x3003);
    for n in 0..512 {
        r.put64(0x3000 + 8 * n, 0x4003);
        r.put64(0x4000 + 8 * n, 0x9003);
    }
    r.put64(0x9000, 0x11);
    r.put64(0xa000, 0x22);
    r.long(0, 0x1000);
    // Region n's page n, so that no two meet in the TLB.
    let linear = |n: u64| n << 21 | n << 12;
    let mut x = r.exec();
    for n in 0..400 {
        assert_eq!(x.load::<u64>(linear(n)), Ok(0x11));
    }
    for n in (0..400).rev() {
        r.put64(0x4000 + 8 * n, 0xa003);
        assert_eq!(r.exec().load::<u64>(linear(n)), Ok(0x22), "region {n}");
    }
}

/// The A20 gate, closed and opened under translations that are known (an address line: SDM volume 3, 8.7.13.4, A20M#).
#[test]
fn a20_is_seen_at_once() {
    let mut r = Rig::new("x86-64-v2", 512);
    r.put32(0x1234, 1);
    r.put32(0x10_1234, 2);
    r.protected(0);
    for (open, want) in [(true, 2), (false, 1), (true, 2), (false, 1)] {
        r.mem.set_a20(open);
        // The second access goes the short way.
        let mut x = r.exec();
        assert_eq!([x.load::<u32>(0x10_1234), x.load::<u32>(0x10_1234)], [Ok(want); 2], "open: {open}");
    }
}

/// Both pages of a crossing are checked before any byte changes, and the fault names the second page's first byte.
#[test]
fn crossings() {
    let mut r = Rig::new("x86-64-v2", 64);
    let at = tables(&mut r, LINEAR, P | W | U, P | W | U);
    r.long(3, 0x1000);
    let linear = LINEAR + 0xffd;
    assert_eq!(r.exec().store::<u64>(linear, !0), Err(Fault::pf(LINEAR + 0x1000, 6)));
    assert_eq!(r.get64(0x9ff8), 0);
    r.put64(at[3] + 8, 0xd000 | P | W | U);
    r.exec().store::<u64>(linear, 0x8877_6655_4433_2211).unwrap();
    assert_eq!(r.exec().load::<u64>(linear), Ok(0x8877_6655_4433_2211));
    assert_eq!(r.get64(0x9ff8) >> 40, 0x33_2211);
    assert_eq!(r.get64(0xd000), 0x88_7766_5544);
    let mut x = r.exec();
    let h = x.probe_write(linear, 4).unwrap();
    assert_eq!(x.load_probed::<u32>(&h), 0x4433_2211);
    x.store_probed::<u32>(&h, 0xaabb_ccdd);
    assert_eq!(x.load::<u32>(linear), Ok(0xaabb_ccdd));
    let mut bytes = [0; 30];
    x.store_bytes(LINEAR + 0xff0, &[7; 30]).unwrap();
    x.load_bytes(LINEAR + 0xff0, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 30]);
}

/// Chips see accesses at their width; ROM ignores stores; a map change is seen at once.
#[test]
fn places() {
    let mut r = Rig::new("x86-64-v2", 64);
    r.protected(0);
    r.mem.map(0x20, 1, Place::Chip(5), Place::Chip(5));
    r.mem.map(0x21, 1, Place::Frame(0x21), Place::Unmapped);
    r.board.chip_value = 0x1_0203_0405;
    let mut x = r.exec();
    assert_eq!(x.load::<u16>(0x2_0010), Ok(0x0405));
    x.store::<u32>(0x2_0010, 0xdead_beef).unwrap();
    x.store::<u32>(0x2_1000, 1).unwrap();
    assert_eq!(x.load::<u32>(0x2_1000), Ok(0));
    assert_eq!(x.load::<u32>(0x7fff_0000), Ok(!0));
    assert_eq!(r.board.chip_log, [(5, 0x2_0010, 4, 0xdead_beef)]);
    r.mem.map(0x20, 1, Place::Frame(0x22), Place::Frame(0x22));
    assert_eq!(r.exec().load::<u16>(0x2_0010), Ok(0));
}

/// Stores leave the fast path when a frame gets a mark or the dirty epoch ends.
#[test]
fn marks_and_epochs() {
    let mut r = Rig::new("x86-64-v2", 64);
    r.protected(0);
    let mut x = r.exec();
    x.store::<u8>(0x5000, 1).unwrap();
    x.store::<u8>(0x5000, 2).unwrap();
    x.derived.tlb.mark_frame(x.mem, 5, mark::CODE);
    x.store::<u8>(0x5004, 3).unwrap();
    assert_eq!(x.derived.code_touched.len(), 1);
    assert_eq!((x.derived.code_touched[0].frame, x.derived.code_touched[0].start), (5, 4));
    x.store::<u8>(0x6000, 1).unwrap();
    let ended = r.mem.next_epoch();
    assert!(!r.mem.dirty_since(6, ended + 1));
    r.exec().store::<u8>(0x6000, 2).unwrap();
    assert!(r.mem.dirty_since(6, ended + 1));
}

/// Random stores to tables, aliases, roots and views, with the TLB as it comes against one dropped before every
/// access: same values, same faults, same memory.
#[test]
fn tlb_cannot_be_seen() {
    let mut rigs = [Rig::new("x86-64-v2", 64), Rig::new("x86-64-v2", 64), Rig::new("x86-64-v2", 64)];
    for r in &mut rigs {
        // Two roots over shared and own tables; an identity window through which tables are changed.
        for root in [0x1000u64, 0x2000] {
            r.put64(root, 0x3000 | P | W | U);
            r.put64(root + 8, if root == 0x1000 { 0x4000 } else { 0x5000 } | P | W | U);
        }
        for l3 in [0x3000u64, 0x4000, 0x5000] {
            r.put64(l3, 0x6000 | P | W | U);
            r.put64(l3 + 8, 0x7000 | P | W | U);
        }
        for i in 0..8u64 {
            r.put64(0x6000 + 8 * i, (0x8000 + 0x1000 * (i & 3)) | P | W | U);
            r.put64(0x7000 + 8 * i, (0x8000 + 0x1000 * (i & 3)) | P | W | U);
        }
        for t in 0..4u64 {
            for i in 0..512u64 {
                r.put64(0x8000 + 0x1000 * t + 8 * i, ((i * 7 + t) % 32) << 12 | P | W | U);
            }
        }
    }
    rigs[2].derived.tlb.resize(2, 1);
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |n: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % n
    };
    for step in 0..200_000u32 {
        let what = next(10);
        let linear = next(2) << 39 | next(2) << 30 | next(4) << 21 | next(24) << 12 | (next(512) * 8);
        let table = 0x3000 + 0x1000 * next(9) + 8 * next(10);
        let entry =
            (next(32) << 12) | next(8) | next(4) << 5 | ((next(16) == 0) as u64 * PS) | (next(8) != 0) as u64;
        let (cpl, root, wp) = (3 * next(2) as u8, 0x1000 + 0x1000 * next(2), next(2) != 0);
        let drop = next(3);
        let mut results = Vec::new();
        for (n, r) in rigs.iter_mut().enumerate() {
            r.long(cpl, root);
            r.cpu.cr0 = r.cpu.cr0 & !cr0::WP | if wp { cr0::WP } else { 0 };
            if n == 1 {
                r.derived = Default::default();
            }
            if n == 2 && drop == 0 {
                r.derived.tlb.resize(1 << (step % 5), 1 + step as usize % 4);
            }
            if what == 0 {
                r.put64(table, entry);
                continue;
            }
            let mut x = r.exec();
            let got = match what {
                1..=5 => x.load::<u64>(linear),
                6 | 7 => x.store::<u64>(linear, entry).map(|()| 0),
                8 => x.fetch_page(linear).map(|p| p.0),
                _ => x.load_system::<u64>(linear),
            };
            results.push(got);
        }
        assert!(results.windows(2).all(|w| w[0] == w[1]), "step {step}: {results:x?}");
    }
    for page in 0..64 {
        let read = |r: &Rig| {
            let mut b = [0; 4096];
            r.mem.read_physical(page * 4096, &mut b);
            b
        };
        assert!(read(&rigs[0]) == read(&rigs[1]) && read(&rigs[0]) == read(&rigs[2]), "page {page}");
    }
}

/// The walker as a function: no paging is identity within 32 bits.
#[test]
fn no_paging_is_identity() {
    let mut r = Rig::new("386", 16);
    let s = space::Space::of(&r.cpu);
    let w = space::walk(&mut r.mem, &s, 0x1_2345_6789, Access::Write, View::User).unwrap();
    assert_eq!(w.phys, 0x2345_6000);
}
