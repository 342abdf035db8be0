"""PyTorch's ways of taking memory, one step at a time; argv[1] names the way."""

import json
import sys

import torch

MIB = 1 << 20


def step(name, loads=False):
    """`loads`: code or libraries were used for the first time, for which the driver takes memory by itself."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    print(json.dumps({"step": name, "free": free, "total": total, "reserved": reserved, "loads": loads}),
          flush=True)


def tensors():
    kept = [torch.empty(size, dtype=torch.uint8, device="cuda") for size in (300 * MIB + 12345, 3 * MIB, 1000)]
    step("three tensors")
    more = [torch.empty(700 * MIB, dtype=torch.uint8, device="cuda") for _ in range(4)]
    step("four more of 700 MiB")
    del more[::2]
    step("two of them dropped, kept by the allocator")
    torch.cuda.empty_cache()
    step("empty_cache")
    del kept, more
    torch.cuda.empty_cache()
    step("all dropped, empty_cache")


def pinned():
    kept = torch.empty(500 * MIB, dtype=torch.uint8, pin_memory=True)
    step("500 MiB of pinned host memory")
    del kept
    step("pinned memory dropped")


def matmul():
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    step("a matrix, filled by a kernel", loads=True)
    a @ a
    step("a product: cuBLAS and its workspace", loads=True)
    a @ a
    step("the same product again")


def graph():
    a = torch.ones(64 * MIB, device="cuda")
    b = a * 2
    step("a kernel has run", loads=True)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        b = a * 2
        c = b + a
    step("captured", loads=True)
    captured.replay()
    step("replayed", loads=True)
    captured.replay()
    step("replayed again")


torch.cuda.init()
torch.empty(1, device="cuda")
step("context")
{"tensors": tensors, "pinned": pinned, "matmul": matmul, "graph": graph}[sys.argv[1]]()
