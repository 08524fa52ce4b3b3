"""The section `cluster`: what it is in Kubernetes, and what must agree with the rest."""
