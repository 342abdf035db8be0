"""Asks the NVML named on the command line as pynvml does: the library by its soname, each function by attribute."""
import ctypes
import os
import sys


class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Memory2(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint)] + [(name, ctypes.c_ulonglong) for name in ("total", "reserved", "free", "used")]


class Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


nvml = ctypes.CDLL(sys.argv[1])
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0 and cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0 and cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(48 << 20)) == 0
assert nvml.nvmlInit_v2() == 0
device = ctypes.c_void_p()
assert nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(device)) == 0
memory, memory2 = Memory(), Memory2(version=ctypes.sizeof(Memory2) | 2 << 24)
first = nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
second = nvml.nvmlDeviceGetMemoryInfo_v2(device, ctypes.byref(memory2))
count, processes = ctypes.c_uint(4), (Process * 4)()
assert nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), processes) == 0
own = sum(process.used for process in processes[: count.value] if process.pid == os.getpid())
print(first, memory.free, memory.total, second, memory2.free, memory2.total, memory2.reserved, count.value, own)
