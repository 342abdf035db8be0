/* Prints the descriptors that it was started with: numbers, and what lies behind those that have no common meaning. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char path[64], target[256];
    for (int fd = 0; fd < 4096; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, target, sizeof target - 1);
        if (size < 0) continue;
        target[size] = 0;
        /* A pipe has another number each time. */
        for (char *at = target; *at; at++)
            if (*at == ':') *at = 0;
        printf("descriptor %d %s\n", fd, fd < 3 ? "" : target);
    }
    return 0;
}
