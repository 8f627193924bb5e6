"""Fixtures for tests of device-selection code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from . import kernel_launch_report, options
from .markers import ALL_NAMES, closest_inventory, marker_request
from .options import Setting
from .session import SESSION, active_session, errors_at_set_up, is_placed, usage_errors

if TYPE_CHECKING:
    from ..inventory import AnyDevice, Inventory
    from ..masks import Mask
    from .gpu_machine import GpuMachine
    from .gpu_server import GpuServer
    from .machines import Machines
    from .placement import TestPlace

MACHINES = pytest.StashKey["Machines"]()
WIDE_MACHINES = ("gpu_machine_class", "gpu_machine_module", "gpu_machine_session")
"""Narrowest first: a test that takes several is placed on the first."""


def is_ours(item: pytest.Item) -> bool:
    """Whether collection has to do with a test: it has one of our markers or fixtures, or shares a machine."""
    names: list[str] = getattr(item, "fixturenames", [])
    marked = any(mark.name in ALL_NAMES for mark in item.iter_markers())
    return marked or is_placed(item) or any(name in names for name in WIDE_MACHINES)


class GpuVisibility:
    """What is visible to the test and to the programs it starts."""

    def __init__(self, place: TestPlace) -> None:
        self._place = place

    @property
    def devices(self) -> tuple[AnyDevice, ...]:
        """The visible devices in CUDA's order."""
        return self._place.devices

    @property
    def environ(self) -> dict[str, str]:
        """A copy of the environment, for a child that is to see the same."""
        return self._place.environ()

    def set(self, devices: Mask) -> None:
        """Narrow further, until the test ends: ordinals within what the test was given, UUIDs, ``all`` or ``none``.

        A number, a device and a list of those will do too.

        :raises pytest.UsageError: a device that is not there or not permitted; or CUDA in this process has shown the
            test others before, and keeps them.
        """
        from ..masks import written

        with usage_errors():
            self._place.mask(Setting(written(devices), "gpu_visibility.set"))

    def __repr__(self) -> str:
        return f"<GpuVisibility {', '.join(map(repr, self.devices)) or 'no GPU'}>"


def _machines(config: pytest.Config) -> Machines:
    if MACHINES not in config.stash:
        from .machines import Machines

        config.stash[MACHINES] = machines = Machines()
        config.add_cleanup(machines.close)
    return config.stash[MACHINES]


def clean_up(config: pytest.Config) -> None:
    """Remove what tests' machines have left. Now and not later: pytest-xdist gives its workers little time to end."""
    if MACHINES in config.stash:
        config.stash[MACHINES].close()
    if SESSION in config.stash and hasattr(config, "workerinput"):
        config.stash[SESSION].undo()


@contextmanager
def _machine(config: pytest.Config, inventory: str | None) -> Iterator[GpuMachine]:
    """A machine of that inventory without a mask, or a copy of the session's under the session's mask."""
    from ..hooks import calls
    from .gpu_machine import GpuMachine
    from .placement import carried_over

    policy = options.read(config).kernel_launch_policy
    with errors_at_set_up():
        if inventory is not None:
            machine = GpuMachine(calls.inventory_finder(config)(inventory), _machines(config), kernel_launches=policy)
        else:
            session = active_session(config)
            mask = carried_over(session)
            machine = GpuMachine(session.inventory, _machines(config), mask, kernel_launches=policy)
    machine.asked_for = inventory
    try:
        yield machine
    finally:
        kernel_launch_report.account(config, machine.simulated)
        machine.close()


@pytest.fixture
def _gpu_place(request: pytest.FixtureRequest) -> Iterator[TestPlace]:
    from . import placement, watch

    with errors_at_set_up():
        asked = marker_request(request.node)
    process, test = watch.register(request.config), request.node.nodeid
    with ExitStack() as stack:
        machine: GpuMachine | None = None
        if "gpu_machine" in request.fixturenames:
            machine = stack.enter_context(_machine(request.config, asked.inventory))
        elif wide := _wide_machine(request):
            machine = _agreed(request, wide, asked.inventory)
        elif asked.inventory is not None:
            machine = stack.enter_context(_machine(request.config, asked.inventory))
        with errors_at_set_up():
            if machine is not None:
                place = stack.enter_context(placement.on_machine(machine, process, test))
            else:
                mask = getattr(request, "param", None)
                session = active_session(request.config)
                place = stack.enter_context(placement.in_session(session, mask, process, test))
            placement.apply(asked, place)
        yield place


def _wide_machine(request: pytest.FixtureRequest) -> str | None:
    return next((name for name in WIDE_MACHINES if name in request.fixturenames), None)


def _agreed(request: pytest.FixtureRequest, fixture: str, inventory: str | None) -> GpuMachine:
    machine: GpuMachine = request.getfixturevalue(fixture)
    if inventory is not None and machine.asked_for != inventory:
        scope = fixture.removeprefix("gpu_machine_")
        fix = f"Give --gpu-inventory={inventory}" if scope == "session" else f"Put the marker on the {scope}"
        raise pytest.UsageError(
            f"{request.node.nodeid}: gpu_inventory({inventory!r}) asks for another machine than that of {fixture}"
            f" ({machine.inventory.name}), which several tests share. {fix}, or take gpu_machine."
        )
    return machine


def _wide(request: pytest.FixtureRequest) -> Iterator[GpuMachine]:
    with errors_at_set_up():
        inventory = closest_inventory(request.node)
    with _machine(request.config, inventory) as machine:
        yield machine


@pytest.fixture
def gpu_inventory(_gpu_place: TestPlace) -> Inventory:
    """The GPUs of the machine that the test runs on, simulated or real, whatever the mask hides.

    Example::

        def test_every_gpu_is_listed(gpu_inventory):
            assert my_tool.list_gpus() == [device.uuid for device in gpu_inventory.devices]
    """
    return _gpu_place.inventory


@pytest.fixture
def gpu_visibility(_gpu_place: TestPlace) -> GpuVisibility:
    """The devices visible to the test; ``.environ`` for a child, ``.set()`` to narrow further.

    Under several ``--gpu-visibility`` the test runs once for each.

    Example::

        def test_the_second_gpu_alone(gpu_visibility):
            gpu_visibility.set("1")
            output = subprocess.check_output(["my-tool"], env=gpu_visibility.environ)
            assert gpu_visibility.devices[0].uuid in output.decode()
    """
    return GpuVisibility(_gpu_place)


@pytest.fixture
def gpu_machine(_gpu_place: TestPlace) -> GpuMachine:
    """A fresh simulated machine for this test: run programs on it, and see which devices they touched.

    It is a copy of the run's machine under the run's mask, or, with the marker ``gpu_inventory``, that one without a
    mask. Ordinals count as ``gpu_machine.devices`` does: programs get CUDA_DEVICE_ORDER=PCI_BUS_ID unless
    ``device_order`` says otherwise; None is CUDA's own default, fastest first.

    While the test runs, every program that it starts finds this machine, in any language; in the test's own process
    NVML does from its next nvmlInit, CUDA if it was not initialised before. ``lose``, ``make_sick``, ``occupy``,
    ``set_compute_mode`` and ``set_kernel_launch_policy`` change it in the middle. When the test ends, so does whatever
    still runs on it.

    Example::

        @pytest.mark.gpu_inventory("mixed4")
        def test_auto_picks_the_biggest_visible_gpu(gpu_machine):
            run = gpu_machine.run([sys.executable, "-m", "myserver", "--device", "auto"], visible="1,3")
            assert run.touched == {gpu_machine.devices[3]}
    """
    assert _gpu_place.machine is not None
    return _gpu_place.machine


@pytest.fixture(scope="class")
def gpu_machine_class(request: pytest.FixtureRequest) -> Iterator[GpuMachine]:
    """A machine as ``gpu_machine`` gives one, shared by all tests of a class; mark the class with ``gpu_inventory``."""
    yield from _wide(request)


@pytest.fixture(scope="module")
def gpu_machine_module(request: pytest.FixtureRequest) -> Iterator[GpuMachine]:
    """A machine as ``gpu_machine`` gives one, shared by a module's tests; ``gpu_inventory`` goes in ``pytestmark``."""
    yield from _wide(request)


@pytest.fixture(scope="session")
def gpu_machine_session(request: pytest.FixtureRequest) -> Iterator[GpuMachine]:
    """A machine as ``gpu_machine`` gives one, shared by the session's tests, or each pytest-xdist worker's."""
    yield from _wide(request)


@pytest.fixture(scope="session")
def gpu_server(pytestconfig: pytest.Config) -> GpuServer:
    """The server under test, of --gpu-server: launch it on a simulated machine, and see what its workers used.

    Example::

        def test_workers_keep_to_the_mask(gpu_server):
            fleet = gpu_server.launch(visible="4,6", groups=2, devices=1)
            assert fleet.ready, fleet.stderr
            fourth, sixth = gpu_server.inventory.devices[4], gpu_server.inventory.devices[6]
            assert [worker.uses(1) for worker in fleet.workers] == [(fourth.uuid,), (sixth.uuid,)]
    """
    from ..suite import ServerSubject
    from .gpu_server import GpuServer
    from .suite_hooks import TRIAL

    subject = pytestconfig.stash[TRIAL].subject if TRIAL in pytestconfig.stash else None
    if not isinstance(subject, ServerSubject):
        given = f"--gpu-server={subject.source} is none" if subject else "there is no --gpu-server"
        raise pytest.UsageError(
            f"The fixture gpu_server launches a server, and {given}. Give --gpu-server=NAME or =FILE, or gpu_server in"
            " the ini file: a name of `gpu-visibility servers`, or the path of a profile."
        )
    return GpuServer(subject)


@dataclass(frozen=True)
class GpuLease:
    """What a test has to itself."""

    devices: tuple[AnyDevice, ...]
    """In CUDA's order: ``devices[i]`` is ``cuda:i`` for the test and its children."""


@pytest.fixture
def gpu_lease(_gpu_place: TestPlace) -> GpuLease:
    """The GPUs that this test has to itself under --gpu-lease; without it, all that are visible.

    Under ``--gpu-lease=test`` as many as the marker ``gpu_count`` says, by default one, for this test. Under
    ``--gpu-lease=worker`` those that its pytest-xdist worker has for the session.

    Example::

        @pytest.mark.gpu_count(2)
        def test_two_groups_of_one(gpu_lease):
            first, second = gpu_lease.devices
            with my_server("--layout", "2x1") as server:
                assert server.uuids() == [first.uuid, second.uuid]
    """
    return GpuLease(_gpu_place.given.devices)
