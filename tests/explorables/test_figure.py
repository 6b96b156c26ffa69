"""What every explorable figure is: one piece of HTML that needs nothing, and a still one."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from headless_chromium import CHROMIUM, in_browser
from made_up_figures import make_figures
from running_scripts import evaluate_script, run_page, use_figure

import facenet_lib.explorables
from facenet_lib import explorables
from facenet_lib.errors import FacenetError
from facenet_lib.explorables.figure import Explorable, read_file, write_json
from facenet_lib.plots import COLORS

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
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


@pytest.mark.parametrize(
    ("value", "told"),
    [([np.int64(3)], "int64"), ({"rate": np.nan}, "JSON compliant"), ({3 + 2j: 1}, "complex")],
)
def test_data_that_json_cannot_hold_are_refused_when_the_figure_is_made(value, told):
    with pytest.raises(FacenetError, match=rf"center_steps: data\['people'\]: expected .*{told}"):
        Explorable("center_steps", "A figure", {"alpha": 0.5, "people": value}, b"", "Words.")


def test_a_figure_without_a_script_is_refused_when_it_is_made():
    with pytest.raises(FacenetError, match=r"no_figure\.js: expected a file"):
        Explorable("no_figure", "A figure", {}, b"", "Words.")


def test_colours_are_those_of_the_plots():
    found = re.findall(r"--color-(\d): (#[0-9a-f]{6});", read_file("style.css"))
    assert found == [(str(number), color) for number, color in enumerate(COLORS)]


# On one page: every figure twice, in the width that a phone of 320 pixels leaves. What is too wide
# is looked for at each choice with all sliders at either of their ends, too.
LOOK = """
const blocks = [...document.querySelectorAll(".explorable")];
const seen = (element) => getComputedStyle(element).display !== "none";
const small = (element) => element.getBoundingClientRect().height < 43.9;
const tooWide = (block) => [...block.querySelectorAll("*:not(.picture *)")]
  .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 60)])
  .filter(([{ left, right }]) => left < -0.5 || right > 290.5);
const tooWideAtEnds = (block) => {
  const sliders = [...block.querySelectorAll("input")];
  return Array.from({ length: 2 ** sliders.length }, (_, ends) => {
    sliders.forEach((slider, number) => {
      slider.value = ends >> number & 1 ? slider.max : slider.min;
      slider.dispatchEvent(new Event("input"));
    });
    return tooWide(block);
  }).flat();
};
const look = (block) => ({
  name: block.dataset.name,
  live: "live" in block.dataset,
  told: block.querySelector(".told").textContent,
  inputs: block.querySelectorAll("input").length,
  labelled: [...block.querySelectorAll("input")].filter((one) => one.labels[0]?.textContent).length,
  unnamed: [...block.querySelectorAll("button, legend")].filter((one) => !one.textContent).length
    + [...block.querySelectorAll("svg, .live")].filter((one) => !one.ariaLabel).length,
  small: [...block.querySelectorAll("input, button")].filter(small).length,
  wide: tooWide(block),
  still: seen(block.querySelector(".still")), controls: seen(block.querySelector(".live")),
});
const onScreen = blocks.map(look);
const atEnds = blocks.flatMap((block) => (
  [...block.querySelectorAll("button"), block].flatMap((choice) => {
    choice.click();
    return tooWideAtEnds(block);
  })
));
for (const sheet of document.styleSheets) {
  const printed = [...sheet.cssRules].filter((rule) => rule.media?.mediaText === "print");
  for (const rule of printed) rule.media.mediaText = "all";
}
const styles = document.head.querySelectorAll("style").length;
return { onScreen, atEnds, inPrint: blocks.map(look), styles };
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
    assert looked["atEnds"] == []
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
    const said = document.title;
    document.title = "test";  // its error is expected
    return [said, [...document.querySelectorAll(".explorable")].map((block) => [
      "live" in block.dataset, getComputedStyle(block.querySelector(".still")).display,
      block.querySelector(".live").childElementCount,
    ])];
    """
    # The second figure's script finds both; then each figure has its own.
    without_script = re.sub(r"(?s)<script>.*?</script>", "", broken)
    for blocks in (without_script + html, broken + html):
        said, (first, second) = run_page(tmp_path, program, blocks=blocks)
        assert "null" in said
        assert first == [False, "block", 0]
        assert second[:2] == [True, "none"] and second[2] > 0


@pytest.mark.slow
@in_browser
def test_numbers_are_written_short_and_with_true_minuses(tmp_path):
    cases = {
        "short(-2.5e6)": f"{MINUS}2.5 {TIMES} 10\N{SUPERSCRIPT SIX}",
        "short(-1e-6)": f"{MINUS}10\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT SIX}",
        "short(1e6)": "10\N{SUPERSCRIPT SIX}",
        "short(-0.25)": f"{MINUS}0.25",
        "short(0)": "0",
        "percent(0.0001)": "0.01%",
        "percent(0.12345)": "12.3%",
        "percent(0.9994)": "99.9%",
        "percent(0.9996)": "over 99.9%",
        "percent(1)": "100%",
        "ticks([1, 2], { whole: true })": [1, 2],
        "ticks([0, 5], { whole: true })": [0, 1, 2, 3, 4, 5],
        "ticks([1, 60], { whole: true })": [20, 40, 60],
        "ticks([0, 1], {})": [0, 0.2, 0.4, 0.6, 0.8, 1],
        "ticks([1, 1000], { logarithmic: true })": [1, 10, 100, 1000],
    }
    found = evaluate_script("center_steps", None, f"[{', '.join(cases)}]", tmp_path)
    assert dict(zip(cases, found, strict=True)) == cases


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("name", ["center_steps", "pair_distances"])
def test_what_is_of_no_one_person_has_no_persons_colour(name, tmp_path):
    program = """
    const plot = block.querySelectorAll(".plots svg")[1];
    const look = (kind) => getComputedStyle(plot.querySelector(kind));
    return [look("path.line").stroke, look("circle").fill, getComputedStyle(plot).color];
    """
    stroke, fill, color = use_figure(figures()[name], program, tmp_path)
    assert stroke == fill == color


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A figure in a browser with a mouse and a finger, whose clock stands still."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = tmp_path_factory.mktemp("figure") / "page.html"
    html = figures()["pair_distances"]._repr_html_()
    path.write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu"], chromium_sandbox=False
        )
        page = browser.new_page(has_touch=True, viewport={"width": 700, "height": 900})
        page.set_default_timeout(300_000)  # only a fault takes so long
        page.clock.install(time=0)
        page.goto(path.as_uri())
        page.clock.pause_at(10_000)
        yield page
        browser.close()


def threshold_and_plot(page):
    """The slider of the threshold; its plot's left end, width, and height of bars on the page."""
    box = page.locator(".plots svg").first.bounding_box()
    return page.get_by_role("slider"), box["x"], box["width"], box["y"] + 0.8 * box["height"]


@pytest.mark.slow
@in_browser
def test_a_mouse_drags_on_outside_the_plot_with_its_first_button(page):
    slider, left, width, y = threshold_and_plot(page)
    start = slider.input_value()
    page.mouse.move(left + 0.9 * width, y)
    page.mouse.down(button="right")
    page.mouse.move(left + 0.8 * width, y)
    page.mouse.up(button="right")
    assert slider.input_value() == start
    page.mouse.move(left + 0.9 * width, y)
    page.mouse.down()
    assert slider.input_value() != start
    page.mouse.move(left + 0.9 * width, y + 400)
    page.mouse.move(left + 2, y + 400)
    page.mouse.up()
    page.mouse.move(left + 0.5 * width, y)
    assert slider.input_value() == "0"


@pytest.mark.slow
@in_browser
def test_a_finger_drags_on_where_what_it_touched_is_drawn_anew(page):
    slider, left, width, y = threshold_and_plot(page)
    finger = page.context.new_cdp_session(page)

    def touch(kind, *shares, below=0):
        points = [{"x": left + share * width, "y": y + below} for share in shares]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        return int(slider.input_value())

    first = touch("touchStart", 0.4)
    touch("touchMove", 0.45)
    for share in (0.6, 0.7, 0.8):
        touch("touchMove", share, below=200)
    assert touch("touchEnd") > 2 * first  # by then the moves have come


@pytest.mark.slow
@in_browser
def test_words_are_spoken_once_a_slider_rests(page):
    page.clock.run_for(2000)
    told, spoken = page.locator(".told"), page.get_by_role("status")
    page.get_by_role("slider").focus()
    before = spoken.text_content()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        page.clock.run_for(300)
        assert spoken.text_content() == before != told.text_content()
    page.clock.run_for(1000)
    assert spoken.text_content() == told.text_content() != before
    assert spoken.bounding_box()["width"] <= 1
