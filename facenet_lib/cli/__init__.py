"""The command ``facenet``: a module a family of commands."""

from facenet_lib.cli.facenet import main

__all__ = ["main"]
