/* A libcuda.so.1 in front of another: notes where each answer of cuGetProcAddress was put, so that it can be read there
 * after all preloads had their say. Memory is none of its business: all other functions are the other driver's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*lookup4)(const char *, void **, int, uint64_t);
typedef int (*lookup5)(const char *, void **, int, uint64_t, int *);

static struct question {
    char name[96];
    int version, flags, rc;
    void **place, *real;
    const void *asker;
} questions[4096];
static unsigned count;

/* OTHER_DRIVER names the library. */
static void *other(const char *name) {
    static void *library;
    if (!library) library = dlopen(getenv("OTHER_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}

static int note(const char *name, void **function, int version, uint64_t flags, int rc, const void *asker) {
    if (count < sizeof questions / sizeof *questions) {
        struct question *question = &questions[count++];
        strncpy(question->name, name ? name : "NULL", sizeof question->name - 1);
        question->version = version;
        question->flags = (int)flags;
        question->rc = rc;
        question->place = function;
        question->real = function ? *function : NULL;
        question->asker = asker;
    }
    return rc;
}

int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags);
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status);

/* Asked for the lookup itself the answer is this library's, as it is with every driver. */
static void itself(const char *name, void **function, int version) {
    if (!strcmp(name, "cuGetProcAddress")) *function = version < 12000 ? (void *)cuGetProcAddress : cuGetProcAddress_v2;
}

int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    int rc = ((lookup4)other("cuGetProcAddress"))(name, function, version, flags);
    if (!rc) itself(name, function, version);
    return note(name, function, version, flags, rc, __builtin_return_address(0));
}

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    int rc = ((lookup5)other("cuGetProcAddress_v2"))(name, function, version, flags, status);
    if (!rc) itself(name, function, version);
    return note(name, function, version, flags, rc, __builtin_return_address(0));
}

int cuDriverGetVersion(int *version) {
    return ((int (*)(int *))other("cuDriverGetVersion"))(version);
}

static const char *where(const void *address, const char **symbol) {
    Dl_info info;
    *symbol = "-";
    if (!address || !dladdr(address, &info)) return "-";
    if (info.dli_sname && info.dli_saddr == address) *symbol = info.dli_sname;
    const char *slash = strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

/* A line for each question: NAME VERSION FLAGS RC, library and symbol of what was handed out, library and symbol of what
 * lies now where it was put, library of the asker, 1 if the two are the same. Of a place that is no longer the answer's,
 * because it was used again or was on the stack, nothing can be told: "gone". */
void recorded(void) {
    for (unsigned i = 0; i < count; i++) {
        const struct question *question = &questions[i];
        Dl_info info;
        int gone = !question->place || !dladdr(question->place, &info);
        for (unsigned j = i + 1; j < count; j++) gone |= questions[j].place == question->place;
        const char *real, *now = "-", *none;
        const char *real_library = where(question->real, &real);
        const char *now_library = gone ? "gone" : where(*question->place, &now);
        printf("%s %d %d %d %s %s %s %s %s %d\n", *question->name ? question->name : "EMPTY", question->version,
               question->flags, question->rc, real_library, real, now_library, now, where(question->asker, &none),
               !gone && *question->place == question->real);
    }
}
