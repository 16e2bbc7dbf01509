//! The host side of the emulator: command line, displays, serial ports, keyboard and mouse.
use std::process::ExitCode;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
