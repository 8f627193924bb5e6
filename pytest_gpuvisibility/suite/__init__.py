"""Judge a server, or the CUDA driver itself: rules, verdicts, known violations, and what is on trial."""

from .conclusion import JUDGED, LEFT_OUT, UNKNOWN, Conclusion, conclude
from .driver_subject import DriverSubject, open_driver
from .evidence import check_evidence
from .harness_errors import HARNESS_ERRORS, in_words
from .server_subject import ServerSubject, open_server
from .subject import Family, NotDescribed, Preparation, Subject
from .trial import Basis, Trial, check_globs, matches
from .verdicts import MUST, SHOULD, DoesNotApply, Level, Need, NotDeclared, Rule, RuleResult, Unjudged, Verdict
from .verdicts import Violation as Violation
from .verdicts import rule as rule
from .verdicts import rule_of as rule_of

__all__ = [
    "HARNESS_ERRORS", "JUDGED", "LEFT_OUT", "MUST", "SHOULD", "UNKNOWN", "Basis", "Conclusion", "DoesNotApply",
    "DriverSubject", "Family", "Level", "Need", "NotDeclared", "NotDescribed", "Preparation", "Rule", "RuleResult",
    "ServerSubject", "Subject", "Trial", "Unjudged", "Verdict", "Violation", "check_evidence", "check_globs",
    "conclude", "in_words", "matches", "open_driver", "open_server", "rule", "rule_of",
]  # fmt: skip
