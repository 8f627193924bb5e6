"""One launched server: its processes and who they are, when it is ready, what it answers, what it says of itself."""

from .process import ServerProcess

__all__ = ["ServerProcess"]
