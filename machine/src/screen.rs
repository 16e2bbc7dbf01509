//! The screen as the outside sees it.

/// A picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 00RRGGBBh, row by row from the top.
    pub rgb: Vec<u32>,
}

impl Frame {
    /// The picture as a PNG file.
    pub fn to_png(&self) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let (width, height) = (self.width.max(1) as u32, self.height.max(1) as u32);
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut bytes: Vec<u8> =
            self.rgb.iter().flat_map(|p| [(p >> 16) as u8, (p >> 8) as u8, *p as u8]).collect();
        bytes.resize(width as usize * height as usize * 3, 0);
        encoder
            .write_header()
            .and_then(|mut w| {
                w.write_image_data(&bytes)?;
                w.finish()
            })
            .map_err(|e| e.to_string())?;
        Ok(out)
    }
}

/// A character on a text screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Character code (code page 437 unless the guest loaded another font).
    pub char: u8,
    /// Attribute: foreground 3:0, background 6:4, blink or bright background 7.
    pub attr: u8,
}

/// A text screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextScreen {
    /// Characters in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// Cells, row by row from the top.
    pub cells: Vec<Cell>,
    /// The cursor's column and row, when it is on.
    pub cursor: Option<(usize, usize)>,
    /// The sixteen colours as 00RRGGBBh, by attribute nibble, through the palette.
    pub palette: [u32; 16],
    /// Attribute bit 7 makes characters blink; else it is a bright background.
    pub blink: bool,
}

impl TextScreen {
    /// The text, a line a row, trailing spaces cut; code page 437 turned into Unicode.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for row in self.cells.chunks(self.columns.max(1)) {
            let line: String = row.iter().map(|c| char_of_cp437(c.char)).collect();
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Code page 437 to Unicode.
pub fn char_of_cp437(code: u8) -> char {
    const LOW: &str = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
    const HIGH: &str = "⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";
    match code {
        0..0x20 => LOW.chars().nth(code.into()).unwrap_or(' '),
        0x20..0x7f => code as char,
        _ => HIGH.chars().nth(usize::from(code) - 0x7f).unwrap_or(' '),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_page_437_is_whole() {
        // Unicode's own mapping table CP437.TXT (and the graphics of the control codes).
        for (code, c) in
            [(0x80, 'Ç'), (0xb0, '░'), (0xdb, '█'), (0xe0, 'α'), (0xfe, '■'), (0x1f, '▼'), (0x41, 'A')]
        {
            assert_eq!(char_of_cp437(code), c);
        }
    }
}
