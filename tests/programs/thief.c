/* Closes every descriptor that it did not open and puts a file of its own in the place of each. */
#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sysinfo info;
    if (argc < 2 || sysinfo(&info)) return 1;
    int file = open(argv[1], O_CREAT | O_WRONLY, 0600);
    if (file < 0) return 1;
    for (int fd = 3; fd < 1024; fd++)
        if (fd != file && dup2(file, fd) < 0) return 1;
    return sysinfo(&info) != 0;
}
