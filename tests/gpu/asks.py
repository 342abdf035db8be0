"""Reads a file of weights, takes device memory and asks for free memory. Prints what is known of all that as JSON."""

import ctypes
import json
import mmap
import os
import struct
import sys

import torch

from pyexecutor import _util

WEIGHTS = 512 << 20


def write_weights(path):
    header = json.dumps({"model.weight": {"dtype": "BF16", "shape": [WEIGHTS // 2], "data_offsets": [0, WEIGHTS]}})
    header = header.encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        block = os.urandom(1 << 20)
        for _ in range(WEIGHTS >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    config = {"model_type": "test", "architectures": ["TestForCausalLM"], "num_hidden_layers": 2, "torch_dtype": "bfloat16"}
    with open(os.path.join(os.path.dirname(path), "config.json"), "w") as file:
        json.dump(config, file)
    return os.path.getsize(path)


def read_weights(path):
    with open(path, "rb") as file:
        while file.read(16 << 20):
            pass
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ).close()


def main():
    path = os.path.join(sys.argv[1], "model.safetensors")
    size = write_weights(path)
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
    assert nvml.nvmlInit_v2() == 0
    handle = ctypes.c_void_p()
    assert nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0
    read_weights(path)
    held = torch.empty(3 << 30, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    free, total = _util.configure_kv_cache_capacity()
    print(json.dumps({
        "pid": os.getpid(), "free": free, "total": total, "reserved": torch.cuda.memory_reserved(),
        "uuid": "GPU-" + str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-"), "weights": path,
        "size": size, "file": _util.__file__, "line": _util.configure_kv_cache_capacity.__code__.co_firstlineno + 1,
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}", "torch": torch.__version__,
    }))
    del held
    torch.cuda.empty_cache()


main()
