//! A line that is edited at a terminal: keys in, what they mean out. Knows nothing of the terminal itself ([`super::console`]
//! draws), and learns from its user what a word could be.

use crossterm::event::{KeyCode, KeyModifiers};

/// Longest line.
const LONGEST: usize = 4096;
/// Lines remembered.
const REMEMBERED: usize = 500;

/// What a key led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The line has changed, or not.
    Nothing,
    /// A whole line.
    Line(String),
    /// What could this line's last word be? [`Editor::complete`] takes the answer.
    Complete(String),
    /// Ctrl-C.
    Stop,
    /// Ctrl-D on an empty line.
    End,
}

/// The line and those before it.
#[derive(Debug, Default)]
pub struct Editor {
    text: Vec<char>,
    /// Where the next character goes.
    at: usize,
    past: Vec<String>,
    /// How far back among `past`; 0 is the new line, kept in `draft` meanwhile.
    back: usize,
    draft: Vec<char>,
}

impl Editor {
    /// The characters, and where the cursor is among them.
    pub fn line(&self) -> (&[char], usize) {
        (&self.text, self.at)
    }

    /// Takes a key.
    pub fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) -> Said {
        if modifiers.contains(KeyModifiers::CONTROL) {
            return self.control(code);
        }
        match code {
            KeyCode::Char(c) if !c.is_control() && self.text.len() < LONGEST => {
                self.text.insert(self.at, c);
                self.at += 1;
            }
            KeyCode::Enter => return self.enter(),
            KeyCode::Tab => return Said::Complete(self.text[..self.at].iter().collect()),
            KeyCode::Backspace => self.cut(self.at.saturating_sub(1), self.at),
            KeyCode::Delete => self.cut(self.at, (self.at + 1).min(self.text.len())),
            KeyCode::Left => self.at = self.at.saturating_sub(1),
            KeyCode::Right => self.at = (self.at + 1).min(self.text.len()),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            KeyCode::Up => self.recall(self.back + 1),
            KeyCode::Down if self.back > 0 => self.recall(self.back - 1),
            _ => {}
        }
        Said::Nothing
    }

    fn control(&mut self, code: KeyCode) -> Said {
        let KeyCode::Char(c) = code else { return Said::Nothing };
        match c.to_ascii_lowercase() {
            'c' => {
                self.put(Vec::new());
                self.back = 0;
                return Said::Stop;
            }
            'd' if self.text.is_empty() => return Said::End,
            'd' => return self.key(KeyCode::Delete, KeyModifiers::NONE),
            'a' => self.at = 0,
            'e' => self.at = self.text.len(),
            'b' => return self.key(KeyCode::Left, KeyModifiers::NONE),
            'f' => return self.key(KeyCode::Right, KeyModifiers::NONE),
            'p' => return self.key(KeyCode::Up, KeyModifiers::NONE),
            'n' => return self.key(KeyCode::Down, KeyModifiers::NONE),
            'h' => return self.key(KeyCode::Backspace, KeyModifiers::NONE),
            'i' => return self.key(KeyCode::Tab, KeyModifiers::NONE),
            'j' | 'm' => return self.enter(),
            'u' => self.cut(0, self.at),
            'k' => self.cut(self.at, self.text.len()),
            'w' => {
                let blanks = self.text[..self.at].iter().rev().take_while(|c| c.is_whitespace()).count();
                let word = self.text[..self.at - blanks].iter().rev().take_while(|c| !c.is_whitespace());
                self.cut(self.at - blanks - word.count(), self.at);
            }
            _ => {}
        }
        Said::Nothing
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.text.drain(from..to);
        self.at = from;
    }

    fn put(&mut self, text: Vec<char>) {
        (self.at, self.text) = (text.len(), text);
    }

    fn enter(&mut self) -> Said {
        let line: String = std::mem::take(&mut self.text).into_iter().collect();
        (self.at, self.back) = (0, 0);
        if !line.trim().is_empty() && self.past.last() != Some(&line) {
            self.past.push(line.clone());
            if self.past.len() > REMEMBERED {
                self.past.remove(0);
            }
        }
        Said::Line(line)
    }

    fn recall(&mut self, back: usize) {
        if back > self.past.len() {
            return;
        }
        if self.back == 0 {
            self.draft.clone_from(&self.text);
        }
        self.back = back;
        let text = match back {
            0 => std::mem::take(&mut self.draft),
            n => self.past[self.past.len() - n].chars().collect(),
        };
        self.put(text);
    }

    /// The last word of `begun` could be these: goes on as far as they agree. Gives them if that is no further.
    pub fn complete(&mut self, begun: &str, words: &[String]) -> Option<String> {
        let word = begun.rsplit(char::is_whitespace).next().unwrap_or_default();
        let first = words.first()?;
        let common = words.iter().fold(first.len(), |n, w| {
            first.bytes().zip(w.bytes()).take(n).take_while(|(a, b)| a == b).count()
        });
        let common = (0..=common).rev().find(|n| first.is_char_boundary(*n)).unwrap_or(0);
        let mut more: Vec<char> = first[..common].strip_prefix(word)?.chars().collect();
        if words.len() == 1 {
            more.push(' ');
        }
        if more.is_empty() {
            return Some(words.join("  ") + "\n");
        }
        let still = self.text[..self.at].iter().collect::<String>() == begun;
        if still && self.text.len() + more.len() <= LONGEST {
            let n = more.len();
            self.text.splice(self.at..self.at, more);
            self.at += n;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(e: &mut Editor, text: &str) {
        text.chars().for_each(|c| assert_eq!(e.key(KeyCode::Char(c), KeyModifiers::NONE), Said::Nothing));
    }

    fn shown(e: &Editor) -> (String, usize) {
        (e.line().0.iter().collect(), e.line().1)
    }

    fn press(e: &mut Editor, code: KeyCode) -> Said {
        e.key(code, KeyModifiers::NONE)
    }

    fn control(e: &mut Editor, c: char) -> Said {
        e.key(KeyCode::Char(c), KeyModifiers::CONTROL)
    }

    #[test]
    fn a_line_is_edited_in_its_middle() {
        let mut e = Editor::default();
        typed(&mut e, "bak x");
        (0..3).for_each(|_| _ = press(&mut e, KeyCode::Left));
        typed(&mut e, "c");
        assert_eq!(shown(&e), ("back x".into(), 3));
        press(&mut e, KeyCode::End);
        press(&mut e, KeyCode::Backspace);
        typed(&mut e, "é3");
        assert_eq!(press(&mut e, KeyCode::Enter), Said::Line("back é3".into()));
        typed(&mut e, "x/4 rsp  ");
        control(&mut e, 'w');
        assert_eq!(shown(&e), ("x/4 ".into(), 4));
        control(&mut e, 'a');
        press(&mut e, KeyCode::Delete);
        control(&mut e, 'k');
        assert_eq!(shown(&e), (String::new(), 0));
        assert_eq!(control(&mut e, 'd'), Said::End);
        typed(&mut e, "reg");
        assert_eq!((control(&mut e, 'c'), shown(&e)), (Said::Stop, (String::new(), 0)));
    }

    #[test]
    fn lines_come_back_and_so_does_the_new_one() {
        let mut e = Editor::default();
        for line in ["step", "step", "regs"] {
            typed(&mut e, line);
            press(&mut e, KeyCode::Enter);
        }
        typed(&mut e, "new");
        let mut seen = Vec::new();
        for code in [KeyCode::Up, KeyCode::Up, KeyCode::Up, KeyCode::Down, KeyCode::Down, KeyCode::Down] {
            press(&mut e, code);
            seen.push(shown(&e).0);
        }
        assert_eq!(seen, ["regs", "step", "step", "regs", "new", "new"]);
        // Ctrl-C leaves the line: the next one begins at the last again.
        (0..2).for_each(|_| _ = press(&mut e, KeyCode::Up));
        control(&mut e, 'c');
        typed(&mut e, "abc");
        press(&mut e, KeyCode::Up);
        assert_eq!(shown(&e).0, "regs");
        press(&mut e, KeyCode::Down);
        assert_eq!(shown(&e).0, "abc");
    }

    #[test]
    fn a_word_is_completed_as_far_as_is_known() {
        let words = |w: &[&str]| w.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let mut e = Editor::default();
        typed(&mut e, "reg");
        assert_eq!(press(&mut e, KeyCode::Tab), Said::Complete("reg".into()));
        assert_eq!(e.complete("reg", &words(&["registers"])), None);
        assert_eq!(shown(&e), ("registers ".into(), 10));
        control(&mut e, 'u');
        typed(&mut e, "b do_");
        assert_eq!(e.complete("b do_", &words(&["do_sys_a", "do_sys_b"])), None);
        assert_eq!(shown(&e).0, "b do_sys_");
        assert_eq!(
            e.complete("b do_sys_", &words(&["do_sys_a", "do_sys_b"])),
            Some("do_sys_a  do_sys_b\n".into())
        );
        assert_eq!(e.complete("b do_sys_", &[]), None);
        // What was typed meanwhile stays.
        typed(&mut e, "x");
        assert_eq!(e.complete("b do_sys_", &words(&["do_sys_a"])), None);
        assert_eq!(shown(&e).0, "b do_sys_x");
    }
}
