"""The scripts where people work: a notebook with a real kernel, prompts, profilers."""

import os
import pstats
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from helpers import TEST

from common.paths import ROOT

# ------------------------------------------------------------------------ notebook

PAGE = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
(PAGE_CODE,) = re.findall(
    r"^```python\n(import predict, train\n.*?)```", PAGE, re.S | re.M
)
CELLS = {
    "train": "%run train.py --steps 3 --batch_size 50 --validation_size 13 "
    "--data_dir {data} --save_dir {net}",
    "predict": "%run predict.py --index 1 --save_dir {net}",
    "process": "!{python} predict.py --first 3 --save_dir {net}",
    "import": "import numpy, predict\n"
    "network = predict.restore('{net}')\n"
    "network.probabilities(numpy.zeros((2, 784), numpy.float32)).shape",
    "folders": "import train\n"
    "train.DATA_DIR, train.SAVE_DIR = '{data}', '{net}'\n"
    "train.VALIDATION_SIZE, train.BATCH_SIZE = 13, 50\n"
    "predict.SAVE_DIR = '{net}'\n"
    "predict.restore.__defaults__ = ('{net}',)",
    "page": PAGE_CODE.replace('"200"', '"3"'),
    "mistake": f"%run predict.py --index {TEST} --save_dir {{net}}",
    "figure": "from matplotlib import pyplot\npyplot.plot([1, 2]);",
    "alive": "import gc\nprint(gc.get_freeze_count(), 6 * 7)",
}


class Outputs:
    """What is below a cell.

    Attributes:
        stdout: what it printed.
        stderr: what it printed as errors and warnings.
        values: text of what its last line returned, and of pictures.
        pictures: their number.
        errors: names of the exceptions.
    """

    def __init__(self, cell: nbformat.NotebookNode) -> None:
        """Sort the outputs of a cell that was run."""
        streams = {"stdout": "", "stderr": ""}
        self.values, self.pictures, self.errors = [], 0, []
        for output in cell.outputs:
            if output.output_type == "stream":
                streams[output.name] += output.text
            elif output.output_type == "error":
                self.errors.append(output.ename)
            else:
                self.values.append(output.data["text/plain"])
                self.pictures += "image/png" in output.data
        self.stdout = streams["stdout"].replace("\r\n", "\n")
        self.stderr = streams["stderr"]


def run_notebook(**values: object) -> dict[str, Outputs]:
    """Run the cells, with these values in them, in one kernel."""
    cells = [
        nbformat.v4.new_code_cell(code.format(**values)) for code in CELLS.values()
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    folder = {"metadata": {"path": str(ROOT)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=folder).execute()
    return dict(zip(CELLS, map(Outputs, notebook.cells), strict=True))


def test_a_notebook_trains_predicts_shows_and_lives_on(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))  # nothing of the user's
    monkeypatch.delenv("MPLBACKEND", raising=False)
    net = tmp_path / "net"
    below = run_notebook(data=tiny_dir, net=net, python=sys.executable)

    accuracy, following = below["train"].stdout.splitlines()[-2:]
    assert re.fullmatch(rf"test accuracy \d\.\d{{4}} \(\d+/{TEST}\)", accuracy)
    assert following == f"next: python predict.py --index 1 --save_dir {net}"
    answer, _, wrote = below["predict"].stdout.splitlines()
    assert re.fullmatch(r"predict=\d, correct=1", answer)
    assert wrote == f"wrote {net / 'prediction.png'}"
    labels, _, wrote = below["process"].stdout.splitlines()
    assert labels == "labels       0 1 2"
    assert wrote == f"wrote {net / 'prediction.png'}"
    assert below["import"].values == ["(2, 10)"]
    assert below["page"].stdout.count("test accuracy ") == 2
    assert below["page"].stdout.count("predict=") == 11
    refused = f"predict.py: there is no test image {TEST}: --index goes from 0 to 66\n"
    assert below["mistake"].stderr == refused
    assert below["alive"].stdout == "0 42\n"

    shown = {name: one.pictures for name, one in below.items() if one.pictures}
    assert shown == {"train": 1, "predict": 1, "page": 4, "figure": 1}
    raised = {name: one.errors for name, one in below.items() if one.errors}
    assert raised == {"mistake": ["SystemExit"]}
    warned = {name for name, one in below.items() if one.stderr}
    assert warned == {"train", "page", "mistake"}
    assert all("not MNIST" in line for line in below["train"].stderr.splitlines())


# --------------------------------------------------------------- prompts, profilers

SCRIPT = """
from common import cli
answer = 6
cli.run(lambda: print("ran"))
"""
RUNFILE = """
names = {"__name__": "__main__", "__file__": "script.py"}
exec(compile(open("script.py").read(), "script.py", "exec"), names)
print(names["answer"] * 7)
"""


@pytest.mark.parametrize(
    ("arguments", "typed", "printed"),
    [
        (["-i", "script.py"], "print(answer * 7)\n", "ran\n42\n"),
        (["-c", RUNFILE], "", "ran\n42\n"),  # as Spyder and IDLE do
        (["-m", "pdb", "script.py"], "continue\nquit\n", "ran\nThe program finished"),
        (["-m", "cProfile", "-o", "profile", "script.py"], "", "ran\n"),
    ],
    ids=["-i", "runfile", "pdb", "cProfile"],
)
def test_what_started_a_script_goes_on_after_it(
    arguments: list[str], typed: str, printed: str, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, *arguments],
        input=typed,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert printed in done.stdout.replace("(Pdb) ", "")
    assert "Traceback" not in done.stderr
    if "cProfile" in arguments:
        assert pstats.Stats(str(tmp_path / "profile")).total_calls > 0
