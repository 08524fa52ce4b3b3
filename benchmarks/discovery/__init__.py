"""What a server is and can do, found out before anything is measured."""
