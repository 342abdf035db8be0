/* Opens two copies of one runtime by path and asks each for its own function. usage: twin COPY COPY */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    void *at = NULL;
    for (int i = 1; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        int (*set)(int) = library ? (int (*)(int))dlsym(library, "cudaSetDevice") : NULL;
        int (*count)(void) = library ? (int (*)(void))dlsym(library, "twin_calls") : NULL;
        int (*alloc)(void **, size_t) = library ? (int (*)(void **, size_t))dlsym(library, "cudaMalloc") : NULL;
        if (!set || !count || !alloc) return 1;
        set(0);
        set(0);
        printf("%s: %d\n", strrchr(argv[i], '/') + 1, count());
        alloc(&at, i);
        printf("%s: %d\n", strrchr(argv[i], '/') + 1, count());
    }
    return 0;
}
