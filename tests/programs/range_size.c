/* Asks the driver for attributes of a pointer, among them the size of its range. */
#include <stddef.h>

typedef unsigned long long pointer;
int cuInit(unsigned flags);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuCtxSetCurrent(void *context);
int cuMemAlloc_v2(pointer *at, size_t size);
int cuPointerGetAttribute(void *value, int attribute, pointer at);
int cuPointerGetAttributes(unsigned count, int *attributes, void **values, pointer at);

enum { MEMORY_TYPE = 2, DEVICE_POINTER = 3, RANGE_SIZE = 12 };

int main(void) {
    void *context;
    pointer at, value;
    int type = 0;
    size_t size = 0, sizes = 12345;
    if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context)) return 1;
    if (cuMemAlloc_v2(&at, 3 << 20)) return 2;
    for (int launch = 0; launch < 100; launch++)
        if (cuPointerGetAttribute(&value, DEVICE_POINTER, at)) return 3;
    if (cuPointerGetAttribute(&size, RANGE_SIZE, at) || size < 3 << 20) return 4;
    /* The simulated driver answers this one with nothing: the value stays. */
    int attributes[] = {MEMORY_TYPE, RANGE_SIZE};
    void *values[] = {&type, &sizes};
    if (cuPointerGetAttributes(2, attributes, values, at)) return 5;
    if (cuPointerGetAttributes(1, attributes, values, at)) return 6;
    return 0;
}
