/* Another preload: wraps runtime and driver calls, and finds what is behind it by RTLD_NEXT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

static int runtime_calls, driver_calls;
int saver_runtime_calls(void) { return runtime_calls; }
int saver_driver_calls(void) { return driver_calls; }

int cudaMalloc(void **at, size_t size) {
    int (*real)(void **, size_t) = (int (*)(void **, size_t))dlsym(RTLD_NEXT, "cudaMalloc");
    runtime_calls++;
    return real ? real(at, size) : 35;
}
int cuMemGetInfo_v2(size_t *free, size_t *total) {
    int (*real)(size_t *, size_t *) = (int (*)(size_t *, size_t *))dlsym(RTLD_NEXT, "cuMemGetInfo_v2");
    driver_calls++;
    return real ? real(free, total) : 3;
}
