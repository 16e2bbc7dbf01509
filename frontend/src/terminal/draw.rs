//! A picture as terminal cells, and only the cells that changed on the wire.

use crate::picture::Shown;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use crossterm::style::{Attribute, Color, Print, SetAttribute, SetBackgroundColor, SetForegroundColor};
use crossterm::terminal::{Clear, ClearType};
use lucid86_machine::screen::char_of_cp437;
use lucid86_machine::{Frame, TextScreen};
use std::io::Write;
use std::time::Instant;

/// One cell of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Glyph {
    ch: char,
    fg: Color,
    bg: Color,
    blinks: bool,
}

impl Glyph {
    const fn steady(ch: char, fg: Color, bg: Color) -> Glyph {
        Glyph { ch, fg, bg, blinks: false }
    }
}

const BLANK: Glyph = Glyph::steady(' ', Color::AnsiValue(7), Color::AnsiValue(0));

/// The VGA's sixteen colours as firmware sets them; terminals have their own idea of each.
const USUAL: [u32; 16] = [
    0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa, 0xaa5500, 0xaaaaaa, 0x555555, 0x5555ff,
    0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff,
];

/// The terminal's colour for palette entry `i`: one of its sixteen where the guest uses the usual palette.
fn colour(palette: &[u32; 16], i: usize) -> Color {
    if palette[i] == USUAL[i] {
        // Red and blue are in each other's place.
        Color::AnsiValue((i & 0b1010 | i >> 2 & 1 | (i & 1) << 2) as u8)
    } else {
        rgb(palette[i])
    }
}

fn rgb(c: u32) -> Color {
    Color::Rgb { r: (c >> 16) as u8, g: (c >> 8) as u8, b: c as u8 }
}

/// What the terminal shows and what it is to show.
pub struct Screen {
    columns: usize,
    rows: usize,
    wanted: Vec<Glyph>,
    shown: Vec<Glyph>,
    cursor: Option<(usize, usize)>,
    cursor_shown: Option<(usize, usize)>,
    latest: Option<Shown>,
    message: Option<(String, Instant)>,
    clear: bool,
    dirty: bool,
}

impl Screen {
    /// A terminal of that size with unknown content.
    pub fn new(columns: usize, rows: usize) -> Screen {
        let mut screen = Screen {
            columns: 0,
            rows: 0,
            wanted: Vec::new(),
            shown: Vec::new(),
            cursor: None,
            cursor_shown: None,
            latest: None,
            message: None,
            clear: true,
            dirty: true,
        };
        screen.resize(columns, rows);
        screen
    }

    /// The terminal has another size now; everything is drawn anew.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        (self.columns, self.rows) = (columns.max(1), rows.max(1));
        self.wanted = vec![BLANK; self.columns * self.rows];
        self.shown = self.wanted.clone();
        self.clear = true;
        self.dirty = true;
    }

    /// A new picture.
    pub fn show(&mut self, shown: Shown) {
        self.latest = Some(shown);
        self.dirty = true;
    }

    /// A line at the bottom: for good where the guest's screen leaves room, else until `until`.
    pub fn message(&mut self, text: String, until: Instant) {
        self.message = Some((text, until));
        self.dirty = true;
    }

    /// Brings the terminal up to date.
    pub fn flush(&mut self) -> std::io::Result<()> {
        let over = self.message.as_ref().is_some_and(|(_, until)| *until <= Instant::now());
        if over && !self.has_room() {
            self.message = None;
            self.dirty = true;
        }
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        self.compose();
        let mut out = Vec::new();
        self.write_changes(&mut out)?;
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()
    }

    /// Whether a line below the guest's screen is free.
    fn has_room(&self) -> bool {
        match &self.latest {
            Some(Shown::Text(t)) => t.rows < self.rows,
            _ => true,
        }
    }

    fn compose(&mut self) {
        self.wanted.fill(BLANK);
        self.cursor = None;
        match self.latest.take() {
            Some(Shown::Text(t)) => {
                self.compose_text(&t);
                self.latest = Some(Shown::Text(t));
            }
            Some(Shown::Pixels(f)) => {
                self.compose_pixels(&f);
                self.latest = Some(Shown::Pixels(f));
            }
            None => {}
        }
        if let Some((text, _)) = &self.message {
            let last = &mut self.wanted[(self.rows - 1) * self.columns..];
            last.fill(Glyph::steady(' ', Color::AnsiValue(0), Color::AnsiValue(7)));
            last.iter_mut().skip(1).zip(text.chars()).for_each(|(g, c)| g.ch = c);
        }
    }

    /// Text modes: cell by cell; a screen larger than the terminal is shown around the cursor.
    fn compose_text(&mut self, t: &TextScreen) {
        let (x, y) = t.cursor.unwrap_or((0, 0));
        let left = (x + 1).saturating_sub(self.columns);
        let top = (y + 1).saturating_sub(self.rows);
        let colours: [Color; 16] = std::array::from_fn(|i| colour(&t.palette, i));
        for row in 0..self.rows.min(t.rows.saturating_sub(top)) {
            for column in 0..self.columns.min(t.columns.saturating_sub(left)) {
                let Some(cell) = t.cells.get((row + top) * t.columns + column + left) else { continue };
                self.wanted[row * self.columns + column] = Glyph {
                    ch: char_of_cp437(cell.char),
                    fg: colours[usize::from(cell.attr & 15)],
                    bg: colours[usize::from(cell.attr >> 4 & if t.blink { 7 } else { 15 })],
                    blinks: t.blink && cell.attr & 0x80 != 0,
                };
            }
        }
        self.cursor = t.cursor.map(|(x, y)| (x - left, y - top));
    }

    /// Graphics modes: two pixels a cell, one above the other.
    fn compose_pixels(&mut self, frame: &Frame) {
        let rows = self.rows - usize::from(self.message.is_some() && self.rows > 1);
        let Some(image) = Shrunk::new(frame, self.columns, rows * 2) else { return };
        let (left, top) = ((self.columns - image.width) / 2, (rows - image.height.div_ceil(2)) / 2);
        for row in 0..image.height.div_ceil(2) {
            for column in 0..image.width {
                let (fg, bg) = (rgb(image.at(column, row * 2)), rgb(image.at(column, row * 2 + 1)));
                self.wanted[(row + top) * self.columns + column + left] = Glyph::steady('▀', fg, bg);
            }
        }
    }

    fn write_changes(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        queue!(out, Hide)?;
        let (mut fg, mut bg, mut blinks) = (None, None, false);
        if std::mem::take(&mut self.clear) {
            queue!(out, SetForegroundColor(BLANK.fg), SetBackgroundColor(BLANK.bg), Clear(ClearType::All))?;
            (fg, bg) = (Some(BLANK.fg), Some(BLANK.bg));
            self.shown.fill(BLANK);
        }
        let mut at = None;
        for i in 0..self.wanted.len() {
            let glyph = self.wanted[i];
            if glyph == self.shown[i] {
                continue;
            }
            if at != Some(i) || i % self.columns == 0 {
                queue!(out, MoveTo((i % self.columns) as u16, (i / self.columns) as u16))?;
            }
            if fg.replace(glyph.fg) != Some(glyph.fg) {
                queue!(out, SetForegroundColor(glyph.fg))?;
            }
            if bg.replace(glyph.bg) != Some(glyph.bg) {
                queue!(out, SetBackgroundColor(glyph.bg))?;
            }
            if std::mem::replace(&mut blinks, glyph.blinks) != glyph.blinks {
                queue!(out, SetAttribute(if blinks { Attribute::SlowBlink } else { Attribute::NoBlink }))?;
            }
            queue!(out, Print(glyph.ch))?;
            at = Some(i + 1);
        }
        if blinks {
            queue!(out, SetAttribute(Attribute::NoBlink))?;
        }
        self.shown.copy_from_slice(&self.wanted);
        self.cursor_shown = self.cursor;
        if let Some((x, y)) = self.cursor_shown {
            queue!(out, MoveTo(x as u16, y as u16), Show)?;
        }
        Ok(())
    }
}

/// A frame scaled to fit, averaged.
struct Shrunk {
    width: usize,
    height: usize,
    pixels: Vec<u32>,
}

impl Shrunk {
    /// `None` if there is nothing to show or no room. Pictures of the old VGA heights fill a 4:3 screen.
    fn new(f: &Frame, columns: usize, lines: usize) -> Option<Shrunk> {
        if f.width == 0 || f.height == 0 || f.rgb.len() < f.width * f.height || columns == 0 || lines < 2 {
            return None;
        }
        let (w, h) = if matches!(f.height, 200 | 350 | 400 | 480) { (4, 3) } else { (f.width, f.height) };
        let width = columns.min(lines * w / h).max(1);
        let height = lines.min(width * h / w).max(1);
        let pixels = (0..width * height).map(|i| average(f, i % width, i / width, width, height)).collect();
        Some(Shrunk { width, height, pixels })
    }

    fn at(&self, x: usize, y: usize) -> u32 {
        self.pixels.get(y * self.width + x).copied().unwrap_or(0)
    }
}

/// The mean of at most 4 by 4 samples of what lies under a pixel of the scaled picture.
fn average(f: &Frame, x: usize, y: usize, width: usize, height: usize) -> u32 {
    let mut sum = [0; 3];
    for j in 0..4 {
        for i in 0..4 {
            let sx = ((x * 4 + i) * f.width / (width * 4)).min(f.width - 1);
            let sy = ((y * 4 + j) * f.height / (height * 4)).min(f.height - 1);
            let p = f.rgb[sy * f.width + sx];
            (0..3).for_each(|c| sum[c] += p >> (16 - 8 * c) & 0xff);
        }
    }
    sum.iter().fold(0, |rgb, c| (rgb << 8) | (c / 16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid86_machine::Cell;

    fn text(columns: usize, rows: usize) -> TextScreen {
        let cells = vec![Cell { char: b'a', attr: 0x1e }; columns * rows];
        TextScreen {
            columns,
            rows,
            cells,
            cursor: Some((columns - 1, rows - 1)),
            palette: USUAL,
            blink: true,
        }
    }

    #[test]
    fn only_changes_are_written() {
        let mut s = Screen::new(80, 30);
        s.show(Shown::Text(text(80, 25)));
        s.compose();
        let mut first = Vec::new();
        s.write_changes(&mut first).unwrap();
        let mut t = text(80, 25);
        t.cells[81].char = 0xdb;
        s.show(Shown::Text(t));
        s.compose();
        let mut second = Vec::new();
        s.write_changes(&mut second).unwrap();
        assert!(first.len() > 2000 && second.len() < 80, "{} {}", first.len(), second.len());
        assert!(String::from_utf8(second).unwrap().contains('█'));
    }

    #[test]
    fn a_small_terminal_follows_the_cursor() {
        let mut s = Screen::new(40, 10);
        s.show(Shown::Text(text(80, 25)));
        s.compose();
        assert_eq!(s.cursor, Some((39, 9)));
        // VGA attribute 1Eh is yellow on blue: ANSI 11 on 4.
        assert_eq!(s.wanted[0], Glyph::steady('a', Color::AnsiValue(11), Color::AnsiValue(4)));
    }

    #[test]
    fn pictures_fit_any_terminal() {
        let f = Frame { width: 640, height: 400, rgb: vec![0x123456; 640 * 400] };
        for (c, r) in [(1, 1), (80, 25), (200, 10), (3, 100)] {
            let mut s = Screen::new(c, r);
            s.show(Shown::Pixels(f.clone()));
            s.message("m".into(), Instant::now());
            s.compose();
        }
    }
}
