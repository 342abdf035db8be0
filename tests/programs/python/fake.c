/* Exports what CPython 3.12 or 3.13 does, filled with one thread that runs one function. Asks after it was damaged in
 * many ways: `right VERSION`, `wild VERSION`, `mutated VERSION ROUNDS`, or `none` (asks, and has nothing to show). */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS 4096
#ifndef WITHOUT
uint64_t _PyRuntime[WORDS] __attribute__((aligned(64)));
uint64_t PyCode_Type[64], PyUnicode_Type[64], PyBytes_Type[64];
unsigned long Py_Version;
#define interpreter (_PyRuntime + 1024)
#define thread (_PyRuntime + 1100)
#define c_frame (_PyRuntime + 1200)
#define frame (_PyRuntime + 1300)
#define code (_PyRuntime + 1400)
#define file (_PyRuntime + 1500)
#define name (_PyRuntime + 1600)
#define lines (_PyRuntime + 1700)

static void put(uint64_t *object, int offset, uint64_t value) { memcpy((char *)object + offset, &value, 8); }
static void put4(uint64_t *object, int offset, uint32_t value) { memcpy((char *)object + offset, &value, 4); }

static void text(uint64_t *object, const char *value) {
    put(object, 8, (uint64_t)PyUnicode_Type);
    put(object, 16, strlen(value));
    put(object, 32, 1 << 2 | 32 | 64);
    strcpy((char *)object + 40, value);
}

static void fill(int minor) {
    memset(_PyRuntime, 0, sizeof _PyRuntime);
    int next = 0, threads = 72, head = 40, id = 136, kernel = 144, first = 56, bytecode = 192;
    Py_Version = 0x030c01f0;
    if (minor == 13) {
        Py_Version = 0x030d00f0;
        memcpy(_PyRuntime, "xdebugpy", 8);
        _PyRuntime[1] = Py_Version;
        /* None of them where the real one has it. */
        next = 96, threads = 104, head = 720, id = 200, kernel = 208, first = 80, bytecode = 208;
        int at[][2] = {{5, head}, {8, next}, {9, threads}, {21, 8}, {23, first}, {24, id}, {25, kernel}, {29, 8}, {30, 0},
                       {31, 56}, {33, 70}, {35, 112}, {36, 120}, {37, 128}, {38, 136}, {39, 68}, {43, bytecode}, {65, 16},
                       {66, 32}, {68, 32}, {69, 16}, {70, 40}};
        for (unsigned i = 0; i < sizeof at / sizeof *at; i++) _PyRuntime[at[i][0]] = at[i][1];
    }
    put(_PyRuntime, head, (uint64_t)interpreter);
    put(interpreter, next, 0);
    put(interpreter, threads, (uint64_t)thread);
    put(thread, id, pthread_self());
    put(thread, kernel, syscall(SYS_gettid));
    put(thread, first, minor == 12 ? (uint64_t)c_frame : (uint64_t)frame);
    put(c_frame, 0, (uint64_t)frame);
    put(frame, 0, (uint64_t)code);
    put(frame, 56, (uint64_t)code + bytecode + 2);
    put(code, 8, (uint64_t)PyCode_Type);
    put4(code, 68, 7);
    put(code, 112, (uint64_t)file);
    put(code, 128, (uint64_t)name);
    put(code, 136, (uint64_t)lines);
    text(file, "/fake.py");
    text(name, "Fake.fine");
    put(lines, 8, (uint64_t)PyBytes_Type);
    put(lines, 16, 3);
    memcpy((char *)lines + 32, "\xd7\0\0", 3);
}

static uint64_t random64(void) {
    static uint64_t state;
    if (!state) state = getpid() * 0x9e3779b97f4a7c15u | 1;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
#endif

static void ask(void) {
    if (sysconf(_SC_AVPHYS_PAGES) < 1) abort();
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    if (!strcmp(argv[1], "none")) {
        ask();
        return 0;
    }
#ifndef WITHOUT
    int minor = atoi(argv[2]);
    fill(minor);
    if (!strcmp(argv[1], "right")) {
        ask();
        return 0;
    }
    /* A page with nothing behind it. */
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    uint64_t wild[] = {1, 8, 4095, 4096, 0xdeadbeef000, 0x7fffffffffff, 0x800000000000, -1ull, -8ull, -4096ull, 1ull << 63,
                       (uint64_t)page, (uint64_t)page + 4088, (uint64_t)page + 4096, (uint64_t)&main, (uint64_t)&wild};
    int wilds = sizeof wild / sizeof *wild;
    if (!strcmp(argv[1], "wild")) {
        /* Without each of these there is nothing that could be said. */
        int threads = minor == 12 ? 72 : 104, head = minor == 12 ? 40 : 720, first = minor == 12 ? 56 : 80;
        struct { uint64_t *object; int offset; } pointers[] = {{_PyRuntime, head}, {interpreter, threads}, {thread, first},
            {frame, 0}, {code, 8}, {code, 112}, {code, 128}, {code, 136}, {file, 8}, {name, 8}, {lines, 8}, {frame, 8}};
        for (unsigned i = 0; i < sizeof pointers / sizeof *pointers; i++)
            for (int j = 0; j < wilds; j++) {
                fill(minor);
                put(pointers[i].object, pointers[i].offset, wild[j]);
                ask();
            }
        uint64_t *states[] = {file, name};
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++) {
                fill(minor);
                put(states[i], j ? 16 : 32, j == 0 ? 0 : j == 1 ? -1ull : j == 2 ? 1ull << 40 : 1ull << 31);
                ask();
            }
        /* Lists that come back to themselves. */
        fill(minor), put(frame, 8, (uint64_t)frame), ask();
        fill(minor), put(frame, 8, (uint64_t)(frame + 50)), memcpy(frame + 50, frame, 80);
        put(frame + 50, 8, (uint64_t)frame), ask();
        fill(minor), put(thread, 8, (uint64_t)thread), ask();
        fill(minor), put(thread, minor == 12 ? 136 : 200, 0), ask();
        fill(minor), put(thread, minor == 12 ? 144 : 208, 1), ask();
        fill(minor), put(code, 136, (uint64_t)lines), put(lines, 16, -1ull), ask();
        return 0;
    }
    for (int round = 0, rounds = atoi(argv[3]); round < rounds; round++) {
        fill(minor);
        for (int changes = 1 + random64() % 3; changes; changes--) {
            uint64_t *objects[] = {_PyRuntime, interpreter, thread, c_frame, frame, code, file, name, lines};
            char *object = (char *)objects[random64() % 9] + random64() % 240;
            uint64_t values[] = {random64(), random64() % 4096, wild[random64() % wilds],
                                 (uint64_t)_PyRuntime + random64() % sizeof _PyRuntime, (uint64_t)page + 4096 - random64() % 300};
            memcpy(object, &values[random64() % 5], 1 + random64() % 8);
        }
        ask();
    }
#endif
    return 0;
}
