"""The conformance suite: faults done to a whole application under load, and what its clients saw of them."""
