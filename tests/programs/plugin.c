/* A plugin that brings its own runtime; its host loads it RTLD_LOCAL, so that nothing of it is in the global scope. */
#include <dlfcn.h>
#include <stddef.h>

int cudaMalloc(void **pointer, size_t size);
int cudaFree(void *pointer);

int plugin_run(void) {
    void *pointer = NULL;
    int rc = cudaMalloc(&pointer, 96u << 20);
    return rc ? rc : cudaFree(pointer);
}
