//! What `fw_cfg` tells a firmware that is not ours: memory, processors, boot order. (QEMU's docs/specs/fw_cfg.rst; SeaBIOS's
//! docs/Runtime_config.md for the files.)

use super::layout::{Kind, Layout};
use crate::config::Config;
use lucid86_devices::fw_cfg::{FwCfg, key};

/// Fills the device.
pub fn fill(device: &mut FwCfg, config: &Config, layout: Layout, uuid: [u8; 16]) {
    let cpus = config.cpus as u16;
    device.put(key::RAM_SIZE, layout.ram.to_le_bytes());
    device.put(key::CPUS, cpus.to_le_bytes());
    device.put(key::MAX_CPUS, cpus.to_le_bytes());
    device.put(key::UUID, uuid);
    device.put(key::NO_GRAPHIC, 0u16.to_le_bytes());
    device.put(key::BOOT_MENU, u16::from(config.boot_menu).to_le_bytes());
    let mut e820 = Vec::new();
    let high = (super::layout::FOUR_GIB, layout.high_len());
    for (base, len) in [(0, layout.low_end()), high].into_iter().filter(|r| r.1 != 0) {
        e820.extend(base.to_le_bytes());
        e820.extend(len.to_le_bytes());
        e820.extend((Kind::Usable as u32).to_le_bytes());
    }
    device.put_file("etc/e820", e820);
    device.put_file("bootorder", boot_order(config));
    device.put_file("etc/boot-fail-wait", (-1i32).to_le_bytes());
}

/// Open Firmware paths of the devices, the first to boot from first; each ends with a newline, the last with a zero.
fn boot_order(config: &Config) -> Vec<u8> {
    const DISKS: [&str; 4] = [
        "/pci@i0cf8/ide@1,1/drive@0/disk@0\n",
        "/pci@i0cf8/ide@1,1/drive@0/disk@1\n",
        "/pci@i0cf8/ide@1,1/drive@1/disk@0\n",
        "/pci@i0cf8/ide@1,1/drive@1/disk@1\n",
    ];
    let order = if config.boot.is_empty() { config.default_boot_order() } else { config.boot.clone() };
    let mut out = String::new();
    for letter in order.chars() {
        match letter {
            'a' => out.push_str("/pci@i0cf8/isa@1/fdc@03f0/floppy@0\n"),
            'c' => DISKS.iter().zip(&config.hd).filter(|d| d.1.is_some()).for_each(|d| out.push_str(d.0)),
            'd' => out.push_str(DISKS[2]),
            _ => config.net.iter().enumerate().filter(|n| n.1.rom.is_some()).for_each(|(i, _)| {
                out.push_str(&format!(
                    "/pci@i0cf8/ethernet@{:x}/ethernet-phy@0\n",
                    usize::from(super::FIRST_SLOT) + i
                ));
            }),
        }
    }
    [out.as_bytes(), &[0]].concat()
}
