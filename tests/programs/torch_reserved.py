"""Takes and gives back GPU memory through PyTorch's allocator, and prints its figures as JSON, a line per checkpoint."""

import gc
import json

import torch

MIB = 1 << 20


def checkpoint(name):
    """Says what the allocator holds; the query behind it marks the place in the trace."""
    stats = torch.cuda.memory_stats()
    free, total = torch.cuda.mem_get_info()
    figures = {
        "checkpoint": name,
        "torch": torch.__version__,
        "reserved": stats["reserved_bytes.all.current"],
        "allocated": stats["allocated_bytes.all.current"],
        "free": free,
        "total": total,
        "device": torch.cuda.get_device_name(),
    }
    print(json.dumps(figures), flush=True)


def empty(size):
    """Memory that no kernel fills."""
    return torch.empty(size, dtype=torch.uint8, device="cuda")


# The figures are there once the allocator is.
torch.cuda.init()
checkpoint("start")
big = empty(1024 * MIB)
checkpoint("big")
small = [empty(1000 + 700 * n) for n in range(3000)]
middle = [empty(3 * MIB + 12345 * n) for n in range(40)]
checkpoint("many")
# Every second block keeps its segment alive, so that freed and reserved differ.
del small[::2], middle[::2]
gc.collect()
checkpoint("freed")
torch.cuda.empty_cache()
checkpoint("emptied")
del big
gc.collect()
torch.cuda.empty_cache()
checkpoint("big-gone")
again = empty(300 * MIB + 1)
checkpoint("end")
