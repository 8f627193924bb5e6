/* What is true of a GPU product: limits, clocks, what it supports. From NVIDIA's data sheets and real machines' output;
 * a product that is not listed gets middling values, never an error. */
#include <string.h>

#include "nvml_internal.h"

/* The first match counts: the more specific name stands first. What follows bus_width was read off real machines. */
static const struct gv_model models[] = {
    {"B200", 0x2901, 0x199910DE, 1000, 200, 140, 1965, 3996, .bus_width = 8192, .fabric = true},
    {"H200 NVL", 0x233B, 0x199610DE, 600, 200, 75, 1785, 3201, .bus_width = 6144, .reserved = 614},
    {"H200", 0x2335, 0x18BE10DE, 700, 200, 75, 1980, 3201, .bus_width = 6144, .video_clock = 1545, .idle_clock = 345,
     .reserved = 614, .remap_banks = 3072, .thresholds = {-8, -2, 0, 0}, .board_part = "695-2G520-0280-001",
     .vbios = "96.00.A5.00.03", .inforom = "G520.0280.02.02", .fabric = true},
    {"H100 PCIe", 0x2331, 0x162610DE, 350, 200, 50, 1755, 1593, .bus_width = 5120},
    {"H100 NVL", 0x2321, 0x183910DE, 400, 200, 60, 1785, 2619, .bus_width = 6016},
    {"H100", 0x2330, 0x16C110DE, 700, 200, 70, 1980, 2619, .bus_width = 5120, .video_clock = 1545, .idle_clock = 345,
     .reserved = 479, .remap_banks = 2560, .thresholds = {-8, -2, 0, 0}, .board_part = "692-2G520-0200-000",
     .vbios = "96.00.A5.00.01", .inforom = "G520.0200.00.05", .fabric = true},
    {"A100-SXM4-40GB", 0x20B0, 0x134F10DE, 400, 100, 52, 1410, 1215, .bus_width = 5120, .video_clock = 1290},
    {"A100-PCIE-40GB", 0x20F1, 0x145F10DE, 250, 150, 35, 1410, 1215, .bus_width = 5120, .video_clock = 1290},
    {"A100 80GB PCIe", 0x20B5, 0x153310DE, 300, 150, 45, 1410, 1512, .bus_width = 5120, .video_clock = 1290},
    {"A100", 0x20B2, 0x147F10DE, 400, 100, 61, 1410, 1593, .bus_width = 5120, .video_clock = 1290, .reserved = 869,
     .remap_banks = 640, .thresholds = {92, 89, 85, 0}, .board_part = "692-2G506-0212-002", .vbios = "92.00.36.00.02",
     .inforom = "G506.0212.00.01"},
    {"A30", 0x20B7, 0x153210DE, 165, 100, 28, 1440, 1215, .bus_width = 3072},
    {"A40", 0x2235, 0x145A10DE, 300, 100, 25, 1740, 7251, .bus_width = 384},
    {"RTX A6000", 0x2230, 0x145910DE, 300, 100, 20, 2100, 8001, .bus_width = 384},
    {"A10", 0x2236, 0x148210DE, 150, 100, 16, 1695, 6251, .bus_width = 384},
    {"L40S", 0x26B9, 0x185110DE, 350, 100, 35, 2520, 9001, .bus_width = 384, .video_clock = 1965, .reserved = 609,
     .remap_banks = 192, .thresholds = {-5, -2, 0, 0}, .board_part = "900-2G133-0080-000", .vbios = "95.02.66.00.02",
     .inforom = "G133.0242.00.03"},
    {"L40", 0x26B5, 0x169D10DE, 300, 100, 35, 2490, 9001, .bus_width = 384},
    {"L4", 0x27B8, 0x16CA10DE, 72, 40, 12, 2040, 6251, .bus_width = 192, .remap_banks = 96},
    {"RTX 6000 Ada", 0x26B1, 0x16A110DE, 300, 100, 20, 3105, 10001, .bus_width = 384},
    {"RTX 4090", 0x2684, 0x16F410DE, 450, 150, 20, 3105, 10501, .bus_width = 384},
    {"RTX 4080", 0x2704, 0x16F610DE, 320, 150, 15, 3105, 11201, .bus_width = 256},
    {"RTX 3090", 0x2204, 0x147D10DE, 350, 100, 22, 2100, 9751, .bus_width = 384},
    {"RTX 3080", 0x2216, 0x146710DE, 320, 100, 20, 2100, 9501, .bus_width = 320, .power_highest = 336,
     .video_clock = 1950, .memory_clocks = {9251, 5001, 810, 405}, .low_memory_limit = 420, .reserved = 397,
     .thresholds = {98, 95, 93, 83}, .vbios = "94.02.71.40.72", .inforom = "G001.0000.03.03"},
    {"RTX 2080 SUPER", 0x1E81, 0x139F10DE, 250, 105, 15, 2145, 7751, .bus_width = 256, .power_highest = 350,
     .video_clock = 1995, .idle_clock = 300, .reserved = 408, .thresholds = {100, 97, 89, 84},
     .vbios = "90.04.7A.40.73", .inforom = "G001.0000.02.04"},
    {"V100-SXM2-32GB", 0x1DB5, 0x124910DE, 300, 150, 42, 1530, 877, .bus_width = 4096},
    {"V100", 0x1DB1, 0x121210DE, 300, 150, 42, 1530, 877, .bus_width = 4096},
    {"T4", 0x1EB8, 0x12A210DE, 70, 60, 10, 1590, 5001, .bus_width = 256, .video_clock = 1470, .idle_clock = 300,
     .memory_clocks = {405}, .low_memory_limit = 645, .reserved = 388, .bar1 = 256, .thresholds = {96, 93, 85, 0},
     .board_part = "900-2G183-0000-001", .vbios = "90.04.84.00.06", .inforom = "G183.0200.00.02"},
    {"", 0x2230, 0x145910DE, 300, 100, 25, 1800, 8001, .bus_width = 384},
};

static const struct gv_model *find_model(const char *name)
{
    const struct gv_model *model = models;
    while (!strstr(name, model->match))
        model++;
    return model;
}

/* Asked at every reading of memory; a machine once mapped stays where it is, so a device is known by its address. */
const struct gv_model *gv_model_of(const struct gv_device *device)
{
    static _Thread_local struct {
        const struct gv_device *device;
        const struct gv_model *model;
    } known[GV_MAX_DEVICES];
    size_t place = (uintptr_t)device / sizeof *device % GV_MAX_DEVICES;
    if (known[place].device != device) {
        known[place].model = find_model(device->name);
        known[place].device = device;
    }
    return known[place].model;
}

nvmlBrandType_t gv_model_brand(const struct gv_device *device)
{
    static const struct {
        const char *match;
        nvmlBrandType_t brand;
    } brands[] = {{"GeForce", NVML_BRAND_GEFORCE}, {"TITAN", NVML_BRAND_TITAN},  {"Quadro RTX", NVML_BRAND_QUADRO_RTX},
                  {"Quadro", NVML_BRAND_QUADRO},   {"Tesla", NVML_BRAND_TESLA}, {"NVIDIA RTX", NVML_BRAND_NVIDIA_RTX}};
    if (strcmp(device->name, "Tesla T4") == 0)
        return NVML_BRAND_NVIDIA; /* a Tesla by name only */
    for (size_t i = 0; i < sizeof brands / sizeof *brands; i++)
        if (strstr(device->name, brands[i].match))
            return brands[i].brand;
    return NVML_BRAND_NVIDIA;
}

nvmlDeviceArchitecture_t gv_model_architecture(const struct gv_device *device)
{
    int capability = device->cc_major * 10 + device->cc_minor;
    if (capability >= 130)
        return NVML_DEVICE_ARCH_UNKNOWN;
    if (capability >= 100)
        return NVML_DEVICE_ARCH_BLACKWELL;
    if (capability >= 90)
        return NVML_DEVICE_ARCH_HOPPER;
    if (capability == 89)
        return NVML_DEVICE_ARCH_ADA;
    if (capability >= 80)
        return NVML_DEVICE_ARCH_AMPERE;
    if (capability >= 75)
        return NVML_DEVICE_ARCH_TURING;
    if (capability >= 70)
        return NVML_DEVICE_ARCH_VOLTA;
    if (capability >= 60)
        return NVML_DEVICE_ARCH_PASCAL;
    return capability >= 50 ? NVML_DEVICE_ARCH_MAXWELL : NVML_DEVICE_ARCH_KEPLER;
}

bool gv_model_is_consumer(const struct gv_device *device)
{
    nvmlBrandType_t brand = gv_model_brand(device);
    return brand == NVML_BRAND_GEFORCE || brand == NVML_BRAND_TITAN;
}

bool gv_model_has_mig(const struct gv_device *device)
{
    bool chip = device->cc_minor == 0 && device->cc_major >= 8 && device->cc_major <= 10;
    return device->mig_enabled || (chip && !gv_model_is_consumer(device));
}

unsigned int gv_model_cores_per_multiprocessor(const struct gv_device *device)
{
    int capability = device->cc_major * 10 + device->cc_minor;
    if (capability < 50)
        return 192;
    return capability == 60 || (capability >= 70 && capability <= 80) ? 64 : 128;
}

unsigned int gv_model_pcie_generation(const struct gv_device *device)
{
    if (device->cc_major >= 9)
        return 5;
    return device->cc_major == 8 ? 4 : 3;
}

uint64_t gv_model_reserved_memory(const struct gv_device *device)
{
    const uint64_t mebibyte = UINT64_C(1) << 20;
    unsigned int reserved = gv_model_of(device)->reserved;
    return reserved && device->memory / mebibyte / 4 > reserved ? reserved * mebibyte
                                                                : device->memory / 128 / mebibyte * mebibyte;
}

uint64_t gv_model_bar1(const struct gv_device *device)
{
    uint64_t size = UINT64_C(256) << 20;
    unsigned int bar1 = gv_model_of(device)->bar1;
    if (bar1)
        return (uint64_t)bar1 << 20;
    if (!gv_model_is_consumer(device))
        while (size < device->memory)
            size <<= 1;
    return size;
}

bool gv_model_counts_from_limit(const struct gv_device *device)
{
    return gv_model_architecture(device) >= NVML_DEVICE_ARCH_ADA;
}

struct gv_thresholds gv_model_thresholds(const struct gv_device *device)
{
    const struct gv_thresholds *known = &gv_model_of(device)->thresholds;
    if (known->shutdown)
        return *known;
    if (gv_model_counts_from_limit(device))
        return (struct gv_thresholds){-5, -2, 0, gv_model_is_consumer(device) ? 84 : 0};
    return (struct gv_thresholds){92, 89, 85, gv_model_is_consumer(device) ? 83 : 0};
}

bool gv_model_retires_pages(const struct gv_device *device)
{
    return !gv_model_is_consumer(device) && gv_model_architecture(device) < NVML_DEVICE_ARCH_AMPERE;
}

const char *gv_model_vbios(const struct gv_device *device)
{
    const char *known = gv_model_of(device)->vbios;
    if (known)
        return known;
    switch (gv_model_architecture(device)) {
    case NVML_DEVICE_ARCH_BLACKWELL:
        return "97.00.82.00.0F";
    case NVML_DEVICE_ARCH_HOPPER:
        return "96.00.A5.00.01";
    case NVML_DEVICE_ARCH_ADA:
        return "95.02.66.00.02";
    case NVML_DEVICE_ARCH_AMPERE:
        return device->cc_minor == 0 ? "92.00.36.00.02" : "94.02.42.00.A9";
    case NVML_DEVICE_ARCH_TURING:
        return "90.04.7A.40.73";
    default:
        return "88.00.98.00.01";
    }
}

const char *gv_model_inforom(const struct gv_device *device)
{
    const char *known = gv_model_of(device)->inforom;
    if (known)
        return known;
    switch (gv_model_architecture(device)) {
    case NVML_DEVICE_ARCH_HOPPER:
        return "G520.0200.00.05";
    case NVML_DEVICE_ARCH_ADA:
        return "G133.0242.00.03";
    case NVML_DEVICE_ARCH_AMPERE:
        return device->cc_minor == 0 ? "G506.0212.00.01" : "G002.0000.00.03";
    default:
        return "G001.0000.02.04";
    }
}

uint64_t gv_model_hash(const struct gv_device *device)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *character = device->uuid; *character; character++)
        hash = (hash ^ (unsigned char)*character) * UINT64_C(1099511628211);
    return hash;
}

void gv_model_serial(const struct gv_device *device, char serial[NVML_DEVICE_SERIAL_BUFFER_SIZE])
{
    uint64_t hash = gv_model_hash(device);
    serial[13] = 0;
    for (int digit = 12; digit > 0; digit--, hash /= 10)
        serial[digit] = (char)('0' + hash % 10);
    serial[0] = '1'; /* as real ones begin */
}
