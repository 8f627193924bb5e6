"""No simulated machine can be made from the launch FAULT_FROM_LAUNCH on: the system's error is FAULT."""

import errno
import os

from pytest_gpuvisibility.simulator.machine import Machine

create, played = Machine.create.__func__, []


def failing(cls, *arguments, **keywords):
    played.append(1)
    if len(played) >= int(os.environ["FAULT_FROM_LAUNCH"]):
        raise OSError(getattr(errno, os.environ["FAULT"]), os.strerror(getattr(errno, os.environ["FAULT"])), "/tmp/x")
    return create(cls, *arguments, **keywords)


Machine.create = classmethod(failing)
