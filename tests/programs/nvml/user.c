/* Asks NVML everything about memory in all versions and prints one JSON object a call, with what it learned:
   `user` linked with the library, or `user LIBRARY` looking each function up. A last argument `cuda` holds memory of the
   simulated GPU, in this process and in a child. */
#define _GNU_SOURCE
#include "nvml.h"
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBER(name, arguments) int (*name) arguments;
static struct { NVML_FUNCTIONS(MEMBER) } nvml;

static void look_up(const char *path) {
#ifdef LINKED
    (void)path;
#define TAKE(name, arguments) nvml.name = name;
    NVML_FUNCTIONS(TAKE)
#else
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
#define TAKE(name, arguments) if (!library || !(nvml.name = dlsym(library, #name))) { fprintf(stderr, "%s\n", dlerror()); exit(1); }
    NVML_FUNCTIONS(TAKE)
    Dl_info info;
    if (!dladdr(dlsym(library, "nvmlInternalGetExportTable"), &info) || !strstr(info.dli_fname, "libnvidia-ml")) exit(1);
#endif
}

static void say(const char *function, int rc, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("{\"fn\":\"%s\",\"rc\":%d", function, rc);
    vprintf(format, arguments);
    printf("}\n");
    va_end(arguments);
}

static Device device;

/* What NVML calls the device, if the answer says that it is one. */
static const char *place(int rc, Device which) {
    static char text[64];
    unsigned index = 0, is_mig = 0;
    Device parent = which;
    if ((rc != OK && rc != NOT_SUPPORTED) || nvml.nvmlDeviceGetIndex(which, &index)) return "";
    nvml.nvmlDeviceIsMigDeviceHandle(which, &is_mig);
    if (!is_mig) return snprintf(text, sizeof text, ",\"nvml\":%u", index), text;
    unsigned of_parent;
    nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(which, &parent);
    nvml.nvmlDeviceGetIndex(parent, &of_parent);
    return snprintf(text, sizeof text, ",\"nvml\":%u,\"mig\":%u", of_parent, index), text;
}

static void looked_up(const char *function, int rc, Device found, const char *id) {
    char asked[160] = "";
    if (id && (rc == OK || rc == NOT_FOUND)) snprintf(asked, sizeof asked, ",\"id\":\"%s\"", id);
    say(function, rc, ",\"size\":0,\"ptr\":\"0x%llx\"%s%s", rc ? 0 : (u64)found, place(rc, rc ? NULL : found), asked);
}

#define MIB(value) ((u64)(value) << 20)
#define LISTS(F) \
    F(nvmlDeviceGetComputeRunningProcesses, , Process1) F(nvmlDeviceGetComputeRunningProcesses, _v2, Process2) \
    F(nvmlDeviceGetComputeRunningProcesses, _v3, Process2) F(nvmlDeviceGetGraphicsRunningProcesses, , Process1) \
    F(nvmlDeviceGetGraphicsRunningProcesses, _v2, Process2) F(nvmlDeviceGetGraphicsRunningProcesses, _v3, Process2) \
    F(nvmlDeviceGetMPSComputeRunningProcesses, , Process1) F(nvmlDeviceGetMPSComputeRunningProcesses, _v2, Process2) \
    F(nvmlDeviceGetMPSComputeRunningProcesses, _v3, Process2)

/* Adds a list up; a list that does not read as one has no sums. */
#define SUMS(type, entries, count) \
    char sums[96] = ""; \
    u64 own = 0, rest = 0; \
    int is_in = 0, has_rest = 0, odd = 0; \
    for (unsigned i = 0; i < count; i++) { \
        const type *entry = &entries[i]; \
        odd |= entry->pid == 0; \
        if (entry->used == ~0ull) continue; \
        if (entry->pid == (unsigned)getpid()) own += entry->used, is_in = 1; \
        else rest += entry->used, has_rest = 1; \
    } \
    if (is_in && !odd) sprintf(sums, ",\"own\":%llu", own); \
    if (has_rest && !odd) sprintf(sums + strlen(sums), ",\"others\":%llu", rest)

static void lists(void) {
#define ASK(name, version, type) { \
        unsigned count = 0; \
        int rc = nvml.name##version(device, &count, NULL); \
        say(#name, rc, ",\"size\":0%s,\"count\":%u", place(rc, device), count); \
        type entries[8]; \
        memset(entries, 0, sizeof entries); \
        count = 8; \
        rc = nvml.name##version(device, &count, entries); \
        SUMS(type, entries, count); \
        say(#name, rc, ",\"size\":0%s,\"count\":%u%s", place(rc, device), count, sums); \
    }
    LISTS(ASK)
    Detail details[8];
    memset(details, 0, sizeof details);
    DetailList list = {.version = VERSION(DetailList, 1), .mode = 0, .count = 0};
    int rc = nvml.nvmlDeviceGetRunningProcessDetailList(device, &list);
    say("nvmlDeviceGetRunningProcessDetailList", rc, ",\"size\":0%s,\"count\":%u", place(rc, device), list.count);
    list = (DetailList){.version = VERSION(DetailList, 1), .mode = 0, .count = 8, .entries = details};
    rc = nvml.nvmlDeviceGetRunningProcessDetailList(device, &list);
    SUMS(Detail, details, list.count);
    say("nvmlDeviceGetRunningProcessDetailList", rc, ",\"size\":0%s,\"count\":%u%s", place(rc, device), list.count, sums);
}

static void memory(Device which) {
    Memory one;
    Memory2 two = {.version = VERSION(Memory2, 2)};
    int rc = nvml.nvmlDeviceGetMemoryInfo(which, &one);
    if (rc) say("nvmlDeviceGetMemoryInfo", rc, "%s", place(rc, which));
    else say("nvmlDeviceGetMemoryInfo", rc, "%s,\"free\":%llu,\"total\":%llu", place(rc, which), one.free, one.total);
    rc = nvml.nvmlDeviceGetMemoryInfo_v2(which, &two);
    if (rc) say("nvmlDeviceGetMemoryInfo", rc, "%s", place(rc, which));
    else say("nvmlDeviceGetMemoryInfo", rc, "%s,\"free\":%llu,\"total\":%llu,\"reserved\":%llu", place(rc, which), two.free, two.total, two.reserved);
}

static void parts(void) {
    Memory info;
    int rc = nvml.nvmlDeviceGetBAR1MemoryInfo(device, &info);
    say("nvmlDeviceGetBAR1MemoryInfo", rc, ",\"size\":%llu%s", rc ? 0 : info.used, place(rc, device));
    rc = nvml.nvmlDeviceGetConfComputeProtectedMemoryUsage(device, &info);
    if (rc) say("nvmlDeviceGetConfComputeProtectedMemoryUsage", rc, "%s", place(rc, device));
    else say("nvmlDeviceGetConfComputeProtectedMemoryUsage", rc, "%s,\"free\":%llu,\"total\":%llu", place(rc, device), info.free, info.total);
    ProtectedSize protected;
    rc = nvml.nvmlDeviceGetConfComputeMemSizeInfo(device, &protected);
    if (rc) say("nvmlDeviceGetConfComputeMemSizeInfo", rc, "%s", place(rc, device));
    else say("nvmlDeviceGetConfComputeMemSizeInfo", rc, "%s,\"total\":%llu", place(rc, device), protected.protected_kib << 10);
    Attributes attributes;
    int (*both[])(Device, Attributes *) = {nvml.nvmlDeviceGetAttributes, nvml.nvmlDeviceGetAttributes_v2};
    for (int i = 0; i < 2; i++) {
        rc = both[i](device, &attributes);
        if (rc) say("nvmlDeviceGetAttributes", rc, "%s", place(rc, device));
        else say("nvmlDeviceGetAttributes", rc, "%s,\"total\":%llu", place(rc, device), MIB(attributes.mib));
    }
    Profile profile;
    Profile2 two = {.version = VERSION(Profile2, 2)};
    Profile3 three = {.version = VERSION(Profile3, 3)};
    rc = nvml.nvmlDeviceGetGpuInstanceProfileInfo(device, 0, &profile);
    say("nvmlDeviceGetGpuInstanceProfileInfo", rc, ",\"size\":%llu%s", rc ? 0 : MIB(profile.mib), place(rc, device));
    rc = nvml.nvmlDeviceGetGpuInstanceProfileInfoV(device, 0, &two);
    say("nvmlDeviceGetGpuInstanceProfileInfoV", rc, ",\"size\":%llu%s", rc ? 0 : MIB(two.mib), place(rc, device));
    rc = nvml.nvmlDeviceGetGpuInstanceProfileInfoByIdV(device, 0, &three);
    say("nvmlDeviceGetGpuInstanceProfileInfoByIdV", rc, ",\"size\":%llu%s", rc ? 0 : MIB(three.mib), place(rc, device));
    FieldValue values[3] = {{.field = 1}, {.field = 2}, {.field = 3}};
    rc = nvml.nvmlDeviceGetFieldValues(device, 3, values);
    say("nvmlDeviceGetFieldValues", rc, ",\"size\":0,\"count\":3%s", place(rc, device));
    u64 bytes;
    rc = nvml.nvmlVgpuInstanceGetFbUsage(7, &bytes);
    say("nvmlVgpuInstanceGetFbUsage", rc, ",\"ptr\":\"0x7\",\"size\":%llu", rc ? 0 : bytes);
    rc = nvml.nvmlVgpuTypeGetFramebufferSize(9, &bytes);
    say("nvmlVgpuTypeGetFramebufferSize", rc, ",\"ptr\":\"0x9\",\"size\":%llu", rc ? 0 : bytes);
}

static void accounting(void) {
    unsigned pids[2] = {getpid(), 1};
    for (int i = 0; i < 2; i++) {
        Accounting one;
        Accounting2 two = {.pid = pids[i]};
        const char *whose = i ? "others" : "own";
        int rc = nvml.nvmlDeviceGetAccountingStats(device, pids[i], &one);
        if (rc) say("nvmlDeviceGetAccountingStats", rc, ",\"size\":0%s", place(rc, device));
        else say("nvmlDeviceGetAccountingStats", rc, ",\"size\":0%s,\"%s\":%llu", place(rc, device), whose, one.peak);
        rc = nvml.nvmlDeviceGetAccountingStats_v2(device, &two);
        if (rc || two.peak == ~0ull) say("nvmlDeviceGetAccountingStats", rc, ",\"size\":0%s", place(rc, device));
        else say("nvmlDeviceGetAccountingStats", rc, ",\"size\":0%s,\"%s\":%llu", place(rc, device), whose, two.peak);
    }
}

static void hold(u64 bytes) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*init)(unsigned) = dlsym(driver, "cuInit");
    int (*retain)(void **, int) = dlsym(driver, "cuDevicePrimaryCtxRetain");
    int (*set)(void *) = dlsym(driver, "cuCtxSetCurrent");
    int (*alloc)(u64 *, u64) = dlsym(driver, "cuMemAlloc_v2");
    void *context;
    u64 at;
    if (init(0) || retain(&context, 0) || set(context) || alloc(&at, bytes)) exit(1);
}

int main(int argc, char **argv) {
    int with_cuda = !strcmp(argv[argc - 1], "cuda"), up[2], down[2];
    pid_t child = 0;
    if (with_cuda) {
        if (pipe(up) || pipe(down)) return 1;
        child = fork();
        if (!child) {
            char byte = 0;
            close(down[1]);
            hold(40 << 20);
            return write(up[1], &byte, 1) + read(down[0], &byte, 1) != 1;
        }
        char byte;
        close(up[1]);
        if (read(up[0], &byte, 1) != 1) return 1;
        hold(30 << 20);
    }
    look_up(argv[1]);
    say("nvmlInit", nvml.nvmlInit(), ",\"ptr\":\"0x0\",\"size\":0");
    say("nvmlInit", nvml.nvmlInit_v2(), ",\"ptr\":\"0x0\",\"size\":0");
    say("nvmlInitWithFlags", nvml.nvmlInitWithFlags(0), ",\"ptr\":\"0x0\",\"size\":0");

    Device found = NULL, mig = NULL;
    int rc = nvml.nvmlDeviceGetHandleByIndex(0, &found);
    looked_up("nvmlDeviceGetHandleByIndex", rc, found, NULL);
    rc = nvml.nvmlDeviceGetHandleByIndex_v2(0, &device);
    looked_up("nvmlDeviceGetHandleByIndex", rc, device, NULL);
    rc = nvml.nvmlDeviceGetHandleByIndex_v2(99, &found);
    looked_up("nvmlDeviceGetHandleByIndex", rc, found, NULL);
    char uuid[96];
    if (nvml.nvmlDeviceGetUUID(device, uuid, sizeof uuid)) return 1;
    rc = nvml.nvmlDeviceGetHandleByUUID(uuid, &found);
    looked_up("nvmlDeviceGetHandleByUUID", rc, found, uuid);
    rc = nvml.nvmlDeviceGetHandleByUUID("GPU-of nobody", &found);
    looked_up("nvmlDeviceGetHandleByUUID", rc, found, "GPU-of nobody");
    Uuid as_text = {.version = VERSION(Uuid, 1), .type = 1};
    strcpy(as_text.value, uuid);
    rc = nvml.nvmlDeviceGetHandleByUUIDV(&as_text, &found);
    looked_up("nvmlDeviceGetHandleByUUIDV", rc, found, uuid);
    Uuid as_bytes = {.version = VERSION(Uuid, 1), .type = 2};
    rc = nvml.nvmlDeviceGetHandleByUUIDV(&as_bytes, &found);
    looked_up("nvmlDeviceGetHandleByUUIDV", rc, found, NULL);
    rc = nvml.nvmlDeviceGetHandleByPciBusId("0000:01:00.0", &found);
    looked_up("nvmlDeviceGetHandleByPciBusId", rc, found, "0000:01:00.0");
    rc = nvml.nvmlDeviceGetHandleByPciBusId_v2("00000000:01:00.0", &found);
    looked_up("nvmlDeviceGetHandleByPciBusId", rc, found, "00000000:01:00.0");
    rc = nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, 1, &mig);
    if (rc == NOT_SUPPORTED) say("nvmlDeviceGetMigDeviceHandleByIndex", rc, ",\"size\":0");
    else looked_up("nvmlDeviceGetMigDeviceHandleByIndex", rc, mig, NULL);

    memory(device);
    if (mig) memory(mig);
    Memory2 old = {.version = 1};
    rc = nvml.nvmlDeviceGetMemoryInfo_v2(device, &old);
    if (rc) say("nvmlDeviceGetMemoryInfo", rc, "%s", place(rc, device));
    else say("nvmlDeviceGetMemoryInfo", rc, "%s,\"free\":%llu,\"total\":%llu,\"reserved\":%llu", place(rc, device), old.free, old.total, old.reserved);
    parts();
    lists();
    accounting();
    if (with_cuda) {
        int status;
        fflush(stdout);
        close(down[1]);
        close(up[0]);
        kill(child, 9);
        waitpid(child, &status, 0);
    }
    return 0;
}
