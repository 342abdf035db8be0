/* Defines runtime functions itself, as a program with a static runtime and exported symbols does, and looks them up. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

int cudaMalloc(void **at, size_t size) {
    *at = NULL;
    return 77;
}

int main(void) {
    void *at;
    int (*found)(void **, size_t) = (int (*)(void **, size_t))dlsym(RTLD_DEFAULT, "cudaMalloc");
    printf("default %s\n", found == cudaMalloc ? "own" : "other");
    printf("main %s\n", dlsym(dlopen(NULL, RTLD_NOW), "cudaMalloc") == (void *)cudaMalloc ? "own" : "other");
    printf("answers %d\n", found ? found(&at, 1) : -1);
    return 0;
}
