/* A runtime that counts its calls. */
#include <stddef.h>

static int calls;
int twin_calls(void) { return calls; }
int cudaSetDevice(int device) {
    calls++;
    return device;
}
int cudaMalloc(void **at, size_t size) {
    calls++;
    *at = (void *)size;
    return 0;
}
