use super::Device;
use crate::ledger::Kind;
use crate::vmm::Place;
use std::sync::atomic::Ordering;

/// What one process holds at an instant, in bytes. Families are exact sums of what was asked for, unless said otherwise;
/// what the device takes beyond that is `rounding`. So, on a device with memory of its own,
/// `charged = context + device + array + reserved + orphaned + vmm - shared + graph + prefetched + rounding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Held {
    /// By address.
    pub device: u64,
    /// Arrays: what they take.
    pub array: u64,
    /// Stream-ordered memory that is allocated, of pools with and without a handle.
    pub allocated: u64,
    /// What pools that have a handle took from the device.
    pub reserved: u64,
    /// What is allocated of destroyed pools.
    pub orphaned: u64,
    /// Physical memory that this process created, on the device.
    pub vmm: u64,
    /// Part of `vmm` that other processes may hold too.
    pub shared: u64,
    /// Physical memory that it created in the host's memory.
    pub vmm_host: u64,
    /// What the device holds for graphs.
    pub graph: u64,
    /// Managed memory.
    pub managed: u64,
    /// Part of it that was moved to the device.
    pub prefetched: u64,
    /// Pinned memory of the host.
    pub host: u64,
    /// Pinned memory of the program.
    pub registered: u64,
    /// Windows onto other processes' memory.
    pub foreign: u64,
    /// Physical memory of other processes.
    pub imported: u64,
    /// What the context takes, and with it a communicator.
    pub context: u64,
    /// What the device takes beyond the above, because it hands out granules and chunks.
    pub rounding: u64,
    /// What the device charges to this process alone.
    pub charged: u64,
}

impl Device {
    /// What this process holds now.
    pub fn held(&self) -> Held {
        let ledger = self.ledger();
        let (orphaned_chunks, orphaned) = ledger.pools.orphaned();
        Held {
            device: ledger.live(Kind::Device),
            array: ledger.live(Kind::Array),
            allocated: ledger.live(Kind::Async),
            reserved: ledger.pools.reserved(),
            orphaned,
            vmm: ledger.vmm.live(Place::Device),
            shared: ledger.vmm.live_shared(),
            vmm_host: ledger.vmm.live(Place::Host),
            graph: ledger.graphs.reserved(),
            managed: ledger.live(Kind::Managed),
            prefetched: ledger.prefetched.len(),
            host: ledger.live(Kind::Host),
            registered: ledger.live(Kind::Registered),
            foreign: ledger.live(Kind::Foreign),
            imported: ledger.vmm.imported(),
            context: if self.has_context.load(Ordering::Acquire) { self.profile.context } else { 0 }
                + if self.has_communicator.load(Ordering::Acquire) { self.profile.communicator } else { 0 },
            rounding: ledger.rounding() + orphaned_chunks - orphaned,
            charged: self.state.own().map_or(0, |slot| slot.device.load(Ordering::Acquire)),
        }
    }
}
