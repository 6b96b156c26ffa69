"""The book on paper: pages in their order, numbers, bookmarks, and links that lead inside.

Prints three of the pages of ``make book``, or of those in the folder that FACENET_BOOK names.
"""

from __future__ import annotations

import re

import pytest
from built_pages import BUILT_BOOK as BOOK
from headless_chromium import in_browser

NAMES = ("book/index", "book/notation", "book/bibliography")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BOOK / "index.html").is_file(), reason=f"no pages in {BOOK}"),
    in_browser,
]


@pytest.fixture(scope="module")
def pdf(tmp_path_factory):
    pytest.importorskip("playwright")
    pypdf = pytest.importorskip("pypdf")
    import make_pdf

    with pytest.MonkeyPatch.context() as patch:
        parts = [("", [NAMES[0]]), ("Appendix", list(NAMES[1:]))]
        patch.setattr(make_pdf, "parts_of_the_book", lambda: parts)
        path = tmp_path_factory.mktemp("pdf") / "book.pdf"
        make_pdf.main(BOOK, path)
    return pypdf.PdfReader(path)


def starts_of(pdf) -> dict[str, int]:
    """The pages' titles at the top level of the bookmarks, and the sheets where they begin."""
    entries = [entry for entry in pdf.outline if not isinstance(entry, list)]
    return {entry.title: pdf.get_destination_page_number(entry) for entry in entries}


def test_contents_have_the_numbers_of_the_sheets_on_which_pages_begin(pdf):
    starts = starts_of(pdf)
    assert list(starts) == ["FaceNet, rebuilt", "Notation", "Bibliography"]
    contents = pdf.pages[1].extract_text()
    for title, sheet in starts.items():
        assert re.search(rf"{title}\s*{sheet + 1}\b", contents)


def test_every_sheet_has_its_number_and_title_at_its_foot(pdf):
    first = min(starts_of(pdf).values())
    for number, sheet in enumerate(pdf.pages[first:], first + 1):
        assert re.search(rf"\b{number}\b", sheet.extract_text()[-80:])


def test_links_lead_inside_the_file_or_to_the_public_web(pdf):
    links = [note.get_object() for sheet in pdf.pages for note in sheet.get("/Annots", ())]
    outside = [str(link["/A"]["/URI"]) for link in links if "/A" in link]
    assert outside and not any("127.0.0.1" in address or "//book" in address for address in outside)
    inside = [link["/Dest"] for link in links if "/Dest" in link]
    sheets = {sheet.indirect_reference.idnum for sheet in pdf.pages}
    assert inside and all(place[0].idnum in sheets for place in inside)
    # What is no page of the book, as the general index, is not looked for on the cover.
    cover = pdf.pages[0].indirect_reference.idnum
    assert not any(place[0].idnum == cover for place in inside)


def test_link_of_the_contents_leads_to_its_page(pdf):
    starts = starts_of(pdf)
    links = [note.get_object()["/Dest"][0].idnum for note in pdf.pages[1]["/Annots"]]
    assert links == [pdf.pages[sheet].indirect_reference.idnum for sheet in starts.values()]
