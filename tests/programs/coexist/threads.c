/* 256 threads on the smallest stack that there is, each with calls of every kind: the sum of all fits. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

int cuMemFree_v2(unsigned long long);
int cuMemGetInfo_v2(unsigned long *, unsigned long *);
static pthread_barrier_t barrier;
static _Thread_local long own;

static void *work(void *number) {
    unsigned long free, total;
    struct sysinfo info;
    own = (long)number;
    pthread_barrier_wait(&barrier);
    int rc = cuMemGetInfo_v2(&free, &total) | cuMemFree_v2(4096 + own) | sysinfo(&info);
    rc |= sysconf(_SC_PHYS_PAGES) < 0;
    int fd = open("/proc/meminfo", O_RDONLY);
    rc |= fd < 0 || close(fd) || !dlsym(RTLD_DEFAULT, "qsort");
    return (void *)(rc || own != (long)number ? 1L : 0L);
}

int main(int argc, char **argv) {
    long count = argc > 1 ? atol(argv[1]) : 256, failed = 0;
    pthread_t thread[256];
    pthread_attr_t small;
    pthread_attr_init(&small);
    if (count > 256 || pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN)) return 1;
    pthread_barrier_init(&barrier, NULL, count);
    for (long i = 0; i < count; i++)
        if (pthread_create(&thread[i], &small, work, (void *)i)) return 2;
    for (long i = 0; i < count; i++) {
        void *result;
        pthread_join(thread[i], &result);
        failed += (long)result;
    }
    printf("%ld of %ld failed\n", failed, count);
    return failed != 0;
}
