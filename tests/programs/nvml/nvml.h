/* The part of NVML's interface that the tests use: names, arguments, layouts. */
typedef unsigned long long u64;
typedef void *Device;

typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } Memory2;
typedef struct { u64 protected_kib, unprotected_kib; } ProtectedSize;
typedef struct { unsigned counts[8]; u64 mib; } Attributes;
typedef struct { unsigned counts[10]; u64 mib; } Profile;
typedef struct { unsigned version, counts[10]; u64 mib; char name[96]; } Profile2;
typedef struct { unsigned version, counts[9]; u64 mib; char name[96]; unsigned capabilities; } Profile3;
typedef struct { unsigned pid; u64 used; } Process1;
typedef struct { unsigned pid; u64 used; unsigned instance[2]; } Process2;
typedef struct { unsigned pid; u64 used; unsigned instance[2]; u64 protected; } Detail;
typedef struct { unsigned version, mode, count; Detail *entries; } DetailList;
typedef struct { unsigned gpu, memory; u64 peak, time, start; unsigned running, reserved[5]; } Accounting;
typedef struct { unsigned pid, running, gpu, memory; u64 peak; unsigned samples; u64 rest[4]; } Accounting2;
typedef struct { unsigned version, type; char value[44]; } Uuid;
typedef struct { unsigned field, scope; long long time, latency; unsigned type, rc; u64 value; } FieldValue;

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, VERSION_MISMATCH = 25 };
#define VERSION(type, number) ((unsigned)sizeof(type) | (unsigned)(number) << 24)

#define NVML_FUNCTIONS(F) \
    F(nvmlInit, (void)) \
    F(nvmlInit_v2, (void)) \
    F(nvmlInitWithFlags, (unsigned flags)) \
    F(nvmlDeviceGetUUID, (Device device, char *text, unsigned size)) \
    F(nvmlDeviceGetIndex, (Device device, unsigned *index)) \
    F(nvmlDeviceIsMigDeviceHandle, (Device device, unsigned *is)) \
    F(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, (Device mig, Device *device)) \
    F(nvmlDeviceGetHandleByIndex, (unsigned index, Device *device)) \
    F(nvmlDeviceGetHandleByIndex_v2, (unsigned index, Device *device)) \
    F(nvmlDeviceGetHandleByUUID, (const char *uuid, Device *device)) \
    F(nvmlDeviceGetHandleByUUIDV, (const Uuid *uuid, Device *device)) \
    F(nvmlDeviceGetHandleByPciBusId, (const char *id, Device *device)) \
    F(nvmlDeviceGetHandleByPciBusId_v2, (const char *id, Device *device)) \
    F(nvmlDeviceGetMigDeviceHandleByIndex, (Device device, unsigned index, Device *mig)) \
    F(nvmlDeviceGetMemoryInfo, (Device device, Memory *info)) \
    F(nvmlDeviceGetMemoryInfo_v2, (Device device, Memory2 *info)) \
    F(nvmlDeviceGetBAR1MemoryInfo, (Device device, Memory *info)) \
    F(nvmlDeviceGetConfComputeProtectedMemoryUsage, (Device device, Memory *info)) \
    F(nvmlDeviceGetConfComputeMemSizeInfo, (Device device, ProtectedSize *info)) \
    F(nvmlDeviceGetAttributes, (Device device, Attributes *info)) \
    F(nvmlDeviceGetAttributes_v2, (Device device, Attributes *info)) \
    F(nvmlDeviceGetGpuInstanceProfileInfo, (Device device, unsigned profile, Profile *info)) \
    F(nvmlDeviceGetGpuInstanceProfileInfoV, (Device device, unsigned profile, void *info)) \
    F(nvmlDeviceGetGpuInstanceProfileInfoByIdV, (Device device, unsigned profile, void *info)) \
    F(nvmlDeviceGetFieldValues, (Device device, int count, FieldValue *values)) \
    F(nvmlVgpuInstanceGetFbUsage, (unsigned instance, u64 *usage)) \
    F(nvmlVgpuTypeGetFramebufferSize, (unsigned type, u64 *size)) \
    F(nvmlDeviceGetComputeRunningProcesses, (Device device, unsigned *count, Process1 *infos)) \
    F(nvmlDeviceGetComputeRunningProcesses_v2, (Device device, unsigned *count, Process2 *infos)) \
    F(nvmlDeviceGetComputeRunningProcesses_v3, (Device device, unsigned *count, Process2 *infos)) \
    F(nvmlDeviceGetGraphicsRunningProcesses, (Device device, unsigned *count, Process1 *infos)) \
    F(nvmlDeviceGetGraphicsRunningProcesses_v2, (Device device, unsigned *count, Process2 *infos)) \
    F(nvmlDeviceGetGraphicsRunningProcesses_v3, (Device device, unsigned *count, Process2 *infos)) \
    F(nvmlDeviceGetMPSComputeRunningProcesses, (Device device, unsigned *count, Process1 *infos)) \
    F(nvmlDeviceGetMPSComputeRunningProcesses_v2, (Device device, unsigned *count, Process2 *infos)) \
    F(nvmlDeviceGetMPSComputeRunningProcesses_v3, (Device device, unsigned *count, Process2 *infos)) \
    F(nvmlDeviceGetRunningProcessDetailList, (Device device, DetailList *list)) \
    F(nvmlDeviceGetAccountingStats, (Device device, unsigned pid, Accounting *stats)) \
    F(nvmlDeviceGetAccountingStats_v2, (Device device, Accounting2 *stats))

#define DECLARE(name, arguments) int name arguments;
NVML_FUNCTIONS(DECLARE)
int nvmlInternalGetExportTable(void **table, const void *id);
