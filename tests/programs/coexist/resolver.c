/* Asks the driver for every function in every version and stream kind, and prints whose function came.
 * usage: resolver LIBCUDA TABLE   (a line of TABLE: name version flag symbol) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*Ask)(const char *, void **, int, unsigned long long, int *);
typedef int (*AskOld)(const char *, void **, int, unsigned long long);

static const int versions[] = {2000, 2010, 3010, 3020, 4000, 6000, 6050, 7000, 8000, 9000, 10000, 10020, 11010, 11020,
                               11030, 11040, 12000, 12010, 12020, 12050, 12080, 13000, 13010, 13040, 13050, 14000};

int main(int argc, char **argv) {
    char line[512], last[256] = "", name[256];
    void *driver = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    FILE *table = argc > 2 ? fopen(argv[2], "r") : NULL;
    Ask ask = driver ? (Ask)dlsym(driver, "cuGetProcAddress_v2") : NULL;
    AskOld old = driver ? (AskOld)dlsym(driver, "cuGetProcAddress") : NULL;
    if (!table || !ask || !old) return 1;
    /* What a runtime begins with; and names that are none. */
    void *none = (void *)1;
    int rc = ask("", &none, 0, 0, NULL);
    printf("empty %d %p\n", rc, none);
    rc = ask("cuNoSuchFunction", &none, 13000, 0, NULL);
    printf("unknown %d %p\n", rc, none);
    while (fgets(line, sizeof line, table)) {
        if (line[0] == '#' || sscanf(line, "%255s", name) != 1 || !strcmp(name, last)) continue;
        strcpy(last, name);
        for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
            for (unsigned long long flag = 0; flag < 3; flag++) {
                void *found = NULL, *again = NULL;
                int status = -1;
                Dl_info info = {0};
                int rc = ask(name, &found, versions[v], flag, &status);
                int rc_old = old(name, &again, versions[v], flag);
                if (rc != rc_old || found != again) return 2;
                if (found && !dladdr(found, &info)) return 3;
                const char *file = found ? strrchr(info.dli_fname, '/') + 1 : "-";
                /* The driver's stubs share their code, so that an address has no one name: compare with the symbol's. */
                printf("%s %d %llu %d %d %s", name, versions[v], flag, rc, status, file);
                printf(" %s %d\n", info.dli_sname ? info.dli_sname : "-",
                       found && info.dli_sname ? dlsym(driver, info.dli_sname) == found : 0);
            }
        }
    }
    return 0;
}
