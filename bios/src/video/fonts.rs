//! Fonts.
/// 8x8
pub(crate) fn glyphs8() -> Vec<[u8; 8]> {
    vec![[0; 8]; 256]
}
