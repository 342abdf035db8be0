/* Asks for memory figures in a signal handler while the program asks too, and prints how often each did. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <unistd.h>

enum { ROUNDS = 200 };
static volatile sig_atomic_t handled, wrong;

static void handle(int number) {
    struct sysinfo info;
    int before = errno = 77;
    int fd = open("/proc/meminfo", O_RDONLY);
    if (sysinfo(&info) || fd < 0 || close(fd) || errno != before) wrong++;
    handled++;
}

int main(void) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGALRM, &action, NULL)) return 1;
    for (int round = 0; round < ROUNDS; round++) {
        struct sysinfo info;
        /* Once in each round, somewhere in the middle of the call. */
        struct itimerval once = {{0, 0}, {0, 1 + round * 37 % 1000}};
        int before = handled;
        if (setitimer(ITIMER_REAL, &once, NULL) || sysinfo(&info)) return 2;
        while (handled == before) usleep(100);
    }
    printf("%d %d %d\n", ROUNDS, handled, wrong);
    return 0;
}
