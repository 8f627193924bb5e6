"""Judge a server, or the CUDA driver itself: rules, verdicts, known violations, and what is on trial."""
