//! Linux kernels ("The Linux/x86 Boot Protocol", Documentation/arch/x86/boot.rst and zero-page.rst): bzImages by the
//! 32-bit entry, from where the kernel's own head goes on to 64-bit mode; old zImages, which promise no other, by the
//! 16-bit one.

use super::{Entry, Target};

const BOOT_PARAMS: u64 = 0x9_0000;
const COMMAND_LINE: u64 = 0x2_0000;
const SETUP_HEADER: usize = 0x1f1;
const LOADED_HIGH: u8 = 1;
/// Loader type of those without a number.
const UNDEFINED_LOADER: u8 = 0xff;

/// Whether the file has the setup header's magic.
pub fn is_bzimage(file: &[u8]) -> bool {
    file.get(0x202..0x206) == Some(b"HdrS")
}

/// Fields of the setup header that loading needs.
#[derive(Debug)]
struct Header {
    version: u16,
    /// Bytes of real-mode code in front.
    setup_len: usize,
    /// Bytes of protected-mode code after it.
    code_len: usize,
    code32_start: u32,
    initrd_max: u64,
    command_line_max: usize,
    /// Where the kernel wants to be unpacked, and bytes that it needs there.
    preferred: u64,
    init_size: u64,
    /// One past the header's last byte, in the file.
    end: usize,
    /// A zImage: the protected-mode code goes below 640 KiB, and only the 16-bit entry is promised.
    low: bool,
}

impl Header {
    fn parse(file: &[u8]) -> Result<Header, String> {
        let byte = |at: usize| file.get(at).copied().ok_or_else(|| cut_short(at + 1, file.len()));
        let word = |at: usize| Ok::<_, String>(u16::from(byte(at)?) | u16::from(byte(at + 1)?) << 8);
        let dword = |at: usize| Ok::<_, String>(u32::from(word(at)?) | u32::from(word(at + 2)?) << 16);
        let version = word(0x206)?;
        if version < 0x200 {
            return Err(format!(
                "boot protocol {}.{:02} is too old: 2.00 or later",
                version >> 8,
                version & 0xff
            ));
        }
        let sectors = match byte(0x1f1)? {
            0 => 4,
            n => usize::from(n),
        };
        let setup_len = (sectors + 1) * 512;
        // Before 2.04 the field has 16 bits.
        let paragraphs = if version >= 0x204 { dword(0x1f4)? } else { u32::from(word(0x1f4)?) };
        let promised = setup_len + paragraphs as usize * 16;
        // The last paragraph need not be whole.
        if paragraphs == 0 || file.len() + 15 < promised {
            return Err(cut_short(promised, file.len()));
        }
        let since = |v: u16, value: u64, before: u64| if version >= v { value } else { before };
        Ok(Header {
            version,
            setup_len,
            code_len: promised.min(file.len()) - setup_len,
            code32_start: dword(0x214)?,
            initrd_max: since(0x203, dword(0x22c)?.into(), 0x37ff_ffff),
            command_line_max: since(0x206, dword(0x238)?.into(), 255).min(0xffff) as usize,
            preferred: if version >= 0x20a {
                u64::from(dword(0x258)?) | u64::from(dword(0x25c)?) << 32
            } else {
                dword(0x214)?.into()
            },
            init_size: since(0x20a, dword(0x260)?.into(), 0),
            low: byte(0x211)? & LOADED_HIGH == 0,
            end: (0x202 + usize::from(byte(0x201)?)).clamp(0x202, 0x290),
        })
    }
}

fn cut_short(promised: usize, has: usize) -> String {
    format!("is cut short: its header promises {promised} bytes, the file has {has}")
}

/// Loads kernel, initial RAM disk and command line.
pub fn load(file: &[u8], initrd: Option<&[u8]>, append: &str, t: &mut Target) -> Result<Entry, String> {
    let h = Header::parse(file)?;
    if append.len() > h.command_line_max {
        return Err(format!(
            "takes a command line of at most {} bytes, not {}",
            h.command_line_max,
            append.len()
        ));
    }
    if h.low {
        return load_low(file, &h, append, t);
    }
    let code_at = u64::from(h.code32_start);
    t.put(code_at, &file[h.setup_len..h.setup_len + h.code_len])?;
    let code_end = code_at + h.code_len as u64;
    // A kernel below its preferred address moves itself up there before it unpacks.
    let busy_end = code_end.max(code_at.max(h.preferred).saturating_add(h.init_size));
    t.check(code_at, busy_end - code_at)?;

    let mut params = vec![0u8; 4096];
    let header_end = h.end.min(file.len());
    params[SETUP_HEADER..header_end].copy_from_slice(&file[SETUP_HEADER..header_end]);
    screen_info(&mut params, t);
    memory_map(&mut params, t);
    let mut put = |at: usize, v: u32| params[at..at + 4].copy_from_slice(&v.to_le_bytes());
    put(0x070, t.rsdp); // acpi_rsdp_addr, high half 0
    put(0x228, COMMAND_LINE as u32);
    if let Some(initrd) = initrd {
        let at = place_initrd(initrd.len() as u64, busy_end, &h, t)?;
        t.put(at, initrd)?;
        put(0x218, at as u32);
        put(0x21c, initrd.len() as u32);
    }
    params[0x210] = UNDEFINED_LOADER;
    if h.version >= 0x201 {
        params[0x211] |= 0x80; // CAN_USE_HEAP
        params[0x224..0x226].copy_from_slice(&0xde00u16.to_le_bytes());
    }
    t.put(BOOT_PARAMS, &params)?;
    t.put(COMMAND_LINE, &[append.as_bytes(), &[0]].concat())?;
    Ok(Entry::Protected { eip: h.code32_start, eax: 0, ebx: 0, esi: BOOT_PARAMS as u32 })
}

/// A zImage: real-mode code at 90000h, which is entered, the rest at 10000h.
fn load_low(file: &[u8], h: &Header, append: &str, t: &mut Target) -> Result<Entry, String> {
    const CODE: u64 = 0x1_0000;
    const LINE: u16 = 0x9800; // in the setup segment, behind the largest setup code
    if h.setup_len > 0x9000 || h.code_len as u64 > BOOT_PARAMS - CODE {
        return Err("is a damaged zImage: it is larger than the memory that it is to be in".into());
    }
    t.put(CODE, &file[h.setup_len..h.setup_len + h.code_len])?;
    let mut setup = file[..h.setup_len].to_vec();
    setup[0x210] = UNDEFINED_LOADER;
    setup[0x211] |= 0x80; // CAN_USE_HEAP
    setup[0x224..0x226].copy_from_slice(&(LINE - 0x400).to_le_bytes());
    if h.version >= 0x202 {
        setup[0x228..0x22c].copy_from_slice(&(BOOT_PARAMS as u32 + u32::from(LINE)).to_le_bytes());
    } else {
        setup[0x20..0x22].copy_from_slice(&0xa33fu16.to_le_bytes());
        setup[0x22..0x24].copy_from_slice(&LINE.to_le_bytes());
    }
    t.put(BOOT_PARAMS, &setup)?;
    t.put(BOOT_PARAMS + u64::from(LINE), &[append.as_bytes(), &[0]].concat())?;
    Ok(Entry::Real {
        segment: (BOOT_PARAMS >> 4) as u16,
        entry: ((BOOT_PARAMS >> 4) + 0x20) as u16,
        stack: LINE - 0x10,
    })
}

/// As high as the kernel can take it, on a page.
fn place_initrd(len: u64, busy_end: u64, h: &Header, t: &Target) -> Result<u64, String> {
    let top = t.layout.usable_end().min(h.initrd_max.saturating_add(1));
    let at = top.checked_sub(len).map(|a| a & !0xfff);
    at.filter(|a| *a >= busy_end).ok_or_else(|| {
        format!(
            "leaves no room for an initrd of {len} bytes between {busy_end:#x} and {top:#x}: give more with --memory"
        )
    })
}

/// The text screen as the BIOS data area has it.
fn screen_info(params: &mut [u8], t: &Target) {
    let mut bda = [0; 0x100];
    t.mem.read_physical(0x400, &mut bda);
    let or = |v: u8, usual: u8| if v == 0 { usual } else { v };
    params[0x00] = bda[0x50]; // cursor column
    params[0x01] = bda[0x51]; // cursor row
    params[0x06] = or(bda[0x49], 3); // mode
    params[0x07] = or(bda[0x4a], 80); // columns
    params[0x0e] = or(bda[0x84], 24).saturating_add(1); // lines
    params[0x0f] = 1; // a VGA
    params[0x10] = or(bda[0x85], 16); // points of a character
}

fn memory_map(params: &mut [u8], t: &Target) {
    let ranges = t.layout.ranges();
    params[0x1e8] = ranges.len() as u8;
    for (i, r) in ranges.iter().enumerate() {
        let row = &mut params[0x2d0 + 20 * i..][..20];
        row[..8].copy_from_slice(&r.base.to_le_bytes());
        row[8..16].copy_from_slice(&r.len.to_le_bytes());
        row[16] = r.kind as u8;
    }
    let extended_kib = (t.layout.usable_end().saturating_sub(0x10_0000)) >> 10;
    params[0x02..0x04].copy_from_slice(&(extended_kib.min(0xfc00) as u16).to_le_bytes());
    params[0x1e0..0x1e4].copy_from_slice(&(extended_kib as u32).to_le_bytes());
}
