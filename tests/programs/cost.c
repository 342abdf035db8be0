/* Times calls one by one or in batches, and prints ns as JSON. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int cuMemFree_v2(unsigned long long);
extern int cuMemGetInfo_v2(unsigned long *, unsigned long *);
extern char **environ;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void percentiles(const char *name, double *samples, int count) {
    qsort(samples, count, sizeof *samples, ascending);
    printf("\"%s\":{\"median\":%.1f,\"p99\":%.1f},", name, samples[count / 2], samples[count / 100 * 99]);
}

/* With pauses, so that each of them has a view. */
enum { VIEWS = 100, PAUSE = 10000 };
enum { EVENTS = 200000, BATCHES = 400, BATCH = 2000, STARTS = 400 };
static double samples[EVENTS];

int main(int argc, char **argv) {
    printf("{");
    if (argc > 1 && !strcmp(argv[1], "start")) {
        char *child[] = {"/bin/true", 0};
        for (int i = 0; i < STARTS; i++) {
            double begin = now();
            pid_t pid;
            int status;
            if (posix_spawn(&pid, child[0], 0, 0, child, environ) || waitpid(pid, &status, 0) < 0 || status) return 1;
            samples[i] = now() - begin;
        }
        percentiles("start", samples, STARTS);
        printf("\"end\":0}\n");
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "query")) {
        int count = argc > 2 ? VIEWS : EVENTS;
        unsigned long free, total;
        for (int i = 0; i < count; i++) {
            double begin = now();
            if (cuMemGetInfo_v2(&free, &total)) return 1;
            samples[i] = now() - begin;
            if (count == VIEWS) usleep(PAUSE);
        }
        percentiles("query", samples, count);
        printf("\"end\":0}\n");
        return 0;
    }
    for (int i = 0; i < EVENTS; i++) {
        double begin = now();
        if (cuMemFree_v2(4096 + i)) return 1;
        samples[i] = now() - begin;
    }
    percentiles("event", samples, EVENTS);

    void *libc = dlopen("libc.so.6", RTLD_NOW);
    if (!dlsym(libc, "qsort_r")) return 1;
    for (int i = 0; i < BATCHES; i++) {
        double begin = now();
        for (int j = 0; j < BATCH; j++)
            if (!dlsym(libc, "qsort_r")) return 1;
        samples[i] = (now() - begin) / BATCH;
    }
    percentiles("dlsym", samples, BATCHES);

    for (int i = 0; i < BATCHES; i++) {
        double begin = now();
        for (int j = 0; j < BATCH; j++) {
            int fd = open("/dev/null", O_RDONLY);
            if (fd < 0 || close(fd)) return 1;
        }
        samples[i] = (now() - begin) / BATCH;
    }
    percentiles("open_close", samples, BATCHES);

    for (int i = 0; i < BATCHES; i++) {
        double begin = now();
        for (int j = 0; j < BATCH; j++)
            if (open("/nothing/of/this/name/is/there.txt", O_RDONLY) >= 0) return 1;
        samples[i] = (now() - begin) / BATCH;
    }
    percentiles("open", samples, BATCHES);

    /* Refused at once. */
    for (int i = 0; i < BATCHES; i++) {
        double begin = now();
        for (int j = 0; j < BATCH; j++)
            if (mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) return 1;
        samples[i] = (now() - begin) / BATCH;
    }
    percentiles("mmap", samples, BATCHES);

    for (int i = 0; i < BATCHES; i++) {
        double begin = now();
        for (int j = 0; j < BATCH; j++)
            if (!madvise((void *)1, 0, 0)) return 1;
        samples[i] = (now() - begin) / BATCH;
    }
    percentiles("madvise", samples, BATCHES);

    for (int i = 0; i < BATCHES; i++) {
        double begin = now();
        for (int j = 0; j < BATCH; j++)
            if (sysconf(_SC_CLK_TCK) < 0) return 1;
        samples[i] = (now() - begin) / BATCH;
    }
    percentiles("sysconf", samples, BATCHES);
    printf("\"end\":0}\n");
    return 0;
}
