"""Read files of pictures: print the digits as text or JSON, write a figure of each."""

import json
import os
import stat
import sys
from pathlib import Path

from PIL import Image

from common import cli, plots
from handwriting import pictures
from handwriting.figure import draw_reading
from handwriting.reading import Classifier, Lines, read, with_probability

STEM_BYTES = 200  # of a figure's name, at most; file systems accept 255 with the rest


def read_files(
    files: list[str], network: Classifier, save_dir: Path, as_json: bool
) -> bool:
    """Read pictures, print their digits and write them with boxes to `save_dir`.

    Whatever is wrong with a file is reported on stderr, and the others are read.

    Args:
        files: names; "-" is standard input.
        network: what names the digits.
        save_dir: folder of the figures.
        as_json: whether to print one object a line, rather than text.

    Returns:
        Whether all files could be read.
    """
    read_all = True
    for file in files:
        try:
            _refuse_endless(file)
            image = pictures.open_picture(file)
            lines = read(image, network)
        except cli.UserError as error:
            cli.warn(str(error))
            read_all = False
            continue
        except Exception as error:  # a fault of ours costs one answer, not all
            cli.warn(f"{file}: cannot be read ({cli.reason(error)})")
            read_all = False
            continue
        if not as_json:
            print(text_lines(file, lines), flush=True)
        written = write_figure(file, image, lines, save_dir) if lines else None
        if as_json:
            print(json_line(file, lines, written), flush=True)
        elif written:
            print(f"wrote {written}", flush=True)
    return read_all


def _refuse_endless(file: str) -> None:
    """Refuse a device, or a pipe that nobody may write to; <(...) makes one in /dev."""
    if file == "-":
        if sys.stdin is None:
            raise cli.UserError("-: standard input is closed")
        return
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return  # open_picture says why
    is_pipe = stat.S_ISFIFO(mode) and not file.startswith(("/dev/", "/proc/"))
    if is_pipe or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise cli.UserError(f'{file}: a device or pipe; "-" reads standard input')


def write_figure(
    file: str, image: Image.Image, lines: Lines, save_dir: Path
) -> str | None:
    """Write the figure of a reading; return the path to print, None if that failed.

    Each picture has its own: those of one name from several folders are numbered.
    """
    if file == "-":
        name, source = "stdin", "stdin:"
    else:
        name = os.path.basename(file)
        source = Path(os.path.abspath(file)).as_uri()  # any name, in ASCII
    digits = [one for line in lines for one in line]
    stem = cli.one_line(Path(name).stem).strip(".") or "picture"
    stem = stem.encode()[:STEM_BYTES].decode(errors="ignore")
    return plots.save(
        lambda: draw_reading(image, digits, heading(name, lines)),
        save_dir / f"{stem}-read.png",
        source,
    )


def heading(file: str, lines: Lines) -> str:
    """Return a file's name and its digits, "|" between lines of text."""
    text = "|".join("".join(str(one.digit) for one in line) for line in lines)
    return f"{cli.one_line(file)}: {text or 'no digit found'}"


def text_lines(file: str, lines: Lines) -> str:
    """Return a picture's digits as text, with the probability of each."""
    text = [heading(file, lines)]
    text += ["  ".join(with_probability(one) for one in line) for line in lines]
    return "\n".join(text)


def json_line(file: str, lines: Lines, written: str | None) -> str:
    """Return a picture's digits as one line of JSON.

    Args:
        file: name of the picture.
        lines: its digits.
        written: path of the figure; None if there is none.
    """
    texts = ["".join(str(one.digit) for one in line) for line in lines]
    found = [one for line in lines for one in line]
    return json.dumps(
        {
            # A name need not be UTF-8, but JSON must be.
            "file": os.fsencode(file).decode("utf-8", "replace"),
            "digits": "".join(texts),
            "lines": texts,
            "probabilities": [round(one.probability, 4) for one in found],
            "boxes": [one.box for one in found],
            "picture": written,
        }
    )
