"""Faces that the book draws itself: people who do not exist, so that everyone may train on them.

A person is an :class:`Identity`: the numbers that stay the same from picture to picture (skull,
jaw, eyes, brows, nose, mouth, ears, skin, hair, beard, marks). A picture is an identity seen
under a :class:`Nuisance`: everything that changes and must be ignored to recognise someone (pose,
light, expression, gaze, glasses, clothes, background, camera). :func:`render_face` draws the one
under the other; :func:`write_faces` draws a whole dataset in the layout of Labeled Faces in the
Wild (LFW), with its own ``pairs.txt``, ``people.txt`` and ``peopleDevTrain.txt``.
:func:`write_photographs` draws photographs of several people, and where each face is.

Everything random comes from NumPy's ``SeedSequence``: the same seed gives the same picture,
whatever was drawn before it and however many processes draw (on one kind of machine; another
processor or NumPy may round the last bit of a float otherwise).

Derived in the appendix, "Using real faces".
"""

from facenet_lib.drawn_faces.dataset import DrawnFaces, write_faces
from facenet_lib.drawn_faces.identity import Identity, draw_identity
from facenet_lib.drawn_faces.names import person_name
from facenet_lib.drawn_faces.nuisance import Nuisance, draw_nuisance
from facenet_lib.drawn_faces.photograph_table import DrawnFace, read_photograph_faces
from facenet_lib.drawn_faces.photographs import (
    DrawnPhotograph,
    DrawnPhotographs,
    render_photograph,
    write_photographs,
)
from facenet_lib.drawn_faces.render import render_face

__all__ = [
    "DrawnFace",
    "DrawnFaces",
    "DrawnPhotograph",
    "DrawnPhotographs",
    "Identity",
    "Nuisance",
    "draw_identity",
    "draw_nuisance",
    "person_name",
    "read_photograph_faces",
    "render_face",
    "render_photograph",
    "write_faces",
    "write_photographs",
]
