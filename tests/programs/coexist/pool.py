"""Workers of multiprocessing, started as the command line says, take memory through the runtime it names."""

import ctypes
import multiprocessing
import os
import sys


def work(path, size):
    runtime = ctypes.CDLL(path)
    pointer = ctypes.c_void_p()
    assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
    assert runtime.cudaFree(pointer) == 0
    return os.getpid(), os.getppid(), size


if __name__ == "__main__":
    method, path = sys.argv[1:]
    context = multiprocessing.get_context(method)
    # The parent loads nothing: a device does not survive a fork.
    pools = [context.Pool(1) for _ in range(3)]
    results = [pool.apply_async(work, (path, (number + 1) << 20)) for number, pool in enumerate(pools)]
    for result in results:
        print(*result.get(60))
    for pool in pools:
        pool.close()
        pool.join()
