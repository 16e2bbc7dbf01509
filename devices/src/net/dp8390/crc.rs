//! The frame check sequence of Ethernet and the multicast hash that is taken from it (IEEE 802.3-2018, 3.2.9).

const fn table() -> [[u32; 256]; 4] {
    let mut t = [[0; 256]; 4];
    let mut i = 0;
    while i < 256 {
        let mut v = i as u32;
        let mut bit = 0;
        while bit < 8 {
            v = if v & 1 != 0 { v >> 1 ^ 0xedb8_8320 } else { v >> 1 };
            bit += 1;
        }
        t[0][i] = v;
        i += 1;
    }
    let mut n = 1;
    while n < 4 {
        let mut i = 0;
        while i < 256 {
            let v = t[n - 1][i];
            t[n][i] = v >> 8 ^ t[0][(v & 0xff) as usize];
            i += 1;
        }
        n += 1;
    }
    t
}

static TABLE: [[u32; 256]; 4] = table();

/// The CRC register after `bytes`, before it is complemented: least significant bit first.
fn register(bytes: &[u8]) -> u32 {
    advance(!0, bytes)
}

/// The CRC register `crc` after some more `bytes`. It starts with all ones.
pub fn advance(mut crc: u32, bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(4);
    for w in &mut words {
        let v = crc ^ u32::from_le_bytes([w[0], w[1], w[2], w[3]]);
        crc = TABLE[3][(v & 0xff) as usize]
            ^ TABLE[2][(v >> 8 & 0xff) as usize]
            ^ TABLE[1][(v >> 16 & 0xff) as usize]
            ^ TABLE[0][(v >> 24) as usize];
    }
    words.remainder().iter().fold(crc, |c, b| c >> 8 ^ TABLE[0][((c ^ u32::from(*b)) & 0xff) as usize])
}

/// The frame check sequence as its four bytes follow the frame.
pub fn fcs(frame: &[u8]) -> [u8; 4] {
    (!register(frame)).to_le_bytes()
}

/// Which of the 64 bits of the multicast address registers a destination address selects: the six most significant bits of
/// the CRC generator after the address (datasheet, section 10.5).
pub fn multicast_bit(address: &[u8]) -> usize {
    (register(address).reverse_bits() >> 26) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_polynomial() {
        // CRC-32/ISO-HDLC of "123456789".
        assert_eq!(u32::from_le_bytes(fcs(b"123456789")), 0xcbf4_3926);
    }

    #[test]
    fn a_frame_with_its_fcs_leaves_the_magic_residue() {
        let mut frame = b"any bytes at all, of no particular length".to_vec();
        let fcs = fcs(&frame);
        frame.extend(fcs);
        assert_eq!(register(&frame), 0xdebb_20e3);
    }
}
