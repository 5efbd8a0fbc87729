"""The network of this project and the same in other frameworks, timed by speed.py.

Each runs in a process of its own, ``python benchmarks/contenders.py NAME THREADS
DATA_DIR``, which answers lines on its standard input: ``train BATCH_SIZE STEPS`` and
``infer`` with the seconds that it took, ``memory`` with the peak in MB.

All train conv 5x5x32, pool, conv 5x5x64, pool, fc 1024, dropout 0.5, fc 10 with Adam
1e-3 on the training images, and infer the digits of all 10,000 test images.
"""

import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import runner  # noqa: F401, puts the project's folder on the path

import input_data

if TYPE_CHECKING:
    from saving.run import Run

INFERENCE_BATCH = 500
SEED = 1  # of the order of batches


class Contender(NamedTuple):
    """What a framework is asked to do."""

    train: Callable[[int, int], None]  # batch size, number of steps
    infer: Callable[[], np.ndarray]  # digits of the test images


def plain_run(data: input_data.Datasets) -> "Run":
    """Return a run of train.py's constants that trains as the other frameworks do."""
    import train
    from common.settings import RULES, CommandLine, Settings, checked
    from saving.run import DataSummary, new_run

    constants = {name: checked(name, getattr(train, name.upper())) for name in RULES}
    constants |= {"augment": 0.0, "label_smoothing": 0.0}
    constants |= {"learning_rate": 1e-3, "schedule": "constant"}
    settings = Settings(**constants)
    command = CommandLine(settings, settings, frozenset(), False, False, 0)
    sizes = {split: getattr(data, split).num_examples for split in data._fields}
    return new_run(command, DataSummary("mnist", "", **sizes))


def graph_mode(data: input_data.Datasets, threads: int, bfloat16: bool) -> Contender:
    """This project's own training loop and graph."""
    import train
    from common.cluster import Cluster
    from common.session import session_config, tf

    run = plain_run(data)
    with tf.Graph().as_default() as tf_graph:
        alone = Cluster()
        graph = train.build_graph(run, alone)
        logits = tf_graph.get_tensor_by_name("full_connection_2/linear:0")
        digits = tf.argmax(logits, 1)
        session = tf.Session(config=session_config(threads, bfloat16))
        session.run(tf.global_variables_initializer())
        tf_graph.finalize()

    def steps(batch_size: int, count: int) -> None:
        sized = replace(run.settings, batch_size=batch_size)
        numbers = range(1, count + 1)
        for _ in train.run_steps(session, graph, sized, data.train, numbers, alone):
            pass

    def infer() -> np.ndarray:
        return np.concatenate(
            [
                session.run(digits, {graph.images: images})
                for images in batches(data.test.images)
            ]
        )

    return Contender(steps, infer)


def batches(images: np.ndarray) -> list[np.ndarray]:
    """Return views of INFERENCE_BATCH images each."""
    starts = range(0, len(images), INFERENCE_BATCH)
    return [images[start : start + INFERENCE_BATCH] for start in starts]


def article(data: input_data.Datasets, threads: int) -> Contender:
    """Train as scripts of TensorFlow 1's time do: accuracy evaluated at every step."""
    from common.session import tf

    del threads  # such a script sets none; TensorFlow takes all cores

    def layer(x: tf.Tensor, scope: str, shape: list[int]) -> tf.Tensor:
        with tf.variable_scope(scope):
            normal = tf.truncated_normal_initializer(stddev=0.1)
            w = tf.get_variable("w_variable", shape, initializer=normal)
            constant = tf.constant_initializer(0.1)
            b = tf.get_variable("b_variable", shape[-1:], initializer=constant)
        if len(shape) == 2:
            return tf.matmul(x, w) + b
        x = tf.nn.relu(tf.nn.conv2d(x, w, [1, 1, 1, 1], "SAME") + b)
        return tf.nn.max_pool2d(x, 2, 2, "SAME")

    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [None, 784])
        one_hot = tf.placeholder(tf.float32, [None, 10])
        keep_prob = tf.placeholder(tf.float32)
        x = layer(tf.reshape(images, [-1, 28, 28, 1]), "layer_1", [5, 5, 1, 32])
        x = tf.reshape(layer(x, "layer_2", [5, 5, 32, 64]), [-1, 3136])
        x = tf.nn.relu(layer(x, "full_connection_1", [3136, 1024]))
        x = tf.nn.dropout(x, rate=1 - keep_prob)
        y = tf.nn.softmax(layer(x, "full_connection_2", [1024, 10]))
        log_y = tf.log(tf.clip_by_value(y, 1e-10, 1.0))
        loss = tf.reduce_mean(-tf.reduce_sum(one_hot * log_y, axis=1))
        train_op = tf.train.AdamOptimizer(1e-3).minimize(loss)
        digits = tf.argmax(y, 1)
        right = tf.equal(digits, tf.argmax(one_hot, 1))
        accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
        session = tf.Session()
        session.run(tf.global_variables_initializer())

    def steps(batch_size: int, count: int) -> None:
        for step in range(count):
            x, labels = input_data.batch(data.train, SEED, step, batch_size)
            y = np.eye(10, dtype=np.float32)[labels]
            session.run(train_op, {images: x, one_hot: y, keep_prob: 0.5})
            session.run(accuracy, {images: x, one_hot: y, keep_prob: 1.0})

    def infer() -> np.ndarray:
        return session.run(digits, {images: data.test.images, keep_prob: 1.0})

    return Contender(steps, infer)


def pytorch(
    data: input_data.Datasets,
    threads: int,
    bfloat16: bool = False,
    channels_last: bool = False,
    compiled: bool = False,
) -> Contender:
    """PyTorch: eager or compiled, with its fused Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 10),
    ).to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    # Not dynamic: each batch size is compiled for itself.
    forward = torch.compile(network, dynamic=False) if compiled else network
    test = torch.from_numpy(data.test.images.reshape(-1, 1, 28, 28))

    def logits(images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return forward(images)

    def steps(batch_size: int, count: int) -> None:
        network.train()
        for step in range(count):
            images, labels = input_data.batch(data.train, SEED, step, batch_size)
            images = torch.from_numpy(images.reshape(-1, 1, 28, 28))
            labels = torch.from_numpy(labels.astype(np.int64))
            loss = nn.functional.cross_entropy(logits(images).float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    def infer() -> np.ndarray:
        network.eval()
        with torch.inference_mode():
            parts = [logits(part).argmax(1) for part in test.split(INFERENCE_BATCH)]
        return torch.cat(parts).numpy()

    return Contender(steps, infer)


def keras(
    data: input_data.Datasets, threads: int, bfloat16: bool = False, jit: bool = False
) -> Contender:
    """Keras 3 on TensorFlow: fit and predict.

    Their data sets come without autotuning, whose thread makes the end of a call wait
    for as long as ten seconds; given arrays, Keras turns it on.
    """
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit)
    options = tf.data.Options()
    options.autotune.enabled = False

    def in_batches(arrays: tuple[np.ndarray, ...], batch_size: int) -> tf.data.Dataset:
        shaped = tuple(a.reshape(-1, batch_size, *a.shape[1:]) for a in arrays)
        return tf.data.Dataset.from_tensor_slices(shaped).with_options(options)

    def steps(batch_size: int, count: int) -> None:
        images = data.train.images[: batch_size * count].reshape(-1, 28, 28, 1)
        labels = data.train.labels[: batch_size * count]
        network.fit(in_batches((images, labels), batch_size), verbose=0)

    def infer() -> np.ndarray:
        images = data.test.images.reshape(-1, 28, 28, 1)
        found = network.predict(in_batches((images,), INFERENCE_BATCH), verbose=0)
        return found.argmax(axis=1)

    return Contender(steps, infer)


# The least that a step has to do: sums and products of the forward pass, and about as
# many again for the gradients of activations and of weights.
FORWARD_FLOP = 2 * (784 * 25 * 32 + 196 * 25 * 32 * 64 + 3136 * 1024 + 1024 * 10)
TRAINING_FLOP = 3 * FORWARD_FLOP  # for each image
ADAM_BYTES = 7 * 4 * 3_274_634  # read g, m, v and w, write m, v and w
SGEMM_SIZE = 2048
COPIED = 2**25  # floats


class Limits(NamedTuple):
    """What the machine can do, by operations whose time is known to be the least."""

    sgemm: Callable[[], object]  # a product of two SGEMM_SIZE x SGEMM_SIZE matrices
    copy: Callable[[], object]  # of COPIED floats


def limits(_: input_data.Datasets, threads: int, bfloat16: bool) -> Limits:
    """Time the kernels that a training step could not do without."""
    from common.session import session_config, tf

    shape = [SGEMM_SIZE, SGEMM_SIZE]
    with tf.Graph().as_default():
        # Variables: what is fed would be copied, constants folded.
        a, b = (tf.Variable(tf.random_uniform(shape, seed=1)) for _ in range(2))
        product = tf.reduce_sum(tf.matmul(a, b)).op
        session = tf.Session(config=session_config(threads, bfloat16))
        session.run(tf.global_variables_initializer())
    source, target = np.ones(COPIED, np.float32), np.zeros(COPIED, np.float32)
    parts = [
        slice(i, i + COPIED // threads) for i in range(0, COPIED, COPIED // threads)
    ]
    pool = ThreadPoolExecutor(threads)

    def copy() -> None:
        list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

    return Limits(lambda: session.run(product), copy)


Options = dict[str, bool]
LIMIT = "the limit"
CONTENDERS: dict[str, tuple[Callable[..., Contender | Limits], Options]] = {
    LIMIT: (limits, {"bfloat16": False}),
    f"{LIMIT}, bfloat16": (limits, {"bfloat16": True}),
    "this project, fp32": (graph_mode, {"bfloat16": False}),
    "this project, bfloat16": (graph_mode, {"bfloat16": True}),
    "PyTorch, fp32": (pytorch, {}),
    "PyTorch, fp32 channels_last": (pytorch, {"channels_last": True}),
    "PyTorch, bfloat16": (pytorch, {"bfloat16": True}),
    "PyTorch, bfloat16 channels_last": (
        pytorch,
        {"bfloat16": True, "channels_last": True},
    ),
    "PyTorch, bfloat16 channels_last compiled": (
        pytorch,
        {"bfloat16": True, "channels_last": True, "compiled": True},
    ),
    "Keras, fp32": (keras, {}),
    "Keras, fp32 jit_compile": (keras, {"jit": True}),
    "Keras, mixed_bfloat16": (keras, {"bfloat16": True}),
    "the article's script": (article, {}),
}


def main() -> None:
    """Answer what is asked on standard input, on what was standard output."""
    name, threads, data_dir = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # frameworks print on standard output
    _, data = input_data.load("mnist", Path(data_dir), 5000)
    build, options = CONTENDERS[name]
    contender = build(data, int(threads), **options)
    print("ready", file=answers)
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "memory":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(peak * 1024 / 1e6, file=answers)
            continue
        begun = time.perf_counter()
        getattr(contender, what)(*map(int, numbers))
        print(time.perf_counter() - begun, file=answers)


if __name__ == "__main__":
    main()
