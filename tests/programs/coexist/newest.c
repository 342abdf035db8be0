/* Asks for an ABI of the future and uses it. usage: newest DRIVER */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    void *driver = dlopen(argv[1], RTLD_NOW), *function = NULL;
    int (*ask)(const char *, void **, int, unsigned long long, int *) = driver ? dlsym(driver, "cuGetProcAddress_v2") : NULL;
    unsigned long long at = 0;
    if (!ask || ask("cuMemAlloc", &function, 15000, 0, NULL)) return 1;
    ((int (*)(unsigned long long *, unsigned long, unsigned long long))function)(&at, 5, 70);
    printf("%llu\n", at);
    if (ask("cuMemAlloc", &function, 13000, 0, NULL)) return 1;
    ((int (*)(unsigned long long *, unsigned long))function)(&at, 6);
    printf("%llu\n", at);
    return 0;
}
