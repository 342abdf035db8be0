/* Calls of functions that are only looked at before they run, each such that every argument shows in what it does: the
 * look itself uses the registers that they came in. At its end the program becomes the one in its arguments. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char line[64];
    struct sysinfo info;
    struct rlimit limit = {7, 7}, before;
    if (argc < 2 || sysinfo(&info)) return 1;
    /* The third argument: a stream, flags, a version. */
    FILE *file = freopen("/proc/meminfo", "r", fopen("/dev/null", "r"));
    if (!file || !fgets(line, sizeof line, file) || strncmp(line, "MemTotal:", 9)) return 2;
    int fd = openat(AT_FDCWD, "/proc/meminfo", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || !(fcntl(fd, F_GETFD) & FD_CLOEXEC) || !(fcntl(fd, F_GETFL) & O_NONBLOCK)) return 3;
    if (!dlvsym(RTLD_DEFAULT, "qsort", "GLIBC_2.17") || dlvsym(RTLD_DEFAULT, "cuInit", "GLIBC_2.17")) return 4;
    /* The fourth. */
    if (prlimit(0, RLIMIT_DATA, NULL, &limit) || getrlimit(RLIMIT_DATA, &before)) return 5;
    if (limit.rlim_cur != before.rlim_cur || limit.rlim_max != before.rlim_max) return 6;
    char *environment[] = {"ONLY=this", NULL};
    execve(argv[1], argv + 1, environment);
    return 7;
}
