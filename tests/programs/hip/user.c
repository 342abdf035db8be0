/* Goes through every family of HIP's memory functions, and prints what the fake holds when all is taken and when all is
   given back: `user` linked with it, or `user LIBRARY dlsym|dlvsym|hipGetProcAddress|hipGetDriverEntryPoint` looking
   each function up. A last argument `cuda` makes another device current in CUDA meanwhile. */
#define _GNU_SOURCE
#include "hip.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER(name, arguments) int (*name) arguments;
static struct { HIP_FUNCTIONS(MEMBER) const char *(*held)(void); } hip;

#define CHECK(call) \
    do { \
        int rc = call; \
        if (rc) { \
            fprintf(stderr, "%s: %d\n", #call, rc); \
            exit(1); \
        } \
    } while (0)

#ifdef LINKED
static void look_up(char **argv) {
    (void)argv;
#define TAKE(name, arguments) hip.name = name;
    HIP_FUNCTIONS(TAKE)
    hip.held = fake_held;
}
#else
static void *library;
static int (*ask)(const char *, void **, int, uint64_t, int *);
static int (*ask_entry)(const char *, void **, unsigned long long, int *);

static void *one(const char *how, const char *name) {
    static const char *versions[] = {"hip_4.2", "hip_4.3", "hip_4.5", "hip_5.1", "hip_5.5", "hip_6.0", "hip_6.1", "hip_7.1"};
    void *found = NULL;
    int status = -1;
    if (ask) CHECK(ask(name, &found, 701, 0, &status));
    else if (ask_entry) CHECK(ask_entry(name, &found, 0, &status));
    else if (!strcmp(how, "dlsym")) found = dlsym(library, name);
    else for (int i = 0; i < 8 && !found; i++) found = dlvsym(library, name, versions[i]);
    if (!found) {
        fprintf(stderr, "%s: no %s\n", how, name);
        exit(1);
    }
    return found;
}

static void look_up(char **argv) {
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    if (!strcmp(argv[2], "hipGetProcAddress")) ask = dlsym(library, argv[2]);
    if (!strcmp(argv[2], "hipGetDriverEntryPoint")) ask_entry = dlsym(library, argv[2]);
#define TAKE(name, arguments) hip.name = one(argv[2], #name);
    HIP_FUNCTIONS(TAKE)
    hip.held = dlsym(library, "fake_held");
}
#endif

static void use_cuda(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*init)(unsigned) = dlsym(driver, "cuInit");
    int (*retain)(void **, int) = dlsym(driver, "cuDevicePrimaryCtxRetain");
    int (*set)(void *) = dlsym(driver, "cuCtxSetCurrent");
    int (*alloc)(unsigned long long *, size_t) = dlsym(driver, "cuMemAlloc_v2");
    void *context;
    unsigned long long at;
    CHECK(init(0));
    CHECK(retain(&context, 0));
    CHECK(set(context));
    CHECK(alloc(&at, 5 << 20));
}

static void checkpoint(void) {
    size_t free = 0, total = 0;
    CHECK(hip.hipMemGetInfo(&free, &total));
    printf("{\"free\":%zu,\"total\":%zu,%s}\n", free, total, hip.held());
}

int main(int argc, char **argv) {
    look_up(argv);
    if (!strcmp(argv[argc - 1], "cuda")) use_cuda();
    enum { MIB = 1 << 20 };
    void *linear[5], *arrays[6], *host[4], *managed, *async[3], *pool, *node, *run;
    static char buffer[3 * MIB];
    size_t pitch, size;
    Properties properties;
    OldProperties old;
    CHECK(hip.hipInit(0));
    CHECK(hip.hipSetDevice(1));
    CHECK(hip.hipGetDevicePropertiesR0600(&properties, 1));
    CHECK(hip.hipGetDeviceProperties((void *)&properties, 1));
    memcpy(&old, &properties, sizeof old);
    CHECK(hip.hipDeviceTotalMem(&size, 1));

    CHECK(hip.hipMalloc(&linear[0], MIB));
    CHECK(hip.hipExtMallocWithFlags(&linear[1], 3 * MIB, 1));
    CHECK(hip.hipMallocPitch(&linear[2], &pitch, 1000, 64));
    CHECK(hip.hipMemAllocPitch(&linear[3], &pitch, 3000, 16, 4));
    PitchedPtr pitched;
    CHECK(hip.hipMalloc3D(&pitched, (Extent){100, 10, 4}));
    CHECK(hip.hipMemPtrGetInfo(linear[0], &size));
    if (hip.hipGetLastError() || hip.hipMalloc(&linear[4], (size_t)9 << 30) != OUT_OF_MEMORY) return 1;
    if (hip.hipGetLastError() != OUT_OF_MEMORY) {
        fprintf(stderr, "the last error is another one\n");
        return 1;
    }
    linear[4] = pitched.at;

    Channels channels = {32, 32, 0, 0, 2};
    CHECK(hip.hipArrayCreate(&arrays[0], &(ArrayShape){640, 480, 0x01, 4}));
    CHECK(hip.hipArray3DCreate(&arrays[1], &(Array3DShape){64, 64, 16, 0x20, 2, 0}));
    CHECK(hip.hipMallocArray(&arrays[2], &channels, 512, 0, 0));
    CHECK(hip.hipMalloc3DArray(&arrays[3], &channels, (Extent){33, 17, 5}, 0));
    CHECK(hip.hipMipmappedArrayCreate(&arrays[4], &(Array3DShape){100, 50, 0, 0x10, 4, 0}, 4));
    CHECK(hip.hipMallocMipmappedArray(&arrays[5], &channels, (Extent){128, 128, 0}, 3, 0));

    CHECK(hip.hipHostMalloc(&host[0], MIB, 0));
    CHECK(hip.hipHostAlloc(&host[1], 2 * MIB, 0));
    CHECK(hip.hipMallocHost(&host[2], 3 * MIB));
    CHECK(hip.hipMemAllocHost(&host[3], 4 * MIB));
    CHECK(hip.hipHostRegister(buffer, sizeof buffer, 0));
    CHECK(hip.hipMallocManaged(&managed, 7 * MIB, 1));
    CHECK(hip.hipMemPrefetchAsync(managed, MIB, -1, NULL));
    CHECK(hip.hipMemPrefetchAsync_v2(managed, MIB, (Location){DEVICE, 1}, 0, NULL));

    CHECK(hip.hipMallocAsync(&async[0], MIB, NULL));
    CHECK(hip.hipMemPoolCreate(&pool, &(PoolProps){.type = 1, .location = {DEVICE, 1}}));
    CHECK(hip.hipMallocFromPoolAsync(&async[1], 3 * MIB, pool, NULL));
    CHECK(hip.hipMallocFromPoolAsync(&async[2], 5 * MIB, pool, NULL));
    CHECK(hip.hipFreeAsync(async[2], NULL));

    void *range, *physical, *same, *on_host;
    CHECK(hip.hipMemAddressReserve(&range, 8 * MIB, 0, NULL, 0));
    CHECK(hip.hipMemCreate(&physical, 2 * MIB, &(AllocationProp){.type = 1, .location = {DEVICE, 1}}, 0));
    CHECK(hip.hipMemCreate(&on_host, 6 * MIB, &(AllocationProp){.type = 1, .location = {HOST, 0}}, 0));
    CHECK(hip.hipMemMap(range, 2 * MIB, 0, physical, 0));
    CHECK(hip.hipMemRetainAllocationHandle(&same, range));
    CHECK(hip.hipMemRelease(same));
    CHECK(hip.hipMemRelease(physical));

    void *opened, *external;
    IpcHandle handle;
    CHECK(hip.hipIpcGetMemHandle(&handle, linear[1]));
    CHECK(hip.hipIpcOpenMemHandle(&opened, handle, 1));
    CHECK(hip.hipImportExternalMemory(&external, &(ExternalMemory){.type = 1, .handle.fd = 3, .size = 11 * MIB}));
    CHECK(hip.hipGraphAddMemAllocNode(&node, &hip, NULL, 0, &(AllocNode){.bytes = 6 * MIB}));
    CHECK(hip.hipGraphInstantiateWithFlags(&run, &hip, 0));
    checkpoint();

    for (int i = 0; i < 5; i++) CHECK(hip.hipFree(linear[i]));
    CHECK(hip.hipFree(NULL));
    for (int i = 0; i < 6; i++) {
        int (*give[])(void *) = {hip.hipArrayDestroy, hip.hipFreeArray, hip.hipMipmappedArrayDestroy, hip.hipFreeMipmappedArray};
        CHECK(give[i % 4](arrays[i]));
    }
    for (int i = 0; i < 4; i++) CHECK((i % 2 ? hip.hipFreeHost : hip.hipHostFree)(host[i]));
    CHECK(hip.hipHostUnregister(buffer));
    CHECK(hip.hipFree(managed));
    CHECK(hip.hipFreeAsync(async[0], NULL));
    CHECK(hip.hipFreeAsync(async[1], NULL));
    void *common;
    CHECK(hip.hipDeviceGetMemPool(&common, 1));
    CHECK(hip.hipMemPoolTrimTo(common, 0));
    CHECK(hip.hipMemPoolDestroy(pool));
    CHECK(hip.hipMemUnmap(range, 2 * MIB));
    CHECK(hip.hipMemRelease(on_host));
    CHECK(hip.hipMemAddressFree(range, 8 * MIB));
    CHECK(hip.hipIpcCloseMemHandle(opened));
    CHECK(hip.hipDestroyExternalMemory(external));
    CHECK(hip.hipDeviceGraphMemTrim(1));
    checkpoint();
    CHECK(hip.hipGetLastError());
    return 0;
}
