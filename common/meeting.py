"""How the workers of a run meet before TensorFlow connects them, and stay in touch.

TensorFlow's servers wait for a missing worker without end, and say nothing that a user
understands when one dies. So the workers first meet over plain TCP. Worker 0 listens at
its own address; a message is a line of JSON:

1. each other worker says who it is and what it would run with: `hello`;
2. worker 0 compares that with its own, and sends the run: `run`;
3. each worker loads its data: `ready`; when all are, worker 0 says `go`.

The connections stay open until worker 0 says `done`. Whoever fails sends `stop` with
the reason. Whose connection ends without a word is gone; worker 0 tells the others.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from tqdm import tqdm

from common import cli
from common.cli import UserError

ANSWER_SECONDS = 5.0  # for what connects to say hello
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


class LostError(Exception):
    """A connection ended, or what came over it is no message."""


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
        self.socket = connected
        self._received = b""

    def send(self, **message: object) -> None:
        """Send a message; nothing happens where the other end is gone."""
        with contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """Wait for the next message.

        Raises:
            LostError: the connection ended, or this is no message.
        """
        try:
            while b"\n" not in self._received:
                data = self.socket.recv(2**16)
                if not data or len(self._received) > LINE_BYTES:
                    raise LostError
                self._received += data
            line, _, self._received = self._received.partition(b"\n")
            message = json.loads(line)
        except (OSError, ValueError, RecursionError):
            raise LostError from None
        if not isinstance(message, dict):
            raise LostError
        return message

    def has_left(self) -> bool:
        """Return whether the other end, of which nothing is expected, said goodbye."""
        try:
            self.socket.setblocking(False)
            self.socket.recv(1, socket.MSG_PEEK)  # a message, or nothing: the end
        except BlockingIOError:
            return False
        except OSError:
            return True
        else:
            return True
        finally:
            self.socket.setblocking(True)

    def close(self) -> None:
        """End the connection, after what was sent."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)


class Meeting:
    """The connections of one worker: to worker 0, or from it to all others.

    Args:
        addresses: host:port of each worker; of one alone, there is nobody to meet.
        index: which of them this process is.
    """

    def __init__(self, addresses: Sequence[str], index: int) -> None:
        """Meet nobody yet."""
        self.addresses, self.index = addresses, index
        self._connections: dict[int, Connection] = {}  # by worker
        self._ending = threading.Event()  # whoever leaves now is not missed
        self._dying = threading.Lock()

    def name(self, worker: int) -> str:
        """Return what messages call a worker."""
        return f"worker {worker} ({self.addresses[worker]})"

    # ------------------------------------------------------------------- meeting

    def open(self, facts: Mapping[str, str], seconds: float) -> None:
        """Wait until worker 0 has heard from all others.

        Args:
            facts: by name, what must be the same on all workers.
            seconds: to wait at most.

        Raises:
            UserError: somebody is missing, a fact differs, or the port is taken.
        """
        deadline = time.monotonic() + seconds
        with _listener(self.addresses[self.index]) as listener:
            if self.index:
                self._meet_first(facts, seconds, deadline)
                return
            print(f"{self.name(0)} waits for {len(self.addresses) - 1} more")
            self._meet_others(listener, facts, seconds, deadline)

    def _meet_others(
        self,
        listener: socket.socket,
        facts: Mapping[str, str],
        seconds: float,
        deadline: float,
    ) -> None:
        """Accept connections until all workers have said hello."""
        others = range(1, len(self.addresses))
        while missing := [w for w in others if w not in self._connections]:
            listener.settimeout(max(1e-3, deadline - time.monotonic()))
            try:
                connected, _ = listener.accept()
            except TimeoutError:
                names = ", ".join(self.name(worker) for worker in missing)
                raise MeetingError(
                    f"not started within {seconds:g} s: {names}: start train.py there, "
                    "or wait longer with --startup_seconds"
                ) from None
            connected.settimeout(ANSWER_SECONDS)
            connection = Connection(connected)
            try:
                hello = connection.receive()
                worker, theirs = int(hello["hello"]), dict(hello["facts"])
            except (LostError, LookupError, TypeError, ValueError):
                connection.close()  # no worker: a scanner, say
                continue
            connected.settimeout(None)
            try:
                self._accept(worker, theirs, facts)
            except MeetingError as error:
                connection.send(stop=str(error))
                raise
            connection.send(welcome=True)
            self._connections[worker] = connection

    def _accept(
        self, worker: int, theirs: Mapping[str, str], ours: Mapping[str, str]
    ) -> None:
        """Raise MeetingError where a worker that said hello does not belong here."""
        known = self._connections.get(worker)
        if known and not known.has_left():  # else it was started again
            raise MeetingError(
                f"two processes were started as worker {worker}: give each an index of "
                "its own in TF_CONFIG"
            )
        for name in [*ours, *theirs]:
            here, there = ours.get(name), theirs.get(name)
            if here == there:
                continue
            if name.endswith(".py"):
                raise MeetingError(
                    f"{name} on worker {worker} differs from that on {self.name(0)}: "
                    "copy the same files to every host"
                )
            raise MeetingError(
                f"{name} is {there} on worker {worker}, but {here} on {self.name(0)}: "
                "it must be the same on every host"
            )

    def _meet_first(
        self, facts: Mapping[str, str], seconds: float, deadline: float
    ) -> None:
        """Connect to worker 0 as soon as it listens, and say hello."""
        print(f"{self.name(self.index)} waits for {self.name(0)}")
        why = ""
        while time.monotonic() < deadline:
            try:
                address = split(self.addresses[0])
                connected = socket.create_connection(address, ANSWER_SECONDS)
                connection = Connection(connected)
                connection.send(hello=self.index, facts=facts)
                answer = connection.receive()
                connected.settimeout(None)
            except (OSError, LostError) as error:  # or something else listens there
                why = cli.reason(error) if isinstance(error, OSError) else ""
                time.sleep(RETRY_SECONDS)
                continue
            self._connections[0] = connection
            if "welcome" not in answer:
                raise MeetingError(self._farewell(0, answer))
            return
        raise MeetingError(
            f"{self.name(0)} did not answer within {seconds:g} s"
            f"{f' ({why})' if why else ''}: start train.py there, or wait longer with "
            "--startup_seconds"
        )

    # --------------------------------------------------------- the run, and the start

    def send_run(self, run: Mapping[str, Any]) -> None:
        """Send the run to all others; return when their data are loaded.

        Raises:
            MeetingError: one of them failed, or is gone.
        """
        for connection in self._connections.values():
            connection.send(run=run)
        for worker in self._connections:
            self._receive(worker, "ready")
        for connection in self._connections.values():
            connection.send(go=True)
        self._watch()

    def receive_run(self) -> dict[str, Any]:
        """Return the run that worker 0 sends.

        Raises:
            MeetingError: worker 0 failed, or is gone.
        """
        return self._receive(0, "run")

    def ready(self) -> None:
        """Say that the data are loaded; return when everybody's are.

        Raises:
            MeetingError: another worker failed, or is gone.
        """
        self._connections[0].send(ready=True)
        self._receive(0, "go")
        self._watch()

    def _receive(self, worker: int, expected: str) -> Any:  # noqa: ANN401
        """Wait for a message of a worker; return what it says under a name."""
        try:
            message = self._connections[worker].receive()
        except LostError:
            message = {}
        if expected not in message:
            raise MeetingError(self._farewell(worker, message))
        return message[expected]

    def _farewell(self, worker: int, message: Mapping[str, Any]) -> str:
        """Return what the end of a connection means."""
        return str(
            message.get(
                "stop",
                f"{self.name(worker)} is gone: stopped; start all workers again, with "
                "--resume",
            )
        )

    # ----------------------------------------------------------------- during the run

    def _watch(self) -> None:
        for worker in self._connections:
            watcher = threading.Thread(target=self._listen, args=[worker], daemon=True)
            watcher.start()

    def _listen(self, worker: int) -> None:
        """Wait for the end of a connection; stop this process if it is too early."""
        try:
            message = self._connections[worker].receive()
        except LostError:
            message = {}
        if "done" in message:
            self._ending.set()
        # A worker that failed at the same step as this one: let it say so itself.
        if not self._ending.wait(1.0 if "stop" in message else 0.0):
            self._die(self._farewell(worker, message))

    def _die(self, text: str) -> NoReturn:
        """Tell the others and exit.

        The main thread may be in a step that waits for a worker that is gone, where no
        exception reaches it. Nothing is lost: what is saved survives any moment.
        """
        with self._dying:  # for good: one line is enough
            self._tell(stop=text)
            tqdm.write(f"{cli.program()}: {cli.one_line(text)}", file=sys.stderr)
            os._exit(1)

    def _tell(self, **message: object) -> None:
        for connection in self._connections.values():
            connection.send(**message)

    # ------------------------------------------------------------------------ the end

    def expect_the_end(self) -> None:
        """Let the others leave from now on: there are no more steps."""
        self._ending.set()

    def wait_for_the_end(self) -> None:
        """Return when worker 0 is done."""
        self._ending.wait()

    def close(self, failure: str | None) -> None:
        """Disconnect.

        Args:
            failure: what the others are told; None if the run ended as it should.
        """
        self._ending.set()
        self._tell(**{"stop": failure} if failure else {"done": True})
        for connection in self._connections.values():
            connection.close()


def split(address: str) -> tuple[str, int]:
    """Return host and port of host:port; ValueError where it is none."""
    host, _, port = address.rpartition(":")
    if not host or not 0 < int(port) < 2**16:
        raise ValueError(address)
    return host.strip("[]"), int(port)


def _listener(address: str) -> socket.socket:
    """Listen at the port of an address, on all interfaces, as TensorFlow will.

    Raises:
        UserError: the port is taken.
    """
    _, port = split(address)
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        raise UserError(
            f"cannot listen at {address} ({cli.reason(error)}): end what uses the "
            "port, or give another one in TF_CONFIG on every host"
        ) from None
