//! Real software from Debian's packages: fetching, boot media and initramfs archives made from it.

pub mod cpio;
pub mod fetch;
pub mod iso;
pub mod media;
