"""What a run says on the whole: never more than its rules do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_gpuvisibility.reports.wording import judgement
from pytest_gpuvisibility.suite import Conclusion, Verdict, conclude

P, F, W = Verdict.PASS, Verdict.FAIL, Verdict.WARN
UNSUPPORTED, APART, UNDECLARED = Verdict.UNSUPPORTED, Verdict.DOES_NOT_APPLY, Verdict.NOT_DECLARED
UNJUDGED, ERROR = Verdict.UNJUDGED, Verdict.ERROR
CONFORMS, FAILS = Conclusion.CONFORMS, Conclusion.DOES_NOT_CONFORM
PARTLY, NOT = Conclusion.PARTLY_JUDGED, Conclusion.NOT_JUDGED


@pytest.mark.parametrize(
    ("verdicts", "catalogue", "said", "words"),
    [
        ([P, P, P], 3, CONFORMS, "Conforms: all 3 rules pass."),
        ([P, P, UNDECLARED], 3, CONFORMS, "Conforms: all 2 rules pass."),
        ([P, APART, APART], 3, CONFORMS, "Conforms: all 1 rule pass, 2 do not apply."),
        ([P, W, UNSUPPORTED], 3, CONFORMS, "Conforms: 1 SHOULD rule warns, 1 passes, 1 unsupported."),
        ([P, P, F], 3, FAILS, "Does not conform: 1 MUST rule fails, 2 pass."),
        ([F, F, UNJUDGED, ERROR], 4, FAILS, "Does not conform: 2 MUST rules fail, 1 unjudged, 1 error."),
        ([P, F], 69, FAILS, "Does not conform: 1 MUST rule fails, 1 passes; 2 of 69 rules judged."),
        ([P, P, P], 69, PARTLY, "3 of 69 rules judged: all pass."),
        ([P], 69, PARTLY, "1 of 69 rules judged: all pass."),
        ([P, W, APART], 69, PARTLY, "2 of 69 rules judged: 1 SHOULD rule warns, 1 passes, 1 does not apply."),
        ([P, UNDECLARED], 69, PARTLY, "1 of 69 rules judged: all pass."),
        ([P, P, UNJUDGED], 3, NOT, "Not judged: 2 pass, 1 unjudged."),
        ([P, ERROR, ERROR], 3, NOT, "Not judged: 1 passes, 2 errors."),
        ([P, UNJUDGED], 69, NOT, "Not judged: 1 passes, 1 unjudged; 1 of 69 rules judged."),
        ([UNJUDGED], 69, NOT, "Not judged: 1 unjudged; 0 of 69 rules judged."),
        ([APART], 69, NOT, "0 of 69 rules judged: none of the 1 asked applies."),
        ([APART, UNDECLARED], 2, NOT, "0 of 2 rules judged: none applies."),
    ],
)
def test_a_run_says_no_more_than_was_judged(
    verdicts: Sequence[Verdict], catalogue: int, said: Conclusion, words: str
) -> None:
    assert conclude(verdicts, catalogue) is said
    assert judgement(verdicts, catalogue) == words


@pytest.mark.parametrize("spoiling", [UNJUDGED, ERROR, F])
def test_one_rule_is_enough_to_spoil_a_conclusion(spoiling: Verdict) -> None:
    assert conclude([P] * 68 + [spoiling], 69) is not CONFORMS
    assert conclude([P] * 68, 69) is PARTLY
    assert conclude([], 69) is NOT
