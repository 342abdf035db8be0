/* Asks for memory figures in the ways that its arguments say, and prints each answer: the way, free and total. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int (*Info)(size_t *, size_t *);
typedef int (*Half)(unsigned *, unsigned *);

static void *cuda, *runtime, *nvml;

static void *of(void *library, const char *name) {
    void *found = library ? dlsym(library, name) : 0;
    if (!found) {
        fprintf(stderr, "no %s\n", name);
        exit(1);
    }
    return found;
}

static void *open_library(void **library, const char *name) {
    if (!*library) *library = dlopen(name, RTLD_NOW);
    if (!*library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return *library;
}

static void driver(void) {
    void *context = 0;
    open_library(&cuda, "libcuda.so.1");
    ((int (*)(unsigned))of(cuda, "cuInit"))(0);
    ((int (*)(void **, int))of(cuda, "cuDevicePrimaryCtxRetain"))(&context, 0);
    ((int (*)(void *))of(cuda, "cuCtxSetCurrent"))(context);
}

static void print(const char *way, size_t free, size_t total) { printf("%s %zu %zu\n", way, free, total); }

static void from_text(const char *way, char *text) {
    size_t free = 0, total = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(0, "\n")) {
        sscanf(line, "MemFree: %zu kB", &free);
        sscanf(line, "MemTotal: %zu kB", &total);
    }
    print(way, free << 10, total << 10);
}

static void from_stream(const char *way, FILE *stream) {
    char text[8192];
    size_t got = fread(text, 1, sizeof text - 1, stream);
    text[got] = 0;
    from_text(way, text);
}

static void from_descriptor(const char *way, int fd) {
    char text[8192];
    ssize_t got = read(fd, text, sizeof text - 1);
    text[got < 0 ? 0 : got] = 0;
    from_text(way, text);
}

static void ask(const char *way) {
    size_t free = 0, total = 0;
    if (!strcmp(way, "driver")) {
        driver();
        int rc = ((Info)of(cuda, "cuMemGetInfo_v2"))(&free, &total);
        print(way, rc ? 0 : free, rc ? 0 : total);
    } else if (!strcmp(way, "half")) {
        driver();
        unsigned small = 0, all = 0;
        ((Half)of(cuda, "cuMemGetInfo"))(&small, &all);
        print(way, small, all);
    } else if (!strcmp(way, "by-address")) {
        driver();
        Info found = 0;
        int status;
        typedef int (*Lookup)(const char *, void *, int, uint64_t, int *);
        ((Lookup)of(cuda, "cuGetProcAddress_v2"))("cuMemGetInfo", &found, 13000, 0, &status);
        found(&free, &total);
        print(way, free, total);
    } else if (!strcmp(way, "only-free")) {
        driver();
        ((Info)of(cuda, "cuMemGetInfo_v2"))(&free, 0);
        print(way, free, 0);
    } else if (!strcmp(way, "only-total")) {
        driver();
        ((Info)of(cuda, "cuMemGetInfo_v2"))(0, &total);
        print(way, 0, total);
    } else if (!strcmp(way, "device-total")) {
        driver();
        ((int (*)(size_t *, int))of(cuda, "cuDeviceTotalMem_v2"))(&total, 0);
        print(way, 0, total);
    } else if (!strcmp(way, "fails")) {
        open_library(&cuda, "libcuda.so.1");
        free = total = 7;
        int rc = ((Info)of(cuda, "cuMemGetInfo_v2"))(&free, &total);
        printf("%s %zu %zu %d\n", way, free, total, rc);
    } else if (!strcmp(way, "runtime")) {
        open_library(&runtime, getenv("ASK_CUDART") ? getenv("ASK_CUDART") : "libcudart.so.13");
        ((Info)of(runtime, "cudaMemGetInfo"))(&free, &total);
        print(way, free, total);
    } else if (!strcmp(way, "properties")) {
        open_library(&runtime, getenv("ASK_CUDART") ? getenv("ASK_CUDART") : "libcudart.so.13");
        static size_t properties[1024];
        ((int (*)(void *, int))of(runtime, "cudaGetDeviceProperties"))(properties, 0);
        print(way, 0, properties[288 / 8]);
    } else if (!strcmp(way, "nvml") || !strcmp(way, "nvml-2")) {
        open_library(&nvml, "libnvidia-ml.so.1");
        void *device;
        uint64_t info[5] = {0};
        ((int (*)(void))of(nvml, "nvmlInit_v2"))();
        ((int (*)(unsigned, void **))of(nvml, "nvmlDeviceGetHandleByIndex_v2"))(0, &device);
        if (!strcmp(way, "nvml")) {
            int rc = ((int (*)(void *, uint64_t *))of(nvml, "nvmlDeviceGetMemoryInfo"))(device, info);
            printf("%s %zu %zu %zu %d\n", way, info[1], info[0], info[2], rc);
        } else {
            info[0] = 40 | 2 << 24;
            int rc = ((int (*)(void *, uint64_t *))of(nvml, "nvmlDeviceGetMemoryInfo_v2"))(device, info);
            printf("%s %zu %zu %zu %d\n", way, info[3], info[1], info[4] + info[2], rc);
        }
    } else if (!strcmp(way, "sysinfo")) {
        struct sysinfo info;
        sysinfo(&info);
        print(way, info.freeram * info.mem_unit, info.totalram * info.mem_unit);
    } else if (!strcmp(way, "sysconf")) {
        long page = sysconf(_SC_PAGESIZE);
        print(way, sysconf(_SC_AVPHYS_PAGES) * page, sysconf(_SC_PHYS_PAGES) * page);
    } else if (!strcmp(way, "pages")) {
        print(way, get_avphys_pages() * getpagesize(), get_phys_pages() * getpagesize());
    } else if (!strcmp(way, "fopen")) {
        FILE *stream = fopen("/proc/meminfo", "re");
        from_stream(way, stream);
        fclose(stream);
    } else if (!strcmp(way, "freopen")) {
        FILE *stream = fopen("/dev/null", "r");
        stream = freopen("/proc/meminfo", "r", stream);
        from_stream(way, stream);
        fclose(stream);
    } else if (!strcmp(way, "open")) {
        int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        from_descriptor(way, fd);
        close(fd);
    } else if (!strcmp(way, "openat")) {
        int fd = openat(AT_FDCWD, "/proc/meminfo", O_RDONLY);
        from_descriptor(way, fd);
        close(fd);
    } else if (!strcmp(way, "again")) {
        /* What a descriptor is for a program: the lowest, with its flags, read twice, not to be written. */
        int lowest = dup(0), exec = open("/proc/meminfo", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        close(lowest);
        int fd = open("/proc/meminfo", O_RDONLY | O_NONBLOCK);
        char first[8192], second[8192];
        ssize_t a = read(fd, first, sizeof first);
        lseek(fd, 0, SEEK_SET);
        ssize_t b = read(fd, second, sizeof second);
        printf("again lowest %d same %d read-only %d flags %d cloexec %d %d writes %zd\n", fd == lowest,
               a > 0 && a == b && !memcmp(first, second, a), (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY,
               (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, fcntl(exec, F_GETFD), fcntl(fd, F_GETFD), write(fd, "x", 1));
    } else if (!strncmp(way, "cat:", 4)) {
        char text[8192];
        FILE *stream = fopen(way + 4, "r");
        size_t got = stream ? fread(text, 1, sizeof text - 1, stream) : 0;
        text[got] = 0;
        printf("%s", text);
        if (stream) fclose(stream);
    } else {
        fprintf(stderr, "how? %s\n", way);
        exit(1);
    }
    fflush(stdout);
}

static void *in_thread(void *argument) {
    char *way = argument, *colon = strchr(way, ':');
    *colon = 0;
    pthread_setname_np(pthread_self(), way);
    ask(colon + 1);
    return 0;
}

int main(int count, char **arguments) {
    for (int at = 1; at < count; at++) {
        char *way = arguments[at];
        if (!strncmp(way, "thread:", 7)) {
            pthread_t thread;
            pthread_create(&thread, 0, in_thread, way + 7);
            pthread_join(thread, 0);
        } else if (!strncmp(way, "sleep:", 6)) {
            usleep(atoi(way + 6) * 1000);
        } else if (!strncmp(way, "fork:", 5)) {
            fflush(stdout);
            pid_t child = fork();
            if (!child) {
                ask(way + 5);
                _exit(0);
            }
            waitpid(child, 0, 0);
        } else {
            ask(way);
        }
    }
    return 0;
}
