"""Takes and gives back device memory by ctypes alone, through the library named on the command line."""
import ctypes
import sys

runtime = ctypes.CDLL(sys.argv[1])
free, total, pointer = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
assert runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)) == 0
assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(64 << 20)) == 0
assert runtime.cudaFree(pointer) == 0
print(free.value, total.value)
