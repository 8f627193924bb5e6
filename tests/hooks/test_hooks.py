"""The hooks for other plugins: what docs/plugin-authors.md shows works as it stands; a wrong answer is explained."""

from __future__ import annotations

import json
import re

import pytest
from places import DOCS, ROOT

from pytest_gpuvisibility.resources import shipped_directory

PAGE = (DOCS / "plugin-authors.md").read_text()
EXAMPLES = {
    re.search(r"def (pytest_gpu_\w+)", block)[1]: block  # type: ignore[index]
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S)
}
TWIN = shipped_directory("fixtures") / "twins" / "correct.toml"
ONE_RULE = ("--pyargs", "pytest_gpuvisibility.conformance", "--gpu-rule=VIS-001", "-n0")


def fails(pytester: pytest.Pytester, *options: str) -> str:
    """The message of the usage error that a run ends with."""
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stderr.str()
    return result.stderr.str()


def test_the_page_shows_each_hook() -> None:
    hooks = (ROOT / "pytest_gpuvisibility" / "hooks" / "specs.py").read_text()
    assert EXAMPLES.keys() == set(re.findall(r"^def (pytest_gpu_\w+)", hooks, re.M))


# ---- inventories ----

LAB = """
    import pytest

    @pytest.mark.gpu_inventory("our-lab")
    def test_lab(gpu_machine):
        assert (gpu_machine.inventory.name, len(gpu_machine.devices)) == ("our-lab", 3)
"""


def test_an_inventory_of_a_conftest_for_the_marker_and_of_a_plugin_for_the_option(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(EXAMPLES["pytest_gpu_inventory"])
    pytester.makepyfile(LAB)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "conftest", "--gpu-inventory=our-lab")
    result.stdout.fnmatch_lines(["gpu-visibility: all that the caller has*inventory our-lab (simulated)"])


def test_a_server_is_judged_on_an_inventory_of_a_plugin(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(EXAMPLES["pytest_gpu_inventory"])
    pytester.makepyfile(
        """
        def test_it(gpu_server):
            fleet = gpu_server.launch(visible="2", device_order="PCI_BUS_ID")
            assert fleet.ready and fleet.inventory == "our-lab"
            assert fleet.permitted == (gpu_server.inventory.devices[2].uuid,)
        """
    )
    pytester.runpytest_subprocess(f"--gpu-server={TWIN}", "--gpu-inventory=our-lab").assert_outcomes(passed=1)


def test_an_inventory_of_the_wrong_kind(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_gpu_inventory(name): return 'a100x2'")
    pytester.makepyfile("import pytest\n\n@pytest.mark.gpu_inventory('lab')\ndef test_lab(gpu_machine): pass\n")
    assert (
        "The hook pytest_gpu_inventory answered 'a100x2' (str) for name='lab'; it must return an Inventory or None"
        f" (implemented by {pytester.path}/conftest.py)."
    ) in fails(pytester)


# ---- servers ----


def test_a_server_as_a_profile(pytester: pytest.Pytester) -> None:
    """The example's own, on a server that is there."""
    example = EXAMPLES["pytest_gpu_server"]
    example = example.replace('["our-server", "--version"]', '["{python}", "-I", "{here}/server", "--version"]')
    example = example.replace('"command": ["our-server",', '"command": ["{python}", "-I", "{here}/server",')
    example = example.replace("path=Path(__file__)", f"path=Path({str(TWIN)!r})")
    pytester.makeconftest(example)
    pytester.makepyfile(
        """
        def test_it(gpu_server):
            assert gpu_server.name == gpu_server.profile.product.name == "our-server"
            assert gpu_server.launch(visible="4,6", groups=2).ready
        """
    )
    pytester.runpytest_subprocess("--gpu-server=our-server").assert_outcomes(passed=1)


def test_a_server_as_a_path_under_xdist(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(f"def pytest_gpu_server(name): return {str(TWIN)!r} if name == 'ours' else None")
    result = pytester.runpytest_subprocess(*ONE_RULE[:-1], "-n1", "--gpu-server=ours", "-p", "conftest")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["twin * on simulated a100x8*1 rule, *"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("'nowhere.toml'", "answered 'nowhere.toml' for name='ours', but there is no such file (implemented by "),
        ("7", "answered 7 (int) for name='ours'; it must return a Profile, the path of one, or None (implemented by "),
    ],
)
def test_a_server_of_the_wrong_kind(pytester: pytest.Pytester, answer: str, words: str) -> None:
    pytester.makeconftest(f"def pytest_gpu_server(name): return {answer}")
    assert "The hook pytest_gpu_server " + words in fails(pytester, "--gpu-server=ours")


def test_a_profile_that_is_malformed(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(EXAMPLES["pytest_gpu_server"].replace('"command"', '"comand"'))
    assert "Did you mean 'command'?" in fails(pytester, "--gpu-server=our-server")


# ---- witnesses ----


def test_a_witness_is_asked_about_each_process(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(EXAMPLES["pytest_gpu_witness"])
    result = pytester.runpytest_subprocess(*ONE_RULE, "-p", "conftest", f"--gpu-server={TWIN}")
    result.assert_outcomes(passed=1)
    accounts = [json.loads(line) for line in (pytester.path / "witness.jsonl").read_text().splitlines()]
    assert {account["evidence"] for account in accounts} >= {"touched"}


def test_the_verdict_rests_on_the_witness(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from dataclasses import replace
        from pytest_gpuvisibility.witness import LedgerWitness

        class Liar(LedgerWitness):
            def __init__(self, machine):
                super().__init__(machine)
                self.first = machine.inventory.devices[0].uuid

            def accounts(self, suspects):
                return {
                    pid: replace(account, touched=(self.first,)) if account.touched else account
                    for pid, account in super().accounts(suspects).items()
                }

        def pytest_gpu_witness(machine):
            return Liar(machine)
        """
    )
    result = pytester.runpytest_subprocess(*ONE_RULE, "-p", "conftest", f"--gpu-server={TWIN}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*VIS-001  takes GPUs it was not given*"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            "'ledger'",
            "The hook pytest_gpu_witness answered 'ledger' (str) for machine=*; it must return something with the"
            " methods accounts, touching, unknown_processes, or None (implemented by ",
        ),
        (
            "Wrong(machine)",
            "The witness Wrong, supplied by the hook pytest_gpu_witness (implemented by *), answered accounts with [];"
            " it must return a dict of pytest_gpuvisibility.witness.Account by pid.",
        ),
        (
            "Silent(machine)",
            "The witness Silent, supplied by the hook pytest_gpu_witness (implemented by *), answered accounts with no"
            " account of process *; it must return one for each process.",
        ),
    ],
)
def test_a_witness_of_the_wrong_kind(pytester: pytest.Pytester, answer: str, words: str) -> None:
    pytester.makeconftest(
        f"""
        from pytest_gpuvisibility.witness import LedgerWitness

        class Wrong(LedgerWitness):
            def accounts(self, suspects): return []

        class Silent(LedgerWitness):
            def accounts(self, suspects): return {{}}

        def pytest_gpu_witness(machine):
            return {answer}
        """
    )
    said = fails(pytester, *ONE_RULE, "-p", "conftest", f"--gpu-server={TWIN}")
    assert re.search(re.escape(words).replace(r"\*", ".*"), said), said


# ---- leases ----

UNEQUAL = """
    import pytest

    @pytest.mark.gpu_memory(80)
    @pytest.mark.parametrize("number", range(3))
    def test_large(gpu_lease, number):
        [device] = gpu_lease.devices
        assert device.short_name == "A100"

    @pytest.mark.gpu_memory(100)
    def test_larger_than_any(gpu_lease): pass

    @pytest.mark.gpu_count(2)
    def test_as_usual(gpu_lease):
        assert len(gpu_lease.devices) == 2
"""


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_policy_by_memory(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makeconftest(EXAMPLES["pytest_gpu_lease"])
    pytester.makepyfile(UNEQUAL)
    result = pytester.runpytest_subprocess("--gpu-lease=test", "--gpu-inventory=mixed4", workers, "-rs")
    result.assert_outcomes(passed=4, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *no GPU of 100 GiB is permitted"])


def test_a_policy_is_asked_only_where_tests_lease(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_gpu_lease(item, devices): raise AssertionError('asked')")
    pytester.makepyfile("def test_it(gpu_lease): assert len(gpu_lease.devices) == 2")
    pytester.runpytest_subprocess("--gpu-inventory=a100x2").assert_outcomes(passed=1)
    pytester.runpytest_subprocess("--gpu-inventory=a100x2", "--gpu-lease=worker").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            "2",
            "answered 2 (int) for test_it.py::test_it; it must return a Claim (of pytest_gpuvisibility.lease) or None",
        ),
        (
            "Claim(3)",
            "answered 3 (int) for test_it.py::test_it; it must return a count from 0 to 2, the devices it names",
        ),
        ("Claim(2, devices[:1])", "it must return a count from 0 to 1, the devices it names"),
        (
            "Claim(1, Inventory.load('mixed4').devices)",
            "(Device) for test_it.py::test_it; it must return some of the devices that it was given: GPU-",
        ),
    ],
)
def test_a_claim_of_the_wrong_kind(pytester: pytest.Pytester, answer: str, words: str) -> None:
    imports = "from pytest_gpuvisibility import Inventory\nfrom pytest_gpuvisibility.lease import Claim\n\n"
    pytester.makeconftest(f"{imports}def pytest_gpu_lease(item, devices): return {answer}\n")
    pytester.makepyfile(test_it="def test_it(): pass")
    options = ("--gpu-lease=test", "--gpu-inventory=a100x2")
    said = fails(pytester, *options)
    assert "The hook pytest_gpu_lease " in said
    assert words in said
    under_xdist = pytester.runpytest_subprocess(*options, "-n1")
    under_xdist.assert_outcomes(errors=1)
    assert words in under_xdist.stdout.str()
