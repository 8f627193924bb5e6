"""What a user got wrong."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in what the user asked for or wrote. ``str()`` is the whole message.

    The message names the value, what was allowed, where the value came from, and the fix. pytest reports it
    as a usage error; the command line prints it and exits with 2.
    """
