"""Write the C that makes a simulated library complete, from the header of the interface it stands in for.

    generate_stubs.py cuda            --compiler gcc --header .../cuda.h --output cuda_stubs.c
    generate_stubs.py cuda-addresses  --compiler gcc --header .../cuda.h --output cuda_addresses.c
    generate_stubs.py cuda-errors     --compiler gcc --header .../cuda.h --output cuda_errors.c
    generate_stubs.py nvml            --compiler gcc --header .../nvml.h --output nvml_stubs.c
    generate_stubs.py cudart          --compiler gcc --header .../cuda_runtime_api.h --output cudart_stubs.c
    generate_stubs.py cudart-errors   --compiler gcc --header .../cuda_runtime_api.h --output cudart_errors.c

`cuda`, `cudart` and `nvml` write one weak function for every function that the header declares in any of its
configurations. It calls `int gv_cuda_refuse(const char *function)` (or `gv_cudart_refuse`, `gv_nvml_refuse`)
of the library's own sources and returns what that returns. A function that the sources define replaces its
weak namesake when linked.

`cuda-addresses` writes the table that cuGetProcAddress answers from: every (base name, CUDA version) of
cudaTypedefs.h with the function of that ABI. The compiler checks each against the type that NVIDIA gives it.

`cuda-errors` and `cudart-errors` write the tables of error codes.

`--include` names directories of further headers, beside that of the header itself.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Interface(NamedTuple):
    """How one header declares its functions."""

    result: str  # every function's return type
    prefix: str
    configurations: tuple[tuple[str, ...], ...]  # compiler options under which the header shows other functions
    refuse: str  # the function of our own that every stub calls
    undeclared: str = ""  # what the real library exports beyond the header, blanks between


INTERFACES = {
    "cuda": Interface(
        result="CUresult",
        prefix="cu",
        configurations=((), ("-D__CUDA_API_VERSION_INTERNAL",), ("-DCUDA_API_PER_THREAD_DEFAULT_STREAM",)),
        refuse="gv_cuda_refuse",
    ),
    "nvml": Interface(
        result="nvmlReturn_t",
        prefix="nvml",
        configurations=((), ("-DNVML_NO_UNVERSIONED_FUNC_DEFS",), ("-D__NVML_API_VERSION_INTERNAL",)),
        refuse="gv_nvml_refuse",
    ),
    "cudart": Interface(
        result=r"(?:cudaError_t|const char\s*\*|struct cudaChannelFormatDesc)",
        prefix="cuda",
        configurations=((), ("-D__CUDA_API_VERSION_INTERNAL",), ("-DCUDA_API_PER_THREAD_DEFAULT_STREAM",)),
        refuse="gv_cudart_refuse",
        undeclared=(
            # What compiled programs call, and a header of C++ or none declares.
            "__cudaGetKernel __cudaGetProcAddress __cudaInitModule __cudaLaunchKernel __cudaLaunchKernel_ptsz"
            " __cudaPopCallConfiguration __cudaPushCallConfiguration __cudaRegisterFatBinary"
            " __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterHostVar __cudaRegisterManagedVar"
            " __cudaRegisterUnifiedTable __cudaRegisterVar __cudaUnregisterFatBinary cudaProfilerStart"
            " cudaProfilerStop cudaSubgridCreate cudaSubgridWorkerGridCreate cudaSubgridWorksetCreate"
            # Headers for graphics, which need headers of X's and others'.
            " cudaEGLStreamConsumerAcquireFrame cudaEGLStreamConsumerConnect cudaEGLStreamConsumerConnectWithFlags"
            " cudaEGLStreamConsumerDisconnect cudaEGLStreamConsumerReleaseFrame cudaEGLStreamProducerConnect"
            " cudaEGLStreamProducerDisconnect cudaEGLStreamProducerPresentFrame cudaEGLStreamProducerReturnFrame"
            " cudaEventCreateFromEGLSync cudaGLGetDevices cudaGLMapBufferObject cudaGLMapBufferObjectAsync"
            " cudaGLRegisterBufferObject cudaGLSetBufferObjectMapFlags cudaGLSetGLDevice cudaGLUnmapBufferObject"
            " cudaGLUnmapBufferObjectAsync cudaGLUnregisterBufferObject cudaGraphicsEGLRegisterImage"
            " cudaGraphicsGLRegisterBuffer cudaGraphicsGLRegisterImage cudaGraphicsResourceGetMappedEglFrame"
            " cudaGraphicsVDPAURegisterOutputSurface cudaGraphicsVDPAURegisterVideoSurface cudaVDPAUGetDevice"
            " cudaVDPAUSetVDPAUDevice"
        ),
    ),
}

STUBS = """\
/* Written by generate_stubs.py from {header}. To implement one, define it in any {family}_*.c, as {family}_internal.h
 * says: the weak one here yields. */
int {refuse}(const char *function);

#define STUB(name)                                                           \\
    int name(void) __attribute__((weak, visibility("default")));             \\
    int name(void)                                                           \\
    {{                                                                        \\
        return {refuse}(#name);                                      \\
    }}

{stubs}
"""

ADDRESSES = """\
/* Written by generate_stubs.py from {header} and cudaTypedefs.h. */
#pragma GCC visibility push(default)
#define __CUDA_API_VERSION_INTERNAL
#include <cudaTypedefs.h>
#pragma GCC visibility pop

#include "cuda/cuda_generated.h"

#pragma GCC diagnostic error "-Wincompatible-pointer-types"

/* Only compiled: a function that is not of the type that cudaTypedefs.h gives its version stops the build. */
static void __attribute__((unused)) check_types(void)
{{
{checks}
}}

const struct gv_address gv_address[] = {{
{rows}
}};

const size_t gv_address_count = sizeof gv_address / sizeof *gv_address;
"""

ERRORS = """\
/* Written by generate_stubs.py from {header}. */
#include "cuda/cuda_generated.h"

const struct gv_error gv_error[] = {{
{rows}
}};

const size_t gv_error_count = sizeof gv_error / sizeof *gv_error;
"""

RUNTIME_ERRORS = """\
/* Written by generate_stubs.py from {header}. */
#include "cudart/cudart_generated.h"

const struct gv_runtime_error gv_runtime_error[] = {{
{rows}
}};

const size_t gv_runtime_error_count = sizeof gv_runtime_error / sizeof *gv_runtime_error;
"""

# What cuGetErrorString says of the errors that programs meet here, where it is not the name in lower case.
MEANINGS = {
    "CUDA_SUCCESS": "no error",
    "CUDA_ERROR_INVALID_VALUE": "invalid argument",
    "CUDA_ERROR_NOT_INITIALIZED": "initialization error",
    "CUDA_ERROR_DEINITIALIZED": "driver shutting down",
    "CUDA_ERROR_DEVICE_UNAVAILABLE": "CUDA-capable device(s) is/are busy or unavailable",
    "CUDA_ERROR_NO_DEVICE": "no CUDA-capable device is detected",
    "CUDA_ERROR_INVALID_DEVICE": "invalid device ordinal",
    "CUDA_ERROR_INVALID_CONTEXT": "invalid device context",
    "CUDA_ERROR_UNSUPPORTED_LIMIT": "limit is not supported on this architecture",
    "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED": "peer access is not supported between these two devices",
    "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED": "peer access is already enabled",
    "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED": "peer access has not been enabled",
    "CUDA_ERROR_INVALID_HANDLE": "invalid resource handle",
    "CUDA_ERROR_NOT_FOUND": "named symbol not found",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "no kernel image is available for execution on the device",
    "CUDA_ERROR_ILLEGAL_ADDRESS": "an illegal memory access was encountered",
    "CUDA_ERROR_LAUNCH_FAILED": "unspecified launch failure",
    "CUDA_ERROR_NOT_READY": "device not ready",
    "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED": "the memory range is already registered",
    "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED": "the memory range is not registered",
    "CUDA_ERROR_NOT_SUPPORTED": "operation not supported",
    "CUDA_ERROR_UNKNOWN": "unknown error",
}


# ... and what cudaGetErrorString says of those that the driver does not have.
RUNTIME_MEANINGS = {
    "cudaErrorInvalidConfiguration": "invalid configuration argument",
    "cudaErrorInvalidPitchValue": "invalid pitch argument",
    "cudaErrorInvalidSymbol": "invalid device symbol",
    "cudaErrorInvalidMemcpyDirection": "invalid copy direction for memcpy",
    "cudaErrorInsufficientDriver": "CUDA driver version is insufficient for CUDA runtime version",
    "cudaErrorMissingConfiguration": "__global__ function call is not configured",
    "cudaErrorInvalidDeviceFunction": "invalid device function",
}


class Address(NamedTuple):
    """A function that cuGetProcAddress finds: its base name, the CUDA version of its ABI, and the symbol."""

    base: str
    version: int
    thread: str  # "", or "_ptds" / "_ptsz" for the per-thread default stream
    symbol: str


INCLUDE: list[Path] = []  # further directories of headers


def preprocess(compiler: str, header: Path, options: tuple[str, ...]) -> str:
    """The header's text after preprocessing; raises CalledProcessError where the compiler refuses it."""
    directories = [f"-I{directory}" for directory in (header.parent, *INCLUDE)]
    command = [compiler, "-E", "-P", *options, *directories, str(header)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def declared_functions(compiler: str, header: Path, interface: Interface) -> list[str]:
    """Every function that the header declares in any configuration, sorted; not those it defines inline."""
    pattern = re.compile(rf"(?<!inline )\b{interface.result}\s+({interface.prefix}[A-Z]\w*)\s*\(")
    names: set[str] = set()
    for options in interface.configurations:
        names.update(pattern.findall(preprocess(compiler, header, options)))
    if not names:
        raise SystemExit(f"{header} declares no function that returns {interface.result}")
    return sorted(names)


def addresses(compiler: str, header: Path) -> Iterator[Address]:
    """Pairs the versions of each base name with its symbols: both ascend, and there are as many of each."""
    symbols = declared_functions(compiler, header, INTERFACES["cuda"])
    typedefs = preprocess(compiler, header.with_name("cudaTypedefs.h"), ("-D__CUDA_API_VERSION_INTERNAL",))
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for base, version, thread in re.findall(r"\(\s*\*PFN_(cu\w+?)_v(\d+)(_ptds|_ptsz)?\)", typedefs):
        versions[base, thread].append(int(version))
    for (base, thread), found in sorted(versions.items()):
        candidates = [match for symbol in symbols if (match := re.fullmatch(rf"{base}(?:_v(\d+))?{thread}", symbol))]
        candidates.sort(key=lambda match: int(match[1] or 1))
        if len(candidates) != len(found):
            names = [match[0] for match in candidates]
            raise SystemExit(f"{base}{thread}: versions {sorted(found)}, but functions {names}; which is which?")
        for version, match in zip(sorted(found), candidates, strict=True):
            yield Address(base, version, thread, match[0])


def write_stubs(compiler: str, header: Path, interface: Interface) -> str:
    names = sorted({*declared_functions(compiler, header, interface), *interface.undeclared.split()})
    stubs = "\n".join(f"STUB({name})" for name in names)
    family = interface.refuse.split("_")[1]
    return STUBS.format(header=header.name, family=family, refuse=interface.refuse, stubs=stubs)


def write_addresses(compiler: str, header: Path) -> str:
    found = list(addresses(compiler, header))
    checks = "\n".join(
        f"    (void)(const PFN_{base}_v{version}{thread}[]){{{symbol}}};" for base, version, thread, symbol in found
    )
    rows = "\n".join(
        f'    {{"{base}", {version}, {"true" if thread else "false"}, (void *){symbol}}},'
        for base, version, thread, symbol in found
    )
    return ADDRESSES.format(header=header.name, checks=checks, rows=rows)


def meaning(name: str) -> str:
    return MEANINGS.get(name, name.removeprefix("CUDA_ERROR_").replace("_", " ").lower())


def write_errors(compiler: str, header: Path) -> str:
    codes = re.findall(r"\b(CUDA_(?:SUCCESS|ERROR_\w+))\s*=\s*(\d+)", preprocess(compiler, header, ()))
    rows = "\n".join(f'    {{{code}, "{name}", "{meaning(name)}"}},' for name, code in codes)
    return ERRORS.format(header=header.name, rows=rows)


def in_words(name: str) -> str:
    """ "cudaErrorInvalidTexture" -> "invalid texture"."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name.removeprefix("cudaError"))).lower()


def write_runtime_errors(compiler: str, header: Path) -> str:
    driver = preprocess(compiler, header.with_name("cuda.h"), ())
    of_driver = {int(code): name for name, code in re.findall(r"\b(CUDA_(?:SUCCESS|ERROR_\w+))\s*=\s*(\d+)", driver)}
    codes = re.findall(r"\b(cuda(?:Success|Error[A-Z]\w+))\s*=\s*(\d+)", preprocess(compiler, header, ()))
    rows = []
    for name, code in codes:
        known = RUNTIME_MEANINGS.get(name) or (meaning(of_driver[int(code)]) if int(code) in of_driver else None)
        rows.append(f'    {{{code}, "{name}", "{known or in_words(name)}"}},')
    return RUNTIME_ERRORS.format(header=header.name, rows="\n".join(rows))


def main() -> None:
    writers: dict[str, Callable[[str, Path], str]] = {
        "cuda": lambda compiler, header: write_stubs(compiler, header, INTERFACES["cuda"]),
        "cuda-addresses": write_addresses,
        "cuda-errors": write_errors,
        "cudart": lambda compiler, header: write_stubs(compiler, header, INTERFACES["cudart"]),
        "cudart-errors": write_runtime_errors,
        "nvml": lambda compiler, header: write_stubs(compiler, header, INTERFACES["nvml"]),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(writers))
    parser.add_argument("--compiler", required=True, help="a C compiler, to preprocess the header with")
    parser.add_argument("--header", required=True, type=Path)
    parser.add_argument("--include", action="append", default=[], type=Path, metavar="DIRECTORY")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    INCLUDE.extend(options.include)
    options.output.write_text(writers[options.what](options.compiler, options.header))


if __name__ == "__main__":
    main()
