/* Looks names up in every scope and prints what there is: with a preload beside it, or none, the answers are the same.
 * usage: scopes [local|global LIBRARY] */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *names[] = {"cuInit", "cuMemAlloc_v2", "cuMemAllocAsync_ptsz", "cudaMalloc", "cudaMemGetInfo",
    /* not in any table, though they begin alike */
    "cublasCreate_v2", "cudnnCreate", "curl_easy_init", "cufftPlan1d", "cuMemAlloc_v", "cudaMallocX", "nvmlInitX", ""};

static void tell(const char *scope, void *handle) {
    for (const char **name = names; **name; name++) {
        dlerror();
        void *found = dlsym(handle, *name);
        const char *error = dlerror();
        const char *text = error ? strstr(error, "undefined symbol") : "no error";
        printf("%s %s %s: %s\n", scope, *name, found ? "found" : "absent", text ? text : error);
        found = dlvsym(handle, *name, "NO_SUCH_VERSION");
        error = dlerror();
        printf("%s %s of no version %s, %s\n", scope, *name, found ? "found" : "absent", error ? "error" : "no error");
    }
}

static void *twice(void *out) {
    void *first = dlsym(RTLD_NEXT, "malloc"), *second = dlsym(RTLD_NEXT, "malloc");
    *(int *)out = first && first == second;
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 2) {
        void *library = dlopen(argv[2], RTLD_NOW | (strcmp(argv[1], "global") ? RTLD_LOCAL : RTLD_GLOBAL));
        if (!library) return 1;
        tell("handle", library);
    }
    tell("default", RTLD_DEFAULT);
    tell("next", RTLD_NEXT);
    tell("main", dlopen(NULL, RTLD_NOW));
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        int same = 0;
        if (pthread_create(&thread, NULL, twice, &same) || pthread_join(thread, NULL)) return 1;
        printf("next malloc twice %s\n", same ? "same" : "not the same");
    }
    return 0;
}
