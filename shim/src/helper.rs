//! Functions of the GPU libraries that this library calls itself, past its own hooks, to learn what a call was about.

use crate::arch;
use crate::hooks::Layer;
use crate::modules::Found;
use crate::resolve;

/// A function that is called, never hooked.
pub struct Helper {
    layer: Layer,
    name: &'static [u8],
    at: Found,
}

impl Helper {
    /// Function `name` of the layer's library.
    pub const fn new(layer: Layer, name: &'static [u8]) -> Helper {
        Helper { layer, name, at: Found::new() }
    }

    /// Runs `call` with the function's address; `None` if no library is loaded that has it. What the library itself
    /// calls meanwhile is our doing and not the program's: no hook tells of it, or asks a question of its own.
    pub fn ask<T>(&self, call: impl FnOnce(usize) -> T) -> Option<T> {
        let at = self.get()?;
        let asking = &arch::thread().asking;
        asking.set(asking.get().wrapping_add(1));
        let answer = call(at);
        asking.set(asking.get().wrapping_sub(1));
        Some(answer)
    }

    fn get(&self) -> Option<usize> {
        self.at.get().or_else(|| {
            let found = resolve::in_library(|name| self.layer.is_library(name), self.name)?;
            self.at.set(found);
            Some(found)
        })
    }
}

/// Whether a question of ours is under way on this thread.
pub fn is_asking() -> bool {
    arch::thread().asking.get() != 0
}
