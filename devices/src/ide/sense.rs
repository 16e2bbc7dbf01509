//! Why a packet command failed: sense key, additional code and qualifier (SFF-8020i table 140, MMC-3 annex F).

use serde::{Deserialize, Serialize};

/// Key, ASC and ASCQ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sense {
    pub key: u8,
    pub asc: u8,
    pub ascq: u8,
}

macro_rules! senses {
    ($($name:ident = $key:literal, $asc:literal, $ascq:literal;)*) => {
        $(pub(super) const $name: Sense = Sense { key: $key, asc: $asc, ascq: $ascq };)*
    };
}

senses! {
    NONE = 0, 0x00, 0x00;
    NO_MEDIUM_TRAY_CLOSED = 2, 0x3a, 0x01;
    NO_MEDIUM_TRAY_OPEN = 2, 0x3a, 0x02;
    UNRECOVERED_READ = 3, 0x11, 0x00;
    INVALID_OPCODE = 5, 0x20, 0x00;
    OUT_OF_RANGE = 5, 0x21, 0x00;
    INVALID_FIELD = 5, 0x24, 0x00;
    SAVING_NOT_SUPPORTED = 5, 0x39, 0x00;
    REMOVAL_PREVENTED = 5, 0x53, 0x02;
    ILLEGAL_MODE = 5, 0x64, 0x00;
    MEDIUM_MAY_HAVE_CHANGED = 6, 0x28, 0x00;
    POWER_ON = 6, 0x29, 0x00;
}

impl Sense {
    /// REQUEST SENSE data, fixed format, 18 bytes.
    pub fn data(self) -> Vec<u8> {
        let mut data = vec![0; 18];
        data[0] = 0x70; // current error
        data[2] = self.key;
        data[7] = 10;
        data[12] = self.asc;
        data[13] = self.ascq;
        data
    }
}
