/* Uses the driver beside a library that patches it. usage: patched [LIBUCM] (else it is in the process already) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int cuInit(unsigned);
int cuMemAlloc_v2(unsigned long long *, size_t);
int cuMemFree_v2(unsigned long long);

int main(int argc, char **argv) {
    unsigned long long at = 0;
    void *ucm = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : RTLD_DEFAULT;
    int (*install)(void) = (int (*)(void))dlsym(ucm, "ucm_install"), (*calls)(void) = (int (*)(void))dlsym(ucm, "ucm_calls");
    if (!install || !calls || cuInit(0) || install()) return 1;
    if (cuMemAlloc_v2(&at, 5 << 20) || cuMemFree_v2(at)) return 2;
    printf("hook called %d\n", calls());
    return 0;
}
