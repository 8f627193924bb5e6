"""Launch a server under test in a scenario, once a session, and keep the record of what became of it."""
