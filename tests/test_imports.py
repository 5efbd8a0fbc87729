"""Imports: which way they point, and that they have no effect."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import ROOT

SCRIPTS = {path.stem for path in ROOT.glob("*.py")}
# What rooms may use.
SHARED = {"model", "augment", "input_data", "mnist_files"}
ROOMS = {
    "common": set(),
    "handwriting": {"common"},
    "saving": {"common"},
    "tensorflow_1": {"common"},
}
COPIED = ("input_data", "mnist_files")  # beside other people's scripts
ALL = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in [*ROOT.glob("*.py"), *(p for r in ROOMS for p in (ROOT / r).glob("*"))]
    if path.suffix == ".py"
)


def imported(module: str, everywhere: bool = True) -> set[str]:
    """Return the modules that a module imports, by their first names.

    Args:
        module: dotted name.
        everywhere: in functions too, not only at its top.
    """
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", [name for name in ALL if "." in name])
def test_a_room_imports_no_script_and_only_the_rooms_below_it(module: str) -> None:
    room = module.partition(".")[0]
    ours = imported(module) & (SCRIPTS | ROOMS.keys())
    assert ours <= SHARED | ROOMS[room] | {room}


@pytest.mark.parametrize("script", ["predict", "evaluate", "export", "draw"])
def test_what_uses_a_trained_network_does_not_import_training(script: str) -> None:
    assert "train" not in imported(script)


@pytest.mark.parametrize("module", COPIED)
def test_the_copied_modules_need_numpy_and_the_standard_library(module: str) -> None:
    needed = imported(module, everywhere=False) - sys.stdlib_module_names
    assert needed <= {"numpy", *COPIED}


def test_no_modules_import_each_other() -> None:
    below: dict[str, set[str]] = {}
    for module in ALL:
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        below[module] = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
                names += [f"{node.module}.{name.name}" for name in node.names]
            below[module] |= {name for name in names if name in ALL}
    while done := [module for module, names in below.items() if not names]:
        below = {
            module: names - set(done)
            for module, names in below.items()
            if module not in done
        }
    assert below == {}


def test_an_answer_waits_for_no_import_that_only_figures_need() -> None:
    code = "import sys, predict\n"
    code += (
        "for name in ('matplotlib', 'scipy.ndimage', 'sklearn', 'pandas', 'keras'):\n"
    )
    code += "    assert name not in sys.modules, name"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_imports_are_silent_and_write_nothing(tmp_path: Path) -> None:
    code = "import sys, input_data, common.plots\n"
    code += "assert 'tensorflow' not in sys.modules\n"
    code += f"import {', '.join(ALL)}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("asked", "used"), [(None, "1"), ("0", "0")])
def test_onednn_is_asked_for_unless_the_user_says_otherwise(
    asked: str | None, used: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if asked is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = asked
    code = "import os, common.session; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{used}\n"
