"""Draw ``_static/preview.jpg``, the picture that a chat shows beside a link to the book.

The people are drawn by the library, a row each, as on the first page. Run it again after a change
to the drawn faces: ``.venv/bin/python book/draw_preview.py``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from facenet_lib.drawn_faces import draw_identity, draw_nuisance, render_face

OUT = Path(__file__).with_name("_static") / "preview.jpg"
SIZE = (1200, 630)  # what chats show whole
SIDE, GAP = 150, 8  # of a face, pixels
COLUMNS = 4
PEOPLE = (6, 4, 8, 18)  # seeds: people who differ at a glance
PAPER, INK, BLUE, ORANGE = "#14181e", "#ffffff", "#5aa9e6", "#f0913a"
LINES = (
    ("FaceNet, rebuilt", 54, INK, 150),
    ("Two photographs:", 36, BLUE, 262),
    ("one person, or two?", 36, ORANGE, 310),
    ("A book that runs,", 28, INK, 412),
    ("from photographs to a server,", 28, INK, 450),
    ("in TensorFlow 2 and Keras 3", 28, INK, 488),
)


def main() -> None:
    picture = Image.new("RGB", SIZE, PAPER)
    left = SIZE[0] - COLUMNS * (SIDE + GAP)
    top = (SIZE[1] - len(PEOPLE) * (SIDE + GAP) + GAP) // 2
    for row, seed in enumerate(PEOPLE):
        person = draw_identity((20, seed))
        for column in range(COLUMNS):
            face = render_face(person, draw_nuisance((20, seed, column)), size=SIDE)
            place = (left + column * (SIDE + GAP), top + row * (SIDE + GAP))
            picture.paste(Image.fromarray(face), place)
    pen = ImageDraw.Draw(picture)
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")  # the same on every machine
    for text, size, colour, height in LINES:
        name = "DejaVuSans-Bold.ttf" if size > 50 else "DejaVuSans.ttf"
        pen.text(
            (36, height), text, colour, ImageFont.truetype(str(fonts / name), size), anchor="ls"
        )
    picture.save(OUT, quality=88)


if __name__ == "__main__":
    main()
