/* Asks for memory figures, and says what it itself may read afterwards.
   `asker PATH...` prints the errno of opening and reading each, 0 if it may. `asker times N` asks N times.
   `asker gpu` asks CUDA and opens one more library of it in between. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void *ask(void *times) {
    struct sysinfo info;
    for (long i = 0; i < (long)times; i++) sysinfo(&info);
    return NULL;
}

static int gpu(void) {
    size_t free, total;
    void *context, *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    int (*init)(unsigned), (*retain)(void **, int), (*current)(void *), (*info)(size_t *, size_t *);
    if (!cuda) return 1;
    init = dlsym(cuda, "cuInit");
    retain = dlsym(cuda, "cuDevicePrimaryCtxRetain");
    current = dlsym(cuda, "cuCtxSetCurrent");
    info = dlsym(cuda, "cuMemGetInfo_v2");
    if (init(0) || retain(&context, 0) || current(context) || info(&free, &total)) return 1;
    void *runtime = dlopen("libcudart.so.13", RTLD_NOW);
    if (!runtime || !dlsym(runtime, "cudaGetDevice")) return 1;
    return info(&free, &total);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "gpu")) return gpu();
    if (argc > 3 && !strcmp(argv[1], "times")) {
        pthread_t threads[16];
        int number = atoi(argv[3]);
        for (int i = 0; i < number && i < 16; i++)
            if (pthread_create(&threads[i], NULL, ask, (void *)atol(argv[2]))) return 1;
        for (int i = 0; i < number && i < 16; i++) pthread_join(threads[i], NULL);
        return 0;
    }
    ask((void *)1);
    for (int i = 1; i < argc; i++) {
        char byte;
        int fd = open(argv[i], O_RDONLY), error = fd < 0 ? errno : 0;
        if (fd >= 0 && read(fd, &byte, 1) < 0) error = errno;
        if (fd >= 0) close(fd);
        printf("%d %s\n", error, argv[i]);
    }
    return 0;
}
