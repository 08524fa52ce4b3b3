"""Autoscaling by the work that waits and runs, over Serve's hook for policies of one's own.

`configs.autoscaling` names `WorkPolicy` to Serve by import path. Serve pickles this package by value and
runs it in its controller, which may not have Manta installed: it imports nothing but the standard library.
"""

from __future__ import annotations

from cluster.policies.decision import Observation, Settings, State, Work, decide
from cluster.policies.serve_policy import WorkPolicy

__all__ = ["Observation", "Settings", "State", "Work", "WorkPolicy", "decide"]
