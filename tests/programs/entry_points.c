/* Asks the runtime, a library, for driver functions: lines as those of resolver.c, for each name on the command line. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef int (*newest)(const char *, void **, uint64_t, int *);
typedef int (*versioned)(const char *, void **, unsigned, uint64_t, int *);

static void tell(const char *way, const char *name, int version, int flags, int rc, int status, void *found) {
    Dl_info info = {0};
    if (!found || !dladdr(found, &info)) memset(&info, 0, sizeof info);
    const char *slash = info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
    printf("%s %s %d %d %d %d %s %lx %s\n", way, name, version, flags, rc, status,
           !info.dli_fname ? "-" : slash ? slash + 1 : info.dli_fname,
           (long)((char *)found - (char *)info.dli_fbase),
           info.dli_sname && info.dli_saddr == found ? info.dli_sname : "-");
}

int main(int argc, char **argv) {
    static const unsigned versions[] = {3020, 11030, 12000, 12020, 13050};
    static const char *const forms[][3] = {
        {"newest", "cudaGetDriverEntryPoint", "cudaGetDriverEntryPointByVersion"},
        {"newest-ptsz", "cudaGetDriverEntryPoint_ptsz", "cudaGetDriverEntryPointByVersion_ptsz"},
    };
    void *runtime = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!runtime) return 1;
    for (int form = 0; form < 2; form++) {
        newest first = (newest)dlsym(runtime, forms[form][1]);
        versioned second = (versioned)dlsym(runtime, forms[form][2]);
        if (!first || !second) return 2;
        for (int i = 2; i < argc; i++)
            for (int flags = 0; flags <= 2; flags++) {
                void *found = NULL;
                int status = -1, rc = first(argv[i], &found, flags, &status);
                tell(forms[form][0], argv[i], 0, flags, rc, status, found);
                for (unsigned j = 0; j < sizeof versions / sizeof *versions; j++) {
                    found = NULL;
                    rc = second(argv[i], &found, versions[j], flags, &status);
                    tell(form ? "by-version-ptsz" : "by-version", argv[i], versions[j], flags, rc, status, found);
                }
            }
    }
    return 0;
}
