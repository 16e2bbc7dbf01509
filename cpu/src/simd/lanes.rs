//! Bytes of a vector as lanes, for 64-bit (MMX) and 128-bit (SSE) operands alike: plain loops over arrays of known
//! length, which compilers turn into vector code.

use crate::ops::Vec128;

/// All sixteen bytes, low first.
#[inline(always)]
pub fn bytes(v: Vec128) -> [u8; 16] {
    (u128::from(v.0[0]) | u128::from(v.0[1]) << 64).to_le_bytes()
}

/// A vector from its bytes.
#[inline(always)]
pub fn from_bytes(b: [u8; 16]) -> Vec128 {
    let v = u128::from_le_bytes(b);
    Vec128([v as u64, (v >> 64) as u64])
}

/// As four 32-bit words.
#[inline(always)]
pub fn words(v: Vec128) -> [u32; 4] {
    [v.0[0] as u32, (v.0[0] >> 32) as u32, v.0[1] as u32, (v.0[1] >> 32) as u32]
}

/// From four 32-bit words.
#[inline(always)]
pub fn from_words(w: [u32; 4]) -> Vec128 {
    Vec128([u64::from(w[0]) | u64::from(w[1]) << 32, u64::from(w[2]) | u64::from(w[3]) << 32])
}

/// Lane types: little-endian integers.
pub trait Lane: Copy + Default {
    /// Bytes in a lane.
    const SIZE: usize;
    /// From `SIZE` bytes.
    fn get(b: &[u8]) -> Self;
    /// To `SIZE` bytes.
    fn put(self, b: &mut [u8]);
}

macro_rules! lane {
    ($($t:ty),*) => { $(
        impl Lane for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline(always)]
            fn get(b: &[u8]) -> $t {
                let mut v = [0; size_of::<$t>()];
                v.copy_from_slice(&b[..size_of::<$t>()]);
                <$t>::from_le_bytes(v)
            }
            #[inline(always)]
            fn put(self, b: &mut [u8]) {
                b[..size_of::<$t>()].copy_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}
lane!(u8, i8, u16, i16, u32, i32, u64, i64);

/// Lane `i`.
#[inline(always)]
pub fn lane<T: Lane, const N: usize>(a: &[u8; N], i: usize) -> T {
    T::get(&a[i * T::SIZE..])
}

/// Writes lane `i`.
#[inline(always)]
pub fn set_lane<T: Lane, const N: usize>(a: &mut [u8; N], i: usize, v: T) {
    v.put(&mut a[i * T::SIZE..]);
}

/// Lane by lane.
#[inline(always)]
pub fn map2<T: Lane, const N: usize>(a: [u8; N], b: [u8; N], f: impl Fn(T, T) -> T) -> [u8; N] {
    let mut r = [0; N];
    for ((r, a), b) in r.chunks_exact_mut(T::SIZE).zip(a.chunks_exact(T::SIZE)).zip(b.chunks_exact(T::SIZE)) {
        f(T::get(a), T::get(b)).put(r);
    }
    r
}

/// Lane by lane.
#[inline(always)]
pub fn map1<T: Lane, const N: usize>(a: [u8; N], f: impl Fn(T) -> T) -> [u8; N] {
    let mut r = [0; N];
    for (r, a) in r.chunks_exact_mut(T::SIZE).zip(a.chunks_exact(T::SIZE)) {
        f(T::get(a)).put(r);
    }
    r
}
