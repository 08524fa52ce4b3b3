"""What finds a replica that hangs or answers garbage."""
