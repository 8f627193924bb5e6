"""How other programs read CUDA_VISIBLE_DEVICES, beside the resolver: writes docs/resolver-comparison.md.

    python benchmarks/compare_resolvers.py --environments DIRECTORY

Needs this package installed with its simulated driver. PyTorch, nvitop, Ray and dask-cuda are installed unmodified into
virtual environments under DIRECTORY, which are kept for the next time (1.5 GB; several more where pip's index has only
PyTorch builds with CUDA), and asked on simulated machines. Takes some five minutes. The exit code is 1 where the
resolver takes longer for eight ordinals than PyTorch's parser.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from mask_cases import ROOT, Case, all_cases, label, shown

from pytest_gpuvisibility import resolve
from pytest_gpuvisibility.inventory import AnyDevice, Inventory
from pytest_gpuvisibility.masks import BY_ROW
from pytest_gpuvisibility.simulator import Machine, library_directory

SCRIPTS = Path(__file__).resolve().parent / "peers"
PAGE = ROOT / "docs" / "resolver-comparison.md"
PLAIN_ROWS = ("5", "25")
LIMITS_OF_MIG = ("29", "30", "31")
DIFFERENCES = ("differ", "crash")

Answer = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A program with a reading of its own. ``asked`` says for people what ``script`` calls."""

    name: str
    requirements: tuple[str, ...]
    script: str
    asked: str
    without_cuda: bool = False


PEERS = (
    Peer(
        "PyTorch",
        ("torch==2.13.0",),
        "ask_torch.py",
        "`torch.cuda._device_count_nvml()`, which trims what `_parse_visible_devices()` reads to what NVML counts, and"
        " `torch.cuda._get_nvml_device_index(i)` for each device. For lists of MIG slices it leaves the answer to the"
        " CUDA runtime.",
    ),
    Peer(
        "nvitop",
        ("nvitop==1.7.2",),
        "ask_nvitop.py",
        "`Device.normalize_cuda_visible_devices()`, with NVML and without a CUDA driver. nvitop asks the driver where"
        " there is one; that would be our simulated driver, whose answers are the resolver's. So this is its fallback.",
        without_cuda=True,
    ),
    Peer(
        "Ray",
        ("ray==2.60.0",),
        "ask_ray.py",
        "`ResourceAndLabelSpec._get_current_node_accelerator(None, {})` for the number of GPUs, and"
        " `NvidiaGPUAcceleratorManager.get_current_process_visible_accelerator_ids()` for what a worker's mask would"
        " be made of. It agrees where CUDA shows as many devices, and each element alone shows that device.",
    ),
    Peer(
        "dask-cuda",
        # cuda-core, which dask-cuda needs, needs one of NVIDIA's bindings and leaves the choice to its extras.
        ("dask-cuda==26.10.0", "cuda-bindings>=13,<14"),
        "ask_dask_cuda.py",
        "what `LocalCUDACluster` does: `parse_cuda_visible_device` for each element of `cuda_visible_devices(0)`, one"
        " worker for each, and `get_gpu_uuid(nvml_device_index(0, mask))` for the GPU of a worker with that mask.",
    ),
)


@dataclass(frozen=True)
class Answers:
    """What a peer of one version said to each case; or why it could not be asked."""

    version: str
    answers: tuple[Answer, ...]
    missing: str = ""


def main() -> int:
    arguments = _parse()
    cases = all_cases()
    compared = {peer.name: _ask(peer, cases, arguments.environments) for peer in PEERS}
    speed = _speed(arguments.environments, arguments.package)
    page = _page(cases, compared, speed)
    arguments.page.write_text(page, encoding="utf-8")
    print("\n".join(_summary(cases, compared)), *_speed_lines(speed), sep="\n")
    print(f"Every difference is in {arguments.page}.")
    return 1 if speed and _ratio(speed) > 1 else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environments", type=Path, required=True, metavar="DIRECTORY", help="of virtual environments")
    parser.add_argument("--page", type=Path, default=PAGE, help="to write (default: docs/resolver-comparison.md)")
    parser.add_argument(
        "--package", default=str(ROOT), metavar="REQUIREMENT", help="of this package, to time (default: this source)"
    )
    return parser.parse_args()


# Asking


def _ask(peer: Peer, cases: list[Case], environments: Path) -> Answers:
    print(f"asking {peer.name} ...", file=sys.stderr, flush=True)
    version = ""
    answers: dict[int, Answer] = {}
    numbered = sorted(enumerate(cases), key=lambda item: item[1].machine)
    try:
        python = _python_of(peer, environments)
        for _, group in groupby(numbered, key=lambda item: item[1].machine):
            on_this = list(group)
            reply = _ask_on_machine(peer, python, [case for _, case in on_this])
            version = reply["version"]
            answers.update(zip((number for number, _ in on_this), reply["answers"], strict=True))
    except subprocess.CalledProcessError as error:
        return Answers("", (), _last_line(error.stderr or str(error)))
    return Answers(version, tuple(answers[number] for number in range(len(cases))))


def _python_of(peer: Peer, environments: Path) -> Path:
    """The interpreter of the peer's environment, which is made unless it is there with the same requirements."""
    directory = environments.absolute() / peer.script.removesuffix(".py")
    python, made = directory / "bin" / "python", directory / "made-for.txt"
    wanted = "\n".join(peer.requirements)
    if not made.is_file() or made.read_text("utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        _pip(python, *peer.requirements)
        made.write_text(wanted, encoding="utf-8")
    return python


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *arguments], check=True, stderr=subprocess.PIPE, text=True
    )


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def _ask_on_machine(peer: Peer, python: Path, cases: list[Case]) -> dict[str, Any]:
    asked = json.dumps([{"mask": case.mask, "order": case.order} for case in cases])
    with tempfile.TemporaryDirectory() as scratch, Machine.create(cases[0].inventory) as machine:
        answer = Path(scratch, "answer.json")
        environ = machine.environ(_clean_environ())
        if peer.without_cuda:
            environ["LD_LIBRARY_PATH"] = str(_nvml_alone(Path(scratch)))
        command: list[str | Path] = [python, "-W", "ignore", SCRIPTS / peer.script, answer]
        subprocess.run(command, input=asked, env=environ, check=True, stderr=subprocess.PIPE, text=True)
        reply: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return reply


def _clean_environ() -> dict[str, str]:
    ours = ("CUDA_", "NVIDIA_", "PYTHON", "RAY_", "DASK_", "GPU_VISIBILITY")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _nvml_alone(directory: Path) -> Path:
    """A library directory with the simulated NVML, and nothing that could be loaded as CUDA's driver."""
    (directory / "libnvidia-ml.so.1").symlink_to(library_directory() / "libnvidia-ml.so.1")
    for name in ("libcuda.so", "libcuda.so.1"):
        (directory / name).touch()
    return directory


# Comparing


def _verdict(answer: Answer, case: Case) -> str:
    if "error" in answer:
        return "crash"
    if "silent" in answer:
        return "silent"
    return "agree" if _admitted(answer, case, case.visibility.admissible) else "differ"


def _admitted(answer: Answer, case: Case, outcomes: Iterable[tuple[AnyDevice, ...]]) -> bool:
    if "uuids" in answer:
        said = _uuids(answer, case)
        return any([unit.uuid for unit in outcome] == said for outcome in outcomes)
    masks = answer["masks"]
    return any(
        len(outcome) == len(masks) and all(_means(mask, unit, case) for unit, mask in zip(outcome, masks, strict=True))
        for outcome in outcomes
    )


def _row(answer: Answer, case: Case) -> str:
    """The row of the table on which the peer and the resolver's first outcome part."""
    by_bus = resolve(case.mask, case.inventory, device_order="PCI_BUS_ID")
    if "error" not in answer and _admitted(answer, case, by_bus.admissible):
        return "34" if case.mask is None else "35"
    tokens = case.visibility.tokens
    if not tokens:
        many = "31" if case.visibility.driver >= 570 else "29"
        return many if any(gpu.mig for gpu in case.inventory.devices) else "1"
    limited = [token.row for token in tokens if token.status == "hidden" and token.row in LIMITS_OF_MIG]
    rows = [*limited, *(_of_error(answer["error"], case) if "error" in answer else _of_parting(answer, case))]
    rows += [token.row for token in tokens] + list(case.visibility.unsettled_rows)
    return next((row for row in rows if row not in PLAIN_ROWS), rows[0])


def _of_error(error: str, case: Case) -> list[str]:
    """The row of the element that an exception names."""
    return [token.row for token in case.visibility.tokens if error.endswith(f": {token.text.strip()}")]


def _of_parting(answer: Answer, case: Case) -> list[str]:
    """The rows of the element where the two lists of devices part, and of the one that ends the list."""
    tokens, same = case.visibility.tokens, _same(answer, case)
    parting = [token.row for token in tokens if same in token.ordinals]
    return parting + [token.row for token in tokens if token.status in ("ends", "repeats")]


def _same(answer: Answer, case: Case) -> int:
    """On how many of the first devices both agree."""
    said = answer["masks"] if "masks" in answer else _uuids(answer, case)
    pairs = zip(case.visibility.devices, said, strict=False)
    return len(list(takewhile(lambda pair: _means(pair[1], pair[0], case), pairs)))


def _uuids(answer: Answer, case: Case) -> list[str]:
    """What the peer says by UUID; a slice that it calls by its place as "MIG-GPU-.../1/0", by the slice's own."""
    known = {unit.uuid for unit in (*case.inventory.units, *case.inventory.devices)}
    by_place = {text: resolve(text, case.inventory).devices for text in answer["uuids"] if text not in known}
    return [text if text in known else by_place[text][0].uuid for text in answer["uuids"]]


def _means(said: str, unit: AnyDevice, case: Case) -> bool:
    """Whether a UUID, or a mask alone, is this device."""
    return said == unit.uuid or (unit,) in resolve(said, case.inventory, device_order=case.order).admissible


# Writing


def _page(cases: list[Case], compared: dict[str, Answers], speed: dict[str, Any] | None) -> str:
    sections = [
        _INTRODUCTION.format(count=len(cases), machines=len({case.machine for case in cases}), date=date.today())
    ]
    sections += ["\n".join(_summary(cases, compared)), _READING]
    sections += ["## What was asked", "\n".join(f"- **{peer.name}**: {peer.asked}" for peer in PEERS)]
    sections += ["## Speed", "\n".join(_speed_lines(speed))]
    for peer in PEERS:
        sections += [f"## {peer.name}: every difference", "\n".join(_differences(cases, compared[peer.name]))]
    return "\n\n".join(sections) + "\n"


def _summary(cases: list[Case], compared: dict[str, Answers]) -> Iterator[str]:
    yield "| | version | masks | agree | differ | crash | of these, CUDA shows devices | says nothing |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, answers in compared.items():
        if answers.missing:
            yield f"| {name} | could not be asked: {_one_line(answers.missing, 100)} | | | | | | |"
            continue
        verdicts = [(_verdict(answer, case), case) for answer, case in zip(answers.answers, cases, strict=True)]
        count = Counter(verdict for verdict, _ in verdicts)
        though = sum(verdict == "crash" and bool(case.visibility.devices) for verdict, case in verdicts)
        numbers = (len(cases), count["agree"], count["differ"], count["crash"], though, count["silent"])
        yield f"| {name} | {answers.version} | {' | '.join(map(str, numbers))} |"


def _differences(cases: list[Case], answers: Answers) -> Iterator[str]:
    if answers.missing:
        yield f"Could not be asked: {_one_line(answers.missing, 300)}"
        return
    asked = zip(answers.answers, cases, strict=True)
    parted = [(answer, case, _row(answer, case)) for answer, case in asked if _verdict(answer, case) in DIFFERENCES]
    yield from _by_row([row for _, _, row in parted])
    yield ""
    yield "| mask | on | it says | CUDA shows | row | evidence |"
    yield "|---|---|---|---|---|---|"
    for answer, case, row in parted:
        outcomes = " or ".join(_labels(outcome) for outcome in case.visibility.admissible)
        said = _said(answer, case)
        yield f"| {case.shown_mask} | {_where(case)} | {said} | {outcomes} | {row} | {BY_ROW[row].strength} |"


def _by_row(rows: list[str]) -> Iterator[str]:
    counts = Counter(rows)
    yield "Where the two part:"
    yield ""
    yield from (f"- row {row}, {BY_ROW[row].form}: {counts[row]}" for row in BY_ROW if row in counts)


def _where(case: Case) -> str:
    name, version = case.inventory.name, case.inventory.driver_version
    as_shipped = name not in Inventory.names() or Inventory.load(name).driver_version == version
    driver = "" if as_shipped else f", driver {version}"
    order = f", order `{case.order}`" if case.order else ""
    return f"`{name}`{driver}{order}"


def _said(answer: Answer, case: Case) -> str:
    inventory = case.inventory
    if "error" in answer:
        return f"`{_one_line(shown(answer['error'], inventory))}`"
    if "masks" in answer:
        count = len(answer["masks"])
        masks = " ".join(f"`{shown(mask, inventory, 20) or chr(34) * 2}`" for mask in answer["masks"])
        return f"{count} GPU{'s' * (count != 1)}: {masks}" if count else "no GPU"
    by_uuid = {unit.uuid: unit for unit in (*inventory.units, *inventory.devices)}
    return _labels(by_uuid[uuid] for uuid in _uuids(answer, case))


def _one_line(text: str, longest: int = 60) -> str:
    text = text.replace("`", "'").replace("|", "/")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _labels(units: Iterable[AnyDevice]) -> str:
    return " ".join(label(unit) for unit in units) or "nothing"


# Timing


def _speed(environments: Path, package: str) -> dict[str, Any] | None:
    """The medians of time_torch.py, run in PyTorch's environment; None where there is none."""
    try:
        python = _python_of(PEERS[0], environments)
    except subprocess.CalledProcessError:
        return None
    _pip(python, "--no-deps", "--force-reinstall", package)
    command: list[str | Path] = [python, "-W", "ignore", SCRIPTS / "time_torch.py"]
    done = subprocess.run(command, env=_clean_environ(), check=True, stdout=subprocess.PIPE, text=True)
    speed: dict[str, Any] = json.loads(done.stdout)
    return speed


def _ratio(speed: dict[str, Any]) -> float:
    ratio: float = speed["medians"]["resolve"] / speed["medians"]["torch"]
    return ratio


def _speed_lines(speed: dict[str, Any] | None) -> Iterator[str]:
    if speed is None:
        yield "Not measured: PyTorch could not be installed."
        return
    medians = speed["medians"]
    yield (
        f"Eight ordinals, `{speed['value']}`, in one process on Python {platform.python_version()}; the median of"
        f" {speed['repetitions']} repetitions of {speed['calls']} calls each, in turns:"
    )
    yield ""
    yield "| | microseconds | against PyTorch |"
    yield "|---|---|---|"
    for name, what in _TIMED.items():
        yield f"| {what} | {medians[name]:.1f} | {medians[name] / medians['torch']:.2f} |"


_TIMED = {
    "torch": "PyTorch's `_parse_visible_devices()`",
    "resolve": "`resolve(value, inventory)`, whose reasons are there when asked for",
    "environment": "the same, with both variables read from `os.environ` as PyTorch reads its one",
    "tokens": "`resolve(value, inventory).tokens`: every element with its reason",
}

_INTRODUCTION = """# Other readers of CUDA_VISIBLE_DEVICES

<!-- Generated by benchmarks/compare_resolvers.py. Do not edit. -->

PyTorch, nvitop, Ray and dask-cuda each read the variable themselves. Here their own code, installed and unmodified, is
asked about {count} masks on {machines} simulated machines, and compared with what the resolver admits: every outcome
that the evidence in [what CUDA_VISIBLE_DEVICES means](cuda-visible-devices.md) allows. Written on {date}."""

_READING = """- **agree**: the same devices in the same order as one of the outcomes that the resolver admits
- **differ**: other devices, another order, or devices that CUDA does not show
- **crash**: an exception, which a program may mean as a refusal
- **says nothing**: the program leaves the answer to CUDA

None of this was run on a real driver. Where a row rests on re-implementations, these are mostly PyTorch and nvitop:
that they agree there shows that their code was understood, not that CUDA does so; and rows that are not settled admit
both where the two disagree. On every mask for which PyTorch's own tests say what the driver does, so does the resolver
(`tests/masks/test_torch_parity.py`).

The masks are the examples of the table, the cases of PyTorch's tests, masks that programs are known to read
differently, and odd elements at each place of a list; also `٣` and `²`, which Python's `str.isdigit()` takes for digits
and C's `strtol()` does not. Below, `2` is GPU 2 by PCI bus id and `1/2/0` a MIG slice of GPU 1; in masks `U2` and
`M1/2/0` stand for their whole UUIDs. The row is that on which the two part."""


if __name__ == "__main__":
    sys.exit(main())
