"""What users may choose about simulated machines."""

KERNEL_LAUNCH_POLICIES = ("error", "noop")
"""What a kernel launch does there: it fails, or does nothing, successfully, and is counted."""
