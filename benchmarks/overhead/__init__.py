"""What Manta's path costs a token: the same tokens from a bare server, without the hop, and through all of it."""
