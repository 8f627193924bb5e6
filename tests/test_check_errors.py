"""What a user reads who got something wrong: one paragraph with the value and the fix, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from twin_runs import check, profile_of


def refused(run: subprocess.CompletedProcess[str], *words: str) -> None:
    said = run.stdout + run.stderr
    assert run.returncode in (2, 4), said
    assert "Traceback" not in said
    for word in words:
        assert word in said


def cli(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_gpuvisibility", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_an_unknown_server(tmp_path: Path) -> None:
    refused(cli("check", "lmqk", "-n0", cwd=tmp_path), "lmqk", "lmql")


def test_a_profile_with_a_wrong_key(tmp_path: Path) -> None:
    profile = profile_of("none", tmp_path, stop_deadline="stop_deadlin")
    refused(check(profile, "-n0"), "stop_deadlin", "stop_deadline", profile.name)


def test_a_server_that_is_not_installed(tmp_path: Path) -> None:
    profile = profile_of("none", tmp_path, **{'"{python}"': '"no-such-server-anywhere"'})
    refused(check(profile, "-n0"), "no-such-server-anywhere", "PATH")


@pytest.mark.timeout(60)
def test_a_server_that_never_becomes_ready(tmp_path: Path) -> None:
    profile = tmp_path / "silent.toml"
    profile.write_text(
        f"""
[product]
name = "silent"
version_command = ["{sys.executable}", "--version"]
url = "https://example.org"
[server]
command = ["{sys.executable}", "-c", "import signal; signal.pause()", "{{groups}}x{{devices}}", "{{port}}"]
ready_deadline = 1.0
stop = "SIGTERM"
[server.request]
kind = "http"
url = "http://localhost:{{worker_port}}/"
expect = "."
[workers]
worker = {{ argv = "never" }}
"""
    )
    refused(check(profile, "-n0"), "never became ready", "ready_deadline")


def test_a_rule_that_does_not_exist(tmp_path: Path) -> None:
    refused(check(profile_of("none", tmp_path), "-n0", "--gpu-rule=VIS-999"), "VIS-999", "VIS-001")


@pytest.mark.parametrize("path", ["report.pdf", "missing/report.json"])
def test_a_report_that_cannot_be_written(tmp_path: Path, path: str) -> None:
    refused(check(profile_of("none", tmp_path), "-n0", f"--gpu-report={path}"), path.split("/")[0])


def test_an_expectations_file_with_an_unknown_rule(tmp_path: Path) -> None:
    expectations = tmp_path / "known.toml"
    expectations.write_text('[[violation]]\nrule = "VIS-999"\nseen = "something"\n')
    refused(check(profile_of("none", tmp_path), "-n0", f"--gpu-expect={expectations}"), "VIS-999", "known.toml")


def test_an_inventory_with_a_duplicate_uuid(tmp_path: Path) -> None:
    listing = cli("inventories", "a100x1", cwd=tmp_path).stdout.split()
    uuid = next(word for word in listing if word.startswith("GPU-"))
    device = '[[device]]\nuuid = "{}"\npci_bus_id = "00000000:0{}:00.0"\nminor = {}\nname = "X"\nmemory_mib = 1024\n'
    device += 'compute_capability = "8.0"\nmultiprocessors = 8\nrelative_speed = 1.0\n'
    path = tmp_path / "twice.toml"
    path.write_text('name = "twice"\n' + device.format(uuid, 1, 0) + device.format(uuid, 2, 1))
    refused(cli("resolve", "--inventory", str(path), "0", cwd=tmp_path), uuid, "twice.toml")


def test_run_without_a_program(tmp_path: Path) -> None:
    refused(cli("run", "--inventory", "a100x4", cwd=tmp_path), "needs a program")


def test_a_strict_expectation_that_no_longer_fails(tmp_path: Path) -> None:
    expectations = tmp_path / "known.toml"
    expectations.write_text('[[violation]]\nrule = "VIS-002"\nseen = "something else"\n')
    profile = profile_of("none", tmp_path)
    run = check(profile, "-n0", "--gpu-rule=VIS-002", f"--gpu-expect={expectations}")
    assert run.returncode == 1
    assert "No longer violated, although known.toml lists them: VIS-002" in run.stdout


def test_a_known_violation_does_not_fail_the_run(tmp_path: Path) -> None:
    expectations = tmp_path / "known.toml"
    expectations.write_text('[[violation]]\nrule = "VIS-002"\nseen = "takes 0 and 1"\n')
    run = check(profile_of("vis-002", tmp_path), "-n0", "--gpu-rule=VIS-002", f"--gpu-expect={expectations}")
    assert run.returncode == 0, run.stdout
    assert "known" in run.stdout


def test_a_violation_may_be_known_on_some_machines_only(tmp_path: Path) -> None:
    expectations = tmp_path / "known.toml"
    expectations.write_text('[[violation]]\nrule = "VIS-002"\nseen = "takes 0 and 1"\ninventories = ["a100x*"]\n')
    options = ["-n0", "--gpu-rule=VIS-002", f"--gpu-expect={expectations}"]
    twin, correct = profile_of("vis-002", tmp_path), profile_of("none", tmp_path)
    assert check(twin, *options).returncode == 0
    assert check(twin, *options, "--gpu-inventory=h100x8").returncode == 1
    assert check(correct, *options, "--gpu-inventory=h100x8").returncode == 0
    assert check(correct, *options, "--gpu-inventory=a100x4").returncode == 1


@pytest.mark.parametrize("inventories", ['"a100x8"', "[8]"])
def test_the_machines_of_a_violation_are_a_list_of_names(tmp_path: Path, inventories: str) -> None:
    expectations = tmp_path / "known.toml"
    expectations.write_text(f'[[violation]]\nrule = "VIS-002"\nseen = "x"\ninventories = {inventories}\n')
    refused(check(profile_of("none", tmp_path), "-n0", f"--gpu-expect={expectations}"), "known.toml", "`inventories`")


def test_a_rule_is_listed_once_for_each_machine(tmp_path: Path) -> None:
    expectations = tmp_path / "known.toml"
    entry = '[[violation]]\nrule = "VIS-002"\nseen = "x"\n'
    expectations.write_text(entry + entry + 'inventories = ["a100x8"]\n')
    refused(check(profile_of("none", tmp_path), "-n0", f"--gpu-expect={expectations}"), "VIS-002", "twice for a100x8")
