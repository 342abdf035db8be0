/* A plugin with a runtime inside that it does not hide, as static linking without a version script leaves it. */
#include <stddef.h>

int cudaMalloc(void **at, size_t size) {
    *at = (void *)size;
    return 0;
}

/* Through the plugin's own table of calls: the loader binds it to whoever has the name first. */
int plugin_run(void) {
    void *at = NULL;
    int rc = cudaMalloc(&at, 42);
    return rc ? rc : at != (void *)42;
}
