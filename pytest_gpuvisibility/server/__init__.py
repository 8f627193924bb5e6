"""One launched server: its processes and who they are, when it is ready, what it answers, what it says of itself."""

from .process import LaunchRequest, ServerProcess
from .readiness import (
    Outcome,
    front_door_is_open,
    says_ready,
    wait_for_workers,
    wait_until_it_says_ready,
    wait_until_ready,
)
from .requests import Reply, accepts
from .roles import ProcessFacts

__all__ = [
    "LaunchRequest", "Outcome", "ProcessFacts", "Reply", "ServerProcess", "accepts", "front_door_is_open", "says_ready",
    "wait_for_workers", "wait_until_it_says_ready", "wait_until_ready",
]  # fmt: skip
