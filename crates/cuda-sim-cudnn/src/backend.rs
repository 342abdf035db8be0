//! Descriptors of the graph interface. What a program sets on one is not looked at; what it reads is that there is one
//! engine configuration, which needs no workspace.

use kvtrace_cuda_sim_quiet::abi::Out;

const SUCCESS: i32 = 0;
const KIND_BOOLEAN: i32 = 2;
const KIND_INTEGER: i32 = 3;
const KIND_DOUBLE: i32 = 5;
const KIND_POINTER: i32 = 6;
const KIND_DESCRIPTOR: i32 = 15;
const KIND_CHARACTER: i32 = 24;
const ENGINE_CONFIGURATIONS: i32 = 202;
const KNOB_CHOICES: i32 = 302;
const KNOB_INFORMATION: i32 = 1302;
/// Notes about an engine are lists; this one has none to give.
const NOTES: [i32; 2] = [1303, 1305];

/// Writes one element, or none where the attribute is a list of what there is not.
#[unsafe(no_mangle)]
pub extern "C" fn cudnnBackendGetAttribute(
    _descriptor: usize,
    attribute: i32,
    kind: i32,
    room: i64,
    count: Out<i64>,
    elements: usize,
) -> i32 {
    let none =
        kind == KIND_CHARACTER || NOTES.contains(&attribute) || [KNOB_CHOICES, KNOB_INFORMATION].contains(&attribute);
    count.offer(i64::from(!none));
    if none || room < 1 {
        return SUCCESS;
    }
    match kind {
        // The caller's descriptors are filled in; there is nothing in ours.
        KIND_DESCRIPTOR if attribute == ENGINE_CONFIGURATIONS => {}
        KIND_DESCRIPTOR => {}
        KIND_BOOLEAN => kvtrace_cuda_sim_quiet::place::<u8>(elements).offer(0),
        KIND_INTEGER..=KIND_POINTER if matches!(kind, KIND_INTEGER | KIND_DOUBLE | KIND_POINTER) => {
            kvtrace_cuda_sim_quiet::place::<u64>(elements).offer(0);
        }
        _ => kvtrace_cuda_sim_quiet::place::<u32>(elements).offer(0),
    }
    SUCCESS
}
