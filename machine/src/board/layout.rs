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

/// What a range of physical space is: the numbers of INT 15h AX=E820h.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Usable = 1,
    Reserved = 2,
    AcpiData = 3,
}

/// A range of physical space, as INT 15h AX=E820h reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub len: u64,
    /// What it is.
    pub kind: Kind,
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

    /// Where the machine's tables are: the last 64 KiB of RAM below 4 GiB. `None` if there is too little RAM.
    pub fn tables_at(self) -> Option<u64> {
        (self.low_end() >= 2 << 20).then(|| self.low_end() - 0x1_0000)
    }

    /// End of the RAM below 4 GiB that programs may use.
    pub fn usable_end(self) -> u64 {
        self.tables_at().unwrap_or(self.low_end())
    }

    /// What firmware reports.
    pub fn ranges(self) -> Vec<Range> {
        let range = |kind, base, end: u64| Range { base, len: end - base, kind };
        let mut out = vec![
            range(Kind::Usable, 0, EBDA),
            range(Kind::Reserved, EBDA, 0xa_0000),
            range(Kind::Reserved, 0xe_0000, 0x10_0000),
        ];
        if self.usable_end() > 0x10_0000 {
            out.push(range(Kind::Usable, 0x10_0000, self.usable_end()));
        }
        if let Some(at) = self.tables_at() {
            out.push(range(Kind::AcpiData, at, self.low_end()));
        }
        out.push(range(Kind::Reserved, 0xfffc_0000, FOUR_GIB));
        if self.high_len() > 0 {
            out.push(range(Kind::Usable, FOUR_GIB, FOUR_GIB + self.high_len()));
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
        let sum: u64 = l.ranges().iter().filter(|r| r.kind == Kind::Usable).map(|r| r.len).sum();
        assert_eq!(sum, (6 << 30) - 0x11_0000 + EBDA);
        assert_eq!(Layout { ram: 1 << 20 }.ranges().iter().filter(|r| r.kind == Kind::Usable).count(), 1);
    }
}
