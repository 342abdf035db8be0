/* Another preload: wraps what this library wraps in libc, the lookup itself included, and counts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

static int opens, fopens, sysconfs, lookups;
void libcwrap_tell(void) { printf("open %d fopen %d sysconf %d dlsym %d\n", opens, fopens, sysconfs, lookups); }

typedef void *(*Lookup)(void *, const char *);
static void *real(const char *name) {
    static Lookup lookup;
    if (!lookup) lookup = (Lookup)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    return lookup ? lookup(RTLD_NEXT, name) : NULL;
}
void *dlsym(void *handle, const char *name) {
    Lookup lookup = (Lookup)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    lookups++;
    return lookup(handle, name);
}
int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    opens++;
    return ((int (*)(const char *, int, ...))real("open"))(path, flags, mode);
}
FILE *fopen(const char *path, const char *mode) {
    fopens++;
    return ((FILE * (*)(const char *, const char *)) real("fopen"))(path, mode);
}
long sysconf(int name) {
    sysconfs++;
    return ((long (*)(int))real("sysconf"))(name);
}
