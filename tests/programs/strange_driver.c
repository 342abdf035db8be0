/* A libcuda.so.1 that hands out what no honest driver of today does: addresses that it does not export, ABIs older than
 * asked for, ABIs newer than anyone knows, and functions of others. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long pointer;

int cuInit(unsigned flags) { return 0; }
int cuMemAlloc(unsigned *at, unsigned size) { return 0; }
int cuMemAlloc_v2(pointer *at, size_t size) { return *at = 0x1000, 0; }
int cuMemFree_v2(pointer at) { return 0; }
int cuMemFree_v3(pointer at, int how) { return 1; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { return 0; }
int cuMemAdvise(pointer at, size_t size, int advice, int device) { return 0; }
int cuMemAllocManaged(pointer *at, size_t size, unsigned flags) { return 0; }
int cuMemAllocAsync(pointer *at, size_t size, void *stream) { return 0; }
int cuMemAllocAsync_ptsz(pointer *at, size_t size, void *stream) { return 0; }
int cuMemFreeAsync(pointer at, void *stream) { return 0; }

static int internal_alloc_32(unsigned *at, unsigned size) { return *at = 0x20, 0; }
static int internal_alloc(pointer *at, size_t size) { return *at = 0x2000, 0; }
static int internal_alloc_async(pointer *at, size_t size, void *stream) { return 0; }
static int internal_from_pool(pointer *at, size_t size, pointer pool, void *stream) { return 0; }
static int internal_from_pool_ptsz(pointer *at, size_t size, pointer pool, void *stream) { return 0; }
static int internal_create(pointer *handle, size_t size, const void *properties, pointer flags) {
    return *handle = 0x3000, 0;
}

/* The last entry that fits is the answer. */
static const struct {
    const char *name;
    int version, flags;
    void *function;
} table[] = {
    {"cuMemAlloc", 2000, 0, internal_alloc_32},
    {"cuMemAlloc", 3020, 0, internal_alloc},
    {"cuMemFree", 3020, 0, cuMemFree_v2},
    {"cuMemFree", 14000, 0, cuMemFree_v3},
    {"cuMemGetInfo", 2000, 0, cuMemGetInfo_v2},
    {"cuMemAdvise", 8000, 0, cuMemAdvise},
    {"cuMemAllocManaged", 6000, 0, cuMemAllocManaged},
    {"cuMemAllocAsync", 11020, 0, internal_alloc_async},
    {"cuMemAllocAsync", 11020, 2, cuMemAllocAsync_ptsz},
    {"cuMemFreeAsync", 11020, 0, cuMemFreeAsync},
    {"cuMemAllocFromPoolAsync", 11020, 0, internal_from_pool},
    {"cuMemAllocFromPoolAsync", 11020, 2, internal_from_pool_ptsz},
    {"cuMemCreate", 10020, 0, internal_create},
    {"cuMemHostAlloc", 2020, 0, abort},
    {"cuInit", 2000, 0, cuInit},
};

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status);

int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    void *found = NULL;
    if (!function) return 1;
    if (!strcmp(name, "cuGetProcAddress")) found = version < 12000 ? (void *)cuGetProcAddress : cuGetProcAddress_v2;
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name) && table[i].version <= version && (!table[i].flags || table[i].flags == (int)flags))
            found = table[i].function;
    *function = found;
    if (status) *status = !found;
    return found ? 0 : 500;
}

int cuGetProcAddress_v2_ptsz(const char *name, void **function, int version, uint64_t flags, int *status) {
    return cuGetProcAddress_v2(name, function, version, flags ? flags : 2, status);
}
