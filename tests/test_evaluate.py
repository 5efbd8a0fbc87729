"""evaluate.py: its numbers against NumPy and the literature, and odd test sets."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, write_set
from matplotlib import pyplot

import evaluate
import input_data
import train
from common import calibration, cli, plots
from saving import checkpoints

pytestmark = pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")


@pytest.fixture(scope="module", params=["mlp_128", "sigmoid_30"])
def save_dir(
    request: pytest.FixtureRequest,
    tiny_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a network that was trained a little."""
    folder = tmp_path_factory.mktemp(request.param)
    loss = "quadratic" if request.param == "sigmoid_30" else "cross_entropy"
    argv = ["train.py", "--network", request.param, "--loss", loss, "--steps", "7"]
    argv += ["--batch_size", "50", "--validation_size", "13"]
    argv += ["--data_dir", str(tiny_dir), "--save_dir", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", argv)
        train.main()
    return folder


def run_main(patch: pytest.MonkeyPatch, *flags: object) -> None:
    patch.setattr("sys.argv", ["evaluate.py", *map(str, flags)])
    evaluate.main()


def read_report(folder: Path) -> evaluate.Report:
    """Return report.json, which may not hold the NaN that is no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads((folder / "report.json").read_text(), parse_constant=refuse)


def random_answers(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities, right in about half of the cases."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    odds = rng.dirichlet(np.full(10, 0.2), count) + 0.4 * np.eye(10)[labels]
    odds /= odds.sum(axis=1, keepdims=True)
    return labels, odds.astype(np.float32)


# ------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        # R. Newcombe, "Two-sided confidence intervals for the single proportion",
        # 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (8, 10, 0.4902, 0.9433),
        (10, 10, 0.7225, 1.0000),
    ],
)
def test_the_interval_is_wilsons(
    right: int, count: int, low: float, high: float
) -> None:
    labels = np.zeros(count, np.uint8)
    answers = np.where(np.arange(count) < right, 0, 3)
    report = evaluate.measure(labels, np.eye(10, dtype=np.float32)[answers])
    assert (report["right"], report["images"]) == (right, count)
    assert report["interval_95"] == pytest.approx([low, high], abs=5e-5)


def test_numbers_are_those_of_numpy_by_hand() -> None:
    labels, probabilities = random_answers(467)
    report = evaluate.measure(labels, probabilities)
    answers = probabilities.argmax(axis=1)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, answers), 1)
    assert report["confusion"] == confusion.tolist()
    assert report["accuracy"] == np.trace(confusion) / 467
    own = probabilities[np.arange(467), labels].astype(float)
    assert report["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-6)
    for digit, row in enumerate(report["digits"]):
        right = confusion[digit, digit]
        assert row["digit"] == digit
        assert row["images"] == confusion[digit].sum()
        assert row["precision"] == pytest.approx(right / confusion[:, digit].sum())
        assert row["recall"] == pytest.approx(right / confusion[digit].sum())
    confidence = probabilities.max(axis=1)
    assert report["confidence"] == pytest.approx(confidence.mean())
    error = 0
    for start in np.arange(15) / 15:
        inside = (start < confidence) & (confidence <= start + 1 / 15)
        if inside.any():
            gap = (answers == labels)[inside].mean() - confidence[inside].mean()
            error += inside.mean() * abs(gap)
    assert report["calibration_error"] == pytest.approx(error)


def test_calibration_error_weighs_the_gap_of_each_bin() -> None:
    """4 answers of 0.5 of which 3 are right; 6 of 0.95, half of them right."""
    right = np.array([1, 1, 1, 0, 1, 1, 1, 0, 0, 0], bool)
    confidence = np.array([0.5] * 4 + [0.95] * 6)
    expected = 0.4 * 0.25 + 0.6 * 0.45
    assert calibration.calibration_error(right, confidence) == pytest.approx(expected)


def test_thresholds_count_the_answers_below_them() -> None:
    labels, probabilities = random_answers(467)
    rows = evaluate.measure(labels, probabilities)["thresholds"]
    assert [row["probability"] for row in rows] == list(evaluate.THRESHOLDS)
    for row in rows:
        answers = [
            label == p.argmax()
            for label, p in zip(labels, probabilities, strict=True)
            if p.max() < row["probability"]
        ]
        assert row["right"] == sum(answers)
        assert row["mistakes"] == len(answers) - sum(answers)
    assert rows[-1]["mistakes"] > rows[0]["mistakes"]


def test_a_loss_that_float32_can_hold_is_not_clipped() -> None:
    probabilities = np.full((1, 10), 1e-12, np.float32)
    probabilities[0, 3] = 1
    report = evaluate.measure(np.array([5], np.uint8), probabilities)
    assert report["loss"] == pytest.approx(12 * np.log(10), rel=1e-6)


def test_mistakes_are_the_most_confident_ones_in_order() -> None:
    labels, probabilities = random_answers(467)
    rows = evaluate.measure(labels, probabilities)["mistakes"]
    wrong = [
        (-row.max(), index, int(label), int(row.argmax()))
        for index, (row, label) in enumerate(zip(probabilities, labels, strict=True))
        if row.argmax() != label
    ]
    assert len(wrong) > len(rows) == evaluate.MISTAKES
    assert [
        (-row["probability"], row["index"], row["truth"], row["answer"]) for row in rows
    ] == sorted(wrong)[: evaluate.MISTAKES]


# ------------------------------------------------------------------- odd test sets


@pytest.mark.parametrize(
    ("labels", "answers"),
    [
        ([3], [3]),
        ([3], [4]),
        ([7] * 13, [7] * 13),
        ([7] * 13, [0, 1, 7] * 4 + [9]),
        ([0, 1, 2, 4, 5, 6, 7, 8, 9] * 3, [0, 1, 2, 4, 5, 6, 7, 8, 9] * 3),
        ([0, 1, 2, 4, 5, 6, 7, 8, 9] * 3, [3] * 27),
    ],
    ids=["one", "one wrong", "one class", "mixed up", "digit missing", "all wrong"],
)
def test_odd_sets_are_reported(
    labels: list[int], answers: list[int], capsys: pytest.CaptureFixture
) -> None:
    probabilities = np.eye(10, dtype=np.float32)[answers]
    report = evaluate.measure(np.array(labels, np.uint8), probabilities)
    evaluate.print_report(report)
    printed = capsys.readouterr().out
    pairs = list(zip(labels, answers, strict=True))
    for digit, row in enumerate(report["digits"]):
        right = pairs.count((digit, digit))
        line = f"{digit:>5}{labels.count(digit):>8}"
        for key, count in (
            ("precision", answers.count(digit)),
            ("recall", labels.count(digit)),
        ):
            expected = pytest.approx(right / count) if count else None
            assert row[key] == expected
            line += f"{right / count:.4f}".rjust(11) if count else "-".rjust(11)
        line += "".join(f"{pairs.count((digit, other)):>6}" for other in range(10))
        assert line.split() in [found.split() for found in printed.splitlines()]
    wrong = sum(label != answer for label, answer in pairs)
    assert len(report["mistakes"]) == min(wrong, evaluate.MISTAKES)
    assert ("no mistakes" in printed) == (wrong == 0)
    images = np.zeros((len(labels), 784), np.float32)
    figure = plots.report(report, images, np.array(labels), probabilities, "odd")
    figure.canvas.draw()
    shown = [axes.get_title() for axes in figure.axes if "\nis " in axes.get_title()]
    first = [f"{a} (1.00)\nis {b}" for b, a in pairs if a != b]
    assert shown == first[: evaluate.MISTAKES]
    assert pyplot.get_fignums() == []


def test_the_figure_shows_each_count_of_the_confusion_matrix() -> None:
    labels, probabilities = random_answers(467)
    report = evaluate.measure(labels, probabilities)
    images = np.zeros((467, 784), np.float32)
    figure = plots.report(report, images, labels, probabilities, "what was run")
    assert figure.get_suptitle() == "what was run"
    (matrix,) = (axes for axes in figure.axes if axes.get_ylabel() == "truth")
    shown = [int(text.get_text() or 0) for text in matrix.texts]
    assert shown == np.ravel(report["confusion"]).tolist()


# --------------------------------------------------------------------- the script


def test_a_trained_network_is_reported(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = checkpoints.read_config(save_dir)
    run_main(monkeypatch, "--save_dir", save_dir)
    out, err = capsys.readouterr()
    assert err == ""
    report = read_report(save_dir)
    assert report["accuracy"] == before.test_accuracy
    assert report["images"] == TEST
    assert 0 < report["right"] < TEST
    assert report["network"] == before.settings.network
    first, second, third, *_, last = out.splitlines()
    step = before.best.rpartition("-")[2]
    name = before.settings.network
    assert first == f"{name} trained on own, {step} steps; tested on own"
    assert second.startswith(
        f"test accuracy {report['accuracy']:.4f} ({report['right']}/{TEST}), 95 % in"
    )
    assert third == f"loss {report['loss']:.4f} nats"
    assert last == f"wrote {save_dir / 'report.png'} and report.json"
    assert (save_dir / "report.png").read_bytes().startswith(b"\x89PNG")
    assert checkpoints.read_config(save_dir) == before


@pytest.mark.parametrize("save_dir", ["mlp_128"], indirect=True)
@pytest.mark.parametrize(
    ("blocked", "wrote"),
    [
        (["report.png"], "report.json"),
        (["report.json"], "report.png"),
        (["report.png", "report.json"], ""),
    ],
)
def test_numbers_are_printed_where_no_file_can_be_written(
    blocked: list[str],
    wrote: str,
    save_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    copy = Path(shutil.copytree(save_dir, tmp_path / "copy"))
    for name in blocked:
        (copy / name).unlink(missing_ok=True)
        (copy / name).mkdir()
    monkeypatch.setattr("sys.argv", ["evaluate.py", "--save_dir", str(copy)])
    assert cli.status(evaluate.main) == 0
    out, err = capsys.readouterr()
    assert "\ntest accuracy " in out
    assert [line for line in out.splitlines() if "wrote" in line] == (
        [f"wrote {copy / wrote}"] if wrote else []
    )
    assert err.splitlines() == [
        f"evaluate.py: cannot write {copy / name}: Is a directory" for name in blocked
    ]


@pytest.mark.parametrize("save_dir", ["mlp_128"], indirect=True)
@pytest.mark.parametrize("trained_on", ["mnist", "mnist_5k"])
def test_another_set_is_said_in_one_line(
    trained_on: str,
    save_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    run = checkpoints.read_config(save_dir)
    run = replace(run, data=replace(run.data, name=trained_on))
    monkeypatch.setattr(checkpoints, "read_config", lambda _: run)
    other = write_set(tmp_path / "other", seed=1)
    run_main(monkeypatch, "--save_dir", save_dir, "--data_dir", other)
    out, err = capsys.readouterr()
    assert err == f"data: {other}: {input_data.NOT_MNIST['own']}\n"
    assert out.startswith(f"mlp_128 trained on {trained_on}, ")
    assert f"; tested on own in {other}\n" in out
    report = read_report(save_dir)
    assert (report["trained_on"], report["tested_on"]["name"]) == (trained_on, "own")


@pytest.mark.parametrize("save_dir", ["mlp_128"], indirect=True)
@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--save_dir", "nowhere"], 1, "nowhere holds no trained model: run python tr"),
        (["--data_dir", __file__], 1, "is a file; the data need a folder"),
        (["--index", "3"], 2, "unrecognized arguments: --index 3"),
    ],
)
def test_wrong_input_gets_one_line(
    flags: list[str],
    status: int,
    message: str,
    save_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    argv = ["evaluate.py", "--save_dir", str(save_dir), *flags]
    monkeypatch.setattr("sys.argv", argv)
    assert cli.status(evaluate.main, input_data.DataError) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
