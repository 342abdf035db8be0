/* Gives memory back at its end: in an atexit handler and in a destructor; a library does so later still. */
#include <stdio.h>
#include <stdlib.h>

int cuMemAlloc_v2(unsigned long long *, size_t);
int cuMemFree_v2(unsigned long long);
int keep(void);
static unsigned long long at[2];

static void last(void) { printf("atexit %d\n", cuMemFree_v2(at[0])); }
__attribute__((destructor)) static void gone(void) {
    printf("destructor %d\n", cuMemFree_v2(at[1]));
    fflush(stdout);
}

int main(void) {
    if (atexit(last) || keep() || cuMemAlloc_v2(&at[0], 1 << 20) || cuMemAlloc_v2(&at[1], 2 << 20)) return 1;
    return 5;
}
