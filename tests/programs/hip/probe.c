/* Asks in the usual ways whether HIP or NVML is here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(void) {
    const char *names[] = {"hipMalloc", "hipGetProcAddress", "nvmlInit_v2", "nvmlDeviceGetMemoryInfo"};
    for (int i = 0; i < 4; i++) {
        void *found = dlsym(RTLD_DEFAULT, names[i]);
        const char *error = dlerror();
        printf("%s: %s, %s\n", names[i], found ? "there" : "not there", error && !found ? "with a reason" : "no reason");
    }
    printf("%s\n", dlopen("libamdhip64.so.7", RTLD_NOW) ? "loaded" : "no library");
    return 0;
}
