"""Where the application runs: on this machine (local)."""
