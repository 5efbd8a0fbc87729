"""Run a script written for TensorFlow 1 as it is, on today's TensorFlow.

    python tf1.py SCRIPT [ARGUMENTS]

The tables are what TensorFlow 1 had, and where it is now. In them `tf` stands for
tensorflow.compat.v1, tf_keras for the package tf-keras, and tensorflow_1 for the files
that make up for what is nowhere. docs/tensorflow-1.md has the same tables with the
words that someone needs who changes a script by hand.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from common import cli, paths
from tensorflow_1 import hooks, running

KERAS = "tf_keras.api._v1.keras"  # Keras 2 for graph mode
CALLS, CELLS = "tensorflow_1.calls", "tensorflow_1.cells"
LAYERS, OLD_KERAS = "tensorflow_1.layers", "tensorflow_1.keras_1"
MNIST = "tf.examples.tutorials.mnist"

NAMES = {
    # TensorFlow 0.x
    "tf.batch_matmul": "tf.matmul", "tf.complex_abs": "tf.abs",
    "tf.concat": f"{CALLS}.concat",
    "tf.histogram_summary": f"{CALLS}.histogram_summary",
    "tf.image.per_image_whitening": "tf.image.per_image_standardization",
    "tf.image.resize_images": f"{CALLS}.resize_images",
    "tf.image_summary": f"{CALLS}.image_summary", "tf.inv": "tf.reciprocal",
    "tf.listdiff": "tf.setdiff1d", "tf.merge_all_summaries": "tf.summary.merge_all",
    "tf.merge_summary": "tf.summary.merge", "tf.mul": "tf.multiply",
    "tf.neg": "tf.negative", "tf.nn.deconv2d": "tf.nn.conv2d_transpose",
    "tf.pack": "tf.stack", "tf.scalar_summary": f"{CALLS}.scalar_summary",
    "tf.reverse": f"{CALLS}.reverse", "tf.select": "tf.where",
    "tf.split": f"{CALLS}.split", "tf.sub": "tf.subtract", "tf.unpack": "tf.unstack",
    "tf.train.SummaryWriter": "tf.summary.FileWriter",
    # Losses by position: (logits, labels).
    "tf.nn.sigmoid_cross_entropy_with_logits": f"{CALLS}.sigmoid_cross_entropy",
    "tf.nn.softmax_cross_entropy_with_logits": f"{CALLS}.softmax_cross_entropy",
    "tf.nn.sparse_softmax_cross_entropy_with_logits": (
        f"{CALLS}.sparse_softmax_cross_entropy"
    ),
    # MNIST
    f"{MNIST}.input_data": "tensorflow_1.data.input_data",
    f"{MNIST}.input_data.load_mnist": "tensorflow_1.data.load_mnist",
    f"{MNIST}.input_data.read_data_sets": "tensorflow_1.data.read_data_sets",
    f"{MNIST}.mnist": "tensorflow_1.mnist",
    "input_data": f"{MNIST}.input_data",
    "tf.contrib.learn.datasets.load_dataset": "tensorflow_1.data.load_dataset",
    "tf.contrib.learn.datasets.mnist": f"{MNIST}.input_data",
    "tf.contrib.learn.python.learn.datasets.base": f"{MNIST}.input_data",
    "tf.contrib.learn.python.learn.datasets.mnist": f"{MNIST}.input_data",
    "tf.keras.datasets.mnist.load_data": "tensorflow_1.data.load_data",
    "keras.datasets.mnist.load_data": "tensorflow_1.data.load_data",
    # layers and recurrent networks
    "tf.layers": f"{KERAS}.__internal__.legacy.layers",
    "tf.nn.rnn_cell": f"{KERAS}.__internal__.legacy.rnn_cell",
    "tf.nn.rnn_cell.MultiRNNCell": f"{CALLS}.multi_rnn_cell",
    "tf.nn.rnn": "tf.nn.static_rnn",
    "tf.nn.bidirectional_rnn": "tf.nn.static_bidirectional_rnn",
    "tf.python.ops.rnn_cell": "tf.nn.rnn_cell", "tf.python.ops.constant_op": "tf",
    "tf.models.rnn.rnn": "tf.nn",
    "tf.models.rnn.rnn.bidirectional_rnn": f"{CALLS}.bidirectional_rnn",
    "tf.models.rnn.rnn_cell": "tf.nn.rnn_cell",
    "tf.models.rnn.rnn_cell.BasicLSTMCell": f"{CALLS}.basic_lstm_cell",
    "tf.contrib.rnn": "tf.nn.rnn_cell",
    "tf.contrib.rnn.GRUBlockCell": "tf.nn.rnn_cell.GRUCell",
    "tf.contrib.rnn.LSTMBlockCell": "tf.nn.rnn_cell.BasicLSTMCell",
    "tf.contrib.rnn.InputProjectionWrapper": f"{CELLS}.InputProjectionWrapper",
    "tf.contrib.rnn.OutputProjectionWrapper": f"{CELLS}.OutputProjectionWrapper",
    **{f"tf.contrib.rnn.python.ops.{p}": "tf.nn" for p in ("core_rnn", "rnn")},
    "tf.contrib.rnn.python.ops.core_rnn_cell": "tf.nn.rnn_cell",
    "tf.contrib.rnn.python.ops.rnn_cell": "tf.nn.rnn_cell",
    "tf.contrib.rnn.static_bidirectional_rnn": "tf.nn.static_bidirectional_rnn",
    "tf.contrib.rnn.static_rnn": "tf.nn.static_rnn",
    # the rest of contrib
    "tf.contrib.data": "tf.data",
    **{
        f"tf.contrib.deprecated.{kind}_summary": f"tf.{kind}_summary"
        for kind in ("histogram", "image", "scalar")
    },
    "tf.contrib.distributions": "tf.distributions",
    "tf.contrib.framework.add_arg_scope": "tensorflow_1.arg_scope.add_arg_scope",
    "tf.contrib.framework.arg_scope": "tensorflow_1.arg_scope.arg_scope",
    "tf.contrib.framework.create_global_step": "tf.train.create_global_step",
    "tf.contrib.framework.get_global_step": "tf.train.get_global_step",
    "tf.contrib.framework.get_or_create_global_step": (
        "tf.train.get_or_create_global_step"
    ),
    "tf.contrib.framework.get_trainable_variables": f"{CALLS}.get_trainable_variables",
    "tf.contrib.framework.get_variables": f"{CALLS}.get_variables",
    "tf.contrib.framework.get_model_variables": "tf.model_variables",
    "tf.contrib.framework.list_variables": "tf.train.list_variables",
    "tf.contrib.framework.load_variable": "tf.train.load_variable",
    "tf.contrib.framework.nest": "tf.nest",
    "tf.contrib.framework.python.ops": "tf.contrib.framework",
    **{f"tf.contrib.keras{p}": "tf.keras" for p in ("", ".api.keras", ".python.keras")},
    "tf.contrib.layers": LAYERS,
    **{
        f"tf.contrib.layers.python.layers{part}": LAYERS
        for part in ("", ".initializers", ".layers", ".regularizers")
    },
    "tf.contrib.losses": "tensorflow_1.losses",
    "tf.contrib.metrics.accuracy": f"{CALLS}.accuracy",
    "tf.contrib.metrics.confusion_matrix": "tf.math.confusion_matrix",
    "tf.contrib.metrics.streaming_accuracy": f"{CALLS}.streaming_accuracy",
    "tf.contrib.slim": LAYERS,
    "tf.contrib.slim.get_model_variables": "tf.model_variables",
    "tf.contrib.slim.get_trainable_variables": f"{CALLS}.get_trainable_variables",
    "tf.contrib.slim.get_variables": f"{CALLS}.get_variables",
    "tf.contrib.slim.losses": "tensorflow_1.losses",
    "tf.contrib.tensorboard.plugins.projector": "tensorboard.plugins.projector",
    # Keras 1 and 2
    "tf.keras": KERAS, "keras": KERAS,
    "keras.backend.image_dim_ordering": f"{OLD_KERAS}.image_dim_ordering",
    "keras.backend.set_image_dim_ordering": f"{OLD_KERAS}.set_image_dim_ordering",
    "keras.backend.tensorflow_backend": "keras.backend",
    "keras.constraints.maxnorm": "keras.constraints.MaxNorm",
    "keras.engine.InputSpec": "keras.layers.InputSpec",
    "keras.engine.Layer": "keras.layers.Layer", "keras.objectives": "keras.losses",
    "keras.engine.topology": "keras.layers",
    "keras.layers.Convolution2D": f"{OLD_KERAS}.Conv2D",
    "keras.layers.Deconvolution2D": "keras.layers.Conv2DTranspose",
    "keras.utils.visualize_util.plot": "keras.utils.plot_model",
    **{
        f"keras.utils.{part}_utils": "keras.utils"
        for part in ("data", "generic", "io", "layer", "np", "vis")
    },
    **{
        f"keras.layers.{part}": "keras.layers"
        for part in (
            "advanced_activations", "convolutional", "core", "embeddings", "merge",
            "noise", "normalization", "pooling", "recurrent", "wrappers",
        )
    },
    **{
        f"keras.{name}": f"{OLD_KERAS}.{name.rpartition('.')[2]}"
        for name in (
            "Model", "Sequential", "engine.Model", "engine.training.Model",
            "layers.AveragePooling2D", "layers.Conv2D", "layers.Dense",
            "layers.Dropout", "layers.GRU", "layers.LSTM", "layers.MaxPooling2D",
            "layers.SimpleRNN", "layers.UpSampling2D", "layers.ZeroPadding2D",
            "models.Model", "models.Sequential", "models.load_model",
            "models.model_from_json", "optimizers.Adadelta",
            "optimizers.Adagrad", "optimizers.Adamax", "optimizers.Nadam",
        )
    },
    **{f"tf.keras.{n}": f"{OLD_KERAS}.{n}" for n in ("Model", "Sequential")},
    **{f"tf.keras.models.{name}": f"{OLD_KERAS}.{name}" for name in (
        "Model", "Sequential", "load_model", "model_from_json"
    )},
    # packages beside TensorFlow whose modules have moved
    "scipy.misc": "tensorflow_1.scipy_misc",
    "sklearn.cross_validation": "sklearn.model_selection",
    "sklearn.externals.joblib": "joblib",
}  # fmt: skip

KERAS_INSTEAD = "write the network with tf.keras, or with tf.layers and a Session"
DECODER_INSTEAD = "write the decoder with tf.nn.raw_rnn"
GONE = {
    "tf.contrib.eager": "run the script with TensorFlow 2 itself, which is eager",
    "tf.contrib.factorization": "use sklearn.cluster or sklearn.decomposition",
    "tf.contrib.learn": KERAS_INSTEAD,
    "tf.contrib.legacy_seq2seq": DECODER_INSTEAD,
    "tf.contrib.opt": "use an optimizer of tf.train",
    "tf.contrib.seq2seq": DECODER_INSTEAD,
    "tf.contrib.slim.learning": "write the loop with a Session and tf.train",
    "tf.contrib.tensor_forest": "use sklearn.ensemble.RandomForestClassifier",
    "tf.estimator": KERAS_INSTEAD,
    "tf.python.estimator": KERAS_INSTEAD,
    "tf.nn.seq2seq": DECODER_INSTEAD,
    "keras.initializations": "use keras.initializers",
    "keras.wrappers": "use the package scikeras",
    "keras.layers.Merge": "use keras.layers.concatenate, add or multiply",
}

PACKAGES = "tensorflow_1.packages"
ADDED = {  # names that other packages have lost, or whose arguments have moved
    "numpy": {
        "Inf": "numpy.inf", "NaN": "numpy.nan", "alltrue": "numpy.all",
        "asscalar": f"{PACKAGES}.asscalar", "bool": "builtins.bool",
        "cumproduct": "numpy.cumprod", "float": "builtins.float",
        "float_": "numpy.float64", "fromstring": f"{PACKAGES}.fromstring",
        "in1d": "numpy.isin", "int": "builtins.int", "long": "builtins.int",
        "mat": "numpy.asmatrix", "ndarray.tostring": "numpy.ndarray.tobytes",
        "object": "builtins.object", "product": "numpy.prod",
        "reshape": f"{PACKAGES}.reshape", "round_": "numpy.round",
        "row_stack": "numpy.vstack", "sometrue": "numpy.any", "str": "builtins.str",
        "trapz": "numpy.trapezoid", "unicode": "builtins.str",
    },
    "PIL.Image": {"ANTIALIAS": "PIL.Image.LANCZOS"},
    "matplotlib": {"use": f"{PACKAGES}.use"},
    "matplotlib.backend_bases": {
        "FigureCanvasBase.set_window_title": f"{PACKAGES}.set_window_title",
    },
    "matplotlib.backends.backend_agg": {
        "FigureCanvasAgg.tostring_rgb": f"{PACKAGES}.tostring_rgb",
    },
    "matplotlib.cm": {"get_cmap": f"{PACKAGES}.get_cmap"},
    "matplotlib.legend": {"Legend.draggable": f"{PACKAGES}.draggable"},
    "matplotlib.pyplot": {"hold": f"{PACKAGES}.hold"},
    "sklearn.datasets": {"fetch_mldata": "tensorflow_1.data.fetch_mldata"},
    "sklearn.manifold": {"TSNE": f"{PACKAGES}.tsne"},
}  # fmt: skip

INSTALL = {  # what scripts import, and the package that has it
    "cv2": "opencv-python-headless", "imageio": "imageio", "pandas": "pandas",
    "seaborn": "seaborn", "skimage": "scikit-image", "tensorboard": "tensorboard",
    "torch": "torch",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a script; exit with its status.

    Args:
        arguments: the command line; None for that of the process.
    """
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data_dir",
        type=paths.from_here,
        default=paths.DATA_DIR,
        metavar="DIR",
        help="folder of MNIST for a script whose own has none (default: data)",
    )
    parser.add_argument("script", metavar="SCRIPT", type=paths.from_here)
    parser.add_argument("arguments", metavar="ARGUMENTS", nargs=argparse.REMAINDER)
    flags = parser.parse_args(arguments)
    code = running.compiled(flags.script)
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    if not running.has_display():
        os.environ.setdefault("MPLBACKEND", "module://tensorflow_1.figures")
    warnings.filterwarnings("ignore", ".*(deprecated|removed in a future version|HDF5)")
    hooks.install(NAMES, GONE, ADDED, flags.data_dir)
    command_line = sys.argv
    try:
        status = running.run(code, flags.script, flags.arguments, INSTALL)
    finally:
        sys.argv = command_line  # it names the program in a message
    sys.exit(status)


if __name__ == "__main__":
    cli.run(main)
