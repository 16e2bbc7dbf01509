//! Gets things into memory: kernels given with `--kernel`, and telling files apart.

pub mod kind;
pub mod multiboot;
