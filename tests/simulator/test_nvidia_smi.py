"""The simulated nvidia-smi: as the real one printed it, for what scripts read of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from nvidia_smi_captures import DIRECTORY, NAMES, Capture
from simulated_programs import CONTEXT, environ, holding, on, run

from pytest_gpuvisibility.inventory import Inventory
from pytest_gpuvisibility.simulator import Machine


def smi(machine: Machine, *arguments: str, **extra: str) -> str:
    """What nvidia-smi prints, once it has succeeded."""
    result = run(machine, "nvidia-smi", *arguments, **extra)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return result.stdout


def csv(machine: Machine, fields: str, *arguments: str, form: str = "csv") -> list[str]:
    return smi(machine, f"--query-gpu={fields}", f"--format={form}", *arguments).splitlines()


# ---- next to real output ----

needs_captures = pytest.mark.skipif(
    not DIRECTORY.is_dir(), reason="real nvidia-smi output (../shared/data/nvidia-smi) is not there"
)

# What the machine's owner has set, what is plugged into it, and what is not simulated.
SETTINGS = {
    "persistence_mode": "set by an administrator",
    "accounting.mode": "set by an administrator",
    "addressing_mode": "set by the kernel",
    "display_active": "a monitor is connected",
    "pci.sub_device_id": "of the board's maker",
    "pcie.link.gen.hostmax": "of the mainboard",
    "clocks_event_reasons.gpu_idle": "a simulated GPU is always idle",
    "clocks_event_reasons.sw_power_cap": "a simulated GPU is always idle",
}
# What moves while a machine runs: the kind of value must be the same, and that of all others to the letter.
MOVING = r"""
timestamp|serial|clocks_event_reasons.active|clocks_event_reasons_counters.*|memory.(used|free)|utilization.*
|temperature.*|power.draw.*|clocks.current.*|fan.speed|platform.module_id
"""


@pytest.fixture(params=NAMES)
def captured(request: pytest.FixtureRequest) -> Iterator[tuple[Capture, Machine]]:
    """Real output, and a simulated machine like the one it comes from."""
    capture = Capture.load(request.param)
    with Machine.create(capture.inventory()) as machine:
        yield capture, machine


def kind(value: str) -> str:
    """What stays the same of a value that moves: its words and its unit."""
    return re.sub(r"\d+", "0", value)


def shape(line: str) -> str:
    """A table's line with its width, without the numbers that move, and without persistence and display."""
    line = re.sub(r" (?:Off|On ) ( *\|   0)", r" ??? \1", line)
    line = re.sub(r"(:\d\d\.\d) +(?:Off|On) \|", r"\1 ??? |", line)
    return re.sub(r" *\d+(?:MiB|W|C|%)", lambda number: "#".rjust(len(number[0])), line)


@needs_captures
def test_every_line_of_the_list_is_the_real_one(captured: tuple[Capture, Machine]) -> None:
    capture, machine = captured
    assert smi(machine, "-L").splitlines() == capture["capabilities :: list"].splitlines()


@needs_captures
def test_the_version_is_the_real_one(captured: tuple[Capture, Machine]) -> None:
    capture, machine = captured
    assert smi(machine, "--version").splitlines() == capture["capabilities :: version"].splitlines()


@needs_captures
def test_the_table_is_framed_as_the_real_one(captured: tuple[Capture, Machine]) -> None:
    capture, machine = captured
    real, ours = capture.table(), smi(machine).splitlines()
    end = next(number for number, line in enumerate(real) if line.startswith("| Processes:"))
    assert [shape(line) for line in ours[1 : end + 4]] == [shape(line) for line in real[1 : end + 4]]
    assert len(ours[0]) == len(real[0])
    assert ours[-1] == real[-1]


@needs_captures
def test_every_field_has_the_real_heading_and_kind_of_value(captured: tuple[Capture, Machine]) -> None:
    capture, machine = captured
    real = capture.fields()
    head, row = csv(machine, ",".join(heading.split()[0] for heading in real))
    assert head == ", ".join(real)
    ours = dict(zip(head.split(", "), row.split(", "), strict=True))
    assert {heading: kind(value) for heading, value in ours.items() if heading not in SETTINGS} == {
        heading: kind(value) for heading, value in real.items() if heading not in SETTINGS
    }
    moving = {heading for heading in real if re.fullmatch(MOVING.replace("\n", ""), heading.split()[0])}
    for heading in real.keys() - moving - SETTINGS.keys():
        assert (heading, ours[heading]) == (heading, real[heading])


@needs_captures
def test_the_help_names_the_real_fields_in_their_order(captured: tuple[Capture, Machine]) -> None:
    capture, machine = captured

    def names(text: str) -> list[str]:
        return re.findall(r'^("[a-z][^"]+"(?: or "[^"]+")*)$', text, flags=re.M)

    for switch in ("query-gpu", "query-compute-apps"):
        assert names(smi(machine, f"--help-{switch}")) == names(capture[f"capabilities :: help-{switch}"])


@needs_captures
def test_a_field_of_another_driver_is_unknown() -> None:
    for name, field in (("linux-x86_64__nvidia-h100-mig__590.48.01", "kmd_version"), ("a100x1", "kmd_version")):
        inventory = Capture.load(name).inventory() if "linux" in name else Inventory.load(name)
        with Machine.create(inventory) as machine:
            code, text = refusal(machine, f"--query-gpu={field}", "--format=csv")
        assert (code, text) == (2, f'Field "{field}" is not a valid field to query.\n\n')


@needs_captures
def test_the_topology_of_one_gpu_is_the_real_one(captured: tuple[Capture, Machine]) -> None:
    capture, machine = captured
    real = capture["capabilities :: topo"].splitlines()
    ours = smi(machine, "topo", "-m").splitlines()
    assert [re.sub(r"\t\d+-\d+\t", "\t0-0\t", line) for line in ours] == [
        re.sub(r"\t\d+-\d+\t", "\t0-0\t", line) for line in real
    ]


@needs_captures
def test_a_process_of_a_slice_is_listed_as_on_the_real_machine() -> None:
    capture = Capture.load("linux-x86_64__nvidia-h100-mig__590.48.01")
    real = next(line for line in capture.table("load") if "gpu_burn" in line)
    inventory = capture.inventory()
    with (
        Machine.create(inventory) as machine,
        holding(machine, 0, 64, CUDA_VISIBLE_DEVICES=inventory.devices[0].mig[0].uuid) as process,
    ):
        ours = next(line for line in smi(machine).splitlines() if f" {process.pid} " in line)
    assert len(ours) == len(real)
    same = re.compile(r"\|    0    2    0 {1,16}\d+      C   \S.* +\d+MiB \|")
    assert same.fullmatch(real)
    assert same.fullmatch(ours)


@needs_captures
@pytest.mark.parametrize("name", [name for name in NAMES if "2080" not in name])  # the load of which was graphics
def test_processes_are_reported_as_on_the_real_machine(name: str) -> None:
    """By the table, -q and --query-compute-apps: the same lines, but for pids, names and how much memory."""
    capture = Capture.load(name)
    inventory = capture.inventory()
    real_csv = capture["load :: query-compute-apps"].splitlines()
    real_block = process_lines(capture["load :: query (-q)"])
    instance = re.findall(r"instance ID +: (\d+)\n", "".join(real_block))[:2]
    gpu = inventory.devices[0]
    slices = [unit for unit in gpu.mig if [str(unit.gpu_instance), str(unit.compute_instance)] == instance]
    (uuid,) = [unit.uuid for unit in slices] if instance else [gpu.uuid]
    with Machine.create(inventory) as machine, ExitStack() as stack:
        for _ in real_csv[1:]:
            stack.enter_context(holding(machine, 0, 64, CUDA_VISIBLE_DEVICES=uuid))
        table = smi(machine).splitlines()
        block = process_lines(smi(machine, "-q"))
        apps = f"--query-compute-apps={','.join(head.split()[0] for head in real_csv[0].split(', '))}"
        listed = smi(machine, apps, "--format=csv").splitlines()
    whose = r" +\d+      C   .*"
    assert [re.sub(whose, "", shape(line)) for line in table[1:]] == [
        re.sub(whose, "", shape(line)) for line in capture.table("load")[1:]
    ]
    name_or_number = r"(Name +: )\S.*|(Process ID +: )\d+|(: )\d+(?= MiB)"
    assert [re.sub(name_or_number, r"\1\2\3?", line) for line in block] == [
        re.sub(name_or_number, r"\1\2\3?", line) for line in real_block
    ]
    assert listed[0] == real_csv[0]
    moving = r"^[\d/]+ [\d:.]+|, \d{13}(?=, )|\d+, [^,]+, \d+(?= MiB$)"
    assert [re.sub(moving, "?", line) for line in listed] == [re.sub(moving, "?", line) for line in real_csv]


def process_lines(report: str) -> list[str]:
    """The lines below "Processes" in -q."""
    (block,) = re.findall(r"^    Processes\n((?: {8}.*\n)+)", report, flags=re.M)
    return str(block).splitlines(keepends=True)


# ---- what scripts do with it ----


@on("mixed4")
def test_it_shows_every_gpu_whatever_the_mask(machine: Machine) -> None:
    expected = [f"GPU {device.index}: {device.name} (UUID: {device.uuid})" for device in machine.inventory.devices]
    assert smi(machine, "-L", CUDA_VISIBLE_DEVICES="2").splitlines() == expected
    assert smi(machine, "--list-gpus", CUDA_VISIBLE_DEVICES="").splitlines() == expected


@on("mig")
def test_slices_are_listed_under_their_gpu(machine: Machine) -> None:
    whole, sliced = machine.inventory.devices
    assert smi(machine, "-L").splitlines() == [
        f"GPU 0: {whole.name} (UUID: {whole.uuid})",
        f"GPU 1: {sliced.name} (UUID: {sliced.uuid})",
        f"  MIG 3g.40gb     Device  0: (UUID: {sliced.mig[0].uuid})",
        f"  MIG 3g.40gb     Device  1: (UUID: {sliced.mig[1].uuid})",
    ]


def test_every_line_of_a_table_is_as_wide_as_its_frame(machine: Machine) -> None:
    with holding(machine, 1, 64):
        lines = [line for line in smi(machine).splitlines()[1:] if line]
    assert {len(line) for line in lines} == {91}


@on("mixed4")
def test_csv_has_a_heading_and_units_unless_told_otherwise(machine: Machine) -> None:
    fields = "index,memory.total,fan.speed"
    assert csv(machine, fields)[:2] == ["index, memory.total [MiB], fan.speed [%]", "0, 24564 MiB, 30 %"]
    assert csv(machine, fields, form="csv,noheader")[2] == "2, 81920 MiB, [N/A]"
    assert csv(machine, fields, form="csv,nounits")[:2] == [
        "index, memory.total [MiB], fan.speed [%]",
        "0, 24564, 30",
    ]
    assert csv(machine, fields, form="csv,noheader,nounits") == [
        f"{device.index}, {device.memory >> 20}, {'30' if 'GeForce' in device.name else '[N/A]'}"
        for device in machine.inventory.devices
    ]


def test_a_field_by_its_other_name_has_its_first_in_the_heading(machine: Machine) -> None:
    names = "gpu_name,gpu_uuid,gpu_bus_id,clocks.sm,clocks_throttle_reasons.active"
    assert csv(machine, names, "-i", "0")[0] == (
        "name, uuid, pci.bus_id, clocks.current.sm [MHz], clocks_event_reasons.active"
    )


def test_every_field_that_it_says_it_has_can_be_queried(machine: Machine) -> None:
    for switch in ("--query-gpu", "--query-compute-apps"):
        text = smi(machine, f"--help-{switch.removeprefix('--')}")
        names = re.findall(r'"([a-z][^" ]+)"', text)
        assert len(names) > 5
        with holding(machine, 0, 1):
            lines = smi(machine, f"{switch}={','.join(names)}", "--format=csv").splitlines()
        assert [len(line.split(", ")) for line in lines] == [len(names)] * len(lines)


@on("mixed4")
def test_gpus_are_chosen_by_index_uuid_or_bus_id(machine: Machine) -> None:
    devices = machine.inventory.devices
    for wanted, expected in (
        ("2", [2]),
        ("3,0", [3, 0]),
        (devices[1].uuid, [1]),
        (devices[1].pci_bus_id, [1]),
        (devices[1].pci_bus_id[4:].lower(), [1]),
        (f"{devices[3].uuid},1", [3, 1]),
    ):
        for option in (["-i", wanted], [f"--id={wanted}"], [f"-i={wanted}"]):
            assert csv(machine, "index", *option, form="csv,noheader") == [str(index) for index in expected]


def test_a_gpu_is_chosen_by_its_serial_number(machine: Machine) -> None:
    (serial,) = csv(machine, "serial", "-i", "2", form="csv,noheader")
    assert csv(machine, "index", "-i", serial, form="csv,noheader") == ["2"]


@on("mig")
def test_a_slice_is_chosen_by_its_uuid(machine: Machine) -> None:
    sliced = machine.inventory.devices[1]
    with holding(machine, 0, 64, CUDA_VISIBLE_DEVICES=sliced.mig[0].uuid) as process:
        lines = [smi(machine, "-L", "-i", slice_.uuid).splitlines() for slice_ in sliced.mig]
        shown = ["--query-compute-apps=pid", "--format=csv,noheader", "-i"]
        pids = [smi(machine, *shown, slice_.uuid).split() for slice_ in sliced.mig]
    first = f"GPU 1: {sliced.name} (UUID: {sliced.uuid})"
    assert lines == [
        [first, f"  MIG 3g.40gb     Device  {index}: (UUID: {slice_.uuid})"] for index, slice_ in enumerate(sliced.mig)
    ]
    assert pids == [[str(process.pid)], []]
    assert refusal(machine, "-i", "MIG-nothing", "-L") == (6, "No devices were found\n")


def test_processes_are_listed_with_their_memory_until_they_die(machine: Machine) -> None:
    query = ["--query-compute-apps=pid,process_name,gpu_uuid,used_memory", "--format=csv"]
    head = "pid, process_name, gpu_uuid, used_gpu_memory [MiB]"
    device = machine.inventory.devices[3]
    with holding(machine, 0, 64, CUDA_VISIBLE_DEVICES="3") as process:
        assert smi(machine, *query).splitlines() == [
            head,
            f"{process.pid}, {sys.executable}, {device.uuid}, {CONTEXT + 64} MiB",
        ]
        row = next(line for line in smi(machine).splitlines() if str(process.pid) in line)
        assert row.split()[:6] == ["|", "3", "N/A", "N/A", str(process.pid), "C"]
        assert row.split()[-2] == f"{CONTEXT + 64}MiB"
        assert csv(machine, "memory.used", form="csv,noheader") == ["0 MiB"] * 3 + [f"{CONTEXT + 64} MiB"]
        report = smi(machine, "-q", "-d", "PIDS", "-i", "3")
        assert re.search(rf"Process ID +: {process.pid}\n", report)
        process.kill()
        process.wait()
        assert smi(machine, *query).splitlines() == [head]
        assert "No running processes found" in smi(machine)


@on("exclusive4")
def test_the_compute_mode_is_shown(machine: Machine) -> None:
    assert set(csv(machine, "compute_mode", form="csv,noheader")) == {"Exclusive_Process"}
    assert smi(machine).count("E. Process |") == 4
    machine.set_compute_mode(1, "prohibited")
    assert csv(machine, "compute_mode", "-i", "1", form="csv,noheader") == ["Prohibited"]


def test_a_report_can_be_cut_to_what_is_asked_for(machine: Machine) -> None:
    report = smi(machine, "-q", "-d", "MEMORY,TEMPERATURE", "-i", "0")
    headings = re.findall(r"^    (\S.*)$", report, flags=re.M)
    assert headings == [
        "FB Memory Usage",
        "BAR1 Memory Usage",
        "Conf Compute Protected Memory Usage",
        "Temperature",
    ]


def test_the_topology_has_a_row_and_a_column_for_every_gpu(machine: Machine) -> None:
    lines = smi(machine, "topo", "-m").splitlines()
    assert re.findall(r"GPU\d", lines[0]) == ["GPU0", "GPU1", "GPU2", "GPU3"]
    levels = [line.split("\t")[:5] for line in lines[1:5]]
    assert levels == [[f"GPU{row}", *(" X " if row == column else "NODE" for column in range(4))] for row in range(4)]


def test_output_can_go_to_a_file(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "list"
    assert smi(machine, "-L", "-f", str(file)) == ""
    assert file.read_text() == smi(machine, "-L")


# ---- refusals ----


def refusal(machine: Machine, *arguments: str, **extra: str) -> tuple[int, str]:
    result = run(machine, "nvidia-smi", *arguments, **extra)
    assert result.stderr == ""
    return result.returncode, result.stdout


def test_an_unknown_field_is_named(machine: Machine) -> None:
    message = 'Field "device_minor" is not a valid field to query.\n\n'
    query = "=index,device_minor,name"
    assert refusal(machine, f"--query-gpu{query}", "--format=csv") == (2, message)
    assert refusal(machine, "--query-compute-apps=pid,device_minor", "--format=csv,noheader") == (2, message)


@pytest.mark.parametrize("arguments", [["--bogus"], ["-L", "what"], ["-z"]])
def test_an_unknown_argument_is_refused(machine: Machine, arguments: list[str]) -> None:
    code, text = refusal(machine, *arguments)
    assert (code, text.split(".")[0]) == (2, "Invalid combination of input arguments")


@pytest.mark.parametrize("form", [[], ["--format="], ["--format=noheader"], ["--format=csv,json"]])
def test_a_query_needs_the_format_csv(machine: Machine, form: list[str]) -> None:
    code, text = refusal(machine, "--query-gpu=index", *form)
    assert code == 2
    assert "--format" in text


@on("none")
def test_no_gpu_at_all(machine: Machine) -> None:
    for arguments in ([], ["-L"], ["-q"], ["--query-gpu=index", "--format=csv"]):
        assert refusal(machine, *arguments) == (6, "No devices were found\n")


def test_a_gpu_that_does_not_exist(machine: Machine) -> None:
    for wanted in ("4", "GPU-nothing", "0000:99:00.0", "what"):
        assert refusal(machine, "-i", wanted, "-L") == (6, "No devices were found\n")


def test_no_driver(machine: Machine) -> None:
    (machine.directory / "state").unlink()
    code, text = refusal(machine, "-L")
    assert code == 9
    assert text.startswith("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        ("nvml-unknown", 255, "Unknown Error"),
        ("nvml-no-permission", 4, "Insufficient Permissions"),
        ("lost", 15, "GPU is lost.  Reboot the system to recover this GPU"),
    ],
)
def test_a_sick_gpu_is_named(machine: Machine, fault: str, code: int, text: str) -> None:
    machine.set_faults(2, [fault])
    message = f"Unable to determine the device handle for GPU2: 0000:47:00.0: {text}\n"
    for arguments in ([], ["-L"], ["--query-gpu=index", "--format=csv"]):
        assert refusal(machine, *arguments) == (code, message)
    assert csv(machine, "index", "-i", "0,3", form="csv,noheader") == ["0", "3"]


# ---- as a program among others ----


def test_it_says_nothing_when_its_reader_goes_away(machine: Machine) -> None:
    with subprocess.Popen(
        ["nvidia-smi", "-lms", "1"],
        env=environ(machine),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


def test_it_repeats_itself_until_it_is_interrupted(machine: Machine) -> None:
    with subprocess.Popen(
        ["nvidia-smi", "--query-gpu=index", "--format=csv", "--loop-ms=1", "-i", "1"],
        env=environ(machine),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert [process.stdout.readline() for _ in range(4)] == ["index\n", "1\n", "1\n", "1\n"]
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGINT


def test_nothing_of_the_callers_python_gets_in(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "ctypes.py").write_text("raise SystemExit('not this one')")
    result = subprocess.run(
        ["nvidia-smi", "-L"],
        env=environ(machine, PYTHONPATH=str(tmp_path), PYTHONHOME="/nowhere", PYTHONSTARTUP="/nowhere"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.count("GPU-")) == (0, 4)


def test_it_works_in_an_environment_that_was_cleared(machine: Machine) -> None:
    result = subprocess.run(
        [os.fspath(machine.directory / "bin" / "nvidia-smi"), "-L"],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.count("GPU-")) == (0, 4)
