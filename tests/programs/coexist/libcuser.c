/* Opens files, asks for figures and looks symbols up. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    char line[128];
    struct stat stat;
    errno = 5;
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file || !fgets(line, sizeof line, file) || fclose(file) || errno != 5) return 1;
    int fd = open("made", O_CREAT | O_WRONLY | O_EXCL, 0640);
    if (fd < 0 || fstat(fd, &stat) || close(fd) || errno != 5) return 2;
    printf("%.9s mode %o\n", line, stat.st_mode & 0777);
    if (!dlsym(RTLD_DEFAULT, "qsort") || sysconf(_SC_PHYS_PAGES) < 0 || errno != 5) return 3;
    errno = 0;
    fd = open("/no/such", O_RDONLY);
    printf("missing %d errno %d\n", fd, errno);
    /* Pointers of no memory: the kernel says EFAULT. */
    for (long bad = -1; bad < 2; bad++) {
        errno = 0;
        fd = open((char *)bad, O_RDONLY);
        printf("bad %d errno %d\n", fd, errno);
    }
    printf("pages %d\n", sysconf(_SC_PHYS_PAGES) > 0 && sysconf(_SC_AVPHYS_PAGES) > 0);
    errno = 0;
    long unknown = sysconf(-7);
    printf("unknown %ld errno %d\n", unknown, errno);
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    printf("found %d\n", libc && dlsym(libc, "qsort") && !dlsym(libc, "no_such_thing"));
    printf("%s\n", dlerror());
    void (*tell)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "libcwrap_tell");
    if (tell) tell();
    return 0;
}
