/* Every allocator family of the CUDA runtime and driver once, one step at a time. After each step it prints the step's
 * name; the memory query beside it is the instant at which the trace is compared with the device.
 *
 * Built twice: with the shared runtime, and with the static one. Driver functions are looked up as libraries do. */
#include <cuda.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define SIZE (300 * MIB + 12345)

static void die(const char *call, int code) {
    fprintf(stderr, "%s: error %d\n", call, code);
    exit(1);
}

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        int code_ = (int)(call);                                                                                       \
        if (code_) die(#call, code_);                                                                                  \
    } while (0)

static void tell(const char *name, const char *loads) {
    size_t free_, total;
    TRY(cudaMemGetInfo(&free_, &total));
    printf("{\"step\":\"%s\",\"free\":%zu,\"total\":%zu,\"loads\":%s}\n", name, free_, total, loads);
    fflush(stdout);
}

static void step(const char *name) {
    tell(name, "false");
}

/* One in which the driver may take memory for itself, or give such memory back. */
static void step_of_the_driver(const char *name) {
    tell(name, "true");
}

/* As NCCL and PyTorch do: by the version that the header declares. */
static void *driver(const char *name, unsigned version) {
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult found;
    TRY(cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &found));
    if (found != cudaDriverEntryPointSuccess) die(name, (int)found);
    return function;
}

static void linear(void) {
    void *a, *b;
    TRY(cudaMalloc(&a, SIZE));
    step("cudaMalloc");
    size_t pitch;
    TRY(cudaMallocPitch(&b, &pitch, 70000, 5000));
    step("cudaMallocPitch");
    struct cudaPitchedPtr volume;
    TRY(cudaMalloc3D(&volume, make_cudaExtent(4000, 1000, 90)));
    step("cudaMalloc3D");
    TRY(cudaFree(a));
    TRY(cudaFree(b));
    TRY(cudaFree(volume.ptr));
    step("cudaFree of all three");
}

static void arrays(void) {
    struct cudaChannelFormatDesc texel = cudaCreateChannelDesc(32, 32, 32, 32, cudaChannelFormatKindFloat);
    cudaArray_t plane, volume;
    TRY(cudaMallocArray(&plane, &texel, 5000, 4000, 0));
    step("cudaMallocArray");
    TRY(cudaMalloc3DArray(&volume, &texel, make_cudaExtent(300, 301, 302), 0));
    step("cudaMalloc3DArray");
    cudaMipmappedArray_t levels;
    TRY(cudaMallocMipmappedArray(&levels, &texel, make_cudaExtent(4096, 4096, 0), 5, 0));
    step("cudaMallocMipmappedArray");
    TRY(cudaFreeArray(plane));
    TRY(cudaFreeArray(volume));
    TRY(cudaFreeMipmappedArray(levels));
    step("cudaFreeArray of all three");
}

static void stream_ordered(void) {
    cudaStream_t stream;
    TRY(cudaStreamCreate(&stream));
    step_of_the_driver("a first stream");
    void *a, *b;
    TRY(cudaMallocAsync(&a, SIZE, stream));
    step("cudaMallocAsync");
    TRY(cudaFreeAsync(a, stream));
    TRY(cudaStreamSynchronize(stream));
    step("cudaFreeAsync, pool without a threshold");

    struct cudaMemPoolProps properties = {.allocType = cudaMemAllocationTypePinned,
                                          .location = {.type = cudaMemLocationTypeDevice}};
    cudaMemPool_t pool;
    TRY(cudaMemPoolCreate(&pool, &properties));
    unsigned long long keep = ~0ull;
    TRY(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
    TRY(cudaMallocFromPoolAsync(&a, SIZE, pool, stream));
    TRY(cudaMallocFromPoolAsync(&b, SIZE / 2, pool, stream));
    step("cudaMallocFromPoolAsync twice");
    TRY(cudaFreeAsync(a, stream));
    TRY(cudaStreamSynchronize(stream));
    step("cudaFreeAsync, pool that keeps");
    TRY(cudaMemPoolTrimTo(pool, 0));
    step("cudaMemPoolTrimTo 0");
    TRY(cudaFreeAsync(b, stream));
    TRY(cudaStreamSynchronize(stream));
    TRY(cudaMemPoolDestroy(pool));
    step("cudaMemPoolDestroy");
    TRY(cudaStreamDestroy(stream));
}

static void host(void) {
    void *a, *b, *c = aligned_alloc(4096, 64 * MIB);
    TRY(cudaMallocHost(&a, SIZE));
    TRY(cudaHostAlloc(&b, SIZE, cudaHostAllocMapped));
    TRY(cudaHostRegister(c, 64 * MIB, 0));
    step("pinned and registered host memory");
    TRY(cudaFreeHost(a));
    TRY(cudaFreeHost(b));
    TRY(cudaHostUnregister(c));
    step("host memory given back");
    free(c);
}

static void managed(void) {
    CUresult (*prefetch)(CUdeviceptr, size_t, CUdevice, CUstream) = driver("cuMemPrefetchAsync", 8000);
    void *a;
    TRY(cudaMallocManaged(&a, 160 * MIB, cudaMemAttachGlobal));
    step("cudaMallocManaged, not touched");
    TRY(prefetch((CUdeviceptr)a, 128 * MIB, 0, NULL));
    TRY(cudaDeviceSynchronize());
    step("cuMemPrefetchAsync of 128 MiB to the device");
    TRY(cudaFree(a));
    step("cudaFree of managed memory");
}

static void by_handle(void) {
    CUresult (*granularity)(size_t *, const CUmemAllocationProp *, CUmemAllocationGranularity_flags) =
        driver("cuMemGetAllocationGranularity", 10020);
    CUresult (*create)(CUmemGenericAllocationHandle *, size_t, const CUmemAllocationProp *, unsigned long long) =
        driver("cuMemCreate", 10020);
    CUresult (*release)(CUmemGenericAllocationHandle) = driver("cuMemRelease", 10020);
    CUresult (*reserve)(CUdeviceptr *, size_t, size_t, CUdeviceptr, unsigned long long) =
        driver("cuMemAddressReserve", 10020);
    CUresult (*unreserve)(CUdeviceptr, size_t) = driver("cuMemAddressFree", 10020);
    CUresult (*map)(CUdeviceptr, size_t, size_t, CUmemGenericAllocationHandle, unsigned long long) =
        driver("cuMemMap", 10020);
    CUresult (*unmap)(CUdeviceptr, size_t) = driver("cuMemUnmap", 10020);
    CUresult (*retain)(CUmemGenericAllocationHandle *, void *) = driver("cuMemRetainAllocationHandle", 11000);

    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    size_t granule;
    TRY(granularity(&granule, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    size_t size = (SIZE + granule - 1) / granule * granule;
    CUmemGenericAllocationHandle handle, again;
    TRY(create(&handle, size, &properties, 0));
    step("cuMemCreate");
    CUdeviceptr at;
    TRY(reserve(&at, 2 * size, 0, 0, 0));
    TRY(map(at, size, 0, handle, 0));
    step("cuMemAddressReserve and cuMemMap");
    TRY(release(handle));
    step("cuMemRelease of what is mapped");
    TRY(retain(&again, (void *)at));
    TRY(unmap(at, size));
    step("cuMemUnmap of what is retained");
    TRY(release(again));
    TRY(unreserve(at, 2 * size));
    step("cuMemRelease of the last holder");
}

static void graphs(void) {
    cudaGraph_t graph;
    cudaGraphNode_t take, give;
    cudaGraphExec_t run;
    cudaStream_t stream;
    struct cudaMemAllocNodeParams parameters = {
        .poolProps = {.allocType = cudaMemAllocationTypePinned, .location = {.type = cudaMemLocationTypeDevice}},
        .bytesize = SIZE,
    };
    TRY(cudaStreamCreate(&stream));
    TRY(cudaGraphCreate(&graph, 0));
    TRY(cudaGraphAddMemAllocNode(&take, graph, NULL, 0, &parameters));
    TRY(cudaGraphAddMemFreeNode(&give, graph, &take, 1, parameters.dptr));
    TRY(cudaGraphInstantiateWithFlags(&run, graph, 0));
    step("graph with a memory node, not run yet");
    TRY(cudaGraphLaunch(run, stream));
    TRY(cudaStreamSynchronize(stream));
    step("graph has run");
    TRY(cudaGraphExecDestroy(run));
    TRY(cudaGraphDestroy(graph));
    TRY(cudaDeviceGraphMemTrim(0));
    step("cudaDeviceGraphMemTrim");
    TRY(cudaStreamDestroy(stream));
}

static void failures(void) {
    void *a = NULL;
    if (cudaMalloc(&a, (size_t)1 << 50) != cudaErrorMemoryAllocation) die("cudaMalloc of a PiB", 0);
    if (cudaMallocAsync(&a, (size_t)1 << 50, 0) != cudaErrorMemoryAllocation) die("cudaMallocAsync of a PiB", 0);
    cudaGetLastError();
    if (cudaFree((void *)4096) == cudaSuccess) die("cudaFree of what is none", 0);
    cudaGetLastError();
    step_of_the_driver("calls that fail");
}

int main(void) {
    TRY(cudaFree(0));
    step("context");
    linear();
    arrays();
    stream_ordered();
    host();
    managed();
    by_handle();
    graphs();
    failures();
    return 0;
}
