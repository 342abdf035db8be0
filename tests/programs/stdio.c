/* Reads memory files through C stdio. */
#include <stdio.h>

int main(void) {
    char line[256];
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file || !fgets(line, sizeof line, file)) return 1;
    return fclose(file) != 0;
}
