//! The host side of the emulator: command line, displays, serial ports, keyboard and mouse.
//!
//! - [`cli`] turns the process's arguments into a machine's configuration, or into one line that says what is wrong;
//! - [`choose`] decides which display is used and who owns standard input;
//! - [`session`] runs the machine on a thread of its own and does what is to be done at its end;
//! - [`host`] takes the machine's output; [`serial`] are the places where serial ports lead;
//! - [`terminal`] and [`window`] show the screen and send keys; they run on the main thread;
//! - [`debug`] serves gdb and the monitor;
//! - [`end`] restores the terminal on every way out and turns signals into an orderly end.
//!
//! What it deliberately is not: part of the machine. Everything here reaches the guest through `Input` and nothing else.

pub mod choose;
pub mod cli;
pub mod debug;
pub mod end;
pub mod host;
pub mod picture;
pub mod serial;
pub mod session;
pub mod terminal;
pub mod window;

use std::ffi::OsString;
use std::process::ExitCode;

/// Wrong usage or files.
pub const STATUS_USAGE: u8 = 2;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os().skip(1).collect()))
}

/// Runs the program with `args` (without the program's name); the exit status.
pub fn run(args: Vec<OsString>) -> u8 {
    let done = match cli::parse(args) {
        Ok(cli::Command::Show(text)) => {
            // A reader that closes its end early is no error.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            Ok(0)
        }
        Ok(cli::Command::Run(config)) => session::run(*config),
        Err(line) => Err(line),
    };
    done.unwrap_or_else(|line| {
        eprintln!("lucid86: {}", one_line(&line));
        STATUS_USAGE
    })
}

/// A message in one line, whatever an error of a library brought along.
pub fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}
