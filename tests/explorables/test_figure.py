"""What every explorable figure is: one piece of HTML that needs nothing, and a still one."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from headless_chromium import in_browser
from made_up_figures import make_figures
from running_scripts import run_page

import facenet_lib.explorables
from facenet_lib import explorables
from facenet_lib.explorables.figure import Explorable, read_file, write_json
from facenet_lib.plots import COLORS

ROOM = Path(facenet_lib.explorables.__file__).parent
NAMES = sorted(path.stem for path in ROOM.glob("*.js") if path.stem != "shared")


@cache
def figures() -> dict[str, Explorable]:
    return make_figures()


def each_figure(function):
    return pytest.mark.parametrize("name", NAMES)(function)


class Elements(HTMLParser):
    """The elements of a piece of HTML, as long as each is closed in turn."""

    VOID = frozenset({"img", "input", "meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and data.strip():
            self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data


def test_every_script_has_a_function_of_its_name():
    assert set(NAMES) == set(explorables.__all__) - {"Explorable", "ServiceLoad"}
    assert set(figures()) == set(NAMES)


@each_figure
def test_html_is_whole_and_fetches_nothing(name):
    page = Elements(figures()[name]._repr_html_())
    tags = [tag for tag, _ in page.found]
    assert tags == ["div", "div", "img", "div", "script", "script"]
    for _, attributes in page.found:
        assert "id" not in attributes  # so that a page may hold any number of figures
        address = attributes.get("src") or attributes.get("href") or "data:"
        assert address.startswith("data:")
    written = read_file("shared.js") + read_file(f"{name}.js") + read_file("style.css")
    for fetching in ("fetch(", "import", "url(", "XMLHttpRequest", "//cdn", "https:", "eval("):
        assert fetching not in written
    assert re.findall(r"http://[^\"]+", written) == ["http://www.w3.org/2000/svg"]


@each_figure
def test_without_scripts_the_still_figure_is_all(name):
    figure = figures()[name]
    html = re.sub(r"(?s)<script.*?</script>", "", figure._repr_html_())
    page = Elements(html)
    (image,) = [attributes for tag, attributes in page.found if tag == "img"]
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"] == figure.alt and len(figure.alt) > 30
    assert page.texts == {}
    assert "style>" not in html and "hidden" not in html and "display" not in html


@each_figure
def test_data_are_small_and_come_back_from_the_page(name):
    figure = figures()[name]
    html = figure._repr_html_()
    assert html.lower().count("</script") == html.lower().count("<script") == 2
    (data,) = re.findall(r'(?s)<script type="application/json">(.*?)</script>', html)
    assert json.loads(data) == json.loads(json.dumps(figure.data))
    assert len(data) < 100_000


@each_figure
def test_in_words_it_is_short(name):
    """A notebook keeps them beside the HTML."""
    assert len(repr(figures()[name])) < 600


def test_the_same_figure_is_the_same_html():
    again = make_figures()
    assert {n for n in NAMES if again[n]._repr_html_() != figures()[n]._repr_html_()} == set()


def test_json_holds_no_end_of_a_script():
    words = {"</script>": "<!-- ]]> & \u2028 \N{GREEK SMALL LETTER ALPHA}"}
    assert re.fullmatch(r"[^<>&\u2028]+", write_json(words))
    assert json.loads(write_json(words)) == words
    with pytest.raises(ValueError, match="Out of range"):
        write_json(float("nan"))


def test_colours_are_those_of_the_plots():
    found = re.findall(r"--color-(\d): (#[0-9a-f]{6});", read_file("style.css"))
    assert found == [(str(number), color) for number, color in enumerate(COLORS)]


# On one page: every figure twice, in the width that a phone of 320 pixels leaves.
LOOK = """
const blocks = [...document.querySelectorAll(".explorable")];
const seen = (element) => getComputedStyle(element).display !== "none";
const small = (element) => element.getBoundingClientRect().height < 43.9;
const look = (block) => ({
  name: block.dataset.name,
  live: "live" in block.dataset,
  told: block.querySelector(".told").textContent,
  inputs: block.querySelectorAll("input").length,
  labelled: [...block.querySelectorAll("input")].filter((one) => one.labels[0]?.textContent).length,
  unnamed: [...block.querySelectorAll("button, legend")].filter((one) => !one.textContent).length
    + [...block.querySelectorAll("svg, .live")].filter((one) => !one.ariaLabel).length,
  small: [...block.querySelectorAll("input, button")].filter(small).length,
  wide: [...block.querySelectorAll("*:not(.picture *)")]
    .filter((one) => one.getBoundingClientRect().right > 290.5)
    .map((one) => one.outerHTML.slice(0, 60)),
  still: seen(block.querySelector(".still")), controls: seen(block.querySelector(".live")),
});
const onScreen = blocks.map(look);
for (const sheet of document.styleSheets) {
  const printed = [...sheet.cssRules].filter((rule) => rule.media?.mediaText === "print");
  for (const rule of printed) rule.media.mediaText = "all";
}
const styles = document.head.querySelectorAll("style").length;
return { onScreen, inPrint: blocks.map(look), styles };
"""


@pytest.mark.slow
@in_browser
def test_figures_come_to_life_and_print_still(tmp_path):
    twice = [figure._repr_html_() for figure in figures().values() for _ in range(2)]
    looked = run_page(tmp_path, LOOK, blocks="".join(twice), width=290)
    assert looked["styles"] == 1
    assert [one["name"] for one in looked["onScreen"]] == [n for n in figures() for _ in range(2)]
    for one in looked["onScreen"]:
        assert one["live"] and one["controls"] and not one["still"]
        assert len(one["told"]) > 10
        assert one["inputs"] == one["labelled"] > 0
        assert one["unnamed"] == one["small"] == 0
        assert one["wide"] == []
    for one in looked["inPrint"]:
        assert one["still"] and not one["controls"]


@pytest.mark.slow
@in_browser
def test_a_notebook_brings_them_to_life(tmp_path):
    """JupyterLab sets an output as HTML, whose scripts do not run, and puts copies in."""
    program = """
    const output = document.body.appendChild(document.createElement("div"));
    output.innerHTML = given;
    const before = output.querySelectorAll("[data-live]").length;
    for (const script of output.querySelectorAll("script")) {
      const copy = document.createElement("script");
      for (const { name, value } of script.attributes) copy.setAttribute(name, value);
      copy.textContent = script.textContent;
      script.replaceWith(copy);
    }
    return [before, output.querySelectorAll("[data-live] .told").length];
    """
    html = "".join(figure._repr_html_() for figure in figures().values())
    given = f"const given = {write_json(html)};"
    assert run_page(tmp_path, given + program) == [0, len(NAMES)]


@pytest.mark.slow
@in_browser
def test_where_a_script_fails_the_still_figure_stays(tmp_path):
    html = figures()["center_steps"]._repr_html_()
    broken = re.sub(r'"people":\[.*?\]\]\]', '"people":null', html)
    assert broken != html
    program = """
    const block = document.querySelector(".explorable");
    document.title = "test";  // its error is expected
    return ["live" in block.dataset, getComputedStyle(block.querySelector(".still")).display];
    """
    assert run_page(tmp_path, program, blocks=broken) == [False, "block"]
