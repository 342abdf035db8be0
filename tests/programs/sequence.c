/* Does what stdin says, in several processes of several threads, and prints at each check what each process holds.
 *
 * Lines are "PROCESS THREAD OPERATION SLOT A B C" or "check". Between two checks the threads run side by side, each on
 * its own slots, which go on to the next thread at a check. Lines of thread -1 are run at the check by each process
 * alone. Calls that fail are part of the game: nothing here looks at a result but to know what there is to free. */
#define _GNU_SOURCE
#include "sequence.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_OPS = 4096, SLOTS = 24, MAPPINGS = 3, PROCESSES = 4, GRANULE = 2 << 20 };

typedef enum { EMPTY, ADDRESS, ARRAY, MIPMAP, MANAGED, HOST, REGISTERED, PHYSICAL, GRAPH, POOL, WINDOW } Kind;
typedef struct {
    Kind kind;
    u64 value, last; /* what it is; what it was when it was last freed */
    size_t size;
    int holders;
    u64 mapped[MAPPINGS];
    void *graph, *executable;
} Slot;
typedef struct { int process, thread; char name[12]; u64 slot, a, b, c; } Op;

static Op ops[MOST_OPS];
static int op_count, processes, threads, self;
static Slot slots[SLOTS];
static int mail[PROCESSES][2]; /* a datagram socket pair towards each process */
static pthread_barrier_t *everybody;
static void *context;

static void meet(void) { pthread_barrier_wait(everybody); }

static Properties properties(int host) {
    Properties properties = {.kind = 1, .handle_types = 1, .location = host ? 2 : 1};
    return properties;
}

static void unmap(Slot *slot, int at) {
    if (!slot->mapped[at]) return;
    cuMemUnmap(slot->mapped[at], slot->size);
    cuMemAddressFree(slot->mapped[at], slot->size);
    slot->mapped[at] = 0;
}

/* Frees what a slot holds, by another function of those that may where `other` is odd. */
static void empty(Slot *slot, u64 other) {
    slot->last = slot->value;
    switch (slot->kind) {
    case EMPTY: return;
    case ADDRESS:
    case MANAGED:
        if (other % 3 == 0) cuMemFree_v2(slot->value);
        else if (other % 3 == 1) cuMemFreeAsync(slot->value, NULL);
        else cuMemFreeAsync_ptsz(slot->value, NULL);
        break;
    case ARRAY: cuArrayDestroy(slot->value); break;
    case MIPMAP: cuMipmappedArrayDestroy(slot->value); break;
    case HOST: cuMemFreeHost(slot->value); break;
    case REGISTERED:
        cuMemHostUnregister(slot->value);
        munmap((void *)slot->value, slot->size);
        break;
    case PHYSICAL:
        /* Handle first or mappings first. */
        for (int at = 0; other % 2 && at < MAPPINGS; at++) unmap(slot, at);
        for (; slot->holders; slot->holders--) cuMemRelease(slot->value);
        for (int at = 0; at < MAPPINGS; at++) unmap(slot, at);
        break;
    case GRAPH:
        if (other % 2) cuMemFreeAsync(slot->value, NULL);
        else cuMemFree_v2(slot->value);
        cuGraphExecDestroy(slot->executable);
        cuGraphDestroy(slot->graph);
        break;
    case POOL: {
        /* Not the one that other threads allocate from just now. */
        u64 current = 0;
        if (cuDeviceGetMemPool(&current, 0) || current == slot->value) return;
        cuMemPoolDestroy(slot->value);
        break;
    }
    case WINDOW:
        cuIpcCloseMemHandle(slot->value);
        break;
    }
    slot->kind = EMPTY;
}

static void fill(Slot *slot, Kind kind, int rc, u64 value, size_t size) {
    if (rc) return;
    *slot = (Slot){.kind = kind, .value = value, .last = slot->last, .size = size, .holders = 1};
}

static void fresh(const Op *op, Slot *slot) {
    u64 value = 0;
    size_t pitch;
    int rc;
    if (!strcmp(op->name, "device")) {
        rc = cuMemAlloc_v2(&value, op->a);
        fill(slot, ADDRESS, rc, value, op->a);
    } else if (!strcmp(op->name, "pitch")) {
        rc = cuMemAllocPitch_v2(&value, &pitch, op->a % 5000 + 1, op->b % 3000 + 1, 4);
        fill(slot, ADDRESS, rc, value, 0);
    } else if (!strcmp(op->name, "async")) {
        rc = op->b % 2 ? cuMemAllocAsync(&value, op->a, NULL) : cuMemAllocAsync_ptsz(&value, op->a, NULL);
        fill(slot, ADDRESS, rc, value, op->a);
    } else if (!strcmp(op->name, "array") || !strcmp(op->name, "mipmap")) {
        Shape shape = {op->a % 3000 + 1, op->b % 2000, op->c % 5, 0x20, 4, op->c % 7 == 0 ? 0x80 : op->c % 7 == 1};
        Shape flat = {.width = shape.width, .height = shape.height};
        memcpy(&flat.depth, &(unsigned[]){0x20, 2}, 8);
        if (op->name[0] == 'm') {
            rc = cuMipmappedArrayCreate(&value, &shape, op->c % 6 + 1);
            fill(slot, MIPMAP, rc, value, 0);
        } else {
            rc = op->c % 2 ? cuArray3DCreate_v2(&value, &shape) : cuArrayCreate_v2(&value, &flat);
            fill(slot, ARRAY, rc, value, 0);
        }
    } else if (!strcmp(op->name, "managed")) {
        rc = cuMemAllocManaged(&value, op->a, 1);
        fill(slot, MANAGED, rc, value, op->a);
    } else if (!strcmp(op->name, "host")) {
        rc = cuMemHostAlloc(&value, op->a, 0);
        fill(slot, HOST, rc, value, op->a);
    } else if (!strcmp(op->name, "register")) {
        void *own = mmap(NULL, op->a, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (own == MAP_FAILED) return;
        rc = cuMemHostRegister_v2((u64)own, op->a, 0);
        fill(slot, REGISTERED, rc, (u64)own, op->a);
        if (rc) munmap(own, op->a);
    } else if (!strcmp(op->name, "create")) {
        Properties wanted = properties(op->b % 4 == 0);
        /* Sizes that are not whole granules are refused. */
        size_t size = (op->a % 40 + 1) * GRANULE + (op->b % 16 == 1);
        rc = cuMemCreate(&value, size, &wanted, 0);
        fill(slot, PHYSICAL, rc, value, size);
    } else if (!strcmp(op->name, "graph")) {
        NodeParameters node = {.pool = properties(0), .size = op->a};
        void *graph, *alloc, *executable;
        cuGraphCreate(&graph, 0);
        rc = cuGraphAddMemAllocNode(&alloc, graph, NULL, 0, &node);
        if (op->b % 2 && !rc) cuGraphAddMemFreeNode(&alloc, graph, &alloc, 1, node.address);
        cuGraphInstantiateWithFlags(&executable, graph, 0);
        fill(slot, GRAPH, rc, node.address, op->a);
        slot->graph = graph, slot->executable = executable;
    } else if (!strcmp(op->name, "pool")) {
        Properties wanted = properties(0);
        rc = cuMemPoolCreate(&value, &wanted);
        fill(slot, POOL, rc, value, 0);
        if (!rc && op->b % 2) cuMemPoolSetAttribute(value, 4, &(u64){op->a});
    }
}

static void changed(const Op *op, Slot *slot) {
    u64 value = 0;
    if (!strcmp(op->name, "map") && slot->kind == PHYSICAL) {
        int at = op->a % MAPPINGS;
        if (slot->mapped[at] || cuMemAddressReserve(&value, slot->size, 0, 0, 0)) return;
        if (cuMemMap(value, slot->size, 0, slot->value, 0)) cuMemAddressFree(value, slot->size);
        else slot->mapped[at] = value;
    } else if (!strcmp(op->name, "unmap") && slot->kind == PHYSICAL) {
        unmap(slot, op->a % MAPPINGS);
    } else if (!strcmp(op->name, "retain") && slot->kind == PHYSICAL && slot->mapped[op->a % MAPPINGS]) {
        if (!cuMemRetainAllocationHandle(&value, slot->mapped[op->a % MAPPINGS] + op->b % slot->size)) slot->holders++;
    } else if (!strcmp(op->name, "release") && slot->kind == PHYSICAL && slot->holders) {
        if (!cuMemRelease(slot->value)) slot->holders--;
        int mapped = slot->mapped[0] || slot->mapped[1] || slot->mapped[2];
        if (!slot->holders && !mapped) slot->kind = EMPTY;
    } else if (!strcmp(op->name, "prefetch") && slot->kind == MANAGED) {
        u64 begin = slot->value + op->a % slot->size;
        if (op->c % 2) cuMemPrefetchAsync(begin, op->b, op->c % 3 ? 0 : -1, NULL);
        else cuMemPrefetchAsync_v2_ptsz(begin, op->b, op->c % 3 ? 1 : 2, 0, NULL);
    } else if (!strcmp(op->name, "launch") && slot->kind == GRAPH) {
        cuGraphLaunch(slot->executable, NULL);
    } else if (!strcmp(op->name, "allocfrom") && slot->kind == POOL) {
        /* Into the thread's next slot. */
        Slot *into = slots + (slot - slots + threads) % SLOTS;
        if (into->kind != EMPTY) return;
        int rc = op->b % 2 ? cuMemAllocFromPoolAsync(&value, op->a, slot->value, NULL)
                           : cuMemAllocFromPoolAsync_ptsz(&value, op->a, slot->value, NULL);
        fill(into, ADDRESS, rc, value, op->a);
    } else if (!strcmp(op->name, "trim") && slot->kind == POOL) {
        cuMemPoolTrimTo(slot->value, op->a);
    } else if (!strcmp(op->name, "current")) {
        if (slot->kind == POOL) cuDeviceSetMemPool(0, slot->value);
        else if (!cuDeviceGetDefaultMemPool(&value, 0)) cuDeviceSetMemPool(0, value);
    } else if (!strcmp(op->name, "again") && slot->last) {
        /* A second free of something that may since be somebody else's. */
        if (op->a % 3 == 0) cuMemFree_v2(slot->last);
        else if (op->a % 3 == 1) cuMemRelease(slot->last);
        else cuArrayDestroy(slot->last);
    }
}

static void send_to(int process, const void *data, size_t size, int fd) {
    char room[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {(void *)data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = room, message.msg_controllen = sizeof room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    sendmsg(mail[process][1], &message, MSG_DONTWAIT);
    if (fd >= 0) close(fd);
}

static void export(const Op *op, Slot *slot) {
    int to = op->a % processes, fd = -1;
    IpcHandle handle = {{0}};
    if (slot->kind == PHYSICAL && !cuMemExportToShareableHandle(&fd, slot->value, 1, 0))
        send_to(to, &slot->size, sizeof slot->size, fd);
    else if (slot->kind == ADDRESS && !cuIpcGetMemHandle(&handle, slot->value))
        send_to(to, &handle, sizeof handle, -1);
}

static void import(void) {
    for (;;) {
        char data[64], room[CMSG_SPACE(sizeof(int))];
        struct iovec part = {data, sizeof data};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
        ssize_t got = recvmsg(mail[self][0], &message, MSG_DONTWAIT);
        if (got <= 0) return;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int fd = -1;
        u64 value = 0;
        if (header) memcpy(&fd, CMSG_DATA(header), sizeof fd);
        Slot *slot = slots;
        while (slot < slots + SLOTS && slot->kind != EMPTY) slot++;
        if (slot == slots + SLOTS) {
            /* No room: it is looked at and not taken. */
        } else if (fd >= 0) {
            size_t size;
            memcpy(&size, data, sizeof size);
            int rc = cuMemImportFromShareableHandle(&value, (void *)(long)fd, 1);
            fill(slot, PHYSICAL, rc, value, size);
        } else {
            IpcHandle handle;
            memcpy(&handle, data, sizeof handle);
            int rc = cuIpcOpenMemHandle_v2(&value, handle, 0);
            fill(slot, WINDOW, rc, value, 0);
        }
        if (fd >= 0) close(fd);
    }
}

/* The child of a process that uses the device can do nothing with it. */
static void fork_child(Slot *slot) {
    pid_t child = fork();
    if (child == 0) {
        u64 value;
        size_t free;
        cuMemAlloc_v2(&value, 1 << 20);
        cuMemAllocAsync(&value, 1 << 20, NULL);
        cuMemFree_v2(slot->value);
        cuMemGetInfo_v2(&free, NULL);
        _exit(0);
    }
    if (child > 0) waitpid(child, NULL, 0);
}

/* The next slot of those that the thread may use that holds what the operation is about. */
static Slot *fitting(const Op *op, Slot *slot) {
    static const struct { const char *name; Kind kind; } wants[] = {
        {"map", PHYSICAL}, {"unmap", PHYSICAL}, {"retain", PHYSICAL}, {"release", PHYSICAL}, {"prefetch", MANAGED},
        {"launch", GRAPH}, {"allocfrom", POOL}, {"trim", POOL}, {"current", POOL},
    };
    int step = op->thread < 0 ? 1 : threads;
    for (size_t at = 0; at < sizeof wants / sizeof *wants; at++)
        if (!strcmp(op->name, wants[at].name))
            for (int tried = 0; tried < SLOTS / step && slot->kind != wants[at].kind; tried++)
                slot = slots + (slot - slots + step) % SLOTS;
    return slot;
}

static void run(const Op *op, Slot *slot) {
    slot = fitting(op, slot);
    if (!strcmp(op->name, "free")) empty(slot, op->a);
    else if (!strcmp(op->name, "export")) export(op, slot);
    else if (!strcmp(op->name, "fork")) fork_child(slot);
    else if (!strcmp(op->name, "graphtrim")) cuDeviceGraphMemTrim(0);
    else if (!strcmp(op->name, "query")) cuMemGetInfo_v2(&(size_t){0}, &(size_t){0});
    else if (!strcmp(op->name, "sync")) {
        if (op->a % 3 == 0) cuCtxSynchronize();
        else if (op->a % 3 == 1) cuStreamSynchronize(NULL);
        else cuEventSynchronize(NULL);
    } else {
        changed(op, slot);
        if (slot->kind == EMPTY) fresh(op, slot);
    }
}

static void check(int number) {
    Held held = {0};
    size_t free;
    if (kvtrace_sim_held && kvtrace_sim_held(&held)) exit(3);
    /* A query without a total is a check's. */
    if (cuMemGetInfo_v2(&free, NULL)) exit(3);
    printf("%d %d %d %zu", number, self, getpid(), free);
    for (size_t at = 0; at < sizeof held / sizeof(u64); at++) printf(" %llu", ((u64 *)&held)[at]);
    printf("\n");
    fflush(stdout);
}

static void *work(void *argument) {
    int thread = (int)(long)argument, epoch = 0, first = 0;
    cuCtxSetCurrent(context);
    for (int at = 0; at <= op_count; at++) {
        if (at < op_count && strcmp(ops[at].name, "check")) {
            const Op *op = ops + at;
            u64 slot = op->slot % (SLOTS / threads) * threads + (thread + epoch) % threads;
            if (op->process == self && op->thread == thread) run(op, slots + slot);
            continue;
        }
        meet();
        for (int alone = first; thread == 0 && alone < at; alone++)
            if (ops[alone].process == self && ops[alone].thread < 0) run(ops + alone, slots + ops[alone].slot % SLOTS);
        meet();
        if (thread == 0) import();
        for (int process = 0; process < processes; process++) {
            meet();
            if (thread == 0 && process == self) check(epoch);
        }
        meet();
        first = at + 1;
        epoch++;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    processes = atoi(argv[1]), threads = atoi(argv[2]);
    char line[160];
    while (fgets(line, sizeof line, stdin) && op_count < MOST_OPS) {
        Op *op = ops + op_count;
        if (sscanf(line, "%d %d %11s %llu %llu %llu %llu", &op->process, &op->thread, op->name, &op->slot, &op->a, &op->b,
                   &op->c) != 7)
            strcpy(op->name, "check");
        op_count++;
    }
    alarm(60);
    everybody = mmap(NULL, sizeof *everybody, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(everybody, &shared, processes * threads);
    for (int at = 0; at < processes; at++)
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, mail[at])) return 3;
    /* Forked before the device is used, as a launcher must. */
    for (int at = 1; at < processes && self == 0; at++)
        if (fork() == 0) self = at;
    if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0)) return 3;
    pthread_t others[16];
    for (long at = 1; at < threads; at++)
        if (pthread_create(others + at, NULL, work, (void *)at)) return 3;
    work(NULL);
    for (int at = 1; at < threads; at++) pthread_join(others[at], NULL);
    if (self) return 0;
    int status, failed = 0;
    while (wait(&status) > 0) failed |= status;
    return failed ? 4 : 0;
}
