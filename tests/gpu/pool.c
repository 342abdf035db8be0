/* The part of a server that is not Python: asks for free memory and takes pools of device memory. With STATIC_RUNTIME it
   is linked with NVIDIA's runtime inside itself; else it looks the driver's functions up as that does. */
#include <stddef.h>
#include <stdint.h>

#ifdef STATIC_RUNTIME
#include <cuda_runtime_api.h>

int pool_memory(size_t *free, size_t *total) { return cudaMemGetInfo(free, total); }
int pool_take(void **at, size_t size) { return cudaMalloc(at, size); }
int pool_give(void *at) { return cudaFree(at); }
#else
#include <dlfcn.h>

static void *look_up(const char *name) {
    typedef int (*Lookup)(const char *, void **, int, uint64_t, int *);
    static Lookup lookup;
    void *found = 0;
    int status;
    if (!lookup) {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW);
        lookup = driver ? (Lookup)dlsym(driver, "cuGetProcAddress_v2") : 0;
    }
    return lookup && !lookup(name, &found, 3020, 0, &status) ? found : 0;
}

int pool_memory(size_t *free, size_t *total) {
    int (*ask)(size_t *, size_t *) = look_up("cuMemGetInfo");
    return ask ? ask(free, total) : -1;
}

int pool_take(void **at, size_t size) {
    int (*take)(void **, size_t) = look_up("cuMemAlloc");
    return take ? take(at, size) : -1;
}

int pool_give(void *at) {
    int (*give)(void *) = look_up("cuMemFree");
    return give ? give(at) : -1;
}
#endif
