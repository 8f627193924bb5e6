// What both libraries say to a Go program that finds them with dlopen through cgo, as go-nvml does; it needs no module.
package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

struct memory { unsigned long long total, free, used; };
struct pci { char short_bus_id[16]; unsigned numbers[5]; char bus_id[32]; };

// Go cannot call a pointer to a C function. These do, for each number of arguments; each is a register wide.
typedef unsigned long long word;
static int call0(void *f) { return ((int (*)(void))f)(); }
static int call1(void *f, word a) { return ((int (*)(word))f)(a); }
static int call2(void *f, word a, word b) { return ((int (*)(word, word))f)(a, b); }
static int call3(void *f, word a, word b, word c) { return ((int (*)(word, word, word))f)(a, b, c); }
*/
import "C"

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"unsafe"
)

const (
	textSize = 96
	noDevice = 100
)

type described struct {
	UUID   string `json:"uuid"`
	Bus    string `json:"pci_bus_id"`
	Name   string `json:"name"`
	Memory uint64 `json:"memory"`
}

type library struct{ handle unsafe.Pointer }

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func open(name string) library {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	handle := C.dlopen(text, C.RTLD_NOW)
	if handle == nil {
		fail("%s", C.GoString(C.dlerror()))
	}
	return library{handle}
}

// result calls a function by its name, with up to three arguments.
func (l library) result(name string, arguments ...C.word) C.int {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	function := C.dlsym(l.handle, text)
	if function == nil {
		fail("%s is missing", name)
	}
	switch len(arguments) {
	case 0:
		return C.call0(function)
	case 1:
		return C.call1(function, arguments[0])
	case 2:
		return C.call2(function, arguments[0], arguments[1])
	}
	return C.call3(function, arguments[0], arguments[1], arguments[2])
}

func (l library) call(name string, arguments ...C.word) {
	if result := l.result(name, arguments...); result != 0 {
		fail("%s answered %d", name, result)
	}
}

// room is memory of C's, so that the garbage collector does not move it.
func room(size C.size_t) (unsafe.Pointer, C.word) {
	memory := C.calloc(1, size)
	return memory, C.word(uintptr(memory))
}

func text(memory unsafe.Pointer) string { return C.GoString((*C.char)(memory)) }

func byNVML(nvml library) []described {
	nvml.call("nvmlInit_v2")
	count, countAt := room(4)
	nvml.call("nvmlDeviceGetCount_v2", countAt)
	handle, handleAt := room(8)
	uuid, uuidAt := room(textSize)
	name, nameAt := room(textSize)
	pci, pciAt := room(C.sizeof_struct_pci)
	memory, memoryAt := room(C.sizeof_struct_memory)
	gpus := []described{}
	for index := C.uint(0); index < *(*C.uint)(count); index++ {
		nvml.call("nvmlDeviceGetHandleByIndex_v2", C.word(index), handleAt)
		gpu := *(*C.word)(handle)
		nvml.call("nvmlDeviceGetUUID", gpu, uuidAt, textSize)
		nvml.call("nvmlDeviceGetName", gpu, nameAt, textSize)
		nvml.call("nvmlDeviceGetPciInfo_v3", gpu, pciAt)
		nvml.call("nvmlDeviceGetMemoryInfo", gpu, memoryAt)
		bus := text(unsafe.Pointer(&(*C.struct_pci)(pci).bus_id[0]))
		gpus = append(gpus, described{text(uuid), bus, text(name), uint64((*C.struct_memory)(memory).total)})
	}
	nvml.call("nvmlShutdown")
	return gpus
}

func byCUDA(cuda library) []described {
	devices := []described{}
	if result := cuda.result("cuInit", 0); result == noDevice {
		return devices
	} else if result != 0 {
		fail("cuInit answered %d", result)
	}
	count, countAt := room(4)
	cuda.call("cuDeviceGetCount", countAt)
	bytes, bytesAt := room(16)
	name, nameAt := room(textSize)
	bus, busAt := room(textSize)
	memory, memoryAt := room(8)
	for device := C.int(0); device < *(*C.int)(count); device++ {
		cuda.call("cuDeviceGetUuid_v2", bytesAt, C.word(device))
		cuda.call("cuDeviceGetName", nameAt, textSize, C.word(device))
		cuda.call("cuDeviceGetPCIBusId", busAt, textSize, C.word(device))
		cuda.call("cuDeviceTotalMem_v2", memoryAt, C.word(device))
		uuid := hex.EncodeToString(C.GoBytes(bytes, 16))
		devices = append(devices, described{uuid, text(bus), text(name), uint64(*(*C.size_t)(memory))})
	}
	return devices
}

func main() {
	nvml, cuda := open("libnvidia-ml.so.1"), open("libcuda.so.1")
	answer := map[string][]described{"nvml": byNVML(nvml), "cuda": byCUDA(cuda)}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fail("%v", err)
	}
}
