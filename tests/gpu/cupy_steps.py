"""CuPy's pools: its own and the driver's."""

import json

import cupy

MIB = 1 << 20


def step(name):
    cupy.cuda.Device().synchronize()
    free, total = cupy.cuda.runtime.memGetInfo()
    print(json.dumps({"step": name, "free": free, "total": total}), flush=True)


step("context")
kept = [cupy.empty(300 * MIB + 12345, dtype=cupy.uint8) for _ in range(3)]
step("three arrays")
del kept
cupy.get_default_memory_pool().free_all_blocks()
step("freed")
cupy.cuda.set_allocator(cupy.cuda.MemoryAsyncPool().malloc)
kept = [cupy.empty(300 * MIB + 12345, dtype=cupy.uint8) for _ in range(3)]
step("three arrays, stream-ordered")
del kept
step("dropped")
