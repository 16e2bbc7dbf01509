//! The standard diskettes: what an image's size says about tracks, heads, sectors and data rate.

use serde::{Deserialize, Serialize};

/// Bytes in a sector.
pub const SECTOR: u64 = 512;

/// How a diskette is formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Tracks of a side.
    pub cylinders: u8,
    /// Sides.
    pub heads: u8,
    /// Sectors of a track.
    pub sectors: u8,
}

const fn format(cylinders: u8, heads: u8, sectors: u8) -> Geometry {
    Geometry { cylinders, heads, sectors }
}

/// What images of exactly these sizes are, smallest first.
const FORMATS: [Geometry; 12] = [
    format(40, 1, 8),  // 160 KB
    format(40, 1, 9),  // 180 KB
    format(40, 2, 8),  // 320 KB
    format(40, 2, 9),  // 360 KB
    format(80, 2, 9),  // 720 KB
    format(80, 2, 15), // 1.2 MB
    HIGH_DENSITY,
    format(80, 2, 21), // 1.68 MB
    format(82, 2, 21), // 1.72 MB
    format(80, 2, 22), // 1.76 MB
    format(80, 2, 24), // 1.92 MB
    EXTRA_DENSITY,
];
const HIGH_DENSITY: Geometry = format(80, 2, 18);
const EXTRA_DENSITY: Geometry = format(80, 2, 36);

/// The data rate while nobody has chosen one. A real controller is at 250 kbit/s then (Intel 82077AA, chapter 2, data rate select register), but the
/// BIOS of Bochs reads diskettes of all kinds without ever choosing.
pub const UNSET_RATE: u8 = 4;

impl Geometry {
    /// The format of an image of `bytes` bytes. A size that is none of the standard ones is a shorter image of the 1.44 MB diskette or, past that,
    /// of the 2.88 MB one; `None` if it is larger still, or empty.
    pub fn of(bytes: u64) -> Option<Geometry> {
        if bytes == 0 {
            return None;
        }
        let exact = FORMATS.into_iter().find(|g| g.bytes() == bytes);
        exact.or_else(|| [HIGH_DENSITY, EXTRA_DENSITY].into_iter().find(|g| bytes <= g.bytes()))
    }

    /// Size of the whole diskette.
    pub fn bytes(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors) * SECTOR
    }

    /// The drive type that the CMOS byte 10h gives to a drive for this format: 1 (360 KB) to 5 (2.88 MB).
    pub fn drive_type(self) -> u8 {
        match (self.cylinders, self.sectors) {
            (40, _) => 1,
            (_, 15) => 2,
            (_, 9) => 3,
            (_, 36) => 5,
            _ => 4,
        }
    }

    /// Whether the format can be read at a data rate as CCR codes it: 0 is 500 kbit/s, 1 is 300, 2 is 250, 3 is 1,000.
    /// The same diskette asks for 300 in a drive that turns faster, so both are right for double density.
    /// [`UNSET_RATE`] reads anything.
    pub fn reads_at(self, rate: u8) -> bool {
        match self.sectors {
            _ if rate == UNSET_RATE => true,
            0..=9 => matches!(rate, 1 | 2),
            36 => rate == 3,
            _ => rate == 0,
        }
    }

    /// Byte offset of a sector; sectors count from 1.
    pub fn offset(self, cylinder: u8, head: u8, sector: u8) -> Option<u64> {
        let exists = cylinder < self.cylinders && head < self.heads && sector != 0 && sector <= self.sectors;
        let track = u64::from(cylinder) * u64::from(self.heads) + u64::from(head);
        exists.then(|| (track * u64::from(self.sectors) + u64::from(sector) - 1) * SECTOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_name_formats() {
        assert_eq!(Geometry::of(1_474_560), Some(format(80, 2, 18)));
        assert_eq!(Geometry::of(368_640), Some(format(40, 2, 9)));
        assert_eq!(Geometry::of(163_840), Some(format(40, 1, 8)));
        assert_eq!(Geometry::of(2_949_120), Some(format(80, 2, 36)));
        assert_eq!(Geometry::of(512), Some(format(80, 2, 18)));
        assert_eq!(Geometry::of(1_500_000), Some(format(80, 2, 36)));
        assert_eq!(Geometry::of(3_000_000), None);
        assert_eq!(Geometry::of(0), None);
        assert!(FORMATS.is_sorted_by_key(|g| g.bytes()));
    }

    #[test]
    fn sectors_lie_side_by_side() {
        let g = Geometry::of(1_474_560).unwrap();
        assert_eq!(g.offset(0, 0, 1), Some(0));
        assert_eq!(g.offset(0, 1, 1), Some(18 * 512));
        assert_eq!(g.offset(1, 0, 2), Some(37 * 512));
        assert_eq!(g.offset(79, 1, 18), Some(1_474_560 - 512));
        assert_eq!(
            (g.offset(80, 0, 1), g.offset(0, 2, 1), g.offset(0, 0, 0), g.offset(0, 0, 19)),
            (None, None, None, None)
        );
    }
}
