//! Multiboot 1 kernels ("Multiboot Specification version 0.6.96").

/// Offset of the multiboot header in the first 8 KiB (section 3.1.1), if there is one whose checksum is right.
pub fn find_header(file: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    (0..8192usize.min(file.len())).step_by(4).find(|&at| {
        word(at) == Some(0x1bad_b002)
            && word(at + 4)
                .zip(word(at + 8))
                .is_some_and(|(flags, sum)| 0x1bad_b002u32.wrapping_add(flags).wrapping_add(sum) == 0)
    })
}
