"""picture_folder.py: a folder of pictures as a data set, of any kind and quality."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawing import draw
from helpers import run_in_process, separable
from PIL import Image

import evaluate
import input_data
import predict
from handwriting import picture_folder
from saving import checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 20 pictures of 28x28 pixels for each digit."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = separable(200, np.random.default_rng(0))
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"image-{number}.png")
    return folder


def test_pictures_of_28x28_pixels_are_taken_as_they_are(folder: Path) -> None:
    images, labels, shares = picture_folder.read_folder(folder)
    expected, _ = separable(200, np.random.default_rng(0))
    assert len(images) == 200
    assert sorted(image.tobytes() for image in images) == sorted(
        image.tobytes() for image in expected
    )
    assert np.bincount(labels).tolist() == [20] * 10
    assert set(shares) == set(range(10))


def test_dark_ink_on_light_paper_is_inverted(tmp_path: Path) -> None:
    images, _ = separable(1, np.random.default_rng(0))
    Image.fromarray(255 - images[0]).save(tmp_path / "white.png")
    found = picture_folder.read_picture(tmp_path / "white.png")
    assert (found == images[0]).all()


def test_other_sizes_are_read_as_pictures_of_handwriting(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    draw([[7]]).save(tmp_path / "7" / "drawn.jpg", quality=95)
    images, labels, _ = picture_folder.read_folder(tmp_path)
    assert labels.tolist() == [7]
    assert images.shape == (1, 28, 28)
    assert images.dtype == np.uint8
    rows, columns = np.nonzero(images[0] > 100)
    assert max(np.ptp(rows), np.ptp(columns)) in (18, 19, 20)


def test_what_cannot_be_read_is_named_and_counted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "some")
    (tmp_path / "some" / "3" / "notes.txt").write_text("not a picture")
    (tmp_path / "some" / "3" / ".hidden").write_text("of the file manager")
    draw([[1, 4]]).save(tmp_path / "some" / "4" / "two.png")
    images, _, _ = picture_folder.read_folder(tmp_path / "some")
    assert len(images) == 200
    told = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    some = tmp_path / "some"
    assert told == [
        f"{some / '3' / 'notes.txt'}: not a picture (13 bytes); JPEG, PNG, WebP, BMP, "
        "TIFF, GIF and PPM are accepted",
        f"{some / '4' / 'two.png'}: 2 digits were found; one is needed",
        f"{some}: 2 of 202 pictures cannot be used",
    ]


def test_an_empty_folder_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    with pytest.raises(input_data.DataError, match="none of its 0 pictures"):
        input_data.load("auto", tmp_path, 13)


def test_the_split_is_by_name_alone(folder: Path, tmp_path: Path) -> None:
    def test_names(where: Path) -> set[str]:
        _, test = input_data.load_test("pictures", where)
        names = {}
        for path in where.glob("*/*"):
            image = picture_folder.read_picture(path)
            names[image.tobytes()] = f"{path.parent.name}/{path.name}"
        rows = np.rint(test.images * 255).astype(np.uint8)
        return {names[row.tobytes()] for row in rows}

    before = test_names(folder)
    source, splits = input_data.load("auto", folder, 5000)
    assert source.name == "pictures"
    assert splits.test.num_examples == len(before)
    assert 0 < splits.validation.num_examples < 50
    assert sum(split.num_examples for split in splits) == 200
    more = Path(shutil.copytree(folder, tmp_path / "more"))
    extra, _ = separable(20, np.random.default_rng(1))
    for number, image in enumerate(extra):
        Image.fromarray(image).save(more / str(number % 10) / f"0-{number}.png")
    after = test_names(more)
    assert before == {name for name in after if "image" in name}
    everything = input_data.load_test("mnist", folder)[1]
    assert everything.num_examples == 200


def test_too_few_pictures_to_split_are_refused(tmp_path: Path) -> None:
    images, _ = separable(1, np.random.default_rng(0))
    (tmp_path / "0").mkdir()
    Image.fromarray(images[0]).save(tmp_path / "0" / "one.png")
    share = picture_folder.share(0, "one.png")
    message = rf"1 pictures {int(share > 0)} are for training and {int(share == 0)} for"
    with pytest.raises(input_data.DataError, match=message):
        input_data.load("auto", tmp_path, 13)


def test_a_network_is_trained_and_evaluated_on_pictures(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def evaluated(*flags: object) -> str:
        argv = ["evaluate.py", "--save_dir", str(save_dir), *map(str, flags)]
        monkeypatch.setattr("sys.argv", argv)
        evaluate.main()
        return capsys.readouterr().out

    constants = {"LENGTH": "60 steps", "AUGMENT": 0, "LEARNING_RATE": 3e-3}
    save_dir = run_in_process(monkeypatch, folder, tmp_path / "save", **constants)
    run = checkpoints.read_config(save_dir)
    assert run.data.name == "pictures"
    assert run.test_accuracy > 0.9
    assert "not MNIST: pictures of your own" in capsys.readouterr().err
    count = run.data.test
    assert f"({count}/{count})" in evaluated() or run.test_accuracy < 1
    # The same split, for it was trained on pictures.
    assert f"/{count})" in evaluated("--data_dir", folder)


@pytest.mark.parametrize("trained_on", ["mnist", "mnist_5k", "own"])
def test_a_network_that_never_saw_pictures_is_tested_on_all(
    trained_on: str, folder: Path
) -> None:
    run = SimpleNamespace(data=SimpleNamespace(name=trained_on))
    assert predict.load_test_images(run, folder)[1].num_examples == 200
