"""The command line: which answer it asks for, and the exit code."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from .fields import ALIASES, FIELDS, known_to
from .nvml import INVALID_ARGUMENT, Exit, Nvml, NvmlError, open_nvml
from .query import PROCESS_ALIASES, PROCESS_FIELDS, gpu_rows, header, known, process_rows
from .report import DISPLAYS, report, xml_report
from .selection import select
from .table import list_gpus, summary
from .topology import nvlinks, topology

HELP = """\
NVIDIA System Management Interface -- v{version} (of a machine simulated by pytest-gpuvisibility)

nvidia-smi [OPTION1 [ARG1]] [OPTION2 [ARG2]] ...

    -h,   --help                Print usage information and exit.
          --version             Print version information and exit.
    -L,   --list-gpus           Display a list of GPUs connected to the system.
    <no arguments>              Show a summary of GPUs connected to the system.
    -q,   --query               Display GPU info.
    -x,   --xml-format          With -q, produce XML.
    -d,   --display=            With -q, display only: {displays}
          --query-gpu=          Information about GPUs; --help-query-gpu lists the fields.
          --query-compute-apps= Compute processes; --help-query-compute-apps lists the fields.
          --format=             With a --query-...: csv[,noheader][,nounits]
    topo -m                     Display how the GPUs are connected.
    nvlink -s                   Display NVLink status.

    [plus any of]

    -i,   --id=                 Target GPUs: a comma-separated list of indices, UUIDs or PCI bus ids.
    -f,   --filename=           Log to a specified file, rather than to stdout.
    -l,   --loop=               Probe until Ctrl+C at specified second interval.
    -lms, --loop-ms=            Probe until Ctrl+C at specified millisecond interval.
"""

LONG_NAMES = {
    "-h": "--help",
    "-L": "--list-gpus",
    "-q": "--query",
    "-x": "--xml-format",
    "-d": "--display",
    "-i": "--id",
    "-f": "--filename",
    "-l": "--loop",
    "-lms": "--loop-ms",
    "-m": "--matrix",
    "-s": "--status",
}
WITH_VALUE = {
    "--display",
    "--id",
    "--filename",
    "--loop",
    "--loop-ms",
    "--query-gpu",
    "--query-compute-apps",
    "--format",
}
WITHOUT_VALUE = {
    "--help",
    "--version",
    "--list-gpus",
    "--query",
    "--xml-format",
    "--help-query-gpu",
    "--help-query-compute-apps",
    "--matrix",
    "--status",
}


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """Options by their long names, with their values; "topo" and "nvlink" as the option of that name."""
    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        name = LONG_NAMES.get(name, name)
        if name in WITH_VALUE:
            options[name] = value if equals else next(rest, "")
        elif name in WITHOUT_VALUE or (argument in ("topo", "nvlink") and not options):
            options[name] = ""
        else:
            raise Exit(
                "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n",
                INVALID_ARGUMENT,
            )
    return options


def csv_options(options: dict[str, str]) -> tuple[bool, bool]:
    """Whether --format wants a header, and units; Exit unless it says csv."""
    words = [word.strip() for word in options.get("--format", "").split(",")]
    unknown = [word for word in words if word not in ("csv", "noheader", "nounits")]
    if unknown or "csv" not in words:
        raise Exit(
            "--format= must be csv, and may add noheader and nounits: --format=csv,noheader,nounits.\n\n",
            INVALID_ARGUMENT,
        )
    return "noheader" not in words, "nounits" not in words


def help_on(switch: str, fields: Iterable[str], aliases: dict[str, str]) -> Iterator[str]:
    yield f'List of valid properties to query for the switch "{switch}":'
    for field in fields:
        yield ""
        yield " or ".join(f'"{name}"' for name in [field, *(alias for alias, of in aliases.items() if of == field)])


def versions(nvml: Nvml) -> Iterator[str]:
    driver = nvml.driver_version()
    yield f"NVIDIA-SMI version  : {driver}"
    yield f"NVML version        : {'.'.join(driver.split('.')[:2])}"
    yield f"DRIVER version      : {driver}"
    yield f"CUDA Version        : {nvml.cuda_version()}"


def csv(nvml: Nvml, options: dict[str, str], first: bool) -> Iterator[str]:
    """The table of --query-gpu or --query-compute-apps; `first` as in answer()."""
    with_header, with_units = csv_options(options)
    if "--query-gpu" in options:
        units = {field: FIELDS[field][0] for field in known_to(nvml.branch())}
        rows, fields = gpu_rows, known(options["--query-gpu"], ALIASES, units)
    else:
        units = {field: unit for field, (unit, _) in PROCESS_FIELDS.items()}
        rows, fields = process_rows, known(options["--query-compute-apps"], PROCESS_ALIASES, units)
    gpus = select(nvml, options.get("--id"))
    if with_header and first:
        yield header(fields, (units[field] for field in fields))
    yield from rows(gpus, fields, with_units)


def answer(nvml: Nvml, options: dict[str, str], first: bool) -> Iterator[str]:
    """The lines that the options ask for. first: not a repetition under --loop, which has no csv header."""
    if "--version" in options:
        yield from versions(nvml)
        return
    if "--query-gpu" in options or "--query-compute-apps" in options:
        yield from csv(nvml, options, first)
        return
    gpus = select(nvml, options.get("--id"))
    if "topo" in options:
        yield from topology(gpus)
    elif "nvlink" in options:
        yield from nvlinks(gpus)
    elif "--list-gpus" in options:
        yield from list_gpus(gpus)
    elif "--xml-format" in options:
        yield from xml_report(nvml, gpus)
    elif "--query" in options:
        yield from report(nvml, gpus, options.get("--display"))
    else:
        yield from summary(nvml, gpus)


def _interval(options: dict[str, str]) -> float | None:
    """Seconds between repetitions; None: do not repeat."""
    for name, scale in (("--loop", 1.0), ("--loop-ms", 0.001)):
        if name in options:
            if not options[name].isdecimal() or int(options[name]) == 0:
                raise Exit(f"{name}={options[name]} is not a positive whole number.\n\n", INVALID_ARGUMENT)
            return int(options[name]) * scale
    return None


def run(arguments: Sequence[str], output: Callable[[str], object]) -> None:
    """Gives the answer to the command line to `output`; raises Exit instead of an answer."""
    options = parse(arguments)
    if "--help-query-compute-apps" in options:
        output("\n".join(help_on("--query-compute-apps", PROCESS_FIELDS, PROCESS_ALIASES)) + "\n")
        return
    interval = _interval(options)
    nvml = open_nvml()
    if "--help-query-gpu" in options:
        output("\n".join(help_on("--query-gpu", known_to(nvml.branch()), ALIASES)) + "\n")
        return
    if "--help" in options:
        output(HELP.format(version=nvml.driver_version(), displays=", ".join(DISPLAYS)))
        return
    first = True
    while True:
        output("".join(line + "\n" for line in answer(nvml, options, first)))
        if interval is None:
            return
        first = False
        time.sleep(interval)


def main() -> int:
    # As in any C program: a reader that goes away, or Ctrl-C, ends it without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = sys.argv[1:]
    output = sys.stdout

    def write(text: str) -> None:
        output.write(text)
        output.flush()

    try:
        filename = parse(arguments).get("--filename")
        if filename:
            output = open(filename, "w", encoding="utf-8")  # noqa: SIM115 - as long as the program runs
        run(arguments, write)
    except Exit as error:
        write(str(error))
        return error.code
    except NvmlError as error:
        write(f"{error}\n")  # the GPU was lost while it was being read
        return min(error.code, 255)
    return 0
