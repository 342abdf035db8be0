/* Forks while another thread walks the loader's list and so holds its lock; the child, in which nobody will ever
 * release it, asks for all that a child may ask. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t inside, done;

static int wait_here(struct dl_phdr_info *info, size_t size, void *data) {
    pthread_barrier_wait(&inside);
    pthread_barrier_wait(&done);
    return 1;
}
static void *walk(void *unused) {
    dl_iterate_phdr(wait_here, NULL);
    return NULL;
}

static int ask(void) {
    struct sysinfo info;
    int fd = open("/proc/meminfo", O_RDONLY);
    return sysinfo(&info) || fd < 0 || close(fd) || sysconf(_SC_PHYS_PAGES) < 0 || !dlsym(RTLD_DEFAULT, "qsort");
}

int main(void) {
    pthread_t thread;
    int status = -1;
    /* The parent may wait for the lock as well. */
    alarm(40);
    pthread_barrier_init(&inside, NULL, 2);
    pthread_barrier_init(&done, NULL, 2);
    if (pthread_create(&thread, NULL, walk, NULL)) return 1;
    pthread_barrier_wait(&inside);
    pid_t child = fork();
    if (!child) {
        alarm(20);
        pid_t grandchild = fork();
        int below = -1;
        if (!grandchild) _exit(ask());
        _exit(ask() || waitpid(grandchild, &below, 0) != grandchild || below);
    }
    if (waitpid(child, &status, 0) != child) return 2;
    pthread_barrier_wait(&done);
    pthread_join(thread, NULL);
    printf("child %x, parent %d\n", status, ask());
    return 0;
}
