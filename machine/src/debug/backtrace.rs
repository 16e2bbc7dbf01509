//! Who called: a chain of frames, by frame pointers, checked against the stack.

use super::walk;
use crate::Machine;
use lucid86_cpu::state::{Seg, gpr};

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Linear address of the instruction: of the innermost the next one, of others the one returned to.
    pub pc: u64,
    /// Its stack pointer (linear).
    pub sp: u64,
    /// How it was found.
    pub how: How,
}

/// How a frame was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The registers.
    Registers,
    /// The chain of frame pointers.
    FramePointer,
    /// The kernel's unwind tables.
    Orc,
    /// An interrupt's or exception's frame.
    Interrupt,
}

impl Machine {
    /// Frames from the innermost on.
    pub fn backtrace(&self, cpu: usize, most: usize) -> Vec<Frame> {
        let c = &self.cpus[cpu];
        if c.is_64()
            && c.cpl == 0
            && let Some(orc) = self.orc()
        {
            let (mut frames, user) = self.orc_frames(cpu, &orc, most);
            if let Some([ip, sp, bp]) = user {
                frames.push(Frame { pc: ip, sp, how: How::Interrupt });
                self.frames_by_pointer(cpu, &mut frames, sp, bp, 8, most);
            }
            if frames.len() > 1 {
                return frames;
            }
        }
        let width = u64::from(super::disasm::bits(c) / 8);
        let mask = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
        let base = if width == 8 { 0 } else { c.seg[Seg::Ss as usize].base };
        let sp = base.wrapping_add(c.gpr[gpr::RSP] & mask);
        let mut frames = vec![Frame { pc: self.pc(cpu), sp, how: How::Registers }];
        self.frames_by_pointer(cpu, &mut frames, sp, c.gpr[gpr::RBP] & mask, width, most);
        frames
    }

    /// More frames by the chain that begins at `bp`.
    fn frames_by_pointer(
        &self,
        cpu: usize,
        frames: &mut Vec<Frame>,
        sp: u64,
        bp: u64,
        width: u64,
        most: usize,
    ) {
        let c = &self.cpus[cpu];
        let base = if width == 8 { 0 } else { c.seg[Seg::Ss as usize].base };
        let space = walk::space_of(c, &self.mem, None);
        let word = |at: u64| {
            let mut b = [0; 8];
            let to = &mut b[..width as usize];
            (walk::peek(&self.mem, &space, at, to) == to.len()).then(|| u64::from_le_bytes(b))
        };
        let code = if width == 8 { 0 } else { c.seg[Seg::Cs as usize].base };
        let (mut bp, mut last) = (bp, sp);
        while frames.len() < most {
            let at = base.wrapping_add(bp);
            if bp == 0 || at < last || at - last > 1 << 20 {
                break;
            }
            let (Some(next), Some(ret)) = (word(at), word(at.wrapping_add(width))) else { break };
            let pc = code.wrapping_add(ret);
            if ret == 0 || self.peek(cpu, pc, &mut [0]) == 0 {
                break;
            }
            last = at.wrapping_add(2 * width);
            frames.push(Frame { pc, sp: last, how: How::FramePointer });
            bp = next;
        }
    }
}
