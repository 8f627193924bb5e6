"""``gpu-visibility``: the command line. Mistakes of the user end in exit code 2 and one paragraph on stderr.

A command imports what it needs inside its function: with the suite's packages at the top, every command would begin
170 ms later than the 70 ms that this module takes (``python -X importtime``).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import toml
from .environment import MASK, ORDER
from .errors import UserError
from .inventory import MACHINE_FAULTS
from .policies import KERNEL_LAUNCH_POLICIES

Command = Callable[[argparse.Namespace], int]
USAGE_ERROR = 2
XDIST_WORKERS = 3
"""pytest-xdist workers for each core: most of a scenario is waiting for a server to start or to end."""
MEMORY_FOR_A_WORKER = 1 << 30
"""Bytes of free memory for each of them and for the server that it starts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parse(argv)
    command: Command = arguments.command
    try:
        return command(arguments)
    except UserError as error:
        print(f"gpu-visibility: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu-visibility",
        description="Which GPUs a program may use, does use, and what it says when there are too few.",
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("pytest-gpuvisibility"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run any program on a simulated machine")
    run.add_argument("--inventory", default="a100x8", metavar="NAME|FILE", help="the machine (default: %(default)s)")
    run.add_argument("--visible", metavar="VALUE", help="CUDA_VISIBLE_DEVICES for the program (default: as it is)")
    run.add_argument(
        "--launch",
        choices=KERNEL_LAUNCH_POLICIES,
        default="error",
        help="what a kernel launch does: fail, or nothing, successfully (default: %(default)s)",
    )
    run.add_argument(
        "--fault",
        action="append",
        choices=MACHINE_FAULTS,
        default=[],
        help="what is wrong with the machine's driver; may be repeated",
    )
    run.add_argument("--no-nvidia-smi", action="store_true", help="there is no nvidia-smi on the program's PATH")
    run.add_argument(
        "--device-nodes",
        action="store_true",
        help="a /dev of its own, with the device nodes of the machine's GPUs alone; needs root",
    )
    run.add_argument(
        "--audit", type=Path, metavar="FILE", help="keep the ledger, with what NVML was asked, as JSON Lines"
    )
    run.add_argument(
        "--strict",
        action="store_true",
        help="exit code 1 where a GPU outside --visible was touched and CMD ends with 0; else it is CMD's",
    )
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="-- CMD...", help="the program and its arguments")
    run.set_defaults(command=_run)

    resolve = commands.add_parser("resolve", help="explain a mask, token by token")
    resolve.add_argument(
        "--inventory", metavar="NAME|FILE|real", help="the machine (default: a100x8; with --environ, this one)"
    )
    resolve.add_argument("--order", metavar="ORDER", help="CUDA_DEVICE_ORDER (default: unset, which is FASTEST_FIRST)")
    resolve.add_argument("--driver", metavar="VERSION", help="the driver's version, for MIG (default: the inventory's)")
    resolve.add_argument("--json", action="store_true", help="print JSON")
    resolve.add_argument("--environ", action="store_true", help="explain this process's own environment")
    resolve.add_argument(
        "value", nargs="?", metavar="VALUE", help="the value of CUDA_VISIBLE_DEVICES (leave out: unset)"
    )
    resolve.set_defaults(command=_resolve)

    check = commands.add_parser("check", help="judge a server by the conformance suite", allow_abbrev=False)
    help = "a shipped server (see `gpu-visibility servers`), a profile file, or `driver` for the CUDA driver itself"
    check.add_argument("server", metavar="SERVER", help=help)
    check.add_argument(
        "--new", action="store_true", help="judge nothing: write SERVER.toml, a profile to fill in, into this directory"
    )
    check.set_defaults(command=_check)

    report = commands.add_parser(
        "report",
        help="read the report of a run, turn it into a page, or compare two",
        description="One report: say what does not pass. Two: say what changed from the first to the second.",
        epilog="Exit code: 0, or 1 where of two reports the second is worse (a MUST rule newly fails, or could not be"
        " judged because the harness failed); 2 for a file that is no report.",
    )
    report.add_argument("report", type=Path, metavar="A.json", help="what --gpu-report=A.json has written")
    report.add_argument("later", type=Path, nargs="?", metavar="B.json", help="a later run, to compare with it")
    report.add_argument("--html", type=Path, metavar="PATH", help="make a page of the report, of the later one of two")
    report.add_argument("--badge", type=Path, metavar="PATH", help="make a badge of it, an .svg")
    report.add_argument(
        "--json", action="store_true", help="print JSON: the comparison, or the rules of the one report"
    )
    report.set_defaults(command=_report)

    for name, command, help in (
        ("rules", _rules, "list the conformance rules"),
        ("inventories", _inventories, "list the shipped machines, or the GPUs of one"),
        ("servers", _servers, "list the shipped servers"),
    ):
        listing = commands.add_parser(name, help=help)
        listing.add_argument("--json", action="store_true", help="print JSON")
        if name == "inventories":
            listing.add_argument("name", nargs="?", metavar="NAME|FILE", help="show the GPUs of this one")
        if name == "servers":
            listing.add_argument("--schema", action="store_true", help="print the JSON Schema of profiles")
        listing.set_defaults(command=command)

    doctor = commands.add_parser("doctor", help="say what this machine has, and what works here")
    doctor.set_defaults(command=_doctor)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """What ``check`` does not know is pytest's; anywhere else it is a mistake."""
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if arguments.command is _resolve and arguments.value is None and len(unknown) == 1 and unknown[0][1:2].isdigit():
        arguments.value = unknown.pop()  # a mask that begins with a negative number, which argparse takes for an option
    if unknown and arguments.command is not _check:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.pytest_options = unknown
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    from .inventory import Inventory
    from .masks import resolve
    from .simulator import run_program

    program = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    if not program:
        raise UserError("run needs a program: gpu-visibility run --inventory a100x4 -- nvidia-smi -L")
    inventory = Inventory.load(arguments.inventory).with_faults(arguments.fault)
    mask = os.environ.get(MASK) if arguments.visible is None else arguments.visible
    return run_program(
        program,
        inventory,
        visible=arguments.visible,
        permitted=resolve(mask, inventory, device_order=os.environ.get(ORDER)).devices,
        strict=arguments.strict,
        kernel_launches=arguments.launch,
        nvidia_smi=not arguments.no_nvidia_smi,
        own_device_nodes=arguments.device_nodes,
        audit=arguments.audit,
    )


def _resolve(arguments: argparse.Namespace) -> int:
    from .inventory import DEFAULT_INVENTORY, Inventory, real_gpus_answer
    from .masks import explain, resolve

    value, order, machine = arguments.value, arguments.order, arguments.inventory
    if arguments.environ:
        if value is not None:
            raise UserError(f"--environ explains this process's environment; leave out the value {value!r}.")
        value, order = os.environ.get(MASK), order or os.environ.get(ORDER)
        machine = machine or ("real" if real_gpus_answer() else None)
        if machine is None:
            print(f"No GPU answers on this machine: read as if it were {DEFAULT_INVENTORY}.", file=sys.stderr)
    inventory = Inventory.from_nvml() if machine == "real" else Inventory.load(machine or DEFAULT_INVENTORY)
    visibility = resolve(value, inventory, device_order=order, driver=arguments.driver)
    print(json.dumps(explain.as_json(visibility), indent=2) if arguments.json else explain.explain(visibility))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    if arguments.new:
        return _write_profile(arguments.server, arguments.pytest_options)
    import pytest

    from .resources import shipped_directory

    options = arguments.pytest_options
    given = any(option.startswith(("-n", "--numprocesses")) for option in options)
    parallel = [] if given else [f"-n{_workers(arguments.server, options)}"]
    suite = ["--pyargs", "pytest_gpuvisibility.conformance", f"--gpu-server={arguments.server}"]
    settings = ["-c", str(shipped_directory("conformance") / "pytest.ini"), "--rootdir=.", "-p", "no:cacheprovider"]
    # The rules have no assert statements: rewriting ours and other plugins' would be a third of the suite's own time.
    return int(pytest.main([*suite, *settings, "--assert=plain", *parallel, *options]))


def _write_profile(name: str, unknown: Sequence[str]) -> int:
    from .profile import template

    if unknown:
        raise UserError(f"--new takes nothing but a name; leave out {' '.join(unknown)}.")
    print(template.next_steps(template.write(name, Path.cwd())))
    return 0


def _workers(server: str, options: Sequence[str]) -> int:
    """pytest-xdist workers: a server makes one wait, a driver answers at once; no more than there are rules to run, or
    than find room in memory.
    """
    from .conformance import catalogue
    from .profile import DRIVER
    from .suite import matches

    if server == DRIVER:
        return 0
    globs = _values_of("--gpu-rule", options)
    rules = sum(matches(rule.id, globs) for rule in catalogue("server")) if globs else len(catalogue("server"))
    workers = min(XDIST_WORKERS * len(os.sched_getaffinity(0)), rules, _free_memory() // MEMORY_FOR_A_WORKER)
    return workers if workers > 1 else 0


def _values_of(option: str, options: Sequence[str]) -> list[str]:
    """What follows ``option``, after an equals sign or as the next word."""
    found = [word.partition("=")[2] for word in options if word.startswith(f"{option}=")]
    return found + [value for word, value in pairwise(options) if word == option]


def _free_memory() -> int:
    """Bytes that programs can still take; as good as unlimited where nobody says."""
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return sys.maxsize


def _rules(arguments: argparse.Namespace) -> int:
    from .conformance import catalogue

    twins = _twins()
    rules = [
        {
            "id": rule.id,
            "level": rule.level.value,
            "summary": rule.summary,
            "sources": list(rule.sources),
            "twin": twins.get(rule.id),
            "inventories": list(rule.inventories),
            "devices": rule.devices,
            "needs": [need.value for need in rule.needs],
        }
        for rule in catalogue()
    ]
    if arguments.json:
        print(json.dumps(rules, indent=2))
    for rule in rules if not arguments.json else ():
        print(f"{rule['id']}  {rule['level']:<6}  {rule['summary']}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from .reports import comparison, files, load, write

    targets = [
        (path, option, ending)
        for path, option, ending in ((arguments.html, "--html", ".html"), (arguments.badge, "--badge", ".svg"))
        if path is not None
    ]
    for path, option, ending in targets:
        files.check_path(path, option, [ending])
    first = load.load(arguments.report)
    later = load.load(arguments.later) if arguments.later is not None else None
    for path, _, _ in targets:
        write.write(path, later or first)
    if later is None:
        if arguments.json:
            print(json.dumps({rule["id"]: rule["verdict"] for rule in first["rules"]}, indent=2))
        elif not targets:
            print("\n".join(comparison.listing(first)))
        return 0
    found = comparison.compare(first, later)
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else "\n".join(comparison.lines(first, later, found)))
    return 1 if found.worse else 0


def _twins() -> dict[str, dict[str, Any]]:
    """By the rule that each must fail: the fault of the twins' server, and what it does wrong."""
    from .resources import shipped_directory

    described = toml.loads((shipped_directory("fixtures") / "twins" / "twins.toml").read_text(encoding="utf-8"))
    return {
        twin["rule"]: {name: twin.get(name, {}) for name in ("fault", "summary", "also_fails")}
        for twin in described["twin"]
    }


def _inventories(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from .inventory import Inventory

    inventories = [Inventory.load(name) for name in ([arguments.name] if arguments.name else Inventory.names())]
    if arguments.json:
        print(json.dumps([asdict(inventory) for inventory in inventories], indent=2, default=sorted))
    elif arguments.name:
        if inventories[0].faults:
            print(f"The driver has the faults {', '.join(sorted(inventories[0].faults))}.")
        for device in inventories[0].devices:
            faults = f"  {', '.join(sorted(device.faults))}" if device.faults else ""
            print(
                f"GPU {device.index}  {device.uuid}  {device.pci_bus_id}  {device.memory >> 20:>6} MiB  {device.name}"
                f"{faults}"
            )
    else:
        for inventory in inventories:
            names = ", ".join(dict.fromkeys(device.name for device in inventory.devices)) or "no GPU"
            print(f"{inventory.name:<12} {len(inventory.devices)}  {names}")
    return 0


def _servers(arguments: argparse.Namespace) -> int:
    from .profile import files as profile
    from .profile import schema

    if arguments.schema:
        print(schema.SCHEMA.read_text(encoding="utf-8"), end="")
        return 0

    servers = [{"name": name, "url": profile.load(name).product.url} for name in profile.names()]
    if arguments.json:
        print(json.dumps(servers, indent=2))
    for server in servers if not arguments.json else ():
        print(f"{server['name']:<12} {server['url']}")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import report

    lines, healthy = report()
    print("\n".join(lines))
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
