"""`python -m vptrain`."""

from vptrain.cli.app import main

main()
