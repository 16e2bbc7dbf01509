//! Vector operations: what MMX, SSE to SSE4.2, AES-NI, PCLMULQDQ and SHA compute.
pub mod crypto;
pub mod fast;
pub mod float;
#[cfg(target_arch = "x86_64")]
pub mod host;
#[cfg(target_arch = "x86_64")]
pub mod host_int;
pub mod int;
pub mod lanes;
pub mod ops;
pub mod soft;
pub mod string;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
