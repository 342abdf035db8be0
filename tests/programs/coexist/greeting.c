/* What a helper does: prints, opens, forks, waits. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    char line[64];
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file || !fgets(line, sizeof line, file) || fclose(file)) return 1;
    pid_t child = fork();
    if (!child) _exit(sysconf(_SC_PHYS_PAGES) > 0 ? 4 : 1);
    int status;
    if (waitpid(child, &status, 0) != child) return 2;
    printf("%.8s %d\n", line, WEXITSTATUS(status));
    return 0;
}
