"""checkpoints.py: the files of others, and runs that die at any moment of a save."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import train
from common import cli, files
from common.settings import CommandLine, read_command_line
from saving import checkpoints, resume
from saving.run import DataSummary, Evaluation, append_history, new_run

# What TensorFlow and people name their files; a slash ends a folder's name.
NAMES = (
    "model.ckpt",
    "model.ckpt-100",  # the format before .index
    "model.ckpt-2.index",
    "model.ckpt-2.data-00000-of-00001",
    "model.ckpt-2.data-00000-of-00001.tempstate123",
    "model.ckpt-2_temp_5b/",
    "model.ckpt-2.meta",
    "model.ckpt-mybest/",
    "model.ckpt-frozen.pb",
    "my_model.ckpt-2.index",
    "replaced.model.ckpt-2.index",
    "replaced.model.ckpt-notes.txt",
    "checkpoint",
    "checkpoint.tmp123",
    "config.json",
    "config.json.part",
    "history.csv",
    "history.csv.part",
    "curves.png",
    "events.out.tfevents.1.host",
    "graph.pbtxt",
    "saved_model.pb",
    "variables/",
    ".lock",
    ".lock.pid",
    "my notes.txt",
    "film.part",
)


class SmallSaver:
    """Writes two small files where tf.train.Saver writes a checkpoint."""

    def save(self, seed: int, prefix: str, step: int, **_: object) -> None:
        """Write the files of a step; `seed` is in the place of the session."""
        for suffix in ("index", "data-00000-of-00001"):
            Path(f"{prefix}-{step}.{suffix}").write_text(f"{seed} {step} {suffix}")


class Killed(BaseException):
    """Stands for the end of the process."""


class Life:
    """Lets the process die at the nth move of a file, after which nothing runs."""

    def __init__(self, patch: pytest.MonkeyPatch, dies_at: int) -> None:
        """Patch the moves, and what would run after death."""
        self.moves_left = dies_at
        self.dead = False
        move, recover = files.move, checkpoints.recover

        def dying_move(source: Path, target: Path) -> None:
            if self.moves_left == 0:
                self.dead = True
                raise Killed
            self.moves_left -= 1
            move(source, target)

        def living_recover(save_dir: Path) -> None:
            if not self.dead:
                recover(save_dir)

        patch.setattr(files, "move", dying_move)
        patch.setattr(checkpoints, "recover", living_recover)


def command_line(save_dir: Path, *flags: str) -> CommandLine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", f"--save_dir={save_dir}", *flags])
        return read_command_line(vars(train), train.RECIPES, "")


def small_run(save_dir: Path, *flags: str) -> None:
    """Do what train.py does with its folder, without training."""
    command = command_line(save_dir, "--steps=6", "--batch_size=5", *flags)
    with checkpoints.lock(save_dir):
        run = resume.run_to_resume(command)
        run = run or new_run(command, DataSummary("mnist_5k", "", 13, 3, 3))
        checkpoints.prepare(run)
        for step in range(run.step + 1, run.total_steps + 1):
            run = replace(run, step=step)
            row = Evaluation(step, 0.0, 0.1, 0.0, 0.0, 0.0, step % 4 / 4)
            run = append_history(run, row, checkpoints.checkpoint_name(step))
            run = checkpoints.save(run.settings.seed, SmallSaver(), run)
        if not run.finished:
            run = replace(run, test_accuracy=0.5, temperature=0.5)
            checkpoints.write_config(run)
            checkpoints.write_derived(run)


def content(folder: Path) -> dict[str, bytes | None]:
    """Return what a folder holds, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def add_files_of_others(folder: Path, names: list[str]) -> dict[str, bytes | None]:
    """Write files under those of the names that are free; return what they are."""
    before = content(folder)
    for name in names:
        path = folder / name.rstrip("/")
        if path.exists():
            continue
        if name.endswith("/"):
            path.mkdir()
            path = path / "weights"
        path.write_text(f"years of work on {name}")
    return {key: value for key, value in content(folder).items() if key not in before}


def is_intact(save_dir: Path) -> bool:
    """Return whether config.json and all that it names are intact."""
    run = checkpoints.read_config(save_dir)
    for name in run.checkpoints:
        checkpoints.verify(run, name)
    return True


def assert_files_of_others_survive(
    early: list[str], late: list[str], dies_at: int, flags: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        save_dir = Path(name)
        theirs = add_files_of_others(save_dir, early)
        try:
            with pytest.MonkeyPatch.context() as patch:
                Life(patch, dies_at)
                small_run(save_dir)
        except cli.UserError:
            assert content(save_dir) == theirs  # refused: nothing was touched
            return
        except Killed:
            pass
        has_config = (save_dir / "config.json").exists()
        assert not has_config or is_intact(save_dir)
        theirs |= add_files_of_others(save_dir, late)
        for again in (flags, ["--overwrite", "--seed=2"]):
            before = content(save_dir)
            try:
                small_run(save_dir, *again)
            except cli.UserError:
                assert content(save_dir) == before
        found = content(save_dir)
        assert {key: found.get(key) for key in theirs} == theirs


cases = {
    "early": st.lists(st.sampled_from(NAMES) | st.text("ab.-", min_size=3), max_size=3),
    "late": st.lists(st.sampled_from(NAMES), max_size=3),
    "dies_at": st.integers(0, 60),
    "flags": st.sampled_from([[], ["--resume"], ["--overwrite"]]),
}
unhurried = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@given(**cases)
@settings(max_examples=60, **unhurried)
def test_files_of_others_are_never_touched(
    early: list[str], late: list[str], dies_at: int, flags: list[str]
) -> None:
    assert_files_of_others_survive(early, late, dies_at, flags)


@pytest.mark.slow
@given(**cases)
@settings(max_examples=1000, **unhurried)
def test_files_of_others_are_never_touched_in_a_thousand_folders(
    early: list[str], late: list[str], dies_at: int, flags: list[str]
) -> None:
    assert_files_of_others_survive(early, late, dies_at, flags)


def moves_of_a_run(save_dir: Path) -> Iterator[int]:
    """Run until each move of a file in turn, and die there."""
    for dies_at in range(1000):
        shutil.rmtree(save_dir, ignore_errors=True)
        try:
            with pytest.MonkeyPatch.context() as patch:
                Life(patch, dies_at)
                small_run(save_dir)
        except Killed:
            yield dies_at
        else:
            return


def test_a_run_that_dies_at_any_move_of_a_file_is_resumed_without_leftovers(
    tmp_path: Path,
) -> None:
    small_run(tmp_path / "whole")
    whole = content(tmp_path / "whole")
    save_dir = tmp_path / "save"
    count = 0
    for _ in moves_of_a_run(save_dir):
        count += 1
        if (save_dir / "config.json").exists():
            assert is_intact(save_dir)
            small_run(save_dir, "--resume")
        else:
            small_run(save_dir)
        assert content(save_dir).keys() == whole.keys()
        for name in ("history.csv", "checkpoint", "model.ckpt-6.index"):
            assert content(save_dir)[name] == whole[name]
    assert count > 6 * 5  # at least two files, config.json, history.csv, checkpoint


@pytest.mark.parametrize(
    "name", ["config.json", "checkpoint", "model.ckpt-2.index", "model.ckpt-100"]
)
def test_a_folder_of_another_program_is_refused_before_anything_is_touched(
    name: str, tmp_path: Path
) -> None:
    theirs = add_files_of_others(tmp_path, [name, "notes.txt"])
    for flags in ([], ["--resume"], ["--overwrite"]):
        with pytest.raises(cli.UserError, match="ame another folder with"):
            small_run(tmp_path, *flags)
    assert content(tmp_path) == theirs


def test_a_folder_with_other_things_in_it_is_used(tmp_path: Path) -> None:
    names = ["notes.txt", ".lock", "model-ckpt.txt", "data/", "prediction.png"]
    theirs = add_files_of_others(tmp_path, names)
    small_run(tmp_path)
    small_run(tmp_path)
    assert theirs.items() <= content(tmp_path).items()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("history.csv", "day,weight\n1,80\n"),
        ("checkpoint", 'model_checkpoint_path: "other.ckpt-7"\n'),
    ],
)
def test_what_another_program_put_in_the_place_of_ours_is_kept(
    name: str, text: str, tmp_path: Path
) -> None:
    small_run(tmp_path)
    (tmp_path / name).write_text(text)
    (tmp_path / "other.ckpt-7.index").write_text("theirs")
    for flags in ([], ["--resume"], ["--overwrite"]):
        with pytest.raises(cli.UserError, match=f"holds {name}, which is another"):
            small_run(tmp_path, *flags)
    assert (tmp_path / name).read_text() == text


@pytest.mark.parametrize("name", ["history.csv", "checkpoint"])
def test_a_damaged_file_that_is_made_from_the_configuration_is_made_again(
    name: str, tmp_path: Path
) -> None:
    small_run(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    damaged = [whole[:size] for size in range(len(whole))]
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        checkpoints.refuse_files_of_others(tmp_path)
    run = checkpoints.read_config(tmp_path)
    with checkpoints.lock(tmp_path):
        checkpoints.write_derived(run)
    assert path.read_bytes() == whole


def test_a_file_that_reuses_a_retired_name_is_kept(tmp_path: Path) -> None:
    small_run(tmp_path)
    run = checkpoints.read_config(tmp_path)
    name = "notes-of-mine.txt"
    checkpoints.write_config(
        replace(run, checkpoints=run.checkpoints | {"old": {name: ""}})
    )
    run = checkpoints.write_config(run)
    assert run.retired == {name: ""}
    (tmp_path / name).write_text("mine")
    checkpoints.prepare(run)
    assert (tmp_path / name).read_text() == "mine"


def test_files_are_on_the_disk_before_the_configuration_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_run(tmp_path)
    done: list[str] = []

    def flush(path: Path) -> None:
        done.append(f"flush {path.relative_to(tmp_path)}")

    def move(source: Path, target: Path) -> None:
        done.append(f"move {target.relative_to(tmp_path)}")
        source.replace(target)

    monkeypatch.setattr(files, "flush", flush)
    monkeypatch.setattr(files, "move", move)
    run = replace(checkpoints.read_config(tmp_path), step=9)
    checkpoints.save(1, SmallSaver(), run)
    unfinished = checkpoints.UNFINISHED
    names = ["model.ckpt-9.data-00000-of-00001", "model.ckpt-9.index"]
    assert done[:9] == [
        *(f"flush {unfinished}/{name}" for name in (*names, "config.json")),
        f"flush {unfinished}",
        *(f"move {name}" for name in names),
        "flush .",
        "move config.json",
        "flush .",
    ]


def test_a_live_run_is_named_whatever_it_is_just_writing(tmp_path: Path) -> None:
    small_run(tmp_path)
    with checkpoints.lock(tmp_path):
        (tmp_path / "model.ckpt-9.index").write_text("being moved")
        with pytest.raises(cli.UserError, match="is training in"):
            small_run(tmp_path)


def test_nothing_but_the_run_is_left_after_it(tmp_path: Path) -> None:
    small_run(tmp_path)
    names = {
        name.partition(".data")[0].removesuffix(".index") for name in content(tmp_path)
    }
    assert names == {
        *("config.json", "history.csv", "checkpoint", ".train.lock", ".train.lock.pid"),
        *("model.ckpt-3", "model.ckpt-4", "model.ckpt-5", "model.ckpt-6"),
    }
