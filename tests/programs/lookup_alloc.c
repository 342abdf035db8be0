/* Allocates by functions that it asks the driver for, and prints what they gave. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

int main(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*lookup)(const char *, void **, int, uint64_t, int *);
    int (*alloc)(unsigned long long *, size_t), (*alloc_32)(unsigned *, unsigned);
    int (*create)(unsigned long long *, size_t, const void *, unsigned long long);
    if (!driver || !(lookup = (int (*)(const char *, void **, int, uint64_t, int *))dlsym(driver, "cuGetProcAddress_v2")))
        return 1;
    unsigned at_32 = 0;
    unsigned long long at = 0, handle = 0;
    if (lookup("cuMemAlloc", (void **)&alloc_32, 2000, 0, NULL) || alloc_32(&at_32, 256)) return 2;
    if (lookup("cuMemAlloc", (void **)&alloc, 12000, 0, NULL) || alloc(&at, 4096)) return 3;
    if (lookup("cuMemCreate", (void **)&create, 10020, 0, NULL) || create(&handle, 8192, NULL, 0)) return 4;
    printf("%x %llx %llx\n", at_32, at, handle);
    return 0;
}
