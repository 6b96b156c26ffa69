"""The search of the built book: what it finds for the words that users type, and what it shows.

Needs the pages of ``make book``, or those in the folder that FACENET_BOOK names, and a browser; but
for how a page is taken apart, which needs neither.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from built_pages import BUILT_BOOK as BOOK
from chromium import CHROMIUM, serve_folder
from headless_chromium import chromium_command
from section_search import sections_of

# What users type, and the section that answers.
EXPECTED = {
    "prewhiten": "03_input_pipeline#two-standardizations-in-one-project",
    "facenet.load_model": "11_pretrained#what-the-articles-tf-1-code-said",
    "load_network": "library/models#facenet_lib.models.load_network",
    "NaN loss": "06_training#why-a-loss-becomes-nan-or-stays-where-it-began",
    "threshold": "01_lfw_pairs#six-distances-and-a-threshold",
    "treshold": "01_lfw_pairs#six-distances-and-a-threshold",
    "add a new person": "12_recognition#enrol-without-training",
    "pairs.txt": "01_lfw_pairs#a-file-of-pairs",
    "center loss diverges": "05_center_loss#the-undivided-update-diverges",
    "centre loss diverging": "05_center_loss#the-undivided-update-diverges",
    "convert to tflite": "07_export#smaller",
    "low accuracy on LFW": "symptoms#an-accuracy-that-is-too-low",
    "batch size": "02_index_queue#why-the-two-sizes-differ",
    "out of memory": "04_network#beside-another-implementation",
    "gpu": "scaling_recipes#one-machine-with-several-gpus",
    "cosine distance": "04_network#from-prelogits-to-embeddings",
    "pickle": "11_pretrained#a-pickle-is-a-program",
    "docker": "08_serving#tf-serving-itself",
    "mtcnn": "glossary#term-MTCNN",
    "blue faces": "07_export#blue-faces",
    "BGR": "symptoms#an-accuracy-that-is-too-low",
    "unknown person": "12_recognition#strangers",
    "learning rate schedule": "06_training#the-schedule",
    "semi-hard": "glossary#term-semi-hard",
    "resume training": "06_training#killed-at-any-moment",
}

# Words of the theme's menus and buttons.
MENU = re.compile(r"&nbsp;|\xa0|Skip to main content|Print to PDF|Back to top|Copy to clipboard")


def test_a_page_is_taken_apart_into_sections_entries_and_terms():
    page = """<nav>menu</nav><article><section id="top">
    <h1><span>5. </span>Loss<a class="headerlink">#</a></h1>
    <p>First&nbsp;one, <span class="math">\\(\\mathbf{c}_y\\)</span>.</p>
    <div class="highlight"><pre>code(1)</pre></div>
    <section id="inner"><h2>Inner</h2><p>Second.</p>
    <table><tr><th>a</th><td>b</td></tr></table></section>
    <p>After.</p><section id="empty"><h2>Empty</h2></section>
    <dl class="py"><dt class="sig" id="lib.f">f(x)</dt><dd><p>Does it.</p></dd></dl>
    <dl class="glossary"><dt id="term-a">margin</dt><dd>What is left.</dd><dt>no anchor</dt></dl>
    <!-- a comment --><script>no()</script></section></article>"""
    top, inner, function, term = sections_of(page, "book/x.html")
    assert (top.address, top.heading, top.within) == ("book/x.html#top", "5. Loss", [])
    assert top.text == "First one, c_y.\nAfter.\nno anchor"
    assert top.code == "code(1)\n"
    assert (inner.address, inner.within, inner.text) == (
        "book/x.html#inner",
        ["5. Loss"],
        "Second.\na · b",
    )
    assert (function.address, function.heading, function.is_reference) == (
        "book/x.html#lib.f",
        "lib.f",
        True,
    )
    assert (function.code, function.text) == ("f(x)\n", "Does it.")
    assert (term.heading, term.text, term.is_reference) == ("margin", "What is left.", False)


@dataclass(frozen=True)
class Result:
    """One of the search page's results, as it is shown."""

    address: str
    heading: str
    within: str
    extract: str
    marked: tuple[str, ...]


# Types each query into the field, and writes down what is then shown.
ASK = """<script type="module">
addEventListener("load", () => {
  const field = document.querySelector('.bd-search-container input[name="q"]');
  const press = (key) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const shown = (item) => ({
    address: item.querySelector("a").getAttribute("href"),
    heading: item.querySelector("a").textContent,
    within: item.querySelector(".search-within").textContent,
    extract: item.querySelector(".search-extract").textContent,
    marked: [...item.querySelectorAll("mark")].map((mark) => mark.textContent),
  });
  let pictures = 0;
  const ask = (query) => {
    field.value = query;
    field.dispatchEvent(new Event("input"));
    pictures += document.querySelectorAll(".search-summary img, .search-sections img").length;
    return [...document.querySelectorAll(".search-sections li")].map(shown);
  };
  const links = document.querySelectorAll(".search-sections a");
  const first = { asked: field.value, results: links.length };
  const answers = Object.fromEntries(QUERIES.map((query) => [query, ask(query)]));
  const status = document.querySelector(".search-summary").textContent;
  ask("threshold");
  field.focus();
  const walked = ["ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"].map((key) => {
    press(key);
    return document.activeElement.getAttribute("href") ?? document.activeElement.name;
  });
  const report = document.createElement("pre");
  report.id = "report";
  report.textContent = JSON.stringify({ first, answers, status, walked, pictures });
  document.body.append(report);
});
</script>"""

STRANGE = '<img src="x" onerror="alert(1)">'
NOTHING = "qqqqzzzzxxxx"
MARKED_UP = "jjjjkkkk"
QUERIES = [*EXPECTED, "low", STRANGE, MARKED_UP, "", NOTHING]

# One section more, with markup in all that is shown of it.
WITH_MARKUP = f"""<script type="module">searchSections.push({{
  address: "search.html#x", heading: '{STRANGE}', within: ['{STRANGE}'], is_reference: false,
  text: '{MARKED_UP} {STRANGE}', code: ''
}});</script>
"""


def ask(address: str, profile: Path) -> dict[str, Any]:
    """What a copy of the search page reports at this address."""
    options = "--virtual-time-budget=60000", "--dump-dom"
    command = chromium_command(f"{address}?q=center+loss", profile, *options)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    report = re.search(r'<pre id="report"[^>]*>(.*?)</pre>', done.stdout, re.DOTALL)
    assert report, f"the page did not answer: {done.stdout[:300]} {done.stderr[-300:]}"
    answer: dict[str, Any] = json.loads(unescape(report.group(1)))
    return answer


@pytest.fixture(scope="module", params=["files", "http"])
def report(request, tmp_path_factory) -> Iterator[dict[str, Any]]:
    page = BOOK / "search.html"
    if not page.is_file():
        pytest.skip(f"no pages in {BOOK}: run 'make book' first")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    site = tmp_path_factory.mktemp("site")
    for name in ("_static", "book"):
        (site / name).symlink_to(BOOK / name, target_is_directory=True)
    copy = site / page.name
    asking = ASK.replace("QUERIES", json.dumps(QUERIES).replace("<", "\\u003c"))
    text = page.read_text("utf-8").replace("</body>", f"{asking}</body>")
    text, places = re.subn(r"(?=<script [^>]*section_search\.js)", WITH_MARKUP, text)
    assert places == 1
    copy.write_text(text, "utf-8")
    profile = tmp_path_factory.mktemp("profile")
    if request.param == "files":
        yield ask(copy.as_uri(), profile)
    else:
        with serve_folder(site) as address:
            yield ask(f"{address}/{copy.name}", profile)


def results(report: dict[str, Any], query: str) -> list[Result]:
    return [Result(**{**r, "marked": tuple(r["marked"])}) for r in report["answers"][query]]


@pytest.mark.slow
@pytest.mark.parametrize("query", EXPECTED)
def test_the_section_that_answers_is_among_the_first_three(report, query):
    page, _, anchor = EXPECTED[query].partition("#")
    shown = results(report, query)
    first = [result.address for result in shown[:3]]
    assert f"book/{page}.html#{anchor}" in first, first
    [answer] = [r for r in shown if r.address == f"book/{page}.html#{anchor}"]
    assert any(word in f"{answer.extract} {answer.heading}" for word in answer.marked)
    beginnings = {word.lower()[:4] for word in re.split(r"\W+", query) if len(word) > 1}
    if query not in ("treshold", "centre loss diverging"):  # spelled otherwise on the page
        read = f"{answer.heading} {answer.extract}".lower()
        assert any(beginning in read for beginning in beginnings), read


@pytest.mark.slow
def test_every_result_leads_to_a_place_and_shows_a_sentence_of_it(report):
    ids: dict[Path, set[str]] = {}
    for query in EXPECTED:
        for result in results(report, query):
            name, _, anchor = result.address.partition("#")
            page = BOOK / name
            if page not in ids:
                ids[page] = set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))
            assert anchor in ids[page], result.address
            assert result.extract.strip() and not MENU.search(result.extract), result
            assert len(result.extract) <= 250


@pytest.mark.slow
def test_a_word_is_not_found_inside_another(report):
    found = results(report, "low")
    assert found
    assert {word.lower() for result in found for word in result.marked} == {"low"}


@pytest.mark.slow
def test_what_is_no_word_of_the_book_is_said(report):
    assert results(report, "") == results(report, NOTHING) == []
    assert "Nothing in the book has these words" in report["status"]


@pytest.mark.slow
def test_markup_that_is_asked_for_or_found_is_shown_as_text(report):
    assert any("<img" in result.extract for result in results(report, MARKED_UP))
    assert results(report, STRANGE) and report["pictures"] == 0


@pytest.mark.slow
def test_the_address_asks_and_the_arrow_keys_walk(report):
    assert report["first"]["asked"] == "center loss" and report["first"]["results"] > 3
    first, second = (result.address for result in results(report, "threshold")[:2])
    assert report["walked"] == [first, second, first, "q"]
