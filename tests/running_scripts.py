"""Scripts of explorable figures in headless Chromium, which is left without a network."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from headless_chromium import chromium_command

from facenet_lib.explorables.figure import Explorable, read_script, write_json

# The last script reports what it returns, or how it failed; so does any that fails before it.
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title>
<script>addEventListener("error", (event) => { document.title = event.message; });</script>
<body style="margin: 0; width: WIDTHpx">BLOCKS<pre></pre><script>
SCRIPT
const report = (() => { PROGRAM })();
document.querySelector("pre").textContent = JSON.stringify({ report, failed: document.title });
</script></body></html>"""


def run_page(tmp_path: Path, program: str, blocks: str = "", script: str = "", width: int = 700):
    """Return what a program's ``return`` gives on a page with these blocks and this script."""
    parts = {"WIDTH": str(width), "BLOCKS": blocks, "SCRIPT": script, "PROGRAM": program}
    page = re.sub("|".join(parts), lambda found: parts[found[0]], PAGE)
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    command = chromium_command(path.as_uri(), tmp_path / "profile", "--dump-dom")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r"<pre>(.+?)</pre>", done.stdout, re.DOTALL)
    assert found, f"the page did not answer: {done.stdout[-500:]}"
    answer = json.loads(html.unescape(found[1]))
    assert answer["failed"] == "test", answer["failed"]
    return answer["report"]


def evaluate_script(name: str, given: Any, expression: str, tmp_path: Path) -> Any:
    """Return what an expression in the functions of a figure's script makes of what is given."""
    program = f"const given = {write_json(given)}; return {expression};"
    return run_page(tmp_path, program, script=read_script(name))


# What a person does with a figure; a key on a slider sends the same event.
HANDS = """
const block = document.querySelector(".explorable");
const told = () => block.querySelector(".told").textContent;
const slide = (number, value) => {
  const slider = block.querySelectorAll("input")[number];
  slider.value = value;
  slider.dispatchEvent(new Event("input"));
};
const press = (words) => {
  [...block.querySelectorAll("button")].find((one) => one.textContent.includes(words)).click();
};
const touch = (number, share) => {
  const plot = block.querySelectorAll(".plots svg")[number];
  const { left, top, width } = plot.getBoundingClientRect();
  const at = { clientX: left + share * width, clientY: top + 50, buttons: 1 };
  plot.dispatchEvent(new PointerEvent("pointerdown", at));
};
"""


def use_figure(figure: Explorable, program: str, tmp_path: Path, width: int = 700) -> Any:
    """Return what a program reports that has :data:`HANDS` on a figure."""
    return run_page(tmp_path, HANDS + program, blocks=figure._repr_html_(), width=width)
