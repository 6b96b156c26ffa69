"""What a browser makes of the built book: on phones and desktops, in light, dark and print.

Each page is opened once, in headless Chromium, from a server on loopback, and looked at from all
sides; the tests ask what was seen. Needs the pages of ``make book``. axe-core comes from npm:
FACENET_AXE names its ``axe.min.js``, and ``.ci/run`` installs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from built_pages import BUILT_BOOK as BOOK
from chromium import serve_folder
from headless_chromium import in_browser, open_browser

PROJECT = Path(__file__).parents[2]
GENERATED = ("genindex.html", "py-modindex.html", "search.html")
PAGES = sorted(
    path.relative_to(BOOK)
    for path in (*(BOOK / "book").rglob("*.html"), *map(BOOK.joinpath, GENERATED))
    if path.is_file()
)
IN_CACHE = PROJECT / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
AXE = Path(os.environ.get("FACENET_AXE") or IN_CACHE)

#: Pixels: phones, tablets, and either side of the widths at which the theme moves its sidebars.
WIDTHS = (320, 390, 600, 768, 992, 1200, 1280)
PHONE = 390
#: A window of 1280 pixels, less the bar that scrolls it.
DESKTOP = 1265
#: A4 upright and across, less two margins of a centimetre, at 96 dots an inch.
PAPERS = (718, 1047)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAGES, reason=f"no pages in {BOOK}: run 'make book' first"),
    in_browser,
]

# When letters, formulas and what follows a new size are drawn.
SETTLED = """async () => {
  await document.fonts.ready;
  await window.MathJax?.startup?.promise;
  for (let turn = 0; turn < 2; turn++) await new Promise(requestAnimationFrame);
}"""

TOO_WIDE = """() => {
  const room = document.scrollingElement.clientWidth;
  if (document.scrollingElement.scrollWidth <= room) return [];
  const wide = [...document.querySelectorAll("body *")]
    .filter((part) => part.getBoundingClientRect().right > room + 1)
    .map((part) => `${part.tagName}.${part.className}`).slice(0, 5);
  return [`${document.scrollingElement.scrollWidth} of ${room} pixels`, ...wide];
}"""

SCROLLING_CODE = """() => [...document.querySelectorAll("article pre")]
  .filter((part) => part.checkVisibility() && part.scrollWidth > part.clientWidth + 1)
  .map((part) => part.innerText.split("\\n").reduce((a, b) => (b.length > a.length ? b : a)))"""

TABLES_WITHOUT_HINT = """() => [...document.querySelectorAll(".pst-scrollable-table-container")]
  .filter((part) => part.scrollWidth > part.clientWidth + 1)
  .filter((part) => getComputedStyle(part, "::before").content === "none" || part.tabIndex < 0)
  .map((part) => part.innerText.slice(0, 80))"""

FORMULAS = """() => ({
  written: document.querySelectorAll("div.math, span.math").length,
  drawn: document.querySelectorAll("mjx-container").length,
  wrong: document.querySelectorAll("mjx-merror").length,
})"""

# Where the first Tab leads; what the keyboard reaches but nobody sees; what shows no focus. Things
# of one kind look alike, so one of each kind is tried.
KEYBOARD = """() => {
  const told = (part) => part.outerHTML.slice(0, 120);
  const first = document.activeElement;
  const reached = [...document.querySelectorAll("a[href], button, input, select, textarea, summary,"
    + " [tabindex]")].filter((part) => part.tabIndex >= 0 && !part.disabled
      && part.checkVisibility({ visibilityProperty: true }));
  const looks = (part) => {
    const style = getComputedStyle(part);
    return [style.outlineStyle === "none" ? "" : style.outlineWidth, style.boxShadow,
      style.backgroundColor, style.borderColor, style.textDecoration].join();
  };
  const kinds = new Map(reached.map((part) => [part.tagName + part.className, part]));
  const unmarked = [];
  for (const part of kinds.values()) {
    part.blur();
    const before = looks(part);
    part.focus({ focusVisible: true, preventScroll: true });
    if (document.activeElement !== part || looks(part) === before) unmarked.push(told(part));
  }
  const hidden = reached.filter((part) => {
    const box = part.getBoundingClientRect();
    return part.closest("[aria-hidden=true]") || !box.width || !box.height
      || (box.right <= 0 && !part.closest(".skip-link"));
  });
  return {
    first: first.getAttribute("href"), reached: reached.length, hidden: hidden.map(told), unmarked,
    ahead: reached.filter((part) => part.tabIndex > 0).map(told),
  };
}"""

PRINTED = """() => ({
  title: [...document.querySelectorAll("h1")].filter((part) => part.checkVisibility())
    .map((part) => part.innerText.trim()),
  scrolls: [...document.querySelectorAll("article *")]
    .filter((part) => part.checkVisibility() && part.clientWidth
      && part.scrollWidth > part.clientWidth + 1
      && (part.tagName === "PRE" || /auto|scroll/.test(getComputedStyle(part).overflowX)))
    .map((part) => part.innerText.slice(0, 100)),
  folded: [...document.querySelectorAll("article details > *:not(summary)")]
    .filter((part) => !part.checkVisibility()).length,
  parted: [...document.querySelectorAll("article figure, article tr")]
    .filter((part) => getComputedStyle(part).breakInside !== "avoid").length,
})"""

# Takes out code, formulas, paragraphs, rows, entries of menus and of the library that have no kind
# of letter which others before them have not: most of axe's time goes into the contrast of words.
THIN_OUT = """() => {
  const PARTS = "pre, mjx-container, dl.py, nav li, article :is(p:not(summary p), tr, li)";
  const PLACES = ".cell_input, .cell_output, dd, figure, table, nav, .admonition";
  const [seen, kept] = [new Set(), new Set()];
  for (const word of document.querySelectorAll("*")) {
    const part = word.closest(PARTS);
    const place = word.closest(PLACES);
    const kind = [word, part, place].map((one) => `${one?.tagName}.${one?.className}`).join();
    if (part && !seen.has(kind)) {
      seen.add(kind);
      for (let one = part; one; one = one.parentElement) kept.add(one);
    }
  }
  document.querySelectorAll(PARTS).forEach((part) => kept.has(part) || part.remove());
}"""

# Only contrast differs between the themes.
VIOLATIONS = """async (onlyContrast) => {
  const options = { preload: false, resultTypes: ["violations"] };
  if (onlyContrast) options.runOnly = { type: "rule", values: ["color-contrast"] };
  const { violations } = await axe.run(document, options);
  return violations.filter((rule) => ["serious", "critical"].includes(rule.impact))
    .flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 120)}: `
      + node.failureSummary.split("\\n").slice(1).join(" ").slice(0, 200)));
}"""


@dataclass
class Seen:
    """What was seen of one page."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    formulas: dict[str, int] = field(default_factory=dict)
    too_wide: dict[int, list[str]] = field(default_factory=dict)
    scrolling_code: list[str] = field(default_factory=list)
    tables_without_hint: list[str] = field(default_factory=list)
    keyboard: dict[str, Any] = field(default_factory=dict)
    printed: list[dict[str, Any]] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server that has the book."""
    with serve_folder(BOOK) as served:
        yield served


@pytest.fixture(scope="module")
def look(address: str) -> Iterator[Callable[[Path], Seen]]:
    """Opens a page when it is first asked for, and knows it from then on."""
    known: dict[Path, Seen] = {}
    failed: set[Path] = set()
    with open_browser() as browser:
        # One window for all: what it has loaded and compiled for a page serves the next.
        page = browser.new_page(reduced_motion="reduce")
        page.set_default_timeout(300_000)  # only a fault takes so long

        def look_at(path: Path) -> Seen:
            assert path not in failed, "the page could not be looked at: see its first test"
            if path not in known:
                failed.add(path)
                known[path] = open_page(page, address, path)
                failed.remove(path)
            return known[path]

        yield look_at


def open_page(page: Any, address: str, path: Path) -> Seen:
    """Look at one page from all sides."""
    seen = Seen()
    listeners = {
        "console": lambda said: said.type == "error" and seen.errors.append(said.text),
        "pageerror": lambda error: seen.errors.append(str(error)),
        "request": lambda sent: note_outside(sent.url, address, seen),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.emulate_media(media="screen", color_scheme="light")
    page.set_viewport_size({"width": DESKTOP, "height": 800})
    page.goto(f"{address}/{path.as_posix()}")
    page.evaluate(SETTLED)
    seen.formulas = page.evaluate(FORMULAS)
    seen.scrolling_code = page.evaluate(SCROLLING_CODE)
    page.keyboard.press("Tab")
    seen.keyboard = page.evaluate(KEYBOARD)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(SETTLED)
        seen.too_wide[width] = page.evaluate(TOO_WIDE)
        if width == PHONE:
            seen.tables_without_hint = page.evaluate(TABLES_WITHOUT_HINT)
    page.emulate_media(media="print")
    for width in PAPERS:
        page.set_viewport_size({"width": width, "height": 1000})
        page.evaluate(SETTLED)
        seen.printed.append(page.evaluate(PRINTED))
        seen.too_wide[width] = page.evaluate(TOO_WIDE)
    if AXE.is_file():
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": DESKTOP, "height": 800})
        page.evaluate(THIN_OUT)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        seen.violations["light"] = page.evaluate(VIOLATIONS, False)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        seen.violations["dark"] = page.evaluate(VIOLATIONS, True)
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    return seen


def note_outside(url: str, address: str, seen: Seen) -> None:
    if not url.startswith((f"{address}/", "data:", "blob:")):
        seen.outside.append(url)


def each_page(function):
    return pytest.mark.parametrize(
        "path", PAGES, ids=lambda path: path.with_suffix("").as_posix().removeprefix("book/")
    )(function)


@each_page
def test_page_reports_no_error_and_asks_nothing_of_others(look, path):
    seen = look(path)
    assert seen.errors == []
    assert seen.outside == []


@each_page
def test_formulas_are_drawn_without_a_network(look, path):
    formulas = look(path).formulas
    assert formulas["drawn"] >= formulas["written"]
    assert formulas["wrong"] == 0


@each_page
def test_page_does_not_scroll_sideways_at_any_width(look, path):
    wide = {width: found for width, found in look(path).too_wide.items() if found}
    assert not wide


@each_page
def test_code_fits_a_window_of_1280_pixels(look, path):
    if "library" in path.parts:
        pytest.skip("the library's examples stand far in: they may scroll")
    assert look(path).scrolling_code == []


@each_page
def test_tables_that_scroll_say_so(look, path):
    assert look(path).tables_without_hint == []


@each_page
def test_keyboard_reaches_what_is_seen_in_the_order_of_the_page(look, path):
    keyboard = look(path).keyboard
    assert keyboard["first"] == "#main-content"
    assert keyboard["reached"] > 10
    assert (keyboard["hidden"], keyboard["unmarked"], keyboard["ahead"]) == ([], [], [])


@each_page
def test_paper_has_the_chapters_number_and_whole_lines(look, path):
    chapter = re.match(r"(\d\d)_", path.name)
    for printed in look(path).printed:
        assert len(printed["title"]) == 1
        if chapter:
            assert printed["title"][0].startswith(f"{int(chapter.group(1))}. ")
        assert (printed["scrolls"], printed["folded"], printed["parted"]) == ([], 0, 0)


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: FACENET_AXE names its axe.min.js")
@pytest.mark.parametrize("theme", ["light", "dark"])
@each_page
def test_axe_finds_no_serious_violation(look, path, theme):
    assert look(path).violations[theme] == []
