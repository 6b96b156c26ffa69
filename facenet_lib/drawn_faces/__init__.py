"""Made-up people: faces drawn from numbers, and folders of them (appendix)."""

from facenet_lib.drawn_faces.render import (
    draw_identity,
    draw_nuisance,
    render_face,
    write_faces,
)

__all__ = [
    "draw_identity",
    "draw_nuisance",
    "render_face",
    "write_faces",
]
