"""Roles at AWS for pods: the documents, and the statements that they are made of."""
