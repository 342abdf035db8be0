/* Asks for limits in every way and prints those that bound memory; the last lines only set one, or ask for others. Asked
   before any question about memory, they are no matter of a trace. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void print(const char *name, unsigned long long soft, unsigned long long hard) {
    printf("%s %lld %lld\n", name, soft == RLIM_INFINITY ? -1 : (long long)soft, hard == RLIM_INFINITY ? -1 : (long long)hard);
}

int main(void) {
    struct rlimit limit = {1u << 20, 3u << 20}, other;
    struct rlimit64 limit64;
    if (setrlimit(RLIMIT_MEMLOCK, &limit)) return 1;
    if (getrlimit(RLIMIT_AS, &other) || prlimit(0, RLIMIT_DATA, NULL, &other)) return 10;
    struct sysinfo info;
    if (access("trace", F_OK) == 0 || sysinfo(&info)) return 11;
    errno = 0;
    if (getrlimit(RLIMIT_MEMLOCK, &limit)) return 2;
    print("memlock", limit.rlim_cur, limit.rlim_max);
    if (getrlimit64(RLIMIT_DATA, &limit64)) return 3;
    print("data", limit64.rlim_cur, limit64.rlim_max);
    if (prlimit(0, RLIMIT_AS, NULL, &limit)) return 4;
    print("as", limit.rlim_cur, limit.rlim_max);
    if (prlimit64(getpid(), RLIMIT_MEMLOCK, NULL, &limit64)) return 5;
    print("memlock", limit64.rlim_cur, limit64.rlim_max);

    if (getrlimit(RLIMIT_NOFILE, &other) || prlimit(0, RLIMIT_STACK, NULL, &other)) return 6;
    if (getrlimit(RLIMIT_DATA, &limit) || prlimit(0, RLIMIT_DATA, &limit, NULL)) return 7;
    print("data", limit.rlim_cur, limit.rlim_max);
    if (errno) return 8;
    if (getrlimit(99, &limit) != -1 || errno != EINVAL) return 9;
    return 0;
}
