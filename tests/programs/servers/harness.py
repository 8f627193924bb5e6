"""What a harness does, in a process of its own that can be killed."""

import json
import os
import signal
import sys
from pathlib import Path

from pytest_gpuvisibility import profile
from pytest_gpuvisibility.server import LaunchRequest, ServerProcess, wait_until_ready

with ServerProcess(profile.load(sys.argv[1]), directory=Path(sys.argv[2])) as server:
    server.start(LaunchRequest(groups=2, devices=1, environ=os.environ))
    if server.profile.server.values["mode"] == "silent":
        server.wait_for_worker(1)
    else:
        wait_until_ready(server)
    pids = [facts.pid for facts in server.observe()]
    print(json.dumps({"supervisor": server._supervisor.pid, "pids": pids}), flush=True)
    if sys.argv[3] == "wait":
        wait_until_ready(server, 3600)
        signal.pause()
    server.signal_launcher(signal.SIGINT)
    print(json.dumps({"exit_code": server.wait_exit()}), flush=True)
