"""Rules of the network: nothing talks to anything, except for what the profile makes necessary."""
