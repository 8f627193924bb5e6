"""The verdict as a badge: an SVG of its own, which no service has to draw."""

from __future__ import annotations

from ..suite import Conclusion, Verdict, conclude
from .document import Document
from .html_tree import Element, as_html, node
from .wording import number, share_judged

LABEL = "GPU visibility"
GREY = "#57606a"
COLOURS = {Conclusion.CONFORMS: "#116329", Conclusion.DOES_NOT_CONFORM: "#b3261e"}
"""White text on each has a contrast above 4.5:1."""
CHARACTER = 6.6
"""Width of a character in pixels; ``textLength`` makes it so, whatever font the reader has."""
PADDING = 6


def badge(document: Document) -> str:
    """``GPU visibility | conforms, 29 rules`` or ``… | 2 of 29 rules fail``, as SVG.

    Grey where nothing is said of the whole: ``… | 3 of 69 rules judged: all pass``.
    """
    verdicts = [Verdict(rule["verdict"]) for rule in document["rules"]]
    said = conclude(verdicts, document["catalogue"])
    text = _text(said, verdicts, document["catalogue"])
    left, right = (len(words) * CHARACTER + 2 * PADDING for words in (LABEL, text))
    width = f"{left + right:.0f}"
    title = f"{document['server']['name']} {document['server']['version']}: {LABEL}: {text}"
    svg = node(
        "svg",
        node("title", title),
        node("rect", width=width, height="20", rx="3", fill="#333b44"),
        node(
            "path",
            d=f"M{left:.1f} 0h{right - 3:.1f}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3:.1f}z",
            fill=COLOURS.get(said, GREY),
        ),
        node(
            "g",
            _words(LABEL, PADDING),
            _words(text, left + PADDING),
            fill="#ffffff",
            font_family="Verdana,DejaVu Sans,Geneva,sans-serif",
            font_size="11",
        ),
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height="20",
        role="img",
        aria_label=title,
    )
    return as_html(svg) + "\n"


def _text(said: Conclusion, verdicts: list[Verdict], catalogue: int) -> str:
    counted = [verdict for verdict in verdicts if verdict is not Verdict.NOT_DECLARED]
    if said is Conclusion.CONFORMS:
        return f"conforms, {number(verdicts.count(Verdict.PASS), 'rule')}"
    if said is Conclusion.DOES_NOT_CONFORM:
        return f"{verdicts.count(Verdict.FAIL)} of {number(len(counted), 'rule')} fail"
    if said is Conclusion.PARTLY_JUDGED:
        outcome = "all pass" if Verdict.WARN not in verdicts and Verdict.UNSUPPORTED not in verdicts else "none fails"
        return f"{share_judged(verdicts, catalogue)} judged: {outcome}"
    return "not judged"


def _words(text: str, x: float) -> Element:
    return node("text", text, x=f"{x:.1f}", y="14", textLength=f"{len(text) * CHARACTER:.1f}")
