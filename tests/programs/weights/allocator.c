/* An allocator that maps memory for each block, and is called by the loader before any constructor has run. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum { ROOM = 64 };

void *malloc(size_t size) {
    size_t whole = (size + ROOM + 4095) & ~(size_t)4095;
    size_t *at = mmap(0, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return 0;
    madvise(at, whole, MADV_NOHUGEPAGE);
    *at = whole;
    return (char *)at + ROOM;
}

void free(void *block) {
    if (block) munmap((char *)block - ROOM, *(size_t *)((char *)block - ROOM));
}

void *calloc(size_t count, size_t size) {
    return malloc(count * size);
}

void *realloc(void *block, size_t size) {
    void *fresh = malloc(size);
    if (fresh && block) {
        size_t room = *(size_t *)((char *)block - ROOM) - ROOM;
        memcpy(fresh, block, room < size ? room : size);
        free(block);
    }
    return fresh;
}
