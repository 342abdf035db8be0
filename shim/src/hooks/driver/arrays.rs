use super::{Layer, hooks, out};
use crate::effect::{alloc, free};
use core::ffi::c_void;

const ARRAY: &str = "array";
/// Memory that the program maps into the array later, or not at all.
const SPARSE: u32 = 0x40;
const DEFERRED: u32 = 0x80;

/// `CUDA_ARRAY_DESCRIPTOR`, `CUDA_ARRAY3D_DESCRIPTOR` and their forms with 32-bit sizes, as far as they say the size.
struct Shape {
    sides: [u64; 3],
    format: u32,
    channels: u32,
    flags: u32,
}

/// The descriptor at `at`: `sides` fields of `T`, format, channels and, with three sides, flags.
///
/// # Safety
/// `at` is NULL or such a descriptor.
unsafe fn shape<T: Copy + Into<u64>>(at: *const c_void, sides: usize) -> Option<Shape> {
    if at.is_null() {
        return None;
    }
    let first = at.cast::<T>();
    let rest = first.wrapping_add(sides).cast::<u32>();
    // SAFETY: the caller's promise: the fields lie in this order without gaps.
    let side = |index: usize| if index < sides { unsafe { first.add(index).read_unaligned() }.into() } else { 0u64 };
    // SAFETY: as above.
    let word = |index: usize| unsafe { rest.add(index).read_unaligned() };
    Some(Shape {
        sides: [side(0), side(1), side(2)],
        format: word(0),
        channels: word(1),
        flags: if sides == 3 { word(2) } else { 0 },
    })
}

/// Tiles of 64 bytes by 8 rows, in blocks of up to 16 tiles; all of it in pieces of 64 KiB.
const TILE_BYTES: u64 = 64;
const TILE_ROWS: u64 = 8;
const LARGEST_BLOCK: u64 = 16;
const PIECE: u64 = 64 << 10;

impl Shape {
    /// Bytes of `levels` mipmap levels, each half as wide as the one before.
    ///
    /// The driver tells the size of an array only while it has no memory (`cuArrayGetMemoryRequirements` fails for any
    /// other), so it is worked out. The rule fits all of 728 shapes that an H100 with driver 580 was asked about.
    fn bytes(&self, levels: u32) -> u64 {
        if self.flags & (SPARSE | DEFERRED) != 0 {
            return 0;
        }
        let element = element_bytes(self.format).saturating_mul(self.channels.into());
        let [width, height, depth] = self.sides;
        let sum = (0..levels.min(32)).fold(0u64, |sum, level| {
            let side = |length: u64| (length >> level).max(1);
            let row = whole(side(width).saturating_mul(element), TILE_BYTES);
            let rest = match depth {
                0 => blocks(side(height), TILE_ROWS, LARGEST_BLOCK),
                _ => blocks(side(height), TILE_ROWS, 1).saturating_mul(blocks(side(depth), 1, LARGEST_BLOCK)),
            };
            sum.saturating_add(row.saturating_mul(rest))
        });
        whole(sum, PIECE)
    }
}

/// `length` in whole pieces of `piece`, which is not 0.
fn whole(length: u64, piece: u64) -> u64 {
    length.checked_next_multiple_of(piece).unwrap_or(u64::MAX)
}

/// `length` in whole blocks: as many tiles, a power of two, as cover it, but at most `largest`.
fn blocks(length: u64, tile: u64, largest: u64) -> u64 {
    let tiles = length.div_ceil(tile).checked_next_power_of_two().unwrap_or(largest).min(largest);
    whole(length, tile.saturating_mul(tiles))
}

/// Bytes of one channel of a `CUarray_format`. Block-compressed formats say theirs by the channel as well; they are
/// counted as one byte.
fn element_bytes(format: u32) -> u64 {
    match format {
        2 | 9 | 0x10 => 2,
        3 | 0xa | 0x20 => 4,
        _ => 1,
    }
}

macro_rules! bytes {
    ($type:ty, $sides:literal, $at:expr, $levels:expr) => {
        // SAFETY: the program's descriptor, which the driver has just read.
        unsafe { shape::<$type>($at, $sides) }.map_or(0, |shape| shape.bytes($levels))
    };
}

/// A `size_t`, which has no conversion of its own.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Size(usize);

impl From<Size> for u64 {
    fn from(size: Size) -> u64 {
        size.0 as u64
    }
}

hooks! { Layer::Driver, i32, ();
    cuArrayCreate as "cuArrayCreate" 2000..3020 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(u32, 2, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArrayCreate_v2 as "cuArrayCreate" 3020..99999 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(Size, 2, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArray3DCreate as "cuArray3DCreate" 2000..3020 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(u32, 3, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArray3DCreate_v2 as "cuArray3DCreate" 3020..99999 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(Size, 3, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArrayDestroy as "cuArrayDestroy" 2000..99999 (handle: usize) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
    cuMipmappedArrayCreate as "cuMipmappedArrayCreate" 5000..99999
        (handle: *mut usize, shape: *const c_void, levels: u32) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(Size, 3, shape, levels), out!(rc, handle).unwrap_or(0));
    cuMipmappedArrayDestroy as "cuMipmappedArrayDestroy" 5000..99999 (handle: usize) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
}
