"""One family of rules a module; each is a function from the world to findings, and judges nothing else's concern."""
