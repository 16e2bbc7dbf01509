//! Loaders against hand-made files, whole, wild and cut short.

use super::*;
use lucid86_cpu::Cpu;
use lucid86_cpu::memory::Place;
use lucid86_cpu::model::CpuModel;

fn memory(mib: u64) -> Memory {
    let pages = mib * 256;
    let mut m = Memory::new(pages as usize, pages as usize).unwrap();
    m.map(0, pages, Place::Frame(0), Place::Frame(0));
    m
}

fn target(mem: &mut Memory, mib: u64) -> Target<'_> {
    Target { mem, layout: Layout { ram: mib << 20 }, rsdp: 0xf0000 }
}

fn read(mem: &Memory, at: u64, n: usize) -> Vec<u8> {
    let mut b = vec![0; n];
    mem.read_physical(at, &mut b);
    b
}

fn bzimage() -> Vec<u8> {
    let mut f = vec![0u8; 1024 + 4096];
    f[0x1f1] = 1;
    f[0x1f4..0x1f8].copy_from_slice(&256u32.to_le_bytes());
    f[0x201] = 0x66;
    f[0x202..0x206].copy_from_slice(b"HdrS");
    f[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    f[0x211] = 1;
    f[0x214..0x218].copy_from_slice(&0x10_0000u32.to_le_bytes());
    f[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    f[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    f[0x258..0x25c].copy_from_slice(&0x10_0000u32.to_le_bytes());
    f[0x260..0x264].copy_from_slice(&0x1_0000u32.to_le_bytes());
    f[1024..].fill(0x90);
    f
}

#[test]
fn bzimage_goes_where_the_protocol_says() {
    let mut mem = memory(16);
    let entry = linux::load(&bzimage(), Some(b"initrd"), "console=ttyS0", &mut target(&mut mem, 16)).unwrap();
    assert_eq!(entry, Entry::Protected { eip: 0x10_0000, eax: 0, ebx: 0, esi: 0x9_0000 });
    assert_eq!(read(&mem, 0x10_0000, 4), [0x90; 4]);
    assert_eq!(read(&mem, 0x2_0000, 14), b"console=ttyS0\0");
    let params = read(&mem, 0x9_0000, 4096);
    let initrd = u32::from_le_bytes(params[0x218..0x21c].try_into().unwrap());
    assert_eq!(read(&mem, initrd.into(), 6), b"initrd");
    assert_eq!(initrd % 4096, 0);
    assert_eq!(params[0x1e8], 6);
}

#[test]
fn bzimage_cut_short_anywhere_is_one_line() {
    let whole = bzimage();
    for n in [0x206, 0x210, 0x230, 0x264, 600, 1024, 1025, 4000, whole.len() - 16] {
        let mut mem = memory(16);
        let e = linux::load(&whole[..n], None, "", &mut target(&mut mem, 16)).unwrap_err();
        assert!(e.contains("cut short") && !e.contains('\n'), "{n}: {e}");
    }
}

#[test]
fn too_little_memory_is_said() {
    let mut f = bzimage();
    f[0x260..0x264].copy_from_slice(&0x4000_0000u32.to_le_bytes());
    let mut mem = memory(16);
    let e = linux::load(&f, None, "", &mut target(&mut mem, 16)).unwrap_err();
    assert!(e.contains("--memory"), "{e}");
}

/// A 32-bit ELF with one segment.
fn elf(paddr: u32, filesz: u32, memsz: u32, entry: u32) -> Vec<u8> {
    let mut f = vec![0u8; 0x200];
    f[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    let mut w16 = |at: usize, v: u16| f[at..at + 2].copy_from_slice(&v.to_le_bytes());
    for (at, v) in [(16, 2), (18, 3), (40, 52), (42, 32), (44, 1), (46, 40)] {
        w16(at, v);
    }
    let mut w32 = |at: usize, v: u32| f[at..at + 4].copy_from_slice(&v.to_le_bytes());
    for (at, v) in [(20, 1), (24, entry), (28, 52), (52, 1), (56, 0x100), (60, paddr), (64, paddr)] {
        w32(at, v);
    }
    w32(68, filesz);
    w32(72, memsz);
    f[0x100..].fill(0xcc);
    f
}

#[test]
fn elf_headers_are_allegations() {
    let good = elf(0x10_0000, 0x80, 0x1000, 0x10_0010);
    let mut mem = memory(16);
    let entry = elf::load_plain(&good, &mut target(&mut mem, 16)).unwrap();
    assert_eq!(entry, Entry::Protected { eip: 0x10_0010, eax: 0, ebx: 0, esi: 0 });
    assert_eq!(read(&mem, 0x10_007f, 2), [0xcc, 0]);
    for bad in [
        elf(0x10_0000, 0x8000, 0x8000, 0x10_0000),
        elf(0x10_0000, 0x80, 0x10, 0x10_0000),
        elf(0xffff_f000, 0x80, 0xffff_ffff, 0xffff_f000),
        elf(0xa_0000, 0x80, 0x80, 0xa_0000),
        elf(0x7000_0000, 0x80, 0x80, 0x7000_0000),
        elf(0x10_0000, 0x80, 0x80, 0x20_0000),
        good[..60].to_vec(),
    ] {
        let e = elf::load_plain(&bad, &mut target(&mut mem, 16)).unwrap_err();
        assert!(!e.contains('\n'), "{e}");
    }
}

#[test]
fn multiboot_by_address_fields() {
    let mut f = vec![0u8; 256];
    let flags = 0x1_0003u32;
    let words = [0x1bad_b002, flags, 0u32.wrapping_sub(0x1bad_b002).wrapping_sub(flags)];
    let addresses = [0x10_0010u32, 0x10_0000, 0, 0x10_2000, 0x10_0040];
    for (i, w) in words.iter().chain(&addresses).enumerate() {
        f[16 + 4 * i..20 + 4 * i].copy_from_slice(&w.to_le_bytes());
    }
    let at = multiboot::find_header(&f).unwrap();
    assert_eq!(at, 16);
    let mut mem = memory(16);
    let modules = [multiboot::Module { bytes: b"MOD".to_vec(), line: "mod x".into() }];
    let entry = multiboot::load(&f, at, &modules, "kernel a b", &mut target(&mut mem, 16)).unwrap();
    let Entry::Protected { eip, eax, ebx, .. } = entry else { panic!("{entry:?}") };
    assert_eq!((eip, eax), (0x10_0040, 0x2bad_b002));
    let mut cpu = Cpu::new(0, CpuModel::parse("pentium3").unwrap());
    entry.start(&mut target(&mut memory(16), 16), &mut cpu);
    assert_eq!((cpu.idtr.base, cpu.idtr.limit), (0, 0x3ff), "the way back to real mode");
    let info = read(&mem, ebx.into(), 120);
    let word = |at: usize| u32::from_le_bytes(info[at..at + 4].try_into().unwrap());
    assert_eq!(word(20), 1);
    let row = read(&mem, word(24).into(), 16);
    let module = u32::from_le_bytes(row[..4].try_into().unwrap());
    assert_eq!((module % 4096, read(&mem, module.into(), 3)), (0, b"MOD".to_vec()));
    assert_eq!(read(&mem, word(16).into(), 11), b"kernel a b\0");
    for cut in [20, 40] {
        assert!(multiboot::load(&f[..cut], at, &[], "", &mut target(&mut mem, 16)).is_err());
    }
}

/// What `ld -Ttext 0x100000` makes: the file's headers lie below 1 MiB, where there is no RAM, alone or in front of the code.
#[test]
fn elf_headers_below_one_mebibyte_are_left_out() {
    let mut f = elf(0xf_ff00, 0x180, 0x200, 0x10_0000);
    f[56..60].copy_from_slice(&0u32.to_le_bytes());
    let mut mem = memory(16);
    mem.write_physical(0xf_ff00, &[0x5a; 0x180]);
    let entry = elf::load_plain(&f, &mut target(&mut mem, 16)).unwrap();
    assert_eq!(entry, Entry::Protected { eip: 0x10_0000, eax: 0, ebx: 0, esi: 0 });
    assert_eq!(read(&mem, 0xf_ffff, 2), [0x5a, 0xcc]);
    assert_eq!(read(&mem, 0x10_007f, 2), [0xcc, 0]);
    // Anything else that would have to lie there is refused.
    f[0xff] = 1;
    assert!(elf::load_plain(&f, &mut target(&mut mem, 16)).is_err());
    f[0xff] = 0;
    f[60..64].copy_from_slice(&0xf_fe00u32.to_le_bytes());
    f[64..68].copy_from_slice(&0xf_fe00u32.to_le_bytes());
    assert!(elf::load_plain(&f, &mut target(&mut mem, 16)).is_err());
}
