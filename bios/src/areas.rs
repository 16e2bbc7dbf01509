//! The data areas: where firmware and everyone else keep state in RAM.
//!
//! BIOS data area: IBM PC/AT Technical Reference, "ROM BIOS Data Areas"; the fields that came later, IBM PS/2 and
//! Personal Computer BIOS Interface Technical Reference, section 3. Offsets from segment 40h. Extended BIOS data area:
//! offsets from the segment at 40:0E; those below 60h are IBM's, the rest are our own.

#![allow(dead_code)]

/// Segment of the BIOS data area.
pub(crate) const BDA: i32 = 0x40;

// --- BIOS data area ---
pub(crate) const COM: i32 = 0x00; // four words: port bases
pub(crate) const LPT: i32 = 0x08; // three words: port bases
pub(crate) const EBDA_SEG: i32 = 0x0E;
pub(crate) const EQUIPMENT: i32 = 0x10;
pub(crate) const BASE_KB: i32 = 0x13;
pub(crate) const KB_FLAG: i32 = 0x17; // shift, ctrl, alt, locks
pub(crate) const KB_FLAG1: i32 = 0x18; // which are down; pause
pub(crate) const KB_ALT_PAD: i32 = 0x19;
pub(crate) const KB_HEAD: i32 = 0x1A;
pub(crate) const KB_TAIL: i32 = 0x1C;
pub(crate) const KB_BUFFER: i32 = 0x1E;
pub(crate) const FD_RECAL: i32 = 0x3E; // bit 7: an interrupt has come
pub(crate) const FD_MOTOR: i32 = 0x3F;
pub(crate) const FD_TIMEOUT: i32 = 0x40; // ticks until the motor stops
pub(crate) const FD_STATUS: i32 = 0x41;
pub(crate) const FD_RESULT: i32 = 0x42; // seven bytes
pub(crate) const V_MODE: i32 = 0x49;
pub(crate) const V_COLUMNS: i32 = 0x4A;
pub(crate) const V_PAGE_SIZE: i32 = 0x4C;
pub(crate) const V_PAGE_START: i32 = 0x4E;
pub(crate) const V_CURSOR: i32 = 0x50; // eight words: row, column
pub(crate) const V_CURSOR_SHAPE: i32 = 0x60;
pub(crate) const V_PAGE: i32 = 0x62;
pub(crate) const V_CRTC: i32 = 0x63;
pub(crate) const V_MODE_REG: i32 = 0x65;
pub(crate) const V_PALETTE_REG: i32 = 0x66;
pub(crate) const RESUME: i32 = 0x67; // far pointer
pub(crate) const TICKS: i32 = 0x6C;
pub(crate) const MIDNIGHT: i32 = 0x70;
pub(crate) const BREAK: i32 = 0x71;
pub(crate) const WARM: i32 = 0x72; // 1234h: warm start
pub(crate) const HD_STATUS: i32 = 0x74;
pub(crate) const HD_COUNT: i32 = 0x75;
pub(crate) const LPT_TIMEOUT: i32 = 0x78;
pub(crate) const COM_TIMEOUT: i32 = 0x7C;
pub(crate) const KB_START: i32 = 0x80;
pub(crate) const KB_END: i32 = 0x82;
pub(crate) const V_ROWS: i32 = 0x84; // less one
pub(crate) const V_CHAR_HEIGHT: i32 = 0x85;
pub(crate) const V_CONTROL: i32 = 0x87;
pub(crate) const V_SWITCHES: i32 = 0x88;
pub(crate) const V_FLAGS: i32 = 0x89;
pub(crate) const V_DCC: i32 = 0x8A;
pub(crate) const FD_RATE: i32 = 0x8B;
pub(crate) const HD_INTERRUPT: i32 = 0x8E;
pub(crate) const FD_HARDWARE: i32 = 0x8F;
pub(crate) const FD_MEDIA: i32 = 0x90; // two bytes
pub(crate) const FD_CYLINDER: i32 = 0x94; // two bytes
pub(crate) const KB_FLAG3: i32 = 0x96; // E0, E1, right ctrl and alt, 101 keys
pub(crate) const KB_LEDS: i32 = 0x97;
pub(crate) const WAIT_FLAG_AT: i32 = 0x98; // far pointer
pub(crate) const WAIT_LEFT: i32 = 0x9C; // microseconds
pub(crate) const WAIT_ACTIVE: i32 = 0xA0;
pub(crate) const V_SAVE: i32 = 0xA8; // far pointer

// --- Extended BIOS data area ---
/// Its size in KiB.
pub(crate) const EBDA_KB: i32 = 1;
pub(crate) const E_MOUSE_HANDLER: i32 = 0x22; // far pointer
pub(crate) const E_MOUSE_FLAGS1: i32 = 0x26; // bits 0-2: index of the next byte
pub(crate) const E_MOUSE_FLAGS2: i32 = 0x27; // bit 7: handler set; bits 0-2: packet size less one
pub(crate) const E_MOUSE_PACKET: i32 = 0x28; // eight bytes
pub(crate) const E_FDPT: i32 = 0x3D; // two fixed-disk parameter tables of 16 bytes
pub(crate) const E_DRIVES: i32 = 0x60; // four drives, see `disk`
pub(crate) const E_HD_COUNT: i32 = 0xE0;
pub(crate) const E_CD_COUNT: i32 = 0xE1;
pub(crate) const E_HD_MAP: i32 = 0xE2; // four bytes: index of the drive
pub(crate) const E_CD_MAP: i32 = 0xE6; // four bytes
pub(crate) const E_FD_COUNT: i32 = 0xEA;
pub(crate) const E_CD_BOOT: i32 = 0xF0; // El Torito state, see `disk::eltorito`
pub(crate) const E_PCI_MEMORY: i32 = 0x110; // next free address
pub(crate) const E_PCI_PORT: i32 = 0x114;
pub(crate) const E_DPTE: i32 = 0x120; // EDD device parameter table extension
pub(crate) const E_PRD: i32 = 0x130; // bus-master descriptors
pub(crate) const E_PACKET: i32 = 0x150; // ATAPI command being built, 12 bytes
pub(crate) const E_SENSE: i32 = 0x15C; // sense key and ASC of the last packet error
pub(crate) const E_ROM_NEXT: i32 = 0x160; // segment for the next option ROM
pub(crate) const E_BOOT_TRIED: i32 = 0x162; // bit per kind of device tried
pub(crate) const E_BEV: i32 = 0x164; // far pointer: network boot entry
pub(crate) const E_VGA: i32 = 0x168; // bus, device and function of the display adapter
pub(crate) const E_APM: i32 = 0x16A; // bit 0: connected
pub(crate) const E_BOOT_ORDER: i32 = 0x16C; // four bytes
pub(crate) const E_BOOT_ONCE: i32 = 0x170; // what the menu chose, 0 none
pub(crate) const E_PASSES: i32 = 0x171;
pub(crate) const E_MODELS: i32 = 0x200; // four names of 40 bytes

// --- RAM used while starting ---
/// Segment of a 4 KiB buffer that only start-up uses.
pub(crate) const SCRATCH_SEG: i32 = 0x0100;
/// Top of the start-up stack, in segment 0.
pub(crate) const START_STACK: i32 = 0x7000;

// --- The disk request being carried out, in the extended data area ---
pub(crate) const R_LBA: i32 = 0x180; // eight bytes
pub(crate) const R_COUNT: i32 = 0x188; // sectors left
pub(crate) const R_DONE: i32 = 0x18A; // sectors done
pub(crate) const R_OFFSET: i32 = 0x18C; // buffer
pub(crate) const R_SEGMENT: i32 = 0x18E;
pub(crate) const R_OP: i32 = 0x190; // 0 read, 1 write, 2 verify
pub(crate) const R_CHUNK: i32 = 0x192; // sectors in the current command
pub(crate) const R_SKIP: i32 = 0x194; // words to drop before, of a CD block
pub(crate) const R_TAKE: i32 = 0x196; // words to keep, of a CD block; 0 all
pub(crate) const R_DRIVE: i32 = 0x198; // offset of the drive
pub(crate) const R_PACKET_BYTES: i32 = 0x19A; // bytes that an ATAPI command moved, doubleword
pub(crate) const R_LEFT: i32 = 0x19E; // words still wanted

// --- One drive of E_DRIVES ---
pub(crate) const DRIVE_SIZE: i32 = 32;
pub(crate) const D_KIND: i32 = 0; // 0 none, 1 ATA, 2 ATAPI
pub(crate) const D_SELECT: i32 = 1; // 0 or 10h: bit of the device register
pub(crate) const D_COMMAND: i32 = 2; // port base
pub(crate) const D_CONTROL: i32 = 4; // port
pub(crate) const D_MASTER: i32 = 6; // bus-master port base, 0 none
pub(crate) const D_FLAGS: i32 = 8; // bit 0: 48-bit addresses, bit 1: DMA
pub(crate) const D_CHANNEL: i32 = 9;
pub(crate) const D_CYLINDERS: i32 = 10; // as INT 13h shows them
pub(crate) const D_HEADS: i32 = 12;
pub(crate) const D_SECTORS: i32 = 14;
pub(crate) const D_OWN_HEADS: i32 = 16; // byte: as the drive says
pub(crate) const D_OWN_SECTORS: i32 = 17; // byte
pub(crate) const D_OWN_CYLINDERS: i32 = 18;
pub(crate) const D_SIZE: i32 = 20; // eight bytes: sectors

// --- El Torito state, from E_CD_BOOT ---
pub(crate) const CD_ACTIVE: i32 = E_CD_BOOT; // 0 no, 1 emulating or booted without emulation
pub(crate) const CD_MEDIA: i32 = E_CD_BOOT + 1; // 0 none, 1-3 floppy, 4 hard disk
pub(crate) const CD_NUMBER: i32 = E_CD_BOOT + 2; // INT 13h drive number
pub(crate) const CD_INDEX: i32 = E_CD_BOOT + 3; // which CD drive
pub(crate) const CD_LBA: i32 = E_CD_BOOT + 4; // image, in 2,048-byte blocks
pub(crate) const CD_LOAD: i32 = E_CD_BOOT + 8; // segment
pub(crate) const CD_COUNT: i32 = E_CD_BOOT + 10; // 512-byte sectors
pub(crate) const CD_CYLINDERS: i32 = E_CD_BOOT + 12;
pub(crate) const CD_HEADS: i32 = E_CD_BOOT + 14;
pub(crate) const CD_SECTORS: i32 = E_CD_BOOT + 16;

// --- A request to an emulated disk ---
pub(crate) const X_SECTOR: i32 = 0x1A0; // of 512 bytes, in the image; doubleword
pub(crate) const X_LEFT: i32 = 0x1A4;
pub(crate) const X_OFFSET: i32 = 0x1A6;
pub(crate) const X_SEGMENT: i32 = 0x1A8;

// --- The floppy request being carried out ---
pub(crate) const F_DRIVE: i32 = 0x1B0;
pub(crate) const F_COMMAND: i32 = 0x1B1;
pub(crate) const F_DMA: i32 = 0x1B2; // mode of the DMA channel
