//! Two chips that no PC has and every emulator: the console at port E9h, and the port that ends the run.
//!
//! Follows: the Bochs user manual ("port e9 hack"); QEMU's `isa-debug-exit`. Tests at the foot.

use crate::{Ctx, Ports, Width, read_bytes, write_bytes};
use serde::{Deserialize, Serialize};

/// Port E9h: every byte written is a character; reading tells that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugConsole;

impl Ports for DebugConsole {
    fn read(&mut self, _ctx: &mut Ctx, offset: u16, width: Width) -> u32 {
        read_bytes(offset, width, |port| if port == 0 { 0xE9 } else { 0xFF })
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32) {
        write_bytes(offset, width, value, |port, byte| {
            if port == 0 {
                ctx.host.debug_out(byte);
            }
        });
    }
}

/// `isa-debug-exit`: a write asks for the end of the run with a code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugExit {
    code: Option<u32>,
}

impl DebugExit {
    /// The value written since this was last asked.
    pub fn take_code(&mut self) -> Option<u32> {
        self.code.take()
    }
}

impl Ports for DebugExit {
    fn read(&mut self, _ctx: &mut Ctx, _offset: u16, _width: Width) -> u32 {
        0
    }

    fn write(&mut self, _ctx: &mut Ctx, _offset: u16, _width: Width, value: u32) {
        self.code = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Bench;

    #[test]
    fn console_takes_characters() {
        let (mut bench, mut console) = (Bench::new(), DebugConsole);
        bench.outb(&mut console, 0, b'!');
        assert_eq!(bench.inb(&mut console, 0), 0xE9);
        assert_eq!(bench.outside.debug, b"!");
    }

    #[test]
    fn exit_records_the_code_once() {
        let (mut bench, mut exit) = (Bench::new(), DebugExit::default());
        bench.outb(&mut exit, 0, 0x10);
        assert_eq!(exit.take_code(), Some(0x10));
        assert_eq!(exit.take_code(), None);
    }
}
