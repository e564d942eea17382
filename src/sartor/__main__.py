"""``python -m sartor`` is the command line, as torch's launcher needs it."""

from sartor.cli import main

main()
