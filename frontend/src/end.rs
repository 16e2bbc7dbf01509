//! Ways out. One [`Ending`] is shared by all threads: it knows whether someone asked for the end, and how the terminal is
//! to be restored. Dropping, panics, signals and a second signal all come through [`Ending::restore`].

use crossterm::{cursor, event, execute, terminal};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

/// Shared knowledge about the end of the run.
#[derive(Debug, Default)]
pub struct Ending {
    asked: AtomicBool,
    signal: AtomicI32,
    raw: AtomicBool,
    full_screen: AtomicBool,
    below: OnceLock<Below>,
}

/// Draws what is to stay below lines on standard error.
struct Below(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Below")
    }
}

impl Ending {
    /// Nothing asked for, the terminal as it was. Panics and signals are led here from now on.
    pub fn watch() -> Arc<Ending> {
        let ending = Arc::new(Ending::default());
        let for_panics = Arc::clone(&ending);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            for_panics.restore();
            report(info);
        }));
        watch_signals(&ending);
        ending
    }

    /// Asks the machine to end.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether someone asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The signal that asked, if one did.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::SeqCst)).ok().filter(|s| *s != 0)
    }

    /// Puts the terminal into raw mode: keys arrive one by one and none of them is a signal.
    pub fn make_raw(&self) -> std::io::Result<()> {
        terminal::enable_raw_mode()?;
        self.raw.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Takes the whole terminal: alternate screen, hidden cursor.
    pub fn take_screen(&self) -> std::io::Result<()> {
        self.make_raw()?;
        self.full_screen.store(true, Ordering::SeqCst);
        execute!(std::io::stdout(), terminal::EnterAlternateScreen, event::EnableBracketedPaste, cursor::Hide)
    }

    /// Whether the whole terminal is still ours: not after a panic of the machine's thread.
    pub fn has_screen(&self) -> bool {
        self.full_screen.load(Ordering::SeqCst)
    }

    /// The terminal as it was. Does nothing the second time.
    pub fn restore(&self) {
        if self.full_screen.swap(false, Ordering::SeqCst) {
            let _ = execute!(
                std::io::stdout(),
                crossterm::style::ResetColor,
                event::DisableBracketedPaste,
                terminal::LeaveAlternateScreen,
                cursor::Show
            );
        }
        if self.raw.swap(false, Ordering::SeqCst) {
            let _ = terminal::disable_raw_mode();
        }
    }

    /// Has something drawn again below every line that is said.
    pub fn keep_below(&self, draw: impl Fn() + Send + Sync + 'static) {
        let _ = self.below.set(Below(Box::new(draw)));
    }

    /// A line on standard error, in whatever mode the terminal is.
    pub fn say(&self, line: &str) {
        let raw = self.raw.load(Ordering::SeqCst);
        let below = self.below.get().filter(|_| raw);
        let (begin, end) = around(below.is_some(), raw, std::io::stderr().is_terminal());
        let _ = write!(std::io::stderr(), "{begin}lucid86: {line}{end}");
        if let Some(Below(draw)) = below {
            draw();
        }
    }
}

/// What stands around a line on standard error: at a raw terminal it replaces what is drawn `below` it; a file gets the line.
fn around(below: bool, raw: bool, terminal: bool) -> (&'static str, &'static str) {
    match (terminal, raw) {
        (true, true) if below => ("\r\x1b[K", "\r\n"),
        (true, true) => ("", "\r\n"),
        _ => ("", "\n"),
    }
}

/// Time to end in good order after the terminal has gone.
#[cfg(unix)]
const GONE: std::time::Duration = std::time::Duration::from_secs(2);

/// The first signal asks for an orderly end; the second ends at once, with the terminal restored.
#[cfg(unix)]
fn watch_signals(ending: &Arc<Ending>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    let ending = Arc::clone(ending);
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if ending.signal.swap(signal, Ordering::SeqCst) != 0 {
                ending.restore();
                std::process::exit(128 + signal);
            }
            ending.ask();
            if signal == SIGHUP && ending.has_screen() {
                // The terminal is gone, and whoever reads keys from it may never come back from that.
                std::thread::spawn(move || {
                    std::thread::sleep(GONE);
                    std::process::exit(128 + signal);
                });
            }
        }
    });
}

#[cfg(not(unix))]
fn watch_signals(_ending: &Arc<Ending>) {}

#[cfg(test)]
mod tests {
    use super::around;

    #[test]
    fn a_file_gets_lines_and_nothing_else() {
        for (below, raw) in [(false, false), (false, true), (true, true)] {
            assert_eq!(around(below, raw, false), ("", "\n"));
        }
        assert_eq!(around(true, true, true), ("\r\x1b[K", "\r\n"));
        assert_eq!(around(false, true, true), ("", "\r\n"));
        assert_eq!(around(false, false, true), ("", "\n"));
    }
}
