"""TensorFlow 1's graph mode on today's TensorFlow, imported without its noise.

`tf` is `tensorflow.compat.v1`. No global switch is needed: inside
``with tf.Graph().as_default(), tf.Session(config=...)`` everything is graph mode.
"""

import contextlib
import functools
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Start-up messages of static initialisers, printed before any log level is read; and
# what the TFLite converter prints at any level.
_NOISE = re.compile(
    rb"WARNING: All log messages before absl|To enable the following instructions|"
    rb"[IWE]\d{4} \d\d:|\d{4}-\d\d-\d\d .*: [IWE] |"
    rb"fully_quantize: |INFO: Created TensorFlow Lite"
)


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; print all but the noise later.

    Nothing is held back where it is closed or no temporary file can be made.
    """
    try:
        stderr, held = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115
    except OSError:
        yield
        return
    with held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            with contextlib.suppress(OSError):  # nobody reads it, or its disk is full
                for line in held:
                    if not _NOISE.match(line):
                        os.write(2, line)


@contextlib.contextmanager
def _without_traceback() -> Iterator[None]:
    """Exit at Ctrl-C: an import takes seconds and has nothing to save."""
    try:
        yield
    except KeyboardInterrupt:
        if hasattr(sys, "ps1"):  # a prompt or a notebook goes on
            raise
        raise SystemExit(130) from None


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Keep TensorFlow from importing Keras 3, which takes two of its five seconds.

    TensorFlow imports it unless this variable asks for Keras 2, tf-keras, which is
    hidden meanwhile if it is installed. Both are as they were afterwards, so that
    tf.keras still works for whoever uses it.
    """
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    hidden = "tf_keras" not in sys.modules
    if hidden:
        sys.modules["tf_keras"] = None
    try:
        yield
    finally:
        if hidden:
            del sys.modules["tf_keras"]
        del os.environ["TF_USE_LEGACY_KERAS"]
        if before is not None:
            os.environ["TF_USE_LEGACY_KERAS"] = before


# Unasked, TensorFlow takes oneDNN's kernels where the CPU has AVX-512 alone. With AVX2
# the convolutional network trains 1.3 (batches of 10) to 1.6 times (of 100) as fast
# in them, too (AMD Zen 3).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# A user who sets another level wants to see the messages.
_QUIET = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
if _QUIET:
    with _without_traceback(), without_noise(), _without_keras():
        import tensorflow.compat.v1 as tf
else:
    import tensorflow.compat.v1 as tf
tf.logging.set_verbosity(tf.logging.ERROR)

__all__ = [
    "available_cores",
    "cpu_has_bfloat16",
    "session_config",
    "tf",
    "without_noise",
]


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16, as /proc/cpuinfo says."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@functools.cache
def _open_a_session(threads: int) -> None:
    """Open a Session for nothing but its noise: TensorFlow 2.17 to 2.20 have some."""
    config = tf.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
    )
    with (
        without_noise(),
        tf.Graph().as_default(),
        tf.Session(config=config) as session,
    ):
        session.run(tf.constant(0))


def session_config(threads: int, bfloat16: bool) -> tf.ConfigProto:
    """Return the configuration of a Session.

    Args:
        threads: threads of one operation; results are bit-identical for one number.
        bfloat16: let convolutions and matrix products run in bfloat16, with float32
            variables and sums.
    """
    if _QUIET and re.match(r"2\.(17|18|19|20)\.", tf.__version__):
        _open_a_session(threads)
    config = tf.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
    )
    if bfloat16:
        rewrites = config.graph_options.rewrite_options
        rewrites.auto_mixed_precision_onednn_bfloat16 = 1  # RewriterConfig.ON
    return config
