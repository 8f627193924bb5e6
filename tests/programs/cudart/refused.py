"""What each function that its arguments name answers: a number, its text, and the last error."""

import sys

from client import call, cuda, show, void

call("cudaSetDevice", 0)
none, answers = [void()] * 10, {}
for function in sys.argv[1:]:
    if hasattr(cuda, function):
        result = cuda[function](*none)
        answers[function] = [result, cuda.cudaGetErrorString(result).decode(), cuda.cudaGetLastError()]
show(answers)
