/* A driver that is newer than any table: an ABI of cuMemAlloc without an exported name. */
#include <string.h>

static int alloc_v3(unsigned long long *at, unsigned long size, unsigned long long how) {
    *at = how + size;
    return 0;
}
int cuMemAlloc_v2(unsigned long long *at, unsigned long size) {
    *at = size;
    return 0;
}
int cuMemGetInfo_v2(unsigned long *free, unsigned long *total) {
    *free = *total = 1;
    return 0;
}
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status) {
    *function = 0;
    if (!strcmp(name, "cuMemAlloc")) *function = version > 14000 ? (void *)alloc_v3 : (void *)cuMemAlloc_v2;
    return *function ? 0 : 500;
}
