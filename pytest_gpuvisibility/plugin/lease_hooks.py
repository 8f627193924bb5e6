"""Hand out disjoint devices to xdist workers or tests; registered only where ``--gpu-lease`` asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ..environment import (
    LEASE_CONTROLLER,
    LEASE_SCOPE,
    MACHINE_VARIABLE,
    MASK,
    ORDER,
    XDIST_WORKER,
    XDIST_WORKER_COUNT,
    restore,
)
from ..errors import UserError
from ..hooks import calls
from ..host import procfs, records_directory
from ..inventory import AnyDevice, label, uuid_digits
from ..lease import Claim, InUse, Lease, LeaseOffice, LeaseTimeout, TooFewDevices, described_process
from ..masks import narrow, resolve
from ..simulator import cuda_binding
from ..witness import ProcessLists
from .notes import note
from .options import DEFAULT_LEASE_TIMEOUT, Setting, share_of
from .placement import asks_for_machine
from .session import CLAIM, active_session

TIMEOUT = "gpu_lease_timeout"
_REFUSAL = pytest.StashKey[BaseException]()


def register(config: pytest.Config, setting: Setting) -> None:
    """Start to lease, before any conftest is imported. The session's selection must be in force.

    :raises pytest.UsageError: a timeout that is no number, fewer devices than workers, or none free in time.
    """
    try:
        plugin = LeasePlugin(config, setting)
        config.pluginmanager.register(plugin, "gpu-visibility-lease")
        config.add_cleanup(plugin.close)
        if setting.value != "test":
            plugin.hold_share() if _is_worker() or not _will_distribute(config) else plugin.announce()
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


class LeasePlugin:
    """One process's dealings with the office."""

    def __init__(self, config: pytest.Config, setting: Setting) -> None:
        self._setting = setting
        self._gpu_session = active_session(config)
        self._timeout = _timeout(config)
        self._permitted = len(self._gpu_session.visibility.devices)
        self._share = share_of(setting)
        self._is_for_workers = setting.value != "test"
        self._office = _office(self._gpu_session.visibility.devices, self._in_use)
        self._told: set[str] = set()
        self._config = config
        self._session = ExitStack()
        self._has_share = False
        self._refusal = ""

    def close(self) -> None:
        self._session.close()

    def announce(self) -> None:
        """Let the workers know that they are ours: they have the same command line and environment as we."""
        os.environ[LEASE_CONTROLLER] = str(os.getpid())
        self._session.callback(os.environ.pop, LEASE_CONTROLLER, None)

    def hold_share(self) -> None:
        """Take this worker's part of the devices until the session ends.

        :raises UserError: fewer devices than workers, or they were not free in time.
        """
        self._has_share = True
        workers, number = _worker() if _is_worker() else (1, 0)
        self._check_shares(workers)
        share = self._share or self._permitted // workers
        try:
            lease = self._office.take(share, self._timeout, first=number * share % self._permitted)
        except LeaseTimeout as error:
            self._refusal = f"{self._setting}: {error}. {_MORE_TIME}"
            if not _is_worker():
                raise UserError(self._refusal) from None
            lease = Lease((), ())  # an error here would pass for a crash, and the worker be replaced, to wait again
        self._session.enter_context(self._in_force(lease))

    def _check_shares(self, workers: int) -> None:
        share = self._share or 1
        if workers * share > self._permitted:
            few = {0: "no GPU is permitted", 1: "only 1 GPU is permitted"}
            enough = self._permitted // share
            raise UserError(
                f"{self._setting} gives each worker {'a GPU' if share == 1 else f'{share} GPUs'} of its own, but"
                f" {few.get(self._permitted, f'only {self._permitted} GPUs are permitted')} for {workers}"
                f" worker{'' if workers == 1 else 's'}. Use"
                + (f" -n{enough} or fewer," if enough else "")
                + " a wider --gpu-visibility, or --gpu-lease=test, where tests wait for each other's GPUs."
            )

    def pytest_configure(self, config: pytest.Config) -> None:
        if not self._is_for_workers or self._has_share:
            return
        try:
            if config.getoption("dist", "no") == "no":  # -n auto that came to mean no workers, as under --pdb
                self.hold_share()
            else:
                self._check_shares(len(config.getoption("tx")))
        except UserError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if self._refusal:
            session.shouldfail = self._refusal

    def pytest_report_header(self) -> str:
        each = "each worker" if self._is_for_workers else "each test"
        own = f"{self._share} of its own" if self._share else "its own"
        return f"gpu-lease: {each} has {own} of {self._permitted} GPUs (from {self._setting.source})"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Decide what each test gets: mistakes of a hook or a marker end the run before any test waits."""
        if self._is_for_workers:
            return
        for item in items:
            try:
                if (claim := _claim(item, self._gpu_session.visibility.devices)) is not None:
                    item.stash[CLAIM] = claim
            except pytest.UsageError as error:
                if not hasattr(config, "workerinput"):
                    raise
                # A pytest-xdist worker that raises here is taken for a crash.
                item.stash[_REFUSAL] = pytest.fail.Exception(str(error), pytrace=False)

    # Outermost, so that the time-outs of other plugins count the test's time and not that of waiting for others.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with ExitStack() as stack:
            if (claim := item.stash.get(CLAIM, None)) is not None:
                try:
                    stack.enter_context(self._in_force(self._take(claim)))
                except (pytest.skip.Exception, pytest.fail.Exception) as refusal:
                    item.stash[_REFUSAL] = refusal
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        refusal = item.stash.get(_REFUSAL, None)
        if refusal is not None:
            raise refusal

    def _in_use(self) -> InUse:
        """Who uses the devices and is not of this run, as NVML says; where it says nothing, nobody."""
        inventory = self._gpu_session.inventory
        try:
            lists = ProcessLists(inventory)
        except UserError:
            return {}
        try:
            lists.look()
        finally:
            lists.close()
        if not lists.seen:
            return {}
        ours = {_top(), *procfs.everyone_below(_top())}
        found = {}
        for (pid, _), sighting in lists.seen.items():
            if pid not in ours and (who := described_process(pid)):
                found.update(dict.fromkeys(sighting.touched, who))
        self._tell(found)
        return found

    def _tell(self, found: InUse) -> None:
        for device in self._gpu_session.visibility.devices:
            if device.uuid in found and device.uuid not in self._told:
                self._told.add(device.uuid)
                note(self._config, f"{label(device)} was not leased while {found[device.uuid]} used it")

    def _take(self, claim: Claim) -> Lease:
        try:
            return self._office.take(claim.count, self._timeout, first=self._favourite(), among=claim.among)
        except TooFewDevices as error:
            raise pytest.skip.Exception(f"gpu_count: {error} ({self._setting})") from None
        except LeaseTimeout as error:
            message = f"{self._setting}: {error}. {_MORE_TIME}"
            raise pytest.fail.Exception(message, pytrace=False) from None

    def _favourite(self) -> int:
        """The position of the device that CUDA in this process shows already: a test that gets it can run here."""
        bound = cuda_binding()
        first = bound.shown[0] if bound and bound.shown else None
        places = [place for place, unit in enumerate(self._office.devices) if uuid_digits(unit.uuid) == first]
        return places[0] if places else 0

    @contextmanager
    def _in_force(self, lease: Lease) -> Iterator[None]:
        """This process and its children see the lease's devices alone."""
        outer = self._gpu_session.visibility
        names = {device.uuid for device in lease.devices}
        before = {name: os.environ.get(name) for name in (MASK, LEASE_SCOPE)}
        with lease:
            mask = narrow(outer, [place for place, device in enumerate(outer.devices) if device.uuid in names])
            os.environ[MASK], os.environ[LEASE_SCOPE] = mask, lease.scope
            # The fixtures and markers that narrow further count within the lease.
            self._gpu_session.visibility = resolve(mask, outer.inventory, device_order=os.environ.get(ORDER))
            try:
                yield
            finally:
                self._gpu_session.visibility = outer
                restore(os.environ, before)


_MORE_TIME = f"Wait for the other run to end, ask for fewer, or give it longer: {TIMEOUT} in the ini file, in seconds."


def _office(devices: tuple[AnyDevice, ...], occupied: Callable[[], InUse]) -> LeaseOffice:
    # A simulated machine's locks go away with it. Those of a real one stay: a UUID has no second GPU.
    machine = os.environ.get(MACHINE_VARIABLE)
    place = Path(machine) if machine else records_directory()
    return LeaseOffice(devices, place / "leases", os.environ.get(LEASE_SCOPE, "machine"), occupied)


def _claim(item: pytest.Item, permitted: tuple[AnyDevice, ...]) -> Claim | None:
    """What the test wants; None: nothing, for it runs on a simulated machine of its own.

    :raises pytest.UsageError: a third party's answer, or the test's marker, makes no sense.
    """
    if asks_for_machine(item):
        return None
    if item.get_closest_marker("no_gpu"):
        return Claim(0)
    try:
        theirs = calls.claim(item.config, item, permitted)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    return theirs or Claim(_count(item, len(permitted)))


def _count(item: pytest.Item, permitted: int) -> int:
    marker = item.get_closest_marker("gpu_count")
    if marker is None:
        return min(1, permitted)
    count = next(iter((*marker.args, *marker.kwargs.values())), None)
    if type(count) is not int or count < 1:
        raise pytest.UsageError(f"gpu_count({count!r}) of {item.nodeid}: give the number of GPUs, 1 or more.")
    return count


def _timeout(config: pytest.Config) -> float:
    value = config.getini(TIMEOUT)
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(
            f"{TIMEOUT} = {value} is no time to wait for GPUs. Give a number of seconds such as"
            f" {DEFAULT_LEASE_TIMEOUT}."
        )
    return seconds


def _is_worker() -> bool:
    """Whether this is one of our controller's workers, not a pytest that one of its tests has started."""
    return (
        os.environ.get(LEASE_CONTROLLER) == str(os.getppid())
        and XDIST_WORKER in os.environ
        and LEASE_SCOPE not in os.environ
    )


def _top() -> int:
    """The process under which all of this run's are."""
    return os.getppid() if XDIST_WORKER in os.environ else os.getpid()


def _worker() -> tuple[int, int]:
    """How many workers there are, and this one's number. The replacement of a dead one has a number of its own."""
    number = os.environ[XDIST_WORKER].removeprefix("gw")
    return int(os.environ[XDIST_WORKER_COUNT]), int(number) if number.isdigit() else 0


def _will_distribute(config: pytest.Config) -> bool:
    """Whether this process only hands out tests to workers, as far as the command line tells so early."""
    given = config.known_args_namespace
    return bool(getattr(given, "numprocesses", None) or (getattr(given, "tx", None) and given.dist != "no"))
