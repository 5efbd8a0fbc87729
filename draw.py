"""Draw a digit, or a whole number, on a page and see what the network reads.

    python draw.py

serves the page at http://127.0.0.1:7860, to this machine alone, and opens it where
there is a browser. It needs Gradio (pip install -r requirements-draw.txt), but no
internet.
"""

import argparse
import base64
import binascii
import io
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

import input_data
import predict
from common import cli
from common.paths import ROOT, SAVE_DIR, from_here
from handwriting import pictures, reading

if TYPE_CHECKING:
    import fastapi
    import gradio

HOST = "127.0.0.1"  # this machine alone
PORTS = range(7860, 7960)  # the first free one is used
HARDEST = 10  # test images that the page shows
MAX_REQUEST = 500_000  # bytes; the page's own are far smaller
MAX_PIXELS = 1_000_000  # of a picture that is sent; the page's own are smaller
# A picture is cropped to its ink and scaled down, so that it is read in a tenth of a
# second. In larger pictures, time goes to looking for what no drawing has.
MARGIN = 0.2  # of paper around the ink, share of its longer side
LONGER_SIDE = 300  # pixels; smaller pictures are enlarged to it before digits are found
PNG = "data:image/png;base64,"

HEADING = "<h1>Draw a digit, or a whole number</h1>"
NOTHING = "<p class='hint'>Draw a digit from 0 to 9, or a whole number.</p>"
NO_DIGIT = "<p class='hint'>No digit found. Clear the pad and draw larger.</p>"


def read_drawing(url: object, network: reading.Classifier) -> reading.Lines | None:
    """Return the digits in a drawing, by line of text; None if nothing is drawn.

    Args:
        url: the picture as a data URL of type PNG, which is text; what else may come
            from the network is refused.
        network: names the digits.

    Raises:
        cli.UserError: it is no such picture, or it is too large.
    """
    if not isinstance(url, str) or not url.startswith(PNG):
        raise cli.UserError("drawing: not a data URL of type PNG; draw on the page")
    try:
        data = base64.b64decode(url[len(PNG) :], validate=True)
    except binascii.Error as error:
        raise cli.UserError(f"drawing: {error}; draw on the page") from error
    image = pictures.from_bytes(data, "drawing").convert("L")
    ink = ImageOps.invert(image).getbbox()
    if ink is None:
        return None
    if image.size != (28, 28):  # one of MNIST's is read as it is
        image = image.crop(ink)
        margin = round(MARGIN * max(image.size))
        image = ImageOps.expand(image, margin, fill="white")
        image.thumbnail((LONGER_SIDE, LONGER_SIDE))
    return reading.read(image, network)


def answer_html(lines: reading.Lines | None) -> str:
    """Return a reading for the page: the number, and a card for each digit.

    A card has the image of 28x28 pixels that the network saw and ten probabilities.

    Args:
        lines: the digits by line of text; None if nothing is drawn.
    """
    if not lines:
        return NOTHING if lines is None else NO_DIGIT
    number = " ".join("".join(str(one.digit) for one in line) for line in lines)
    cards = "".join(_card(one) for line in lines for one in line)
    return f"<p class='number'>{number}</p><div class='cards'>{cards}</div>"


def _card(one: reading.Reading) -> str:
    bars = "".join(
        f"<li style='--p:{p:.4f}'><b>{digit}</b><i></i><span>{p:.4f}</span></li>"
        for digit, p in enumerate(one.probabilities)
    )
    text = reading.with_probability(one)
    return (
        f"<figure><img src='{png_url(1 - one.image)}' alt='what the network saw'>"
        f"<figcaption>{text}</figcaption><ol>{bars}</ol></figure>"
    )


def png_url(image: np.ndarray) -> str:
    """Return an image, float (h, w) in [0, 1], 1 is white, as a data URL."""
    png = io.BytesIO()
    Image.fromarray(np.uint8(np.round(255 * image))).save(png, "PNG")
    return PNG + base64.b64encode(png.getvalue()).decode()


def hardest_html(network: predict.Classifier, data_dir: Path | None) -> str:
    """Return buttons with the test images whose right answer is least probable.

    Without the data it is empty, and a line on stderr says why.
    """
    try:
        _, test = predict.load_test_images(network.run, data_dir)
    except (cli.UserError, input_data.DataError, OSError) as error:
        cli.warn(f"no test images on the page: {cli.reason(error)}")
        return ""
    probabilities = network.probabilities(test.images)
    right = probabilities[np.arange(len(test.labels)), test.labels]
    buttons = "".join(
        f"<button title='test image {index}: {test.labels[index]}'>"
        f"<img src='{png_url(1 - test.images[index].reshape(28, 28))}' "
        f"alt='test image {index}, label {test.labels[index]}'></button>"
        for index in np.argsort(right, kind="stable")[:HARDEST]
    )
    return (
        f"<p>The network's hardest test images:</p><div class='hardest'>{buttons}</div>"
    )


def build_page(network: predict.Classifier, hardest: str) -> "fastapi.FastAPI":
    """Return the web application.

    Args:
        network: names the digits.
        hardest: of `hardest_html`.
    """
    import fastapi
    import gradio

    app = fastapi.FastAPI()
    app.middleware("http")(_refuse_long)
    return gradio.mount_gradio_app(
        app,
        _blocks(network, hardest),
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        css=part("style.css"),
        theme=gradio.themes.Base(font="system-ui", font_mono="monospace"),
    )


async def _refuse_long(
    request: "fastapi.Request",
    pass_on: "Callable[[fastapi.Request], Awaitable[fastapi.Response]]",
) -> "fastapi.Response":
    """Answer a request that is too long, or does not say how long it is."""
    from fastapi import Response

    length = request.headers.get("content-length")
    if request.method == "POST" and int(length or sys.maxsize) > MAX_REQUEST:
        return Response(f"over {MAX_REQUEST:,} bytes", 413)
    return await pass_on(request)


def _blocks(network: predict.Classifier, hardest: str) -> "gradio.Blocks":
    """Return the pad, the answer, and what passes from one to the other."""
    import gradio

    one_at_a_time = threading.Lock()  # many at once would only share the cores

    def read(drawing: str) -> str:
        try:
            with one_at_a_time:
                lines = read_drawing(drawing, network)
        except cli.UserError as error:
            raise gradio.Error(str(error), print_exception=False) from error
        return answer_html(lines)

    with gradio.Blocks(title="Draw a number", analytics_enabled=False) as blocks:
        gradio.HTML(HEADING, apply_default_css=False)
        with gradio.Row():
            with gradio.Column(min_width=300):
                pad = gradio.HTML(
                    html_template=part("pad.html") + hardest,
                    js_on_load=part("pad.js"),
                    apply_default_css=False,
                    elem_id="pad",
                )
            with gradio.Column(min_width=300):
                answer = gradio.HTML(NOTHING, elem_id="answer", apply_default_css=False)
        # Without the queue, which takes three requests. While one is on its way, only
        # the last of those that follow is sent.
        pad.input(
            read,
            pad,
            answer,
            queue=False,
            show_progress="hidden",
            trigger_mode="always_last",
        )
    return blocks


def part(name: str) -> str:
    """Return a part of the page."""
    return (ROOT / "page" / name).read_text(encoding="utf-8")


def listen(port: int | None) -> socket.socket:
    """Return a socket that listens on HOST.

    Args:
        port: 0 for any; None for the first free one in PORTS.

    Raises:
        cli.UserError: it is taken, or not allowed.
    """
    for number in PORTS if port is None else [port]:
        try:
            return socket.create_server((HOST, number))
        except OSError as error:
            problem = os.strerror(error.errno)
    which = f"{PORTS[0]} to {PORTS[-1]}" if port is None else port
    raise cli.UserError(f"port {which}: {problem}; name another one with --port")


def open_browser(url: str) -> None:
    """Open a page in the browser, unless that would be one in the terminal."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in ("win32", "darwin") or any(map(os.environ.get, displays)):
        webbrowser.open(url)


def port_number(text: str) -> int:
    """Return the port that an argument names."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be from 0 (any) to 65535")
    return int(text)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the arguments, or those of the command line, say."""
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--port",
        type=port_number,
        help=f"default: the first free one from {PORTS[0]}; 0: any",
    )
    parser.add_argument("--save_dir", type=from_here, default=SAVE_DIR)
    parser.add_argument("--data_dir", type=from_here, help="default: as at training")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    args = read_arguments(arguments)
    network = predict.restore(args.save_dir)
    try:
        import gradio  # noqa: F401, which takes seconds and may be missing
        import uvicorn
    except ImportError as error:
        raise cli.UserError(
            f"{error}; install it: pip install -r requirements-draw.txt"
        ) from error
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    page = build_page(network, hardest_html(network, args.data_dir))
    server = uvicorn.Server(
        uvicorn.Config(page, log_level="warning", timeout_graceful_shutdown=1)
    )
    with listen(args.port) as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        print(f"{url} (Ctrl-C ends it)")
        open_browser(url)
        server.run(sockets=[listening])


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
