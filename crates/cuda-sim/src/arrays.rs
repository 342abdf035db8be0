//! How much memory an array takes.
//!
//! The rule fits all of 728 shapes that an H100 with driver 580 was asked about: tiles of 64 bytes by 8 rows, stacked to
//! blocks of up to 16 tiles, in height for a flat array and in depth for a deep one; the sum in pieces of 64 KiB.

use crate::{Error, Result};

const TILE_BYTES: u64 = 64;
const TILE_ROWS: u64 = 8;
const LARGEST_BLOCK: u64 = 16;
const PIECE: u64 = 64 << 10;
/// The driver's own limit of mipmap levels lies below.
const MOST_LEVELS: u32 = 32;

/// Alignment that goes with the size.
pub const ALIGNMENT: u64 = PIECE;

/// The sides of an array, 0 for what it does not have, and the bytes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Elements in a row.
    pub width: u64,
    /// Rows; 0 for an array of one dimension.
    pub height: u64,
    /// Slices; 0 for an array of one or two dimensions.
    pub depth: u64,
    /// Flat arrays; 0 for an array that is not layered. There is no depth then.
    pub layers: u64,
    /// Bytes of an element, all channels.
    pub element: u64,
}

impl Shape {
    /// Bytes on the device of the array and its mipmap levels, each half as wide as the one before.
    pub fn bytes(&self, levels: u32) -> Result<u64> {
        if self.width == 0 || self.element == 0 || !(1..=MOST_LEVELS).contains(&levels) {
            return Err(Error::InvalidValue);
        }
        let sum = (0..levels).try_fold(0u64, |sum, level| sum.checked_add(self.level(level)?));
        sum.and_then(|sum| sum.checked_next_multiple_of(PIECE)).ok_or(Error::OutOfMemory)
    }

    fn level(&self, level: u32) -> Option<u64> {
        let side = |length: u64| if length == 0 { 0 } else { (length >> level).max(1) };
        let row = side(self.width).checked_mul(self.element)?.checked_next_multiple_of(TILE_BYTES)?;
        let (rows, slices) = match self.depth {
            0 => (blocks(side(self.height).max(1), TILE_ROWS, LARGEST_BLOCK)?, 1),
            _ => (blocks(side(self.height).max(1), TILE_ROWS, 1)?, blocks(side(self.depth), 1, LARGEST_BLOCK)?),
        };
        row.checked_mul(rows)?.checked_mul(slices)?.checked_mul(self.layers.max(1))
    }
}

/// `length` in whole blocks: as many tiles, a power of two, as cover it, but at most `largest`.
fn blocks(length: u64, tile: u64, largest: u64) -> Option<u64> {
    let tiles = length.div_ceil(tile).checked_next_power_of_two()?.min(largest);
    length.checked_next_multiple_of(tile * tiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the real driver answered.
    #[test]
    fn sizes_are_those_of_a_real_device() {
        let bytes =
            |width, height, depth, element, levels| Shape { width, height, depth, layers: 0, element }.bytes(levels);
        assert_eq!(Shape { width: 1000, height: 100, depth: 0, layers: 5, element: 4 }.bytes(1), Ok(2_621_440));
        assert_eq!(bytes(1000, 1000, 0, 16, 1), Ok(16_384_000));
        assert_eq!(bytes(1000, 1000, 0, 16, 5), Ok(21_889_024));
        assert_eq!(bytes(513, 130, 0, 16, 4), Ok(2_752_512));
        assert_eq!(bytes(513, 130, 0, 1, 4), Ok(196_608));
        assert_eq!(bytes(100, 0, 0, 1, 1), Ok(65_536));
        assert_eq!(bytes(64, 64, 33, 8, 1), Ok(1_572_864));
        assert_eq!(bytes(100, 100, 3, 4, 1), Ok(196_608));
        assert_eq!(bytes(129, 100, 1, 8, 1), Ok(131_072));
        assert_eq!(bytes(0, 1, 0, 1, 1), Err(Error::InvalidValue));
        assert_eq!(bytes(u64::MAX, 9, 0, 16, 1), Err(Error::OutOfMemory));
    }
}
