"""The correct server is correct however its profile describes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from twin_runs import profile_of, verdicts

BY_ARGUMENTS = r"worker = { argv = '--worker \d+ --port (?P<port>\d+)' }"
BY_REQUEST = '[server.ready]\nkind = "request"'
ASK = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:{worker_port}/generate', b'1').read())"
RULES = ("VIS-001", "IDN-005", "ASN-003", "LIF-006")
DESCRIPTIONS = {
    "log and environment": {
        BY_ARGUMENTS: r"worker = { environ = '^TWIN_WORKER=(?P<group>\d+)$' }",
        BY_REQUEST: '[server.ready]\nkind = "log"\nexpect = \'worker \\d+ ready on\'\ntimes = "groups"',
    },
    "http and touch": {
        BY_ARGUMENTS: "worker = { touched = true }",
        BY_REQUEST: '[server.ready]\nkind = "http"\nurl = "http://127.0.0.1:{port}/health"',
    },
    "command and port": {
        BY_ARGUMENTS: "worker = { port = true }",
        'kind = "http"\nmethod = "POST"': f'kind = "command"\ncommand = ["{{python}}", "-c", "{ASK}"]',
    },
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_the_correct_server_passes_in_other_words(name: str, tmp_path: Path) -> None:
    profile = profile_of("none", tmp_path, **DESCRIPTIONS[name])
    found = verdicts(profile, "-n4", *(f"--gpu-rule={rule}" for rule in RULES))
    told = {rule: (entry["verdict"], entry["headline"]) for rule, entry in found.items()}
    if name == "http and touch":  # what touches a device first is not therefore the first group
        assert told.pop("IDN-005")[0] == "not-declared"
    assert set(told.values()) == {("pass", "")}
    [launch] = found["VIS-001"]["scenarios"]
    workers = [process for process in launch["processes"] if process["role"] == "worker"]
    assert sorted(process["group"] for process in workers) == [0, 1, 2, 3]
    assert {process["evidence"] for process in workers} == {"touched"}
