/* The part of HIP's interface that the tests use, as libamdhip64.so.7 exports it: names, arguments, layouts. */
#include <stddef.h>
#include <stdint.h>

typedef struct { size_t width, height, depth; } Extent;
typedef struct { void *at; size_t pitch, xsize, ysize; } PitchedPtr;
typedef struct { int type, id; } Location;
typedef struct { int x, y, z, w, kind; } Channels;
typedef struct { size_t width, height; int format; unsigned channels; } ArrayShape;
typedef struct { size_t width, height, depth; int format; unsigned channels, flags; } Array3DShape;
typedef struct { char bytes[64]; } IpcHandle;
typedef struct { int type, handle_type; Location location; void *win32; unsigned char flags[4]; } AllocationProp;
typedef struct { int type, handle_types; Location location; void *win32; unsigned char rest[64]; } PoolProps;
typedef struct { PoolProps pool; void *access; size_t access_count, bytes; void *at; } AllocNode;
typedef struct { int type; union { int fd; void *win32[2]; } handle; unsigned long long size; unsigned flags, rest[16]; } ExternalMemory;
/* hipDeviceProp_tR0600 is 1472 bytes; only its beginning is of interest. */
typedef struct { char name[256], uuid[16], luid[8]; unsigned mask; size_t total; char rest[1176]; } Properties;
typedef struct { char name[256]; size_t total; char rest[528]; } OldProperties;

enum { DEVICE = 1, HOST = 2 };
enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2 };

#define HIP_FUNCTIONS(F) \
    F(hipInit, (unsigned flags)) \
    F(hipGetLastError, (void)) \
    F(hipSetDevice, (int device)) \
    F(hipGetDevice, (int *device)) \
    F(hipDeviceGetName, (char *name, int size, int device)) \
    F(hipDeviceGetAttribute, (int *value, int attribute, int device)) \
    F(hipDriverGetVersion, (int *version)) \
    F(hipDeviceTotalMem, (size_t *bytes, int device)) \
    F(hipGetDeviceProperties, (OldProperties *properties, int device)) \
    F(hipGetDevicePropertiesR0600, (Properties *properties, int device)) \
    F(hipMemGetInfo, (size_t *free, size_t *total)) \
    F(hipMemPtrGetInfo, (void *at, size_t *size)) \
    F(hipMemGetAddressRange, (void **base, size_t *size, void *at)) \
    F(hipMalloc, (void **at, size_t size)) \
    F(hipExtMallocWithFlags, (void **at, size_t size, unsigned flags)) \
    F(hipMallocPitch, (void **at, size_t *pitch, size_t width, size_t height)) \
    F(hipMemAllocPitch, (void **at, size_t *pitch, size_t width, size_t height, unsigned element)) \
    F(hipMalloc3D, (PitchedPtr *at, Extent extent)) \
    F(hipFree, (void *at)) \
    F(hipArrayCreate, (void **array, const ArrayShape *shape)) \
    F(hipArray3DCreate, (void **array, const Array3DShape *shape)) \
    F(hipMallocArray, (void **array, const Channels *channels, size_t width, size_t height, unsigned flags)) \
    F(hipMalloc3DArray, (void **array, const Channels *channels, Extent extent, unsigned flags)) \
    F(hipMipmappedArrayCreate, (void **array, const Array3DShape *shape, unsigned levels)) \
    F(hipMallocMipmappedArray, (void **array, const Channels *channels, Extent extent, unsigned levels, unsigned flags)) \
    F(hipArrayDestroy, (void *array)) \
    F(hipFreeArray, (void *array)) \
    F(hipMipmappedArrayDestroy, (void *array)) \
    F(hipFreeMipmappedArray, (void *array)) \
    F(hipHostMalloc, (void **at, size_t size, unsigned flags)) \
    F(hipHostAlloc, (void **at, size_t size, unsigned flags)) \
    F(hipMallocHost, (void **at, size_t size)) \
    F(hipMemAllocHost, (void **at, size_t size)) \
    F(hipHostFree, (void *at)) \
    F(hipFreeHost, (void *at)) \
    F(hipHostRegister, (void *at, size_t size, unsigned flags)) \
    F(hipHostUnregister, (void *at)) \
    F(hipMallocManaged, (void **at, size_t size, unsigned flags)) \
    F(hipMemPrefetchAsync, (const void *at, size_t size, int device, void *stream)) \
    F(hipMemPrefetchAsync_v2, (const void *at, size_t size, Location location, unsigned flags, void *stream)) \
    F(hipMallocAsync, (void **at, size_t size, void *stream)) \
    F(hipMallocFromPoolAsync, (void **at, size_t size, void *pool, void *stream)) \
    F(hipFreeAsync, (void *at, void *stream)) \
    F(hipMemPoolCreate, (void **pool, const PoolProps *properties)) \
    F(hipMemPoolDestroy, (void *pool)) \
    F(hipMemPoolTrimTo, (void *pool, size_t keep)) \
    F(hipMemPoolGetAttribute, (void *pool, int attribute, void *value)) \
    F(hipDeviceGetMemPool, (void **pool, int device)) \
    F(hipMemAddressReserve, (void **at, size_t size, size_t alignment, void *wanted, unsigned long long flags)) \
    F(hipMemAddressFree, (void *at, size_t size)) \
    F(hipMemCreate, (void **handle, size_t size, const AllocationProp *properties, unsigned long long flags)) \
    F(hipMemRelease, (void *handle)) \
    F(hipMemRetainAllocationHandle, (void **handle, void *at)) \
    F(hipMemMap, (void *at, size_t size, size_t offset, void *handle, unsigned long long flags)) \
    F(hipMemUnmap, (void *at, size_t size)) \
    F(hipIpcGetMemHandle, (IpcHandle *handle, void *at)) \
    F(hipIpcOpenMemHandle, (void **at, IpcHandle handle, unsigned flags)) \
    F(hipIpcCloseMemHandle, (void *at)) \
    F(hipImportExternalMemory, (void **memory, const ExternalMemory *description)) \
    F(hipDestroyExternalMemory, (void *memory)) \
    F(hipGraphAddMemAllocNode, (void **node, void *graph, const void *needs, size_t number, AllocNode *parameters)) \
    F(hipGraphInstantiateWithFlags, (void **run, void *graph, unsigned long long flags)) \
    F(hipDeviceGetGraphMemAttribute, (int device, int attribute, void *value)) \
    F(hipDeviceGraphMemTrim, (int device)) \
    F(hipGetProcAddress, (const char *name, void **function, int version, uint64_t flags, int *status)) \
    F(hipGetDriverEntryPoint, (const char *name, void **function, unsigned long long flags, int *status))

#define DECLARE(name, arguments) int name arguments;
HIP_FUNCTIONS(DECLARE)

/* Not HIP's: what the fake says that it holds, as the members of a JSON object. */
const char *fake_held(void);
