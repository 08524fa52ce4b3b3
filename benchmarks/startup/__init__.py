"""How long a profile takes to start, and what it weighs."""
