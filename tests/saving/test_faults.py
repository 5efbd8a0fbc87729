"""Runs are killed, files damaged, disks filled: nothing is lost, no answer is wrong.

Real processes and real files. Some of it runs with the other tests; everything, and
the table of the README, with ``python -m pytest -n 0 -m slow -s``.
"""

import contextlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import events, write_set

import input_data
import predict
import train
from common import cli
from common.paths import ROOT
from common.session import tf
from saving import checkpoints

STEPS = 300  # with evaluations every 60, and checkpoints between them
FLAGS = (
    f"--steps={STEPS}",
    "--batch_size=13",
    "--validation_size=13",
    "--min_eval_steps=60",
)
OFTEN = "--checkpoint_seconds=0.3"
TOLD_BEFORE = (
    r"data: .*not MNIST.*|train\.py: .*/model\.ckpt-\S+ is "
    r"(missing|damaged or belongs to another run \(checksum differs\))"
)


def command(data_dir: Path, save_dir: Path, *flags: str) -> list[str]:
    where = [f"--data_dir={data_dir}", f"--save_dir={save_dir}"]
    return [sys.executable, str(ROOT / "train.py"), *where, *FLAGS, *flags]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=300, check=False
    )


def outcome(save_dir: Path) -> dict[str, object]:
    """Return every byte that an interrupted run must have as an uninterrupted one."""
    run = checkpoints.read_config(save_dir)
    assert run.finished
    found: dict[str, object] = {"history": (save_dir / "history.csv").read_bytes()}
    found["test accuracy"] = run.test_accuracy
    found["events"] = events(save_dir)
    for name in (run.newest_checkpoint, run.best):
        reader = tf.train.load_checkpoint(str(save_dir / name))
        for variable in reader.get_variable_to_shape_map():
            found[f"{name} {variable}"] = reader.get_tensor(variable).tobytes()
    return found


class Reference:
    """An uninterrupted run: its folder, what it came to, how long it took."""

    def __init__(self, folder: Path) -> None:
        """Train it."""
        self.data_dir = write_set(folder / "data")
        self.save_dir = folder / "save"
        begun = time.monotonic()
        done = run(*command(self.data_dir, self.save_dir))
        self.seconds = time.monotonic() - begun
        assert done.returncode == 0, done.stderr
        self.outcome = outcome(self.save_dir)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The run that every other one is compared with."""
    return Reference(tmp_path_factory.mktemp("reference"))


def go_on(data_dir: Path, save_dir: Path) -> subprocess.CompletedProcess:
    """Resume a run; begin it where it was stopped before it had written anything."""
    done = run(*command(data_dir, save_dir, "--resume"))
    if "holds no run to resume" in done.stderr:
        done = run(*command(data_dir, save_dir))
    return done


def wait_for_step(process: subprocess.Popen, save_dir: Path, step: int) -> None:
    """Wait until a run has saved that step, or is over."""
    while process.poll() is None:
        time.sleep(0.01)
        with contextlib.suppress(cli.UserError):
            if checkpoints.read_config(save_dir).step >= step:
                return


# -------------------------------------------------------------------------- killing


def stop_and_resume(
    reference: Reference, save_dir: Path, signum: int, share: float
) -> str:
    """Signal a run after a share of its time, resume it; return the phase it was in."""
    process = subprocess.Popen(
        command(reference.data_dir, save_dir, OFTEN),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(share * reference.seconds)
    process.send_signal(signum)
    _, error = process.communicate(timeout=60)
    assert "Traceback" not in error
    phase = "starting"
    if process.returncode == 0:
        phase = "over"
    elif (save_dir / "config.json").exists():
        step = checkpoints.read_config(save_dir).step
        phase = "finishing" if step == STEPS else "training" if step else "first steps"
    if process.returncode != 0 and signum != signal.SIGKILL:
        assert process.returncode in (128 + signum, -signum)
        if phase == "training":
            assert re.search(
                rf"stopped by SIG\w+ at step \d+ of {STEPS}, saved; resume", error
            )
    done = go_on(reference.data_dir, save_dir)
    assert done.returncode == 0, done.stderr
    assert outcome(save_dir) == reference.outcome
    assert not (save_dir / checkpoints.UNFINISHED).exists()
    return phase


def moments(count: int) -> list[float]:
    """Return random shares of a run's time, one in each of `count` equal parts."""
    rng = random.Random(0)
    return [(part + rng.random()) / count for part in range(count)]


def try_all(reference: Reference, folder: Path, signum: int, count: int) -> None:
    phases = Counter(
        stop_and_resume(reference, folder / str(number), signum, share)
        for number, share in enumerate(moments(count))
    )
    assert phases["training"]
    name = signal.Signals(signum).name
    print(f"\n| {name} | {count} | {count} identical | 0 | {dict(phases)}")


def test_a_run_killed_three_times_is_resumed_to_the_same_bytes(
    reference: Reference, tmp_path: Path
) -> None:
    save_dir = tmp_path / "save"
    for step in (30, 100, 250):
        again = ["--resume"] * save_dir.exists()
        process = subprocess.Popen(
            command(reference.data_dir, save_dir, OFTEN, *again),
            stdout=subprocess.DEVNULL,
        )
        wait_for_step(process, save_dir, step)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert checkpoints.read_config(save_dir).step < STEPS
    done = go_on(reference.data_dir, save_dir)
    assert done.returncode == 0, done.stderr
    assert outcome(save_dir) == reference.outcome


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "count"),
    [(signal.SIGKILL, 20), (signal.SIGTERM, 5), (signal.SIGINT, 5)],
)
def test_runs_stopped_at_any_moment_are_resumed_to_the_same_bytes(
    signum: int, count: int, reference: Reference, tmp_path: Path
) -> None:
    try_all(reference, tmp_path, signum, count)


# ------------------------------------------------------------------- damaged files


def damages(path: Path, other: Path, count: int) -> Iterator[str]:
    """Damage a file in one way after another; yield what was done to it."""
    data = path.read_bytes()
    rng = random.Random(path.name)
    for _ in range(count if data else 0):
        size = rng.randrange(len(data))
        path.write_bytes(data[:size])
        yield "truncated"
    for _ in range(count if data else 0):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        yield "bit flipped"
    path.write_bytes(b"")
    yield "emptied"
    path.unlink()
    yield "removed"
    if other.exists():
        shutil.copyfile(other, path)
        yield "of another run"
    path.write_bytes(data)


def in_process(
    main: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    *argv: str,
) -> tuple[int, str]:
    """Run a script's main as its process would; return status and standard output."""
    monkeypatch.setattr(sys, "argv", list(argv))
    capsys.readouterr()
    status = cli.status(main, input_data.DataError)
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    if status:
        # One line refuses; --resume tells of each checkpoint that it tried before.
        *notes, refusal = error.splitlines()
        assert all(re.fullmatch(TOLD_BEFORE, note) for note in notes), error
        assert refusal.startswith(f"{Path(argv[0]).name}: "), error
        assert out == ""
    return status, out


@pytest.fixture(scope="module")
def other_run(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that another run wrote, of the same names."""
    save_dir = tmp_path_factory.mktemp("other") / "save"
    done = run(*command(reference.data_dir, save_dir, "--seed=2"))
    assert done.returncode == 0, done.stderr
    return save_dir


def print_tally(name: str, tally: Counter) -> None:
    """Print a row for each kind of damage."""
    for kind in sorted({kind for kind, _ in tally}):
        ends = {end: n for (k, end), n in tally.items() if k == kind}
        print(
            f"\n| {name} | {kind} | {sum(ends.values())} | {ends} | 0 wrong |", end=""
        )


def predict_after_damage(
    save_dir: Path,
    other: Path,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> Counter:
    """Damage every file in turn; count what predict.py then does."""
    argv = ("predict.py", "--index=0-9", f"--save_dir={save_dir}")
    status, right = in_process(predict.main, monkeypatch, capsys, *argv)
    assert status == 0
    assert right.count("predict=") == 10
    tally: Counter = Counter()
    for path in sorted(path for path in save_dir.iterdir() if path.is_file()):
        for kind in damages(path, other / path.name, count):
            status, out = in_process(predict.main, monkeypatch, capsys, *argv)
            if status == 0:
                # A whole configuration of another run names checkpoints of that run.
                assert out == right, f"wrong answer: {path.name} {kind}"
            tally[kind, "right answer" if status == 0 else "refused"] += 1
    return tally


@pytest.mark.slow
def test_predict_never_answers_from_a_folder_damaged_at_many_places(
    reference: Reference,
    other_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    save_dir = Path(shutil.copytree(reference.save_dir, tmp_path / "copy"))
    tally = predict_after_damage(save_dir, other_run, 10, monkeypatch, capsys)
    with capsys.disabled():
        print_tally("damage, then predict", tally)


def resume_after_damage(
    reference: Reference,
    interrupted: Path,
    other: Path,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> Counter:
    """Damage every file in turn; count what train.py --resume then does."""
    tally: Counter = Counter()
    save_dir = interrupted.parent / "damaged"
    for name in sorted(p.name for p in interrupted.iterdir() if p.is_file()):
        victim = interrupted / name
        for kind in damages(victim, other / name, count):
            shutil.copytree(interrupted, save_dir)
            argv = command(reference.data_dir, save_dir, "--resume")[1:]
            status, _ = in_process(train.main, monkeypatch, capsys, *argv)
            if status == 0:
                name = checkpoints.read_config(save_dir).newest_checkpoint
                reader = tf.train.load_checkpoint(str(save_dir / name))
                for variable in reader.get_variable_to_shape_map():
                    found = reader.get_tensor(variable).tobytes()
                    key = f"{checkpoints.PREFIX}-{STEPS} {variable}"
                    assert found == reference.outcome[key], f"{victim.name} {kind}"
            tally[kind, "same bytes" if status == 0 else "refused"] += 1
            shutil.rmtree(save_dir)
    return tally


@pytest.fixture
def interrupted(reference: Reference, tmp_path: Path) -> Path:
    """The folder of a run that SIGTERM stopped late, with several checkpoints."""
    save_dir = tmp_path / "interrupted"
    process = subprocess.Popen(
        command(reference.data_dir, save_dir), stdout=subprocess.DEVNULL
    )
    wait_for_step(process, save_dir, STEPS * 4 // 5)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    return save_dir


@pytest.mark.slow
def test_resume_after_any_damage_gives_the_same_bytes_or_refuses(
    reference: Reference,
    interrupted: Path,
    other_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    tally = resume_after_damage(
        reference, interrupted, other_run, 10, monkeypatch, capsys
    )
    with capsys.disabled():
        print_tally("damage, then resume", tally)


# ------------------------------------------------------- disks, folders, neighbours


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int, options: str = "") -> Iterator[Path]:
    """Mount a file system of so many megabytes; skip where mounting is refused."""
    folder.mkdir(exist_ok=True)
    size = f"size={megabytes}m{options}"
    mounted = run("mount", "-t", "tmpfs", "-o", size, "none", str(folder))
    if mounted.returncode != 0:
        pytest.skip(f"mounting is refused here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        run("umount", str(folder))


def assert_one_line(done: subprocess.CompletedProcess, message: str) -> None:
    assert done.returncode == 1
    error = [line for line in done.stderr.splitlines() if "not MNIST" not in line]
    assert len(error) == 1, done.stderr
    assert re.search(message, error[0]), error[0]


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_nothing_that_was_saved(
    reference: Reference, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        done = run(*command(reference.data_dir, disk))
        assert_one_line(done, r"cannot save to .* \(.*No space left on device.*\)")
        assert not list(disk.glob("model.ckpt*"))
        run("mount", "-o", "remount,size=60m", str(disk))  # one checkpoint is 39 MB
        done = run(*command(reference.data_dir, disk))
        assert_one_line(done, r"No space left on device.*stopped at step \d+")
        saved = checkpoints.read_config(disk)
        checkpoints.verify(saved, saved.newest_checkpoint)
        run("mount", "-o", "remount,size=400m", str(disk))
        done = run(*command(reference.data_dir, disk, "--resume"))
        assert done.returncode == 0, done.stderr
        assert outcome(disk) == reference.outcome


def test_a_limit_on_the_size_of_files_is_told_in_one_line(
    reference: Reference, tmp_path: Path
) -> None:
    line = " ".join(command(reference.data_dir, tmp_path / "save"))
    done = run("bash", "-c", f"ulimit -f 4000; {line}")
    assert_one_line(done, r"cannot save to .* \(.*File too large.*\)")


@pytest.mark.slow
def test_a_read_only_folder_is_told_in_one_line(
    reference: Reference, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 4, ",ro") as disk:
        done = run(*command(reference.data_dir, disk))
    assert_one_line(done, "Read-only file system")
