"""The load tester's client: worker processes that send on schedule and time what comes back."""
