"""What is wrong with manifests, ours or anybody's: schema, KubeRay's own rules, and what only shows across objects.

Reads files, and nothing else: no cluster, no registry, no `kubectl`, no `ray`.
"""
