"""Profiles: what they may say, what they turn into, and how mistakes in them are explained."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.profile import Option, Profile, version_of
from pytest_gpuvisibility.profile import files as profiles
from pytest_gpuvisibility.server.requests import worker_call

MINIMAL = """
[product]
name = "toy"
version_command = ["{python}", "-c", "print('toy v1.2.3rc1 (2024.1)')"]
[server]
command = ["toy", "--layout={groups}x{devices}", "{port}", '{"model": "{model}"}', "{unknown}"]
values = {model = "tiny"}
request = {kind = "http", url = "http://localhost:{worker_port}/{group}", expect = "ok"}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "toy.toml"
    path.write_text(text)
    return path


def read(directory: Path, text: str = MINIMAL) -> Profile:
    return profiles.load(write(directory, text))


def test_a_minimal_profile_has_the_defaults(tmp_path: Path) -> None:
    profile = read(tmp_path)
    assert (profile.server.stop, profile.server.stop_deadline, profile.server.ready_deadline) == (
        "SIGINT",
        30.0,
        60.0,
    )
    assert profile.server.ready.kind == "request"
    assert profile.supports.uuid
    assert not profile.supports.sharing
    assert profile.unsupported == ()


def test_only_known_placeholders_are_replaced(tmp_path: Path) -> None:
    command = read(tmp_path).command_line(2, 4, 9000)
    assert command == ["toy", "--layout=2x4", "9000", '{"model": "tiny"}', "{unknown}"]


def test_values_may_lie_in_the_scratch_directory_or_beside_the_profile(tmp_path: Path) -> None:
    text = MINIMAL.replace('model = "tiny"', 'model = "{scratch}/{group}", data = "{here}/x"')
    values = read(tmp_path, text).with_scratch(Path("/room")).values(groups=1, devices=1, port=9000)
    assert (values["model"], values["data"]) == ("/room/{group}", f"{tmp_path}/x")


def test_a_malformed_layout_replaces_groups_to_devices(tmp_path: Path) -> None:
    profile = read(tmp_path)
    assert profile.has_layout
    assert profile.command_line(1, 1, 9000, layout=r"\1x")[1] == r"--layout=\1x"


def test_a_malformed_layout_needs_one_argument_with_both_numbers(tmp_path: Path) -> None:
    profile = read(tmp_path, MINIMAL.replace('"--layout={groups}x{devices}"', '"{groups}", "{devices}"'))
    assert not profile.has_layout
    with pytest.raises(UserError, match=r"holds both \{groups\} and \{devices\}"):
        profile.command_line(1, 1, 9000, layout="x")


OPTIONS = """
[server.options]
device = ["--device", "gpu{device}"]
cpu = ["--cpu"]
split = ["--dp={dp}", "--pp={pp}", "--tp={tp}"]
"""


def test_options_are_added_at_the_end_with_their_values(tmp_path: Path) -> None:
    profile = read(tmp_path, MINIMAL + OPTIONS)
    options = [Option.of("split", dp=2, pp=1, tp=4), Option.of("cpu")]
    assert profile.command_line(2, 4, 9000, options=options)[4:] == [
        *("{unknown}", "--dp=2", "--pp=1", "--tp=4", "--cpu")
    ]


def test_options_stand_where_the_command_wants_them(tmp_path: Path) -> None:
    profile = read(tmp_path, MINIMAL.replace('"{port}"', '"{options}", "{port}"') + OPTIONS)
    assert profile.command_line(1, 1, 9, options=[Option.of("device", device=1)])[2:5] == ["--device", "gpu1", "9"]
    assert profile.command_line(1, 1, 9)[2] == "9"


def test_an_option_says_what_it_is_in_a_few_words() -> None:
    options = [Option.of("cpu"), Option.of("device", device=1), Option.of("split", dp=2, pp=2, tp=1)]
    assert [option.describe() for option in options] == ["cpu", "device 1", "split dp 2 pp 2 tp 1"]


def test_the_request_is_made_to_the_port_of_its_group(tmp_path: Path) -> None:
    profile = read(tmp_path)
    call = worker_call(profile, 2, profile.values(groups=3, devices=1, port=9000), 9000, {})
    assert call.url == "http://localhost:9003/2"


@pytest.mark.parametrize(
    ("ports", "groups", "count"),
    [("groups+1", 2, 3), ("groups + 1", 0, 1), ("2*groups+devices", 2, 7), ("4", 9, 4), ("groups", -1, 1)],
)
def test_ports_are_counted(tmp_path: Path, ports: str, groups: int, count: int) -> None:
    profile = read(tmp_path, MINIMAL.replace("values =", f'ports = "{ports}"\nvalues ='))
    assert profile.port_count(groups, 3) == count


def test_every_shipped_profile_loads() -> None:
    assert "lmql" in profiles.names()
    for name in profiles.names():
        assert profiles.load(name).product.name


def test_lmql_workers_are_told_from_launcher_and_balancer() -> None:
    profile = profiles.load("lmql")
    worker, balancer = profile.workers.worker, profile.workers.balancer
    assert balancer is not None
    python = "venv/bin/python -m lmql.cli serve-model"
    launcher = ["venv/bin/python", "venv/bin/lmql", "serve-model", "random", "--layout", "2x1", "--port", "19100"]
    front = f"{python} balance --port 19100 localhost:19101 localhost:19102".split()
    assert worker.match(f"{python} random --port 19101".split(), {}) == {"port": "19101"}
    assert balancer.match(front, {}) == {}
    assert worker.match(front, {}) is None
    assert worker.match(launcher, {}) is None
    assert balancer.match(launcher, {}) is None


def test_lmql_on_gpus_is_asked_what_ends_by_itself() -> None:
    profile = profiles.load("lmql-cuda").with_scratch(Path("/room"))
    assert profile.server.launch == "noop"
    call = worker_call(profile, 1, profile.values(groups=2, devices=1, port=9000), 9000, {})
    command, _, request = call.send.partition(" ")
    assert (command, call.url) == ("GENERATE", "ws://localhost:9002/")
    asked = json.loads(request)
    assert (asked["model"], asked["score"]) == ("/room/tiny-gpt2", True)
    assert profile.command_line(2, 1, 9000)[2] == asked["model"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[server]", "[sever]", r"key sever is unknown. Did you mean 'server'"),
        ("values =", "valeus =", r"key server.valeus is unknown. Did you mean 'values'"),
        ("values =", "zzz =", r"key server.zzz is unknown. Known here: command"),
        ('name = "toy"', "", r"\[product\].name is missing"),
        ('name = "toy"', "name = 3", r"product.name = 3 is not a string"),
        (
            "[server]",
            '[server]\nready_deadline = "60"',
            r"ready_deadline = '60' is not a number of seconds above 0",
        ),
        ("[server]", "[server]\nready_deadline = 0", r"is not a number of seconds above 0"),
        ("[server]", '[server]\nstop = "TERM"', r"stop = 'TERM' is no signal"),
        ("[server]", '[server]\nports = "groups-1"', r"ports = 'groups-1' is no sum"),
        ("[server]", '[server]\nlaunch = "skip"', r"server.launch = 'skip' is none of error, noop"),
        ("[server]", '[server]\nprepare = "make model"', r"server.prepare = 'make model' is not a list of strings"),
        (
            "[server]",
            '[server]\nready = {kind = "open"}',
            r"kind = 'open' is none of request, tcp, http, websocket, log, command",
        ),
        ("[server]", '[server]\nready = {kind = "log"}', r"expect is missing"),
        ("[server]", '[server]\nready = {kind = "http"}', r"url is missing"),
        (
            "[server]",
            '[server]\nenv = {CUDA_VISIBLE_DEVICES = "0"}',
            r"CUDA_VISIBLE_DEVICES, which belongs to the scen",
        ),
        ("[server]", '[server]\nenv = {LD_PRELOAD = "x.so"}', r"env sets LD_PRELOAD, which belongs to the scenarios"),
        ("[server]", "[server]\nenv = {A = 1}", r"env = {'A': 1} is not a table of strings"),
        ('{model = "tiny"}', '{port = "1"}', r"values sets port, which every launch sets itself"),
        ('{model = "tiny"}', '{scratch = "/tmp"}', r"values sets scratch, which every launch sets itself"),
        ('kind = "http"', 'kind = "https"', r"kind = 'https' is none of websocket, http, command"),
        ('url = "http:', 'url = "ftp:', r"is not of the form http://"),
        ('expect = "ok"', 'expect = "("', r"expect = '\(' is not a regular expression"),
        ("request =", "#", r"\[server\].request is missing"),
        ("[server]", "[workers]\nworker = 'x'\n[server]", r"workers.worker = 'x' is not a table"),
        ("[server]", "[workers]\nworker = {}\n[server]", r"\[workers\].worker says nothing of how"),
        (
            "[server]",
            "[workers]\nworker = {argv = '['}\n[server]",
            r"workers.worker.argv = '\[' is not a regular",
        ),
        ("[server]", "[supports]\nuuid = 1\n[server]", r"supports.uuid = 1 is not true or false"),
        ("[server]", "[supports]\nuid = true\n[server]", r"key supports.uid is unknown. Did you mean 'uuid'"),
        ("[server]", "[[unsupported]]\nrule = 'VIS-001'\n[server]", r"\[unsupported\].reason is missing"),
        ("[server]", "[[unsupported]]\nrule = 'A'\nreason = ' '\n[server]", r"for A gives no reason"),
        (
            "[server]",
            "[reports]\nhealth = 'localhost'\n[server]",
            r"reports.health = 'localhost' is not of the form http:",
        ),
        (
            "[server]",
            "[reports]\nmetrics = {url = 'x', pattern = 'y'}\n[server]",
            r"reports.metrics.url = 'x' is not of",
        ),
        (
            "[server]",
            "[reports]\nmetrics = {pattern = 'y'}\n[server]",
            r"metrics.pattern = 'y' has no group named device",
        ),
        (
            "[server]",
            "[reports]\nworkers = {pattern = '(?P<device>y)'}\n[server]",
            r"no group named group or port or pid",
        ),
        (
            "[server]",
            "[reports]\nmemory = {pattern = '(?P<mib>y)'}\n[server]",
            r"no group named total_bytes or total_mib",
        ),
        ("[server]", "[reports]\nsize = {pattern = 'y'}\n[server]", r"key reports.size is unknown"),
        (
            "[server]",
            '[server]\nunload = {kind = "http", url = "http://localhost/", expect = ""}',
            r"\[server\] has only one of load and unload",
        ),
        (
            "[server]",
            '[server]\nload = {kind = "http", url = "ftp:", expect = ""}',
            r"\[server.load\].url = 'ftp:' is not",
        ),
        ("[server]", "[server.options]\ndevise = []\n[server]", r"options.devise is unknown. Did you mean 'device'"),
        ("[server]", "[server.options]\ndevice = ['-d']\n[server]", r"options.device = \['-d'\] holds no {device}"),
        ("[server]", "[server.options]\nsplit = ['{dp}{tp}']\n[server]", r"holds no {pp}. Write {pp} where"),
        ("[server]", "[server.options]\ncpu = '--cpu'\n[server]", r"options.cpu = '--cpu' is not a list of strings"),
        ("[server]", "[supports]\ndevice_flag = 'index'\n[server]", r"device_flag = 'index' is none of ordinal, phys"),
        ("[server]", "[server]\nidle = -1", r"idle = -1 is not a number of seconds above 0"),
        (
            "[server]",
            "[server]\nsecond_model = {kind = 'http', url = 'x', expect = ''}",
            r"\[server.second_model\].url = 'x' is not of the form http",
        ),
        ("[server]", "[server", r"is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_its_fix(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in MINIMAL
    path = write(tmp_path, MINIMAL.replace(old, new, 1))
    with pytest.raises(UserError, match=problem) as caught:
        profiles.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"{port}"', '"{port+1}"', "[server].command holds {port+1}, and placeholders are not added up. The port of a"),
        ("{worker_port}/{group}", "{port + 1}/", "[server].request.url holds {port + 1}, and placeholders are not"),
        ('"{port}"', '"{worker_port}"', "[server].command holds {worker_port}, which is of one worker, and it is fill"),
        ("values = {", 'env = {RANK = "{group}"}\nvalues = {', "[server].env.RANK holds {group}, which is of one wor"),
    ],
)
def test_what_looks_like_a_placeholder_is_one_or_a_mistake(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, MINIMAL.replace(old, new))
    assert problem in str(caught.value)


def test_a_layout_may_stand_in_the_environment(tmp_path: Path) -> None:
    command = 'command = ["toy", "--layout={groups}x{devices}", "{port}"'
    assert command in MINIMAL
    for env, division, sizes in (
        ("{}", "visible", False),
        ('{W = "{groups}"}', "groups", False),
        ('{D = "{devices}"}', "devices", True),
        ('{W = "{groups}", D = "{devices}"}', "groups", True),
    ):
        profile = read(tmp_path, MINIMAL.replace(command, f'env = {env}\ncommand = ["toy", "{{port}}"'))
        assert (profile.division, profile.sizes_groups) == (division, sizes)


def test_workers_have_ports_where_the_profile_speaks_of_them(tmp_path: Path) -> None:
    assert read(tmp_path).has_worker_ports
    told = "\n[workers]\nworker = {argv = 'toy worker'}\n"
    assert read(tmp_path, MINIMAL + told).has_worker_ports
    door = MINIMAL.replace("{worker_port}/{group}", "{port}/")
    assert not read(tmp_path, door + told).has_worker_ports
    assert read(tmp_path, door).has_worker_ports  # nothing else tells them
    assert read(tmp_path, door + told.replace("worker'", "worker (?P<port>\\d+)'")).has_worker_ports


def test_a_report_that_is_asked_once_a_group_need_not_name_the_worker(tmp_path: Path) -> None:
    workers = "[reports]\nworkers = {url = 'http://localhost:{worker_port}/', pattern = '(?P<device>GPU-.*)'}\n[server]"
    reports = read(tmp_path, MINIMAL.replace("[server]", workers)).reports
    assert reports.workers is not None
    assert reports.metrics is None


def test_an_unknown_name_lists_what_ships() -> None:
    with pytest.raises(UserError, match=r"no server profile 'lmqk'.*lmql.*Did you mean 'lmql'"):
        profiles.load("lmqk")


def test_the_version_is_found_in_what_the_command_prints(tmp_path: Path) -> None:
    assert version_of(read(tmp_path)) == "1.2.3rc1"


def test_a_profile_may_say_where_its_version_stands(tmp_path: Path) -> None:
    pattern = r"version = '\((.*)\)'"
    assert version_of(read(tmp_path, MINIMAL.replace("[server]", f"{pattern}\n[server]"))) == "2024.1"


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("raise SystemExit('no licence')", "failed with exit code 1; it last wrote: no licence"),
        ("print('toy')", "printed no version"),
    ],
)
def test_a_version_command_that_does_not_say_it(tmp_path: Path, program: str, problem: str) -> None:
    text = re.sub(r"print\('toy v.*\)'\)", program.replace("\\", r"\\"), MINIMAL)
    with pytest.raises(UserError, match=problem):
        version_of(read(tmp_path, text))


def test_a_program_that_is_not_installed(tmp_path: Path) -> None:
    profile = read(tmp_path, MINIMAL.replace('"{python}"', '"toy-that-is-nowhere"'))
    with pytest.raises(UserError) as caught:
        version_of(profile, {"PATH": "/nowhere"})
    message = str(caught.value)
    for part in (
        "toy-that-is-nowhere",
        "/nowhere",
        os.path.dirname(sys.executable),
        "Install toy",
        str(profile.path),
    ):
        assert part in message
