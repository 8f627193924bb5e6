"""One launched server: its processes and who they are, when it is ready, what it answers, what it says of itself."""

from .process import LaunchRequest, ServerProcess
from .readiness import Outcome, front_door_is_open, says_ready, served_or_not, wait_for_workers
from .readiness import wait_until_it_says_ready as wait_until_it_says_ready
from .readiness import wait_until_ready as wait_until_ready
from .requests import Reply, accepts
from .roles import ProcessFacts
from .service import Service, wait_for_service

__all__ = [
    "LaunchRequest", "Outcome", "ProcessFacts", "Reply", "ServerProcess", "Service", "accepts", "front_door_is_open",
    "says_ready", "served_or_not", "wait_for_service", "wait_for_workers", "wait_until_it_says_ready",
    "wait_until_ready",
]  # fmt: skip
