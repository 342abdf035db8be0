/* Two forked children and their parent, eight threads each, ask for memory figures until they are killed. */
#include <pthread.h>
#include <stddef.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void *ask(void *unused) {
    (void)unused;
    struct sysinfo info;
    for (;;) sysinfo(&info);
    return NULL;
}

int main(void) {
    pthread_t thread;
    if (fork() > 0) fork();
    for (int i = 1; i < 8; i++)
        if (pthread_create(&thread, NULL, ask, NULL)) return 1;
    ask(NULL);
    return 0;
}
