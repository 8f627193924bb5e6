"""What names a record in every process alike."""

from __future__ import annotations

import hashlib
import json


def key_of(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
