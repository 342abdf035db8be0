/* Opens the preload named, and prints its table: a row a line. */
#include <dlfcn.h>
#include <stdio.h>

struct row {
    struct { const char *at; size_t size; } text[5];
    unsigned number[4];
};

int main(int argc, char **argv) {
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*hook)(size_t, struct row *) = library ? (int (*)(size_t, struct row *))dlsym(library, "kvtrace_hook") : NULL;
    if (!hook) return 1;
    struct row row;
    for (size_t at = 0; hook(at, &row) == 1; at++) {
        for (int i = 0; i < 5; i++) printf("%.*s|", (int)row.text[i].size, row.text[i].at);
        printf("%u %u %u %u\n", row.number[0], row.number[1], row.number[2], row.number[3]);
    }
    return 0;
}
