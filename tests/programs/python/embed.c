/* Loads the CPython named in its first argument late, and asks before, in, and after it, and from a thread beside it. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *ask(void *unused) {
    sysconf(_SC_AVPHYS_PAGES);
    return unused;
}

int main(int argc, char **argv) {
    ask(NULL);
    void *python = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!python) {
        puts(dlerror());
        return 1;
    }
    void (*initialize)(void) = (void (*)(void))dlsym(python, "Py_Initialize");
    int (*run)(const char *) = (int (*)(const char *))dlsym(python, "PyRun_SimpleString");
    int (*finalize)(void) = (int (*)(void))dlsym(python, "Py_FinalizeEx");
    ask(NULL);
    initialize();
    ask(NULL);
    if (run("import os\ndef embedded():\n    os.sysconf('SC_AVPHYS_PAGES')\nembedded()\n")) return 1;
    pthread_t thread;
    pthread_create(&thread, NULL, ask, NULL);
    pthread_join(thread, NULL);
    finalize();
    ask(NULL);
    return 0;
}
