"""The local server's page, in headless Chromium: what a person does with it and what is then seen.

A small server of the tests stands in for the model, so that every answer, the bad ones too, can
be asked for; one test at the end uses the real server. The page is served with the same
Content-Security-Policy as there. Scripts of the tests do what a person would do.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from headless_chromium import in_browser, open_browser
from PIL import Image

from facenet_lib.serving.page_files import read_page_file

PAGE = Path(__file__).parents[2] / "facenet_lib" / "serving" / "pages"
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/script.js": ("script.js", "text/javascript"),
}
FILES_WITH_GALLERY = FILES | {
    "/page/who.css": ("who.css", "text/css"),
    "/page/who.js": ("who.js", "text/javascript"),
}
MODEL = {
    "name": "facenet",
    "version": 3,
    "threshold": 1.125,
    "crop_size": 32,
    "frame_size": None,
    "image_size": 32,
    "faces": 4,
    "max_body_bytes": 400_000,
    "card": {
        "max_pixels": 10_000,
        "training": {"identities": 240, "steps": 960, "precision": "float32"},
        "accuracy": 0.9813,
        "standard_error": 0.0043,
        "false_accept_rate": 0.001,
        "limits": ["Faces must be upright."],
    },
}


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", **options)
    return file.getvalue()


FACES = [jpeg((60 * number, 90, 120)) for number in range(MODEL["faces"])]
TIMES = "\N{MULTIPLICATION SIGN}"
DAMAGED = b"\xff\xd8\xff\xe0 the start of a JPEG, and no more"


# --- A server that answers as it is told ------------------------------------------------------


@dataclass
class Server:
    """What the tests' server says, and what it was asked."""

    model: dict[str, Any] = field(default_factory=lambda: dict(MODEL))
    distance: float = 0.5
    files: dict[str, bytes] = field(default_factory=dict)
    script: str = ""
    loading: int = 0  # so many requests for the model are answered with 503
    gone: bool = False  # hangs up when it is to predict
    failures: list[tuple[int, str]] = field(default_factory=list)
    slow_first: bool = False
    asked: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    named: list[dict[str, Any]] = field(default_factory=list)  # the faces of every photograph
    upstream: str = ""  # the real server, when that is to answer
    address: str = ""
    report: Any = None
    reported: threading.Event = field(default_factory=threading.Event)

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        inputs = {
            name: [base64.b64decode(image["b64"], validate=True) for image in images]
            for name, images in request["inputs"].items()
        }
        if request["signature_name"] == "serving_default":
            valid = [image != DAMAGED for image in inputs["images"]]
            return {"outputs": {"embeddings": [[0.0]] * len(valid), "valid": valid}}
        if request["signature_name"] == "faces":
            return {"outputs": self.faces_of(inputs["photographs"])}
        assert request["signature_name"] == "verify"
        pairs = list(zip(inputs["images_a"], inputs["images_b"], strict=True))
        outputs = {
            "distances": [self.distance] * len(pairs),
            "valid": [DAMAGED not in pair for pair in pairs],
        }
        if self.model["threshold"] is not None:
            outputs["same"] = [self.distance < self.model["threshold"]] * len(pairs)
        return {"outputs": outputs}

    def faces_of(self, photographs: list[bytes]) -> dict[str, Any]:
        """In each photograph two faces, a bystander's and one in the middle; none in grey ones."""
        outputs: dict[str, Any] = {name: [] for name in ("decoded", "valid", "boxes", "embeddings")}
        for photograph in photographs:
            shows_faces = photograph != DAMAGED and photograph != self.files.get("grey.jpg")
            outputs["decoded"].append(photograph != DAMAGED)
            outputs["valid"].append([shows_faces, shows_faces, False])
            outputs["boxes"].append([[0, 0, 30, 30], [36, 40, 56, 60], [0, 0, 0, 0]])
            turn = photograph == self.files.get("b.jpg")
            outputs["embeddings"].append([[0.6, 0.8], [0.8, 0.6] if turn else [1, 0], [0, 0]])
        return outputs

    def identify(self, request: dict[str, Any]) -> dict[str, Any]:
        [photograph] = request["photographs"]
        decoded = base64.b64decode(photograph["b64"], validate=True) != DAMAGED
        shows_faces = decoded and photograph != b64(self.files.get("grey.jpg", b""))
        answer = {"decoded": decoded, "faces": self.named if shows_faces else []}
        return {"threshold": self.model["gallery"]["threshold"], "photographs": [answer]}


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def with_driver(page: bytes) -> bytes:
    return page.replace(b"</body>", b'<script type="module" src="/test/driver.js"></script></body>')


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send(self, content: bytes | str, kind: str, status: int = 200, policy: str = "") -> None:
        content = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(content)

    def send_json(self, answer: dict[str, Any], status: int = 200) -> None:
        self.send(json.dumps(answer), "application/json", status)

    def forward(self, body: bytes | None = None) -> None:
        """Let the real server answer, and put the script of the test into its page."""
        headers = {name: self.headers[name] for name in ("Content-Type",) if self.headers[name]}
        if self.headers["Origin"]:
            headers["Origin"] = self.state.upstream
        request = urllib.request.Request(self.state.upstream + self.path, body, headers)
        with urllib.request.urlopen(request, timeout=300) as answer:
            content = answer.read()
            policy = answer.headers["Content-Security-Policy"] or ""
            content = with_driver(content) if self.path == "/" else content
            self.send(content, answer.headers["Content-Type"], answer.status, policy)

    def do_GET(self) -> None:
        state, path = self.state, self.path.partition("?")[0]
        if not path.startswith("/test/"):
            state.asked.append(f"GET {path}")
            state.hosts.add(self.headers["Host"])
        face = re.fullmatch(r"/page/faces/(\d)\.jpg", path)
        if state.upstream and not path.startswith("/test/"):
            self.forward()
        elif path == "/":
            page = read_page_file("index.html", with_gallery="gallery" in state.model)
            self.send(with_driver(page), FILES["/"][1], policy=POLICY)
        elif path in FILES_WITH_GALLERY:
            name, kind = FILES_WITH_GALLERY[path]
            self.send((PAGE / name).read_bytes(), kind)
        elif face:
            self.send(FACES[int(face[1])], "image/jpeg")
        elif path == "/page/model" and state.loading:
            state.loading -= 1
            self.send_json({"error": "facenet is being loaded"}, 503)
        elif path == "/page/model":
            self.send_json(state.model)
        elif path == "/test/back":
            state.gone = False
            self.send_json({})
        elif path == "/test/driver.js":
            self.send(DRIVER.replace("/* what the test does */", state.script), "text/javascript")
        elif path == "/test/frame":
            width = self.path.partition("?")[2]
            self.send(FRAME.replace("WIDTH", width), "text/html")
        elif path.removeprefix("/test/files/") in state.files:
            content = state.files[path.removeprefix("/test/files/")]
            self.send(content, "application/octet-stream")
        else:
            self.send_json({"error": f"Not found: {path}"}, 404)

    def do_POST(self) -> None:
        state = self.state
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/test/report":
            self.send_json({})
            state.report = request
            state.reported.set()
            return
        state.asked.append(f"POST {self.path}")
        if state.upstream:
            self.forward(json.dumps(request).encode())
        elif state.gone:
            self.close_connection = True
        elif state.failures:
            status, error = state.failures.pop(0)
            self.send_json({"error": error}, status)
        else:
            asked = state.identify if self.path.endswith(":identify") else state.predict
            answer = asked(request)
            state.predictions.append(request)
            if state.slow_first and len(state.predictions) == 1:
                time.sleep(1.5)
            self.send_json(answer)


@contextmanager
def serving(state: Server) -> Iterator[Server]:
    handler = type("Handler", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        state.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield state
        finally:
            server.shutdown()


# --- A person at the page ---------------------------------------------------------------------

# Hands and eyes for the scripts of the tests. What report() is given becomes the test's.
DRIVER = """
const $ = (selector) => document.querySelector(selector);
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const until = async (isSo) => { while (!isSo()) await wait(20); };
const state = () => $(".answer").dataset.state;
const settled = async () => {
  await wait(30);
  await until(() => !["idle", "working"].includes(state()));
};
const ready = () => until(() => document.querySelectorAll(".faces img").length > 0);
const pick = (number) => document.querySelectorAll(".faces button")[number].click();
const shown = (id) => until(() => !$(`#${id} .about`).hidden);
const file = async (name) => new File([await (await fetch(`/test/files/${name}`)).blob()], name);
const transfer = (...files) => {
  const data = new DataTransfer();
  files.forEach((one) => data.items.add(one));
  return data;
};
const choose = async (id, name) => {
  const input = $(`#${id} input`);
  input.files = transfer(await file(name)).files;
  input.dispatchEvent(new Event("change"));
};
const pickTwo = async () => {
  await ready(); pick(0); await shown("first"); pick(1); await settled();
};
const text = (selector) => $(selector).textContent;
const answer = () => ({
  state: state(), decision: text(".decision"), reason: text(".reason"), again: !$(".again").hidden,
  pin: $(".pin").hidden ? null : text(".pin"), caveat: $(".caveat").hidden ? "" : text(".caveat"),
  threshold: $(".threshold").hidden ? null : text(".threshold"), scale: $(".scale").ariaLabel,
});
const pixels = (id) => {
  const canvas = $(`#${id} .crop`);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return { width, height, rgba: [...data] };
};
const report = (found) => fetch("/test/report", { method: "POST", body: JSON.stringify(found) });
addEventListener("unhandledrejection", (event) => report({ failed: String(event.reason) }));
addEventListener("error", (event) => report({ failed: event.message }));
/* what the test does */
"""

# A frame as wide as a phone, because a headless window has a least width of its own.
FRAME = """<!doctype html><link rel="icon" href="data:,"><body>
<iframe src="/" width="WIDTH" height="844" style="border: 0"></iframe></body>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


def browse(state: Server, browser: Any, script: str, address: str = "/", dark: bool = False) -> Any:
    """Open the page as a new visitor, let the script act on it, and return what it reports."""
    state.script = script
    state.reported.clear()
    scheme = "dark" if dark else "light"
    viewport = {"width": 1280, "height": 900}
    with browser.new_context(color_scheme=scheme, viewport=viewport) as visitor:
        visitor.new_page().goto(state.address + address, wait_until="commit")
        assert state.reported.wait(300), f"the page reported nothing; asked: {state.asked}"
    assert not (isinstance(state.report, dict) and "failed" in state.report), state.report
    return state.report


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as state:
        yield state


@dataclass
class Source(HTMLParser):
    """What the page's own HTML refers to and what it holds inline."""

    addresses: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    _script: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.feed((PAGE / "index.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag in ("script", "style")
        for name, value in attrs:
            if name in ("src", "href", "action", "srcset", "poster"):
                self.addresses.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


def test_page_refers_to_its_own_files_only_and_has_nothing_inline():
    source = Source()
    files = ["page/script.js", "page/style.css", "page/who.css", "page/who.js"]
    assert sorted(source.addresses) == ["#who", "data:,", *files]
    assert source.inline == []
    for name in ("style.css", "script.js", "who.css", "who.js"):
        assert not re.search(r"https?://|@import|url\(", (PAGE / name).read_text("utf-8"))


@pytest.mark.slow
@in_browser
def test_two_faces_of_one_person(server, browser):
    found = browse(
        server,
        browser,
        """
        await pickTwo();
        const bar = $(".bar").getBoundingClientRect();
        const place = (part) => (part.getBoundingClientRect().right - bar.left) / bar.width;
        report({
          ...answer(), names: [text("#first .name"), text("#second .name")],
          within: place($(".within")), facts: text(".facts"), further: text(".further ul"),
          live: $(".decision").parentElement.ariaLive, host: text(".host"), title: document.title,
          cookie: document.cookie, stored: localStorage.length + sessionStorage.length,
        });
        """,
    )
    assert (found["state"], found["decision"]) == ("same", "Same person")
    assert found["reason"] == "The distance, 0.500, is below the threshold, 1.125."
    assert found["pin"] == "0.500"
    assert found["threshold"] == "threshold 1.125"
    assert "distance 0.500" in found["scale"] and "threshold 1.125" in found["scale"]
    assert found["within"] == pytest.approx(1.125 / 4, abs=0.005)
    assert "98.1% ± 0.4% of the pairs" in found["caveat"]
    assert found["names"] == ["Drawn face 1", "Drawn face 2"]
    assert "240 people, 960 steps" in found["facts"]
    assert "1.125, chosen for a false accept rate of 0.1%" in found["facts"]
    assert found["further"] == "Faces must be upright."
    assert found["live"] == "polite"
    assert found["host"] == server.address.removeprefix("http://")
    assert (found["cookie"], found["stored"]) == ("", 0)

    [request] = server.predictions
    assert request["signature_name"] == "verify"
    sent = [request["inputs"][name] for name in ("images_a", "images_b")]
    assert sent == [[{"b64": base64.b64encode(face).decode()}] for face in FACES[:2]]
    # Nothing else was asked, and nobody else.
    assert server.hosts == {found["host"]}
    paths = {*FILES, "/page/model", *(f"/page/faces/{number}.jpg" for number in range(4))}
    posts = "POST /v1/models/facenet:predict"
    assert set(server.asked) == {*(f"GET {path}" for path in paths), posts}


@pytest.mark.slow
@in_browser
def test_distance_stands_at_its_place_on_the_scale(server, browser):
    server.distance = 3.0
    found = browse(
        server,
        browser,
        """
        await pickTwo();
        const bar = $(".bar").getBoundingClientRect();
        const pin = $(".pin").getBoundingClientRect();
        const line = getComputedStyle(document.querySelector(".place"), "::after");
        const length = (name) => parseFloat(line[name]);
        report({
          ...answer(), label: (pin.left + pin.width / 2 - bar.left) / bar.width,
          line: (length("left") + length("marginLeft") + length("width") / 2) / bar.width,
        });
        """,
    )
    assert (found["state"], found["decision"]) == ("different", "Different people")
    assert found["reason"] == "The distance, 3.000, is above the threshold, 1.125."
    assert found["label"] == pytest.approx(3 / 4, abs=0.005)
    assert found["line"] == pytest.approx(3 / 4, abs=0.005)


@pytest.mark.slow
@in_browser
def test_model_without_threshold_and_figures_decides_nothing(server, browser):
    server.model |= {"threshold": None, "card": {}}
    found = browse(server, browser, "await pickTwo(); report(answer());")
    assert (found["state"], found["decision"]) == ("undecided", "No decision")
    assert "0.500" in found["reason"] and "no threshold" in found["reason"]
    assert found["pin"] == "0.500"
    assert found["threshold"] is None
    assert "was not measured" in found["caveat"]


@pytest.mark.slow
@in_browser
def test_image_that_the_server_cannot_read_is_named(server, browser):
    server.files["broken.jpg"] = DAMAGED
    found = browse(
        server,
        browser,
        """
        await ready(); pick(0); await shown("first");
        await choose("second", "broken.jpg"); await settled();
        const damaged = answer();
        pick(1); await until(() => text("#first .name") === "Drawn face 2");
        pick(2); await until(() => text("#second .name") === "Drawn face 3");
        await settled();
        report({ damaged, mended: answer() });
        """,
    )
    assert found["damaged"]["decision"] == "Image cannot be read"
    assert found["damaged"]["reason"] == "broken.jpg cannot be decoded: the file is damaged."
    assert found["damaged"]["pin"] is None
    assert found["mended"]["state"] == "same"


@pytest.mark.slow
@in_browser
def test_too_many_pixels_are_told(server, browser, monkeypatch):
    server.files["wide.jpg"] = jpeg((9, 9, 9), (400, 300))
    monkeypatch.setitem(globals(), "DAMAGED", server.files["wide.jpg"])
    script = """
        await ready(); pick(0); await shown("first");
        await choose("second", "wide.jpg"); await settled();
        report({ ...answer(), limits: text("#limits"), seen: text("#second .seen") });
    """
    found = browse(server, browser, script)
    assert found["reason"] == f"wide.jpg has 400 {TIMES} 300 pixels, more than 0.01 megapixels."
    assert "up to 0.1 MB and 0.01 megapixels each" in found["limits"]
    assert f"Seen: 32 {TIMES} 32 of 400 {TIMES} 300 pixels." in found["seen"]
    assert "Cut the photograph to the face first." in found["seen"]


@pytest.mark.slow
@in_browser
def test_what_cannot_be_sent_is_refused_before_it_is(server, browser):
    server.files |= {
        "huge.jpg": FACES[0] + bytes(200_000),
        "notes.txt": b"Dear diary",
        "no.png": b"",
    }
    found = browse(
        server,
        browser,
        """
        await ready(); pick(0); await shown("first");
        const complaints = [];
        for (const name of ["huge.jpg", "notes.txt", "no.png"]) {
          await choose("second", name);
          await until(() => text("#second .complaint").startsWith(name));
          complaints.push(text("#second .complaint"));
        }
        report({ complaints, ...answer() });
        """,
    )
    assert found["complaints"] == [
        "huge.jpg has 0.2 MB; at most 0.1 MB can be sent.",
        "notes.txt is not a JPEG or PNG file.",
        "no.png is not a JPEG or PNG file.",
    ]
    assert found["state"] == "idle"
    assert server.predictions == []


@pytest.mark.slow
@in_browser
def test_no_answer_of_the_pair_before_stays_beside_a_file_that_is_refused(server, browser):
    server.files |= {"notes.txt": b"Dear diary"}
    found = browse(
        server,
        browser,
        """
        await pickTwo();
        const before = answer();
        await choose("second", "notes.txt");
        await until(() => text("#second .complaint"));
        await until(() => state() === "idle");
        const refused = {
          ...answer(), complaint: text("#second .complaint"), prompt: !$("#second .prompt").hidden,
          crop: !$("#second .crop").hidden, about: !$("#second .about").hidden,
          label: $("#second .frame").ariaLabel, first: text("#first .name"),
        };
        pick(2); await settled();
        report({ before, refused, after: answer(), complaint: $("#second .complaint").hidden });
        """,
    )
    assert found["before"]["decision"] == "Same person"
    refused = found["refused"]
    assert refused["complaint"] == "notes.txt is not a JPEG or PNG file."
    assert (refused["decision"], refused["pin"]) == ("None yet", None)
    assert refused["reason"] == "Choose one more photograph."
    assert (refused["prompt"], refused["crop"], refused["about"]) == (True, False, False)
    assert (refused["label"], refused["first"]) == (None, "Drawn face 1")
    assert found["after"]["decision"] == "Same person"  # the next face took the empty place
    assert found["complaint"]


@pytest.mark.slow
@in_browser
def test_no_late_answer_comes_beside_a_file_that_is_refused(server, browser):
    server.slow_first = True
    server.files |= {"notes.txt": b"Dear diary"}
    found = browse(
        server,
        browser,
        """
        await ready(); pick(0); await shown("first"); pick(1);
        await until(() => state() === "working"); await wait(300);
        await choose("first", "notes.txt"); await until(() => text("#first .complaint"));
        await wait(2000);
        report(answer());
        """,
    )
    assert len(server.predictions) == 1
    assert (found["state"], found["decision"]) == ("idle", "None yet")


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("width, height", [(20, 9), (32, 31), (200, 20)])
def test_photograph_smaller_than_the_window_is_told(server, browser, width, height):
    server.files = {"small.jpg": jpeg((9, 9, 9), (width, height)), "fits.jpg": FACES[0]}
    script = """
        await ready(); await choose("first", "small.jpg"); await shown("first");
        await choose("second", "fits.jpg"); await settled();
        report([text("#first .seen"), text("#second .seen"), answer()]);
    """
    small, fits, answered = browse(server, browser, script)
    wide, high = min(width, 32), min(height, 32)
    told = f"Seen: {wide} {TIMES} {high} of {width} {TIMES} {height} pixels."
    told += f" Smaller than the 32 {TIMES} 32 that the model wants: the rest is black."
    assert small == told + (" Cut the photograph to the face first." if width == 200 else "")
    assert fits == f"Seen: 32 {TIMES} 32 of 32 {TIMES} 32 pixels."
    assert answered["state"] == "same"


@pytest.mark.slow
@in_browser
def test_largest_photographs_that_the_page_allows_fit_the_limit(server, browser):
    # The limit as the page tells it: (400,000 - 1,024) / 2 in base64.
    largest = 149_616
    server.files["a.jpg"] = FACES[0] + bytes(largest - len(FACES[0]))
    server.files["b.jpg"] = server.files["a.jpg"] + b"x"
    found = browse(
        server,
        browser,
        """
        await ready(); await choose("first", "a.jpg"); await shown("first");
        await choose("second", "a.jpg"); await settled();
        await choose("second", "b.jpg"); await until(() => text("#second .complaint"));
        report(text("#second .complaint"));
        """,
    )
    assert found.startswith("b.jpg has 0.1 MB")
    [request] = server.predictions
    assert len(json.dumps(request)) <= MODEL["max_body_bytes"]


@pytest.mark.slow
@in_browser
def test_server_that_is_gone_or_refuses_is_told_and_asked_again(server, browser):
    server.gone = True
    server.failures = [(400, "no such signature"), (413, "body too large"), (503, "too busy")]
    found = browse(
        server,
        browser,
        """
        await pickTwo();
        const answers = [answer()];
        await fetch("/test/back");
        while (answers.length < 5) {
          $(".answer").dataset.state = "working"; // as it is once the model has been asked for
          $(".again").click(); await settled();
          answers.push(answer());
        }
        report(answers);
        """,
    )
    gone, refused, large, busy, fine = found
    assert (gone["state"], gone["decision"], gone["again"]) == ("problem", "No answer", True)
    assert "cannot be reached" in gone["reason"]
    assert refused["reason"] == "The server refused the request: no such signature"
    assert (large["decision"], busy["decision"]) == ("Too large", "Not ready")
    assert "body too large" in large["reason"] and "too busy" in busy["reason"]
    assert (fine["state"], fine["again"]) == ("same", False)


@pytest.mark.slow
@in_browser
def test_page_waits_while_the_model_is_being_loaded(server, browser):
    server.loading = 2
    script = """
        await until(() => text(".decision") === "Not ready yet");
        const waiting = answer();
        await pickTwo();
        report([waiting, answer()]);
    """
    waiting, then = browse(server, browser, script)
    assert "facenet is being loaded" in waiting["reason"]
    assert then["state"] == "same"


@pytest.mark.slow
@in_browser
def test_late_answer_does_not_replace_a_newer_one(server, browser):
    server.slow_first = True
    server.files["broken.jpg"] = DAMAGED
    found = browse(
        server,
        browser,
        """
        await ready(); pick(0); await shown("first"); pick(1);
        await until(() => state() === "working"); await wait(300);
        await choose("second", "broken.jpg");
        await settled(); await wait(2000);
        report(answer());
        """,
    )
    assert len(server.predictions) == 3  # the slow pair, then the damaged one and which of it
    assert found["state"] == "unreadable"


@pytest.mark.slow
@in_browser
def test_drop_paste_and_drag_of_a_drawn_face(server, browser):
    server.files |= {"a.jpg": FACES[2], "b.jpg": FACES[3]}
    found = browse(
        server,
        browser,
        """
        await ready();
        const names = () => [text("#first .name"), text("#second .name")];
        const drop = (id, dataTransfer) => $(`${id}`).dispatchEvent(
          new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        const [a, b] = [await file("a.jpg"), await file("b.jpg")];
        drop("#second .frame", transfer(a)); await shown("second");
        const one = names();
        drop("body", transfer(a, b)); await until(() => names().join() === "a.jpg,b.jpg");
        await settled();
        $("input[name=next][value=first]").checked = true;
        dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer(b) }));
        await until(() => names().join() === "b.jpg,b.jpg");
        const data = new DataTransfer();
        document.querySelectorAll(".faces button")[1].dispatchEvent(
          new DragEvent("dragstart", { dataTransfer: data }));
        drop("#second .crop", data); await until(() => names()[1] === "Drawn face 2");
        await settled();
        report({ one, names: names(), next: $("input[name=next]:checked").value });
        """,
    )
    assert found["one"] == ["", "a.jpg"]
    assert found["names"] == ["b.jpg", "Drawn face 2"]
    assert found["next"] == "first"
    last = server.predictions[-1]["inputs"]
    assert base64.b64decode(last["images_a"][0]["b64"]) == FACES[3]
    assert base64.b64decode(last["images_b"][0]["b64"]) == FACES[1]


# --- The crop ---------------------------------------------------------------------------------


def numbered_pixels(height: int, width: int) -> np.ndarray:
    """An image whose every pixel says where it is."""
    down, right = np.mgrid[:height, :width]
    return np.stack([1 + down, 1 + right, np.full_like(down, 200)], axis=-1).astype(np.uint8)


def encoded(image: np.ndarray, kind: str, orientation: int | None = None) -> bytes:
    picture, file = Image.fromarray(image), io.BytesIO()
    exif = picture.getexif()
    if orientation:
        exif[0x0112] = orientation
    picture.save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("frame_size", [None, 51])
def test_crop_is_the_window_that_the_network_sees(server, browser, frame_size):
    pytest.importorskip("tensorflow")
    from facenet_lib.input_pipeline import Preprocessing, preprocess

    server.model |= {"crop_size": 32, "frame_size": frame_size}
    sizes = [(32, 32), (33, 50), (64, 71), (120, 31), (9, 20), (1, 1), (52, 200)]
    images = [numbered_pixels(*size) for size in sizes]
    server.files = {
        f"{number}.png": encoded(image, "PNG", orientation=6 if number % 2 else None)
        for number, image in enumerate(images)
    }
    found = browse(
        server,
        browser,
        """
        await ready();
        const crops = [];
        for (let number = 0; number < COUNT; number++) {
          await choose("first", `${number}.png`);
          await until(() => text("#first .name") === `${number}.png`);
          crops.push(pixels("first"));
        }
        report(crops);
        """.replace("COUNT", str(len(images))),
    )
    preprocessing = Preprocessing(image_size=32, frame_size=frame_size)
    for number, (image, crop) in enumerate(zip(images, found, strict=True)):
        upright = np.rot90(image, -1) if number % 2 else image
        seen = np.asarray(preprocess(upright[np.newaxis], preprocessing))[0] * 128 + 127.5
        shown = np.reshape(crop["rgba"], (crop["height"], crop["width"], 4))[..., :3]
        np.testing.assert_array_equal(shown, np.rint(seen), err_msg=str(image.shape))


@pytest.mark.slow
@in_browser
def test_a_camera_that_was_held_sideways_changes_nothing(server, browser):
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 32:] = 255
    server.files = {
        "1.jpg": encoded(image, "JPEG", 1),
        "6.jpg": encoded(np.rot90(image), "JPEG", 6),
    }
    script = """
        await ready(); await choose("first", "1.jpg"); await shown("first");
        await choose("second", "6.jpg"); await shown("second");
        report([pixels("first"), pixels("second"), text("#second .seen")]);
    """
    plain, turned, seen = browse(server, browser, script)
    assert turned == plain
    assert plain["rgba"][0] < 20 and plain["rgba"][4 * 31] > 235
    assert f"of 64 {TIMES} 32 pixels" in seen


# --- A model that finds faces -----------------------------------------------------------------


@pytest.mark.slow
@in_browser
def test_the_faces_near_the_middle_are_compared(server, browser):
    alignment = {"detector": "any", "crop": "square", "margin": 0.5, "size": 24, "most_faces": 3}
    server.model["card"] = MODEL["card"] | {"alignment": alignment}
    image = np.zeros((100, 90, 3), np.uint8)
    image[35:65, 31:61] = (250, 120, 10)  # the square around the face in the middle, half wider
    server.files = {
        "a.png": encoded(image, "PNG"),
        "b.jpg": encoded(np.rot90(image), "JPEG", orientation=6),
        "grey.jpg": jpeg((128, 128, 128), (90, 100)),
        "broken.jpg": DAMAGED,
    }
    found = browse(
        server,
        browser,
        """
        await ready();
        await choose("first", "a.png"); await shown("first");
        await choose("second", "b.jpg"); await shown("second"); await settled();
        const same = answer();
        const seen = [pixels("first"), text("#second .seen"), text("header p"), text(".facts")];
        await choose("second", "grey.jpg"); await until(() => text("#second .name") === "grey.jpg");
        await settled();
        const none = answer();
        await choose("second", "broken.jpg");
        await until(() => text("#second .name") === "broken.jpg");
        await settled();
        report({ same, seen, none, broken: answer() });
        """,
    )
    assert found["same"]["state"] == "same"
    assert float(found["same"]["pin"]) == pytest.approx(0.04 + 0.36, abs=1e-3)
    crop, seen, heading, facts = found["seen"]
    rgba = np.reshape(crop["rgba"], (24, 24, 4))
    assert np.abs(rgba[..., :3].astype(int) - (250, 120, 10)).max() < 12
    assert seen == f"Seen: the face near the middle of 90 {TIMES} 100 pixels."
    assert "an embedding of the face near the middle of each" in " ".join(heading.split())
    assert "the face near the middle of a photograph" in facts
    assert found["none"]["decision"] == "No face found"
    assert found["none"]["reason"] == "The model finds no face in grey.jpg."
    assert found["broken"]["reason"] == "broken.jpg cannot be decoded: the file is damaged."
    assert [one["signature_name"] for one in server.predictions] == ["faces"] * 3


# --- Who is this? -----------------------------------------------------------------------------

WHO = """
const who = (selector) => document.querySelector(`#who ${selector}`);
const looked = async () => {
  await wait(30);
  await until(() => !["idle", "working"].includes(who(".card").dataset.state));
};
const look = async (name) => {
  const input = who("input");
  input.files = transfer(await file(name)).files;
  input.dispatchEvent(new Event("change"));
  await until(() => who(".shown").textContent.startsWith(name));
  await looked();
};
const told = () => ({
  state: who(".card").dataset.state, decision: who(".decision").textContent,
  reason: who(".reason").textContent, again: !who(".again").hidden,
  faces: [...document.querySelectorAll("#who li")].map((line) =>
    line.innerText.trim().split(/\\s*\\n\\s*/)),
});
await until(() => who(".gallery").textContent);
"""


def face(name: str | None, distance: float, box: list[int] | None = None) -> dict[str, Any]:
    return {
        "box": box,
        "name": name,
        "distance": distance,
        "nearest": name or "Zoe",
        "runner_up": "Bea",
        "runner_up_distance": 1.25,
    }


@pytest.fixture
def gallery(server: Server) -> Server:
    """A server with a gallery, whose model finds faces."""
    alignment = {"detector": "any", "crop": "square", "margin": 0.5, "size": 24, "most_faces": 3}
    server.model |= {
        "gallery": {"people": 30, "threshold": 0.6},
        "card": MODEL["card"] | {"alignment": alignment},
    }
    server.files = {
        "a.jpg": jpeg((90, 120, 90), (90, 60)),
        "grey.jpg": jpeg((128, 128, 128), (90, 60)),
        "broken.jpg": DAMAGED,
    }
    server.named = [face(None, 0.9, [60, 10, 80, 30]), face("Ann", 0.25, [10, 20, 30, 40])]
    return server


@pytest.mark.slow
@in_browser
def test_faces_are_named_and_marked_or_nobodys(gallery, browser):
    found = browse(
        gallery,
        browser,
        WHO
        + """
        const before = who(".gallery").textContent + who("#who-limits").textContent;
        await look("a.jpg");
        const canvas = who(".crop"), { width, height } = canvas;
        const scale = width / 90, context = canvas.getContext("2d");
        const at = (x, y) => [...context.getImageData(x * scale, y * scale, 1, 1).data.slice(0, 3)];
        const edge = (x, top) => Array.from({ length: 80 }, (_, step) => at(x, top + step / 8)[0]);
        report({
          ...told(), before, width, height, section: $("#who").innerText,
          left: edge(10, 25), right: edge(80, 15), under: at(20, 30),
          frame: who(".frame").ariaLabel,
          live: who(".decision").parentElement.ariaLive, pair: state(), first: text("#first .name"),
          cookie: document.cookie, stored: localStorage.length + sessionStorage.length,
        });
        """,
    )
    assert (found["state"], found["decision"]) == ("same", "1 of 2 faces named")
    assert found["reason"] == "Named are those at a distance below the threshold, 0.600."
    # From left to right, whatever the order of the answer.
    assert [line[0] for line in found["faces"]] == ["Ann", "Nobody"]
    named, nobody = (" ".join(line) for line in found["faces"])
    assert "distance 0.250" in named and "runner-up Bea, 1.250" in named
    assert nobody == "Nobody nearest person at 0.900"
    assert "Zoe" not in found["section"]  # who is nearest to a face that is nobody's is not told
    assert "holds 30 people; the threshold is 0.600. A name is an estimate" in found["before"]
    assert "up to 0.3 MB and 0.01 megapixels. Choose, drop or paste." in found["before"]
    assert "Neither the photograph nor its embeddings are stored or logged" in found["section"]
    assert (found["width"], found["height"]) == (1200, 800)
    assert set(found["left"]) == {255}  # a line
    assert min(found["right"]) < 30 and max(found["right"]) == 255  # dashes on black
    assert np.abs(np.subtract(found["under"], (90, 120, 90))).max() < 12
    assert found["frame"] == "Photograph to name: a.jpg, faces marked: 2. Choose another"
    assert found["live"] == "polite"
    assert (found["pair"], found["first"]) == ("idle", "")
    assert (found["cookie"], found["stored"]) == ("", 0)
    assert gallery.predictions == [{"photographs": [b64(gallery.files["a.jpg"])]}]
    assert {one for one in gallery.asked if one.startswith("POST")} == {
        "POST /v1/models/facenet:identify"
    }


@pytest.mark.slow
@in_browser
def test_one_face_is_the_answer_itself(gallery, browser):
    script = """
        await look("a.jpg"); const first = told();
        await look("grey.jpg"); report([first, told()]);
    """
    gallery.named = [face("Ann <b>&", 0.25, [10, 20, 30, 40])]
    gallery.named[0] |= {"runner_up": None, "runner_up_distance": None}
    one, none = browse(gallery, browser, WHO + script)
    assert (one["state"], one["decision"]) == ("same", "Ann <b>&")
    assert one["reason"] == "The distance, 0.250, is below the threshold, 0.600."
    assert one["faces"] == [["Ann <b>&", "distance 0.250"]]
    assert (none["decision"], none["faces"]) == ("No face found", [])
    assert none["reason"] == "The model finds no face in grey.jpg."
    gallery.named = [face(None, 0.9, [10, 20, 30, 40])]
    nobody, _ = browse(gallery, browser, WHO + script)
    assert (nobody["state"], nobody["decision"]) == ("different", "Nobody")
    assert nobody["reason"] == (
        "No person in the gallery is at a distance below the threshold, 0.600."
    )


@pytest.mark.slow
@in_browser
def test_the_middle_is_marked_where_the_model_takes_crops(gallery, browser):
    gallery.model |= {"card": MODEL["card"], "crop_size": 30}
    gallery.named = [face("Ann", 0.25)]
    found = browse(
        gallery,
        browser,
        WHO
        + """
        await look("a.jpg");
        const canvas = who(".crop"), context = canvas.getContext("2d"), scale = canvas.width / 90;
        const at = (x, y) => context.getImageData(x * scale, y * scale, 1, 1).data[0];
        report({
          ...told(), edges: [at(30, 40), at(60, 40), at(45, 45)], inside: at(45, 30),
          shown: who(".shown").textContent,
        });
        """,
    )
    assert found["decision"] == "Ann"
    assert found["edges"] == [255, 255, 255]
    assert found["inside"] < 120
    seen = f"Seen: 30 {TIMES} 30 of 90 {TIMES} 60 pixels. Cut the photograph to the face first."
    assert found["shown"] == f"a.jpg. {seen}"


@pytest.mark.slow
@in_browser
def test_what_goes_wrong_with_a_photograph_is_told(gallery, browser):
    gallery.files |= {"huge.jpg": FACES[0] + bytes(400_000), "notes.txt": b"Dear diary"}
    gallery.failures = [(400, "version 2 is another model"), (503, "too busy")]
    found = browse(
        gallery,
        browser,
        WHO
        + """
        await look("a.jpg"); const answers = [told()];
        who(".again").click(); await looked(); answers.push(told());
        who(".again").click(); await looked(); answers.push(told());
        await look("broken.jpg"); answers.push(told());
        const complaints = [];
        for (const name of ["huge.jpg", "notes.txt"]) {
          const input = who("input");
          input.files = transfer(await file(name)).files;
          input.dispatchEvent(new Event("change"));
          await until(() => who(".complaint").textContent.startsWith(name));
          complaints.push(who(".complaint").textContent);
        }
        report({
          answers, complaints, after: told(), shown: who(".shown").textContent,
          prompt: !who(".prompt").hidden && who(".crop").hidden, label: who(".frame").ariaLabel,
        });
        """,
    )
    refused, busy, named, broken = found["answers"]
    assert refused["reason"] == "The server refused the request: version 2 is another model"
    assert busy["reason"] == "The server cannot answer at the moment: too busy"
    assert refused["again"] and busy["again"] and not named["again"]
    assert refused["faces"] == [] and len(named["faces"]) == 2
    assert broken["decision"] == "Image cannot be read"
    assert broken["reason"] == "broken.jpg cannot be decoded: the file is damaged."
    assert found["complaints"] == [
        "huge.jpg has 0.4 MB; at most 0.3 MB can be sent.",
        "notes.txt is not a JPEG or PNG file.",
    ]
    assert (found["after"]["decision"], found["after"]["faces"]) == ("None yet", [])
    assert found["shown"] == "" and found["prompt"] and not found["label"]
    assert len(gallery.predictions) == 2


@pytest.mark.slow
@in_browser
def test_drop_and_paste_go_where_they_are_made(gallery, browser):
    found = browse(
        gallery,
        browser,
        WHO
        + """
        await ready();
        const drop = (dataTransfer) => who(".card").dispatchEvent(
          new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        const names = [];
        const shownAs = async (name) => {
          await until(() => who(".shown").textContent === name); await looked(); names.push(name);
        };
        drop(transfer(await file("a.jpg"))); await shownAs("a.jpg");
        who(".card").dispatchEvent(new ClipboardEvent("paste",
          { clipboardData: transfer(await file("grey.jpg")), bubbles: true }));
        await shownAs("grey.jpg");
        const data = new DataTransfer();
        document.querySelectorAll(".faces button")[1].dispatchEvent(
          new DragEvent("dragstart", { dataTransfer: data }));
        drop(data); await shownAs("Drawn face 2");
        const elsewhere = [text("#first .name"), text("#second .name")];
        const clipboardData = transfer(await file("a.jpg"));
        dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        await shown("first");
        report({ names, elsewhere, first: text("#first .name"), who: who(".shown").textContent });
        """,
    )
    assert found["names"] == ["a.jpg", "grey.jpg", "Drawn face 2"]
    assert found["elsewhere"] == ["", ""]
    assert (found["first"], found["who"]) == ("a.jpg", "Drawn face 2")
    last = gallery.predictions[2]["photographs"]
    assert last == [b64(FACES[1])]


@pytest.mark.slow
@in_browser
def test_a_late_name_does_not_replace_a_newer_one(gallery, browser):
    gallery.slow_first = True
    script = """
        const input = who("input");
        input.files = transfer(await file("a.jpg")).files;
        input.dispatchEvent(new Event("change"));
        await until(() => who(".card").dataset.state === "working"); await wait(300);
        await look("grey.jpg"); await wait(2000); report(told());
    """
    found = browse(gallery, browser, WHO + script)
    assert len(gallery.predictions) == 2
    assert found["decision"] == "No face found"


@pytest.mark.slow
@in_browser
def test_nothing_moves_when_an_answer_comes(gallery, browser):
    found = browse(
        gallery,
        browser,
        WHO
        + """
        await ready(); await wait(100);
        const parts = [".frame", "#who-limits", ".card", ".decision", ".reason"];
        const places = () => parts.map((one) => {
          const { left, top, width } = who(one).getBoundingClientRect();
          return [left, top + scrollY, width];
        });
        const before = [places(), who(".frame").offsetHeight];
        await look("a.jpg");
        report([before, [places(), who(".frame").offsetHeight]]);
        """,
    )
    before, after = found
    assert before == after


# --- How it looks -----------------------------------------------------------------------------

# Measured with everything on the page that may be there: both names long, a complaint, details.
CROWDED = """
await ready();
await choose("first", `${"a_photograph_with_a_long_name".repeat(3)}.jpg`); await shown("first");
pick(1); await settled();
await choose("second", "notes.txt"); await until(() => text("#second .complaint"));
$(".further").open = true;
$(".again").hidden = false;
"""
MEASURE = (
    CROWDED
    + """
const wide = [...document.querySelectorAll("body *")]
  .filter((part) => !part.closest(".faces") && part.getBoundingClientRect().right > innerWidth + 1)
  .map((part) => `${part.tagName}.${part.className}`);
report({ width: innerWidth, page: document.documentElement.scrollWidth, wide });
"""
)
CONTRAST = (
    CROWDED
    + """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (part) => {
  for (; part; part = part.parentElement) {
    const colour = getComputedStyle(part).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
};
const low = [], seen = [];
for (const looks of ["idle", "same", "different", "unreadable", "problem"]) {
  $(".answer").dataset.state = looks;
  for (const part of document.querySelectorAll("body *")) {
    const own = [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !part.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(part).color), light(ground(part))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    seen.push(contrast);
    const name = part.className || part.tagName;
    if (contrast < 4.5) low.push(`${looks}: ${name} ${contrast.toFixed(2)}`);
  }
}
report({ low, count: seen.length, ground: light(ground(document.body)) });
"""
)


CROWDED_WITH_NAMES = (
    WHO
    + """
await look(`${"a_photograph_with_a_long_name".repeat(3)}.jpg`);
who(".again").hidden = who(".complaint").hidden = false;
who(".complaint").textContent = "notes.txt is not a JPEG or PNG file.";
"""
)
LOOKS = """$(".answer").dataset.state = looks;"""


@pytest.fixture
def crowded_gallery(gallery: Server, crowded: Server) -> Server:
    gallery.named += [face("Name_without_end_" * 9, 0.1, [31, 30, 50, 50])]
    return gallery


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("width", [320, 390, 768, None])
def test_page_with_names_is_no_wider_than_what_shows_it(crowded_gallery, browser, width):
    address = f"/test/frame?{width}" if width else "/"
    found = browse(crowded_gallery, browser, CROWDED_WITH_NAMES + MEASURE, address=address)
    assert found["page"] == found["width"] == (width or found["width"])
    assert found["wide"] == []


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_names_stand_out_from_their_ground(crowded_gallery, browser, dark):
    script = CONTRAST.replace(LOOKS, f"""{LOOKS} $("#who .card").dataset.state = looks;""")
    found = browse(crowded_gallery, browser, CROWDED_WITH_NAMES + script, dark=dark)
    assert found["count"] > 150
    assert found["low"] == []
    assert (found["ground"] < 0.05) == dark


@pytest.fixture
def crowded(server: Server) -> Server:
    name = "a_photograph_with_a_long_name" * 3
    server.files |= {f"{name}.jpg": jpeg((9, 9, 9), (90, 70)), "notes.txt": b"Dear diary"}
    return server


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("width", [320, 390, 768])
def test_page_is_no_wider_than_a_phone_or_tablet(crowded, browser, width):
    found = browse(crowded, browser, MEASURE, address=f"/test/frame?{width}")
    assert found == {"width": width, "page": width, "wide": []}


@pytest.mark.slow
@in_browser
def test_page_is_no_wider_than_a_window(crowded, browser):
    found = browse(crowded, browser, MEASURE)
    assert found["page"] == found["width"] >= 1000
    assert found["wide"] == []


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(crowded, browser, dark):
    found = browse(crowded, browser, CONTRAST, dark=dark)
    assert found["count"] > 100
    assert found["low"] == []
    assert (found["ground"] < 0.05) == dark


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("names", [False, True], ids=["pairs", "names"])
def test_everything_can_be_done_from_the_keyboard(server, browser, names, request):
    if names:
        request.getfixturevalue("gallery")
    found = browse(
        server,
        browser,
        """
        await ready();
        const reached = [...document.querySelectorAll("a, button, input, summary, [tabindex]")]
          .filter((part) => part.checkVisibility() && part.tabIndex >= 0);
        const unnamed = reached.filter((part) => !(part.ariaLabel || part.labels?.length
          || part.textContent.trim() || part.querySelector("img[alt]")));
        const unfocused = reached.filter((part) => {
          part.focus();
          return document.activeElement !== part;
        });
        let opened = 0;
        for (const id of ["second", "who"].filter((id) => $(`#${id}`))) {
          $(`#${id} input`).click = () => { opened += 1; };
          $(`#${id} .frame`).focus();
          document.activeElement.click(); // what Enter and Space do to a button
        }
        report({
          count: reached.length, unnamed: unnamed.length, unfocused: unfocused.length, opened,
        });
        """,
    )
    # Two photographs, two radio buttons, four faces, the card's details; with a gallery a link
    # and a photograph.
    assert found == {"count": 9 + 2 * names, "unnamed": 0, "unfocused": 0, "opened": 1 + names}


# --- The real server --------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("tornado")
    pytest.importorskip("grpc")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    import serving_models

    from facenet_lib.model_card import CARD, ModelCard
    from facenet_lib.serving.server import LocalServer

    version = serving_models.save_model(tmp_path / "tiny", 1)
    card = ModelCard(
        facenet_lib="0",
        embedding_size=serving_models.EMBEDDING_SIZE,
        dtype="float32",
        preprocessing=dataclasses.asdict(serving_models.PREPROCESSING),
        threshold=serving_models.THRESHOLD,
        accuracy=0.875,
        standard_error=0.01,
    )
    (version / CARD).parent.mkdir(exist_ok=True)
    (version / CARD).write_text(card.to_json(), encoding="utf-8")
    with LocalServer({"tiny": tmp_path / "tiny"}) as local, serving(Server()) as state:
        state.upstream = local.rest_url
        yield state


@pytest.mark.slow
@in_browser
def test_real_server_answers_the_page(real, browser):
    import serving_models as tiny

    images = [tiny.pixels(seed) for seed in range(6)]
    real.files = {f"{number}.png": tiny.png(image) for number, image in enumerate(images)}
    real.files["broken.jpg"] = DAMAGED
    found = browse(
        real,
        browser,
        """
        await ready();
        await choose("first", "0.png"); await shown("first");
        const answers = [];
        for (const name of ["1.png", "2.png", "3.png", "4.png", "5.png", "0.png", "broken.jpg"]) {
          await choose("second", name); await until(() => text("#second .name") === name);
          await settled();
          answers.push(answer());
        }
        pick(0); await until(() => text("#first .name") === "Drawn face 1");
        pick(1); await until(() => text("#second .name") === "Drawn face 2");
        await settled();
        report({ answers, drawn: answer(), facts: text(".facts"), limits: text("#limits") });
        """,
    )
    *pairs, broken = found["answers"]
    others = np.stack([*images[1:], images[0]])
    distances = tiny.expected_distances(np.stack([images[0]] * 6), others, version=1)
    shown = [float(answer["pin"]) for answer in pairs]
    np.testing.assert_allclose(shown, distances, atol=6e-4)
    decided = ["same" if distance < tiny.THRESHOLD else "different" for distance in distances]
    assert [answer["state"] for answer in pairs] == decided
    assert set(decided) == {"same", "different"}
    assert broken["reason"] == "broken.jpg cannot be decoded: the file is damaged."
    assert found["drawn"]["state"] in ("same", "different")
    assert "tiny, version 1" in found["facts"]
    assert "87.5% ± 1% of the pairs" in found["facts"]
    assert "MB" in found["limits"]


@pytest.fixture
def real_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("tornado")
    pytest.importorskip("grpc")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    import naming_models

    from facenet_lib.serving.naming import Naming
    from facenet_lib.serving.server import LocalServer

    naming_models.save_model(tmp_path / "colours" / "1", finds_faces=True)
    naming = Naming(naming_models.gallery_of(), naming_models.THRESHOLD, "people.npz")
    with (
        LocalServer({"colours": tmp_path / "colours"}, naming=naming) as local,
        serving(Server()) as state,
    ):
        state.upstream = local.rest_url
        yield state


@pytest.mark.slow
@in_browser
def test_real_server_names_the_faces(real_gallery, browser):
    import naming_models as models

    ann, *_ = models.COLOURS.values()
    real_gallery.files = {
        "two.png": models.photograph(ann, models.STRANGER),
        "none.png": models.photograph(models.GREY, models.GREY),
        "broken.jpg": DAMAGED,
    }
    script = """
        const answers = [];
        for (const name of ["two.png", "none.png", "broken.jpg"]) {
          await look(name); answers.push(told());
        }
        report({ answers, gallery: who(".gallery").textContent });
    """
    found = browse(real_gallery, browser, WHO + script)
    two, none, broken = found["answers"]
    assert "holds 3 people; the threshold is 0.200" in found["gallery"]
    assert [line[0] for line in two["faces"]] == ["Ann", "Nobody"]
    assert two["decision"] == "1 of 2 faces named"
    assert none["decision"] == "No face found"
    assert broken["reason"] == "broken.jpg cannot be decoded: the file is damaged."
