"""What happened in one launch and when: one line an event, with its place on a common axis."""

from __future__ import annotations

from collections.abc import Sequence

from .document import EventEntry
from .html_tree import Element, node

OTHERS = 12
"""Processes that are neither launcher, worker nor balancer are counted where there are more than these."""
SHORTEST = 0.8
"""Per cent of the axis: what lives shorter is drawn so long, to be seen."""


def timeline(events: Sequence[EventEntry]) -> Element:
    """An ordered list. The drawn axis is for the eye only: every line says its seconds."""
    others = [event for event in events if event["kind"] == "process" and event["text"].startswith("other")]
    if len(others) > OTHERS:
        events = [event for event in events if event not in others]
    end = max((max(event["seconds"], event["until"] or 0.0) for event in events), default=0.0) or 1.0
    more = node("li", f"and {len(others)} short-lived or nameless processes") if len(others) > OTHERS else None
    return node("ol", (_line(event, end) for event in events), more, class_="timeline")


def _line(event: EventEntry, end: float) -> Element:
    begin = 100 * event["seconds"] / end
    text: list[Element | str]
    if event["kind"] == "process":
        until = end if event["until"] is None else event["until"]
        width = max(100 * until / end - begin, SHORTEST)
        bar = node("i", style=f"left:{min(begin, 100 - SHORTEST):.1f}%;width:{width:.1f}%")
        lived = "still there at the end" if event["until"] is None else f"until {event['until']:.2f} s"
        text = [event["text"], node("small", lived)]
    else:
        bar = node("i", style=f"left:{begin:.1f}%", class_="point")
        text = [event["text"]]
    return node(
        "li",
        node("span", f"{event['seconds']:.2f} s", class_="when"),
        node("span", bar, class_="axis", aria_hidden="true"),
        node("span", text, class_="what"),
        class_=f"at-{event['kind']}",
    )
