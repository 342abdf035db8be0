/* Forks children that ask, while other threads ask without pause. A child that waits for a lock that a thread of its
 * parent held is ended by its alarm. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop;
static void *ask(void *unused) {
    struct sysinfo info;
    while (!stop) sysinfo(&info);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread[4];
    int hung = 0, rounds = atoi(argv[1]);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&thread[i], NULL, ask, NULL)) return 1;
    for (int i = 0; i < rounds && !hung; i++) {
        int status = -1;
        pid_t child = fork();
        if (!child) {
            struct sysinfo info;
            alarm(20);
            _exit(sysinfo(&info));
        }
        waitpid(child, &status, 0);
        hung += status != 0;
    }
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    printf("%d hung\n", hung);
    return hung != 0;
}
