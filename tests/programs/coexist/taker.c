/* A plugin that takes memory and gives none back. */
#include <stddef.h>

int cudaMalloc(void **pointer, size_t size);

int plugin_run(void) {
    void *pointer = NULL;
    int rc = cudaMalloc(&pointer, 96u << 20);
    return rc || !pointer;
}
