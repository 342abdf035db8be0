/* A libnvidia-ml of a machine that has what the simulated one has not: GPUs before it, MIG, accounting, confidential
   computing, vGPUs. Every figure is another, so that no two fields can be mixed up. */
#include "nvml.h"
#include <string.h>
#include <unistd.h>

enum { GPU = 0x1000, MIG = 0x2000, MIB = 1 << 20 };
static const unsigned others[2] = {1, 2};

int nvmlInit(void) { return OK; }
int nvmlInit_v2(void) { return OK; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlInternalGetExportTable(void **table, const void *id) { (void)table, (void)id; return NOT_SUPPORTED; }
int nvmlDeviceGetUUID(Device device, char *text, unsigned size) {
    (void)device;
    strncpy(text, "GPU-0f0e0d0c-0b0a-0908-0706-050403020100", size);
    return OK;
}
int nvmlDeviceGetIndex(Device device, unsigned *index) {
    return *index = device == (Device)MIG ? 1 : 5, OK;
}
int nvmlDeviceIsMigDeviceHandle(Device device, unsigned *is) { return *is = device == (Device)MIG, OK; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device mig, Device *device) {
    return mig == (Device)MIG ? *device = (Device)GPU, OK : INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByIndex(unsigned index, Device *device) {
    return index < 8 ? *device = (Device)GPU, OK : INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) { return nvmlDeviceGetHandleByIndex(index, device); }
int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    if (!strcmp(uuid, "GPU-0f0e0d0c-0b0a-0908-0706-050403020100")) return *device = (Device)GPU, OK;
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByUUIDV(const Uuid *uuid, Device *device) {
    return uuid->type == 1 ? nvmlDeviceGetHandleByUUID(uuid->value, device) : uuid->type == 2 ? *device = (Device)GPU, OK : INVALID_ARGUMENT;
}
int nvmlDeviceGetHandleByPciBusId(const char *id, Device *device) { return *id ? *device = (Device)GPU, OK : NOT_FOUND; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, Device *device) { return nvmlDeviceGetHandleByPciBusId(id, device); }
int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *mig) {
    (void)device;
    return index == 1 ? *mig = (Device)MIG, OK : NOT_FOUND;
}
int nvmlDeviceGetMemoryInfo(Device device, Memory *info) {
    return *info = device == (Device)MIG ? (Memory){20, 12, 8} : (Memory){80, 50, 30}, OK;
}
int nvmlDeviceGetMemoryInfo_v2(Device device, Memory2 *info) {
    (void)device;
    if (info->version != VERSION(Memory2, 2)) return VERSION_MISMATCH;
    return *info = (Memory2){info->version, 80, 2, 51, 27}, OK;
}
int nvmlDeviceGetBAR1MemoryInfo(Device device, Memory *info) { (void)device; return *info = (Memory){128, 120, 9}, OK; }
int nvmlDeviceGetConfComputeProtectedMemoryUsage(Device device, Memory *info) {
    (void)device;
    return *info = (Memory){40, 33, 7}, OK;
}
int nvmlDeviceGetConfComputeMemSizeInfo(Device device, ProtectedSize *info) {
    (void)device;
    return *info = (ProtectedSize){41, 42}, OK;
}
int nvmlDeviceGetAttributes(Device device, Attributes *info) {
    (void)device;
    return *info = (Attributes){{1, 2, 3, 4, 5, 6, 7, 8}, 9856}, OK;
}
int nvmlDeviceGetAttributes_v2(Device device, Attributes *info) { return nvmlDeviceGetAttributes(device, info); }
int nvmlDeviceGetGpuInstanceProfileInfo(Device device, unsigned profile, Profile *info) {
    (void)device, (void)profile;
    return *info = (Profile){{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 4864}, OK;
}
int nvmlDeviceGetGpuInstanceProfileInfoV(Device device, unsigned profile, void *info) {
    (void)device, (void)profile;
    Profile2 *two = info;
    Profile3 *three = info;
    if (two->version == VERSION(Profile2, 2)) two->mib = 4865;
    else if (three->version == VERSION(Profile3, 3)) three->mib = 4866;
    else return VERSION_MISMATCH;
    return OK;
}
int nvmlDeviceGetGpuInstanceProfileInfoByIdV(Device device, unsigned profile, void *info) {
    return nvmlDeviceGetGpuInstanceProfileInfoV(device, profile, info);
}
int nvmlDeviceGetFieldValues(Device device, int count, FieldValue *values) {
    (void)device;
    for (int i = 0; i < count; i++) values[i].rc = NOT_SUPPORTED;
    return OK;
}
int nvmlVgpuInstanceGetFbUsage(unsigned instance, u64 *usage) { return *usage = instance + 100, OK; }
int nvmlVgpuTypeGetFramebufferSize(unsigned type, u64 *size) { return *size = type + 1000, OK; }

/* This process twice, as with two contexts, two others, and one whose memory nobody knows. */
#define FILL(type, known) \
    do { \
        type all[5] = {{.pid = others[0], .used = 3 * MIB}, {.pid = getpid(), .used = known}, {.pid = others[1], .used = 4 * MIB}, \
                       {.pid = 3, .used = ~0ull}, {.pid = getpid(), .used = 1}}; \
        unsigned room = *count; \
        *count = 5; \
        if (room < 5) return INSUFFICIENT_SIZE; \
        memcpy(infos, all, sizeof all); \
        return OK; \
    } while (0)

int nvmlDeviceGetComputeRunningProcesses(Device device, unsigned *count, Process1 *infos) { (void)device; FILL(Process1, 10); }
int nvmlDeviceGetComputeRunningProcesses_v2(Device device, unsigned *count, Process2 *infos) { (void)device; FILL(Process2, 11); }
int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process2 *infos) { (void)device; FILL(Process2, 12); }
int nvmlDeviceGetGraphicsRunningProcesses(Device device, unsigned *count, Process1 *infos) { (void)device; FILL(Process1, 13); }
int nvmlDeviceGetGraphicsRunningProcesses_v2(Device device, unsigned *count, Process2 *infos) { (void)device; FILL(Process2, 14); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, Process2 *infos) { (void)device; FILL(Process2, 15); }
int nvmlDeviceGetMPSComputeRunningProcesses(Device device, unsigned *count, Process1 *infos) { (void)device; FILL(Process1, 16); }
int nvmlDeviceGetMPSComputeRunningProcesses_v2(Device device, unsigned *count, Process2 *infos) { (void)device; FILL(Process2, 17); }
/* The layout that drivers of the 535 series had first: a list that cannot be told by its name. */
int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device device, unsigned *count, Process2 *infos) {
    (void)device;
    if (*count < 3) return *count = 2, INSUFFICIENT_SIZE;
    Detail all[2] = {{.pid = others[0], .used = 3 * MIB}, {.pid = getpid(), .used = 18}};
    memcpy(infos, all, sizeof all);
    return *count = 2, OK;
}
int nvmlDeviceGetRunningProcessDetailList(Device device, DetailList *list) {
    (void)device;
    if (list->version != VERSION(DetailList, 1)) return VERSION_MISMATCH;
    unsigned *count = &list->count;
    Detail *infos = list->entries;
    FILL(Detail, 19);
}
int nvmlDeviceGetAccountingStats(Device device, unsigned pid, Accounting *stats) {
    (void)device;
    return *stats = (Accounting){1, 2, pid == (unsigned)getpid() ? 700 : 800, 3, 4, 1, {0}}, OK;
}
int nvmlDeviceGetAccountingStats_v2(Device device, Accounting2 *stats) {
    (void)device;
    stats->peak = stats->pid == (unsigned)getpid() ? 900 : ~0ull;
    return OK;
}
