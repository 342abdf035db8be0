"""Loads weights, profiles and sizes a KV cache as a server does, on whatever GPU there is. Prints each figure as JSON.

The order of calls and the arithmetic are TensorRT-LLM's (PyTorch backend): weights; a warm-up with a small temporary pool;
free memory; KV = fraction x (total - peak + temporary pool), where the peak is torch's own and everything outside torch.
"""

import json
import sys

import torch

FRACTION = 0.9
LAYERS, HIDDEN, INTER = 28, 3584, 18944
TOKENS = 8192
BLOCK = 32 * 57344


def main():
    dev = torch.device("cuda")
    figures = {"torch": torch.__version__, "device": torch.cuda.get_device_name()}
    free, total = torch.cuda.mem_get_info()
    figures |= {"total": total, "free at start": free}

    # The shapes of a model with 7 billion parameters.
    def layer():
        shapes = [(HIDDEN, HIDDEN + 2 * 512), (HIDDEN, HIDDEN), (HIDDEN, 2 * INTER), (INTER, HIDDEN)]
        return [torch.empty(shape, dtype=torch.bfloat16, device=dev).normal_(std=0.02) for shape in shapes]

    embedding = torch.empty((152064, HIDDEN), dtype=torch.bfloat16, device=dev).normal_(std=0.02)
    layers = [layer() for _ in range(LAYERS)]
    torch.cuda.synchronize()
    figures |= {"weights, torch allocated": torch.cuda.memory_allocated(), "free with weights": torch.cuda.mem_get_info()[0]}

    def forward():
        x = embedding[torch.zeros(TOKENS, dtype=torch.long, device=dev)]
        for qkv, out, up, down in layers:
            q = (x @ qkv)[:, :HIDDEN]
            x = x + q @ out
            gate, value = (x @ up).chunk(2, dim=-1)
            x = x + (torch.nn.functional.silu(gate) * value) @ down
        return (x[-1:] @ embedding.T).float().softmax(-1)

    temporary = torch.empty(256 * BLOCK, dtype=torch.uint8, device=dev)
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        forward()
    torch.cuda.synchronize()
    stats = torch.cuda.memory_stats()
    peak, now = stats["allocated_bytes.all.peak"], stats["allocated_bytes.all.current"]
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    outside = total - free - reserved
    figures |= {
        "activations at the peak": peak - now, "torch reserved": reserved, "outside torch": outside,
        "free when sized": free, "temporary pool": temporary.numel(),
    }
    all_peak = peak + max(total - free - now, 0)
    kv = int(FRACTION * (total - all_peak + temporary.numel())) // BLOCK * BLOCK
    del temporary
    torch.cuda.empty_cache()
    kept = torch.empty(kv, dtype=torch.uint8, device=dev)
    figures |= {"KV cache": kept.numel(), "free at the end": torch.cuda.mem_get_info()[0]}
    print(json.dumps(figures))


if __name__ == "__main__":
    sys.exit(main())
