"""The extension that gives the tools' HTML the names and lists it means."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[2] / "book" / "_ext" / "accessible_pages.py"
spec = importlib.util.spec_from_file_location("accessible_pages", PATH)
accessible_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(accessible_pages)


def test_what_folds_has_the_name_that_is_written_on_it():
    body = '<summary aria-label="Toggle hidden content">\n<p>Show code</p></summary>'
    assert accessible_pages.mend_body(body) == "<summary>\n<p>Show code</p></summary>"


def test_signature_on_several_lines_is_no_list_of_definitions():
    signature = (
        '<dl class="py function">\n<dt><span>read</span>(<dl>\n'
        '<dd><em class="sig-param">path</em>,</dd>\n<dd><em class="sig-param">text</em>,</dd>\n'
        "</dl>\n)</dt>\n<dd><p>Reads.</p></dd></dl>"
    )
    mended = accessible_pages.mend_body(signature)
    assert '<div><em class="sig-param">path</em>,</div>' in mended
    assert mended.count("<dl") == mended.count("</dl>") == 1
    assert mended.count("<dd>") == mended.count("</dd>") == 1


def test_lists_with_terms_stay_what_they_are():
    body = "<dl>\n<dt>term</dt>\n<dd>what it means</dd>\n</dl>"
    assert accessible_pages.mend_body(body) == body
