/* Calls of the runtime that take structures by value, or more arguments than some processors have registers for. */
#include "by_value.h"
#include <stdio.h>

int main(void) {
    Pitched pitched;
    void *at = NULL;
    IpcHandle handle;
    for (int i = 0; i < 64; i++) handle.bytes[i] = (char)(i * 7 + 1);
    Extent extent = {300, 20, 3};
    Location location = {1, -7};
    if (cudaMalloc3D(&pitched, extent)) return 1;
    printf("pitched %p %zu %zu %zu\n", pitched.at, pitched.pitch, pitched.width, pitched.height);
    if (cudaMalloc3DArray(&at, NULL, extent, 6) || cudaIpcOpenMemHandle(&at, handle, 1)) return 2;
    if (cudaMemPrefetchAsync((void *)0x7000, 4096, location, 2, (void *)0x55)) return 3;
    if (cudaMemAdvise((void *)0x7000, 4096, -3, location)) return 4;
    if (cudaMemPrefetchBatchAsync((void *)1, (void *)2, 3, (void *)4, (void *)5, 6, 0x700000007, (void *)8)) return 5;
    return 0;
}
