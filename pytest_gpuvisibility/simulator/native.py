"""Where the simulated driver's libraries and programs lie, and why not when they are not there."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path

from ..errors import UserError

DISTRIBUTION = "pytest-gpuvisibility"
RUNTIMES = ("libcudart.so.13", "libcudart.so.12")
LIBRARIES = (
    "libnvidia-ml.so.1",
    "libcuda.so.1",
    *RUNTIMES,
    "libgpuvisibility.so",
    "libgpuvisibility-cublas.so",
    "libgpuvisibility-redirect.so",
)

_IN_PACKAGE = "pytest_gpuvisibility/native"
_SOURCE = Path(__file__).resolve().parent.parent / "native"


class NativeLibraryMissing(UserError):
    """The simulated driver's libraries are not there; the message says why and what to do."""


def library_directory() -> Path:
    """The directory of the simulated driver's libraries, named as programs look for them.

    :raises NativeLibraryMissing: the installed package has none.
    """
    return native_directory() / "lib"


def redirect_library() -> Path:
    """The auditor of the dynamic linker that leads programs to the simulated CUDA runtimes (native/tools/redirect.c).

    :raises NativeLibraryMissing: the installed package has none.
    """
    return library_directory() / "libgpuvisibility-redirect.so"


def cublas_library() -> Path:
    """What stands in for parts of cuBLAS where launches are skipped (native/cublas/cublas.c).

    :raises NativeLibraryMissing: the installed package has none.
    """
    return library_directory() / "libgpuvisibility-cublas.so"


def absent_nvml_directory() -> Path:
    """The directory of a libnvidia-ml.so.1 that cannot be loaded, for machines that have none.

    :raises NativeLibraryMissing: the installed package has none.
    """
    return native_directory() / "absent"


def probe_program() -> Path:
    """The program that asks CUDA, and only CUDA, which devices it shows (native/tools/probe.c).

    :raises NativeLibraryMissing: the installed package has none.
    """
    return native_directory() / "bin" / "gpu-visibility-probe"


@functools.cache
def native_directory() -> Path:
    """The directory that holds lib/ and bin/, in this package or where an editable install has put it."""
    if _is_complete(_SOURCE):
        return _SOURCE
    installed = _installed_directory()
    if installed is None:
        raise NativeLibraryMissing(
            f"The simulated driver is not built: {_SOURCE / 'lib'} holds no {LIBRARIES[0]}, and no installed"
            f" distribution {DISTRIBUTION} does. Install the package: `pip install {DISTRIBUTION}`, or"
            " `pip install -e .` in its source folder."
        )
    if (reason := installed / "NOT_BUILT").is_file():
        raise NativeLibraryMissing(
            f"The simulated driver is not part of this installation of {DISTRIBUTION}:"
            f" {reason.read_text(encoding='utf-8').strip()}. Everything that needs no simulated machine works"
            " without it."
        )
    if not _is_complete(installed):
        raise NativeLibraryMissing(
            f"The simulated driver is not complete: {installed / 'lib'} lacks one of {', '.join(LIBRARIES)}."
            f" Reinstall {DISTRIBUTION}: `pip install --force-reinstall {DISTRIBUTION}`."
        )
    if not _is_editable() and installed != _SOURCE:
        raise NativeLibraryMissing(
            f"The package was imported from {_SOURCE.parent}, a source folder without the simulated driver,"
            f" although {DISTRIBUTION} is installed in {installed.parent}: Python looks into the current"
            " directory first. Run from another directory, use plain `pytest` instead of `python -m pytest`,"
            " or install the source folder with `pip install -e .`."
        )
    return installed


def _is_complete(directory: Path) -> bool:
    return all((directory / "lib" / name).is_file() for name in LIBRARIES)


def _installed_directory() -> Path | None:
    """Where the installed distribution, if there is one, has put its native part."""
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = file.as_posix()
        if path.startswith(f"{_IN_PACKAGE}/lib/"):
            return Path(str(file.locate())).resolve().parent.parent
        if path == f"{_IN_PACKAGE}/NOT_BUILT":
            return Path(str(file.locate())).resolve().parent
    return None


def _is_editable() -> bool:
    """Whether the source folder is what the installed distribution is meant to run from."""
    direct = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    return direct is not None and '"editable": true' in direct
