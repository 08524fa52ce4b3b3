"""One run: prepared, made, watched while it goes, and kept in a folder."""
