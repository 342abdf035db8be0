// Takes 256 MiB of the first device and 512 MiB of the last, and prints what runtime and NVML say of each: a line of
// figures per device. Linked with the simulated libcudart and libnvidia-ml.
#include <stdio.h>
#include <stdlib.h>

int cudaGetDeviceCount(int *);
int cudaSetDevice(int);
int cudaGetDevice(int *);
int cudaMalloc(void **, size_t);
int cudaFree(void *);
int cudaMemGetInfo(size_t *, size_t *);
int cudaDeviceGetPCIBusId(char *, int, int);
struct attributes {
    int kind, device;
    void *on_device, *on_host;
    long reserved[16];
};
int cudaPointerGetAttributes(struct attributes *, const void *);

int nvmlInit_v2(void);
int nvmlDeviceGetCount_v2(unsigned *);
int nvmlDeviceGetHandleByIndex_v2(unsigned, void **);
int nvmlDeviceGetName(void *, char *, unsigned);
int nvmlDeviceGetUUID(void *, char *, unsigned);
struct memory {
    unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(void *, struct memory *);

static void must(int code, const char *what) {
    if (code != 0) {
        fprintf(stderr, "%s: %d\n", what, code);
        exit(1);
    }
}

int main(void) {
    int count = 0;
    unsigned nvml = 0;
    must(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    must(nvmlInit_v2(), "nvmlInit_v2");
    must(nvmlDeviceGetCount_v2(&nvml), "nvmlDeviceGetCount_v2");
    printf("{\"cuda\":%d,\"nvml\":%u}\n", count, nvml);
    for (int device = 0; device < count; device++) {
        size_t before, after, last, total;
        void *block;
        char bus[32] = "";
        struct attributes of = {0};
        must(cudaSetDevice(device), "cudaSetDevice");
        must(cudaMemGetInfo(&before, &total), "cudaMemGetInfo");
        must(cudaMalloc(&block, (256ul << 20) * (device + 1)), "cudaMalloc");
        must(cudaMemGetInfo(&after, &total), "cudaMemGetInfo");
        must(cudaPointerGetAttributes(&of, block), "cudaPointerGetAttributes");
        must(cudaDeviceGetPCIBusId(bus, sizeof bus, device), "cudaDeviceGetPCIBusId");
        // Freed while another device is current.
        must(cudaSetDevice(0), "cudaSetDevice");
        must(cudaFree(block), "cudaFree");
        must(cudaSetDevice(device), "cudaSetDevice");
        must(cudaMemGetInfo(&last, &total), "cudaMemGetInfo");
        printf("{\"device\":%d,\"total\":%zu,\"took\":%zd,\"left\":%zd,\"bus\":\"%s\"}\n", of.device, total,
               before - after, before - last, bus);
    }
    for (unsigned device = 0; device < nvml; device++) {
        void *handle;
        char name[96], uuid[96];
        struct memory memory;
        must(nvmlDeviceGetHandleByIndex_v2(device, &handle), "nvmlDeviceGetHandleByIndex_v2");
        must(nvmlDeviceGetName(handle, name, sizeof name), "nvmlDeviceGetName");
        must(nvmlDeviceGetUUID(handle, uuid, sizeof uuid), "nvmlDeviceGetUUID");
        must(nvmlDeviceGetMemoryInfo(handle, &memory), "nvmlDeviceGetMemoryInfo");
        printf("{\"name\":\"%s\",\"uuid\":\"%s\",\"total\":%llu,\"used\":%llu}\n", name, uuid, memory.total,
               memory.used);
    }
    return 0;
}
