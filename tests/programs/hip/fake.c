/* A libamdhip64 without a GPU: two devices whose memory is this machine's. It keeps books of what it gave out, so that a
   trace can be held against them. As the real one, it looks functions up with dlsym, and some of its functions call
   others by their public names. */
#define _GNU_SOURCE
#include "hip.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY ((size_t)8 << 30)
#define CHUNK ((size_t)2 << 20)

typedef enum { FREE, LINEAR, ARRAY, PINNED, MANAGED, REGISTERED, FOREIGN, VMM, VMM_HOST, ASYNC, GRAPH } Kind;

typedef struct Pool { size_t reserved, used; } Pool;
typedef struct { Kind kind; char *at; size_t size, moved; Pool *pool; int holders, mappings; } Block;
typedef struct { char *at; size_t size; Block *block; } Mapping;

static Block blocks[256];
static Mapping mappings[16];
static Pool default_pools[2], graph_pool;
static Pool *own_pools[4];
static __thread int current, last;

/* Any answer replaces a thread's last error, as it did up to HIP 5; a failure does so in every release. */
#define ANSWER(rc) return last = (rc)

static Block *find(const void *at) {
    for (Block *block = blocks; block < blocks + 256; block++)
        if (block->kind && (char *)at >= block->at && (char *)at < block->at + block->size) return block;
    return NULL;
}

static size_t sum(Kind kind) {
    size_t total = 0;
    for (Block *block = blocks; block < blocks + 256; block++)
        if (block->kind == kind) total += block->size;
    return total;
}

static size_t reserved(void) {
    size_t total = default_pools[0].reserved + default_pools[1].reserved;
    for (int i = 0; i < 4; i++) total += own_pools[i] ? own_pools[i]->reserved : 0;
    return total;
}

/* Of managed memory, what was asked to move to a device. */
static size_t prefetched(void) {
    size_t total = 0;
    for (Block *block = blocks; block < blocks + 256; block++)
        if (block->kind == MANAGED) total += block->moved;
    return total;
}

static size_t taken(void) {
    return sum(LINEAR) + sum(ARRAY) + sum(VMM) + prefetched() + reserved() + graph_pool.reserved;
}

static Block *keep(Kind kind, void *at, size_t size) {
    for (Block *block = blocks; block < blocks + 256; block++)
        if (!block->kind) {
            *block = (Block){.kind = kind, .at = at, .size = size, .holders = 1};
            return block;
        }
    abort();
}

/* Books `size` bytes; the memory behind them is a token, for nobody looks into it. */
static int take(Kind kind, void **at, size_t size) {
    if (!at || !size) return INVALID;
    if ((kind == LINEAR || kind == ARRAY || kind == VMM) && size > CAPACITY - taken()) return OUT_OF_MEMORY;
    static char *next = (char *)0x700000000000;
    *at = next;
    next += (size + 0xfffff) & ~(size_t)0xfffff;
    keep(kind, *at, size);
    return SUCCESS;
}

static int give(Kind kind, void *at) {
    if (!at) return SUCCESS;
    Block *block = find(at);
    if (!block || block->kind != kind || block->at != at) return INVALID;
    block->kind = FREE;
    return SUCCESS;
}

const char *fake_held(void) {
    static char text[512];
    snprintf(text, sizeof text,
             "\"device\":%zu,\"array\":%zu,\"host\":%zu,\"managed\":%zu,\"registered\":%zu,\"foreign\":%zu,\"vmm\":%zu,"
             "\"vmm-host\":%zu,\"async\":%zu,\"reserved\":%zu,\"graphs\":%zu,\"prefetched\":%zu",
             sum(LINEAR), sum(ARRAY), sum(PINNED), sum(MANAGED), sum(REGISTERED), sum(FOREIGN), sum(VMM), sum(VMM_HOST),
             sum(ASYNC), reserved(), graph_pool.reserved, prefetched());
    return text;
}

int hipGetLastError(void) {
    int rc = last;
    return last = SUCCESS, rc;
}
int hipInit(unsigned flags) { return flags ? INVALID : SUCCESS; }
int hipSetDevice(int device) { return device < 0 || device > 1 ? 101 : (current = device, SUCCESS); }
int hipDriverGetVersion(int *version) { *version = 70151831; ANSWER(SUCCESS); }
int hipDeviceTotalMem(size_t *bytes, int device) { (void)device; *bytes = CAPACITY; ANSWER(SUCCESS); }

/* By their public names: a preload that asked in turn which device is current would never return. */
int hipGetDevice(int *device) {
    size_t free, total;
    hipInit(0);
    hipMemGetInfo(&free, &total);
    *device = current;
    ANSWER(SUCCESS);
}

int hipDeviceGetName(char *name, int size, int device) {
    snprintf(name, size, "Fake HIP device %d", device);
    ANSWER(device < 0 || device > 1 ? INVALID : SUCCESS);
}

int hipDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    *value = attribute == 16 ? 1 : attribute == 23 ? 9 : attribute == 61 ? 4 : -1;
    ANSWER(*value < 0 ? INVALID : SUCCESS);
}

int hipGetDeviceProperties(OldProperties *properties, int device) {
    memset(properties, 0, sizeof *properties);
    hipDeviceGetName(properties->name, 256, device);
    properties->total = CAPACITY;
    return SUCCESS;
}

int hipGetDevicePropertiesR0600(Properties *properties, int device) {
    memset(properties, 0, sizeof *properties);
    hipDeviceGetName(properties->name, 256, device);
    properties->total = CAPACITY;
    return SUCCESS;
}

int hipMemGetInfo(size_t *free, size_t *total) {
    if (free) *free = CAPACITY - taken();
    if (total) *total = CAPACITY;
    ANSWER(SUCCESS);
}

int hipMemPtrGetInfo(void *at, size_t *size) {
    Block *block = find(at);
    return block ? *size = block->size, SUCCESS : INVALID;
}

int hipMemGetAddressRange(void **base, size_t *size, void *at) {
    Block *block = find(at);
    if (!block) ANSWER(INVALID);
    *base = block->at;
    *size = block->size;
    ANSWER(SUCCESS);
}

int hipMalloc(void **at, size_t size) { ANSWER(take(LINEAR, at, size)); }
int hipExtMallocWithFlags(void **at, size_t size, unsigned flags) { (void)flags; return take(LINEAR, at, size); }

int hipMallocPitch(void **at, size_t *pitch, size_t width, size_t height) {
    *pitch = (width + 255) & ~(size_t)255;
    return take(LINEAR, at, *pitch * height);
}

int hipMemAllocPitch(void **at, size_t *pitch, size_t width, size_t height, unsigned element) {
    (void)element;
    return hipMallocPitch(at, pitch, width, height);
}

int hipMalloc3D(PitchedPtr *pitched, Extent extent) {
    *pitched = (PitchedPtr){.pitch = (extent.width + 255) & ~(size_t)255, .xsize = extent.width, .ysize = extent.height};
    return take(LINEAR, &pitched->at, pitched->pitch * extent.height * extent.depth);
}

int hipFree(void *at) {
    Block *block = at ? find(at) : NULL;
    return block && block->kind == MANAGED ? give(MANAGED, at) : give(LINEAR, at);
}

static int take_array(void **array, size_t element, size_t width, size_t height, size_t depth, unsigned levels) {
    size_t total = 0;
    for (unsigned level = 0; level < levels; level++) {
        total += element * width * (height ? height : 1) * (depth ? depth : 1);
        width = width / 2 ? width / 2 : 1;
        height = height > 1 ? height / 2 : height;
        depth = depth > 1 ? depth / 2 : depth;
    }
    return take(ARRAY, array, total);
}

static size_t channel(int format) {
    switch (format) {
    case 0x02: case 0x09: case 0x10: return 2;
    case 0x03: case 0x0a: case 0x20: return 4;
    default: return 1;
    }
}

static size_t texel(const Channels *channels) { return (channels->x + channels->y + channels->z + channels->w) / 8; }

int hipArrayCreate(void **array, const ArrayShape *shape) {
    return take_array(array, channel(shape->format) * shape->channels, shape->width, shape->height, 0, 1);
}
int hipArray3DCreate(void **array, const Array3DShape *shape) { return hipMipmappedArrayCreate(array, shape, 1); }
int hipMipmappedArrayCreate(void **array, const Array3DShape *shape, unsigned levels) {
    size_t element = channel(shape->format) * shape->channels;
    return take_array(array, element, shape->width, shape->height, shape->depth, levels);
}
int hipMallocArray(void **array, const Channels *channels, size_t width, size_t height, unsigned flags) {
    (void)flags;
    return take_array(array, texel(channels), width, height, 0, 1);
}
int hipMalloc3DArray(void **array, const Channels *channels, Extent extent, unsigned flags) {
    return hipMallocMipmappedArray(array, channels, extent, 1, flags);
}
int hipMallocMipmappedArray(void **array, const Channels *channels, Extent extent, unsigned levels, unsigned flags) {
    (void)flags;
    return take_array(array, texel(channels), extent.width, extent.height, extent.depth, levels);
}
int hipArrayDestroy(void *array) { return give(ARRAY, array); }
int hipFreeArray(void *array) { return give(ARRAY, array); }
int hipMipmappedArrayDestroy(void *array) { return give(ARRAY, array); }
int hipFreeMipmappedArray(void *array) { return give(ARRAY, array); }

int hipHostMalloc(void **at, size_t size, unsigned flags) { (void)flags; return take(PINNED, at, size); }
int hipHostAlloc(void **at, size_t size, unsigned flags) { return hipHostMalloc(at, size, flags); }
int hipMallocHost(void **at, size_t size) { return hipHostMalloc(at, size, 0); }
int hipMemAllocHost(void **at, size_t size) { return hipHostMalloc(at, size, 0); }
int hipHostFree(void *at) { return give(PINNED, at); }
int hipFreeHost(void *at) { return hipHostFree(at); }

int hipHostRegister(void *at, size_t size, unsigned flags) {
    (void)flags;
    keep(REGISTERED, at, size);
    return SUCCESS;
}
int hipHostUnregister(void *at) { return give(REGISTERED, at); }

int hipMallocManaged(void **at, size_t size, unsigned flags) { (void)flags; return take(MANAGED, at, size); }
static int move(const void *at, size_t size, int to_device) {
    Block *block = find(at);
    if (!block || block->kind != MANAGED || size > block->size) return INVALID;
    block->moved = to_device ? size : 0;
    return SUCCESS;
}
int hipMemPrefetchAsync(const void *at, size_t size, int device, void *stream) {
    (void)stream;
    return move(at, size, device >= 0);
}
int hipMemPrefetchAsync_v2(const void *at, size_t size, Location location, unsigned flags, void *stream) {
    (void)flags, (void)stream;
    return move(at, size, location.type == DEVICE);
}

static void settle(Pool *pool) {
    while (pool->reserved < pool->used) pool->reserved += CHUNK;
}

int hipMallocFromPoolAsync(void **at, size_t size, void *pool, void *stream) {
    (void)stream;
    int rc = take(ASYNC, at, size);
    if (!rc) {
        find(*at)->pool = pool;
        ((Pool *)pool)->used += size;
        settle(pool);
    }
    return rc;
}
int hipMallocAsync(void **at, size_t size, void *stream) {
    return hipMallocFromPoolAsync(at, size, &default_pools[current], stream);
}
int hipFreeAsync(void *at, void *stream) {
    (void)stream;
    Block *block = find(at);
    if (!block || block->kind != ASYNC) return INVALID;
    block->pool->used -= block->size;
    return give(ASYNC, at);
}
int hipMemPoolCreate(void **pool, const PoolProps *properties) {
    (void)properties;
    for (int i = 0; i < 4; i++)
        if (!own_pools[i]) return *pool = own_pools[i] = calloc(1, sizeof(Pool)), SUCCESS;
    return OUT_OF_MEMORY;
}
int hipMemPoolDestroy(void *pool) {
    for (int i = 0; i < 4; i++)
        if (own_pools[i] == pool) return free(pool), own_pools[i] = NULL, SUCCESS;
    return INVALID;
}
int hipMemPoolTrimTo(void *pool, size_t keep) {
    Pool *own = pool;
    own->reserved = keep;
    settle(own);
    return SUCCESS;
}
int hipMemPoolGetAttribute(void *pool, int attribute, void *value) {
    Pool *own = pool;
    if (!own || (attribute != 5 && attribute != 7)) ANSWER(INVALID);
    *(uint64_t *)value = attribute == 5 ? own->reserved : own->used;
    ANSWER(SUCCESS);
}
int hipDeviceGetMemPool(void **pool, int device) {
    if (device < 0 || device > 1) ANSWER(INVALID);
    *pool = &default_pools[device];
    ANSWER(SUCCESS);
}

int hipMemAddressReserve(void **at, size_t size, size_t alignment, void *wanted, unsigned long long flags) {
    (void)size, (void)alignment, (void)wanted, (void)flags;
    return *at = (void *)0x600000000000, SUCCESS;
}
int hipMemAddressFree(void *at, size_t size) { (void)at, (void)size; return SUCCESS; }
int hipMemCreate(void **handle, size_t size, const AllocationProp *properties, unsigned long long flags) {
    (void)flags;
    return take(properties->location.type == DEVICE ? VMM : VMM_HOST, handle, size);
}
static void settle_physical(Block *block) {
    if (!block->holders && !block->mappings) block->kind = FREE;
}
int hipMemRelease(void *handle) {
    Block *block = find(handle);
    if (!block) return INVALID;
    block->holders--;
    settle_physical(block);
    return SUCCESS;
}
int hipMemRetainAllocationHandle(void **handle, void *at) {
    for (Mapping *mapping = mappings; mapping < mappings + 16; mapping++)
        if (mapping->block && mapping->at == at) return *handle = mapping->block->at, mapping->block->holders++, SUCCESS;
    return INVALID;
}
int hipMemMap(void *at, size_t size, size_t offset, void *handle, unsigned long long flags) {
    (void)offset, (void)flags;
    for (Mapping *mapping = mappings; mapping < mappings + 16; mapping++)
        if (!mapping->block) {
            *mapping = (Mapping){.at = at, .size = size, .block = find(handle)};
            mapping->block->mappings++;
            return SUCCESS;
        }
    return OUT_OF_MEMORY;
}
int hipMemUnmap(void *at, size_t size) {
    for (Mapping *mapping = mappings; mapping < mappings + 16; mapping++)
        if (mapping->block && mapping->at >= (char *)at && mapping->at < (char *)at + size) {
            mapping->block->mappings--;
            settle_physical(mapping->block);
            mapping->block = NULL;
        }
    return SUCCESS;
}

int hipIpcGetMemHandle(IpcHandle *handle, void *at) {
    size_t size = find(at)->size;
    memcpy(handle->bytes, &size, sizeof size);
    return SUCCESS;
}
int hipIpcOpenMemHandle(void **at, IpcHandle handle, unsigned flags) {
    (void)flags;
    size_t size;
    memcpy(&size, handle.bytes, sizeof size);
    return take(FOREIGN, at, size);
}
int hipIpcCloseMemHandle(void *at) { return give(FOREIGN, at); }
int hipImportExternalMemory(void **memory, const ExternalMemory *description) {
    return take(FOREIGN, memory, description->size);
}
int hipDestroyExternalMemory(void *memory) { return give(FOREIGN, memory); }

int hipGraphAddMemAllocNode(void **node, void *graph, const void *needs, size_t number, AllocNode *parameters) {
    (void)graph, (void)needs, (void)number;
    parameters->at = (void *)0x500000000000;
    return *node = parameters, SUCCESS;
}
int hipGraphInstantiateWithFlags(void **run, void *graph, unsigned long long flags) {
    (void)flags;
    graph_pool.used = graph_pool.reserved = 3 * CHUNK;
    return *run = graph, SUCCESS;
}
int hipDeviceGetGraphMemAttribute(int device, int attribute, void *value) {
    *(uint64_t *)value = attribute < 2 ? graph_pool.used : graph_pool.reserved;
    ANSWER(device < 0 || device > 1 ? INVALID : SUCCESS);
}
int hipDeviceGraphMemTrim(int device) { (void)device; return graph_pool = (Pool){0, 0}, SUCCESS; }

static int look_up(const char *name, void **function, int version) {
    if (!name || !*name || !function) return INVALID;
    if (!strcmp(name, "hipGetDeviceProperties") && version >= 600) name = "hipGetDevicePropertiesR0600";
    static void *self;
    if (!self) {
        Dl_info info;
        dladdr((void *)look_up, &info);
        self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    }
    *function = dlsym(self, name);
    return *function ? SUCCESS : INVALID;
}
int hipGetProcAddress(const char *name, void **function, int version, uint64_t flags, int *status) {
    (void)flags;
    int rc = look_up(name, function, version);
    if (status) *status = rc ? 1 : 0;
    return rc;
}
int hipGetDriverEntryPoint(const char *name, void **function, unsigned long long flags, int *status) {
    return hipGetProcAddress(name, function, 701, flags, status);
}
