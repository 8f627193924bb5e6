"""Which functions a simulated library answers, and which it only has to refuse: read from the library itself."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

# Written out in full although all that it does is to refuse and to say so in the ledger.
_REFUSED_BY_HAND = frozenset({"cuGetExportTable"})

_VARIANT = re.compile(r"(_v\d+|_ptsz|_ptds)+$")
_FAMILY = re.compile(r"(?:__cuda|cuda|cu|nvml)(?:[A-Z]{2,}(?=[A-Z])|[A-Z][a-z]*)")
_OURS = "gv_"  # what the libraries do for each other

_HEADER = struct.Struct("<16x2HI3QI6H")
_SECTION = struct.Struct("<2I4Q2I2Q")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNSYM, _WEAK, _FUNCTION = 11, 2, 2


@dataclass(frozen=True)
class Exports:
    """Names of functions, without the suffixes of their versions (``_v2``, ``_ptsz``), in alphabetical order."""

    answered: tuple[str, ...]
    refused: tuple[str, ...]

    @staticmethod
    def families(names: tuple[str, ...]) -> list[tuple[str, int]]:
        """What names begin with (``cuMem``, ``nvmlDevice``) and how many of them do, the most frequent first."""
        return Counter(family.group() for name in names if (family := _FAMILY.match(name))).most_common()


def read(library: Path) -> Exports:
    """The functions of one of the simulated libraries as built.

    Those that only refuse are weak symbols there, which a function of the same name would have replaced. One of which
    any version is answered counts as answered.

    :raises UserError: the file is not a 64-bit ELF library.
    """
    content = library.read_bytes()
    if content[:6] != b"\x7fELF\x02\x01":
        raise UserError(f"{library} is not a library for this system: it begins with {content[:6]!r}. Reinstall it.")
    answered: set[str] = set()
    refused: set[str] = set()
    for name, weak in _functions(content):
        if name.startswith(_OURS):
            continue
        (refused if weak or name in _REFUSED_BY_HAND else answered).add(_VARIANT.sub("", name))
    return Exports(tuple(sorted(answered)), tuple(sorted(refused - answered)))


def _functions(content: bytes) -> Iterator[tuple[str, bool]]:
    """Name, and whether it is weak, of each function in the table of dynamic symbols."""
    *_, sections_at, _, _, _, _, section_size, count, _ = _HEADER.unpack_from(content)
    sections = [_SECTION.unpack_from(content, sections_at + section_size * index) for index in range(count)]
    for _, kind, _, _, start, size, link, _, _, _ in sections:
        if kind != _DYNSYM:
            continue
        names = sections[link][4]
        for name, info, _, section, _, _ in _SYMBOL.iter_unpack(content[start : start + size]):
            if section and info & 15 == _FUNCTION:
                end = content.index(b"\0", names + name)
                yield content[names + name : end].decode(), info >> 4 == _WEAK
