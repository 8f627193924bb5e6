//! What both libraries say to a Rust program that finds them with libc's dlopen; it needs no crate.

use std::ffi::{c_char, c_int, c_uint, c_void, CStr, CString};
use std::mem::{transmute, zeroed};
use std::ptr::null_mut;

#[cfg_attr(target_os = "linux", link(name = "dl"))]
extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;
const NO_DEVICE: c_int = 100;
const TEXT: usize = 96;

#[repr(C)]
struct Pci {
    short_bus_id: [c_char; 16],
    numbers: [c_uint; 5],
    bus_id: [c_char; 32],
}

#[repr(C)]
struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

struct Library(*mut c_void);

impl Library {
    fn open(name: &str) -> Library {
        let library = unsafe { dlopen(CString::new(name).unwrap().as_ptr(), RTLD_NOW) };
        assert!(!library.is_null(), "{name} cannot be loaded");
        Library(library)
    }

    fn find(&self, name: &str) -> *mut c_void {
        let function = unsafe { dlsym(self.0, CString::new(name).unwrap().as_ptr()) };
        assert!(!function.is_null(), "{name} is missing");
        function
    }
}

/// Calls a function of the library by name, with arguments of these types, and insists on success.
macro_rules! call {
    ($library:expr, $name:literal $(, $argument:expr => $kind:ty)*) => {
        let function: extern "C" fn($($kind),*) -> c_int = transmute($library.find($name));
        assert_eq!(function($($argument),*), 0, $name);
    };
}

fn text(raw: &[c_char]) -> String {
    unsafe { CStr::from_ptr(raw.as_ptr()) }.to_str().unwrap().to_string()
}

fn described(uuid: &str, bus: &str, name: &str, memory: u64) -> String {
    format!(r#"{{"uuid": "{uuid}", "pci_bus_id": "{bus}", "name": "{name}", "memory": {memory}}}"#)
}

unsafe fn by_nvml(nvml: &Library) -> Vec<String> {
    let mut count: c_uint = 0;
    call!(nvml, "nvmlInit_v2");
    call!(nvml, "nvmlDeviceGetCount_v2", &mut count => *mut c_uint);
    let mut gpus = Vec::new();
    for index in 0..count {
        let (mut uuid, mut name) = ([0; TEXT], [0; TEXT]);
        let (mut pci, mut memory): (Pci, Memory) = (zeroed(), zeroed());
        let mut gpu: *mut c_void = null_mut();
        call!(nvml, "nvmlDeviceGetHandleByIndex_v2", index => c_uint, &mut gpu => *mut *mut c_void);
        call!(nvml, "nvmlDeviceGetUUID", gpu => *mut c_void, uuid.as_mut_ptr() => *mut c_char, 96 => c_uint);
        call!(nvml, "nvmlDeviceGetName", gpu => *mut c_void, name.as_mut_ptr() => *mut c_char, 96 => c_uint);
        call!(nvml, "nvmlDeviceGetPciInfo_v3", gpu => *mut c_void, &mut pci => *mut Pci);
        call!(nvml, "nvmlDeviceGetMemoryInfo", gpu => *mut c_void, &mut memory => *mut Memory);
        gpus.push(described(&text(&uuid), &text(&pci.bus_id), &text(&name), memory.total));
    }
    gpus
}

unsafe fn by_cuda(cuda: &Library) -> Vec<String> {
    let init: extern "C" fn(c_uint) -> c_int = transmute(cuda.find("cuInit"));
    let result = init(0);
    if result == NO_DEVICE {
        return Vec::new();
    }
    assert_eq!(result, 0, "cuInit");
    let mut count: c_int = 0;
    call!(cuda, "cuDeviceGetCount", &mut count => *mut c_int);
    let mut devices = Vec::new();
    for device in 0..count {
        let (mut name, mut bus) = ([0; TEXT], [0; TEXT]);
        let mut bytes = [0u8; 16];
        let mut memory: usize = 0;
        call!(cuda, "cuDeviceGetUuid_v2", bytes.as_mut_ptr() => *mut u8, device => c_int);
        call!(cuda, "cuDeviceGetName", name.as_mut_ptr() => *mut c_char, 96 => c_int, device => c_int);
        call!(cuda, "cuDeviceGetPCIBusId", bus.as_mut_ptr() => *mut c_char, 96 => c_int, device => c_int);
        call!(cuda, "cuDeviceTotalMem_v2", &mut memory => *mut usize, device => c_int);
        let uuid: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        devices.push(described(&uuid, &text(&bus), &text(&name), memory as u64));
    }
    devices
}

fn main() {
    let (nvml, cuda) = (Library::open("libnvidia-ml.so.1"), Library::open("libcuda.so.1"));
    let (by_nvml, by_cuda) = unsafe { (by_nvml(&nvml), by_cuda(&cuda)) };
    println!(r#"{{"nvml": [{}], "cuda": [{}]}}"#, by_nvml.join(", "), by_cuda.join(", "));
}
