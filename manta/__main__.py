"""`python -m manta`."""

from manta.main import main

main()
