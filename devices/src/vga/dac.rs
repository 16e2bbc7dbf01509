//! The palette DAC: 256 colours of three times six (or eight) bits. IBM PS/2 Video Subsystem, "Video DAC".

use serde::{Deserialize, Serialize};

/// The DAC's registers and table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dac {
    pub(super) mask: u8,
    pub(super) write_index: u8,
    read_index: u8,
    /// Which of red, green, blue comes next.
    step: u8,
    /// The last index was set for reading.
    reading: bool,
    /// Red and green of a write in progress; the table changes when blue comes.
    pending: [u8; 2],
    wide: bool,
    table: [[[u8; 3]; 16]; 16],
}

impl Default for Dac {
    fn default() -> Dac {
        Dac {
            mask: 0xff,
            write_index: 0,
            read_index: 0,
            step: 0,
            reading: false,
            pending: [0; 2],
            wide: false,
            table: [[[0; 3]; 16]; 16],
        }
    }
}

impl Dac {
    /// 3C7h read: 3 after a read index was set, 0 after a write index.
    pub(super) fn state(&self) -> u8 {
        if self.reading { 3 } else { 0 }
    }

    pub(super) fn set_read_index(&mut self, index: u8) {
        self.read_index = index;
        self.write_index = index.wrapping_add(1);
        self.step = 0;
        self.reading = true;
    }

    pub(super) fn set_write_index(&mut self, index: u8) {
        self.write_index = index;
        self.step = 0;
        self.reading = false;
    }

    fn entry(&mut self, index: u8) -> &mut [u8; 3] {
        &mut self.table[usize::from(index >> 4)][usize::from(index & 15)]
    }

    fn next(&mut self) -> bool {
        self.step = if self.step >= 2 { 0 } else { self.step + 1 };
        self.step == 0
    }

    pub(super) fn read_data(&mut self) -> u8 {
        let (index, step) = (self.read_index, usize::from(self.step.min(2)));
        let value = self.entry(index)[step];
        if self.next() {
            self.read_index = index.wrapping_add(1);
        }
        value
    }

    pub(super) fn write_data(&mut self, value: u8) {
        let value = if self.wide { value } else { value & 0x3f };
        match self.step {
            n @ 0..=1 => self.pending[usize::from(n)] = value,
            _ => {
                let [red, green] = self.pending;
                *self.entry(self.write_index) = [red, green, value];
            }
        }
        if self.next() {
            self.write_index = self.write_index.wrapping_add(1);
        }
    }

    /// Switches between six and eight bits a colour; what is in the table keeps its look.
    pub(super) fn set_8_bit(&mut self, wide: bool) {
        if wide == self.wide {
            return;
        }
        self.wide = wide;
        for byte in self.table.as_flattened_mut().as_flattened_mut() {
            *byte = if wide { *byte << 2 } else { *byte >> 2 };
        }
    }

    /// The colour of entry `index` behind the pixel mask, as 00RRGGBBh.
    pub(super) fn colour(&self, index: u8) -> u32 {
        let index = index & self.mask;
        let entry = self.table[usize::from(index >> 4)][usize::from(index & 15)];
        entry.iter().fold(0, |rgb, &c| rgb << 8 | u32::from(if self.wide { c } else { c << 2 | c >> 4 }))
    }

    /// All 256 colours behind the pixel mask.
    pub(super) fn colours(&self) -> Vec<u32> {
        (0..=255).map(|i| self.colour(i)).collect()
    }
}
