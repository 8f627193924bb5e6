"""The commands that repeat what a report tells of, for a shell."""

from __future__ import annotations

import re
import shlex

from ..environment import MASK, ORDER
from ..records import LaunchRecord
from ..suite import Preparation, Subject

SCRATCH = "/tmp/gpu-visibility-by-hand"
"""Where what a profile prepares is made for launches by hand: the session's own directory is gone with it."""


def check_command(subject: Subject, rule: str) -> str:
    """Judge this rule alone."""
    chosen = [f"--gpu-inventory={subject.inventory}"] if subject.inventory_is_chosen else []
    return shlex.join(["gpu-visibility", "check", subject.source, f"--gpu-rule={rule}", *chosen])


def launch_command(record: LaunchRecord, subject: Subject) -> str:
    """Launch the server as in ``record``, after what the profile prepares; what was then done to it is not in it."""
    scenario, preparation = record.scenario, subject.preparation
    masks = [(MASK, scenario.visible), (ORDER, scenario.device_order)]
    unset = [word for name, value in masks if value is None for word in ("-u", name)]
    given = {**dict(masks), **dict(scenario.environ), **record.environ}
    values = [f"{name}={value}" for name, value in given.items() if value is not None]
    machine = _run_command(record) if subject.simulated else []
    launch = shlex.join(["env", *unset, *values, *machine, *record.command])
    scratch = f"{SCRATCH}/{re.sub('[^A-Za-z0-9._-]', '-', subject.name)}"
    return (_prepare_command(preparation) + launch).replace(str(preparation.directory), scratch)


def _prepare_command(preparation: Preparation) -> str:
    """Once for all launches; nothing where nothing is prepared."""
    if not preparation.command:
        return ""
    scratch = shlex.quote(str(preparation.directory))
    return f"(test -d {scratch} || (mkdir -p {scratch} && cd {scratch} && {shlex.join(preparation.command)})) && "


def _run_command(record: LaunchRecord) -> list[str]:
    """The simulated machine of a launch, for the program that follows."""
    scenario = record.scenario
    words = ["gpu-visibility", "run", "--inventory", scenario.inventory]
    words += [word for fault in scenario.faults for word in ("--fault", fault)]
    if not scenario.nvidia_smi:
        words.append("--no-nvidia-smi")
    if scenario.device_nodes and not record.remarks:
        words.append("--device-nodes")
    if record.skipped_kernel_launches:
        words += ["--launch", "noop"]
    return [*words, "--"]
