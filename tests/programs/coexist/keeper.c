/* A library that keeps memory to its own end, which comes after that of the preloads. */
#include <stddef.h>
#include <stdio.h>

int cuMemAlloc_v2(unsigned long long *, size_t);
int cuMemFree_v2(unsigned long long);
static unsigned long long at;

int keep(void) { return cuMemAlloc_v2(&at, 3 << 20); }
__attribute__((destructor)) static void gone(void) {
    printf("library %d\n", cuMemFree_v2(at));
    fflush(stdout);
}
