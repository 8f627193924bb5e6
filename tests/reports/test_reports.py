"""What a run leaves for others: the JSON report, the page, the badge, JUnit's properties; and comparing two runs."""

from __future__ import annotations

import copy
import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from twin_runs import TWINS, check, profile_of

from pytest_gpuvisibility.host import write_whole
from pytest_gpuvisibility.reports import html_report, write
from pytest_gpuvisibility.reports.badge import badge
from pytest_gpuvisibility.reports.comparison import compare
from pytest_gpuvisibility.reports.html_report import page
from pytest_gpuvisibility.reports.json_report import SCHEMA_FILE
from pytest_gpuvisibility.suite import Verdict

RULES = ("VIS-001", "VIS-002", "LIF-002", "OVR-001")
HOSTILE = "<script>alert('x')</script>&lt;\x1b[31mred\x1b[0m\x00\udcff\"'></pre><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of one run of a server that takes the wrong devices, made by two pytest-xdist workers."""
    directory = tmp_path_factory.mktemp("run")
    names = ("report.json", "report.html", "badge.svg")
    reports = [f"--gpu-report={directory / name}" for name in names]
    rules = [f"--gpu-rule={rule}" for rule in RULES]
    run = check(profile_of("vis-001", directory), *rules, *reports, f"--junitxml={directory / 'junit.xml'}", "-n2")
    assert run.returncode == 1, run.stdout + run.stderr
    assert sorted(path.name for path in directory.iterdir()) == sorted([*names, "junit.xml", "vis-001.toml"])
    return directory


@pytest.fixture
def document(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return found


class Page(HTMLParser):
    """The elements of a page in order, with the text below each of those that have an id."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text_below: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.elements.append((tag, found))
        if tag not in self.VOID:
            self._open.append((tag, found.get("id", "")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, id in self._open:
            if id:
                self.text_below[id] = self.text_below.get(id, "") + data + " "

    def tags(self, *names: str) -> list[tuple[str, dict[str, str]]]:
        return [element for element in self.elements if element[0] in names]


def test_the_json_follows_its_schema(document: dict[str, Any]) -> None:
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()))
    assert [rule["id"] for rule in document["rules"]] == sorted(RULES)
    assert document["server"]["source"].endswith("vis-001.toml")
    assert [len(devices) for devices in document["machines"].values()] == [8]


def test_a_launch_tells_what_happened_in_order(document: dict[str, Any]) -> None:
    [rule] = [rule for rule in document["rules"] if rule["id"] == "LIF-002"]
    [launch] = rule["scenarios"]
    seconds = [event["seconds"] for event in launch["events"]]
    assert seconds == sorted(seconds)
    happened = [event["kind"] for event in launch["events"] if event["kind"] != "process"]
    assert happened == ["launch", "ready", "request", "request", "signal", "end"]
    [signal] = [event for event in launch["events"] if event["kind"] == "signal"]
    assert signal["text"].startswith("SIGTERM to launcher (")
    lives = {event["text"].split(" (")[0]: event for event in launch["events"] if event["kind"] == "process"}
    assert {"launcher", "worker 0", "worker 1", "balancer"} <= set(lives)
    assert all(life["until"] >= signal["seconds"] for name, life in lives.items() if "other" not in name)


def test_the_page_needs_nothing_from_elsewhere(directory: Path) -> None:
    text = (directory / "report.html").read_text(encoding="utf-8")
    found = Page(text)
    assert found.tags("script", "link", "img", "iframe", "object", "embed", "video", "audio") == []
    assert not re.search(r"@import|url\(", text)
    for tag, attributes in found.elements:
        assert not {"src", "srcset", "background", "poster"} & set(attributes)
        assert "href" not in attributes or tag == "a"


def test_the_page_shows_a_failure_in_words(directory: Path) -> None:
    found = Page((directory / "report.html").read_text(encoding="utf-8")).text_below["VIS-001"]
    for words in (
        "takes GPUs it was not given",
        "permitted 4 5 6 7, used 0 1 2 3 (touched)",
        "Out of bounds: worker 0 touched GPU 0; worker 1 touched GPU 1; worker 2 touched GPU 2",
        "launched as process",
        "asked group 3: answered",
        "SIGTERM to launcher",
        "no process is left",
        "--gpu-rule=VIS-001",
        "CUDA_VISIBLE_DEVICES=4,5,6,7 gpu-visibility run --inventory a100x8 --",
        "worker 3 on port",
        "eth-sri/lmql#333",
    ):
        assert words in found
    assert len(re.findall(r"touched\s+out of bounds", found)) == 4


def test_the_page_is_for_everybody(directory: Path) -> None:
    found = Page((directory / "report.html").read_text(encoding="utf-8"))
    [(_, html)] = found.tags("html")
    assert html["lang"] == "en"
    assert [attributes for _, attributes in found.tags("meta") if "width=device-width" in attributes.get("content", "")]
    levels = [int(tag[1]) for tag, _ in found.tags("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found.tags("a"):
        if attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids
    for _, attributes in found.elements:
        if attributes.get("role") in ("img", "region"):
            assert attributes["aria-label"]
    assert all("scope" in attributes for _, attributes in found.tags("th"))


def test_text_can_be_read_on_its_ground_in_both_schemes() -> None:
    light, dark = _schemes(html_report.STYLE.read_text())
    pairs = [("text", "page"), ("text", "card"), ("soft", "page"), ("soft", "card"), ("link", "page"), ("link", "card")]
    pairs += [(name, f"{name}-back") for name in ("fail", "warn", "pass", "error", "none")]
    pairs += [(name, ground) for name in ("fail", "warn", "pass", "error") for ground in ("page", "card", "on")]
    for scheme in (light, dark):
        too_weak = {pair: contrast for pair in pairs if (contrast := _contrast(scheme, *pair)) < 4.5}
        assert too_weak == {}


def _schemes(style: str) -> Iterator[dict[str, str]]:
    for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def _contrast(scheme: dict[str, str], one: str, other: str) -> float:
    """Web Content Accessibility Guidelines 2.2, contrast ratio."""
    bright, dim = sorted((_luminance(scheme[one]), _luminance(scheme[other])), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_nothing_that_a_server_says_becomes_markup(document: dict[str, Any], tmp_path: Path) -> None:
    tame, hostile = document, copy.deepcopy(document)
    for rule in hostile["rules"]:
        rule |= {"headline": HOSTILE, "facts": [HOSTILE] * len(rule["facts"])}
        for launch in rule["scenarios"]:
            launch |= {"stdout": HOSTILE, "stderr": HOSTILE, "survivors": [HOSTILE], "reproduce": HOSTILE}
            launch["events"] = [{**event, "text": HOSTILE} for event in launch["events"]]
            launch["processes"] = [
                {**process, "argv": [HOSTILE], "cuda_visible_devices": HOSTILE} for process in launch["processes"]
            ]
    hostile["server"]["url"] = "javascript:alert(1)"
    path = tmp_path / "hostile.html"
    write.write(path, hostile)
    found = Page(path.read_bytes().decode("utf-8"))
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in Page(page(tame)).elements}
    assert not [attributes for _, attributes in found.elements if any(name.startswith("on") for name in attributes)]
    assert not [attributes for _, attributes in found.tags("a") if attributes["href"].startswith("javascript")]
    shown = found.text_below["VIS-001"]
    assert "<script>alert('x')</script>&lt;red␀\\udcff" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", path.read_text(encoding="utf-8"))


def test_a_new_observation_is_shown_without_being_known(document: dict[str, Any]) -> None:
    launch = next(rule for rule in document["rules"] if rule["id"] == "VIS-001")["scenarios"][0]
    launch["observed"]["health_after_a_minute"] = {"0": "503", "1": "200"}
    launch["settings"]["options"] = ["--tensor-parallel", "2"]
    shown = Page(page(document)).text_below["VIS-001"]
    assert "health after a minute" in shown
    assert "0: 503; 1: 200" in shown
    assert "--tensor-parallel; 2" in shown


def test_the_badge_says_the_verdict(directory: Path, document: dict[str, Any]) -> None:
    said = " ".join(ElementTree.fromstring((directory / "badge.svg").read_text()).itertext())
    assert "GPU visibility" in said
    assert "1 of 4 rules fail" in said
    for rule in document["rules"]:
        rule["verdict"] = "pass"
    assert f"4 of {document['catalogue']} rules judged: all pass" in badge(document)
    document["catalogue"] = 4
    assert "conforms, 4 rules" in badge(document)
    document["rules"][0]["verdict"] = "error"
    assert "not judged" in badge(document)


def test_junit_knows_rule_level_and_verdict(directory: Path) -> None:
    found = {}
    for case in ElementTree.parse(directory / "junit.xml").iter("testcase"):
        properties = {item.get("name"): item.get("value") for item in case.iter("property")}
        found[properties["gpu_rule"]] = (properties["gpu_level"], properties["gpu_verdict"])
    assert found == {rule: ("MUST", "fail" if rule == "VIS-001" else "pass") for rule in RULES}


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_gpuvisibility", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_report_becomes_a_page_later(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.html"
    assert report(directory / "report.json", "--html", path).returncode == 0
    assert path.read_text() == (directory / "report.html").read_text()


def with_verdicts(document: dict[str, Any], path: Path, **verdicts: str) -> Path:
    changed = copy.deepcopy(document)
    for rule in changed["rules"]:
        rule["verdict"] = verdicts.get(rule["id"].replace("-", "_"), rule["verdict"])
    path.write_text(json.dumps(changed))
    return path


def test_comparing_names_what_changed(document: dict[str, Any], directory: Path, tmp_path: Path) -> None:
    before = directory / "report.json"
    worse = with_verdicts(document, tmp_path / "worse.json", VIS_001="pass", VIS_002="fail", OVR_001="does-not-apply")
    run = report(before, worse)
    assert run.returncode == 1
    said = re.sub(" +", " ", run.stdout)
    assert "Newly failing: 1 rule\n VIS-002 pass -> fail " in said
    assert "Fixed: 1 rule\n VIS-001 fail -> pass " in said
    assert "No longer judged: 1 rule\n OVR-001 pass -> does-not-apply " in said
    assert "Unchanged: 1 rule." in said
    assert report(worse, before, "--json").returncode == 1
    better = with_verdicts(document, tmp_path / "better.json", VIS_001="pass")
    assert report(before, better).returncode == 0
    assert report(before, before).returncode == 0
    assert report(better, with_verdicts(document, tmp_path / "warn.json", VIS_001="warn")).returncode == 0
    assert report(before, with_verdicts(document, tmp_path / "error.json", VIS_001="error")).returncode == 1


def test_every_rule_is_in_one_part_of_a_comparison(document: dict[str, Any]) -> None:
    names = (*(verdict.value for verdict in Verdict), None)
    for first in names:
        for second in names:
            one, two = ({"rules": [{"id": "A-1", "verdict": v}] if v else []} for v in (first, second))
            parts = compare(one, two).as_dict()
            listed = sum(len(part) for part in parts.values() if isinstance(part, dict))
            assert listed == (1 if first or second else 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "no report"),
        ('{"schema": 1}', "version 1"),
        ('{"schema": 2}', "version 2"),
        ('{"schema": 3}', "lacks "),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "given.json"
    path.write_text(text)
    run = report(path)
    assert run.returncode == 2
    assert words in run.stderr
    assert "given.json" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_report_is_whole_or_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_cannot_be_written_at_the_end_fails_the_run(tmp_path: Path) -> None:
    """The server's own --version removes the directory after it was checked."""
    target = tmp_path / "reports"
    target.mkdir()
    asked, gone = f'["{{python}}", "-I", "{TWINS}/server", "--version"]', f'["sh", "-c", "rmdir {target}; echo 1.0"]'
    profile = profile_of("none", tmp_path, **{asked: gone})
    assert str(target) in profile.read_text()
    run = check(profile, "--gpu-rule=VIS-002", "-n0", f"--gpu-report={target / 'report.html'}")
    assert run.returncode == 4, run.stdout
    assert "report.html could not be written: No such file or directory" in run.stdout
    assert "1 of 69 rules judged: all pass." in run.stdout
    assert "INTERNALERROR" not in run.stdout
