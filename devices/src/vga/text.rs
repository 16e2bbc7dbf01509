//! The text on the screen, for terminals, scripts and tests: characters and colours without the font.

use super::Vga;
use crate::VideoMemory;

/// One character position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Character code, usually of code page 437.
    pub ch: u8,
    /// The attribute byte as it is in memory.
    pub attr: u8,
    /// Foreground colour, 00RRGGBBh.
    pub fg: u32,
    /// Background colour, 00RRGGBBh.
    pub bg: u32,
    /// The character blinks.
    pub blink: bool,
}

/// A cursor that is switched on and on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Column from 0.
    pub col: u32,
    /// Row from 0.
    pub row: u32,
    /// First scan line of the cursor within its row.
    pub first_line: u32,
    /// Last scan line.
    pub last_line: u32,
}

/// The screen in a text mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextScreen {
    /// Characters across.
    pub cols: u32,
    /// Rows of characters.
    pub rows: u32,
    /// Row by row, `cols * rows` of them.
    pub cells: Vec<Cell>,
    /// The cursor, if it shows.
    pub cursor: Option<Cursor>,
}

impl Vga {
    /// Whether the display shows characters from a font, not pixels.
    pub fn in_text_mode(&self) -> bool {
        !self.dispi.enabled() && !self.gc.graphics()
    }

    /// What a text mode shows; `None` in graphics modes and while the screen is off.
    pub fn text(&self, vram: &dyn VideoMemory) -> Option<TextScreen> {
        if !self.in_text_mode() || !self.attr.display_on() || self.seq.screen_off() {
            return None;
        }
        let crtc = &self.crtc;
        let cols = crtc.horizontal_display();
        let height = (crtc.max_scan() + 1) << u32::from(crtc.double_scan());
        let rows = (crtc.vertical_display() / height).max(1);
        let palette = self.palette();
        let mut cells = Vec::with_capacity((cols * rows) as usize);
        let mut cursor = None;
        for row in 0..rows {
            for col in 0..cols {
                let count = (crtc.start() + row * crtc.row_step() + col) & 0xffff;
                cells.push(self.cell(vram, count, &palette));
                if count == crtc.cursor() && cursor.is_none() {
                    cursor = crtc
                        .cursor_lines()
                        .filter(|&(first, _)| first <= crtc.max_scan())
                        .map(|(first_line, last_line)| Cursor { col, row, first_line, last_line });
                }
            }
        }
        Some(TextScreen { cols, rows, cells, cursor })
    }

    /// Whether bit 7 of an attribute makes the character blink.
    pub fn blinks(&self) -> bool {
        self.attr.blink()
    }

    fn cell(&self, vram: &dyn VideoMemory, count: u32, palette: &[u32; 16]) -> Cell {
        let at = self.crtc.fetch_address(count, 0, false) as usize * 4;
        let (ch, attr) = (vram.get(at), vram.get(at + 1));
        let (fg, bg) = self.text_colours(attr);
        Cell {
            ch,
            attr,
            fg: palette[usize::from(fg)],
            bg: palette[usize::from(bg)],
            blink: self.attr.blink() && attr & 0x80 != 0,
        }
    }
}
