/* Makes children in every way; each that is a process of its own asks, and says who it is. usage: children [ASKER] */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char stack[1 << 16];

static int ask(void) {
    struct sysinfo info;
    return sysinfo(&info);
}
static void finish(const char *how, pid_t child) {
    int status = -1;
    if (child > 0) waitpid(child, &status, __WALL);
    printf("%s %d %d\n", how, child, status);
    fflush(stdout);
}
static int body(void *unused) { return ask(); }

int main(int argc, char **argv) {
    char *asker[] = {argc > 1 ? argv[1] : "/bin/true", NULL};
    printf("self %d 0\n", getpid());
    fflush(stdout);
    if (ask()) return 1;
    pid_t child = fork();
    if (!child) _exit(ask());
    finish("fork", child);
    child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!child) _exit(ask());
    finish("clone", child);
    child = clone(body, stack + sizeof stack, SIGCHLD, NULL);
    finish("clone-body", child);
    child = fork();
    if (!child) {
        /* A child that asks nothing itself has one that does. */
        pid_t grandchild = fork();
        if (!grandchild) _exit(ask());
        int status;
        _exit(waitpid(grandchild, &status, 0) != grandchild || status);
    }
    finish("grandfork", child);
    child = vfork();
    if (!child) {
        execve(asker[0], asker, environ);
        _exit(127);
    }
    finish("vfork", child);
    if (posix_spawn(&child, asker[0], NULL, NULL, asker, environ)) return 2;
    finish("spawn", child);
    child = clone(body, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    finish("borrower", child);
    return ask();
}
