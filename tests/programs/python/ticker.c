/* A library that asks from a signal handler, wherever the program just is. */
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static void ask(int number) {
    (void)number;
    sysconf(_SC_AVPHYS_PAGES);
}

void tick(int microseconds) {
    struct sigaction action = {.sa_handler = ask, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, microseconds}, {0, microseconds}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}
