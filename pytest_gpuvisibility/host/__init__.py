"""The machine and its processes, whatever runs on it: /proc, clean-up after crashes, locks, ports, deadlines."""
