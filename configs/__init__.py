"""What can be configured (schema), how it is read (load), and the profiles themselves (YAML)."""
