/* Another preload: hooks getpid, counts, and calls what is behind it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/types.h>

int interposed;

pid_t getppid(void) {
    pid_t (*real)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "getppid");
    interposed++;
    return real ? real() : -1;
}
