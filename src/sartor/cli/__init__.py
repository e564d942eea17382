"""The command line: thin, light to start, and clear about what went wrong."""

from sartor.cli.app import main

__all__ = ["main"]
