/* Asks libc for memory in every way and prints the answers. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

int main(void) {
    struct sysinfo info;
    long page = sysconf(_SC_PAGESIZE);
    errno = 0;
    if (sysinfo(&info)) return 1;
    unsigned long long sysconf_free = sysconf(_SC_AVPHYS_PAGES), sysconf_total = sysconf(_SC_PHYS_PAGES);
    unsigned long long avphys = get_avphys_pages(), phys = get_phys_pages();
    (void)sysconf_total;
    printf("{\"sysinfo_free\":%llu,\"sysinfo_total\":%llu,\"sysconf_free\":%llu,\"avphys\":%llu,\"phys\":%llu,\"errno\":%d}\n",
           (unsigned long long)info.freeram * info.mem_unit, (unsigned long long)info.totalram * info.mem_unit,
           sysconf_free * page, avphys * page, phys * page, errno);
    return 0;
}
