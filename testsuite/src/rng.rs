//! The seeded source of everything random in the suite: the same seed, the same cases, on every host. xorshift64*
//! (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016).

/// A generator.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed; any will do.
    pub fn new(seed: u64) -> Rng {
        let mut r = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            r.bits();
        }
        r
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n` (not 0).
    pub fn below(&mut self, n: u64) -> u64 {
        (self.bits() >> 16) % n
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of a list (not empty).
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// An integer as programs and their mistakes have it: small, at an edge of a width, sparse, or anything.
    pub fn integer(&mut self) -> u64 {
        let v = match self.below(8) {
            0 => self.below(17),
            1 => 1 << self.below(64),
            2 => (1u64 << self.below(64)).wrapping_sub(1 + self.below(2)),
            3 => self.bits() & self.bits() & self.bits(),
            4 => self.bits() & 0xffff_ffff,
            5 => self.below(256).wrapping_mul(0x0101_0101_0101_0101),
            _ => self.bits(),
        };
        if self.one_in(4) { v.wrapping_neg() } else { v }
    }
}
