/* Under two preloads: the other one's hook works, and a failed lookup keeps its error text. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    if (getppid() <= 0 || getppid() <= 0) return 1;
    int *interposed = dlsym(RTLD_DEFAULT, "interposed");
    printf("interposed %d\n", interposed ? *interposed : -1);
    void *self = dlopen(0, RTLD_LAZY);
    dlerror();
    if (dlsym(self, "no_such_symbol")) return 1;
    const char *error = dlerror();
    printf("no_such_symbol: %s\n", error && strstr(error, "undefined symbol: no_such_symbol") ? "undefined" : error);
    return 0;
}
