//! Expressions over registers, memory and symbols: conditions of breakpoints, addresses of commands.
//!
//! ```text
//!     rax == 5 && byte[rsp+8] != 0        registers (with or without $), loads by linear address
//!     phys dword[0x1000]                  loads by physical address
//!     start_kernel+4   F000:FFF0          symbols, segment:offset
//! ```
//! Operators as in C, unsigned, 64 bits; `[..]` alone loads eight bytes. What can't be loaded makes the whole
//! expression an error, and a condition that is an error counts as true, so that nothing is missed.

/// Deepest nesting.
const DEPTH: u32 = 64;
/// Longest text.
const LENGTH: usize = 4096;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A number.
    Number(u64),
    /// A register or symbol.
    Name(String),
    /// A load: address, bytes, physical.
    Load(Box<Expr>, u8, bool),
    /// `-`, `!`, `~`.
    Unary(char, Box<Expr>),
    /// Two operands.
    Binary(Op, Box<Expr>, Box<Expr>),
}

/// Operators of two operands.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    LogicalOr,
    LogicalAnd,
    Or,
    Xor,
    And,
    Equal,
    NotEqual,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Segment,
}

/// Operators by what binds weakest, each as written.
const LEVELS: &[&[(&str, Op)]] = &[
    &[("||", Op::LogicalOr)],
    &[("&&", Op::LogicalAnd)],
    &[("|", Op::Or)],
    &[("^", Op::Xor)],
    &[("&", Op::And)],
    &[("==", Op::Equal), ("!=", Op::NotEqual)],
    &[("<=", Op::LessEqual), (">=", Op::GreaterEqual), ("<", Op::Less), (">", Op::Greater)],
    &[("<<", Op::ShiftLeft), (">>", Op::ShiftRight)],
    &[("+", Op::Add), ("-", Op::Subtract)],
    &[("*", Op::Multiply), ("/", Op::Divide), ("%", Op::Remainder)],
    &[(":", Op::Segment)],
];

/// What an expression is about.
pub trait Context {
    /// A register's or symbol's value.
    fn name(&self, name: &str) -> Option<u64>;
    /// Bytes of memory as a number.
    fn load(&self, at: u64, bytes: u8, physical: bool) -> Option<u64>;
    /// The linear address of an offset in a segment.
    fn segment(&self, selector: u16, offset: u64) -> Option<u64>;
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Expr {
    /// Reads a whole text as one expression.
    pub fn parse(text: &str) -> Result<Expr, String> {
        let (e, rest) = Expr::parse_front(text)?;
        if rest.is_empty() {
            Ok(e)
        } else {
            Err(format!("'{rest}' follows the expression and makes no sense there"))
        }
    }

    /// Reads an expression from the front; gives back what follows.
    pub fn parse_front(text: &str) -> Result<(Expr, &str), String> {
        if text.len() > LENGTH {
            return Err(format!("an expression has at most {LENGTH} characters"));
        }
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err("an expression is one line of text".into());
        }
        let mut p = Parser { text, at: 0, depth: 0 };
        let e = p.binary(0)?;
        p.blank();
        Ok((e, &text[p.at..]))
    }

    /// Its value.
    pub fn value(&self, c: &dyn Context) -> Result<u64, String> {
        Ok(match self {
            Expr::Number(n) => *n,
            Expr::Name(n) => c.name(n).ok_or_else(|| format!("'{n}' is no register or symbol"))?,
            Expr::Load(at, bytes, physical) => {
                let at = at.value(c)?;
                let kind = if *physical { "physical" } else { "linear" };
                c.load(at, *bytes, *physical).ok_or_else(|| format!("no memory at {kind} {at:#x}"))?
            }
            Expr::Unary(op, e) => {
                let v = e.value(c)?;
                match op {
                    '-' => v.wrapping_neg(),
                    '!' => u64::from(v == 0),
                    _ => !v,
                }
            }
            Expr::Binary(op, a, b) => binary(*op, a, b, c)?,
        })
    }
}

fn binary(op: Op, a: &Expr, b: &Expr, c: &dyn Context) -> Result<u64, String> {
    let a = a.value(c)?;
    match op {
        Op::LogicalOr if a != 0 => return Ok(1),
        Op::LogicalAnd if a == 0 => return Ok(0),
        _ => {}
    }
    let b = b.value(c)?;
    let truth = |t: bool| Ok(u64::from(t));
    match op {
        Op::LogicalOr | Op::LogicalAnd => truth(b != 0),
        Op::Or => Ok(a | b),
        Op::Xor => Ok(a ^ b),
        Op::And => Ok(a & b),
        Op::Equal => truth(a == b),
        Op::NotEqual => truth(a != b),
        Op::LessEqual => truth(a <= b),
        Op::GreaterEqual => truth(a >= b),
        Op::Less => truth(a < b),
        Op::Greater => truth(a > b),
        Op::ShiftLeft => Ok(if b < 64 { a << b } else { 0 }),
        Op::ShiftRight => Ok(if b < 64 { a >> b } else { 0 }),
        Op::Add => Ok(a.wrapping_add(b)),
        Op::Subtract => Ok(a.wrapping_sub(b)),
        Op::Multiply => Ok(a.wrapping_mul(b)),
        Op::Divide => a.checked_div(b).ok_or_else(|| "division by zero".into()),
        Op::Remainder => a.checked_rem(b).ok_or_else(|| "division by zero".into()),
        Op::Segment => {
            c.segment(a as u16, b).ok_or_else(|| format!("{a:#x} is no selector of a present segment"))
        }
    }
}

impl<'a> Parser<'a> {
    fn blank(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn eat(&mut self, what: &str) -> bool {
        self.blank();
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn operator(&mut self, level: usize) -> Option<Op> {
        self.blank();
        let rest = self.rest();
        let (text, op) = LEVELS[level].iter().find(|(t, _)| rest.starts_with(t))?;
        // `|` is not the start of `||`, `<` not that of `<<`, ...
        let longer = ["||", "&&", "<<", ">>", "<=", ">="];
        if text.len() == 1 && longer.iter().any(|l| l.starts_with(text) && rest.starts_with(l)) {
            return None;
        }
        self.at += text.len();
        Some(*op)
    }

    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        if level == LEVELS.len() {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        let mut n = 0;
        while let Some(op) = self.operator(level) {
            n += 1;
            if n > 256 {
                return Err("the expression is too long".into());
            }
            let right = self.binary(level + 1)?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("the expression is nested too deeply".into());
        }
        self.blank();
        let e = match self.rest().chars().next() {
            Some(c @ ('-' | '!' | '~')) => {
                self.at += 1;
                Expr::Unary(c, Box::new(self.unary()?))
            }
            Some('(') => {
                self.at += 1;
                let e = self.binary(0)?;
                if !self.eat(")") {
                    return Err("a ) is missing".into());
                }
                e
            }
            Some('[') => self.load(8, false)?,
            Some('*') => {
                self.at += 1;
                Expr::Load(Box::new(self.unary()?), 8, false)
            }
            Some(_) => self.word()?,
            None => return Err("the expression ends where a value is expected".into()),
        };
        self.depth -= 1;
        Ok(e)
    }

    fn load(&mut self, bytes: u8, physical: bool) -> Result<Expr, String> {
        if !self.eat("[") {
            return Err("a [ is expected: byte[..], word[..], dword[..], qword[..]".into());
        }
        let at = self.binary(0)?;
        if !self.eat("]") {
            return Err("a ] is missing".into());
        }
        Ok(Expr::Load(Box::new(at), bytes, physical))
    }

    fn word(&mut self) -> Result<Expr, String> {
        let rest = self.rest();
        let rest = rest.strip_prefix('$').unwrap_or(rest);
        let start = self.text.len() - rest.len();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '@' | '$')))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() {
            let c = rest.chars().next().unwrap_or(' ');
            return Err(format!("'{c}' is no value"));
        }
        self.at = start + end;
        match word {
            "byte" => return self.load(1, false),
            "word" => return self.load(2, false),
            "dword" => return self.load(4, false),
            "qword" => return self.load(8, false),
            "phys" => return self.physical(),
            _ => {}
        }
        if self.beside_colon(start, word) {
            return u64::from_str_radix(word, 16).map(Expr::Number).map_err(|e| e.to_string());
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return number(word).map(Expr::Number);
        }
        Ok(Expr::Name(word.to_string()))
    }

    /// F000:FFF0: both sides are hexadecimal even without 0x, unless they name a register.
    fn beside_colon(&self, start: usize, word: &str) -> bool {
        let near = self.rest().starts_with(':') || self.text[..start].ends_with(':');
        near && word.chars().all(|c| c.is_ascii_hexdigit()) && word.len() <= 8 && !is_segment(word)
    }

    fn physical(&mut self) -> Result<Expr, String> {
        self.blank();
        let sizes = [("byte", 1), ("word", 2), ("dword", 4), ("qword", 8)];
        let rest = self.rest();
        for (name, bytes) in sizes {
            if rest.starts_with(name) {
                self.at += name.len();
                return self.load(bytes, true);
            }
        }
        self.load(8, true)
    }
}

fn is_segment(word: &str) -> bool {
    ["cs", "ds", "es", "fs", "gs", "ss"].contains(&word.to_ascii_lowercase().as_str())
}

/// A number: 0x.., ..h, decimal.
pub fn number(word: &str) -> Result<u64, String> {
    let clean = word.replace('_', "");
    let parsed = if let Some(hex) = clean.strip_prefix("0x").or_else(|| clean.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if let Some(hex) = clean.strip_suffix(['h', 'H']) {
        u64::from_str_radix(hex, 16)
    } else if clean.chars().all(|c| c.is_ascii_digit()) && !clean.is_empty() {
        clean.parse()
    } else {
        u64::from_str_radix(&clean, 16)
    };
    parsed.map_err(|_| format!("'{word}' is not a number: 0x1f, 1fh or 31"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;
    impl Context for Fake {
        fn name(&self, name: &str) -> Option<u64> {
            [("rax", 5), ("rsp", 0x100), ("start_kernel", 0x1000), ("cs", 0xf000)]
                .iter()
                .find(|n| n.0 == name)
                .map(|n| n.1)
        }
        fn load(&self, at: u64, bytes: u8, physical: bool) -> Option<u64> {
            (at < 0x1000).then_some(at + u64::from(bytes) * 0x10000 + if physical { 0x100_0000 } else { 0 })
        }
        fn segment(&self, selector: u16, offset: u64) -> Option<u64> {
            Some((u64::from(selector) << 4) + offset)
        }
    }

    fn value(text: &str) -> Result<u64, String> {
        Expr::parse(text)?.value(&Fake)
    }

    #[test]
    fn precedence_is_that_of_c() {
        // Values computed by hand by C's table of operators.
        for (text, v) in [
            ("1 + 2 * 3", 7),
            ("(1+2)*3", 9),
            ("1 << 4 | 1", 17),
            ("1 | 2 == 2", 1),
            ("6 & 3 ^ 1", 3),
            ("!0 && 2 > 1", 1),
            ("-1 >> 63", 1),
            ("0x10 + 10h + 16", 48),
            ("$rax == 5 && dword[rsp+8] != 0", 1),
            ("byte[rsp]", 0x1_0100),
            ("phys word[4]", 0x102_0004),
            ("start_kernel+4", 0x1004),
            ("F000:FFF0", 0xffff0),
            ("cs:10", 0xf0010),
            ("1 || 1/0", 1),
            ("0 && 1/0", 0),
        ] {
            assert_eq!(value(text), Ok(v), "{text}");
        }
    }

    #[test]
    fn nonsense_gets_a_line() {
        for text in [
            "",
            "1 +",
            "(1",
            "[1",
            "foo",
            "1 2",
            "0xzz",
            "byte 3",
            "1/0",
            "qword[5000]",
            "\u{e4}",
            "?",
            "1 x\ny",
        ] {
            let e = value(text).unwrap_err();
            assert!(!e.is_empty() && !e.contains('\n'), "{text}");
        }
        assert!(value(&"(".repeat(4000)).is_err());
        assert!(value(&"1+".repeat(2000)).is_err());
        assert!(value(&"-".repeat(4000)).is_err());
    }
}
