"""A client of a few lines, which are its argument."""

import sys

import client

exec(sys.argv[1], dict(vars(client)))
