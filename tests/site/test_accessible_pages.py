"""The extension that gives the tools' HTML the names and lists it means."""

from __future__ import annotations

from types import SimpleNamespace

import accessible_pages


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


def test_cited_works_claim_no_list():
    cited = '<div role="list" class="citation-list"><div role="doc-biblioentry">A work.</div></div>'
    mended = accessible_pages.mend_body(cited)
    assert mended == '<div class="citation-list"><div>A work.</div></div>'


def test_pages_do_not_load_what_runs_code_on_a_server():
    named, written = SimpleNamespace(filename="thebe.js"), SimpleNamespace(filename=None)
    named.attributes, written.attributes = {}, {"body": "let initThebe = null"}
    kept = SimpleNamespace(filename="pages.js", attributes={})
    context = {"body": "", "script_files": [named, kept, written]}
    accessible_pages._mend(None, "page", "page.html", context, None)
    assert context["script_files"] == [kept]
