"""Admission: the bounded, aged queue in front of an engine, and the budget that callers retry within."""
