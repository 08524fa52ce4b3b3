"""The same requests for real and simulated, and how far the two are apart."""
