"""Figures of the book that a reader can change, a module a chapter.

Each function returns an :class:`Explorable`; a notebook shows it by ending a cell with the call,
in JupyterLab as in the built book. It needs no server and fetches nothing. Where no script runs,
and in print, it is the still figure of :mod:`facenet_lib.plots` with the same message.
"""

from facenet_lib.explorables.center_loss import center_steps
from facenet_lib.explorables.figure import Explorable
from facenet_lib.explorables.index_queue import index_stream
from facenet_lib.explorables.input_pipeline import control_bits
from facenet_lib.explorables.lfw_pairs import pair_distances
from facenet_lib.explorables.recognition import strangers_named
from facenet_lib.explorables.serving import ServiceLoad, service_load

__all__ = [
    "Explorable",
    "ServiceLoad",
    "center_steps",
    "control_bits",
    "index_stream",
    "pair_distances",
    "service_load",
    "strangers_named",
]
