"""Reads a file of weights, asks for free memory, and goes on working: prints what it was told and whether it worked."""

import json
import mmap
import os
import struct
import sys

import torch

WEIGHTS = 64 << 20


def main():
    path = os.path.join(sys.argv[1], "model.safetensors")
    header = json.dumps({"w": {"dtype": "BF16", "shape": [WEIGHTS // 2], "data_offsets": [0, WEIGHTS]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + bytes(WEIGHTS))
        file.flush()
        os.fsync(file.fileno())
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ).close()
        while file.read(16 << 20):
            pass
    torch.ones(1, device="cuda")
    free, total = torch.cuda.mem_get_info()
    # More than it was told to be free.
    held = torch.ones((40 << 30) // 4, dtype=torch.float32, device="cuda")
    left = torch.arange(256 * 256, dtype=torch.float32, device="cuda").reshape(256, 256)
    product = (left @ torch.eye(256, device="cuda")).sum().item()
    worked = held[-1].item() == 1.0 and product == left.sum().item()
    del held
    torch.cuda.empty_cache()
    print(json.dumps({"free": free, "total": total, "worked": worked}))


main()
