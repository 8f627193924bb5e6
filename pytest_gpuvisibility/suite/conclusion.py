"""What a run says of its subject on the whole."""

from __future__ import annotations

import enum
from collections.abc import Collection

from .verdicts import Verdict

JUDGED = frozenset({Verdict.PASS, Verdict.FAIL, Verdict.WARN, Verdict.UNSUPPORTED})
"""Verdicts that say something of the subject."""
LEFT_OUT = frozenset({Verdict.DOES_NOT_APPLY, Verdict.NOT_DECLARED})
"""Nothing is to be said."""
UNKNOWN = frozenset({Verdict.UNJUDGED, Verdict.ERROR})
"""Something should have been said, and nobody could."""


class Conclusion(str, enum.Enum):
    """One of these is said of every run, in every report of it."""

    CONFORMS = "conforms"
    """Every rule that the suite has was asked, and each that applies was judged; no MUST fails."""
    DOES_NOT_CONFORM = "does-not-conform"
    """A MUST fails, whatever else was asked."""
    PARTLY_JUDGED = "partly-judged"
    """A part of the rules was asked, and no MUST of it fails: of the whole, that says nothing."""
    NOT_JUDGED = "not-judged"
    """A rule that was asked could not be judged, or not a single one applies."""


def conclude(verdicts: Collection[Verdict], catalogue: int) -> Conclusion:
    """Of the verdicts of a run, one a rule; ``catalogue``: how many rules the suite has for such a subject."""
    if Verdict.FAIL in verdicts:
        return Conclusion.DOES_NOT_CONFORM
    if not UNKNOWN.isdisjoint(verdicts) or JUDGED.isdisjoint(verdicts):
        return Conclusion.NOT_JUDGED
    return Conclusion.CONFORMS if len(verdicts) >= catalogue else Conclusion.PARTLY_JUDGED
