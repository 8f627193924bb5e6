"""One launch as the profile describes it: what is made before the first one, and the machine it is played on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpuvisibility import profile as profiles
from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.scenario import Scenario, Theatre

# A server of one process, which says what cuLaunchKernel answers it.
SERVER = r"""
import ctypes, http.server, sys

cuda = ctypes.CDLL("libcuda.so.1")
context, module, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
cuda.cuInit(0)
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
cuda.cuCtxSetCurrent(context)
cuda.cuModuleLoadData(ctypes.byref(module), b"image")
cuda.cuModuleGetFunction(ctypes.byref(function), module, b"kernel")
answer = cuda.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None)

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{open(sys.argv[2]).read()} launched: {answer}".encode())

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1]) + 1), Answer).serve_forever()
"""
PROFILE = """
[product]
name = "toy"
version_command = ["{python}", "--version"]
[server]
command = ["{python}", "-I", "{here}/server.py", "{port}", "{model}"]
values = {model = "{scratch}/model"}
prepare = ["{python}", "-I", "-c", "print('loaded', file=open('{model}', 'x'))"]
launch = "noop"
ready_deadline = 20.0
stop = "SIGTERM"
request = {kind = "http", url = "http://127.0.0.1:{worker_port}/", expect = "loaded"}
"""


def theatre(directory: Path, text: str = PROFILE) -> Theatre:
    (directory / "server.py").write_text(SERVER)
    (directory / "toy.toml").write_text(text)
    room = directory / "room"
    room.mkdir()
    return Theatre(profiles.load(directory / "toy.toml"), room)


@pytest.mark.parametrize(("policy", "answer"), [("noop", "launched: 0"), ("error", "launched: 801")])
def test_a_profile_chooses_what_a_kernel_launch_does(tmp_path: Path, policy: str, answer: str) -> None:
    text = PROFILE.replace('"noop"', f'"{policy}"').replace('"loaded"', f'"{answer}"')
    assert theatre(tmp_path, text).play(Scenario(inventory="a100x1")).outcome == "ready"


def test_what_a_server_needs_is_made_once_a_session(tmp_path: Path) -> None:
    stage = theatre(tmp_path)
    assert stage.play(Scenario(inventory="a100x1")).ready
    assert stage.play(Scenario(inventory="a100x2")).ready  # the preparation would fail where its file exists


def test_a_preparation_that_fails_says_so(tmp_path: Path) -> None:
    text = PROFILE.replace("print('loaded', file=open('{model}', 'x'))", "raise SystemExit('no space for a model')")
    with pytest.raises(UserError, match=r"\[server\].prepare .*failed with exit code 1; .*no space for a model"):
        theatre(tmp_path, text).play(Scenario(inventory="a100x1"))
