/* A plugin that asks the driver of its host; each caller has a name in the trace. */
#include <stddef.h>

int cuMemGetInfo_v2(size_t *, size_t *);

int plugin_run(void) {
    size_t free, total;
    return cuMemGetInfo_v2(&free, &total);
}
