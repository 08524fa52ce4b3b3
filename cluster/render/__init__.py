"""The profile's cluster as a tree of files that kustomize can build: pure, and the same text every time."""
