//! Plans are small numbers, given out one after the other.

use crate::LIBRARY;
use core::sync::atomic::{AtomicI32, Ordering};
use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::property;

const SUCCESS: i32 = 0;
const INVALID_VALUE: i32 = 4;
/// Of the headers that the list of names was read beside.
const MINOR: (i32, i32) = (2, 0);

fn version() -> (i32, i32, i32) {
    (LIBRARY.major() as i32, MINOR.0, MINOR.1)
}

fn fresh(plan: Out<i32>) -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(1);
    if plan.set(NEXT.fetch_add(1, Ordering::Relaxed)) == SUCCESS { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftCreate(plan: Out<i32>) -> i32 {
    fresh(plan)
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftPlan1d(plan: Out<i32>, _length: i32, _kind: i32, _batch: i32) -> i32 {
    fresh(plan)
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftPlan2d(plan: Out<i32>, _rows: i32, _columns: i32, _kind: i32) -> i32 {
    fresh(plan)
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftPlan3d(plan: Out<i32>, _x: i32, _y: i32, _z: i32, _kind: i32) -> i32 {
    fresh(plan)
}

/// The layout that the other arguments describe makes no difference.
#[unsafe(no_mangle)]
pub extern "C" fn cufftPlanMany(plan: Out<i32>) -> i32 {
    fresh(plan)
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftGetVersion(place: Out<i32>) -> i32 {
    place.set(version().0 * 1000 + MINOR.0 * 100 + MINOR.1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cufftGetProperty(kind: i32, value: Out<i32>) -> i32 {
    if property(version(), kind, value) { SUCCESS } else { INVALID_VALUE }
}
