/* The runtime of CUDA 13 as far as by_value.c calls it. */
#include <stddef.h>

typedef struct { size_t width, height, depth; } Extent;
typedef struct { void *at; size_t pitch, width, height; } Pitched;
typedef struct { int kind, id; } Location;
typedef struct { char bytes[64]; } IpcHandle;

int cudaMalloc3D(Pitched *, Extent);
int cudaMalloc3DArray(void **, void *, Extent, unsigned);
int cudaIpcOpenMemHandle(void **, IpcHandle, unsigned);
int cudaMemPrefetchAsync(void *, size_t, Location, unsigned, void *);
int cudaMemAdvise(void *, size_t, int, Location);
int cudaMemPrefetchBatchAsync(void *, void *, size_t, void *, void *, size_t, unsigned long long, void *);
