"""What the benchmarks share: train.py as a process, means, results that are kept."""

import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from saving.run import Run

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script sees its own folder first
RUNS = ROOT / "benchmarks" / "runs"
RESULTS = ROOT / "benchmarks" / "results"

Found = dict[str, float]
Results = dict[str, dict[str, Found]]  # by row and seed


def train(save_dir: Path, *flags: str) -> tuple["Run", float, float]:
    """Run train.py.

    Returns:
        The run, the seconds of the whole command, and those of training, validation
        and saving, which train.py prints.

    Raises:
        SystemExit: it failed.
    """
    # This imports TensorFlow, which other frameworks' processes do without.
    from saving import checkpoints

    command = [sys.executable, str(ROOT / "train.py"), f"--save_dir={save_dir}", *flags]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    training = float(re.findall(r"([\d.]+) s$", done.stdout, re.MULTILINE)[-1])
    return checkpoints.read_config(save_dir), seconds, training


def machine() -> str:
    """Return the processor's name and the instructions that matter, for file names."""
    from common.session import cpu_has_bfloat16

    text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    name = found[1] if found else platform.machine()  # ARM tells no name
    name = re.sub(r"\((R|TM)\)|@.*| CPU| Processor", "", name).strip()
    flags = {"AVX-512": "avx512f", "AVX2": "avx2"}
    known = [extension for extension, flag in flags.items() if flag in text]
    extension = "bfloat16" if cpu_has_bfloat16() else "".join(known[:1])
    return re.sub(r"\W+", "-", f"{name} {extension}".strip().lower())


def mean(values: Sequence[float]) -> str:
    """Return mean and standard deviation of accuracies, as the tables print them."""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def fill(
    name: str,
    jobs: Iterable[tuple[str, int]],
    measure: Callable[[str, int], Found],
    table: Callable[[Results], str],
) -> None:
    """Measure each (row, seed) that benchmarks/results/NAME.json does not have yet.

    NAME.json and the table, NAME.md, are written after each one, so that a benchmark
    can be stopped and started.
    """
    RUNS.mkdir(exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    results: Results = json.loads(path.read_text()) if path.exists() else {}
    for row, seed in tqdm(list(jobs), unit="run", disable=None):
        done = results.setdefault(row, {})
        if str(seed) not in done:
            done[str(seed)] = measure(row, seed)
            path.write_text(json.dumps(results, indent=1) + "\n")
            (RESULTS / f"{name}.md").write_text(table(results))
    print(table(results), end="")
