/* Says under whose rights it runs, and reads what a tracer would see. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
    char line[64];
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file || !fgets(line, sizeof line, file)) return 1;
    printf("real %d effective %d preload %s\n", getuid(), geteuid(), getenv("LD_PRELOAD") ? "set" : "unset");
    return 0;
}
