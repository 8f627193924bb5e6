"""HTML as a tree of the standard library's elements, so that nothing of a server's output can become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

Element = ElementTree.Element
if TYPE_CHECKING:
    from typing import TypeAlias

    Child: TypeAlias = "Element | str | Iterable[Child] | None"

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PICTURES = 0x2400
"""Unicode's pictures of the control characters begin here."""


def node(tag: str, *children: Child, **attributes: object) -> Element:
    """An element. ``class_`` is the attribute ``class``, other underscores are hyphens; None leaves one out."""
    element = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            element.set(name.rstrip("_").replace("_", "-"), printable(str(value)))
    _append(element, children)
    return element


def _append(element: Element, children: Iterable[Child]) -> None:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            _append_text(element, printable(child))
        elif isinstance(child, Element):
            element.append(child)
        else:
            _append(element, child)


def _append_text(element: Element, text: str) -> None:
    if len(element):
        last = element[-1]
        last.tail = (last.tail or "") + text
    else:
        element.text = (element.text or "") + text


def printable(text: str) -> str:
    """``text`` without terminal colours; other control characters and bytes that are not Unicode become visible."""
    text = _ANSI.sub("", text.replace("\r\n", "\n")).encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(
        lambda found: chr(_PICTURES + ord(found[0])) if found[0] < " " else "\N{REPLACEMENT CHARACTER}", text
    )


def as_html(element: Element) -> str:
    """The element as HTML5."""
    return ElementTree.tostring(element, encoding="unicode", method="html")
