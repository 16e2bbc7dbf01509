//! Where the beam is: input status registers from the CRT controller's timings and virtual time, so that software which
//! waits for retrace always sees one come. IBM PS/2 Video Subsystem, "Input Status Register 0/1".

use super::{Vga, misc};
use crate::Time;

/// Durations of one frame, in picoseconds and lines.
struct Raster {
    line_ps: u64,
    lines: u32,
    /// Start of horizontal blanking within a line.
    shown_ps: u64,
}

/// What is used while no sane timing is programmed: 31.5 kHz, 70 Hz.
const DEFAULT: Raster = Raster { line_ps: 31_777_000, lines: 449, shown_ps: 25_422_000 };

impl Vga {
    fn raster(&self) -> Raster {
        let total = u64::from(self.crtc.horizontal_total());
        let lines = self.crtc.vertical_total();
        if total < 40 || lines < 100 {
            return DEFAULT;
        }
        // 25.175 MHz and 28.322 MHz.
        let dot_ps = if self.misc & misc::CLOCK == 1 << 2 { 35_308 } else { 39_722 };
        let char_ps = (dot_ps * u64::from(self.seq.dots())) << u32::from(self.seq.half_clock());
        let shown = u64::from(self.crtc.horizontal_display()).min(total - 1);
        Raster { line_ps: total * char_ps, lines, shown_ps: shown * char_ps }
    }

    /// Nanoseconds that a frame takes.
    pub fn frame_ns(&self) -> u64 {
        let r = self.raster();
        (r.line_ps * u64::from(r.lines) / 1000).max(1)
    }

    /// Frames shown since power-on if the timing had always been this: the phase of cursor and blinking.
    pub(super) fn frame_number(&self, now: Time) -> u64 {
        now.0 / self.frame_ns()
    }

    /// The line that the beam is in, and picoseconds since its start.
    fn beam(&self, now: Time, r: &Raster) -> (u32, u64) {
        let in_frame = (now.0 % self.frame_ns()) * 1000;
        ((in_frame / r.line_ps) as u32, in_frame % r.line_ps)
    }

    /// First line and number of lines of vertical retrace; always within the frame.
    fn retrace(&self, r: &Raster) -> (u32, u32) {
        let start = self.crtc.retrace_start();
        if start == 0 || start + 1 >= r.lines {
            (r.lines - 8, 2)
        } else {
            (start, self.crtc.retrace_length().min(r.lines - start))
        }
    }

    /// Input status 1: bit 0 display disabled, bit 3 vertical retrace, bits 5:4 two bits of the pixel being drawn.
    pub(super) fn status1(&self, now: Time) -> u8 {
        let r = self.raster();
        let (line, in_line) = self.beam(now, &r);
        let (start, length) = self.retrace(&r);
        let retrace = (start..start + length).contains(&line);
        let shown = line < self.crtc.vertical_display().min(start) && in_line < r.shown_ps;
        let pixel = ((in_line >> 17) as u8 ^ self.attr.video_status()) & 3;
        u8::from(!shown) | u8::from(retrace) << 3 | if shown { pixel << 4 } else { 0 }
    }

    /// Input status 0: bit 4 monitor sense (a colour monitor is there), bit 7 vertical retrace interrupt pending.
    pub(super) fn status0(&self, now: Time) -> u8 {
        0x10 | u8::from(self.retrace_pending(now)) << 7
    }

    fn retrace_pending(&self, now: Time) -> bool {
        if self.crtc.reg(0x11) & 0x10 == 0 {
            return false;
        }
        let r = self.raster();
        let start_ns = u64::from(self.retrace(&r).0) * r.line_ps / 1000;
        let count = |t: Time| t.0.saturating_add(self.frame_ns() - start_ns) / self.frame_ns();
        count(now) > count(self.retrace_cleared)
    }

    /// The vertical retrace interrupt line: pending and not disabled (CRTC 11h bit 5).
    pub fn irq(&self, now: Time) -> bool {
        self.crtc.reg(0x11) & 0x20 == 0 && self.retrace_pending(now)
    }
}
