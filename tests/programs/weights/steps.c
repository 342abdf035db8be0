/* Does to files what its arguments say, step by step. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

static char *buffer;
enum { SIZE = 1 << 20 };

static void need(int fine, const char *step) {
    if (!fine) {
        perror(step);
        exit(1);
    }
}

static void read_all(int fd) {
    ssize_t got;
    while ((got = read(fd, buffer, SIZE)) > 0) {}
    need(got == 0, "read");
}

static char *map(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY);
    struct stat stat;
    need(fd >= 0 && !fstat(fd, &stat), path);
    *size = stat.st_size;
    char *at = mmap(0, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    need(at != MAP_FAILED, "mmap");
    close(fd);
    return at;
}

/* As a kernel that has no cachestat. */
static void forbid(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 451, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    need(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    need(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

int main(int argc, char **argv) {
    need(!posix_memalign((void **)&buffer, 4096, SIZE), "memory");
    for (int i = 1; i < argc; i++) {
        const char *step = argv[i];
        const char *path = i + 1 < argc ? argv[i + 1] : "";
        struct sysinfo info;
        size_t size;
        if (!strcmp(step, "query")) {
            need(!sysinfo(&info), step);
            continue;
        } else if (!strcmp(step, "enosys")) {
            forbid();
            continue;
        } else if (!strcmp(step, "fork")) {
            int status;
            pid_t child = fork();
            if (child) {
                need(waitpid(child, &status, 0) == child && !status, step);
                return 0;
            }
            continue;
        }
        i++;
        if (!strcmp(step, "chdir")) {
            need(!chdir(path), step);
        } else if (!strcmp(step, "open")) {
            int fd = open(path, O_RDONLY);
            need(fd >= 0 && !close(fd), path);
        } else if (!strcmp(step, "write")) {
            int fd = open(path, O_WRONLY);
            need(fd >= 0 && !close(fd), path);
        } else if (!strcmp(step, "fail")) {
            errno = 0;
            printf("%d ", open(path, O_RDONLY));
            printf("%d\n", errno);
        } else if (!strcmp(step, "at")) {
            char *name = strdup(path), *slash = strrchr(name, '/');
            *slash = 0;
            int folder = open(name, O_RDONLY | O_DIRECTORY), fd = openat(folder, slash + 1, O_RDONLY);
            need(fd >= 0, path);
            read_all(fd);
            close(fd);
        } else if (!strcmp(step, "read")) {
            int fd = open(path, O_RDONLY);
            need(fd >= 0, path);
            read_all(fd);
            close(fd);
        } else if (!strcmp(step, "direct")) {
            int fd = open(path, O_RDONLY | O_DIRECT);
            need(fd >= 0, path);
            read_all(fd);
            close(fd);
        } else if (!strcmp(step, "fopen")) {
            FILE *file = fopen(path, "rb");
            need(file != 0, path);
            while (fread(buffer, 1, SIZE, file) > 0) {}
            fclose(file);
        } else if (!strcmp(step, "map")) {
            volatile char *at = map(path, &size), sum = 0;
            need(!madvise((char *)at, size, MADV_SEQUENTIAL), "madvise");
            for (size_t page = 0; page < size; page += 4096) sum += at[page];
        } else if (!strcmp(step, "advise")) {
            int fd = open(path, O_RDONLY);
            need(fd >= 0 && !posix_fadvise(fd, 4096, 8192, POSIX_FADV_WILLNEED) && !close(fd), path);
        } else if (!strcmp(step, "stale")) {
            /* Other memory where the file was. */
            char *at = map(path, &size);
            need(!munmap(at, size), "munmap");
            int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
            need(mmap(at, size, PROT_READ, flags, -1, 0) == at, "mmap");
            need(!madvise(at, size, MADV_DONTNEED), "madvise");
        } else if (!strcmp(step, "lock")) {
            /* Held to the end, by a descriptor that no hook has seen. */
            int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0);
            struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
            need(fd >= 0 && !fcntl(fd, F_SETLK, &lock), path);
        } else if (!strcmp(step, "locked")) {
            pid_t child = fork();
            if (!child) {
                int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0);
                struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
                need(fd >= 0 && !fcntl(fd, F_GETLK, &lock), path);
                puts(lock.l_type == F_UNLCK ? "free" : "locked");
                fflush(stdout);
                _exit(0);
            }
            waitpid(child, 0, 0);
        } else if (!strcmp(step, "map-shared")) {
            int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0);
            need(fd >= 0 && mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED, path);
        } else {
            fprintf(stderr, "no step %s\n", step);
            return 2;
        }
    }
    return 0;
}
