"""`python -m vpdata`."""

from vpdata.cli.app import main

main()
