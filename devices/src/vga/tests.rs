use super::*;

struct Ram(Vec<u8>);
impl VideoMemory for Ram {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, offset: usize) -> u8 {
        self.0.get(offset).copied().unwrap_or(0xff)
    }
    fn set(&mut self, offset: usize, value: u8) {
        if let Some(b) = self.0.get_mut(offset) {
            *b = value;
        }
    }
    fn read(&self, offset: usize, to: &mut [u8]) {
        for (i, b) in to.iter_mut().enumerate() {
            *b = self.get(offset.wrapping_add(i));
        }
    }
}

const FAR: Time = Time(1_000_000_000);

fn vram() -> Ram {
    Ram(vec![0; 1 << 20])
}

/// Register values of a BIOS mode: misc, sequencer, CRTC, graphics, attribute ("VGA BIOS mode parameters" tables).
struct Mode(u8, [u8; 5], [u8; 25], [u8; 9], [u8; 21]);

const MODE_3: Mode = Mode(
    0x67,
    [3, 0, 3, 0, 2],
    [
        0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f,
        0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
    ],
    [0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff],
    [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0, 0x0f, 8, 0],
);
const MODE_4: Mode = Mode(
    0x63,
    [3, 9, 3, 0, 2],
    [
        0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x14, 0,
        0x96, 0xb9, 0xa2, 0xff,
    ],
    [0, 0, 0, 0, 0, 0x30, 0x0f, 0, 0xff],
    [0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 3, 0, 0],
);
const MODE_12: Mode = Mode(
    0xe3,
    [3, 1, 0xf, 0, 6],
    [
        0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf, 0x28, 0,
        0xe7, 4, 0xe3, 0xff,
    ],
    [0, 0, 0, 0, 0, 0, 5, 0xf, 0xff],
    [0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 1, 0, 0xf, 0, 0],
);
const MODE_13: Mode = Mode(
    0x63,
    [3, 1, 0xf, 0, 0xe],
    [
        0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28,
        0x40, 0x96, 0xb9, 0xa3, 0xff,
    ],
    [0, 0, 0, 0, 0, 0x40, 5, 0xf, 0xff],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0xf, 0, 0],
);

fn out(v: &mut Vga, p: u16, value: u8) {
    v.write_port(FAR, p - 0x3b0, Width::Byte, u32::from(value));
}
fn inp(v: &mut Vga, p: u16) -> u8 {
    v.read_port(FAR, p - 0x3b0, Width::Byte) as u8
}
fn indexed(v: &mut Vga, p: u16, index: u8, value: u8) {
    v.write_port(FAR, p - 0x3b0, Width::Word, u32::from(index) | u32::from(value) << 8);
}

fn set_mode(m: &Mode) -> Vga {
    let mut v = Vga::new();
    out(&mut v, 0x3c2, m.0);
    (0..5).for_each(|i| indexed(&mut v, 0x3c4, i, m.1[usize::from(i)]));
    indexed(&mut v, 0x3d4, 0x11, 0);
    (0..25).for_each(|i| indexed(&mut v, 0x3d4, i, m.2[usize::from(i)]));
    (0..9).for_each(|i| indexed(&mut v, 0x3ce, i, m.3[usize::from(i)]));
    inp(&mut v, 0x3da);
    for i in 0..21 {
        out(&mut v, 0x3c0, i);
        out(&mut v, 0x3c0, m.4[usize::from(i)]);
    }
    out(&mut v, 0x3c0, 0x20);
    out(&mut v, 0x3c8, 0);
    for i in 0..=255u8 {
        (0..3).for_each(|c| out(&mut v, 0x3c9, if c == 0 { i & 63 } else { i >> 6 }));
    }
    v
}

/// The colour that `set_mode` gives DAC entry `i`.
fn colour(i: u8) -> u32 {
    let six = |c: u8| u32::from(c << 2 | c >> 4);
    six(i & 63) << 16 | six(i >> 6) << 8 | six(i >> 6)
}

fn poke(v: &mut Vga, m: &mut Ram, addr: u32, value: u8) {
    v.store(m, addr - 0xa0000, Width::Byte, u64::from(value));
}
fn peek(v: &mut Vga, m: &Ram, addr: u32) -> u8 {
    v.load(m, addr - 0xa0000, Width::Byte) as u8
}

#[test]
fn attribute_flip_flop_is_reset_by_status_1() {
    let mut v = Vga::new();
    out(&mut v, 0x3c2, 1);
    out(&mut v, 0x3c0, 0x10);
    inp(&mut v, 0x3da);
    out(&mut v, 0x3c0, 0x12); // an index again, not data
    out(&mut v, 0x3c0, 0x0a);
    assert_eq!(inp(&mut v, 0x3c1), 0x0a);
    inp(&mut v, 0x3da);
    out(&mut v, 0x3c0, 0x10);
    assert_eq!(inp(&mut v, 0x3c1), 0);
}

#[test]
fn crtc_protection_spares_line_compare_bit() {
    let mut v = set_mode(&MODE_3);
    indexed(&mut v, 0x3d4, 0x11, 0x8e);
    indexed(&mut v, 0x3d4, 1, 0x27);
    indexed(&mut v, 0x3d4, 7, 0x00);
    out(&mut v, 0x3d4, 1);
    assert_eq!(inp(&mut v, 0x3d5), 0x4f);
    out(&mut v, 0x3d4, 7);
    assert_eq!(inp(&mut v, 0x3d5), 0x1f & !0x10);
}

#[test]
fn mono_and_colour_ports_exclude_each_other() {
    let mut v = set_mode(&MODE_3);
    assert_eq!(inp(&mut v, 0x3b5), 0xff);
    out(&mut v, 0x3c2, 0x66);
    assert_eq!(inp(&mut v, 0x3d5), 0xff);
    out(&mut v, 0x3b4, 0x13);
    assert_eq!(inp(&mut v, 0x3b5), 0x28);
    assert_eq!(inp(&mut v, 0x3cc), 0x66);
}

#[test]
fn dac_reads_back_and_counts() {
    let mut v = Vga::new();
    out(&mut v, 0x3c8, 10);
    [1, 2, 3, 4, 5, 0xff].into_iter().for_each(|b| out(&mut v, 0x3c9, b));
    assert_eq!(inp(&mut v, 0x3c8), 12);
    assert_eq!(inp(&mut v, 0x3c7) & 3, 0);
    out(&mut v, 0x3c7, 10);
    assert_eq!(inp(&mut v, 0x3c7) & 3, 3);
    let read: Vec<u8> = (0..6).map(|_| inp(&mut v, 0x3c9)).collect();
    assert_eq!(read, [1, 2, 3, 4, 5, 0x3f]);
}

#[test]
fn text_mode_is_70_hz_and_retrace_comes() {
    let mut v = set_mode(&MODE_3);
    let hz = 1e9 / v.frame_ns() as f64;
    assert!((hz - 70.08).abs() < 0.1, "{hz}");
    let hz12 = 1e9 / set_mode(&MODE_12).frame_ns() as f64;
    assert!((hz12 - 59.94).abs() < 0.1, "{hz12}");
    let frame = v.frame_ns();
    let samples: Vec<u8> =
        (0..20_000).map(|t| v.read_port(Time(frame * t / 20_000), 0x2a, Width::Byte) as u8).collect();
    let retrace = samples.iter().filter(|s| **s & 8 != 0).count();
    // Two lines of 449 are vertical retrace.
    assert!((85..=93).contains(&retrace), "{retrace}");
    // 720 of 900 dots in 400 of 449 lines are displayed: 71 %.
    let shown = samples.iter().filter(|s| **s & 1 == 0).count();
    assert!((14_150..=14_350).contains(&shown), "{shown}");
    assert!(samples.iter().all(|s| s & 9 != 8), "retrace is blank");
}

#[test]
fn text_goes_to_planes_0_and_1_and_comes_back_as_cells() {
    let (mut v, mut m) = (set_mode(&MODE_3), vram());
    for (i, b) in [b'H', 0x1e, b'i', 0x87].into_iter().enumerate() {
        poke(&mut v, &mut m, 0xb8000 + 160 * 2 + i as u32, b);
    }
    assert_eq!(peek(&mut v, &m, 0xb8000 + 160 * 2 + 2), b'i');
    assert_eq!(m.0[160 * 2 * 4..][..4], [b'H', 0x1e, 0, 0]);
    indexed(&mut v, 0x3d4, 0x0f, 81);
    let t = v.text(&m).unwrap();
    assert_eq!((t.cols, t.rows), (80, 25));
    assert_eq!((t.cells[160].ch, t.cells[161].ch), (b'H', b'i'));
    let cell = t.cells[160];
    assert_eq!((cell.fg, cell.bg, cell.blink), (colour(0x3e), colour(1), false));
    assert!(t.cells[161].blink);
    assert_eq!(t.cursor, Some(Cursor { col: 1, row: 1, first_line: 13, last_line: 14 }));
}

/// A word is its two bytes, whatever the registers make of them.
#[test]
fn a_word_stored_is_two_bytes_stored() {
    let planes = [3u8, 1, 2, 0xf];
    let graphics =
        [(3u8, 0u8), (3, 2), (3, 0x10), (1, 0xf), (8, 0x7f), (5, 0x11), (5, 0x12), (6, 0x0c), (4, 1)];
    for mode in [&MODE_3, &MODE_12, &MODE_4] {
        for at in [0xb8000u32, 0xb8002, 0xb8001, 0xb8fff, 0xbfffe, 0xbffff, 0xa0000, 0xa0003] {
            for (mask, (i, value)) in
                planes.into_iter().flat_map(|p| graphics.into_iter().map(move |g| (p, g)))
            {
                let (mut once, mut a) = (set_mode(mode), vram());
                let (mut twice, mut b) = (set_mode(mode), vram());
                for v in [&mut once, &mut twice] {
                    indexed(v, 0x3c4, 2, mask);
                    indexed(v, 0x3ce, i, value);
                }
                once.store(&mut a, at - 0xa0000, Width::Word, 0x8741);
                poke(&mut twice, &mut b, at, 0x41);
                if at + 1 < 0xc0000 {
                    poke(&mut twice, &mut b, at + 1, 0x87);
                }
                assert!(a.0 == b.0, "{at:x}, map mask {mask}, graphics register {i} = {value:x}");
            }
        }
    }
}

/// Writes a glyph as a font loader does: planar access to plane 2 at A0000h.
fn load_glyph(v: &mut Vga, m: &mut Ram, at: u32, rows: &[u8]) {
    indexed(v, 0x3c4, 2, 4);
    indexed(v, 0x3c4, 4, 6);
    indexed(v, 0x3ce, 5, 0);
    indexed(v, 0x3ce, 6, 4);
    rows.iter().enumerate().for_each(|(i, &b)| poke(v, m, 0xa0000 + at + i as u32, b));
    indexed(v, 0x3c4, 2, 3);
    indexed(v, 0x3c4, 4, 2);
    indexed(v, 0x3ce, 5, 0x10);
    indexed(v, 0x3ce, 6, 0x0e);
}

#[test]
fn glyphs_are_nine_dots_wide_and_line_drawing_extends() {
    let (mut v, mut m) = (set_mode(&MODE_3), vram());
    load_glyph(&mut v, &mut m, 0x41 * 32, &[0x81]);
    load_glyph(&mut v, &mut m, 0xc4 * 32, &[0xff]);
    load_glyph(&mut v, &mut m, 0x4000 + 0x41 * 32, &[0x18]); // map 1, used as map A below
    indexed(&mut v, 0x3c4, 3, 1 << 2);
    for (i, b) in [0x41, 0x07, 0xc4, 0x07, 0x41, 0x0f].into_iter().enumerate() {
        poke(&mut v, &mut m, 0xb8000 + i as u32, b);
    }
    let f = v.render(&m, Time(0));
    assert_eq!((f.width, f.height), (720, 400));
    let row: String = f.pixels[..27].iter().map(|&p| if p == colour(0) { '.' } else { '#' }).collect();
    assert_eq!(row, "#......#.#########...##....");
}

#[test]
fn cursor_and_characters_blink_by_virtual_time() {
    let (mut v, mut m) = (set_mode(&MODE_3), vram());
    load_glyph(&mut v, &mut m, 0x41 * 32, &[0xff]);
    poke(&mut v, &mut m, 0xb8002, 0x41);
    poke(&mut v, &mut m, 0xb8003, 0x87);
    poke(&mut v, &mut m, 0xb8001, 0x07);
    let frame = v.frame_ns();
    let at = |n: u64| v.render(&m, Time(n * frame + 1)).pixels;
    let cursor = 720 * 13;
    assert_eq!(at(0)[cursor], colour(7));
    assert_eq!(at(8)[cursor], colour(0));
    assert_eq!(at(0)[9], colour(7));
    assert_eq!(at(16)[9], colour(0));
}

#[test]
fn mode_13h_is_linear_and_each_pixel_two_by_two() {
    let (mut v, mut m) = (set_mode(&MODE_13), vram());
    let direct = v.direct_window(m.len()).unwrap();
    assert_eq!((direct.base, direct.offset, direct.len), (0, 0, 0x10000));
    poke(&mut v, &mut m, 0xa0000 + 320 * 100 + 161, 0x55);
    assert_eq!(m.0[320 * 100 + 161], 0x55);
    let f = v.render(&m, FAR);
    assert_eq!((f.width, f.height), (640, 400));
    let hits: Vec<usize> = (0..f.pixels.len()).filter(|&i| f.pixels[i] == colour(0x55)).collect();
    assert_eq!(hits, [200 * 640 + 322, 200 * 640 + 323, 201 * 640 + 322, 201 * 640 + 323]);
}

#[test]
fn mode_x_reaches_planes_and_pages() {
    let (mut v, mut m) = (set_mode(&MODE_13), vram());
    indexed(&mut v, 0x3c4, 4, 6);
    indexed(&mut v, 0x3d4, 0x14, 0);
    indexed(&mut v, 0x3d4, 0x17, 0xe3);
    indexed(&mut v, 0x3c4, 2, 1 << 3);
    assert_eq!(v.direct_window(m.len()), None);
    poke(&mut v, &mut m, 0xa0000 + 16000 + 80 + 2, 9); // second page, line 1, pixel 11
    indexed(&mut v, 0x3d4, 0xc, (16000 >> 8) as u8);
    indexed(&mut v, 0x3d4, 0xd, (16000 & 0xff) as u8);
    let f = v.render(&m, FAR);
    assert_eq!(f.pixels.iter().position(|&p| p == colour(9)), Some(2 * 640 + 22));
}

#[test]
fn cga_four_colours_interleave_even_and_odd_lines() {
    let (mut v, mut m) = (set_mode(&MODE_4), vram());
    poke(&mut v, &mut m, 0xb8000, 0b01_10_11_00); // line 0, pixels 0-3
    poke(&mut v, &mut m, 0xba001, 0b11_00_00_00); // line 1, pixel 4
    let f = v.render(&m, FAR);
    assert_eq!((f.width, f.height), (640, 400));
    let at = |x: usize, y: usize| f.pixels[y * 2 * 640 + x * 2];
    assert_eq!(
        [at(0, 0), at(1, 0), at(2, 0), at(3, 0)],
        [colour(0x13), colour(0x15), colour(0x17), colour(0)]
    );
    assert_eq!([at(3, 1), at(4, 1), at(5, 1)], [colour(0), colour(0x17), colour(0)]);
}

#[test]
fn write_modes_follow_the_manual() {
    let (mut v, mut m) = (set_mode(&MODE_12), vram());
    // Write mode 0 with set/reset on planes 0 and 2, bit mask F0h.
    indexed(&mut v, 0x3ce, 0, 0b0101);
    indexed(&mut v, 0x3ce, 1, 0b0111);
    indexed(&mut v, 0x3ce, 8, 0xf0);
    peek(&mut v, &m, 0xa0000);
    poke(&mut v, &mut m, 0xa0000, 0x3c);
    assert_eq!(m.0[..4], [0xf0, 0x00, 0xf0, 0x30]);
    // Mode 1 copies latches whatever the processor writes.
    indexed(&mut v, 0x3ce, 5, 1);
    peek(&mut v, &m, 0xa0000);
    poke(&mut v, &mut m, 0xa0001, 0xaa);
    assert_eq!(m.0[4..8], [0xf0, 0x00, 0xf0, 0x30]);
    // Mode 2: a colour; XOR with the latches.
    indexed(&mut v, 0x3ce, 5, 2);
    indexed(&mut v, 0x3ce, 3, 3 << 3);
    peek(&mut v, &m, 0xa0000);
    poke(&mut v, &mut m, 0xa0000, 0b1001);
    assert_eq!(m.0[..4], [0x00, 0x00, 0xf0, 0xc0]);
    // Mode 3: data is a mask (rotated), set/reset the colour.
    indexed(&mut v, 0x3ce, 5, 3);
    indexed(&mut v, 0x3ce, 3, 4);
    indexed(&mut v, 0x3ce, 8, 0x3f);
    peek(&mut v, &m, 0xa0002);
    poke(&mut v, &mut m, 0xa0002, 0x1f);
    assert_eq!(m.0[8..12], [0x31, 0, 0x31, 0]);
    // Read mode 1: bits where colour matches 5 in the planes that matter.
    indexed(&mut v, 0x3ce, 5, 8);
    indexed(&mut v, 0x3ce, 2, 5);
    indexed(&mut v, 0x3ce, 7, 0xf);
    assert_eq!(peek(&mut v, &m, 0xa0002), 0x31);
    indexed(&mut v, 0x3ce, 7, 0);
    assert_eq!(peek(&mut v, &m, 0xa0002), 0xff);
    // The map mask protects planes.
    indexed(&mut v, 0x3ce, 5, 0);
    indexed(&mut v, 0x3ce, 1, 0);
    indexed(&mut v, 0x3ce, 3, 0);
    indexed(&mut v, 0x3ce, 8, 0xff);
    indexed(&mut v, 0x3c4, 2, 0b0010);
    poke(&mut v, &mut m, 0xa0003, 0x77);
    assert_eq!(m.0[12..16], [0, 0x77, 0, 0]);
    indexed(&mut v, 0x3ce, 4, 1);
    assert_eq!(peek(&mut v, &m, 0xa0003), 0x77);
}

#[test]
fn planar_pixels_panning_and_split_screen() {
    let (mut v, mut m) = (set_mode(&MODE_12), vram());
    indexed(&mut v, 0x3c4, 2, 0b1001);
    poke(&mut v, &mut m, 0xa0000, 0x80); // colour 9 at the top left
    let find = |v: &Vga, m: &Ram| -> Vec<usize> {
        let f = v.render(m, FAR);
        (0..f.pixels.len()).filter(|&i| f.pixels[i] == colour(0x39)).collect()
    };
    assert_eq!(find(&v, &m), [0]);
    // Start one line down, split after line 99: the pixel shows at line 100.
    indexed(&mut v, 0x3d4, 0xd, 80);
    indexed(&mut v, 0x3d4, 0x18, 99);
    indexed(&mut v, 0x3d4, 7, 0x3e & !0x10);
    indexed(&mut v, 0x3d4, 9, 0x00);
    assert_eq!(find(&v, &m), [100 * 640]);
    // Panned by three, it leaves; the byte to its right moves in.
    poke(&mut v, &mut m, 0xa0001, 0x80);
    inp(&mut v, 0x3da);
    out(&mut v, 0x3c0, 0x33);
    out(&mut v, 0x3c0, 3);
    assert_eq!(find(&v, &m), [100 * 640 + 5]);
}

fn vbe(v: &mut Vga, m: &mut Ram, index: u16, value: u16) {
    v.write_dispi(m, 0, Width::Word, u32::from(index));
    v.write_dispi(m, 1, Width::Word, u32::from(value));
}

fn vbe_read(v: &mut Vga, m: &mut Ram, index: u16) -> u16 {
    v.write_dispi(m, 0, Width::Word, u32::from(index));
    v.read_dispi(m, 1, Width::Word) as u16
}

#[test]
fn bochs_vbe_modes() {
    let (mut v, mut m) = (set_mode(&MODE_3), vram());
    assert_eq!(vbe_read(&mut v, &mut m, 0), 0xb0c5);
    vbe(&mut v, &mut m, 0, 0xb0c0);
    assert_eq!(vbe_read(&mut v, &mut m, 0), 0xb0c0);
    assert_eq!(vbe_read(&mut v, &mut m, 10), 16);
    vbe(&mut v, &mut m, 4, 2);
    assert_eq!((vbe_read(&mut v, &mut m, 1), vbe_read(&mut v, &mut m, 3)), (dispi::MAX_XRES, 32));
    m.0.fill(7);
    for (index, value) in [(4, 0), (1, 320), (2, 200), (3, 16), (4, 0x41)] {
        vbe(&mut v, &mut m, index, value);
    }
    assert_eq!((m.0[0], m.0[320 * 200 * 2 - 1], m.0[320 * 200 * 2]), (0, 0, 7));
    assert_eq!((vbe_read(&mut v, &mut m, 6), vbe_read(&mut v, &mut m, 7)), (320, 1638));
    vbe(&mut v, &mut m, 6, 512);
    vbe(&mut v, &mut m, 9, 3);
    vbe(&mut v, &mut m, 8, 8);
    vbe(&mut v, &mut m, 5, 0);
    poke(&mut v, &mut m, 0xa0000 + 1024 * 3 + 16, 0x00);
    poke(&mut v, &mut m, 0xa0000 + 1024 * 3 + 17, 0xf8);
    let f = v.render(&m, FAR);
    assert_eq!((f.width, f.height, f.pixels[0]), (320, 200, 0xff0000));
    vbe(&mut v, &mut m, 5, 2);
    assert_eq!(v.direct_window(m.len()).unwrap().offset, 0x20000);
    vbe(&mut v, &mut m, 5, 16); // beyond the memory
    assert_eq!(vbe_read(&mut v, &mut m, 5), 2);
    vbe(&mut v, &mut m, 4, 0);
    assert!(v.text(&m).is_some());
    // Too large for the memory: refused.
    for (index, value) in [(1, 1024), (2, 768), (3, 32), (4, 1)] {
        vbe(&mut v, &mut m, index, value);
    }
    assert_eq!(vbe_read(&mut v, &mut m, 4), 0);
}

#[test]
fn mmio_mirrors_ports_and_dispi() {
    let (mut v, mut m) = (set_mode(&MODE_3), vram());
    assert_eq!(v.read_mmio(&m, FAR, 0x40c, Width::Byte), 0x67);
    v.write_mmio(&mut m, FAR, 0x502, Width::Word, 640);
    assert_eq!(v.read_mmio(&m, FAR, 0x502, Width::Word), 640);
    v.write_mmio(&mut m, FAR, 0x604, Width::Dword, 0xbebe_bebe);
    assert_eq!(v.read_mmio(&m, FAR, 0x604, Width::Dword), 0xbebe_bebe);
}

/// Whatever a guest does to ports and memory, nothing panics and the picture stays within bounds.
#[test]
fn random_ports_and_memory_never_panic() {
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed >> 11
    };
    let widths = [Width::Byte, Width::Word, Width::Dword, Width::Qword];
    for round in 0..60 {
        let mut m = Ram(vec![0x5a; [0x4_0000, 0x1234, 1 << 20][round % 3]]);
        let mut v =
            if round % 2 == 0 { Vga::new() } else { set_mode([&MODE_3, &MODE_12, &MODE_4][round % 3]) };
        for _ in 0..3000 {
            let (r, w, t) = (next(), widths[next() as usize % 4], Time(next() << (next() % 12)));
            let value = next();
            match r % 7 {
                0 | 1 => v.write_port(t, (r >> 8) as u16 % 0x30, w, value as u32),
                2 => drop(v.read_port(t, (r >> 8) as u16 % 0x30, w)),
                3 => v.store(&mut m, (r >> 8) as u32 % 0x20000, w, value),
                4 => drop(v.load(&m, (r >> 8) as u32 % 0x20000, w)),
                5 => vbe(&mut v, &mut m, (r >> 8) as u16 % 12, value as u16 >> (value >> 60)),
                _ => {
                    v.write_mmio(&mut m, t, (r >> 8) % 0x1000, w, value);
                    v.read_mmio(&m, t, (r >> 8) % 0x1000, w);
                }
            }
            if let Some(d) = v.direct_window(m.len()) {
                assert!(d.offset + d.len <= m.len());
            }
        }
        let f = v.render(&m, Time(next()));
        assert!(f.width <= 4608 && f.height <= 4096, "{}x{}", f.width, f.height);
        assert_eq!(f.pixels.len(), f.width as usize * f.height as usize);
        v.text(&m);
        v.irq(Time(next()));
    }
}
