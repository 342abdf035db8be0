/* A library whose constructor asks, and ends the process before main. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

__attribute__((constructor)) static void begin(void) {
    struct sysinfo info;
    FILE *file = fopen("/proc/meminfo", "r");
    printf("%d %d %d\n", sysinfo(&info), file != NULL, dlsym(RTLD_NEXT, "malloc") != NULL);
    if (getenv("EARLY_EXIT")) exit(6);
}
int early_linked(void) { return 0; }
