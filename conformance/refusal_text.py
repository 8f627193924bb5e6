"""What a server that refused has written: whether it is for a person, by what it says and not by where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

TRACEBACK = "Traceback (most recent call last)"
ANY_ERROR = re.compile(r"^[\w.]*(Error|Exception|Expired)\w*(:|$)")
EXCEPTION = re.compile(r"^(?:\w+\.)*(?:IndexError|ValueError|AssertionError|KeyError|TypeError)\b:?\s*(?P<said>.*)")
"""Exceptions that are raised on the way to somewhere else, more often than to tell somebody something."""
OF_THE_INTERPRETER = re.compile(
    r"index out of range|^pop from|^invalid literal for|values? to unpack|^could not convert|arg is an empty"
    r"|not in list|^list\.remove|substring not found|object has no attribute|object is not|argument must be"
    r"|not supported between|division by zero|positional argument|unsupported operand"
)
"""What an interpreter says by itself, which speaks of a program and not of GPUs."""
OF_THE_RUNTIME = "invalid device ordinal"
"""What CUDA says of a number that it does not have: a number that the user may never have seen."""
DEVICE = re.compile(r"\b(GPU|MIG)-[0-9a-f]{4}|\b(GPU|device) #?\d+\b(?! ?(%|GPU|device))", re.IGNORECASE)
"""A device by its name: ``GPU-904d…``, ``device 99``."""
SENTENCE = 3
"""Words, at least."""
MASK = "CUDA_VISIBLE_DEVICES"
_LETTERS = re.compile(r"[^\W\d_]")


def last_words(stdout: str, stderr: str) -> str:
    """The last line that the server wrote, stderr first."""
    for text in (stderr, stdout):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return ""


def is_said(word: str, text: str) -> bool:
    """Whether a word stands in the text, and not only in a traceback, as a device's ordinal or as an error's number."""
    return _has_word(word, "\n".join(prose(text)))


def prose(text: str) -> Iterator[str]:
    """Its lines, without the program's own that a traceback quotes."""
    quotes = TRACEBACK in text
    return (line for line in text.splitlines() if not (quotes and line.startswith(" ")))


def is_bare(stdout: str, stderr: str, asked: int, there: int) -> bool:
    """Whether a refusal leaves its reader with an exception's name, or with the runtime's words for a number.

    Not bare is what names the mask, a device, or how many devices were asked for and how many are there; of an
    exception, also what stands behind its name as a sentence. A banner below the runtime's words makes them no clearer.
    """
    lines = [line.strip() for text in (stdout, stderr) for line in prose(text) if _LETTERS.search(line)]
    last = last_words(*("\n".join(line for line in prose(text) if _LETTERS.search(line)) for text in (stdout, stderr)))
    explained = any(_explains(line, asked, there) for line in lines)
    exception = EXCEPTION.match(last)
    if exception is not None:
        return not _explains(last, asked, there) and not _is_sentence(exception["said"])
    return not explained and any(OF_THE_RUNTIME in line for line in lines)


def _explains(line: str, asked: int, there: int) -> bool:
    if OF_THE_RUNTIME in line:
        return False
    numbers = asked != there and _has_word(str(asked), line) and _has_word(str(there), line)
    return MASK in line or numbers or DEVICE.search(line) is not None


def _is_sentence(said: str) -> bool:
    return len(said.split()) >= SENTENCE and OF_THE_INTERPRETER.search(said) is None


def _has_word(word: str, text: str) -> bool:
    return re.search(rf"(?<![\w.])(?<!cuda:)(?<!\[Errno ){re.escape(word)}(?![\w.])", text) is not None
