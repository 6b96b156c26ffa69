"""Print the built book into one PDF: a title, contents with page numbers, every page in its order.

    python book/make_pdf.py _build/html _build/facenet-book.pdf

Chromium prints each page; the parts are joined, numbered, and their links lead inside the file.
"""

from __future__ import annotations

import html
import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import yaml
from chromium import CHROMIUM, serve_folder
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject
from tqdm import tqdm

from facenet_lib.files import open_whole_file

PROJECT = Path(__file__).parents[1]
PAPER = {
    "format": "A4",
    "print_background": True,
    "margin": {"top": "16mm", "bottom": "20mm", "left": "18mm", "right": "18mm"},
}

#: When letters and formulas are drawn. Chromium keeps the place of an anchor only if something on
#: the page links to it, so each gets a link that takes no room.
MADE_READY = """async () => {
  await document.fonts.ready;
  await window.MathJax?.startup?.promise;
  const links = document.createElement("div");
  links.style = "position: absolute; height: 0; overflow: hidden; font-size: 1px; line-height: 0";
  for (const place of document.querySelectorAll("article [id]")) {
    const link = document.createElement("a");
    link.href = "#" + place.id;
    link.textContent = ".";
    links.append(link);
  }
  document.querySelector("article").prepend(links);  // at the end, they would begin a page
  return document.querySelector("article h1").innerText.replace("#", "").trim();
}"""

STYLE = """<style>
body { font-family: sans-serif; margin: 0; color: #222; }
h1 { font-weight: 500; }
.cover { height: 235mm; display: flex; flex-direction: column; justify-content: center; }
.cover h1 { font-size: 34pt; } .cover p { font-size: 13pt; color: #555; }
.contents { break-before: page; font-size: 10.5pt; line-height: 1.75; }
.contents h2 { font-size: 12pt; margin: 5mm 0 1mm; font-weight: 600; }
.contents div { display: flex; gap: 2mm; }
.contents a { color: inherit; text-decoration: none; }
.contents i { flex: 1; border-bottom: 1px dotted #999; margin-bottom: 1.5mm; }
.foot { height: 297mm; break-after: page; position: relative; font-size: 8.5pt; color: #666; }
.foot p { position: absolute; bottom: 9mm; left: 18mm; right: 18mm; margin: 0;
  display: flex; justify-content: space-between; }
</style>"""


def parts_of_the_book() -> list[tuple[str, list[str]]]:
    """The table of contents: captions, each with its pages; the front page has none."""
    contents = yaml.safe_load((PROJECT / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(part["caption"], _files(part)) for part in contents["parts"]]
    return [("", [contents["root"]]), *parts]


def _files(entry: dict[str, Any]) -> list[str]:
    """The pages below an entry of the table of contents, at any depth."""
    below = [*entry.get("chapters", ()), *entry.get("sections", ())]
    return [name for child in below for name in (child["file"], *_files(child))]


@dataclass(frozen=True)
class Printed:
    """A page of the book on paper."""

    name: str
    title: str
    reader: PdfReader


def print_pages(page: Page, address: str) -> Iterator[Printed]:
    """Print the book's pages in their order."""
    names = [name for _, part in parts_of_the_book() for name in part]
    for name in tqdm(names, desc="printing", unit="page"):
        page.goto(f"{address}/{name}.html")
        title = page.evaluate(MADE_READY)
        content = page.pdf(**PAPER, outline=True, tagged=True)
        yield Printed(name, title, PdfReader(io.BytesIO(content)))


def print_front(page: Page, titles: dict[str, str], numbers: dict[str, int]) -> PdfReader:
    """Print the cover and the contents with the number that each page begins on."""
    lines = []
    for caption, names in parts_of_the_book():
        lines.append(f"<h2>{html.escape(caption)}</h2>" if caption else "")
        lines += [
            f"<div><a href='http://book/{name}'>{html.escape(titles[name])}</a>"
            f"<i></i>{numbers[name]}</div>"
            for name in names
        ]
    page.set_content(
        f"{STYLE}<div class=cover><h1>FaceNet, rebuilt</h1>"
        "<p>A network that tells faces apart, from pairs.txt to a server</p></div>"
        f"<div class=contents><h1>Contents</h1>{''.join(lines)}</div>"
    )
    return PdfReader(io.BytesIO(page.pdf(**PAPER)))


def print_feet(page: Page, feet: Sequence[str]) -> PdfReader:
    """Print a sheet for each page of the book with nothing but its foot: title and number."""
    sheets = "".join(
        f"<div class=foot><p><span>{html.escape(text)}</span><span>{number}</span></p></div>"
        for number, text in enumerate(feet, 1)
    )
    page.set_content(STYLE + sheets)
    return PdfReader(io.BytesIO(page.pdf(format="A4")))


def join(page: Page, printed: Sequence[Printed], address: str) -> PdfWriter:
    """Join cover, contents and pages, with bookmarks, feet, and links that lead inside the file."""
    titles = {part.name: part.title for part in printed}
    ahead = len(print_front(page, titles, dict.fromkeys(titles, 0)).pages)
    sizes = [len(part.reader.pages) for part in printed]
    firsts = [ahead + before for before in itertools.accumulate(sizes[:-1], initial=0)]
    starts = dict(zip(titles, firsts, strict=True))
    front = print_front(page, titles, {name: first + 1 for name, first in starts.items()})
    feet = [""] * ahead + [part.title for part in printed for _ in part.reader.pages]

    writer = PdfWriter()
    writer.append(front)
    for part in printed:
        writer.append(part.reader)
    places = {(name, ""): (first, 0.0, 842.0) for name, first in starts.items()}
    for part in printed:
        for anchor, place in part.reader.named_destinations.items():
            number = part.reader.get_destination_page_number(place)
            if number is not None and anchor != "/":
                where = (starts[part.name] + number, place.left or 0.0, place.top or 842.0)
                places[part.name, anchor.removeprefix("/")] = where
    inside = (address, "http://book")
    owners = [""] * ahead + [part.name for part in printed for _ in part.reader.pages]
    for sheet, foot, owner in zip(writer.pages, print_feet(page, feet).pages, owners, strict=True):
        notes = [note.get_object() for note in sheet.get("/Annots", ())]
        leading = [note for note in notes if _lead_inside(writer, note, owner, places, inside)]
        if notes:
            sheet[NameObject("/Annots")] = ArrayObject(leading)
        if owner:
            sheet.merge_page(foot)
    writer.compress_identical_objects()  # every page of the site brings its own copy of the letters
    writer.add_metadata({"/Title": "FaceNet, rebuilt", "/Author": "The FaceNet book's authors"})
    writer.page_mode = "/UseOutlines"
    return writer


def _lead_inside(
    writer: PdfWriter,
    note: Any,
    owner: str,
    places: dict[tuple[str, str], tuple[int, float, float]],
    inside: tuple[str, ...],
) -> bool:
    """Give a link, from the page ``owner``, the place on paper that it means, if there is one."""
    if "/Dest" in note:
        meant = owner, str(note["/Dest"]).removeprefix("/")
    else:
        address, anchor = urldefrag(str(note.get("/A", {}).get("/URI", "")))
        start = next((start for start in inside if address.startswith(f"{start}/")), None)
        if start is None:  # of another site
            return True
        meant = address.removeprefix(f"{start}/").removesuffix(".html"), unquote(anchor)
    place = places.get(meant) or places.get((meant[0], ""))
    if place is None:  # a page of the site that is not in the book, such as its index
        return False
    number, left, top = place
    target = [writer.pages[number].indirect_reference, NameObject("/XYZ")]
    target += [FloatObject(left), FloatObject(top), NullObject()]
    note.pop("/A", None)
    note[NameObject("/Dest")] = ArrayObject(target)
    return True


def main(folder: Path, out: Path) -> None:
    """Print the book in ``folder`` to the file ``out``."""
    if CHROMIUM is None:
        sys.exit("make pdf prints with Chromium, which is not on the PATH")
    if not (folder / "index.html").is_file():
        sys.exit(f"{folder}: expected the built book, found none: run make book first")
    with serve_folder(folder) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False)
        page = browser.new_page(reduced_motion="reduce", color_scheme="light")
        page.set_default_timeout(300_000)
        writer = join(page, list(print_pages(page, address)), address)
        browser.close()
    with open_whole_file(out) as file:
        writer.write(file)
    size = out.stat().st_size / 2**20
    print(f"{out}: {len(writer.pages)} pages, {size:.0f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
