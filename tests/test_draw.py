"""draw.py: a page that a real browser draws on, and that bad requests do not harm."""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import filelock
import numpy as np
import pytest
from PIL import Image, ImageDraw

import draw
import predict
from common import cli
from common.paths import ROOT

pytest.importorskip("gradio", reason="Gradio is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright")
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)

Stroke = list[tuple[float, float]]  # points in a box of 100 x 100


def arc(x: float, y: float, across: float, down: float, *degrees: int) -> Stroke:
    """Return points on an ellipse, clockwise from its right end, every 15 degrees."""
    first, last = degrees
    step = 15 if last > first else -15
    angles = np.radians(np.arange(first, last + step, step))
    return [(x + across * np.cos(a), y + down * np.sin(a)) for a in angles]


STROKES: dict[int, list[Stroke]] = {
    0: [arc(50, 50, 28, 42, -60, 300)],
    1: [[(53, 8), (50, 50), (48, 92)]],
    2: [[*arc(50, 32, 26, 24, -165, 30), (25, 90), (80, 88)]],
    3: [[*arc(45, 28, 24, 20, -150, 90), *arc(45, 70, 28, 22, -90, 150)]],
    4: [[(40, 8), (18, 55), (80, 55)], [(62, 30), (60, 95)]],
    5: [[(32, 10), (30, 45), *arc(46, 66, 28, 26, -100, 140)], [(32, 10), (76, 8)]],
    6: [[(66, 6), (40, 35), *arc(50, 68, 22, 24, 180, -180)]],
    7: [[(22, 12), (78, 10), (58, 50), (44, 94)]],
    8: [[*arc(50, 28, 20, 20, -90, -270), *arc(50, 71, 24, 23, -90, 270),
         *arc(50, 28, 20, 20, 90, -90)]],
    9: [[*arc(46, 32, 22, 24, 0, -360), (68, 32), (64, 60), (58, 95)]],
}  # fmt: skip

# Prints what a program reaches outside of this machine, and runs draw.py.
WATCHED = """
import runpy, sys
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = args[1][0] if event == "socket.connect" else args[0]
        if host not in ("127.0.0.1", "localhost", None) and "/" not in str(host):
            print("REACHED", event, host, file=sys.stderr)
sys.addaudithook(watch)
sys.argv[0] = "draw.py"
runpy.run_path("draw.py", run_name="__main__")
"""


class Served(NamedTuple):
    """A running draw.py."""

    url: str
    process: subprocess.Popen


@pytest.fixture(scope="module")
def trained(
    run_script: Callable[..., subprocess.CompletedProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A network that knows digits; the workers of pytest-xdist share it."""
    parent = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        parent = parent.parent
    folder = parent / "reads-digits"
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            flags = ["--dataset", "mnist_5k", "--steps", 200]
            done = run_script("train.py", *flags, "--save_dir", folder)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def served(trained: Path) -> Iterator[Served]:
    """The page, served by a process that must end well."""
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, "--port=0", "--save_dir", str(trained)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    found = re.match(r"(http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)\n", line)
    assert found, line + process.communicate()[1]
    with urllib.request.urlopen(found[1]):  # an open connection
        yield Served(found[1], process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "\ndraw.py: stopped by Ctrl-C\n")


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    """Chromium."""
    with sync_api.sync_playwright() as playwright:
        options = {"executable_path": CHROMIUM, "args": FLAGS.split()}
        started = playwright.chromium.launch(**options)
        yield started
        started.close()


class Person:
    """Somebody at a page of their own.

    Attributes:
        page: the browser's page.
        requests: addresses of all requests that it made.
        errors: what went wrong in it.
    """

    def __init__(
        self, browser: "sync_api.Browser", url: str, **options: object
    ) -> None:
        """Open the page; options are those of a browser's context."""
        self.page = browser.new_context(**options).new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(error))
        self.page.goto(url)
        self.pad = self.page.locator("canvas")
        self.pad.wait_for()
        self.page.wait_for_load_state("networkidle")

    def draw(self, digit: int, left: float = 0.2, size: float = 0.75) -> None:
        """Draw a digit with the mouse.

        Args:
            digit: 0 to 9.
            left: of its box, share of the pad's width.
            size: of its box, share of the pad's height.
        """
        box = self.pad.bounding_box()
        for stroke in STROKES[digit]:
            for number, (x, y) in enumerate(stroke):
                place = (
                    box["x"] + left * box["width"] + x / 100 * size * box["height"],
                    box["y"] + (0.1 + y / 100 * size) * box["height"],
                )
                self.page.mouse.move(*place, steps=3 if number else 1)
                if not number:
                    self.page.mouse.down()
            self.page.mouse.up()

    def expect(self, number: str) -> None:
        """Wait until the page shows a number."""
        sync_api.expect(self.page.locator(".number")).to_have_text(number)

    def clear(self) -> None:
        """Click the button, and wait for the hint."""
        self.page.get_by_role("button", name="Clear").click()
        sync_api.expect(self.page.locator(".hint")).to_be_visible()


# Measures from the end of a stroke until its answer is in the page, in milliseconds.
TIMER = """() => {
  let start, shown;
  window.addEventListener("pointerup", () => { start = performance.now(); }, true);
  new MutationObserver(() => {
    const cards = document.querySelector(".cards")?.innerHTML;
    if (cards && cards !== shown) window.time = performance.now() - start;
    shown = cards;
  }).observe(document.querySelector("#answer"), {childList: true, subtree: true});
}"""


@needs_chromium
def test_ten_digits_drawn_with_the_mouse_are_read(
    served: Served, browser: "sync_api.Browser"
) -> None:
    person = Person(browser, served.url)
    person.page.evaluate(TIMER)
    times = []
    for digit in range(10):
        person.draw(digit)
        person.expect(str(digit))
        if len(STROKES[digit]) == 1:  # no earlier stroke's answer is on its way
            times.append(person.page.evaluate("time"))
        bars = person.page.locator(".cards li").all_inner_texts()
        values = [float(text.split()[1]) for text in bars]
        assert [int(text.split()[0]) for text in bars] == list(range(10))
        assert int(np.argmax(values)) == digit
        assert sum(values) == pytest.approx(1, abs=1e-3)
        image = person.page.locator(".cards img").get_attribute("src")
        assert Image.open(io.BytesIO(base64.b64decode(image[22:]))).size == (28, 28)
        person.clear()
    print(
        f"\nfrom a stroke's end to its answer: median {statistics.median(times):.0f} "
        f"ms, {min(times):.0f} to {max(times):.0f} ms, {len(times)} strokes"
    )
    assert not person.errors


@needs_chromium
def test_a_number_has_a_card_for_each_digit(
    served: Served, browser: "sync_api.Browser"
) -> None:
    person = Person(browser, served.url, color_scheme="dark")
    assert "dark" in person.page.locator("body").get_attribute("class")
    person.draw(4, left=0.05, size=0.5)
    person.draw(7, left=0.55, size=0.5)
    person.expect("47")
    captions = person.page.locator("figcaption").all_inner_texts()
    assert [caption[0] for caption in captions] == ["4", "7"]


@needs_chromium
def test_a_drawing_on_a_phone(served: Served, browser: "sync_api.Browser") -> None:
    viewport = {"width": 360, "height": 740}
    person = Person(browser, served.url, viewport=viewport, has_touch=True)
    box = person.pad.bounding_box()
    touch = person.page.context.new_cdp_session(person.page)
    for kind, y in [("touchStart", 20)] + [("touchMove", y) for y in range(25, 200, 5)]:
        points = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + y}]
        event = {"type": kind, "touchPoints": points}
        touch.send("Input.dispatchTouchEvent", event)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    person.expect("1")
    size = person.page.evaluate("[document.documentElement.scrollWidth, scrollY]")
    assert size == [360, 0]  # neither wider than the screen nor scrolled by the finger


@needs_chromium
def test_all_requests_stay_on_this_machine(
    served: Served, browser: "sync_api.Browser"
) -> None:
    person = Person(browser, served.url)
    person.draw(1)
    person.expect("1")
    hosts = {url.split("/")[2] for url in person.requests if url.startswith("http")}
    assert hosts == {served.url.removeprefix("http://")}


@needs_chromium
def test_nothing_drawn_and_no_digit_get_a_sentence(
    served: Served, browser: "sync_api.Browser"
) -> None:
    person = Person(browser, served.url)
    hint = person.page.locator(".hint")
    sync_api.expect(hint).to_have_text(re.compile("^Draw a digit"))
    person.clear()
    sync_api.expect(hint).to_have_text(re.compile("^Draw a digit"))
    person.pad.click()  # a dot
    sync_api.expect(hint).to_have_text(re.compile("^No digit found"))


@needs_chromium
def test_a_hard_test_image_can_be_clicked(
    served: Served, browser: "sync_api.Browser"
) -> None:
    person = Person(browser, served.url)
    images = person.page.locator(".hardest button")
    assert images.count() == draw.HARDEST
    truth = images.first.get_attribute("title")[-1]
    images.first.click()
    person.page.locator(".number").wait_for()
    assert person.page.locator(".number").inner_text() != truth
    seen = person.page.locator(".cards img").get_attribute("src")
    shown = images.first.locator("img").get_attribute("src")
    assert pixels(seen) == pytest.approx(pixels(shown), abs=1)


@needs_chromium
def test_two_people_see_their_own_answers(
    served: Served, browser: "sync_api.Browser"
) -> None:
    people = [Person(browser, served.url) for _ in range(2)]
    for person, digit in zip(people, (1, 7), strict=True):
        person.draw(digit)
    for person, digit in zip(people, (1, 7), strict=True):
        person.expect(str(digit))


def pixels(url: str) -> np.ndarray:
    """Return the levels of a data URL's picture."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url[22:]))), float)


def data_url(image: Image.Image) -> str:
    """Return a picture as a data URL of type PNG."""
    png = io.BytesIO()
    image.save(png, "PNG")
    return draw.PNG + base64.b64encode(png.getvalue()).decode()


def drawing(digit: int) -> str:
    """Return a digit as the page sends it."""
    image = Image.new("RGBA", (480, 360))
    for stroke in STROKES[digit]:
        points = [(100 + 3 * x, 30 + 3 * y) for x, y in stroke]
        ImageDraw.Draw(image).line(points, "black", 24, joint="curve")
    return data_url(image)


def post(served: Served, value: object) -> tuple[int, str]:
    """Send a drawing as the page does; return the status and the answer."""
    request = urllib.request.Request(
        f"{served.url}/gradio_api/run/predict",
        json.dumps({"data": [value], "fn_index": 0}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def memory(served: Served) -> int:
    """Return the most memory that the server had so far, in megabytes."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1000


@pytest.mark.parametrize(
    ("value", "status", "answer"),
    [
        (data_url(Image.new("1", (7100, 7100), 1)), 500, "over 1 million pixels"),
        (draw.PNG + base64.b64encode(b"no picture").decode(), 500, "not a picture"),
        (draw.PNG + "a", 500, "drawing: "),
        ("data:text/html,hello", 500, "not a data URL of type PNG"),
        ([1, {}], 500, "not a data URL of type PNG"),
        ("x" * draw.MAX_REQUEST, 413, "over 500,000 bytes"),
    ],
    ids=["50 megapixels", "text", "base64", "type", "list", "long"],
)
def test_what_is_no_drawing_is_refused(
    value: object, status: int, answer: str, served: Served
) -> None:
    before = memory(served)
    found = post(served, value)
    assert found[0] == status
    assert answer in found[1]
    assert memory(served) - before < 50


def test_fifty_at_once_are_all_answered(served: Served) -> None:
    urls = {digit: drawing(digit) for digit in (1, 7)}
    before = memory(served)
    with ThreadPoolExecutor(50) as pool:
        digits = [1, 7] * 25
        found = list(pool.map(lambda digit: post(served, urls[digit]), digits))
    for digit, (status, answer) in zip(digits, found, strict=True):
        assert status == 200
        assert f"class='number'>{digit}<" in answer
    assert memory(served) - before < 200


def test_a_client_may_hang_up(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    body = json.dumps({"data": [drawing(1)], "fn_index": 0})
    head = f"POST /gradio_api/run/predict HTTP/1.1\r\nHost: {host}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for sent in ("", head, head + body[:99], head + body):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent.encode())
    assert post(served, drawing(1))[0] == 200


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is there on Linux alone")
def test_the_page_listens_on_one_address_alone(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))


def test_the_next_port_is_used_and_one_that_was_named_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with draw.listen(0) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(draw, "PORTS", range(port, port + 50))
        with draw.listen(None) as following:
            assert following.getsockname()[1] > port
        with pytest.raises(cli.UserError, match=f"port {port}: Address already in use"):
            draw.listen(port)


@pytest.mark.parametrize("display", [None, ":0"])
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a display")
def test_a_browser_is_opened_where_there_is_a_display(
    display: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(draw.webbrowser, "open", opened.append)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    draw.open_browser("http://here")
    assert opened == (["http://here"] if display else [])


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        ([], 1, "install it: pip install -r requirements-draw.txt"),
        (["--port", "65536"], 2, "'65536'; it must be from 0 (any) to 65535"),
        (["--port", "x"], 2, "'x'; it must be"),
    ],
)
def test_a_mistake_gets_one_line(
    flags: list[str],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(predict, "restore", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["draw.py", *flags])
    assert cli.status(draw.main) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_the_data_the_page_has_no_test_images(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    network = SimpleNamespace(run=None)
    assert draw.hardest_html(network, tmp_path / "gone") == ""
    error = capsys.readouterr().err
    assert "gone does not exist" in error
    assert error.count("\n") == 1
