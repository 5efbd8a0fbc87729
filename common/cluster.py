"""The workers of a run on several machines, as the variable TF_CONFIG describes them.

Each worker takes its share of the same batches and of the same random numbers. The
gradients are averaged by TensorFlow's ring collectives, over gRPC, so that all workers
take the same step that one process would take. Worker 0 saves and prints.

A run on one machine is a cluster of one: the same calls, and nothing is added.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import cli, files
from common.cli import STOPPING, UserError
from common.meeting import Meeting, MeetingError, split
from common.paths import ROOT
from common.session import tf
from common.settings import FOLDERS, Settings

ROLES = ("chief", "worker")  # in this order; a chief is the first worker
STEP_SECONDS = 600  # that a step waits for the other workers
# Settings that do not touch the numbers.
MAY_DIFFER = {*FOLDERS, "threads", "checkpoint_seconds"}
ROOMS = ("common", "saving")  # folders of what training runs, beside the root's files
LOST_SECONDS = 30  # until a worker that is gone is named
# Numbers of TensorFlow's collectives, the same on all workers.
GROUP, GRAPH = 1, 1


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
        self._noted: Sequence[int] = ()  # signals

    @property
    def leads(self) -> bool:
        """Whether this worker saves and prints."""
        return self.index == 0

    @property
    def signal(self) -> int | None:
        """The number of the signal that some worker was sent, None without one."""
        return self._noted[0] if self._noted else None

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
        workers = tf.train.ClusterSpec({"worker": list(self.meeting.addresses)})
        try:
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
        """Give all workers the variables of worker 0.

        Args:
            session: of `session`.
            variables: all of the graph, initialised.
            signals: where those that this process is sent are noted.
        """
        self._noted = signals
        if self.size == 1:
            return
        self._own_signals = signals
        self._sent = tf.placeholder(tf.float32, [len(STOPPING)])
        self._sent_to_any = self.average(self._sent)
        copies = tf.group(*[self._copy_of_first(v) for v in variables])
        self._run(session, copies)

    def run(self, session: tf.Session, fetches: Any, feed: dict) -> Any:  # noqa: ANN401
        """Run a step, at the same time as all other workers; return what is fetched.

        Raises:
            UserError: another worker was not heard of for STEP_SECONDS.
        """
        if self.size == 1:
            return session.run(fetches, feed)
        feed[self._sent] = [signum in self._own_signals for signum in STOPPING]
        results, sent = self._run(session, (fetches, self._sent_to_any), feed)
        # The workers learn of a signal in the same step, and stop after it.
        self._noted = [s for s, share in zip(STOPPING, sent, strict=True) if share]
        return results

    def _run(self, session: tf.Session, fetches: Any, feed: dict | None = None) -> Any:  # noqa: ANN401
        options = tf.RunOptions()
        options.experimental.collective_graph_key = GRAPH
        try:
            return session.run(fetches, feed, options)
        except tf.errors.OpError as error:
            time.sleep(LOST_SECONDS)  # in which the one that is gone is named
            reason = error.message.strip().splitlines()[-1]
            raise UserError(f"lost the other workers ({reason}): stopped") from None


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
    meeting = cluster.meeting
    failure: str | None = f"{meeting.name(cluster.index)} stopped"
    try:
        if cluster.size > 1:
            meeting.open(facts(settings, meeting.addresses), startup_seconds)
        yield cluster
        failure = None
    except SystemExit:  # after a signal, of which all know
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
        if path.parent in (ROOT, *(ROOT / room for room in ROOMS)):
            name = path.relative_to(ROOT).as_posix()
            found[name] = files.sha256(path)
    return found


def read_tf_config(text: str) -> tuple[list[str], int]:
    """Return the addresses of all workers, and which of them this one is.

    Args:
        text: of TF_CONFIG: '{"cluster": {"worker": ["host0:2222", "host1:2222"]},
            "task": {"type": "worker", "index": 0}}'. Without a cluster, or with one
            worker, this process is alone.

    Raises:
        UserError: it is something else.
    """
    try:
        config = json.loads(text or "{}")
        cluster = config.get("cluster") or {}
        if not cluster:
            return [""], 0
        task = config["task"]
        role, index = task["type"], int(str(task["index"]))
        addresses = [address for name in ROLES for address in cluster.get(name, [])]
        for address in addresses:
            split(address)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _wrong(f"it is {text[:200]}") from None
    for name in (*cluster, role):
        if name not in ROLES:
            raise _wrong(f"it has a {name!r}, and only workers and a chief are known")
    if len(set(addresses)) < len(addresses):
        raise _wrong("it has an address twice")
    count = len(cluster.get(role, []))
    if not 0 <= index < count:
        raise _wrong(f"it has {count} of type {role!r}, and the index is {index}")
    return addresses, index + (len(cluster.get("chief", [])) if role == "worker" else 0)


def _wrong(what: str) -> UserError:
    return UserError(
        f"TF_CONFIG cannot be used, {what}; an example: "
        '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
