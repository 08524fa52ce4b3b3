"""Chat on llama.cpp: Manta against llama.cpp's own server and what Python has."""
