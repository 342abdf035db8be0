//! What the CUDA driver says of its GPUs, asked in a process of its own: a driver may hang, crash, or take memory for a
//! context, and none of that is `doctor`'s to suffer.

use super::finding::Finding;
use super::machine::gib;
use super::memory::Unified;
use crate::failure::Failure;
use cudarc::driver::sys;
use serde::{Deserialize, Serialize};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The first use of a driver that keeps no state takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_DEVICES: c_int = 64;

/// What the probe says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The file of the driver's library; empty if there is none.
    library: String,
    /// As the driver says it: 13000 for CUDA 13.0.
    version: i64,
    /// What failed, and the driver's number for it.
    fault: Option<(String, i64)>,
    devices: Vec<Device>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Device {
    name: String,
    /// Bytes.
    total: u64,
    /// Bytes; absent if no context could be made.
    free: Option<u64>,
    integrated: bool,
    capability: (i64, i64),
}

/// Asks in a child, and gives up when it takes too long.
pub fn findings() -> (Vec<Finding>, Unified) {
    match ask() {
        Ok(answer) => said(&answer),
        Err(reason) => {
            let why = "A driver that does not answer here will not answer the program either.";
            (vec![Finding::unknown("gpu.driver", reason, why)], Unified::Unknown)
        }
    }
}

fn ask() -> Result<Answer, String> {
    let failed = |error: std::io::Error| format!("the driver could not be asked: {error}");
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("probe-gpu")
        // The same environment as the program would have, and no trace of it.
        .env("KVTRACE_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if begin.elapsed() > PATIENCE => {
                let _ = child.kill();
                // One that hangs in the kernel does not end: it must not be waited for.
                return Err(format!("the driver did not answer within {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut text = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut text).map_err(failed)?;
    }
    // A library may print lines of its own, before or, at exit, behind ours.
    let answer = text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    answer.ok_or_else(|| format!("asking the driver ended with {status}"))
}

fn said(answer: &Answer) -> (Vec<Finding>, Unified) {
    if answer.library.is_empty() {
        let why = "CUDA programs find no GPU here.";
        let remedy = "in a container: docker run --gpus all; for the simulated GPU: kvtrace demo";
        return (vec![Finding::note("gpu.driver", "there is no libcuda.so.1", why, remedy)], Unified::Unknown);
    }
    let version = format!("CUDA {}.{}", answer.version / 1000, answer.version % 1000 / 10);
    let found = format!("{version}, {}", answer.library);
    let mut findings = vec![match &answer.fault {
        None => Finding::ok("gpu.driver", found),
        Some((call, code)) => Finding::note(
            "gpu.driver",
            format!("{found}: {call} failed with {code}"),
            "The program's own calls would fail as well.",
            "nvidia-smi; CUDA_VISIBLE_DEVICES= hides every GPU",
        ),
    }];
    if let Some(first) = findings.first_mut() {
        *first = first.clone().with("library", answer.library.clone()).with("cuda_version", answer.version);
    }
    for (at, device) in answer.devices.iter().enumerate() {
        findings.push(device_finding(at, device));
    }
    let unified = match answer.devices.as_slice() {
        [] => Unified::Unknown,
        devices if devices.iter().any(|device| device.integrated) => Unified::Yes,
        _ => Unified::No,
    };
    (findings, unified)
}

fn device_finding(at: usize, device: &Device) -> Finding {
    let (major, minor) = device.capability;
    let memory = if device.integrated { "shared with the CPU" } else { "its own" };
    let free = device.free.map_or("an unknown part".into(), gib);
    let found = format!(
        "{at}: {}, compute capability {major}.{minor}, {free} of {} free, memory {memory}",
        device.name,
        gib(device.total)
    );
    let simulated = device.name.contains("simulated by kvtrace");
    let finding = match (simulated, device.free) {
        (true, _) => Finding::note(
            "gpu.memory",
            found,
            "This GPU is simulated: the order of calls and the arithmetic are real, the device is not.",
            "unset LD_LIBRARY_PATH, if a real one is meant",
        ),
        (false, None) => Finding::unknown("gpu.memory", found, "The driver gave no context to ask from."),
        (false, Some(_)) => Finding::ok("gpu.memory", found),
    };
    let finding = finding
        .with("ordinal", at)
        .with("name", device.name.clone())
        .with("total_bytes", device.total)
        .with("integrated", device.integrated)
        .with("compute_capability", format!("{major}.{minor}"))
        .with("simulated", simulated);
    match device.free {
        Some(free) => finding.with("free_bytes", free),
        None => finding,
    }
}

/// The child's part: asks, and prints one line of JSON.
///
/// # Errors
/// Internal, if the line cannot be written.
pub fn probe() -> Result<(), Failure> {
    let line = serde_json::to_string(&look()).unwrap_or_default();
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn look() -> Answer {
    // SAFETY: loading a library runs its constructors: the program would do the same.
    if !unsafe { sys::is_culib_present() } {
        return Answer::default();
    }
    let mut answer = Answer::default();
    if let Err((call, code)) = fill(&mut answer) {
        answer.fault = Some((call.to_owned(), i64::from(code)));
    }
    // Only now is it loaded to stay.
    answer.library = library();
    answer
}

/// The result of a call, by name. cudarc's results are enums of a fixed list, and a newer driver's numbers need not be
/// on it: they stay numbers here.
fn done(call: &'static str, code: c_int) -> Result<(), (&'static str, c_int)> {
    if code == 0 { Ok(()) } else { Err((call, code)) }
}

/// A function of the driver, called with its arguments; a function that this driver lacks fails with -1.
macro_rules! call {
    ($name:literal, $($value:expr => $kind:ty),*) => {{
        // SAFETY: the library is there, as the caller of `fill` made sure, and stays loaded.
        let library = unsafe { sys::culib() };
        // SAFETY: the driver's header gives this function these arguments.
        match unsafe { library.get::<unsafe extern "C" fn($($kind),*) -> c_int>($name.as_bytes()) } {
            // SAFETY: pointers are to variables of ours, of the size that the function fills.
            Ok(function) => done($name, unsafe { function($($value),*) }),
            Err(_) => Err(($name, -1)),
        }
    }};
}

fn fill(answer: &mut Answer) -> Result<(), (&'static str, c_int)> {
    let (mut version, mut count): (c_int, c_int) = (0, 0);
    call!("cuDriverGetVersion", &raw mut version => *mut c_int)?;
    answer.version = i64::from(version);
    call!("cuInit", 0 => c_uint)?;
    call!("cuDeviceGetCount", &raw mut count => *mut c_int)?;
    for ordinal in 0..count.min(MOST_DEVICES) {
        answer.devices.push(device(ordinal)?);
    }
    Ok(())
}

fn device(ordinal: c_int) -> Result<Device, (&'static str, c_int)> {
    let mut handle: c_int = 0;
    call!("cuDeviceGet", &raw mut handle => *mut c_int, ordinal => c_int)?;
    let mut name = [0_u8; 256];
    call!("cuDeviceGetName", name.as_mut_ptr().cast() => *mut c_char, 255 => c_int, handle => c_int)?;
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let mut total = 0_usize;
    call!("cuDeviceTotalMem_v2", &raw mut total => *mut usize, handle => c_int)?;
    let attribute = |which: sys::CUdevice_attribute| {
        let mut value: c_int = 0;
        call!("cuDeviceGetAttribute", &raw mut value => *mut c_int, which as c_int => c_int, handle => c_int)?;
        Ok(value)
    };
    let integrated = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0;
    let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(Device {
        name: String::from_utf8_lossy(name.get(..length).unwrap_or_default()).into_owned(),
        total: total as u64,
        free: free(handle).ok(),
        integrated,
        capability: (i64::from(major), i64::from(minor)),
    })
}

/// Free memory can be asked for inside a context only; it is given back at once.
fn free(handle: c_int) -> Result<u64, (&'static str, c_int)> {
    let mut context: *mut c_void = std::ptr::null_mut();
    call!("cuDevicePrimaryCtxRetain", &raw mut context => *mut *mut c_void, handle => c_int)?;
    let answered = call!("cuCtxSetCurrent", context => *mut c_void).and_then(|()| {
        let (mut free, mut total) = (0_usize, 0_usize);
        call!("cuMemGetInfo_v2", &raw mut free => *mut usize, &raw mut total => *mut usize).map(|()| free as u64)
    });
    let _ = call!("cuDevicePrimaryCtxRelease_v2", handle => c_int);
    answered
}

/// The file that was loaded, as the kernel names it.
fn library() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| format!("/{path}"));
    path.into_iter().find(|path| path.contains("libcuda.so")).unwrap_or_else(|| "libcuda".into())
}
