/* Loads a plugin with a runtime of its own, unloads both, and does so again with the old place taken.
 * usage: reload PLUGIN RUNTIME TIMES */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *wanted;
static char *start, *end;
static int look(struct dl_phdr_info *info, size_t size, void *data) {
    if (!strstr(info->dlpi_name, wanted)) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD) continue;
        char *from = (char *)info->dlpi_addr + part->p_vaddr, *to = from + part->p_memsz;
        if (!start || from < start) start = from;
        if (to > end) end = to;
    }
    return 1;
}

static int there(void) {
    start = end = NULL;
    return dl_iterate_phdr(look, NULL);
}

int main(int argc, char **argv) {
    wanted = argv[2];
    for (int i = 0; i < atoi(argv[3]); i++) {
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        int (*run)(void) = plugin ? (int (*)(void))dlsym(plugin, "plugin_run") : NULL;
        int rc = run ? run() : -1;
        if (rc) {
            printf("%d: %d %s\n", i, rc, run ? "" : dlerror());
            return 1;
        }
        if (!there()) return 2;
        char *from = (char *)((unsigned long)start & ~4095UL);
        size_t size = end - from;
        if (dlclose(plugin)) return 3;
        if (there()) {
            printf("%s stays\n", wanted);
            return 4;
        }
        /* The next time it cannot come to lie here. */
        if (mmap(from, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != from) return 5;
    }
    printf("done\n");
    return 0;
}
