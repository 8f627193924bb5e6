/* A small machine for the fuzzers: a whole GPU and one cut into two slices. */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include <stddef.h>

int gv_create(const char *directory, const char *description);
long gv_snapshot(const char *directory, char *buffer, size_t size);
int gv_set_compute_mode(const char *directory, int device, int mode);
int gv_set_faults(const char *directory, int device, unsigned faults);
long gv_lost_records(const char *directory);

static const char DESCRIPTION[] =
    "inventory=fuzz\ndriver_version=580.95.05\ncuda_version=13000\n"
    "device=\nuuid=GPU-5f1ce952-d417-4541-a323-cf2f078b0ef9\nname=A\nmemory=4294967296\nmultiprocessors=10\n"
    "pci_bus_id=00000000:07:00.0\nminor=0\ncompute_capability=8.0\nrelative_speed=3ff0000000000000\ncompute_mode=0\n"
    "device=\nuuid=GPU-5f1ce952-d417-4541-a323-cf2f078b0ef8\nname=B\nmemory=4294967296\nmultiprocessors=10\n"
    "pci_bus_id=00000000:08:00.0\nminor=1\ncompute_capability=8.0\nrelative_speed=4000000000000000\nmig_enabled=1\n"
    "mig=\nuuid=MIG-af8abf41-fce2-5c8a-ba1d-a4dc67253d6e\nname=C\nprofile=1g.5gb\nparent=1\ngpu_instance=1\n"
    "compute_instance=0\nmemory=1073741824\nmultiprocessors=1\n"
    "mig=\nuuid=MIG-af8abf41-fce2-5c8a-ba1d-a4dc67253d6f\nname=D\nprofile=1g.5gb\nparent=1\ngpu_instance=2\n"
    "compute_instance=0\nmemory=1073741824\nmultiprocessors=1\n";

#endif
