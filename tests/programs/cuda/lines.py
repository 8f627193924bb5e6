"""A client of a few lines, which are its first argument."""

import ctypes
import os
import sys

import client

exec(sys.argv.pop(1), {**vars(client), "ctypes": ctypes, "os": os, "sys": sys})
