"""A service model of a real replica, from measurements of it."""
