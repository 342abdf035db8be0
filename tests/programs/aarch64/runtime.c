/* A libcudart.so.13 that prints what reached it. */
#include "by_value.h"
#include <stdio.h>

int cudaMalloc3D(Pitched *pitched, Extent extent) {
    *pitched = (Pitched){(void *)0x10000, 512, extent.width, extent.height};
    return printf("3d %zu %zu %zu\n", extent.width, extent.height, extent.depth) < 0;
}
int cudaMalloc3DArray(void **array, void *format, Extent extent, unsigned flags) {
    *array = (void *)0x20000;
    return printf("array %p %zu %zu %zu %u\n", format, extent.width, extent.height, extent.depth, flags) < 0;
}
int cudaIpcOpenMemHandle(void **at, IpcHandle handle, unsigned flags) {
    int right = 0;
    for (int i = 0; i < 64; i++) right += handle.bytes[i] == (char)(i * 7 + 1);
    *at = (void *)0x30000;
    return printf("ipc %d %u\n", right, flags) < 0;
}
int cudaMemPrefetchAsync(void *at, size_t size, Location location, unsigned flags, void *stream) {
    return printf("prefetch %p %zu %d %d %u %p\n", at, size, location.kind, location.id, flags, stream) < 0;
}
int cudaMemAdvise(void *at, size_t size, int advice, Location location) {
    return printf("advise %p %zu %d %d %d\n", at, size, advice, location.kind, location.id) < 0;
}
int cudaMemPrefetchBatchAsync(void *at, void *sizes, size_t count, void *places, void *indices, size_t number,
                              unsigned long long flags, void *stream) {
    return printf("batch %p %p %zu %p %p %zu %llx %p\n", at, sizes, count, places, indices, number, flags, stream) < 0;
}
