"""What goes out: documents, and events."""
