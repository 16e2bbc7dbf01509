//! Floppy disk controller and drives.

mod geometry;

pub use geometry::Geometry;
