"""What every program with PyTorch here begins with. ``show`` is the only way that it tells its test something."""

import json


def show(value):
    print(json.dumps(value), flush=True)


def error(function):
    try:
        function()
    except Exception as error:
        return [type(error).__name__, str(error)]
