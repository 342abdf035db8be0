"""JAX, which takes most of the device at its first use."""

import ctypes
import json

import jax
import jax.numpy

driver = ctypes.CDLL("libcuda.so.1")
driver.cuInit(0)
context = ctypes.c_void_p()


def step(name, loads=False):
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)):
        raise SystemExit("cuMemGetInfo fails")
    print(json.dumps({"step": name, "free": free.value, "total": total.value, "loads": loads}), flush=True)


if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) or driver.cuCtxSetCurrent(context):
    raise SystemExit("no context")
step("context")
a = jax.numpy.ones((1024, 1024))
a.block_until_ready()
step("a matrix: JAX takes its pool", loads=True)
(a @ a).block_until_ready()
step("a product", loads=True)
