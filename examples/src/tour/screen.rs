//! Text in protected and long mode: straight into video memory at B8000h, two bytes a cell (character, colours).

/// Light grey on black, white, yellow, light green, white on blue.
pub const GREY: u8 = 0x07;
#[allow(missing_docs)]
pub const WHITE: u8 = 0x0f;
#[allow(missing_docs)]
pub const YELLOW: u8 = 0x0e;
#[allow(missing_docs)]
pub const GREEN: u8 = 0x0a;
#[allow(missing_docs)]
pub const BAR: u8 = 0x1f;

/// Address of a cell.
pub fn cell(row: u32, column: u32) -> u32 {
    0xb8000 + 2 * (80 * row + column)
}

/// Text for `DB`: zero-terminated, characters of code page 437.
pub fn text(s: &str) -> Vec<u8> {
    s.bytes().chain([0]).collect()
}

/// Emits into a 32- or 64-bit assembler: the routines `puts`, `hex` and `clear`, called with these registers:
/// puts: ESI text, EDI cell, AH colours. hex: EBX or RBX value, EDI first cell, AH colours, ECX digits.
macro_rules! routines {
    ($a:ident, $si:ident, $di:ident, $bx:ident, $cx:ident, $puts:ident, $hex:ident, $clear:ident) => {
        $a.set_label(&mut $puts)?;
        let mut done = $a.create_label();
        $a.mov(al, byte_ptr($si))?;
        $a.test(al, al)?;
        $a.jz(done)?;
        $a.mov(word_ptr($di), ax)?;
        $a.add($si, 1)?;
        $a.add($di, 2)?;
        $a.jmp($puts)?;
        $a.set_label(&mut done)?;
        $a.ret()?;

        // The lowest digit goes last: walk from the right.
        $a.set_label(&mut $hex)?;
        let mut digit = $a.create_label();
        let mut decimal = $a.create_label();
        $a.lea($di, ptr($di + $cx * 2 - 2))?;
        $a.set_label(&mut digit)?;
        $a.mov(al, bl)?;
        $a.and(al, 15)?;
        $a.add(al, 0x30)?;
        $a.cmp(al, 0x39)?;
        $a.jbe(decimal)?;
        $a.add(al, 7)?;
        $a.set_label(&mut decimal)?;
        $a.mov(word_ptr($di), ax)?;
        $a.sub($di, 2)?;
        $a.shr($bx, 4)?;
        $a.sub(ecx, 1)?;
        $a.jnz(digit)?;
        $a.ret()?;

        $a.set_label(&mut $clear)?;
        $a.mov(edi, 0xb8000)?;
        $a.mov(ecx, 80 * 25)?;
        $a.mov(eax, 0x0720)?;
        $a.cld()?;
        $a.rep().stosw()?;
        $a.ret()?;
    };
}

/// Emits code that prints lines: (row, column, colours, text). Gives the texts with their labels, for [`place_texts`].
macro_rules! print_lines {
    ($a:ident, $refs:ident, $puts:ident, $lines:expr) => {{
        let mut texts = Vec::new();
        for (row, column, colour, line) in $lines {
            let spot = $refs.spot(&mut $a);
            $a.mov(esi, $refs.address(spot))?;
            $a.mov(edi, screen::cell(row, column))?;
            $a.mov(ah, u32::from(colour))?;
            $a.call($puts)?;
            texts.push((spot, screen::text(line)));
        }
        texts
    }};
}

/// Emits the texts that `print_lines` refers to; after all code.
macro_rules! place_texts {
    ($a:ident, $refs:ident, $texts:expr) => {
        for (spot, bytes) in $texts {
            $refs.set(&mut $a, spot)?;
            $a.db(&bytes)?;
        }
    };
}

pub(crate) use {place_texts, print_lines, routines};
