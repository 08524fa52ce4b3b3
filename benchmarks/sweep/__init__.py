"""The rates that a server sustains: search for the knee, then for the goodput at the objectives."""
