/* The driver API as far as sequence.c calls it, and what the simulated device tells beyond that. */
#include <stddef.h>

typedef unsigned long long u64;
typedef struct { size_t width, height, depth; unsigned format, channels, flags; } Shape;
typedef struct { int kind, handle_types, location, id; u64 rest[9]; } Properties; /* of memory and of pools */
typedef struct { Properties pool; void *access; size_t access_count, size; u64 address; } NodeParameters;
typedef struct { char bytes[64]; } IpcHandle;

/* In the order of the simulated device's own structure. */
typedef struct {
    u64 device, array, allocated, reserved, orphaned, vmm, shared, vmm_host, graph, managed, prefetched, host, registered,
        foreign, imported, context, rounding, charged;
} Held;
__attribute__((weak)) int kvtrace_sim_held(Held *); /* Not there on a real device. */

int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuCtxSynchronize(void);
int cuStreamSynchronize(void *);
int cuEventSynchronize(void *);
int cuMemGetInfo_v2(size_t *, size_t *);
int cuMemAlloc_v2(u64 *, size_t);
int cuMemAllocPitch_v2(u64 *, size_t *, size_t, size_t, unsigned);
int cuMemFree_v2(u64);
int cuMemAllocAsync(u64 *, size_t, void *);
int cuMemAllocAsync_ptsz(u64 *, size_t, void *);
int cuMemAllocFromPoolAsync(u64 *, size_t, u64, void *);
int cuMemAllocFromPoolAsync_ptsz(u64 *, size_t, u64, void *);
int cuMemFreeAsync(u64, void *);
int cuMemFreeAsync_ptsz(u64, void *);
int cuMemPoolCreate(u64 *, const Properties *);
int cuMemPoolDestroy(u64);
int cuMemPoolTrimTo(u64, size_t);
int cuMemPoolSetAttribute(u64, int, void *);
int cuDeviceGetMemPool(u64 *, int);
int cuDeviceGetDefaultMemPool(u64 *, int);
int cuDeviceSetMemPool(int, u64);
int cuMemAllocManaged(u64 *, size_t, unsigned);
int cuMemPrefetchAsync(u64, size_t, int, void *);
int cuMemPrefetchAsync_v2_ptsz(u64, size_t, u64, unsigned, void *);
int cuMemHostAlloc(u64 *, size_t, unsigned);
int cuMemFreeHost(u64);
int cuMemHostRegister_v2(u64, size_t, unsigned);
int cuMemHostUnregister(u64);
int cuArrayCreate_v2(u64 *, const Shape *);
int cuArray3DCreate_v2(u64 *, const Shape *);
int cuArrayDestroy(u64);
int cuMipmappedArrayCreate(u64 *, const Shape *, unsigned);
int cuMipmappedArrayDestroy(u64);
int cuMemCreate(u64 *, size_t, const Properties *, u64);
int cuMemRelease(u64);
int cuMemAddressReserve(u64 *, size_t, size_t, u64, u64);
int cuMemAddressFree(u64, size_t);
int cuMemMap(u64, size_t, size_t, u64, u64);
int cuMemUnmap(u64, size_t);
int cuMemRetainAllocationHandle(u64 *, u64);
int cuMemExportToShareableHandle(int *, u64, int, u64);
int cuMemImportFromShareableHandle(u64 *, void *, int);
int cuIpcGetMemHandle(IpcHandle *, u64);
int cuIpcOpenMemHandle_v2(u64 *, IpcHandle, unsigned);
int cuIpcCloseMemHandle(u64);
int cuGraphCreate(void **, unsigned);
int cuGraphAddMemAllocNode(void **, void *, void *, size_t, NodeParameters *);
int cuGraphAddMemFreeNode(void **, void *, void *, size_t, u64);
int cuGraphInstantiateWithFlags(void **, void *, u64);
int cuGraphLaunch(void *, void *);
int cuGraphExecDestroy(void *);
int cuGraphDestroy(void *);
int cuDeviceGraphMemTrim(int);
