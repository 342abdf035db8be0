//! Which GPU an ordinal means: what other tools call it, and where its memory is.

use super::Api;
use crate::helper::Helper;
use crate::hooks::Layer;
use crate::text::{self, Text};
use crate::view;
use core::ffi::c_char;
use kvtrace_trace::line::Line;

static UUID_2: Helper = Helper::new(Layer::Driver, b"cuDeviceGetUuid_v2");
static UUID_1: Helper = Helper::new(Layer::Driver, b"cuDeviceGetUuid");
static PCI: Helper = Helper::new(Layer::Driver, b"cuDeviceGetPCIBusId");
/// `CU_DEVICE_ATTRIBUTE_NUMA_CONFIG` and `CU_DEVICE_ATTRIBUTE_NUMA_ID`
const NUMA_CONFIG: i32 = 130;
const NUMA_ID: i32 = 131;
const IS_NUMA_NODE: u32 = 1;

/// What CUDA's driver tells of it.
#[derive(Default)]
pub struct Identity {
    uuid: Option<[u8; 16]>,
    is_mig: bool,
    pci: [u8; 32],
    node: Option<u32>,
}

impl Identity {
    /// Asks the driver. A GPU whose memory is a NUMA node gets views of that.
    pub fn ask(api: &Api, dev: i32) -> Identity {
        let (new, old) = (uuid(&UUID_2, dev), uuid(&UUID_1, dev));
        let mut pci = [0u8; 32];
        let told = PCI.ask(|at| {
            // SAFETY: cuDeviceGetPCIBusId(char*, int, CUdevice) of the loaded library.
            let function: extern "C" fn(*mut c_char, i32, i32) -> i32 = unsafe { core::mem::transmute(at) };
            // One byte stays zero whatever the library writes.
            function(pci.as_mut_ptr().cast(), 31, dev) == 0
        });
        if told != Some(true) {
            pci = [0; 32];
        }
        let node = (api.attribute(NUMA_CONFIG, dev) == IS_NUMA_NODE).then(|| api.attribute(NUMA_ID, dev));
        if let Some(node) = node {
            view::node_found(node);
        }
        // Of a MIG device the first version tells the GPU that it is part of.
        Identity { uuid: new.or(old), is_mig: new.is_some() && old.is_some() && new != old, pci, node }
    }

    /// Adds what is known.
    pub fn write(&self, line: &mut Line) {
        if let Some(uuid) = self.uuid {
            let mut text = Text::<48>::new();
            text.push(if self.is_mig { b"MIG-" } else { b"GPU-" });
            for (index, byte) in uuid.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    text.push(b"-");
                }
                text.push(&[text::hex_digit(byte >> 4), text::hex_digit(byte & 15)]);
            }
            line.text("uuid", text.get());
        }
        let pci = text::until_nul(&self.pci);
        if !pci.is_empty() {
            line.text("pci", pci);
        }
        if let Some(node) = self.node {
            line.u64("numa_node", node.into());
        }
    }
}

fn uuid(helper: &Helper, dev: i32) -> Option<[u8; 16]> {
    helper.ask(|at| {
        // SAFETY: cuDeviceGetUuid and its second version are (CUuuid*, CUdevice).
        let function: extern "C" fn(*mut [u8; 16], i32) -> i32 = unsafe { core::mem::transmute(at) };
        let mut uuid = [0; 16];
        (function(&mut uuid, dev) == 0).then_some(uuid)
    })?
}
