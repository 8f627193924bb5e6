"""A function of a test, run in a process of its own: what crosses over, there and back.

As a program, ``called.py PAYLOAD RESULT``, it is that process.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import pickle
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]


class CallFailed(Exception):
    """The function raised something that cannot be taken to another process. The text is its traceback."""


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Leaves code the name of its file, for tracebacks that show lines."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, types.CodeType):
            return super().reducer_override(obj)
        made, parts = self.dispatch_table[types.CodeType](obj)
        return made, tuple(obj.co_filename if part == "<dynamic-code>" else part for part in parts)


def _pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


def payload(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
    """What the program runs. Functions of a test file go as they are: the other process need not import it.

    :raises TypeError: something cannot be taken to another process; the text says what.
    """
    with _by_value(inspect.getmodule(function)):
        try:
            return pickle.dumps(list(sys.path)) + _pickled((function, arguments, keywords))
        except Exception as error:  # whatever a class of somebody else does when it is pickled
            raise TypeError(str(error)) from None


@contextlib.contextmanager
def _by_value(module: Any) -> Iterator[None]:
    file = getattr(module, "__file__", None)
    installed = file is None or any(file.startswith(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    if installed or module.__name__ not in sys.modules:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def value_of(result: Path) -> Any:
    """What the function returned.

    :raises BaseException: what the function raised, with its traceback as the cause.
    :raises EOFError: the process ended before the function did.
    """
    __tracebackhide__ = True
    if not result.exists():
        raise EOFError
    kind, value, text = pickle.loads(result.read_bytes())
    if kind == "returned":
        return pickle.loads(value)
    cause = CallFailed(f"\n{text}")
    try:
        error = pickle.loads(value)
    except Exception:  # whatever its class does when it is made again
        error = None
    if not isinstance(error, BaseException):
        raise cause
    raise error from cause


def main(given: str, result: str) -> int:
    with open(given, "rb") as file:
        sys.path[:] = pickle.load(file)
        function, arguments, keywords = pickle.load(file)
    try:
        answer = ("returned", cloudpickle.dumps(function(*arguments, **keywords)), "")
    except Exception as error:
        text = "".join(traceback.format_exception(type(error), error, _own_part(error)))
        try:
            answer = ("raised", cloudpickle.dumps(error), text)
        except Exception:  # whatever its class does when it is pickled
            answer = ("raised", b"", text)
    draft = f"{result}.part"
    with open(draft, "wb") as file:
        pickle.dump(answer, file)
    os.replace(draft, result)
    return 0


def _own_part(error: BaseException) -> Any:
    """The traceback without this module's frame."""
    return error.__traceback__.tb_next if error.__traceback__ else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
