/* Linked with one copy of a runtime, opens another and looks it up first. usage: linked COPY */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

int cudaSetDevice(int device);
int cudaMalloc(void **at, size_t size);
int twin_calls(void);

int main(int argc, char **argv) {
    void *at = NULL;
    void *other = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*set)(int) = other ? (int (*)(int))dlsym(other, "cudaSetDevice") : NULL;
    int (*alloc)(void **, size_t) = other ? (int (*)(void **, size_t))dlsym(other, "cudaMalloc") : NULL;
    int (*count)(void) = other ? (int (*)(void))dlsym(other, "twin_calls") : NULL;
    if (!set || !alloc || !count) return 1;
    set(0);
    alloc(&at, 1);
    printf("opened %d, linked %d\n", count(), twin_calls());
    cudaSetDevice(0);
    cudaMalloc(&at, 2);
    cudaMalloc(&at, 3);
    printf("opened %d, linked %d\n", count(), twin_calls());
    return 0;
}
