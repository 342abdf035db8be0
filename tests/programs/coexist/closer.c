/* Opens a library, keeps one of its functions, closes it, and calls the function. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    FILE *(*open)(const char *, const char *) = library ? (FILE * (*)(const char *, const char *)) dlsym(library, "fopen") : NULL;
    if (!open || dlclose(library)) return 1;
    FILE *file = open("/dev/null", "r");
    puts(file && !fclose(file) ? "still works" : "no file");
    return 0;
}
