"""A rendered tree in a cluster: applied wave by wave, waited for, looked at, rolled back, deleted."""
