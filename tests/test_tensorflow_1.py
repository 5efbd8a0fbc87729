"""input_data.py beside TensorFlow 1.9's: docs/tensorflow-1.md names these tests."""

import gzip
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, TRAIN, idx_bytes, write_set
from hypothesis import given, settings
from hypothesis import strategies as st

import input_data
from common.paths import ROOT
from common.session import tf

# ------------------------------------------------------------------ what there is

SIGNATURES = {
    "read_data_sets": "train_dir fake_data one_hot dtype reshape validation_size seed "
    "source_url",
    "load_mnist": "train_dir",
    "DataSet": "images labels fake_data one_hot dtype reshape seed",
    "extract_images": "f",
    "extract_labels": "f one_hot num_classes",
    "dense_to_one_hot": "labels_dense num_classes",
    "maybe_download": "filename work_directory source_url",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_parameters_have_their_names_in_their_order(name: str) -> None:
    parameters = inspect.signature(getattr(input_data, name)).parameters
    assert list(parameters) == SIGNATURES[name].split()


def test_addresses_are_theirs() -> None:
    google = "https://storage.googleapis.com/cvdf-datasets/mnist/"
    assert google == input_data.DEFAULT_SOURCE_URL
    assert input_data.SOURCE_URL == "http://yann.lecun.com/exdb/mnist/"


# ------------------------------------------------------------------ reading files


def test_extract_images_reads_any_size() -> None:
    images = np.arange(5 * 3 * 7, dtype=np.uint8).reshape(5, 3, 7)
    for data in (idx_bytes(images), gzip.compress(idx_bytes(images))):
        found = input_data.extract_images(io.BytesIO(data))
        assert found.shape == (5, 3, 7, 1)
        assert found.dtype == np.uint8
        assert (found[..., 0] == images).all()


def test_extract_labels_reads_any_label() -> None:
    data = gzip.compress(idx_bytes(np.array([1, 26, 0], np.uint8)))
    labels = input_data.extract_labels(io.BytesIO(data))
    assert labels.tolist() == [1, 26, 0]
    assert labels.dtype == np.uint8
    rows = input_data.extract_labels(io.BytesIO(data), one_hot=True, num_classes=27)
    assert rows.shape == (3, 27)
    assert rows.argmax(1).tolist() == [1, 26, 0]


def test_a_file_of_the_other_kind_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(5, np.uint8))))
    message = "labels.gz: magic number 0x00000801"
    with path.open("rb") as file, pytest.raises(ValueError, match=message):
        input_data.extract_images(file)


def test_dense_to_one_hot_gives_float64_rows() -> None:
    rows = input_data.dense_to_one_hot(np.array([2, 0], np.uint8), 3)
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert rows.dtype == np.float64
    column = np.array([[2], [0]])
    assert input_data.dense_to_one_hot(column, 3).tolist() == rows.tolist()
    assert input_data.dense_to_one_hot(np.zeros(0, np.uint8), 3).shape == (0, 3)
    for label in (3, -1):
        message = "one-hot rows of 3 take 0 to 2: read them with one_hot=False"
        with pytest.raises(ValueError, match=message):
            input_data.dense_to_one_hot(np.array([label, 0]), 3)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """A folder with a set like EMNIST's letters: labels 1 to 26, here of 9x5 pixels."""
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        labels = (1 + np.arange(count) % 26).astype(np.uint8)
        images = np.arange(count * 9 * 5).reshape(count, 9, 5).astype(np.uint8)
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx_bytes(labels))
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx_bytes(images))
    return tmp_path


def test_read_data_sets_reads_letters_of_another_size(letters: Path) -> None:
    splits = input_data.read_data_sets(letters, validation_size=13)
    assert splits.train.images.shape == (TRAIN - 13, 45)
    assert splits.test.labels[:27].tolist() == [*range(1, 27), 1]
    with pytest.raises(ValueError, match="labels are 1 to 26; one-hot rows of 10"):
        input_data.read_data_sets(letters, validation_size=13, one_hot=True)


def test_arrays_have_the_forms_of_tensorflow_1(tiny_dir: Path) -> None:
    splits = input_data.read_data_sets(str(tiny_dir), validation_size=13)
    assert splits._fields == ("train", "validation", "test")
    assert splits.train.images.shape == (TRAIN - 13, 784)
    assert splits.train.images.dtype == np.float32
    assert 0 <= splits.train.images.min() < splits.train.images.max() <= 1
    assert splits.train.labels.dtype == np.uint8
    assert splits.train.labels.shape == (TRAIN - 13,)
    assert splits.test.num_examples == TEST
    raw = input_data.read_data_sets(
        tiny_dir, one_hot=True, dtype=np.uint8, reshape=False, validation_size=13
    )
    assert raw.validation.images.shape == (13, 28, 28, 1)
    assert raw.validation.images.dtype == np.uint8
    assert raw.validation.labels.dtype == np.float64
    assert raw.validation.labels.shape == (13, 10)
    assert (raw.validation.labels.argmax(1) == splits.validation.labels).all()
    # The first training images are for validation, in the file's order.
    assert splits.validation.labels.tolist() == [i % 10 for i in range(13)]
    np.testing.assert_allclose(
        splits.validation.images,
        raw.validation.images.reshape(13, 784) / 255,
        rtol=1e-6,
    )


def test_validation_may_take_nothing_or_all_but_no_more(tiny_dir: Path) -> None:
    for size in (0, TRAIN):
        splits = input_data.read_data_sets(tiny_dir, validation_size=size)
        assert splits.validation.num_examples == size
        assert splits.train.num_examples == TRAIN - size
    for size in (-1, TRAIN + 1):
        message = f"validation size is {size}; it must be 0 to {TRAIN}"
        with pytest.raises(ValueError, match=message):
            input_data.read_data_sets(tiny_dir, validation_size=size)


def test_load_mnist_reads_with_the_defaults(
    mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MNIST-data").symlink_to(mnist_dir)
    monkeypatch.chdir(tmp_path)
    splits = input_data.load_mnist()
    assert [split.num_examples for split in splits] == [55000, 5000, 10000]
    assert splits.train.labels[:5].tolist() == [7, 3, 4, 6, 1]  # the file's 5,001st on


# ------------------------------------------------------------------ the constructor

PIXELS = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5, 1) * 4
DIGITS = np.array([7, 2, 1], np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, "float32", tf.float32, float])
def test_float32_images_are_divided_by_255(dtype: object) -> None:
    data = input_data.DataSet(PIXELS, DIGITS, dtype=dtype)
    assert data.images.dtype == np.float32
    # The nearest float32 of 1 / 255, times a whole number: one rounding.
    expected = PIXELS.reshape(3, 20).astype(np.float32) * np.float32(1 / 255)
    assert data.images.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, "uint8", tf.uint8])
def test_uint8_images_are_left_as_they_are(dtype: object) -> None:
    data = input_data.DataSet(PIXELS, DIGITS, False, False, dtype, False)
    assert data.images.tobytes() == PIXELS.tobytes()
    assert data.images.shape == (3, 4, 5, 1)


@pytest.mark.parametrize("dtype", [np.float64, tf.float64, "int32", np.dtype(float)])
def test_other_types_are_refused(dtype: object, tiny_dir: Path) -> None:
    message = r"(float64|int32); it must be float32 or uint8"
    with pytest.raises(TypeError, match=message):
        input_data.DataSet(PIXELS, DIGITS, dtype=dtype)
    with pytest.raises(TypeError, match=message):
        input_data.DataSet([], [], fake_data=True, dtype=dtype)
    with pytest.raises(TypeError, match=message):
        input_data.read_data_sets(tiny_dir, dtype=dtype, validation_size=13)


def test_counts_and_shapes_are_asserted() -> None:
    with pytest.raises(AssertionError, match="3 images and 2 labels"):
        input_data.DataSet(PIXELS, DIGITS[:2])
    for images in (np.zeros((3, 4, 5, 2)), np.zeros((3, 20))):
        with pytest.raises(AssertionError, match=r"takes \(n, rows, columns, 1\)"):
            input_data.DataSet(images, DIGITS)
        assert input_data.DataSet(images, DIGITS, reshape=False).num_examples == 3


def test_fake_data_needs_no_files() -> None:
    for split in input_data.read_data_sets("nowhere", fake_data=True, one_hot=True):
        images, labels = split.next_batch(3, fake_data=True)
        assert images == [[1] * 784] * 3
        assert labels == [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]] * 3
        assert split.num_examples == 10000
    data = input_data.DataSet([], [], fake_data=True)
    assert data.next_batch(2, fake_data=True)[1] == [0, 0]


# ------------------------------------------------------------------ the seed

SEEDS = [None, 0, 1, -1, 2**31 - 1, 2**40 + 3]


@pytest.fixture(params=["graph", "eager"])
def mode(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run in a new graph, or in TensorFlow 2's eager mode without a seed."""
    with tf.Graph().as_default() if request.param == "graph" else nullcontext():
        assert tf.executing_eagerly() == (request.param == "eager")
        yield
        tf.set_random_seed(None)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("graph_seed", SEEDS)
@pytest.mark.usefixtures("mode")
def test_numpy_is_seeded_as_tensorflow_says(
    graph_seed: int | None, seed: int | None
) -> None:
    tf.set_random_seed(graph_seed)
    # TensorFlow's own function: the first of two where `seed` is None, else the second.
    expected = tf.get_seed(seed)[0 if seed is None else 1]
    states = []
    for _ in range(2):
        input_data.DataSet(PIXELS, DIGITS, seed=seed)
        states.append(np.random.get_state()[1].tolist())  # noqa: NPY002
    if expected is None:
        assert states[0] != states[1]
    else:
        oracle = np.random.RandomState(expected)
        assert states == [oracle.get_state()[1].tolist()] * 2


def test_reading_leaves_the_seeds_of_later_operations_alone() -> None:
    with tf.Graph().as_default():
        tf.set_random_seed(3)
        before = tf.get_seed(None)[1]
        input_data.DataSet(PIXELS, DIGITS)
        assert tf.get_seed(None)[1] == before + 1


SOFTMAX_REGRESSION = """
import input_data
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
tf.set_random_seed(777)
mnist = input_data.read_data_sets("MNIST_data", one_hot=True, validation_size=13)
x = tf.placeholder(tf.float32, [None, 784])
y_ = tf.placeholder(tf.float32, [None, 10])
W = tf.Variable(tf.random_normal([784, 10]))
b = tf.Variable(tf.zeros([10]))
logits = tf.matmul(x, W) + b
loss = tf.reduce_mean(
    tf.nn.softmax_cross_entropy_with_logits_v2(labels=y_, logits=logits)
)
step = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for i in range(9):
        batch_xs, batch_ys = mnist.train.next_batch(50)
        print(sess.run([loss, step], feed_dict={x: batch_xs, y_: batch_ys})[0])
"""


@pytest.fixture
def script_dir(tmp_path: Path) -> Path:
    """A folder as of a user with an old script: the copied files, and data."""
    write_set(tmp_path / "MNIST_data")
    for script in ("input_data.py", "mnist_files.py"):
        shutil.copy(ROOT / script, tmp_path)
    return tmp_path


def test_a_script_with_a_graph_seed_repeats_its_losses(script_dir: Path) -> None:
    (script_dir / "tutorial.py").write_text(SOFTMAX_REGRESSION)
    command = [sys.executable, "tutorial.py"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Without Keras 3, the import of TensorFlow takes half the time.
    options["env"] = os.environ | {"TF_USE_LEGACY_KERAS": "1"}
    runs = [subprocess.Popen(command, cwd=script_dir, **options) for _ in range(2)]
    outputs = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    losses = [out.splitlines() for out, _ in outputs]
    assert len(set(losses[0])) == 9
    assert losses[0] == losses[1]


TUTORIAL = """
from six.moves import xrange
import input_data

mnist = input_data.read_data_sets("MNIST_data", one_hot=True, validation_size=13)
for i in xrange(7):
    batch_xs, batch_ys = mnist.train.next_batch(50)
print(batch_xs.shape, batch_ys.shape, mnist.train.epochs_completed)
print(mnist.test.images.shape, mnist.test.labels.sum())
"""


def test_a_script_runs_without_tensorflow(script_dir: Path) -> None:
    (script_dir / "tutorial.py").write_text(TUTORIAL)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "tutorial.py"],
        cwd=script_dir,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"(50, 784) (50, 10) 2\n({TEST}, 784) {TEST}.0\n"
    assert "tensorflow" not in done.stderr


# ------------------------------------------------------------------ the batches


def numbered(count: int, seed: int | None = None) -> input_data.DataSet:
    """Return a data set whose labels, and only pixels, are 0 to count - 1."""
    numbers = np.arange(count, dtype=np.uint8)
    images = numbers.reshape(count, 1, 1, 1)
    return input_data.DataSet(images, numbers, dtype=np.uint8, seed=seed)


def next_labels(data: input_data.DataSet, size: int, shuffle: bool = True) -> list[int]:
    """Return the labels of the next batch; check that the images belong to them."""
    images, labels = data.next_batch(size, shuffle=shuffle)
    assert images.tolist() == [[label] for label in labels.tolist()]
    return labels.tolist()


def test_batches_are_those_that_tensorflow_1_handed_out() -> None:
    # What TensorFlow 1.9's own class gave for eleven examples and seed 3.
    data = numbered(11, seed=3)
    assert next_labels(data, 4) == [5, 4, 1, 2]
    assert next_labels(data, 4) == [9, 6, 7, 0]
    assert next_labels(data, 4) == [3, 8, 10, 2]
    assert next_labels(data, 5, shuffle=False) == [3, 1, 4, 8, 9]
    assert next_labels(data, 5) == [5, 7, 0, 6, 10]


class Described:
    """The batches of TensorFlow 1 as docs/tensorflow-1.md describes them.

    Numbers on cards stand for the examples, and a generator of its own for
    numpy.random.
    """

    def __init__(self, count: int, seed: int) -> None:
        """Lay out the cards 0 to count - 1."""
        self.random = np.random.RandomState(seed)
        self.cards = list(range(count))
        self.place = self.epochs = 0

    def shuffle(self) -> None:
        """Shuffle the cards as numpy.random.shuffle does their places."""
        order = np.arange(len(self.cards))
        self.random.shuffle(order)
        self.cards = [self.cards[i] for i in order]

    def next_batch(self, size: int, shuffle: bool) -> list[int]:
        """Return the numbers on the next cards."""
        begins, self.place = self.place, self.place + size
        if begins == self.epochs == 0 and shuffle:
            self.shuffle()
        if self.place <= len(self.cards):
            return self.cards[begins : self.place]
        rest = self.cards[begins:]
        self.epochs += 1
        self.place -= len(self.cards)
        if shuffle:
            self.shuffle()
        return rest + self.cards[: self.place]


@given(
    st.integers(0, 31),
    st.integers(0, 2**31 - 2),
    st.lists(st.tuples(st.integers(0, 70), st.booleans()), max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_any_calls_give_the_batches_that_are_described(
    count: int, seed: int, calls: list[tuple[int, bool]]
) -> None:
    data, described = numbered(count, seed), Described(count, seed)
    for size, shuffle in calls:
        assert next_labels(data, size, shuffle) == described.next_batch(size, shuffle)
        assert data.epochs_completed == described.epochs


def test_the_order_is_that_of_the_global_generator() -> None:
    data = numbered(10)
    np.random.seed(42)  # noqa: NPY002
    # As printed in many a tutorial: np.random.seed(42); np.random.permutation(10)
    assert next_labels(data, 10) == [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]


def test_next_batch_goes_through_every_example_once_an_epoch() -> None:
    data = numbered(130, seed=5)
    epochs = []
    for _ in range(2):
        batches = [next_labels(data, 26) for _ in range(5)]
        epochs.append([label for batch in batches for label in batch])
        assert sorted(epochs[-1]) == list(range(130))
    assert epochs[0] != epochs[1]


def test_next_batch_without_shuffle_keeps_the_order() -> None:
    data = numbered(67)
    assert next_labels(data, 60, shuffle=False) == list(range(60))
    assert data.epochs_completed == 0
    assert next_labels(data, 11, shuffle=False) == [*range(60, 67), *range(4)]
    assert data.epochs_completed == 1
    # The epoch counts once a batch goes past its end.
    next_labels(data, 63, shuffle=False)
    assert data.epochs_completed == 1
    assert next_labels(data, 1, shuffle=False) == [0]
    assert data.epochs_completed == 2


def test_shuffle_on_and_off_within_an_epoch_repeats_no_example() -> None:
    data = numbered(67)
    seen = next_labels(data, 30)
    seen += next_labels(data, 20, shuffle=False)
    seen += next_labels(data, 17)
    assert sorted(seen) == list(range(67))
    assert data.labels.tolist() == seen


def test_a_batch_is_a_view_of_the_arrays() -> None:
    data = numbered(9)
    data.next_batch(5)[0][:] = 77
    assert data.images[:5].tolist() == [[77]] * 5
    assert 77 not in data.images[5:]


def test_sizes_of_nothing_and_empty_splits_give_empty_arrays() -> None:
    data = numbered(9)
    images, labels = data.next_batch(0)
    assert (images.shape, labels.shape) == ((0, 1), (0,))
    assert len(data.next_batch(4)[0]) == 4
    assert len(data.next_batch(-4)[0]) == 0
    assert data._index_in_epoch == 0
    data = numbered(0)
    for size in (0, 5, 2):
        images, labels = data.next_batch(size)
        assert (images.shape, labels.shape) == ((0, 1), (0,))


def test_more_than_two_epochs_at_once_give_two() -> None:
    data = numbered(9)
    assert sorted(next_labels(data, 18)) == sorted([*range(9)] * 2)
    assert len(numbered(9).next_batch(40)[0]) == 18


# ------------------------------------------------------------------ the state


def test_setting_the_counters_begins_again() -> None:
    data = numbered(9)
    for _ in range(3):
        while data._epochs_completed < 1:  # the loop of many a script
            data.next_batch(2)
        assert (data.epochs_completed, data._index_in_epoch) == (1, 1)
        data._epochs_completed = data._index_in_epoch = 0
        assert data.epochs_completed == 0


def test_setting_the_arrays_changes_the_batches() -> None:
    data = numbered(9)
    assert data._num_examples == data.num_examples == 9
    data._images = np.full((4, 1), 6)
    data._labels = np.full(4, 6)
    data._num_examples = 4
    assert next_labels(data, 4) == [6, 6, 6, 6]
    assert data.epochs_completed == 0
    assert data.images is data._images
    assert data.labels is data._labels


@pytest.mark.parametrize(
    "name", ["images", "labels", "num_examples", "epochs_completed"]
)
def test_the_public_names_are_read_only(name: str) -> None:
    data = numbered(9)
    with pytest.raises(AttributeError):
        setattr(data, name, 0)
    assert getattr(data, name) is getattr(data, f"_{name}")


# ------------------------------------------------------------------ the page


def test_the_page_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "tensorflow-1.md").read_text(encoding="utf-8")
    tests = "".join(
        (ROOT / "tests" / name).read_text(encoding="utf-8")
        for name in ("test_tensorflow_1.py", "test_mnist_files.py")
    )
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in tests] == []
