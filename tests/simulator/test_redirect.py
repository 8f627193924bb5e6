"""How programs are led to the simulated CUDA runtime: whoever asks for one, by whichever name and from wherever, and
nobody else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_runtimes import Release, releases
from places import PROGRAMS
from simulated_programs import c_compiler

from pytest_gpuvisibility.errors import UserError
from pytest_gpuvisibility.simulator import Machine, native, preloading

REDIRECT = "libgpuvisibility-redirect.so"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program, and for each release a client of NVIDIA's library in NVIDIA's place, and of one under another name."""
    compiler = c_compiler()
    room = tmp_path_factory.mktemp("redirect")
    source = PROGRAMS / "c" / "loads_libraries.c"
    for name, options in (("program", []), ("sanitized", ["-fsanitize=address,undefined"])):
        subprocess.run([compiler, "-w", "-o", room / name, source, *options, "-ldl"], check=True)
    for release in releases(room).values():
        make_clients(compiler, room, release)
    return room


def make_clients(compiler: str, room: Path, release: Release) -> None:
    """client-13.so: as nvcc links it; bundled-13.so: as wheels are repaired, with a copy under a name of its own."""
    includes = [f"-I{directory}" for directory in release.includes]
    source = str(PROGRAMS / "c" / "counts_devices.c")
    shared = [compiler, "-shared", "-fPIC", *includes, source, "-Wl,--disable-new-dtags"]
    here = release.library.parent
    own = room / f"client-{release.major}.so"
    subprocess.run([*shared, "-o", own, f"-L{here}", f"-l:{release.soname}", f"-Wl,-rpath,{here}"], check=True)
    bundled = room / f"libcudart-a54286a0.so.{release.major}"
    version = room / "version.map"
    version.write_text(f"{release.soname} {{ global: *; }};\n")
    (room / "bundled.c").write_text("int cudaGetDeviceCount(int *count) { return 999; }\n")
    subprocess.run(
        [
            *(compiler, "-shared", "-fPIC", "-o", bundled, room / "bundled.c"),
            *(f"-Wl,-soname,{bundled.name}", f"-Wl,--version-script={version}"),
        ],
        check=True,
    )
    subprocess.run([*shared, "-o", room / f"bundled-{release.major}.so", bundled, f"-Wl,-rpath,{room}"], check=True)


def loaded(room: Path, machine: Machine, *names: object, program: str = "program", **variables: str) -> list[str]:
    ended = subprocess.run(
        [room / program, *map(str, names)],
        env={**machine.environ(os.environ), **variables},
        capture_output=True,
        text=True,
        check=False,
        cwd=room,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def test_a_program_without_cuda_loads_nothing_of_it(room: Path, machine: Machine) -> None:
    assert loaded(room, machine) == [REDIRECT]


def test_nothing_is_preloaded_outside_a_machine(room: Path, pytester: pytest.Pytester) -> None:
    """Neither by the idle plugin nor after a session on a machine."""
    pytester.makepyfile(
        f"""
        import os, subprocess

        def test_idle():
            assert not [name for name in os.environ if name.startswith(("LD_", "GPU_VISIBILITY"))]
            assert subprocess.check_output([{str(room / "program")!r}], text=True) == ""
        """
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=pytester.path,
    )
    assert ended.returncode == 0, ended.stdout


def test_attaching_keeps_the_users_variables_and_detaching_restores_them(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/opt/mine.so")
    monkeypatch.setenv("LD_AUDIT", "/opt/audit.so")
    before = dict(os.environ)
    machine.attach()
    assert os.environ["LD_PRELOAD"] == "/opt/mine.so"
    assert os.environ["LD_AUDIT"] == f"{native.redirect_library()}:/opt/audit.so"
    machine.detach()
    assert dict(os.environ) == before


@pytest.mark.parametrize("release", [13, 12])
@pytest.mark.parametrize("name", ["client-{}.so", "bundled-{}.so"])
def test_a_runtime_in_a_librarys_own_path_is_ours(room: Path, machine: Machine, name: str, release: int) -> None:
    runtime = f"libcudart.so.{release}"
    assert sorted(loaded(room, machine, f"./{name.format(release)}")) == sorted(
        ["4", "libcuda.so.1", REDIRECT, runtime]
    )


def test_both_releases_under_all_their_names_in_one_process(room: Path, machine: Machine) -> None:
    real = {release.major: str(release.library) for release in releases(room).values()}
    names = [
        *("libcudart.so.13", "./bundled-13.so", "./client-13.so", real[13], f"{real[13]}.0.96"),
        *("./bundled-12.so", "./client-12.so", "libcudart.so.12", real[12], "./libcudart-a54286a0.so.12"),
    ]
    counts = ["0", "4", "4", "0", "0", "4", "4", "0", "0", "0"]
    files = ["libcuda.so.1", "libcudart.so.12", "libcudart.so.13", REDIRECT]
    found = loaded(room, machine, *names)
    assert found[: len(names)] == counts
    assert sorted(found[len(names) :]) == files


def test_other_libraries_are_left_alone(room: Path, machine: Machine) -> None:
    for name in ("libcudart.so.11.0", "libcudart_static.so", "libcudart.so.130", "libcudartist.so.13"):
        (room / name).unlink(missing_ok=True)
        assert loaded(room, machine, f"./{name}") == ["-1", REDIRECT]
    shutil.copy(room / "libcudart-a54286a0.so.12", room / "libcudart.so.11.0")
    assert loaded(room, machine, "./libcudart.so.11.0") == ["0", "libcudart.so.11.0", REDIRECT]


def test_programs_that_tests_start_are_led_there(room: Path, pytester: pytest.Pytester) -> None:
    program = [str(room / "program"), str(room / "client-13.so"), str(room / "bundled-12.so")]
    pytester.makepyfile(
        f"""
        import os, subprocess

        def test_by_the_sessions_environment(gpu_visibility):
            for environ in (gpu_visibility.environ, os.environ):
                assert subprocess.check_output({program!r}, env=environ, text=True).startswith("2 2 ")

        def test_by_a_machine_of_its_own(gpu_machine):
            assert gpu_machine.run({program!r}, visible="1").stdout.startswith("1 1 ")
            assert subprocess.check_output({program!r}, env=gpu_machine.environ(), text=True).startswith("2 2 ")
        """
    )
    for workers in ([], ["-n", "1"]):
        pytester.runpytest_subprocess("--gpu-inventory=a100x2", *workers).assert_outcomes(passed=2)


@pytest.mark.parametrize("release", [13, 12])
def test_a_process_that_has_another_runtime_cannot_go_onto_a_machine(
    room: Path, pytester: pytest.Pytester, release: int
) -> None:
    real = releases(room)[release].library
    pytester.makepyfile(early=f"import ctypes; ctypes.CDLL({str(real)!r})")
    pytester.makepyfile("def test(): pass")
    result = pytester.runpytest_subprocess("-p", "early", "--gpu-inventory=a100x2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*This process has already loaded {real}, so it cannot go onto a simulated machine*"])


@pytest.mark.parametrize("release", [13, 12])
def test_where_the_linker_is_too_old_the_runtimes_are_preloaded(
    room: Path, machine: Machine, release: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.31")
    environ = machine.environ({"LD_PRELOAD": "/nowhere/mine.so /nowhere/too.so"})
    assert "LD_AUDIT" not in environ
    here = native.library_directory()
    assert environ["LD_PRELOAD"] == f"{here}/libcudart.so.13:{here}/libcudart.so.12:/nowhere/mine.so /nowhere/too.so"
    assert machine.environ(environ) == environ
    found = loaded(room, machine, f"./client-{release}.so", f"./bundled-{release}.so")
    assert found[:2] == ["4", "4"]
    assert {"libcudart.so.12", "libcudart.so.13"} <= set(found[2:])


@pytest.mark.parametrize(("version", "audits"), [("glibc 2.34", False), ("glibc 2.35", True), ("glibc 3.0", True)])
def test_the_linkers_release_decides(version: str, audits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: version)
    assert preloading.linker_audits_well() == audits


@pytest.mark.parametrize(("way", "counts"), [("audit", "4"), ("preload", "4"), ("none", "-801")])
def test_a_variable_chooses_the_way(
    room: Path, machine: Machine, way: str, counts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_VISIBILITY_RUNTIME", way)
    environ = machine.environ(os.environ)
    assert ("LD_AUDIT" in environ, "libcudart" in environ.get("LD_PRELOAD", "")) == (way == "audit", way == "preload")
    assert loaded(room, machine, "./client-13.so")[0] == counts


def test_another_way_is_refused(machine: Machine) -> None:
    with pytest.raises(UserError, match=r"GPU_VISIBILITY_RUNTIME=magic is not known\. Unset it, or use one of audit"):
        machine.environ({"GPU_VISIBILITY_RUNTIME": "magic"})


def test_a_sanitized_program_runs(room: Path, machine: Machine) -> None:
    """With LD_PRELOAD, AddressSanitizer refuses to come second."""
    options = {"ASAN_OPTIONS": "detect_leaks=0"}
    assert "4" in loaded(room, machine, "./client-13.so", program="sanitized", **options)


def test_a_preloaded_library_finds_room_for_its_thread_local_variables(room: Path, machine: Machine) -> None:
    """An auditor leaves little of it: jemalloc, which Ray preloads into its processes, needs 3 KB."""
    (room / "local.c").write_text("__thread char local[3000]; char *f(void) { return local; }")
    options = ["-shared", "-fPIC", "-ftls-model=initial-exec", "-o", "local.so", "local.c"]
    subprocess.run(["cc", *options], cwd=room, check=True)
    environ = machine.environ(os.environ) | {"LD_PRELOAD": str(room / "local.so")}
    done = subprocess.run(["/bin/true"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_users_own_tunables_stay(machine: Machine) -> None:
    tunables = machine.environ({"GLIBC_TUNABLES": "glibc.malloc.check=3"})["GLIBC_TUNABLES"]
    assert tunables == "glibc.malloc.check=3:glibc.rtld.optional_static_tls=16384"
    own = "glibc.rtld.optional_static_tls=9000"
    assert machine.environ({"GLIBC_TUNABLES": own})["GLIBC_TUNABLES"] == own
