//! Puts AML together byte by byte: just the terms that our DSDT needs (ACPI specification 6.4, chapter 20 "ACPI Machine
//! Language" and section 6.4 "Resource Data Types").

/// A piece of AML.
pub type Aml = Vec<u8>;

/// Concatenates pieces.
pub fn list(parts: &[Aml]) -> Aml {
    parts.concat()
}

/// PkgLength of section 20.2.4 in front of `body`; it counts itself.
fn with_length(body: &[u8]) -> Aml {
    let mut out = match body.len() {
        n if n + 1 < 0x40 => vec![(n + 1) as u8],
        n if n + 2 < 0x1000 => vec![0x40 | ((n + 2) & 15) as u8, ((n + 2) >> 4) as u8],
        n => vec![0x80 | ((n + 3) & 15) as u8, ((n + 3) >> 4) as u8, ((n + 3) >> 12) as u8],
    };
    out.extend_from_slice(body);
    out
}

fn op_with_length(op: &[u8], parts: &[Aml]) -> Aml {
    let mut out = op.to_vec();
    out.extend(with_length(&parts.concat()));
    out
}

/// A name such as `_SB_`, `\_SB.PCI0`, `PRQ0`.
pub fn name(path: &str) -> Aml {
    let (mut out, rest) = match path.strip_prefix('\\') {
        Some(r) => (vec![b'\\'], r),
        None => (vec![], path),
    };
    let segments: Vec<&str> = rest.split('.').filter(|s| !s.is_empty()).collect();
    match segments.len() {
        0 => out.push(0),
        1 => {}
        2 => out.push(0x2e),
        n => out.extend([0x2f, n as u8]),
    }
    for s in segments {
        out.extend(s.bytes().chain(std::iter::repeat(b'_')).take(4));
    }
    out
}

/// An integer in its shortest form.
pub fn int(v: u64) -> Aml {
    match v {
        0 => vec![0],
        1 => vec![1],
        2..=0xff => vec![0x0a, v as u8],
        0x100..=0xffff => [&[0x0b][..], &(v as u16).to_le_bytes()].concat(),
        0x1_0000..=0xffff_ffff => [&[0x0c][..], &(v as u32).to_le_bytes()].concat(),
        _ => [&[0x0e][..], &v.to_le_bytes()].concat(),
    }
}

/// `Name (path, value)`.
pub fn define(path: &str, value: Aml) -> Aml {
    list(&[vec![0x08], name(path), value])
}

/// `Scope (path) { ... }`.
pub fn scope(path: &str, body: &[Aml]) -> Aml {
    op_with_length(&[0x10], &[name(path), body.concat()])
}

/// `Device (path) { ... }`.
pub fn device(path: &str, body: &[Aml]) -> Aml {
    op_with_length(&[0x5b, 0x82], &[name(path), body.concat()])
}

/// `Method (path, args, Serialized) { ... }`.
pub fn method(path: &str, args: u8, body: &[Aml]) -> Aml {
    op_with_length(&[0x14], &[name(path), vec![args | 8], body.concat()])
}

/// `Package () { ... }`.
pub fn package(items: &[Aml]) -> Aml {
    op_with_length(&[0x12], &[vec![items.len() as u8], items.concat()])
}

/// `If (condition) { ... }`.
pub fn if_then(condition: Aml, body: &[Aml]) -> Aml {
    op_with_length(&[0xa0], &[condition, body.concat()])
}

/// `Return (value)`.
pub fn give(value: Aml) -> Aml {
    list(&[vec![0xa4], value])
}

/// `Store (value, to)`.
pub fn store(value: Aml, to: Aml) -> Aml {
    list(&[vec![0x70], value, to])
}

/// `And (a, b)`.
pub fn and(a: Aml, b: Aml) -> Aml {
    list(&[vec![0x7b], a, b, vec![0]])
}

/// `Or (a, b, to)`.
pub fn or_into(a: Aml, b: Aml, to: Aml) -> Aml {
    list(&[vec![0x7d], a, b, to])
}

/// `Arg0`.
pub fn arg0() -> Aml {
    vec![0x68]
}

/// `CreateDWordField (buffer, byte, path)`.
pub fn dword_field(buffer: Aml, byte: u64, path: &str) -> Aml {
    list(&[vec![0x8a], buffer, int(byte), name(path)])
}

/// `OperationRegion (path, PCI_Config, offset, length)`.
pub fn pci_region(path: &str, offset: u64, length: u64) -> Aml {
    list(&[vec![0x5b, 0x80], name(path), vec![0x02], int(offset), int(length)])
}

/// `Field (region, ByteAcc, NoLock, Preserve)` of 8-bit fields.
pub fn byte_fields(region: &str, fields: &[&str]) -> Aml {
    let units: Vec<Aml> = fields.iter().map(|f| list(&[name(f), vec![8]])).collect();
    op_with_length(&[0x5b, 0x81], &[name(region), vec![0x01], units.concat()])
}

/// `EisaId ("PNP0A03")` as an integer (section 19.3.4).
pub fn eisa_id(id: &str) -> Aml {
    let b = id.as_bytes();
    let letter = |i: usize| u32::from(b[i] - 0x40) & 0x1f;
    let vendor = letter(0) << 10 | letter(1) << 5 | letter(2);
    let product = u32::from_str_radix(&id[3..], 16).unwrap_or(0);
    int(u64::from((vendor << 16 | product).swap_bytes()))
}

/// `ResourceTemplate () { ... }`: descriptors and the end tag, in a buffer.
pub fn resources(descriptors: &[Aml]) -> Aml {
    let mut bytes = descriptors.concat();
    bytes.extend([0x79, 0]);
    op_with_length(&[0x11], &[int(bytes.len() as u64), bytes.clone()])
}

/// `IO (Decode16, at, at, 1, length)`.
pub fn io(at: u16, length: u8) -> Aml {
    let [l, h] = at.to_le_bytes();
    vec![0x47, 1, l, h, l, h, 1, length]
}

/// `IRQNoFlags () {irq}`.
pub fn irq(irq: u8) -> Aml {
    let [l, h] = (1u16 << irq).to_le_bytes();
    vec![0x22, l, h]
}

/// `DMA (Compatibility, NotBusMaster, Transfer8) {channel}`.
pub fn dma(channel: u8) -> Aml {
    vec![0x2a, 1 << channel, 0]
}

/// `Memory32Fixed (ReadWrite, base, length)`.
pub fn memory32(base: u32, length: u32) -> Aml {
    [&[0x86, 9, 0, 1][..], &base.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// `Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {...}`.
pub fn interrupts(gsis: &[u32]) -> Aml {
    let mut out = vec![0x89];
    out.extend((2 + 4 * gsis.len() as u16).to_le_bytes());
    out.extend([0b1001, gsis.len() as u8]);
    out.extend(gsis.iter().flat_map(|g| g.to_le_bytes()));
    out
}

/// What an address range is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Memory; `true` if it may be cached.
    Memory(bool),
    /// I/O ports.
    Io,
    /// Bus numbers.
    Bus,
}

impl Range {
    fn head(self) -> [u8; 3] {
        // Producer, positive decode, both ends fixed.
        match self {
            Range::Memory(cached) => [0, 0x0c, 1 | u8::from(cached) << 1],
            Range::Io => [1, 0x0c, 3],
            Range::Bus => [2, 0x0c, 0],
        }
    }
}

/// `WordIO`, `WordBusNumber`: a window of the bridge, ends included.
pub fn word_window(kind: Range, first: u16, last: u16) -> Aml {
    let mut out = vec![0x88, 0x0d, 0];
    out.extend(kind.head());
    for v in [0, first, last, 0, (last - first).wrapping_add(1)] {
        out.extend(v.to_le_bytes());
    }
    out
}

/// `DWordMemory`: a window of the bridge, ends included.
pub fn dword_window(kind: Range, first: u32, last: u32) -> Aml {
    let mut out = vec![0x87, 0x17, 0];
    out.extend(kind.head());
    for v in [0, first, last, 0, (last - first).wrapping_add(1)] {
        out.extend(v.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eisa_ids_are_packed_as_the_specification_says() {
        // ACPI 6.4, section 19.3.4: EisaId("PNP0C09") is 090CD041h.
        assert_eq!(eisa_id("PNP0C09"), int(0x090c_d041));
    }

    #[test]
    fn lengths_count_themselves() {
        assert_eq!(scope("\\", &[vec![0; 3]])[1], 6);
        let long = scope("\\", &[vec![0; 0x100]]);
        assert_eq!((usize::from(long[1] & 15)) | usize::from(long[2]) << 4, long.len() - 1);
        assert_eq!(long[1] >> 6, 1);
    }

    #[test]
    fn names_are_four_letters() {
        assert_eq!(name("\\_SB.PCI0"), b"\\\x2e_SB_PCI0");
        assert_eq!(name("A"), b"A___");
        assert_eq!(name("\\"), b"\\\0");
    }
}
