"""predict.py --image: what is printed and drawn, and which files are refused."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawing import draw, file_bytes, network, picture_files
from PIL import Image

import predict
from common import cli
from handwriting import printing, reading

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def predict_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Run:
    """Run predict.py --image; return its status, stdout and stderr."""

    def run(*flags: object) -> tuple[int, str, str]:
        reader = SimpleNamespace(
            probabilities=network().probabilities, folder=tmp_path / "save"
        )
        monkeypatch.setattr(predict, "restore", lambda _: reader)
        flags = ("--save_dir", tmp_path / "save", "--image", *flags)
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, flags)])
        monkeypatch.chdir(tmp_path)
        return cli.status(predict.main), *capsys.readouterr()

    return run


def test_bad_files_are_told_in_one_line_each_and_the_others_read(
    predict_image: Run,
    tmp_path: Path,
) -> None:
    whole = picture_files()
    huge = file_bytes(Image.new("1", (20000, 20000)), "PNG")
    bad = {
        "text.png": (b"no picture", "not a picture (10 bytes)"),
        "empty.png": (b"", "empty file"),
        "half.jpg": (whole["photo.jpg"][:2000], "damaged"),
        "half.png": (whole["grey.png"][:-300], "damaged"),
        "huge.png": (huge, "over 89 million pixels"),
        "one.png": (file_bytes(Image.new("L", (1, 1)), "PNG"), "1 x 1 pixels"),
        "black.png": (file_bytes(Image.new("L", (70, 50)), "PNG"), "one colour"),
        "missing.png": (None, "No such file"),
        "folder.png": (None, "directory"),
    }
    (tmp_path / "folder.png").mkdir()
    for name, (data, _) in bad.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    (tmp_path / "good.png").write_bytes(whole["grey.png"])
    status, out, err = predict_image(*bad, "good.png")
    assert status == 1
    assert out.startswith("good.png: 7\n7: 0.9500\nwrote ")
    lines = err.splitlines()
    assert len(lines) == len(bad)
    for line, (name, (_, told)) in zip(lines, bad.items(), strict=True):
        assert line.startswith(f"predict.py: {name}: ")
        assert told in line


@pytest.mark.skipif(sys.platform != "linux", reason="names must be Unicode elsewhere")
def test_a_name_that_is_not_utf_8_is_printed_with_a_mark(
    predict_image: Run, tmp_path: Path
) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    draw([[7]]).save(tmp_path / name)
    status, out, _ = predict_image(name)
    assert status == 0
    assert out.startswith("caf\N{REPLACEMENT CHARACTER}.png: 7\n")
    assert out.encode()


def test_a_blank_page_has_no_digit(predict_image: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(225, 5, (181, 263)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    Image.new("L", (263, 181), 255).save(tmp_path / "white.png")
    status, out, err = predict_image("photo.png", "white.png")
    assert (status, err) == (0, "")
    assert out == "photo.png: no digit found\nwhite.png: no digit found\n"


def test_json_has_an_object_a_line(predict_image: Run, tmp_path: Path) -> None:
    draw([[5, 7], [0]]).save(tmp_path / "page.png")
    Image.new("L", (99, 99), 255).save(tmp_path / "white.png")
    status, out, _ = predict_image("page.png", "white.png", "--json")
    assert status == 0
    page, white = map(json.loads, out.splitlines())
    assert (page["file"], page["digits"], page["lines"]) == (
        "page.png",
        "570",
        ["57", "0"],
    )
    assert page["probabilities"] == [0.95, 0.95, 0.95]
    assert [len(box) for box in page["boxes"]] == [4, 4, 4]
    assert page["boxes"][0][0] < page["boxes"][1][0]
    with Image.open(page["picture"]) as annotated:
        assert min(annotated.size) > 100
    assert (white["digits"], white["boxes"], white["picture"]) == ("", [], None)


def test_a_picture_is_read_from_standard_input(
    predict_image: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(picture_files()["photo.jpg"]))
    monkeypatch.setattr(sys, "stdin", stream)
    status, out, _ = predict_image("-")
    assert status == 0
    assert out.startswith("-: 7\n")
    assert "stdin-read.png" in out


def test_pictures_of_one_name_are_annotated_apart(
    predict_image: Run,
    tmp_path: Path,
) -> None:
    names = ["a/4.png", "b/4.png"]
    if sys.platform == "linux":  # two names that look the same
        names += [f"a/{os.fsdecode(name)}.png" for name in (b"\xe8\n", b"\xe9\n")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        draw([[4]]).save(tmp_path / name)
    wrote = []
    for files in (names, *([name] for name in reversed(names))):
        status, out, _ = predict_image(*files)
        assert status == 0
        wrote.append([line for line in out.splitlines() if "wrote" in line])
    assert len(set(wrote[0])) == len(names)
    again = [line for lines in wrote[:0:-1] for line in lines]
    assert again == wrote[0]  # each by itself, the last first
    assert len(list((tmp_path / "save").iterdir())) == len(names)


@pytest.mark.parametrize("as_json", [False, True])
def test_answers_need_no_figure(
    as_json: bool, predict_image: Run, tmp_path: Path
) -> None:
    (tmp_path / "save").touch()  # no folder: nothing can be written to it
    for name in ("a.png", "b.png"):
        draw([[4]]).save(tmp_path / name)
    status, out, err = predict_image("a.png", "b.png", *["--json"] * as_json)
    assert status == 0
    if as_json:
        found = [json.loads(line) for line in out.splitlines()]
        assert [(one["digits"], one["picture"]) for one in found] == [("4", None)] * 2
    else:
        assert out == "a.png: 4\n4: 0.9500\nb.png: 4\n4: 0.9500\n"
    assert err.count(": cannot write ") == err.count("\n") == 2


def test_an_answer_is_printed_before_its_figure_is_drawn(
    predict_image: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    draw([[4]]).save(tmp_path / "4.png")
    monkeypatch.setattr(printing, "draw_reading", interrupt)
    status, out, _ = predict_image("4.png")
    assert (status, out) == (130, "4.png: 4\n4: 0.9500\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (IndexError("bad"), "4.png: cannot be read (IndexError: bad)"),
        (MemoryError(), "4.png: cannot be read (MemoryError)"),
        (
            OSError(5, "Input/output error"),
            "4.png: cannot be read (Input/output error)",
        ),
    ],
)
def test_a_crash_costs_no_other_answer(
    error: Exception,
    told: str,
    predict_image: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash_once(image: Image.Image, network: reading.Classifier) -> reading.Lines:
        monkeypatch.setattr(printing, "read", original)
        raise error

    original = reading.read
    monkeypatch.setattr(printing, "read", crash_once)
    draw([[4]]).save(tmp_path / "4.png")
    draw([[7]]).save(tmp_path / "7.png")
    status, out, err = predict_image("4.png", "7.png")
    assert (status, err) == (1, f"predict.py: {told}\n")
    assert out.startswith("7.png: 7\n")


@pytest.mark.skipif(sys.platform != "linux", reason="names and files of Linux")
def test_pipes_and_devices_are_refused(predict_image: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    draw([[7]]).save(tmp_path / "7.png")
    bad = "pipe.png", "/dev/zero", "/dev/tty"
    status, out, err = predict_image(*bad, "7.png")
    assert status == 1
    assert out.startswith("7.png: 7\n")
    told = [f'predict.py: {name}: a device or pipe; "-" reads' for name in bad]
    for line, beginning in zip(err.splitlines(), told, strict=True):
        assert line.startswith(beginning)


@pytest.mark.skipif(sys.platform != "linux", reason="names and files of Linux")
@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("a\nb\x1b.png", "a�b�-read.png"),
        (b"\xe9.png", "�-read.png"),
        ("-4.png", "-4-read.png"),
        (".png", "png-read.png"),
        ("..png", "picture-read.png"),
        ("n" * 251 + ".png", "n" * 200 + "-read.png"),
        ("手" * 83 + ".png", "手" * 66 + "-read.png"),
    ],
    ids=["control", "not UTF-8", "dash", "no stem", "dots", "255 bytes", "253 bytes"],
)
def test_any_name_of_a_file_is_read_and_printed_in_a_line(
    name: str | bytes, figure: str, predict_image: Run, tmp_path: Path
) -> None:
    name = os.fsdecode(name)
    (tmp_path / name).write_bytes(file_bytes(draw([[4]]), "PNG"))
    status, out, err = predict_image(name)
    assert (status, err) == (0, "")
    first, second, third = out.splitlines()
    assert first.endswith(".png: 4")
    assert second == "4: 0.9500"
    assert third == f"wrote {Path('save', figure)}"
    assert (tmp_path / "save" / figure).is_file()
    (tmp_path / name).write_bytes(b"")
    status, out, err = predict_image(name)
    assert (status, out, err.count("\n")) == (1, "", 1)


def test_a_closed_standard_input_is_told(
    predict_image: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    told = "predict.py: -: standard input is closed\n"
    assert predict_image("-") == (1, "", told)


def test_an_unsure_answer_is_marked_with_the_runner_up() -> None:
    probabilities = np.full(10, 0.02, np.float32)
    probabilities[[7, 1]] = 0.45, 0.39
    unsure = reading.Reading(
        (1, 2, 9, 12), np.zeros((28, 28), np.float32), probabilities
    )
    assert reading.with_probability(unsure) == "7?: 0.4500 (or 1: 0.3900)"
