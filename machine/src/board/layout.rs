//! Where RAM lies in physical space, and what firmware says of it (E820).

/// First address of PCI's window below 4 GiB; RAM beyond goes on at 4 GiB.
pub const PCI_HOLE: u64 = 0xe000_0000;
/// 4 GiB.
pub const FOUR_GIB: u64 = 1 << 32;
/// Start of the extended BIOS data area: 1 KiB below 640 KiB.
pub const EBDA: u64 = 0x9_fc00;

/// The division of RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of RAM.
    pub ram: u64,
}

/// A range of physical space, as INT 15h AX=E820h reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// Whether it is usable RAM (type 1) or reserved (type 2).
    pub usable: bool,
}

impl Layout {
    /// End of RAM below 4 GiB.
    pub fn low_end(self) -> u64 {
        self.ram.min(PCI_HOLE)
    }

    /// Bytes of RAM from 4 GiB on.
    pub fn high_len(self) -> u64 {
        self.ram - self.low_end()
    }

    /// What firmware reports.
    pub fn ranges(self) -> Vec<Range> {
        let usable = |base, end: u64| Range { base, len: end - base, usable: true };
        let reserved = |base, end: u64| Range { base, len: end - base, usable: false };
        let mut out = vec![usable(0, EBDA), reserved(EBDA, 0xa_0000), reserved(0xe_0000, 0x10_0000)];
        if self.low_end() > 0x10_0000 {
            out.push(usable(0x10_0000, self.low_end()));
        }
        out.push(reserved(0xfffc_0000, FOUR_GIB));
        if self.high_len() > 0 {
            out.push(usable(FOUR_GIB, FOUR_GIB + self.high_len()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_goes_on_above_the_hole() {
        let l = Layout { ram: 6 << 30 };
        assert_eq!(l.low_end() + l.high_len(), 6 << 30);
        let sum: u64 = l.ranges().iter().filter(|r| r.usable).map(|r| r.len).sum();
        assert_eq!(sum, (6 << 30) - 0x10_0000 + EBDA);
        assert_eq!(Layout { ram: 1 << 20 }.ranges().iter().filter(|r| r.usable).count(), 1);
    }
}
