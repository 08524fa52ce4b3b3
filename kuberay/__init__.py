"""RayServices on Kubernetes, from Python: apply, watch, understand, roll back and delete them.

Stands on its own over the official `kubernetes` client (`pip install manta[cluster]`): knows KubeRay's API and
Kubernetes', nothing of Manta's configuration. `rayservice.RayService` is where to begin; `rendered/` beside it
is the committed output of `manta cluster render`.
"""
