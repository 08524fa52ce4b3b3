"""Statistics of measurements: what may be concluded, and how surely."""
