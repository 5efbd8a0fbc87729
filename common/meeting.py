"""How the workers of a run meet before TensorFlow connects them, and stay in touch.

TensorFlow's servers wait for a missing worker without end, and name none that dies. So
the workers first meet over plain TCP. Worker 0 listens at its own address. A message is
a line of JSON:

1. each other worker says `hello`: who it is and what it would run with; worker 0
   answers `welcome`;
2. worker 0 compares that with its own and sends the `run`;
3. each worker loads its data, tries whether it reaches all others, and is `ready`;
4. when all are, worker 0 says `go`, and `done` at the end of the run.

A worker that fails sends `stop` and the reason. A worker whose connection ends without
a word is gone. Worker 0 tells the others.
"""

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from tqdm import tqdm

from common import cli
from common.cli import UserError
from common.tf_config import host_and_port

HELLO_SECONDS = 1.0  # that worker 0 waits for the hello of what has connected
CONNECT_SECONDS = 5.0
RETRY_SECONDS = 0.5
LINE_BYTES = 2**26  # of a message at most
# A silent connection is tested after 5 seconds, three times: it is lost after 20.
KEEPALIVE = {
    "TCP_KEEPIDLE": 5,  # seconds
    "TCP_KEEPALIVE": 5,  # the same on macOS
    "TCP_KEEPINTVL": 5,  # seconds
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,  # milliseconds, for what was sent
}

Message = dict[str, Any]
GONE: Message = {}  # stands for the end of a connection


class MeetingError(UserError):
    """An error whose text makes sense on every worker: it says who failed."""


class Connection:
    """A TCP connection to another worker."""

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connected socket."""
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._socket = connected
        self._received = b""

    def send(self, **message: object) -> None:
        """Send a message; nothing happens where the other end is gone."""
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, seconds: float | None = None) -> Message:
        """Wait for the next message.

        Args:
            seconds: to wait at most; None for as long as it takes.

        Returns:
            The message; GONE if the connection ended, or what came is no message.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            while b"\n" not in self._received:
                if deadline is not None:
                    left = deadline - time.monotonic()
                    self._socket.settimeout(max(1e-3, left))
                data = self._socket.recv(2**16)
                late = deadline is not None and time.monotonic() > deadline
                if not data or late or len(self._received) > LINE_BYTES:
                    return GONE
                self._received += data
            self._socket.settimeout(None)
            line, _, self._received = self._received.partition(b"\n")
            message = json.loads(line)
        except (OSError, ValueError, RecursionError):
            return GONE
        return message if isinstance(message, dict) else GONE

    def end(self) -> None:
        """Tell the other end that nothing more will come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)


class Meeting:
    """The connections of one worker: to worker 0, or from it to all others."""

    def __init__(self, addresses: Sequence[str], index: int) -> None:
        """Meet nobody yet.

        Args:
            addresses: host:port of each worker; one worker has nobody to meet.
            index: which of them this process is.
        """
        self.addresses, self.index = addresses, index
        self._connections: dict[int, Connection] = {}  # by worker
        # What the others say, and their GONE: worker, connection, message.
        self._inbox: queue.Queue[tuple[int, Connection, Message]] = queue.Queue()
        self._listener: socket.socket | None = None  # until TensorFlow needs its port
        self._seconds = 0.0  # for each part of the start
        self._timer: threading.Timer | None = None  # until TensorFlow has connected all
        self._no_more_steps = threading.Event()
        self._done = threading.Event()  # worker 0 is
        self._closing = threading.Event()  # this worker is
        self._dying = threading.Lock()

    def name(self, worker: int) -> str:
        """Return what messages call a worker."""
        return f"worker {worker} ({self.addresses[worker]})"

    # ------------------------------------------------------------------------ hello

    def open(self, facts: Mapping[str, str], seconds: float) -> None:
        """Wait until worker 0 has heard from all others.

        Args:
            facts: by name, what must be the same on all workers.
            seconds: that each part of the start may take.

        Raises:
            UserError: a worker is missing or different, or the port is taken.
        """
        self._seconds = seconds
        self._listener = _listener(self.addresses[self.index])
        if self.index:
            print(f"{self.name(self.index)} waits for {self.name(0)}")
            self._meet_first(facts)
        else:
            print(f"{self.name(0)} waits for {len(self.addresses) - 1} more")
            for worker, theirs in sorted(self._meet_others().items()):
                self._compare(facts, theirs, worker)

    def _meet_others(self) -> dict[int, dict[str, str]]:
        """Accept connections until all workers have said hello; return their facts."""
        deadline = time.monotonic() + self._seconds
        facts: dict[int, dict[str, str]] = {}
        while missing := set(range(1, len(self.addresses))) - facts.keys():
            if time.monotonic() > deadline:
                raise MeetingError(
                    f"not started within {self._seconds:g} s: {self._names(missing)}: "
                    "start train.py there, or wait longer with --startup_seconds"
                )
            self._listener.settimeout(RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                connected, _ = self._listener.accept()
                self._hear(Connection(connected), facts)
            self._forget_who_left(facts)
        return facts

    def _forget_who_left(self, facts: dict[int, dict[str, str]]) -> None:
        """Forget workers that left while others were missing: they may come again."""
        while not self._inbox.empty():
            worker, connection, _ = self._inbox.get()
            if self._connections.get(worker) is connection:
                del self._connections[worker], facts[worker]

    def _hear(self, connection: Connection, facts: dict[int, dict[str, str]]) -> None:
        """Welcome a worker that says hello; ignore whatever else has connected."""
        hello = connection.receive(HELLO_SECONDS)
        try:
            worker, theirs = int(hello["hello"]), dict(hello["facts"])
        except (LookupError, TypeError, ValueError):
            connection.end()  # a scanner, say
            return
        self._forget_who_left(facts)
        known = self._connections.get(worker)
        if known or worker not in range(1, len(self.addresses)):
            text = (
                f"two processes were started as worker {worker}"
                if known
                else f"worker {worker} said hello to a cluster of {len(self.addresses)}"
            )
            text += ": give every host the same cluster in TF_CONFIG, and its own index"
            connection.send(stop=text)
            raise MeetingError(text)
        connection.send(welcome=True)
        self._connections[worker], facts[worker] = connection, theirs
        self._read(worker)

    def _compare(
        self, ours: Mapping[str, str], theirs: Mapping[str, str], worker: int
    ) -> None:
        """Raise MeetingError where another worker would run with something else."""
        for name in [*ours, *theirs]:
            here, there = ours.get(name), theirs.get(name)
            if here == there:
                continue
            if name.endswith(".py"):
                raise MeetingError(
                    f"{name} on {self.name(worker)} differs from that on "
                    f"{self.name(0)}: copy the same files to every host"
                )
            raise MeetingError(
                f"{name} is {there} on {self.name(worker)}, but {here} on "
                f"{self.name(0)}: it must be the same on every host"
            )

    def _meet_first(self, facts: Mapping[str, str]) -> None:
        """Connect to worker 0 as soon as it listens, and say hello."""
        deadline = time.monotonic() + self._seconds
        why = ""
        while (left := deadline - time.monotonic()) > 0:
            try:
                connected = self._connect(0)
            except OSError as error:
                why = f" ({_reason(error)})"
                time.sleep(RETRY_SECONDS)
                continue
            connection = Connection(connected)
            connection.send(hello=self.index, facts=facts)
            answer = connection.receive(left)
            if answer:
                self._connections[0] = connection
                if "welcome" not in answer:
                    raise self._failure(0, answer)
                self._read(0)
                return
            time.sleep(RETRY_SECONDS)  # a server of an earlier run, say
        raise MeetingError(
            f"{self.name(0)} did not answer {self.name(self.index)} within "
            f"{self._seconds:g} s{why}: start train.py there, or wait longer with "
            "--startup_seconds"
        )

    def _connect(self, worker: int) -> socket.socket:
        address = host_and_port(self.addresses[worker])
        return socket.create_connection(address, CONNECT_SECONDS)

    def _read(self, worker: int) -> None:
        """Put all that a worker says into the inbox, from now on."""
        connection = self._connections[worker]

        def read() -> None:
            while message := connection.receive():
                self._inbox.put((worker, connection, message))
            self._inbox.put((worker, connection, GONE))

        threading.Thread(target=read, daemon=True).start()

    # --------------------------------------------------------- the run, and the start

    def send_run(self, run: Mapping[str, Any]) -> None:
        """Send the run to all others; return when their data are loaded.

        Raises:
            MeetingError: one of them failed, is gone, or takes too long.
        """
        self._tell(run=run)
        self._try_others()
        waited_for = set(self._connections)
        deadline = time.monotonic() + self._seconds
        while waited_for:
            try:
                left = max(0.0, deadline - time.monotonic())
                worker, _, message = self._inbox.get(timeout=left)
            except queue.Empty:
                raise MeetingError(
                    f"data not loaded within {self._seconds:g} s: "
                    f"{self._names(waited_for)}: wait longer with --startup_seconds"
                ) from None
            if "ready" not in message:
                raise self._failure(worker, message)
            waited_for.remove(worker)
        self._tell(go=True)
        self._watch()

    def receive_run(self) -> dict[str, Any]:
        """Return the run that worker 0 sends.

        Raises:
            MeetingError: worker 0 failed, or is gone.
        """
        return self._expect("run")

    def ready(self) -> None:
        """Say that the data are loaded; return when everybody's are.

        Raises:
            MeetingError: another worker failed, is gone, or cannot be reached.
        """
        self._try_others()
        self._connections[0].send(ready=True)
        self._expect("go")
        self._watch()

    def _expect(self, name: str) -> Any:  # noqa: ANN401
        """Return what worker 0 says next, under this name."""
        _, _, message = self._inbox.get()
        if name not in message:
            raise self._failure(0, message)
        return message[name]

    def _try_others(self) -> None:
        """Raise MeetingError if a worker cannot be reached, as TensorFlow will."""
        for worker in range(len(self.addresses)):
            if worker != self.index:
                try:
                    self._connect(worker).close()
                except OSError as error:
                    self._raise_what_stopped()
                    raise MeetingError(
                        f"{self.name(self.index)} cannot reach {self.name(worker)} "
                        f"({_reason(error)}): each host must reach all others"
                    ) from None

    def _raise_what_stopped(self) -> None:
        """Raise MeetingError if a worker has stopped: then it cannot be reached.

        What it said, to this worker or to worker 0, may arrive a moment later.
        """
        deadline = time.monotonic() + CONNECT_SECONDS
        with contextlib.suppress(queue.Empty):
            while (left := deadline - time.monotonic()) > 0:
                worker, _, message = self._inbox.get(timeout=left)
                if "ready" not in message:
                    raise self._failure(worker, message)

    def _failure(self, worker: int, message: Message) -> MeetingError:
        """Return the error that a worker's `stop`, or its end, means."""
        text = f"{self.name(worker)} is gone: stopped; start all again, with --resume"
        return MeetingError(str(message.get("stop", text)))

    def _names(self, workers: set[int]) -> str:
        return ", ".join(self.name(worker) for worker in sorted(workers))

    # ----------------------------------------------------------------- during the run

    def _watch(self) -> None:
        """Give the port to TensorFlow; from now on stop when another worker does."""
        if self._listener:
            self._listener.close()
        if not self._connections:
            return
        text = f"TensorFlow did not connect the workers within {self._seconds:g} s"
        self._timer = threading.Timer(self._seconds, self._die, [text])
        self._timer.daemon = True
        self._timer.start()
        threading.Thread(target=self._listen, daemon=True).start()

    def connected(self) -> None:
        """Note that TensorFlow has connected the workers."""
        if self._timer:
            self._timer.cancel()

    def _listen(self) -> None:
        while True:
            worker, _, message = self._inbox.get()
            if "done" in message:
                self._done.set()
            # A worker that failed at the same step as this one: each speaks for itself.
            elif "stop" in message and self._closing.wait(1.0):
                return
            if not (self._done.is_set() or self._no_more_steps.is_set()):
                self._die(str(self._failure(worker, message)))

    def _die(self, text: str) -> NoReturn:
        """Tell the others and exit.

        The main thread may be in a step that waits for a worker that is gone, where no
        exception reaches it. Nothing is lost: what is saved survives any moment.
        """
        with self._dying:  # for good: one line is enough
            if self._closing.is_set():
                time.sleep(CONNECT_SECONDS)  # the main thread is about to exit
            self._tell(stop=text)
            tqdm.write(f"{cli.program()}: {cli.one_line(text)}", file=sys.stderr)
            os._exit(1)

    def _tell(self, **message: object) -> None:
        for connection in self._connections.values():
            connection.send(**message)

    # ------------------------------------------------------------------------ the end

    def expect_the_end(self) -> None:
        """Let the others leave from now on: there are no more steps."""
        self._no_more_steps.set()

    def wait_for_the_end(self) -> None:
        """Return when worker 0 is done."""
        self._done.wait()

    def close(self, failure: str | None) -> None:
        """Disconnect.

        Args:
            failure: what the others are told; None if the run ended as it should.
        """
        self._closing.set()
        self.connected()
        # Before the port is closed: who cannot reach it asks why.
        self._tell(**{"stop": failure} if failure else {"done": True})
        if self._listener:
            self._listener.close()
        for connection in self._connections.values():
            connection.end()


def _listener(address: str) -> socket.socket:
    """Listen at the port of an address, on all interfaces, as TensorFlow will.

    Raises:
        UserError: the port cannot be had.
    """
    _, port = host_and_port(address)
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        raise UserError(
            f"cannot listen at {address} ({_reason(error)}): free the port, or give "
            "another one in TF_CONFIG on every host"
        ) from None


def _reason(error: OSError) -> str:
    """Return what the system says, without Python's additions."""
    known = error.errno is not None and error.errno > 0
    return os.strerror(error.errno) if known else cli.reason(error)
