"""What happened in a launch, as a list for people: which processes are named and which counted, where each is drawn."""

from __future__ import annotations

import re

import pytest

from pytest_gpuvisibility.reports.document import EventEntry
from pytest_gpuvisibility.reports.html_tree import Element
from pytest_gpuvisibility.reports.timeline import OTHERS, timeline


def event(seconds: float, kind: str, text: str, until: float | None = None) -> EventEntry:
    return {"seconds": seconds, "kind": kind, "text": text, "until": until}


def others(count: int) -> list[EventEntry]:
    """Processes that are neither launcher, worker nor balancer."""
    return [event(1.0, "process", f"other ({number})", 2.0) for number in range(count)]


def lines(element: Element) -> list[str]:
    """The text of each item."""
    return [" ".join(part.strip() for part in item.itertext()).strip() for item in element]


def drawn(element: Element) -> list[dict[str, float]]:
    """Where each event is on the axis, in per cent."""
    styles = [bar.get("style", "") for bar in element.iter("i")]
    return [{name: float(value) for name, value in re.findall(r"(\w+):([\d.]+)%", style)} for style in styles]


LAUNCH = event(0.0, "launch", "launched as process 10")
WORKER = event(0.5, "process", "worker 0 (20)", 4.0)


def test_every_event_is_told_with_its_second() -> None:
    events = [LAUNCH, WORKER, event(0.75, "process", "launcher (10)"), event(3.0, "ready", "ready")]
    assert lines(timeline(events)) == [
        "0.00 s launched as process 10",
        "0.50 s worker 0 (20) until 4.00 s",
        "0.75 s launcher (10) still there at the end",
        "3.00 s ready",
    ]
    assert [item.get("class") for item in timeline(events)] == ["at-launch", "at-process", "at-process", "at-ready"]


def test_a_few_other_processes_are_named() -> None:
    found = lines(timeline([LAUNCH, *others(12), WORKER]))
    assert len(found) == 14
    assert [line for line in found if "other (" in line] == found[1:13]


def test_many_other_processes_are_counted() -> None:
    assert lines(timeline([LAUNCH, *others(13), WORKER])) == [
        "0.00 s launched as process 10",
        "0.50 s worker 0 (20) until 4.00 s",
        "and 13 short-lived or nameless processes",
    ]


def test_only_lives_of_processes_are_counted() -> None:
    events = [event(1.0, "request", "other words") for _ in range(OTHERS + 1)]
    assert len(lines(timeline([*events, *others(1)]))) == OTHERS + 2


def test_what_happened_is_drawn_where_it_happened() -> None:
    events = [LAUNCH, event(1.0, "process", "worker 0", 2.0), event(2.0, "process", "launcher"), event(4.0, "end", "")]
    assert drawn(timeline(events)) == [
        {"left": 0.0},
        {"left": 25.0, "width": 25.0},
        {"left": 50.0, "width": 50.0},
        {"left": 100.0},
    ]


@pytest.mark.parametrize(
    ("begin", "until", "left"), [(1.0, 1.0, 25.0), (4.0, 4.0, 99.2), (4.0, None, 99.2)], ids=["early", "late", "stays"]
)
def test_what_lives_too_short_to_be_seen_is_drawn_longer(begin: float, until: float | None, left: float) -> None:
    events = [event(begin, "process", "worker 0", until), event(4.0, "end", "")]
    assert drawn(timeline(events))[0] == {"left": left, "width": 0.8}


def test_the_axis_ends_with_the_last_life() -> None:
    assert drawn(timeline([event(1.0, "process", "worker 0", 8.0), event(2.0, "end", "")]))[1] == {"left": 25.0}


def test_a_launch_of_which_nothing_is_known_is_an_empty_list() -> None:
    assert lines(timeline([])) == []
    assert drawn(timeline([LAUNCH])) == [{"left": 0.0}]


def test_the_drawing_is_for_the_eye_only() -> None:
    [item] = timeline([WORKER])
    assert [part.get("aria-hidden") for part in item] == [None, "true", None]
