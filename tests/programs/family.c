/* Forks a child that asks for memory, vforks one that execs, then becomes another program. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

static void ask(void) {
    struct sysinfo info;
    if (sysinfo(&info)) _exit(1);
}

static void finish(pid_t child) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) exit(1);
}

int main(void) {
    ask();
    pid_t child = fork();
    if (child == 0) {
        ask();
        _exit(0);
    }
    finish(child);
    child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)0);
        _exit(1);
    }
    finish(child);
    child = vfork();
    if (child == 0) {
        char *argv[] = {"true", 0};
        execv("/bin/true", argv);
        _exit(1);
    }
    finish(child);
    char *argv[] = {"cat", "/proc/meminfo", 0};
    execvp("cat", argv);
    return 1;
}
