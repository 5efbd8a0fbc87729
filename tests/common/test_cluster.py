"""The workers of a run: TF_CONFIG, how they meet, what they compute, how they end."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import model
from common import cluster
from common.cli import UserError
from common.cluster import Cluster
from common.meeting import Meeting, MeetingError
from common.paths import ROOT
from common.session import cpu_has_bfloat16, tf
from common.tf_config import read_tf_config
from saving import checkpoints
from saving.run import on_this_machine

# ------------------------------------------------------------------------ TF_CONFIG


def tf_config(addresses: list, index: float) -> str:
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


HOSTS = ["host0:2222", "host1:2222"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ([""], 0)),
        ("{}", ([""], 0)),
        ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', ([""], 0)),
        (tf_config(HOSTS, 1), (HOSTS, 1)),
        (tf_config(["[::1]:2222"], 0), (["[::1]:2222"], 0)),
        # Vertex AI and Kubeflow: a chief is the first worker, an index may be a text.
        (
            '{"cluster": {"worker": ["b:1", "c:1"], "chief": ["a:1"]}, "task": '
            '{"type": "worker", "index": "1"}, "environment": "cloud"}',
            (["a:1", "b:1", "c:1"], 2),
        ),
        (
            '{"cluster": {"worker": ["b:1"], "chief": ["a:1"], "ps": []}, "task": '
            '{"type": "chief", "index": 0}}',
            (["a:1", "b:1"], 0),
        ),
        (
            '{"cluster": {"master": ["a:1"]}, "task": {"type": "master", "index": 0}}',
            (["a:1"], 0),
        ),
        ('{"environment": "cloud", "task": {"type": "worker", "index": 0}}', ([""], 0)),
    ],
)
def test_tf_config_names_the_workers(text: str, expected: tuple) -> None:
    assert read_tf_config(text) == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("host0:2222", "it is no JSON, or its index is no number: host0:2222"),
        (tf_config(["a:1"], 0.5), "its index is no number"),
        ("[1]", "it has no cluster, or no task"),
        ('{"cluster": ["a:1"]}', "it has no cluster, or no task"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"index": 0}}', "no task with"),
        # Of Kubeflow's elastic jobs, where a worker does not know the others.
        (
            '{"sparseCluster": {"worker": {"1": "a:1"}}, "task": {"type": "worker", '
            '"index": 0}}',
            "its cluster has 0 of type 'worker', and the index is 0",
        ),
        ('{"task": {"type": "worker", "index": 1}}', "has 0 of type 'worker'"),
        (tf_config(["a"], 0), "'a' is not host:port"),
        (tf_config(["a:0"], 0), "'a:0' is not host:port"),
        (tf_config(["a:70000"], 0), "'a:70000' is not host:port"),
        (tf_config([":2222"], 0), "':2222' is not host:port"),
        (tf_config(["a..b:2222"], 0), "'a..b:2222' is not host:port"),
        (tf_config(["grpc://a:2222"], 0), "'grpc://a:2222' is not host:port"),
        (tf_config(["a:1", 7], 0), "7 is not host:port"),
        (tf_config(["a:1", "a:1"], 0), "address twice"),
        (tf_config(["a:1", "b:1"], 2), "has 2 of type 'worker', and the index is 2"),
        (tf_config(["a:1", "b:1"], -1), "the index is -1"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
            "0 of type 'chief'",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", '
            '"index": 0}}',
            "'evaluator'; the types are chief, master, worker",
        ),
        (
            '{"cluster": {"ps": ["b:1"], "worker": ["a:1"]}, "task": {"type": '
            '"worker", "index": 0}}',
            "'ps'; the types are chief, master, worker",
        ),
    ],
)
def test_another_tf_config_is_refused_in_one_line(text: str, what: str) -> None:
    with pytest.raises(UserError, match=re.escape(what)) as raised:
        read_tf_config(text)
    assert "TF_CONFIG cannot be used" in str(raised.value)
    assert "\n" not in str(raised.value)


# -------------------------------------------------------------------------- meeting


def free_addresses(count: int) -> list[str]:
    """Return addresses of this machine whose ports nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


@pytest.fixture(autouse=True)
def died(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What watchers said when they would have ended this process."""
    texts: list[str] = []
    monkeypatch.setattr(Meeting, "_die", lambda _, text: texts.append(text))
    return texts


class Worker(threading.Thread):
    """A meeting in a thread, with what it raised."""

    def __init__(
        self,
        addresses: list[str],
        index: int,
        facts: dict[str, str] | None = None,
        seconds: float = 20.0,
    ) -> None:
        """Start to meet."""
        super().__init__(daemon=True)
        self.meeting = Meeting(addresses, index)
        self.arguments = (facts or {"SEED": "1"}, seconds)
        self.error: MeetingError | UserError | None = None
        self.start()

    def run(self) -> None:
        """Meet."""
        try:
            self.meeting.open(*self.arguments)
        except UserError as error:
            self.error = error
            self.meeting.close(str(error))

    def ended(self) -> str | None:
        """Return the text of what it raised, when it has met or failed."""
        self.join(30)
        assert not self.is_alive()
        return None if self.error is None else str(self.error)


def test_workers_meet_whatever_else_connects_and_in_any_order(
    died: list[str],
) -> None:
    addresses = free_addresses(3)
    late = [Worker(addresses, 2)]
    time.sleep(0.2)
    first = Worker(addresses, 0)
    time.sleep(0.2)
    host, port = addresses[0].split(":")
    strangers = []
    for message in (b"GET / HTTP/1.1\r\n\r\n", b"", b'{"hello": []}\n', b"[1]\n"):
        strangers.append(socket.create_connection((host, int(port)), 5))
        strangers[-1].sendall(message)  # and stays silent
    late.append(Worker(addresses, 1))
    assert [worker.ended() for worker in (first, *late)] == [None] * 3
    followers = [worker.meeting for worker in late]
    runs: list[object] = []

    def follow(meeting: Meeting) -> None:
        runs.append(meeting.receive_run())
        meeting.ready()

    threads = [threading.Thread(target=follow, args=[m]) for m in followers]
    for thread in threads:
        thread.start()
    first.meeting.send_run({"step": 7})
    for thread in threads:
        thread.join(10)
    assert runs == [{"step": 7}] * 2
    first.meeting.close(None)
    assert all(meeting._done.wait(10) for meeting in followers)
    assert died == []


def test_missing_workers_are_named_on_the_others() -> None:
    addresses = free_addresses(4)
    present = [Worker(addresses, 0, seconds=1.0), Worker(addresses, 2)]
    expected = (
        f"not started within 1 s: worker 1 ({addresses[1]}), worker 3 ({addresses[3]}):"
    )
    for worker in present:
        if worker.meeting.index == 0:
            assert (worker.ended() or "").startswith(expected)
        else:  # it has met worker 0, and waits for the run
            assert worker.ended() is None
            with pytest.raises(MeetingError, match=re.escape(expected)):
                worker.meeting.receive_run()


def test_worker_0_that_does_not_answer_is_named() -> None:
    addresses = free_addresses(2)
    text = Worker(addresses, 1, seconds=0.5).ended()
    assert re.search(
        rf"worker 0 \({addresses[0]}\) did not answer worker 1 .* within 0.5 s", text
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BATCH_SIZE", r"BATCH_SIZE is 50 on worker 1 \(.*\), but 100 on worker 0"),
        ("model.py", r"model.py on worker 1 \(.*\) differs from that on worker 0"),
    ],
)
def test_a_worker_that_differs_is_named_on_both(name: str, expected: str) -> None:
    addresses = free_addresses(3)
    workers = [Worker(addresses, index, {name: "100"}) for index in (0, 2)]
    workers.insert(1, Worker(addresses, 1, {name: "50"}))
    assert re.match(expected, workers[0].ended())
    for worker in workers[1:]:
        assert worker.ended() is None
        with pytest.raises(MeetingError, match=expected):
            worker.meeting.receive_run()


def test_a_worker_that_cannot_be_reached_is_named() -> None:
    first, second = free_addresses(2)
    port = second.rpartition(":")[2]
    addresses = [first, f"no-such-host.invalid:{port}"]
    workers = [Worker(addresses, index) for index in (0, 1)]
    assert [worker.ended() for worker in workers] == [None, None]
    expected = r"worker 0 \(.*\) cannot reach worker 1 \(no-such-host.invalid:\d+\)"
    with pytest.raises(MeetingError, match=expected) as raised:
        workers[0].meeting.send_run({})
    workers[0].meeting.close(str(raised.value))
    assert workers[1].meeting.receive_run() == {}
    with pytest.raises(MeetingError, match=expected):
        workers[1].meeting._expect("go")


@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_a_worker_that_has_stopped_is_not_called_unreachable(stopped: int) -> None:
    addresses = free_addresses(3)
    workers = [Worker(addresses, index) for index in range(3)]
    assert [worker.ended() for worker in workers] == [None] * 3
    meetings = [worker.meeting for worker in workers]
    meetings[stopped].close("no space on its disk")
    # The others try to reach it, or worker 0, which has stopped because of it.
    if stopped:
        with pytest.raises(MeetingError, match="no space on its disk") as raised:
            meetings[0].send_run({})
        meetings[0].close(str(raised.value))
    for index in {1, 2} - {stopped}:
        if stopped:
            assert meetings[index].receive_run() == {}
        with pytest.raises(MeetingError, match="no space on its disk"):
            meetings[index].ready()


def test_a_worker_that_says_a_moment_later_why_it_stopped_is_heard() -> None:
    addresses = free_addresses(3)
    workers = [Worker(addresses, index) for index in range(3)]
    assert [worker.ended() for worker in workers] == [None] * 3
    first, ready, stopped = (worker.meeting for worker in workers)
    stopped._listener.close()
    ready._connections[0].send(ready=True)
    why = [f"{stopped.name(2)} stopped: no space on its disk"]
    later = threading.Timer(0.5, stopped.close, why)
    later.start()
    with pytest.raises(MeetingError, match=re.escape(why[0])):
        first.send_run({})


def test_a_worker_that_does_not_load_its_data_in_time_is_named() -> None:
    addresses = free_addresses(2)
    workers = [Worker(addresses, index, seconds=2.0) for index in (0, 1)]
    assert [worker.ended() for worker in workers] == [None, None]
    with pytest.raises(MeetingError, match=r"not loaded within 2 s: worker 1 \("):
        workers[0].meeting.send_run({})


def test_workers_that_tensorflow_does_not_connect_do_not_wait_for_ever(
    died: list[str],
) -> None:
    addresses = free_addresses(2)
    workers = [Worker(addresses, index, seconds=1.0) for index in (0, 1)]
    assert [worker.ended() for worker in workers] == [None, None]

    def follow() -> None:
        workers[1].meeting.receive_run()
        workers[1].meeting.ready()

    ready = threading.Thread(target=follow)
    ready.start()
    workers[0].meeting.send_run({})
    ready.join(10)
    workers[1].meeting.connected()
    time.sleep(1.5)
    assert died == ["TensorFlow did not connect the workers within 1 s"]


def test_two_processes_with_one_index_are_refused_and_a_restarted_one_is_not() -> None:
    addresses = free_addresses(3)
    first = Worker(addresses, 0)
    once = Worker(addresses, 1)
    assert once.ended() is None
    once.meeting.close("stopped by Ctrl-C")
    time.sleep(0.2)
    again = Worker(addresses, 1)
    assert again.ended() is None
    assert first.is_alive()
    elsewhere = Worker([addresses[0], *free_addresses(1), addresses[2]], 1)
    for worker in (elsewhere, first):
        assert (worker.ended() or "").startswith(
            "two processes were started as worker 1"
        )


def test_a_taken_port_is_named() -> None:
    addresses = free_addresses(2)
    with socket.create_server(("", int(addresses[0].rpartition(":")[2]))):
        text = Worker(addresses, 0).ended()
    assert (text or "").startswith(f"cannot listen at {addresses[0]} (Address already")


# --------------------------------------------------------------------------- graphs


def test_the_parts_of_the_workers_are_the_whole_batch() -> None:
    batch = np.arange(12)
    parts = [batch[Cluster(["a:1"] * 3, index).part(12)] for index in range(3)]
    assert (np.concatenate(parts) == batch).all()
    with pytest.raises(UserError, match=r"is 100; on 3 workers .* of 3"):
        Cluster(["a:1"] * 3).refuse_uneven(100)


def test_a_part_of_a_batch_has_its_own_rows_of_the_random_numbers() -> None:
    def numbers(rows: int, *part: int) -> np.ndarray:
        with tf.Graph().as_default(), tf.Session() as session:
            key = model.random_key(3, tf.constant(5), 1, *part)
            shape = tf.stack([tf.constant(rows), 7])
            return session.run(model.uniform(shape, key, -1.0, 1.0))

    parts = [numbers(5, index, 3) for index in range(3)]
    assert (np.concatenate(parts) == numbers(15)).all()


def test_what_other_workers_caused_is_told_apart_from_other_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "LOST_SECONDS", 0)
    lost = tf.errors.UnavailableError(None, None, "")
    own = tf.errors.ResourceExhaustedError(None, None, "no memory")

    class Session:
        def run(self, *_: object) -> None:
            raise self.error

    session = Session()
    for error, expected in ((lost, UserError), (own, tf.errors.ResourceExhaustedError)):
        session.error = error
        with pytest.raises(expected):
            Cluster(["a:1", "b:1"])._run(session, (), {})


def test_a_run_of_another_machine_keeps_its_constants_here(
    tiny_dir: Path, one_process: checkpoints.Run
) -> None:
    settings = replace(one_process.settings, bfloat16="on", threads=2)
    settings = replace(settings, data_dir=tiny_dir / "here")
    run = on_this_machine(one_process, settings)
    assert run.settings.bfloat16 == one_process.settings.bfloat16
    assert run.bfloat16 == one_process.bfloat16
    assert (run.threads, run.settings.data_dir) == (2, tiny_dir / "here")


# ------------------------------------------------------------------------ whole runs

# train.py, which in the end prints a checksum of all variables.
HASHING = """
import hashlib, os, sys, time
from pathlib import Path
import train
from common import cli
from common.meeting import Meeting
from common.session import tf

run_steps = train.run_steps

def hashing_steps(session, *args):
    yield from run_steps(session, *args)
    digest = hashlib.sha256()
    for value in session.run(tf.global_variables()):
        digest.update(value.tobytes())
    print("variables", digest.hexdigest())

expect_the_end, save, expected = Meeting.expect_the_end, train.save, []

def telling_save(*args):
    print("others may leave:", bool(expected))
    return save(*args)

def expect_it_slowly(self):
    expect_the_end(self)
    expected.append(True)
    if "SAVING" in os.environ:
        Path(os.environ["SAVING"]).touch()
        time.sleep(2)

train.run_steps, train.save = hashing_steps, telling_save
Meeting.expect_the_end = expect_it_slowly
sys.argv[0] = "train.py"
cli.run(train.main)
"""
FLAGS = ("--steps=12", "--batch_size=24", "--validation_size=13", "--threads=1")
FLAGS += ("--min_eval_steps=3", "--learning_rate=1e-4", "--bfloat16=off")


def start(
    config: str, data_dir: Path, save_dir: Path, *flags: object, root: Path = ROOT
) -> subprocess.Popen:
    """Start train.py as one of the workers."""
    where = [f"--data_dir={data_dir}", f"--save_dir={save_dir}"]
    return subprocess.Popen(
        [sys.executable, "-c", HASHING, *where, *FLAGS, *map(str, flags)],
        # A proxy, which is not for the workers.
        env=os.environ | {"TF_CONFIG": config, "http_proxy": "http://127.0.0.1:9"},
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Ended:
    """What a worker printed, and its exit status."""

    def __init__(self, process: subprocess.Popen) -> None:
        """Wait for it."""
        try:
            self.out, err = process.communicate(timeout=180)
        finally:
            process.kill()
        self.status = process.returncode
        self.err = re.sub(r"^(data: .*: )?not MNIST: .*\n", "", err, flags=re.MULTILINE)
        self.hash = re.findall(r"^variables (\w+)$", self.out, re.MULTILINE)


def start_all(
    count: int, data_dir: Path, folder: Path, *flags: object
) -> list[subprocess.Popen]:
    addresses = free_addresses(count) if count > 1 else [""]
    return [
        start(
            tf_config(addresses, index) if count > 1 else "",
            data_dir,
            folder / str(index),
            *flags,
        )
        for index in range(count)
    ]


def ended(processes: list[subprocess.Popen]) -> list[Ended]:
    return [Ended(process) for process in processes]


@pytest.fixture(scope="module")
def one_process(
    tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> checkpoints.Run:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("one")
    assert [each.status for each in ended(start_all(1, tiny_dir, folder))] == [0]
    return checkpoints.read_config(folder / "0")


def assert_same(save_dir: Path, expected: checkpoints.Run) -> None:
    """Compare a run of several processes with that of one, up to rounding."""
    run = checkpoints.read_config(save_dir)
    assert [row.step for row in run.history] == [row.step for row in expected.history]
    for ours, theirs in zip(run.history, expected.history, strict=True):
        for name in ("learning_rate", "training_loss", "validation_loss"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-5)
    assert run.test_accuracy == expected.test_accuracy
    readers = [
        tf.train.load_checkpoint(str(each.settings.save_dir / each.newest_checkpoint))
        for each in (run, expected)
    ]
    for name in readers[0].get_variable_to_shape_map():
        ours, theirs = (reader.get_tensor(name) for reader in readers)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("count", [2, 3])
def test_several_workers_train_what_one_process_does(
    count: int, tiny_dir: Path, tmp_path: Path, one_process: checkpoints.Run
) -> None:
    workers = ended(start_all(count, tiny_dir, tmp_path))
    assert [(worker.status, worker.err) for worker in workers] == [(0, "")] * count
    assert len({tuple(worker.hash) for worker in workers}) == 1
    assert_same(tmp_path / "0", one_process)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]  # worker 0 alone saves
    for worker in workers[1:]:
        assert re.fullmatch(
            r"worker \d \(.*\) waits for worker 0 \(.*\)\nvariables \w+\n", worker.out
        )


def test_several_workers_train_in_bfloat16(
    tiny_dir: Path, tmp_path: Path, one_process: checkpoints.Run
) -> None:
    if not cpu_has_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    workers = ended(start_all(2, tiny_dir, tmp_path, "--bfloat16=on"))
    assert [(worker.status, worker.err) for worker in workers] == [(0, "")] * 2
    assert len({tuple(worker.hash) for worker in workers}) == 1
    run = checkpoints.read_config(tmp_path / "0")
    losses = [row.training_loss for row in run.history]
    float32 = [row.training_loss for row in one_process.history]
    # bfloat16 has 8 binary digits; these losses differ by 0.00004 of themselves.
    assert losses == pytest.approx(float32, rel=2e-3)
    assert losses != pytest.approx(float32, rel=1e-5)  # as they do in float32


def wait_for_step(save_dir: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(UserError):
            if checkpoints.read_config(save_dir).step >= step:
                return
        time.sleep(0.05)
    raise AssertionError(f"no step {step}")


LONG = "--steps=100000", "--checkpoint_seconds=0.5"


def test_a_signal_to_one_stops_all_after_the_same_step_and_more_workers_resume(
    tiny_dir: Path, tmp_path: Path
) -> None:
    workers = start_all(2, tiny_dir, tmp_path, *LONG)
    wait_for_step(tmp_path / "0", 2)
    workers[1].send_signal(signal.SIGTERM)
    stopped = ended(workers)
    step = checkpoints.read_config(tmp_path / "0").step
    first = f"train.py: stopped by SIGTERM at step {step} of 100000, saved; resume"
    assert stopped[0].err.startswith(first)
    second = f"stopped by SIGTERM at step {step}, which worker 0 has saved\n"
    assert stopped[1].err == f"train.py: {second}"
    assert [worker.status for worker in stopped] == [143, 143]
    # The others need no folder: they are sent the variables.
    flags = "--resume", f"--steps={100_000}", "--checkpoint_seconds=0.5"
    workers = start_all(3, tiny_dir, tmp_path, *flags)
    wait_for_step(tmp_path / "0", step + 5)
    workers[0].send_signal(signal.SIGINT)
    resumed = ended(workers)
    assert [worker.status for worker in resumed] == [130] * 3
    assert f"resuming from step {step} of 100000\n" in resumed[0].out


def test_a_resumed_run_of_other_workers_ends_as_one_process_does(
    tiny_dir: Path, tmp_path: Path, one_process: checkpoints.Run
) -> None:
    save_dir = tmp_path / "0"
    shutil.copytree(one_process.settings.save_dir, save_dir)
    run = checkpoints.read_config(save_dir)
    assert len(run.checkpoints) > 1
    newest = save_dir / f"{run.newest_checkpoint}.index"
    newest.write_bytes(b"damaged")  # so that the one before is resumed
    workers = ended(start_all(2, tiny_dir, tmp_path, "--resume"))
    assert [worker.status for worker in workers] == [0, 0]
    assert "resuming from step" in workers[0].out
    assert len({tuple(worker.hash) for worker in workers}) == 1
    assert_same(save_dir, one_process)
    again = ended(start_all(2, tiny_dir, tmp_path, "--resume"))
    assert [worker.status for worker in again] == [0, 0]
    assert "already finished at step 12\n" in again[0].out


def test_a_worker_that_leaves_while_worker_0_saves_the_end_is_not_missed(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = tmp_path / "saving"
    monkeypatch.setenv("SAVING", str(saving))
    workers = start_all(2, tiny_dir, tmp_path, *LONG)
    wait_for_step(tmp_path / "0", 2)
    workers[1].send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 60
    while not saving.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saving.exists()
    workers[1].kill()
    first = ended(workers)[0]
    assert re.findall("others may leave: (.*)", first.out)[-1] == "True"  # at its save
    step = checkpoints.read_config(tmp_path / "0").step
    assert f"stopped by SIGTERM at step {step} of 100000, saved" in first.err
    assert first.status == 143


def test_a_loss_that_is_not_finite_stops_all_with_their_own_lines(
    tiny_dir: Path, tmp_path: Path
) -> None:
    flags = "--learning_rate=1e30", "--steps=50", "--warmup=0"
    workers = ended(start_all(2, tiny_dir, tmp_path, *flags))
    assert [worker.status for worker in workers] == [1, 1]
    for worker in workers:
        assert worker.err.count("\n") == 1
        assert "stopped; these weights were not saved" in worker.err


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_is_named_on_the_others(
    victim: int, tiny_dir: Path, tmp_path: Path
) -> None:
    workers = start_all(3, tiny_dir, tmp_path, *LONG)
    wait_for_step(tmp_path / "0", 2)
    workers[victim].kill()
    begun = time.monotonic()
    for index, worker in enumerate(ended(workers)):
        if index != victim:
            assert worker.status == 1
            assert re.fullmatch(
                rf"train\.py: worker {victim} \(.*\) is gone: stopped; .* --resume\n",
                worker.err,
            )
    assert time.monotonic() - begun < 30
    run = checkpoints.read_config(tmp_path / "0")
    checkpoints.verify(run, run.newest_checkpoint)


@pytest.fixture
def namespaces() -> Iterator[list[list[str]]]:
    """Two hosts on one link: what runs a command on each, and what cuts it."""
    name = f"mnist{os.getpid()}"
    outer, inner = f"{name}-a", f"{name}-b"
    commands = [
        f"ip netns add {outer}",
        f"ip netns add {inner}",
        f"ip -n {outer} link add eth0 type veth peer name eth0 netns {inner}",
        f"ip -n {outer} addr add 10.99.0.1/24 dev eth0",
        f"ip -n {inner} addr add 10.99.0.2/24 dev eth0",
        f"ip -n {outer} link set eth0 up",
        f"ip -n {inner} link set eth0 up",
        f"ip -n {outer} link set lo up",
        f"ip -n {inner} link set lo up",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        yield [["ip", "netns", "exec", each] for each in (outer, inner)]
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    finally:
        for each in (outer, inner):
            with contextlib.suppress(OSError):
                delete = ["ip", "netns", "del", each]
                subprocess.run(delete, check=False, capture_output=True)


def test_a_cut_link_is_noticed_by_both_ends(
    namespaces: list[list[str]], tiny_dir: Path, tmp_path: Path
) -> None:
    addresses = ["10.99.0.1:2222", "10.99.0.2:2222"]
    processes = []
    for index, prefix in enumerate(namespaces):
        where = [f"--data_dir={tiny_dir}", f"--save_dir={tmp_path / str(index)}"]
        command = [*prefix, sys.executable, str(ROOT / "train.py"), *where]
        processes.append(
            subprocess.Popen(
                [*command, *FLAGS, *LONG],
                env=os.environ | {"TF_CONFIG": tf_config(addresses, index)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    wait_for_step(tmp_path / "0", 2)
    cut = [*namespaces[0], "ip", "link", "set", "eth0", "down"]
    subprocess.run(cut, check=True)
    begun = time.monotonic()
    for worker, other in zip(ended(processes), (1, 0), strict=True):
        assert worker.status == 1
        text = rf"train\.py: worker {other} \({addresses[other]}\) is gone: .*\n"
        assert re.fullmatch(text, worker.err)
    assert time.monotonic() - begun < 30


def test_workers_with_other_data_stop_with_one_line_each(
    tiny_dir: Path, tmp_path: Path, other_data: Path
) -> None:
    addresses = free_addresses(2)
    workers = ended(
        [
            start(tf_config(addresses, index), data_dir, tmp_path / str(index))
            for index, data_dir in enumerate((tiny_dir, other_data))
        ]
    )
    assert [worker.status for worker in workers] == [1, 1]
    assert workers[1].err.startswith("train.py: the data differ from those this run")
    assert workers[0].err.startswith("train.py: worker 1 (127.0.0.1:")
    assert "stopped: the data differ" in workers[0].err
    assert [worker.err.count("\n") for worker in workers] == [1, 1]
    assert not (tmp_path / "0" / checkpoints.CONFIG).exists()


@pytest.fixture
def other_data(tmp_path: Path) -> Path:
    """Another data set of the same sizes."""
    from helpers import write_set

    return write_set(tmp_path / "other", seed=1)


def test_workers_with_other_constants_or_files_stop_with_one_line_each(
    tiny_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    for pattern in ("*.py", "common/*.py", "saving/*.py"):
        for path in ROOT.glob(pattern):
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    addresses = free_addresses(2)
    for flag, edited, expected in (
        ("--seed=2", False, r"SEED is 2 on worker 1 \(.*\), but 1 on worker 0 .*\n"),
        ("--threads=2", True, r"augment.py on worker 1 \(.*\) differs from .*\n"),
    ):
        if edited:
            with (copy / "augment.py").open("a") as file:
                file.write("# edited\n")
        first = start(tf_config(addresses, 0), tiny_dir, tmp_path / "0")
        second = start(tf_config(addresses, 1), tiny_dir, tmp_path, flag, root=copy)
        for worker in ended([first, second]):
            assert worker.status == 1
            assert re.fullmatch(rf"train\.py: {expected}", worker.err)


def test_a_failing_save_of_worker_0_is_told_by_all(
    tiny_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "history.csv").write_text("of another program")
    workers = ended(start_all(2, tiny_dir, tmp_path))
    assert [worker.status for worker in workers] == [1, 1]
    assert re.fullmatch(r"train\.py: .* holds history.csv, which .*\n", workers[0].err)
    assert re.fullmatch(
        r"train\.py: worker 0 \(.*\) stopped: .* holds history.csv.*\n", workers[1].err
    )


def test_a_worker_alone_needs_no_network(tiny_dir: Path, tmp_path: Path) -> None:
    config = tf_config(["no-such-host.invalid:2222"], 0)
    done = Ended(start(config, tiny_dir, tmp_path / "0"))
    assert (done.status, done.err) == (0, "")


def test_the_slurm_script_of_the_docs_gives_each_task_its_tf_config(
    tmp_path: Path,
) -> None:
    page = (ROOT / "docs" / "many-machines.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```sh\n(#!/bin/bash\n.*?)^```", page, re.S | re.M)
    for name, text in (
        ("scontrol", "printf 'node1\\nnode2\\nnode3\\n'"),
        ("srun", 'for SLURM_PROCID in 0 1 2; do export SLURM_PROCID; "${@:2}"; done'),
        ("python", 'echo "$TF_CONFIG" "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    hosts = ["node1:2222", "node2:2222", "node3:2222"]
    for index, line in enumerate(done.stdout.splitlines()):
        assert line.endswith(" train.py")
        assert read_tf_config(line.removesuffix(" train.py")) == (hosts, index)
    assert index == 2
