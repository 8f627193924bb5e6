"""``tried`` is a function's answer as something that JSON has; its error as "error <code>". Importing it initialises
NVML.
"""

import ctypes

import pynvml


def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, ctypes.Array):
        return [plain(part) for part in value]
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, ctypes.Structure):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_ if name != "device"}
    return getattr(value, "value", value) if not isinstance(value, (int, str, float)) else value


def tried(function, *arguments):
    try:
        return plain(function(*arguments))
    except pynvml.NVMLError as error:
        return f"error {error.value}"


pynvml.nvmlInit()
