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

impl Shape {
    /// Bytes of `levels` mipmap levels, each half as wide as the one before. The driver rounds up by its tiling, which
    /// it tells nobody.
    fn bytes(&self, levels: u32) -> u64 {
        if self.flags & (SPARSE | DEFERRED) != 0 {
            return 0;
        }
        let element = element_bytes(self.format).saturating_mul(self.channels.into());
        (0..levels.min(32)).fold(0u64, |sum, level| {
            let side = |length: u64| if length == 0 { 1 } else { (length >> level).max(1) };
            let [width, height, depth] = self.sides;
            let texels = side(width).saturating_mul(side(height)).saturating_mul(side(depth));
            sum.saturating_add(texels.saturating_mul(element))
        })
    }
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
