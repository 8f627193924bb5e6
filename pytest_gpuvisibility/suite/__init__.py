"""Judge a server, or the CUDA driver itself: rules, verdicts, known violations, and what is on trial."""

from .driver_subject import DriverSubject, open_driver
from .harness_errors import HARNESS_ERRORS, in_words
from .server_subject import ServerSubject, open_server
from .subject import Family, Preparation, Subject
from .trial import Basis, Trial, check_globs, matches
from .verdicts import MUST, SHOULD, Level, NotApplicable, Rule, RuleResult, Verdict, Violation, rule, rule_of

__all__ = [
    "HARNESS_ERRORS", "MUST", "SHOULD", "Basis", "DriverSubject", "Family", "Level", "NotApplicable", "Preparation",
    "Rule", "RuleResult", "ServerSubject", "Subject", "Trial", "Verdict", "Violation", "check_globs", "in_words",
    "matches", "open_driver", "open_server", "rule", "rule_of",
]  # fmt: skip
