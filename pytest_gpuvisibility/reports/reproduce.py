"""The commands that repeat what a report tells of, for a shell."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ..environment import MASK, ORDER
from ..profile.files import fill

SCRATCH = "/tmp/gpu-visibility-by-hand"
"""Where what a profile prepares is made for launches by hand: the session's own directory is gone with it."""


def check_command(subject: Any, rule: str) -> str:
    """Judge this rule alone."""
    chosen = [f"--gpu-inventory={subject.inventory}"] if subject.inventory_is_chosen else []
    return shlex.join(["gpu-visibility", "check", subject.source, f"--gpu-rule={rule}", *chosen])


def launch_command(fleet: Any, theatre: Any, simulated: bool) -> str:
    """Launch the server as in ``fleet``, after what the profile prepares; what was then done to it is not in it."""
    scenario = fleet.scenario
    masks = [(MASK, scenario.visible), (ORDER, scenario.device_order)]
    unset = [word for name, value in masks if value is None for word in ("-u", name)]
    given = {**dict(masks), **dict(scenario.environ), **fleet.environ}
    values = [f"{name}={value}" for name, value in given.items() if value is not None]
    launch = shlex.join(["env", *unset, *values, *(_run_command(fleet) if simulated else []), *fleet.command])
    scratch = f"{SCRATCH}/{re.sub('[^A-Za-z0-9._-]', '-', theatre.profile.product.name)}"
    return (_preparation(theatre) + launch).replace(str(theatre.scratch), scratch)


def _preparation(theatre: Any) -> str:
    """Once for all launches; nothing where nothing is prepared."""
    profile = theatre.profile
    if not profile.server.prepare:
        return ""
    values = profile.values(groups=0, devices=0, port=0)
    command = shlex.join(fill(word, values) for word in profile.server.prepare)
    scratch = shlex.quote(str(theatre.scratch))
    return f"(test -d {scratch} || (mkdir -p {scratch} && cd {scratch} && {command})) && "


def _run_command(fleet: Any) -> list[str]:
    """The simulated machine of a launch, for the program that follows."""
    scenario = fleet.scenario
    words = ["gpu-visibility", "run", "--inventory", scenario.inventory]
    words += [word for fault in scenario.faults for word in ("--fault", fault)]
    if not scenario.nvidia_smi:
        words.append("--no-nvidia-smi")
    if scenario.device_nodes and not fleet.remarks:
        words.append("--device-nodes")
    if fleet.skipped_launches:
        words += ["--launch", "noop"]
    return [*words, "--"]
