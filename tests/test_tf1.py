"""tf1.py: old scripts run as they are, and what stops a script is told in one line."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import write_set
from PIL import Image

import tf1
from common.paths import ROOT

pytest.importorskip("tf_keras", reason="Keras 2 for tf1.py: requirements-tf1.txt")

OLD_SCRIPTS = ROOT / "tests" / "old_scripts"
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="session")
def many_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a separable data set that has 5,000 images for validation."""
    return write_set(tmp_path_factory.mktemp("many"), train=6003)


@pytest.fixture
def tf1_run(tmp_path: Path, many_dir: Path) -> Run:
    """Run a script in tmp_path with tf1.py; gives its status and streams."""

    def run(
        script: str, *arguments: object, data_dir: Path = many_dir, **variables: str
    ) -> subprocess.CompletedProcess:
        command = [sys.executable, ROOT / "tf1.py", "--data_dir", data_dir, script]
        return subprocess.run(
            [*map(str, command), *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def try_script(tmp_path: Path, tf1_run: Run) -> Run:
    """Write a script and run it."""

    def run(text: str, *arguments: object, **options: object) -> object:
        (tmp_path / "their.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return tf1_run("their.py", *arguments, **options)

    return run


# -------------------------------------------------------------------- old scripts

STEPS = {
    "autoencoder": 61,
    "deep_cnn": 61,
    "fully_connected_feed": 101,
    "gan": 41,
    "keras_1_cnn": 3,
    "keras_dense": 3,
    "layers_cnn": 41,
    "lstm_rows": 61,
    "save_restore": 51,
    "slim_cnn": 31,
    "softmax_regression": 61,
    "tensorflow_0": 71,
}
# Names and shapes that they print, as TensorFlow 1's documentation gives them; and the
# share that dropout keeps.
PRINTED = {
    "deep_cnn": r"kept 0\.(79|80|81)",
    "keras_1_cnn": r"th \[\(3, 3, 1, 4\), \(4,\), \(144, 10\), \(10,\)\]",
    "layers_cnn": r"net/conv1/kernel:0 1 2 8\n",
    "slim_cnn": r"\['conv2/conv2_1/BatchNorm/beta', .*/BatchNorm/moving_variance', "
    "'conv2/conv2_1/weights', 'conv2/conv2_2/BatchNorm/beta'",
}
FLAGS = {"fully_connected_feed": "--max_steps", "softmax_regression": "--steps"}


def test_each_old_script_is_tried() -> None:
    assert {path.stem for path in OLD_SCRIPTS.glob("*.py")} == STEPS.keys()


@pytest.mark.parametrize("name", sorted(STEPS))
def test_an_old_script_learns(name: str, tf1_run: Run, tmp_path: Path) -> None:
    flags = [FLAGS[name]] if name in FLAGS else []
    shutil.copy(OLD_SCRIPTS / f"{name}.py", tmp_path)
    done = tf1_run(f"{name}.py", *flags, STEPS[name])
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("data: ") for line in done.stderr.splitlines())
    assert re.search(PRINTED.get(name, ""), done.stdout)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert len(losses) >= 3
    assert losses[-1] < 0.7 * losses[0]
    if found := re.search(r"accuracy ([\d.]+)", done.stdout):
        assert float(found[1]) > 0.5  # by chance 0.1
    else:
        assert name in ("autoencoder", "gan")


# ---------------------------------------------------------- as python SCRIPT does


def test_a_script_finds_itself_and_its_neighbours(
    tmp_path: Path, try_script: Run
) -> None:
    # The names of this project's modules are the script's to use.
    for name in ("model", "train", "common", "input_data_2"):
        (tmp_path / f"{name}.py").write_text(f"value = '{name} of theirs'")
    done = try_script(
        """
        import os, sys
        import model, common, input_data_2
        from train import value
        import tensorflow as tf
        print(__name__, os.path.basename(__file__), sys.argv[1:], os.getcwd())
        print(model.value, common.value, value, input_data_2.value)
        print(sys.modules['__main__'].tf is tf, 'saving' in sys.modules)
        raise SystemExit(7)
        """,
        "--data_dir",
        "x",
    )
    assert done.stdout.splitlines() == [
        f"__main__ their.py ['--data_dir', 'x'] {tmp_path}",
        "model of theirs common of theirs train of theirs input_data_2 of theirs",
        "True False",
    ]
    assert (done.returncode, done.stderr) == (7, "")


def test_an_own_reader_wins_unless_it_is_the_old_one(
    tmp_path: Path, try_script: Run
) -> None:
    script = "import input_data\nprint(input_data.read_data_sets('d'))"
    reader = tmp_path / "input_data.py"
    reader.write_text("def read_data_sets(d): return 'their own'")
    done = try_script(script)
    assert (done.stdout, done.stderr) == ("their own\n", "")
    (tmp_path / "lib").mkdir()
    reader.rename(tmp_path / "lib" / reader.name)
    done = try_script(f"import sys\nsys.path.append('lib')\n{script}")
    assert (done.stdout, done.stderr) == ("their own\n", "")
    (tmp_path / "lib" / reader.name).rename(reader)
    reader.write_text(
        "SOURCE_URL = 'http://yann.lecun.com/exdb/mnist/'\n" + reader.read_text()
    )
    done = try_script(script)
    assert "Datasets(" in done.stdout
    assert "input_data.py is TensorFlow's old reader" in done.stderr
    assert reader.exists()


def test_files_beside_the_script_stay_as_they_are(
    try_script: Run, tmp_path: Path
) -> None:
    done = try_script("import tensorflow.contrib.slim, numpy, scipy.misc")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["their.py"]


def test_ctrl_c_ends_as_in_python(tmp_path: Path, many_dir: Path) -> None:
    script = tmp_path / "their.py"
    script.write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)")
    command = [sys.executable, str(ROOT / "tf1.py"), "their.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.send_signal(2)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert err.strip().endswith("KeyboardInterrupt")


# -------------------------------------------------------------------- one line each


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("print 'x'", "their.py line 2 is Python 2 (print or exec without brackets)"),
        ("x = (", "their.py is no Python script ("),
        ("import tensorflow as tf; tf.estimator.Estimator", "tf.estimator is gone"),
    ],
)
def test_what_is_gone_is_told_in_one_line(
    line: str, told: str, try_script: Run
) -> None:
    done = try_script(f"# -*- coding: utf-8 -*-\n{line}\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("tf1.py: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_script_may_catch_what_is_gone(try_script: Run) -> None:
    done = try_script(
        """
        import tensorflow as tf
        for line in (
            "from tensorflow.contrib import tensor_forest",
            "import tensorflow.contrib.factorization",
            "import tensorflow.contrib.eager as tfe",
            "from tensorflow.contrib import learn; learn.DNNClassifier()",
            "tf.contrib.seq2seq.dynamic_decode",
            "tf.contrib.cloud.x",
            "import tensorflow.no_such_module",
        ):
            try:
                exec(line)
            except (AttributeError, ImportError) as error:
                print(type(error).__name__, error)
        print(hasattr(tf, 'estimator'), hasattr(tf, 'no_such_name'))
        """
    )
    told = (
        "GoneModuleError tf.contrib.tensor_forest .*RandomForestClassifier",
        "GoneModuleError tf.contrib.factorization .*sklearn.cluster",
        "GoneModuleError tf.contrib.eager .*which is eager",
        "GoneError tf.contrib.learn.DNNClassifier .*tf.keras",
        "GoneError tf.contrib.seq2seq .*raw_rnn",
        "GoneError tf.contrib.cloud .*docs/tensorflow-1.md",
        "ModuleNotFoundError No module named 'tensorflow.no_such_module'",
        "False False",
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(told)
    for line, pattern in zip(lines, told, strict=True):
        assert re.match(pattern, line)


def test_missing_packages_and_scripts_are_named(try_script: Run, tf1_run: Run) -> None:
    done = try_script("import sys; sys.modules['tf_keras'] = None\nimport keras")
    assert done.stderr.startswith("tf1.py: Keras, tf.layers and tf.nn.rnn_cell need")
    assert re.search(r"--no-deps 'tf-keras==2\.\d+\.\*'\n", done.stderr)
    assert done.stderr.count("\n") == 1
    done = tf1_run("nowhere.py")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nowhere.py (No such file or directory)" in done.stderr


# ------------------------------------------------------------------------- the data


def test_the_scripts_own_folder_comes_first(tmp_path: Path, try_script: Run) -> None:
    write_set(tmp_path / "MNIST_data", train=5002)
    done = try_script(
        """
        from tensorflow.examples.tutorials.mnist import input_data
        print(input_data.read_data_sets("MNIST_data").train.num_examples)
        print(input_data.read_data_sets("empty").train.num_examples)
        from tensorflow.contrib.learn.python.learn.datasets.mnist import DataSet
        print(DataSet is input_data.DataSet)
        """
    )
    assert done.stdout.split() == ["2", "1003", "True"]
    assert "data: no MNIST in empty: using that in " in done.stderr
    assert not (tmp_path / "empty").exists()


def test_without_mnist_the_reader_says_what_to_do(
    tmp_path: Path, try_script: Run
) -> None:
    nowhere = {"data_dir": tmp_path / "none", "MNIST_MIRROR": "http://127.0.0.1:9/"}
    for script in (
        "import input_data; input_data.read_data_sets('MNIST_data')",
        "from keras.datasets import mnist; mnist.load_data()",
    ):
        done = try_script(script, **nowhere)
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 1
        assert last.startswith("tf1.py: no MNIST in ")
        assert "mnist.npz" in last
        assert "--data_dir DIR" in last
    assert [path.name for path in tmp_path.iterdir()] == ["their.py"]


def test_damaged_files_are_told_in_one_line(tmp_path: Path, try_script: Run) -> None:
    write_set(tmp_path / "MNIST_data", train=5)
    done = try_script(
        """
        import input_data
        try:
            input_data.read_data_sets("MNIST_data")
        except ValueError as error:
            print(error)
        input_data.read_data_sets("MNIST_data")
        """
    )
    assert done.stdout.startswith("validation size is 5000; it must be 0 to 5")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"tf1.py: {done.stdout.strip()}"


def test_other_packages_get_mnist_too(try_script: Run) -> None:
    done = try_script(
        """
        import gzip, urllib.request
        from keras.datasets import mnist
        import tensorflow as tf
        from sklearn.datasets import fetch_mldata
        (x, y), (a, b) = mnist.load_data()
        (z, _), _ = tf.keras.datasets.mnist.load_data()
        print(x.shape, y.shape, a.shape, b.dtype, (x == z).all())
        both = fetch_mldata('MNIST original', data_home='/tmp')
        print(both.data.shape, both.target[:3], (both.target[:6003] == sorted(y)).all())
        name = 't10k-labels-idx1-ubyte.gz'
        for url in ('http://yann.lecun.com/exdb/mnist/',
                    'https://storage.googleapis.com/cvdf-datasets/mnist/'):
            path, _ = urllib.request.urlretrieve(url + name)
            print(gzip.open(path).read()[8:] == b.tobytes())
        """
    )
    assert done.stdout.splitlines() == [
        "(6003, 28, 28) (6003,) (67, 28, 28) uint8 True",
        "(6070, 784) [0. 0. 0.] True",
        "True",
        "True",
    ]


# ------------------------------------------------------------- other packages' names


def test_lost_names_of_packages_are_back(try_script: Run, tmp_path: Path) -> None:
    done = try_script(
        """
        import numpy as np
        a = np.arange(6, dtype=np.uint8)
        print(a.tostring() == bytes(range(6)), np.reshape(a, newshape=(2, 3)).shape,
              np.reshape(a, (3, 2)).shape, np.product([2, 3]), np.asscalar(a[:1]),
              np.zeros(2, np.float).dtype, np.array(1, np.int).dtype)
        from PIL import Image
        print(np.fromstring(b'ab', dtype=np.uint8), [np.float32(0.5)],
              Image.new('L', (4, 4)).resize((2, 2), Image.ANTIALIAS).size)
        import scipy.misc
        from scipy.misc import imread, imresize
        scipy.misc.imsave('a.png', np.arange(12.).reshape(3, 4))
        b = imread('a.png')
        print(b.dtype, b.shape, b.min(), b.max(), imresize(b, (6, 8)).shape,
              imresize(b, 200, interp='nearest').shape)
        import matplotlib
        matplotlib.use('TkAgg')
        import matplotlib.pyplot as plt
        fig = plt.figure()
        fig.canvas.set_window_title('mine')
        plt.hold(True)
        plt.plot([1, 2], label='x')
        plt.legend().draggable()
        fig.canvas.draw()
        print(fig.canvas.manager.get_window_title(), len(fig.canvas.tostring_rgb()))
        from sklearn.manifold import TSNE
        print(TSNE(n_iter=300, n_components=1).get_params()['max_iter'])
        from sklearn.cross_validation import train_test_split
        import sklearn, scipy.stats
        print(hasattr(sklearn, 'model_selection'), scipy.stats.norm.name)
        """
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "True (2, 3) (3, 2) 6 0 float64 int64",
        "[97 98] [0.5] (2, 2)",
        "uint8 (3, 4) 0 255 (6, 8) (6, 8)",
        "mine 921600",
        "300",
        "True norm",
    ]


def test_a_loaded_keras_model_is_one_of_that_time(
    try_script: Run, tmp_path: Path
) -> None:
    done = try_script(
        """
        from keras.models import load_model, model_from_json, Sequential, Model
        from keras.layers import Dense, Input
        from keras.callbacks import ModelCheckpoint
        from keras.constraints import maxnorm
        from keras.datasets import mnist
        import keras.backend as K
        import numpy as np
        (x, y), _ = mnist.load_data()
        x, y = x.reshape(-1, 784) / 255., np.eye(10)[y]
        net = Sequential([Dense(10, activation='softmax', input_dim=784,
                                W_constraint=maxnorm(3))])
        copy = model_from_json(net.to_json())
        copy.compile('adadelta', 'categorical_crossentropy', metrics=['accuracy'])
        best = ModelCheckpoint('best.h5', monitor='val_accuracy', save_best_only=True)
        run = copy.fit(x, y, nb_epoch=2, validation_split=.1, verbose=0,
                       callbacks=[best])
        print(K.eval(copy.optimizer.lr), run.history['val_acc'][-1] > 0.5)
        loaded = load_model('best.h5')
        print((loaded.predict_classes(x[:50]) == y[:50].argmax(1)).mean() > 0.5,
              isinstance(loaded, Model))
        a = Input((3,))
        print(Model(input=a, output=Dense(2)(a)).output_shape)
        """
    )
    assert done.stderr == ""
    assert done.stdout == "1.0 True\nTrue True\n(None, 2)\n"


def test_what_contrib_lacks_is_named(try_script: Run) -> None:
    done = try_script(
        "import tensorflow as tf\ntf.contrib.layers.optimize_loss(1, 2, 3, 'SGD')"
    )
    assert re.fullmatch(
        r"tf1\.py: tf\.contrib\.layers\.optimize_loss is gone .*\n", done.stderr
    )


# -------------------------------------------------------------------------- figures

FIGURES = """
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.figure()
plt.show()
plt.plot([2, 1])
plt.show()
print(plt.get_fignums())
"""


def test_figures_are_saved_where_there_is_no_display(
    try_script: Run, tmp_path: Path
) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "their-2.png")
    theirs = (tmp_path / "their-2.png").read_bytes()
    for _ in range(2):  # a second run replaces its own files
        done = try_script(FIGURES)
        assert done.stdout.splitlines() == [
            f"figure {number} saved as {tmp_path}/their-{file}.png"
            for number, file in ((1, 1), (2, 3), (1, 4))
        ] + ["[]"]
    assert (tmp_path / "their-2.png").read_bytes() == theirs
    assert np.asarray(Image.open(tmp_path / "their-1.png")).std() > 0
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_interactive_figures_are_saved_once_under_one_name(
    try_script: Run, tmp_path: Path
) -> None:
    done = try_script(
        """
        import matplotlib.pyplot as plt
        plt.ion()
        for i in range(3):
            plt.cla()
            plt.plot([i, 2])
            plt.pause(0.01)
        plt.waitforbuttonpress()
        """
    )
    assert done.stdout == f"figure 1 saved as {tmp_path}/their-1.png\n"


def test_an_animation_plays_once(try_script: Run, tmp_path: Path) -> None:
    # Scripts train in the callback of an animation.
    done = try_script(
        """
        import matplotlib.pyplot as plt
        from matplotlib.animation import FuncAnimation
        fig = plt.figure()
        line, = plt.plot([0, 0])
        def step(i):
            if i: print('step', i)
            line.set_ydata([i, 0])
        animation = FuncAnimation(fig, step, 4, interval=16)
        plt.show()
        """
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"figure 1 saved as {tmp_path}/their-1.png",
        "step 1",
        "step 2",
        "step 3",
    ]


def test_a_backend_that_is_asked_for_is_used(try_script: Run, tmp_path: Path) -> None:
    script = "import matplotlib.pyplot as plt; plt.plot([1]); print(plt.get_backend())"
    assert try_script(script, MPLBACKEND="svg").stdout == "svg\n"
    script = f"import matplotlib; matplotlib.use('Agg')\n{script}; plt.show()"
    assert try_script(script).stdout.lower() == "agg\n"
    assert not list(tmp_path.glob("*.png"))


# ------------------------------------------------------------------------ the tables


def test_every_name_of_the_table_leads_somewhere(try_script: Run) -> None:
    script = f"""
    import importlib
    import tensorflow

    for name in {sorted(tf1.NAMES)}:
        above, _, last = name.replace("tf.", "tensorflow.", 1).rpartition(".")
        try:
            module = importlib.import_module(above) if above else tensorflow
        except ImportError:  # a class, say
            holder, _, inner = above.rpartition(".")
            module = getattr(importlib.import_module(holder), inner)
        try:
            getattr(module, last) if above else importlib.import_module(last)
        except AttributeError:
            importlib.import_module(f"{{above}}.{{last}}")
    print("all found")
    """
    done = try_script(script)
    assert (done.stdout, done.stderr) == ("all found\n", "")


def test_the_page_has_every_name_of_the_tables() -> None:
    page = (ROOT / "docs" / "tensorflow-1.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row[0])}
    keys = tf1.NAMES.keys() | tf1.GONE.keys()
    keys |= {f"{m}.{name}" for m, names in tf1.ADDED.items() for name in names}
    assert keys - named == set()
    now = {
        name: row[1]
        for row in rows
        for name in re.findall(r"`([\w.]+)`", row[0])
        if name in tf1.NAMES
    }
    moved = {k: v for k, v in tf1.NAMES.items() if k[:3] == v[:3] == "tf."}
    assert {k for k, v in moved.items() if f"`{v}`" not in now[k]} == set()


def test_tf1_fits_on_250_lines() -> None:
    assert len((ROOT / "tf1.py").read_text(encoding="utf-8").splitlines()) <= 250
