"""Loads weights, profiles and sizes a KV cache as TensorRT-LLM's PyTorch backend does, on whatever GPU there is, with torch's
own statistics, its log lines, and pools that a native module takes. Prints each figure as JSON in the end.

`serves.py NATIVE [FRACTION]`: NATIVE is pool.c as a library.
"""

import ctypes
import json
import math
import sys

import torch

from pyexecutor import _util

GIB = 1 << 30
LAYERS, HIDDEN, INTER = 28, 3584, 18944
TOKENS, BLOCK, PER_TOKEN = 8192, 32, 57344
TEMPORARY = TOKENS + BLOCK


class Native:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.pool_take.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
        self.library.pool_give.argtypes = [ctypes.c_void_p]

    def memory(self):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        assert self.library.pool_memory(ctypes.byref(free), ctypes.byref(total)) == 0
        return free.value, total.value

    def take(self, tokens):
        at = ctypes.c_void_p()
        assert self.library.pool_take(ctypes.byref(at), tokens * PER_TOKEN) == 0, "out of memory"
        native(f"[MemUsageChange] Allocated {tokens * PER_TOKEN / GIB:.2f} GiB for max tokens in paged KV cache ({tokens}).")
        return at

    def give(self, at):
        assert self.library.pool_give(at) == 0


def log(text, level="I"):
    print(f"[11/25/2026-12:00:00] [TRT-LLM] [{level}] {text}", flush=True)


def native(text):
    print(f"[TensorRT-LLM][INFO] {text}", flush=True)


def load():
    """The shapes of a model with 7 billion parameters."""
    def empty(*shape):
        return torch.empty(shape, dtype=torch.bfloat16, device="cuda").normal_(std=0.02)

    layers = [(empty(HIDDEN, HIDDEN + 1024), empty(HIDDEN, HIDDEN), empty(HIDDEN, 2 * INTER), empty(INTER, HIDDEN))
              for _ in range(LAYERS)]
    return empty(152064, HIDDEN), layers


def forward(embedding, layers):
    x = embedding[torch.zeros(TOKENS, dtype=torch.long, device="cuda")]
    for qkv, out, up, down in layers:
        q = (x @ qkv)[:, :HIDDEN]
        x = x + q @ out
        gate, value = (x @ up).chunk(2, dim=-1)
        x = x + (torch.nn.functional.silu(gate) * value) @ down
    return (x[-1:] @ embedding.T).float().softmax(-1)


@torch.inference_mode()
def main():
    native_module = Native(sys.argv[1])
    fraction = ctypes.c_float(float(sys.argv[2]) if len(sys.argv) > 2 else 0.9).value
    free, total = torch.cuda.mem_get_info()
    figures = {"total": total, "free at start": free}
    weights = load()
    torch.cuda.synchronize()
    figures["weights"] = torch.cuda.memory_allocated()
    figures["free with weights"] = torch.cuda.mem_get_info()[0]
    log(f"Use {figures['weights'] / GIB:.2f} GB for model weights.")

    native_module.memory()
    native(f"Number of tokens per block: {BLOCK}.")
    temporary = native_module.take(TEMPORARY)
    # Warm-up: cuBLAS makes its handle and takes its workspace.
    forward(*weights)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    free_a, _ = torch.cuda.mem_get_info()
    inside = torch.cuda.memory_allocated()
    where = "in memory usage profiling"
    log(f"Memory used after loading model weights (inside torch) {where}: {inside / GIB:.2f} GiB")
    log(f"Memory used after loading model weights (outside torch) {where}: {max(total - free_a - inside, 0) / GIB:.2f} GiB")
    forward(*weights)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    peak, allocated = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
    free_b, total = _util.configure_kv_cache_capacity()

    outside = max(total - free_b - allocated, 0)
    m1 = TEMPORARY * PER_TOKEN
    budget = fraction * (total - (peak + outside) + m1)
    log(f"Memory dynamically allocated during inference (inside torch) {where}: {(peak - inside) / GIB:.2f} GiB")
    log(f"Memory used outside torch (e.g., NCCL and CUDA graphs) {where}: {outside / GIB:.2f} GiB")
    log(f"Peak memory during memory usage profiling (torch + non-torch): {(peak + outside) / GIB:.2f} GiB, available KV cache "
        f"memory when calculating max tokens: {budget / GIB:.2f} GiB, fraction is set {fraction}, kv size is {PER_TOKEN}. "
        f"device total memory {total / GIB:.2f} GiB, , tmp kv_mem {m1 / GIB:.2f} GiB")
    target = int(budget // PER_TOKEN)
    log(f"Estimated max memory in KV cache : {budget / GIB:.2f} GiB")
    native_module.give(temporary)

    free_c, _ = native_module.memory()
    log(f"Both free_gpu_memory_fraction and max_tokens are set (to {fraction} and {target}, respectively). The smaller value "
        "will be used.", "W")
    blocks = math.ceil(min(target, fraction * free_c / PER_TOKEN) / BLOCK)
    native(f"Number of tokens per block: {BLOCK}.")
    native_module.take(blocks * BLOCK)
    last, _ = torch.cuda.mem_get_info()
    limit = last + torch.cuda.memory_reserved() - (32 << 20)
    log(f"Setting PyTorch memory fraction to {limit / total} ({limit / GIB} GiB)")
    figures |= {
        "activations at the peak": peak - allocated, "outside torch": outside - m1, "temporary pool": m1,
        "free at A": free_a, "free at B": free_b, "free at C": free_c, "KV cache": blocks * BLOCK * PER_TOKEN,
        "free at the end": last,
    }
    print(json.dumps(figures | {
        "tokens": blocks * BLOCK, "fraction": fraction, "torch": torch.__version__, "device": torch.cuda.get_device_name(),
    }), flush=True)


if __name__ == "__main__":
    main()
