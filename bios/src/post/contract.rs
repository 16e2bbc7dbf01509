//! What the machine builder and the firmware agree on.

/// Physical address of the window for tables that are found by searching.
pub const ANCHORS: u32 = 0xF_0000;
/// Size of that window in bytes.
pub const ANCHORS_SIZE: usize = 0x1000;
/// Where POST puts the PIIX4's power-management ports (PMBA).
pub const PM_BASE: u16 = 0x600;
/// Where POST puts the PIIX4's SMBus ports (SMBBA).
pub const SMBUS_BASE: u16 = 0x700;
/// Interrupt of the PIIX4's SCI.
pub const SCI_IRQ: u8 = 9;
/// Interrupts of PIRQA to PIRQD, all level-triggered.
pub const PIRQ_IRQS: [u8; 4] = [10, 10, 11, 11];
/// First address that POST gives to memory BARs; the last is below [`PCI_MEMORY_END`].
pub const PCI_MEMORY: u32 = 0xE000_0000;
/// End of the space for memory BARs.
pub const PCI_MEMORY_END: u32 = 0xFEC0_0000;
/// First port that POST gives to I/O BARs; the space ends with the port space.
pub const PCI_PORTS: u16 = 0xC000;
/// INT 19h writes here (any byte) before it looks for something to boot: whoever wants the machine as POST leaves it can
/// take over.
pub const READY_PORT: u16 = 0x4C38;
/// CMOS: low nibble first boot device, high nibble second (1 floppy, 2 hard disk, 3 CD, 4 network, 0 none).
pub const CMOS_BOOT_ORDER: u8 = 0x3D;
/// CMOS: high nibble third boot device; bit 0: boot a floppy without the AA55h signature; [`CMOS_MENU_BIT`].
pub const CMOS_BOOT_FLAGS: u8 = 0x38;
/// In [`CMOS_BOOT_FLAGS`]: show the boot menu.
pub const CMOS_MENU_BIT: u8 = 0x02;
