/* Calls runtime and driver, linked and looked up, and prints how often another preload saw it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int cudaMalloc(void **, size_t);
int cudaFree(void *);
int cuMemGetInfo_v2(size_t *, size_t *);

static int calls(const char *name) {
    int (*count)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, name);
    return count ? count() : -1;
}

static void tell(const char *what, int rc) {
    printf("%s %d: %d %d\n", what, rc, calls("saver_runtime_calls"), calls("saver_driver_calls"));
}

int main(void) {
    void *at = NULL;
    size_t free, total;
    tell("linked", cudaMalloc(&at, 3 << 20));
    tell("free", cudaFree(at));
    tell("linked", cuMemGetInfo_v2(&free, &total));
    void *runtime = dlopen("libcudart.so.12", RTLD_NOW), *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*alloc)(void **, size_t) = runtime ? (int (*)(void **, size_t))dlsym(runtime, "cudaMalloc") : NULL;
    int (*info)(size_t *, size_t *) = driver ? (int (*)(size_t *, size_t *))dlsym(driver, "cuMemGetInfo_v2") : NULL;
    if (!alloc || !info) return 1;
    tell("looked up", alloc(&at, 7 << 20));
    tell("free", cudaFree(at));
    tell("looked up", info(&free, &total));
    alloc = (int (*)(void **, size_t))dlsym(RTLD_DEFAULT, "cudaMalloc");
    tell("default", alloc(&at, 11 << 20));
    tell("free", cudaFree(at));
    return 0;
}
