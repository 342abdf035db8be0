/* Asks the driver for functions, in every way that there is, and tells for each answer where it lies.
 *
 * resolver NAMES VERSION...: for each name in the file NAMES (one a line, an empty line is the empty name, "NULL" no name
 * at all) with flags 0, 1 and 2 and each version. A line of output: WAY NAME VERSION FLAGS RC STATUS LIBRARY OFFSET SYMBOL.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*lookup4)(const char *, void **, int, uint64_t);
typedef int (*lookup5)(const char *, void **, int, uint64_t, int *);

enum { UNTOUCHED = 0x5a5a };

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void tell(const char *way, const char *name, int version, int flags, int rc, int status, void *found) {
    static void *last;
    static Dl_info info;
    if (found != last && (!found || found == (void *)UNTOUCHED || !dladdr(found, &info))) memset(&info, 0, sizeof info);
    last = found;
    printf("%s %s %d %d %d %d ", way, !name ? "NULL" : *name ? name : "EMPTY", version, flags, rc, status);
    if (info.dli_fbase)
        printf("%s %lx %s\n", base_name(info.dli_fname), (long)((char *)found - (char *)info.dli_fbase),
               info.dli_sname && info.dli_saddr == found ? info.dli_sname : "-");
    else
        printf("- %lx -\n", (long)found);
}

static void ask4(const char *way, lookup4 lookup, const char *name, int version, int flags) {
    void *found = (void *)UNTOUCHED;
    int rc = lookup(name, &found, version, flags);
    tell(way, name, version, flags, rc, 0, found);
}

static void ask5(const char *way, lookup5 lookup, const char *name, int version, int flags, int with_status) {
    void *found = (void *)UNTOUCHED;
    int status = UNTOUCHED;
    int rc = lookup(name, &found, version, flags, with_status ? &status : NULL);
    tell(way, name, version, flags, rc, status, found);
}

int main(int argc, char **argv) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    FILE *names = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (!driver || !names) return 2;
    lookup4 first = (lookup4)dlsym(driver, "cuGetProcAddress");
    lookup5 second = (lookup5)dlsym(driver, "cuGetProcAddress_v2");
    lookup5 per_thread = (lookup5)dlsym(driver, "cuGetProcAddress_v2_ptsz");
    void *own_first = NULL, *own_second = NULL;
    if (!first || !second) return 3;
    if (second("cuGetProcAddress", &own_first, 11030, 0, NULL)) return 4;
    if (second("cuGetProcAddress", &own_second, 12000, 0, NULL)) return 5;

    static char line[256];
    int reckless = 0;
    while (fgets(line, sizeof line, names)) {
        line[strcspn(line, "\n")] = 0;
        const char *name = strcmp(line, "NULL") ? line : NULL;
        reckless |= !name;
        for (int i = 2; i < argc; i++)
            for (int flags = 0; flags <= 2; flags++) {
                int version = atoi(argv[i]);
                ask4("first", first, name, version, flags);
                ask5("second", second, name, version, flags, 1);
                ask5("no-status", second, name, version, flags, 0);
                ask4("own-first", (lookup4)own_first, name, version, flags);
                ask5("own-second", (lookup5)own_second, name, version, flags, 1);
                if (per_thread) ask5("per-thread", per_thread, name, version, flags, 1);
            }
    }
    /* Nowhere to put the answer, which NVIDIA's driver does not survive, as little as no name. */
    if (reckless) printf("nowhere cuMemAlloc 3020 0 %d 0 - 0 -\n", second("cuMemAlloc", NULL, 3020, 0, NULL));
    return 0;
}
