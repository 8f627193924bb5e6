"""The foot of the page: how to read it, and where it comes from."""

from __future__ import annotations

from .document import Document
from .html_tree import Element, node


def how_to_read() -> Element:
    terms = (
        ("touched", "The driver saw the process open a context or allocate memory on the device."),
        (
            "would use",
            "A worker that opened nothing, and is shown no more devices than its group has, is bound to them.",
        ),
        ("sees", "The driver shows the device to the process, or would; that alone is no use of it."),
        ("out of bounds", "A device that the launch's CUDA_VISIBLE_DEVICES does not permit."),
        ("initialised", "Evidence: the process initialised CUDA and opened nothing."),
        ("probed", "Evidence: the process never initialised CUDA; a program with its environment was asked instead."),
        ("none", "Evidence: the process was gone before anything could be learnt."),
    )
    items = ([node("dt", term), node("dd", meaning)] for term, meaning in terms)
    return node("section", node("h2", "How to read this"), node("dl", items))


def origin(document: Document) -> Element:
    tool = document["tool"]
    return node("p", f"Made by {tool['name']} {tool['version']} on {moment(document)}.", class_="origin")


def moment(document: Document) -> str:
    return f"{document['created'][:16].replace('T', ' ')} UTC"
