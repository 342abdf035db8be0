//! Takes memory as Rust programs do that use cudarc, and prints what the driver answered as `FREE TOTAL`.

use cudarc::driver::{DriverError, result};

const BYTES: usize = 64 << 20;

fn main() -> Result<(), DriverError> {
    result::init()?;
    let device = result::device::get(0)?;
    // SAFETY: the device exists.
    let context = unsafe { result::primary_ctx::retain(device)? };
    // SAFETY: the context was just retained.
    unsafe { result::ctx::set_current(context)? };
    // SAFETY: a context is current.
    let memory = unsafe { result::malloc_sync(BYTES)? };
    let (free, total) = result::mem_get_info()?;
    println!("{free} {total}");
    // SAFETY: allocated above, and nobody uses it.
    unsafe { result::free_sync(memory) }
}
