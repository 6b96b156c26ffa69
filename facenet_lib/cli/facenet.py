"""The command ``facenet``: draw, align, import weights, train, evaluate, embed, export, serve.

Ends with 0, with 1 after a failure that it explains, or with 2 after wrong usage. TensorFlow is
loaded only by the commands that compute with it, so that help comes at once.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from facenet_lib import __version__
from facenet_lib.cli import (
    alignment,
    collection,
    evaluation,
    faces,
    models,
    recognition,
    serving,
    training,
)
from facenet_lib.errors import FacenetError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of ``facenet`` and of ``python -m facenet_lib``.

    Args:
        arguments: the words after ``facenet``; those of the process where None.

    Returns:
        0 when done, 1 after a failure that was explained on standard error. Wrong usage leaves
        through ``SystemExit(2)``, as argparse has it.
    """
    _let_every_name_be_written()
    status = 0
    try:
        options = make_parser().parse_args(arguments)
        options.words = list(sys.argv[1:] if arguments is None else arguments)
        command: Callable[[argparse.Namespace], None] = options.command
        command(options)
    except FacenetError as error:
        print(f"facenet: {_escape_controls(str(error))}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("facenet: interrupted", file=sys.stderr)
        status = 1
    except OSError:
        if _write_output("\n"):  # so it was not the output that failed
            raise
        status = 1
    except SystemExit:  # of argparse, which has written its help
        if not _write_output():
            raise SystemExit(1) from None
        raise
    return status if _write_output() else 1


def _write_output(text: str = "") -> bool:
    """Write text, and what is left of the output; return whether that went well.

    A full disk is told. A reader that has gone, such as ``head``, has what it wanted.
    """
    try:
        print(text, end="", flush=True)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # no gone reader; Windows has the second
            print(f"facenet: the output cannot be written: {error.strerror}", file=sys.stderr)
        # Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _let_every_name_be_written() -> None:
    """Have what the encoding of the output lacks written as an escape, such as ``\\u0141``.

    Otherwise a name could end a command after its work was done: on Windows, output that goes to
    a file or a pipe has few letters.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # others, such as a notebook's, take all letters
            stream.reconfigure(errors="backslashreplace")


def _escape_controls(text: str) -> str:
    """Escape what would steer a terminal, which a name in a stranger's file may hold."""
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) == "Cc" and letter != "\n" else letter
        for letter in text
    )


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="facenet",
        description="Draw and align faces; train, import, evaluate, use, export and serve FaceNet.",
    )
    parser.add_argument("--version", action="version", version=f"facenet {__version__}")
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, parser_class=_ParserOfOneCommand
    )
    faces.add_draw_faces(commands)
    faces.add_draw_photographs(commands)
    alignment.add_align(commands)
    alignment.add_align_report(commands)
    models.add_import_weights(commands)
    training.add_train(commands)
    training.add_report(commands)
    evaluation.add_evaluate(commands)
    faces.add_distances(commands)
    evaluation.add_embed(commands)
    collection.add_embed_collection(commands)
    recognition.add_enroll(commands)
    recognition.add_identify(commands)
    recognition.add_cluster(commands)
    recognition.add_gallery(commands)
    models.add_export(commands)
    serving.add_serve(commands)
    return parser


class _ParserOfOneCommand(argparse.ArgumentParser):
    """Takes a command's options before, between and after its other words.

    Without this, argparse ends the list of images at the first option after it, and refuses those
    that follow.
    """

    _mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._mixing:  # argparse's own two passes, one for the options and one for the rest
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False
