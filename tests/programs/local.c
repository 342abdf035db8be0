/* Loads the plugins named on the command line RTLD_LOCAL and runs each. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        void *plugin = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        if (!plugin) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        int (*run)(void) = (int (*)(void))dlsym(plugin, "plugin_run");
        int rc = run ? run() : -1;
        if (rc) {
            fprintf(stderr, "%s: %d\n", argv[i], rc);
            return 1;
        }
    }
    return 0;
}
