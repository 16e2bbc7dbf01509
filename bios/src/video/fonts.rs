//! The character shapes of code page 437, drawn from the strokes beside this file; `fonts/README.md` says how.

/// Where a stroke's columns and rows are in a cell, by its height.
struct Grid {
    columns: [i32; 5],
    rows: [i32; 9],
    /// The rows of a capital under an accent.
    pressed: [i32; 9],
}

const COLUMNS: [i32; 5] = [0, 1, 3, 4, 5];
const GRID_8: Grid =
    Grid { columns: COLUMNS, rows: [0, 1, 2, 3, 4, 5, 6, 7, 7], pressed: [2, 2, 3, 4, 5, 5, 6, 7, 7] };
const GRID_14: Grid =
    Grid { columns: COLUMNS, rows: [2, 3, 5, 6, 7, 9, 10, 11, 12], pressed: [5, 5, 6, 7, 8, 9, 10, 11, 12] };
const GRID_16: Grid = Grid {
    columns: COLUMNS,
    rows: [2, 3, 5, 6, 8, 10, 11, 12, 14],
    pressed: [5, 6, 7, 8, 9, 10, 11, 12, 14],
};

/// Shapes of 8 by 8 dots.
pub(crate) fn glyphs8() -> Vec<[u8; 8]> {
    draw(&GRID_8)
}

/// Shapes of 8 by 14 dots.
pub(crate) fn glyphs14() -> Vec<[u8; 14]> {
    draw(&GRID_14)
}

/// Shapes of 8 by 16 dots.
pub(crate) fn glyphs16() -> Vec<[u8; 16]> {
    draw(&GRID_16)
}

fn draw<const H: usize>(grid: &Grid) -> Vec<[u8; H]> {
    let mut strokes = vec![""; 256];
    for line in include_str!("fonts/strokes.txt").lines().filter(|l| !l.starts_with('#')) {
        let (code, rest) = line.split_once(' ').expect("a code and strokes");
        strokes[usize::from_str_radix(code, 16).expect("a code in hexadecimal")] = rest;
    }
    (0..=255)
        .map(|code| match code {
            0xb0..=0xb2 => shade(code - 0xb0),
            0xb3..=0xda => join(JOINS[usize::from(code - 0xb3)]),
            0xdb..=0xdf => block(code),
            _ => {
                let mut cell = Cell([0; H]);
                cell.strokes(&strokes, strokes[usize::from(code)], grid, &grid.rows);
                cell.0
            }
        })
        .collect()
}

/// One character's dots, the leftmost of a row in bit 7.
struct Cell<const H: usize>([u8; H]);

impl<const H: usize> Cell<H> {
    fn strokes(&mut self, all: &[&str], strokes: &str, grid: &Grid, rows: &[i32; 9]) {
        for stroke in strokes.split(' ').filter(|s| !s.is_empty()) {
            let (mark, rest) = stroke.split_at(stroke.find(|c: char| c.is_alphanumeric()).unwrap_or(1));
            match mark {
                "!" => self.0.iter_mut().for_each(|row| *row = !*row),
                "@" | "^@" => {
                    let other = usize::from_str_radix(rest, 16).expect("a code in hexadecimal");
                    let rows = if mark == "@" { rows } else { &grid.pressed };
                    self.strokes(all, all[other], grid, rows);
                }
                _ => {
                    let points: Vec<(i32, i32)> = rest
                        .as_bytes()
                        .chunks(2)
                        .map(|p| (grid.columns[usize::from(p[0] - b'a')], rows[usize::from(p[1] - b'0')]))
                        .collect();
                    let (pen, on) = (if matches!(mark, "'" | "-") { 1 } else { 2 }, mark != "-");
                    if mark == "#" {
                        self.fill(&points);
                    }
                    self.lines(&points, pen, on);
                }
            }
        }
    }

    fn dot(&mut self, x: i32, y: i32, on: bool) {
        if let (Ok(y), 0..=7) = (usize::try_from(y), x)
            && let Some(row) = self.0.get_mut(y)
        {
            let bit = 0x80 >> x;
            *row = if on { *row | bit } else { *row & !bit };
        }
    }

    /// The pen along a line of points.
    fn lines(&mut self, points: &[(i32, i32)], pen: i32, on: bool) {
        let mut from = points[0];
        for &to in points {
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let steps = dx.abs().max(dy.abs()).max(1);
            for n in 0..=steps {
                let along = |d: i32| (2 * d * n + steps).div_euclid(2 * steps);
                for k in 0..pen {
                    self.dot(from.0 + along(dx) + k, from.1 + along(dy), on);
                }
            }
            from = to;
        }
    }

    /// The inside of a polygon, row by row.
    fn fill(&mut self, points: &[(i32, i32)]) {
        for y in 0..H as i32 {
            let edges = points.iter().zip(points.iter().cycle().skip(1));
            let mut crossings: Vec<i32> = edges
                .filter(|(a, b)| (a.1 <= y) != (b.1 <= y))
                .map(|(a, b)| a.0 + ((b.0 - a.0) * (y - a.1)).div_euclid(b.1 - a.1))
                .collect();
            crossings.sort_unstable();
            for pair in crossings.chunks_exact(2) {
                (pair[0]..=pair[1] + 1).for_each(|x| self.dot(x, y, true));
            }
        }
    }
}

/// A quarter, half or three quarters of the dots.
fn shade<const H: usize>(which: u8) -> [u8; H] {
    let rows = [[0x22, 0x88], [0x55, 0xaa], [0xdd, 0x77]][usize::from(which)];
    std::array::from_fn(|y| rows[y % 2])
}

/// The full block and the halves.
fn block<const H: usize>(code: u8) -> [u8; H] {
    std::array::from_fn(|y| match code {
        0xdc if y < H / 2 => 0,
        0xdf if y >= H / 2 => 0,
        0xdd => 0xf0,
        0xde => 0x0f,
        _ => 0xff,
    })
}

/// Single and double lines (1, 2) from the middle to the left, right, upper and lower edge: codes B3h to DAh.
const JOINS: [[u8; 4]; 40] = [
    [0, 0, 1, 1],
    [1, 0, 1, 1],
    [2, 0, 1, 1],
    [1, 0, 2, 2],
    [1, 0, 0, 2],
    [2, 0, 0, 1],
    [2, 0, 2, 2],
    [0, 0, 2, 2],
    [2, 0, 0, 2],
    [2, 0, 2, 0],
    [1, 0, 2, 0],
    [2, 0, 1, 0],
    [1, 0, 0, 1],
    [0, 1, 1, 0],
    [1, 1, 1, 0],
    [1, 1, 0, 1],
    [0, 1, 1, 1],
    [1, 1, 0, 0],
    [1, 1, 1, 1],
    [0, 2, 1, 1],
    [0, 1, 2, 2],
    [0, 2, 2, 0],
    [0, 2, 0, 2],
    [2, 2, 2, 0],
    [2, 2, 0, 2],
    [0, 2, 2, 2],
    [2, 2, 0, 0],
    [2, 2, 2, 2],
    [2, 2, 1, 0],
    [1, 1, 2, 0],
    [2, 2, 0, 1],
    [1, 1, 0, 2],
    [0, 1, 2, 0],
    [0, 2, 1, 0],
    [0, 2, 0, 1],
    [0, 1, 0, 2],
    [1, 1, 2, 2],
    [2, 2, 1, 1],
    [1, 0, 1, 0],
    [0, 1, 0, 1],
];

/// How far one line of an arm reaches towards and past the middle: 0 to the near line of a crossing double line, 1 to the
/// middle, 2 to its far line. `beside` is the arm across on this line's side, `across` the one on the other, `ahead` the
/// arm that goes on.
fn reach(own: u8, beside: u8, across: u8, ahead: u8) -> usize {
    match (own, beside, across) {
        // One line in the middle: to a double line across, through to its far side at a corner.
        (1, 2, 2) if ahead == 0 => 0,
        (1, 2, _) | (1, _, 2) if ahead == 0 => 2,
        (1, ..) => 1,
        // One of two: it turns off at its own side, or goes round the outside.
        (_, 2, _) => 0,
        (_, 0, 2) => 2,
        _ => 1,
    }
}

fn join<const H: usize>([left, right, up, down]: [u8; 4]) -> [u8; H] {
    let mut cell = Cell([0; H]);
    let (middle, last) = (H as i32 / 2 - 1, H as i32 - 1);
    let rows = [middle - 1, middle, middle + 1];
    // Lines are two dots wide; double ones leave two between them.
    let columns = [1, 3, 5];
    let mut across = |y: i32, own: u8, beside: u8, other: u8, ahead: u8, to_right: bool| {
        let n = reach(own, beside, other, ahead);
        let (from, to) = if to_right { (columns[2 - n], 7) } else { (0, columns[n] + 1) };
        (from..=to).for_each(|x| cell.dot(x, y, true));
    };
    for (own, ahead, to_right) in [(left, right, false), (right, left, true)] {
        match own {
            1 => across(rows[1], 1, up, down, ahead, to_right),
            2 => {
                across(rows[0], 2, up, down, ahead, to_right);
                across(rows[2], 2, down, up, ahead, to_right);
            }
            _ => {}
        }
    }
    let mut upright = |x: i32, own: u8, beside: u8, other: u8, ahead: u8, downwards: bool| {
        let n = reach(own, beside, other, ahead);
        let (from, to) = if downwards { (rows[2 - n], last) } else { (0, rows[n]) };
        (from..=to).for_each(|y| {
            cell.dot(x, y, true);
            cell.dot(x + 1, y, true);
        });
    };
    for (own, ahead, downwards) in [(up, down, false), (down, up, true)] {
        match own {
            1 => upright(columns[1], 1, left, right, ahead, downwards),
            2 => {
                upright(columns[0], 2, left, right, ahead, downwards);
                upright(columns[2], 2, right, left, ahead, downwards);
            }
            _ => {}
        }
    }
    cell.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes that follow from what code page 437 says the characters are.
    #[test]
    fn blocks_and_lines_join_up() {
        fn check<const H: usize>(glyphs: &[[u8; H]]) {
            assert_eq!(glyphs[0x20], [0; H], "space");
            assert_eq!(glyphs[0xDB], [0xFF; H], "full block");
            assert_eq!(glyphs[0xDD], [0xF0; H], "left half block");
            assert!(glyphs[0xB3].iter().all(|&row| row == glyphs[0xB3][0] && row != 0), "vertical line");
            assert_eq!(glyphs[0xC4].iter().filter(|&&row| row == 0xFF).count(), 1, "horizontal line");
            let lower = glyphs[0xDC].iter().filter(|&&row| row == 0xFF).count();
            let upper = glyphs[0xDF].iter().filter(|&&row| row == 0xFF).count();
            assert_eq!(lower + upper, H, "half blocks");
            assert!((0x21..0x7F).all(|c| glyphs[c] != [0; H]), "printable ASCII");
        }
        check(&glyphs8());
        check(&glyphs14());
        check(&glyphs16());
    }
}
