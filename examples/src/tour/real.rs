//! 16-bit code: the boot sector, the menu, the real-mode page, the way to protected mode and back, the picture, the end.
//!
//! In real mode the BIOS does the work: INT 10h writes, INT 16h waits for keys, INT 13h reads the disk.

use super::refs::{self, Refs, Spot};
use super::{Code, Part, at, sel, var};
use iced_x86::code_asm::*;

/// Sectors after the boot sector.
const SECTORS: u32 = ((at::END - at::REAL) / 512) as u32;

/// The boot sector: the BIOS put it at 0000:7C00 with the drive's number in DL. Reads the rest, sector by sector.
pub fn boot() -> Code {
    refs::assemble(at::BOOT, emit_boot)
}

fn emit_boot(refs: &mut Refs) -> Result<CodeAssembler, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let mut start = a.create_label();
    let mut next = a.create_label();
    let mut fine = a.create_label();
    let failed_text = refs.spot(&mut a);
    // Some BIOSes enter at 07C0:0000; a far jump makes CS zero.
    a.db(&[0xea, 5, 0x7c, 0, 0])?;
    a.set_label(&mut start)?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, at::BOOT as u32)?;
    a.mov(byte_ptr(var::DRIVE as u32), dl)?;
    // SI counts sectors from 1; BX is where the next one goes. A 1.44 MB floppy has 18 sectors a track and two heads.
    a.mov(si, 1)?;
    a.mov(bx, at::REAL as u32)?;
    a.set_label(&mut next)?;
    a.mov(ax, si)?;
    a.mov(cl, 36)?;
    a.div(cl)?; // AL cylinder, AH sector within both heads
    a.mov(ch, al)?;
    a.mov(al, ah)?;
    a.xor(ah, ah)?;
    a.mov(cl, 18)?;
    a.div(cl)?; // AL head, AH sector from 0
    a.mov(dh, al)?;
    a.mov(cl, ah)?;
    a.inc(cl)?;
    a.mov(dl, byte_ptr(var::DRIVE as u32))?;
    a.mov(ax, 0x0201)?;
    a.int(0x13)?;
    a.jnc(fine)?;
    a.mov(si, refs.address(failed_text))?;
    print(&mut a)?;
    let mut stop = a.create_label();
    a.set_label(&mut stop)?;
    a.hlt()?;
    a.jmp(stop)?;
    a.set_label(&mut fine)?;
    a.add(bx, 512)?;
    a.inc(si)?;
    a.cmp(si, SECTORS + 1)?;
    a.jb(next)?;
    a.mov(bx, at::REAL as u32)?;
    a.jmp(bx)?;
    refs.set(&mut a, failed_text)?;
    a.db(b"Lucid86 tour: the disk can't be read.\0")?;
    let names = [("start", start), ("next", next), ("fine", fine)];
    refs.name(&names);
    Ok(a)
}

/// Inline: writes the text at DS:SI with the BIOS.
fn print(a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    let mut next = a.create_label();
    let mut done = a.create_label();
    a.set_label(&mut next)?;
    a.mov(al, byte_ptr(si))?;
    a.inc(si)?;
    a.test(al, al)?;
    a.jz(done)?;
    a.mov(ah, 0x0e)?;
    a.mov(bx, 7)?;
    a.int(0x10)?;
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.nop()
}

const MENU: &[&str] = &[
    "",
    "  Lucid86: a whole PC in software",
    "  ===============================",
    "",
    "  This is a small guest program. The BIOS of this machine started it from a",
    "  floppy disk, in real mode, as every PC starts. It shows the road to 64 bits.",
    "",
    "    1  Real mode: what the BIOS left us",
    "    2  Protected mode: descriptors, interrupts, timer, keyboard",
    "    3  Long mode: page tables and 64-bit registers",
    "    4  A picture in graphics mode",
    "    5  Switch the machine off",
    "",
    "  Press a key from 1 to 5: ",
];

const REAL_PAGE: &[&str] = &[
    "",
    "  Real mode",
    "  ---------",
    "",
    "  An address is segment * 16 + offset, 20 bits. There is no protection, and the",
    "  table at address 0 says where each interrupt goes. These are the real values:",
    "",
    "",
];

/// Lines as the BIOS writes them, zero-terminated.
fn lines(text: &[&str]) -> Vec<u8> {
    let mut bytes = text.join("\r\n").into_bytes();
    bytes.push(0);
    bytes
}

/// The program behind the boot sector.
pub fn program() -> Code {
    let mut entries = [0; 2];
    let part = refs::assemble(at::REAL + HEAD, |refs| {
        let (a, back) = emit(refs)?;
        entries = back.map(|l| refs.address(l));
        Ok(a)
    })?;
    Ok(Part { bytes: finish(part.bytes, entries), names: part.names })
}

fn emit(refs: &mut Refs) -> Result<(CodeAssembler, [Spot; 2]), iced_x86::IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let mut puts = a.create_label();
    let mut hex = a.create_label();
    let mut mode3 = a.create_label();
    let mut key = a.create_label();
    let mut menu = a.create_label();
    let mut real_page = a.create_label();
    let mut walk32 = a.create_label();
    let mut walk64 = a.create_label();
    let mut picture = a.create_label();
    let mut off = a.create_label();
    let back = refs.spot(&mut a);
    let back_real = refs.spot(&mut a);
    let gdtr = refs.spot(&mut a);
    let ivtr = refs.spot(&mut a);
    let mut texts: Vec<(Spot, Vec<u8>)> = Vec::new();

    a.set_label(&mut menu)?;
    a.call(mode3)?;
    let t = refs.spot(&mut a);
    texts.push((t, lines(MENU)));
    a.mov(si, refs.address(t))?;
    a.call(puts)?;
    let mut wait = a.create_label();
    a.set_label(&mut wait)?;
    a.call(key)?;
    for (c, to) in [(b'1', real_page), (b'2', walk32), (b'3', walk64), (b'4', picture), (b'5', off)] {
        a.cmp(al, u32::from(c))?;
        a.je(to)?;
    }
    a.jmp(wait)?;

    // Real mode: segment registers, two interrupt vectors, memory size.
    a.set_label(&mut real_page)?;
    a.call(mode3)?;
    let t = refs.spot(&mut a);
    texts.push((t, lines(REAL_PAGE)));
    a.mov(si, refs.address(t))?;
    a.call(puts)?;
    let mut show = |a: &mut CodeAssembler, refs: &mut Refs, name: &str| -> Result<(), iced_x86::IcedError> {
        // The value is in AX.
        let t = refs.spot(a);
        texts.push((t, [name.as_bytes(), &[0]].concat()));
        a.push(ax)?;
        a.mov(si, refs.address(t))?;
        a.call(puts)?;
        a.pop(dx)?;
        a.call(hex)
    };
    a.mov(ax, cs)?;
    show(&mut a, refs, "    CS ")?;
    a.mov(ax, ds)?;
    show(&mut a, refs, "   DS ")?;
    a.mov(ax, ss)?;
    show(&mut a, refs, "   SS ")?;
    a.mov(ax, sp)?;
    show(&mut a, refs, "   SP ")?;
    a.smsw(ax)?;
    show(&mut a, refs, "   CR0 (low half) ")?;
    for (n, name) in [
        (8u32, "\r\n\r\n    Interrupt 08h (timer)    goes to "),
        (9, "\r\n    Interrupt 09h (keyboard) goes to "),
        (0x13, "\r\n    Interrupt 13h (disk)     goes to "),
    ] {
        a.mov(ax, word_ptr(4 * n + 2))?;
        show(&mut a, refs, name)?;
        a.mov(ax, word_ptr(4 * n))?;
        show(&mut a, refs, ":")?;
    }
    a.int(0x12)?;
    show(&mut a, refs, "\r\n\r\n    INT 12h: KiB of memory below 1 MiB  ")?;
    a.mov(ax, word_ptr(0x46c))?;
    show(&mut a, refs, "\r\n    Timer ticks that the BIOS has counted  ")?;
    let t = refs.spot(&mut a);
    texts.push((t, b"\r\n\r\n  Press a key to go back to the menu. \0".to_vec()));
    a.mov(si, refs.address(t))?;
    a.call(puts)?;
    a.call(key)?;
    a.jmp(menu)?;

    // To protected mode: interrupts off, load GDTR, set CR0.PE, far jump into a 32-bit code segment. EBP says which page.
    for (label, page) in [(&mut walk32, 0u32), (&mut walk64, 1)] {
        a.set_label(label)?;
        a.call(mode3)?;
        a.mov(ebp, page)?;
        a.mov(word_ptr(var::STACK as u32), sp)?;
        a.cli()?;
        a.mov(bx, refs.address(gdtr))?;
        a.lgdt(ptr(bx))?;
        a.mov(eax, cr0)?;
        a.or(eax, 1)?;
        a.mov(cr0, eax)?;
        // JMP 08h:PROTECTED with a 32-bit offset.
        a.db(&[0x66, 0xea])?;
        a.dd(&[at::PROTECTED as u32])?;
        a.dw(&[sel::CODE32])?;
    }

    // Back: the 32-bit part jumps here, into a 16-bit code segment, still protected. The entry is fixed (`back_entry`).
    refs.set(&mut a, back)?;
    a.mov(ax, u32::from(sel::DATA16))?;
    for s in [ds, es, fs, gs, ss] {
        a.mov(s, ax)?;
    }
    a.mov(eax, cr0)?;
    a.and(eax, -2i32)?;
    a.mov(cr0, eax)?;
    // A far jump loads CS the real-mode way.
    a.db(&[0xea, 2, 0x80, 0, 0])?;
    refs.set(&mut a, back_real)?;
    a.xor(ax, ax)?;
    for s in [ds, es, fs, gs, ss] {
        a.mov(s, ax)?;
    }
    a.mov(sp, word_ptr(var::STACK as u32))?;
    a.mov(bx, refs.address(ivtr))?;
    a.lidt(ptr(bx))?;
    a.sti()?;
    a.jmp(menu)?;

    picture_page(&mut a, &mut picture, key, puts, menu, &mut texts, refs)?;
    power_off(&mut a, &mut off, puts, menu, key, &mut texts, refs)?;

    // puts: the text at SI.
    a.set_label(&mut puts)?;
    a.cld()?;
    print(&mut a)?;
    a.ret()?;
    // hex: DX as four digits.
    a.set_label(&mut hex)?;
    a.mov(cx, 4)?;
    let mut digit = a.create_label();
    let mut decimal = a.create_label();
    a.set_label(&mut digit)?;
    a.rol(dx, 4)?;
    a.mov(al, dl)?;
    a.and(al, 15)?;
    a.add(al, 0x30)?;
    a.cmp(al, 0x39)?;
    a.jbe(decimal)?;
    a.add(al, 7)?;
    a.set_label(&mut decimal)?;
    a.mov(ah, 0x0e)?;
    a.mov(bx, 7)?;
    a.int(0x10)?;
    a.loop_(digit)?;
    a.ret()?;
    a.set_label(&mut mode3)?;
    a.mov(ax, 3)?;
    a.int(0x10)?;
    a.ret()?;
    a.set_label(&mut key)?;
    a.mov(ah, 0)?;
    a.int(0x16)?;
    a.ret()?;

    tables(&mut a, refs, gdtr, ivtr)?;
    for (spot, bytes) in texts {
        refs.set(&mut a, spot)?;
        a.db(&bytes)?;
    }
    // The first bytes are two fixed entries: the program's start, and the way back from protected mode.
    let names = [
        ("back", refs.label(back)),
        ("back_real", refs.label(back_real)),
        ("gdtr", refs.label(gdtr)),
        ("puts", puts),
        ("hex", hex),
        ("mode3", mode3),
        ("key", key),
        ("menu", menu),
        ("real_page", real_page),
        ("walk32", walk32),
        ("walk64", walk64),
        ("picture", picture),
        ("off", off),
    ];
    refs.name(&names);
    Ok((a, [back_real, back]))
}

/// Puts `JMP menu` and the two return entries in front: at 8000h a near jump to the program, at 8002h one to the real-mode
/// end of the way back, at 8005h one to its protected end; at 8010h the GDT.
fn finish(code: Vec<u8>, [back_real, back]: [u32; 2]) -> Vec<u8> {
    let mut out = vec![0u8; HEAD as usize];
    out[0] = 0xeb; // jmp short to HEAD
    out[1] = HEAD as u8 - 2;
    for (at_byte, to) in [(2usize, back_real), (5, back)] {
        let rel = (i64::from(to) - (at::REAL as i64 + at_byte as i64 + 3)) as i16;
        out[at_byte] = 0xe9;
        out[at_byte + 1..at_byte + 3].copy_from_slice(&rel.to_le_bytes());
    }
    for (n, d) in DESCRIPTORS.iter().enumerate() {
        let at_byte = (GDT - at::REAL) as usize + 8 * n;
        out[at_byte..at_byte + 8].copy_from_slice(&d.to_le_bytes());
    }
    out.extend(code);
    out
}

/// Bytes before the program: entries and the GDT.
const HEAD: u64 = 64;

/// Where 32-bit code jumps, in a 16-bit code segment, to get back.
pub const BACK_ENTRY: u32 = at::REAL as u32 + 5;

/// The GDT and the two table registers' images.
fn tables(a: &mut CodeAssembler, refs: &mut Refs, gdtr: Spot, ivtr: Spot) -> Result<(), iced_x86::IcedError> {
    refs.set(a, gdtr)?;
    a.dw(&[6 * 8 - 1])?;
    a.dd(&[GDT as u32])?;
    refs.set(a, ivtr)?;
    a.dw(&[0x3ff])?;
    a.dd(&[0])
}

/// The global descriptor table, in the program's head.
pub const GDT: u64 = at::REAL + 16;

/// The descriptors: null, 32-bit code, 32-bit data, 64-bit code, 16-bit code, 16-bit data.
pub const DESCRIPTORS: [u64; 6] = [
    0,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00af_9b00_0000_ffff,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
];

/// The Mandelbrot set in mode 13h (320 x 200, 256 colours, one byte a pixel at A000:0), in 20.12 fixed point.
fn picture_page(
    a: &mut CodeAssembler,
    picture: &mut CodeLabel,
    key: CodeLabel,
    puts: CodeLabel,
    menu: CodeLabel,
    texts: &mut Vec<(Spot, Vec<u8>)>,
    refs: &mut Refs,
) -> Result<(), iced_x86::IcedError> {
    a.set_label(picture)?;
    a.mov(ax, 0x13)?;
    a.int(0x10)?;
    // Colours: 64 steps from blue to yellow, through the DAC's ports.
    a.mov(dx, 0x3c8)?;
    a.mov(al, 16)?;
    a.out(dx, al)?;
    a.inc(dx)?;
    a.xor(cx, cx)?;
    let mut colour = a.create_label();
    a.set_label(&mut colour)?;
    a.mov(al, cl)?;
    a.out(dx, al)?;
    a.mov(al, cl)?;
    a.shr(al, 1)?;
    a.out(dx, al)?;
    a.mov(al, 63)?;
    a.sub(al, cl)?;
    a.out(dx, al)?;
    a.inc(cx)?;
    a.cmp(cx, 64)?;
    a.jb(colour)?;
    a.mov(ax, 0xa000)?;
    a.mov(es, ax)?;
    a.xor(di, di)?;
    let (mut row, mut column, mut step, mut out, mut inside) =
        (a.create_label(), a.create_label(), a.create_label(), a.create_label(), a.create_label());
    // ESI, EBP: the point; EBX, ECX: z.
    a.mov(ebp, -(100 * 48))?;
    a.set_label(&mut row)?;
    a.mov(esi, -(220 * 44))?;
    a.set_label(&mut column)?;
    a.xor(ebx, ebx)?;
    a.xor(ecx, ecx)?;
    a.mov(byte_ptr(var::KEY as u32), 63)?;
    a.set_label(&mut step)?;
    a.mov(eax, ebx)?;
    a.imul_2(eax, eax)?;
    a.sar(eax, 12)?;
    a.mov(edx, ecx)?;
    a.imul_2(edx, edx)?;
    a.sar(edx, 12)?;
    a.push(eax)?;
    a.add(eax, edx)?;
    a.cmp(eax, 4 << 12)?;
    a.pop(eax)?;
    a.ja(out)?;
    // z = z * z + c
    a.sub(eax, edx)?;
    a.add(eax, esi)?;
    a.imul_2(ecx, ebx)?;
    a.sar(ecx, 11)?;
    a.add(ecx, ebp)?;
    a.mov(ebx, eax)?;
    a.dec(byte_ptr(var::KEY as u32))?;
    a.jnz(step)?;
    a.xor(al, al)?;
    a.jmp(inside)?;
    a.set_label(&mut out)?;
    a.mov(al, byte_ptr(var::KEY as u32))?;
    a.add(al, 16)?;
    a.set_label(&mut inside)?;
    a.stosb()?;
    a.add(esi, 44)?;
    a.cmp(esi, (320 - 220) * 44)?;
    a.jl(column)?;
    a.add(ebp, 48)?;
    a.cmp(ebp, 100 * 48)?;
    a.jl(row)?;
    a.xor(ax, ax)?;
    a.mov(es, ax)?;
    let t = refs.spot(a);
    texts.push((t, b" 320 x 200, 256 colours: press a key\0".to_vec()));
    a.mov(si, refs.address(t))?;
    a.call(puts)?;
    a.call(key)?;
    a.jmp(menu)
}

/// Switches off as an operating system does: the PIIX4's power-management function (bus 0, device 1, function 3) says in
/// register 40h where its ports are; SLP_EN with sleep type 0 in PM1 control is soft-off.
fn power_off(
    a: &mut CodeAssembler,
    off: &mut CodeLabel,
    puts: CodeLabel,
    menu: CodeLabel,
    key: CodeLabel,
    texts: &mut Vec<(Spot, Vec<u8>)>,
    refs: &mut Refs,
) -> Result<(), iced_x86::IcedError> {
    a.set_label(off)?;
    a.mov(eax, 0x8000_0000u32 | 1 << 11 | 3 << 8 | 0x40)?;
    a.mov(dx, 0xcf8)?;
    a.out(dx, eax)?;
    a.mov(dx, 0xcfc)?;
    a.in_(eax, dx)?;
    a.and(eax, 0xffc0)?;
    a.add(ax, 4)?;
    a.mov(dx, ax)?;
    a.mov(ax, 1 << 13)?;
    a.out(dx, ax)?;
    // Still here: say so.
    let t = refs.spot(a);
    texts.push((t, b"\r\n  This machine can't be switched off by software.\r\n\0".to_vec()));
    a.mov(si, refs.address(t))?;
    a.call(puts)?;
    a.call(key)?;
    a.jmp(menu)
}
