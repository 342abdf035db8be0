//! What can go wrong, with the driver API's codes.

/// A failure of the simulated device. [`Error::code`] is the `CUresult`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// An argument is out of range, or an address is none of ours.
    InvalidValue,
    /// Less is free than was asked for.
    OutOfMemory,
    /// A fork child uses the device that its parent opened.
    NotInitialized,
    /// Memory of this very process was to be opened as another's.
    InvalidContext,
    /// The operation is real but not modelled.
    NotSupported,
    /// The process sees no device.
    NoDevice,
    /// There is no device of that number.
    InvalidDevice,
    /// The state file could not be opened.
    NotReady,
}

/// Result of a device operation.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The `CUresult` of this failure.
    pub fn code(self) -> i32 {
        match self {
            Error::InvalidValue => 1,
            Error::OutOfMemory => 2,
            Error::NotInitialized => 3,
            Error::NoDevice => 100,
            Error::InvalidDevice => 101,
            Error::InvalidContext => 201,
            Error::NotSupported => 801,
            Error::NotReady => 802,
        }
    }
}
