"""The workers of a run on several machines, as the variable TF_CONFIG describes them.

Each worker takes its share of the same batches and of the same random numbers. The
gradients are averaged by TensorFlow's ring collectives, over gRPC, so that all workers
take the same step that one process would take. Worker 0 saves and prints.

A run on one machine is a cluster of one: the same calls, and nothing is added.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import cli, files
from common.cli import STOPPING, UserError
from common.meeting import Meeting, MeetingError
from common.paths import ROOT
from common.session import tf, without_noise
from common.settings import FOLDERS, Settings
from common.tf_config import host_and_port, read_tf_config

STEP_SECONDS = 600  # that a worker waits for the others in a step
LOST_SECONDS = 30  # until a worker that is gone has been named
MAY_DIFFER = {*FOLDERS, "threads", "checkpoint_seconds"}  # of the settings
COMPARED = ("", "common", "saving")  # folders of the files that training runs
# Numbers of TensorFlow's collectives, the same on all workers.
GROUP, GRAPH = 1, 1
# What TensorFlow raises where another worker is the reason.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


_server_runs = threading.Event()  # for good: TensorFlow cannot end it


class Cluster:
    """The workers of a run, seen from one of them."""

    def __init__(self, addresses: Sequence[str] = ("",), index: int = 0) -> None:
        """Describe the workers.

        Args:
            addresses: host:port of each, worker 0 first.
            index: which of them this process is.
        """
        self.size, self.index = len(addresses), index
        self.meeting = Meeting(addresses, index)
        self._instances = 0  # collectives so far
        self._own_signals: Sequence[int] = ()  # that this process was sent
        self._signals: Sequence[int] = ()  # that some worker was sent
        self._sent: tf.Tensor | None = None  # what each worker feeds: its own
        self._sent_to_any: tf.Tensor | None = None

    @property
    def leads(self) -> bool:
        """Whether this worker saves and prints."""
        return self.index == 0

    @property
    def signal(self) -> int | None:
        """The number of the signal that some worker was sent, None without one."""
        return self._signals[0] if self._signals else None

    def part(self, batch_size: int) -> slice:
        """Return which examples of a batch are this worker's."""
        count = batch_size // self.size
        return slice(self.index * count, (self.index + 1) * count)

    def refuse_uneven(self, batch_size: int) -> None:
        """Raise UserError where the workers cannot share a batch evenly."""
        if batch_size % self.size:
            raise UserError(
                f"BATCH_SIZE is {batch_size}; on {self.size} workers it must be a "
                f"multiple of {self.size}"
            )

    # ------------------------------------------------------------------------- graph

    @contextlib.contextmanager
    def session(self, config: tf.ConfigProto) -> Iterator[tf.Session]:
        """Open a session for the default graph, on this worker's device.

        Raises:
            UserError: TensorFlow cannot listen at this worker's address.
        """
        if self.size == 1:
            with tf.Session(config=config) as session:
                yield session
            return
        config.experimental.collective_group_leader = "/job:worker/replica:0/task:0"
        rewrites = config.graph_options.rewrite_options
        if rewrites.auto_mixed_precision_onednn_bfloat16:
            # A server refuses fused convolutions in bfloat16.
            rewrites.remapping = 2  # RewriterConfig.OFF
        _server_runs.set()
        hosts = [host_and_port(address)[0] for address in self.meeting.addresses]
        # A proxy is not for them; gRPC knows the variable in small letters alone.
        os.environ["no_grpc_proxy"] = ",".join(hosts)  # noqa: SIM112
        workers = tf.train.ClusterSpec({"worker": list(self.meeting.addresses)})
        try:
            with without_noise():  # of TensorFlow 2.18
                server = tf.train.Server(workers, "worker", self.index, config=config)
        except tf.errors.OpError as error:
            name = self.meeting.name(self.index)
            raise UserError(f"{name} cannot be started: {error.message}") from None
        device = f"/job:worker/task:{self.index}"
        with tf.device(device), tf.Session(server.target, config=config) as session:
            yield session

    def average(self, tensor: tf.Tensor) -> tf.Tensor:
        """Return the mean of a float tensor over all workers, the same on each."""
        if self.size == 1:
            return tensor
        return tf.raw_ops.CollectiveReduce(
            input=tensor,
            merge_op="Add",
            final_op="Div",  # by the number of workers
            subdiv_offsets=[0],
            timeout_seconds=STEP_SECONDS,
            **self._collective(),
        )

    def _copy_of_first(self, variable: tf.Variable) -> tf.Operation:
        """Return the operation that gives a variable worker 0's value."""
        options = self._collective() | {"shape": variable.shape}
        if self.leads:
            return tf.raw_ops.CollectiveBcastSend(input=variable, **options)
        dtype = variable.dtype.base_dtype
        value = tf.raw_ops.CollectiveBcastRecv(T=dtype, **options)
        return variable.assign(value).op

    def _collective(self) -> dict[str, Any]:
        """Return what all collectives are given; each has a number of its own."""
        self._instances += 1
        return {
            "group_size": self.size,
            "group_key": GROUP,
            "instance_key": self._instances,
            "communication_hint": "ring",
        }

    # ------------------------------------------------------------------------- steps

    def start(
        self,
        session: tf.Session,
        variables: Sequence[tf.Variable],
        signals: Sequence[int],
    ) -> None:
        """Give all workers the variables of worker 0; they are connected then.

        Args:
            session: of `session`.
            variables: all of the graph, initialised.
            signals: where those that this process is sent are noted.
        """
        self._own_signals = self._signals = signals
        if self.size > 1:
            self._sent = tf.placeholder(tf.float32, [len(STOPPING)])
            self._sent_to_any = self.average(self._sent)
            copies = tf.group(*[self._copy_of_first(v) for v in variables])
            self._run(session, copies, {})
        self.meeting.connected()

    def run(self, session: tf.Session, fetches: Any, feed: dict) -> Any:  # noqa: ANN401
        """Run a step, at the same time as all other workers; return what is fetched.

        Raises:
            UserError: the other workers were lost.
        """
        if self.size == 1:
            return session.run(fetches, feed)
        sent = {self._sent: [signum in self._own_signals for signum in STOPPING]}
        results, sent = self._run(session, (fetches, self._sent_to_any), feed | sent)
        # The workers learn of a signal in the same step, and stop after it.
        self._signals = [s for s, share in zip(STOPPING, sent, strict=True) if share]
        return results

    def _run(self, session: tf.Session, fetches: Any, feed: dict) -> Any:  # noqa: ANN401
        options = tf.RunOptions()
        options.experimental.collective_graph_key = GRAPH
        try:
            return session.run(fetches, feed, options)
        except LOST:
            time.sleep(LOST_SECONDS)  # the meeting names who is gone, and exits
            raise UserError("a step failed on another worker: stopped") from None


@contextlib.contextmanager
def joined(settings: Settings, startup_seconds: float) -> Iterator[Cluster]:
    """Give the workers of TF_CONFIG, when all have started.

    Args:
        settings: of the run, on this worker.
        startup_seconds: to wait for the others at most.

    Raises:
        UserError: TF_CONFIG is wrong, somebody is missing, or differs from worker 0.
    """
    cluster = Cluster(*read_tf_config(os.environ.get("TF_CONFIG", "")))
    if _server_runs.is_set():
        raise UserError(
            "this process has trained with other workers already, and TensorFlow keeps "
            "its port: start another process, or unset TF_CONFIG"
        )
    meeting = cluster.meeting
    failure: str | None = f"{meeting.name(cluster.index)} stopped"
    try:
        if cluster.size > 1:
            meeting.open(facts(settings, meeting.addresses), startup_seconds)
        yield cluster
        failure = None
    except SystemExit:  # after a signal, of which all workers know
        failure = None
        raise
    except Exception as error:
        reason = cli.reason(error)
        failure = reason if isinstance(error, MeetingError) else f"{failure}: {reason}"
        raise
    finally:
        meeting.close(failure)


def facts(settings: Settings, addresses: Sequence[str]) -> dict[str, str]:
    """Return what must be the same on all workers, as text by name.

    That is the cluster, the constants that touch the numbers, the packages and the
    project's own files.
    """
    found = {"the cluster in TF_CONFIG": ", ".join(addresses)}
    for name, value in vars(settings).items():
        if name not in MAY_DIFFER:
            found[name.upper()] = str(value)
    found |= {"TensorFlow": tf.__version__, "NumPy": np.__version__}
    for module in list(sys.modules.values()):
        path = Path(getattr(module, "__file__", None) or os.devnull).resolve()
        if path.parent in [ROOT / folder for folder in COMPARED]:
            name = path.relative_to(ROOT).as_posix()
            found[name] = files.sha256(path)
    return found
