/* Starts NVIDIA's runtime, which looks up its driver's functions, and lets the recording driver tell what it holds then.
 * LINKED: the program is linked with the runtime; else its argument is the runtime, or a library that has one inside. */
#include <dlfcn.h>
#include <stdio.h>

#if defined(LINKED) || defined(CARRIED)
int cudaGetDeviceCount(int *count);
#endif

#ifdef CARRIED
/* A library with a runtime inside. */
int start_runtime(int *count) {
    return cudaGetDeviceCount(count);
}
#else
int main(int argc, char **argv) {
    int count = -1;
#ifdef LINKED
    int rc = cudaGetDeviceCount(&count);
#else
    void *runtime = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*get)(int *) = runtime ? (int (*)(int *))dlsym(runtime, "start_runtime") : NULL;
    if (runtime && !get) get = (int (*)(int *))dlsym(runtime, "cudaGetDeviceCount");
    if (!get) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int rc = get(&count);
#endif
    printf("cudaGetDeviceCount %d\n", rc);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    void (*recorded)(void) = driver ? (void (*)(void))dlsym(driver, "recorded") : NULL;
    if (!recorded) return 2;
    recorded();
    return 0;
}
#endif
