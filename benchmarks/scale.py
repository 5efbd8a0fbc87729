"""Measure time and memory as the work grows: training images, pictures in one call.

    python benchmarks/scale.py --data_dir data

Trains 50 steps on 1,000 to 1,000,000 images of MNIST's form, which are MNIST's own over
and over, and reads 1 to 10,000 PNG files with one digit each. Writes
benchmarks/results/scale.json and scale.md. Needs a trained network in save_model/ and
3 GB of disk, and Linux.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from runner import ROOT, RUNS, Found, Results, fill

import input_data
from mnist_files import idx_header

IMAGES = (1000, 10_000, 100_000, 1_000_000)
PICTURES = (1, 10, 100, 1000, 10_000)
STEPS = 50
AT_ONCE = 50_000  # images written at once


def write_training_set(folder: Path, data: input_data.Datasets, count: int) -> None:
    """Write `count` training images as IDX files, and the test images of `data`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for prefix, split, total in (
        ("train", data.train, count),
        ("t10k", data.test, data.test.num_examples),
    ):
        images = split.images.reshape(-1, 28, 28)
        rows = np.arange(total) % len(images)
        for kind, array in (("images-idx3", images), ("labels-idx1", split.labels)):
            with (folder / f"{prefix}-{kind}-ubyte").open("wb") as file:
                whole = np.broadcast_to(array[:1], (total, *array.shape[1:]))
                file.write(idx_header(whole))
                for start in range(0, total, AT_ONCE):
                    file.write(array[rows[start : start + AT_ONCE]].tobytes())


def write_pictures(folder: Path, data: input_data.Datasets, count: int) -> list[Path]:
    """Write test images as PNG files; return their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = [folder / f"{index}.png" for index in range(count)]
    for path, pixels in zip(paths, data.test.images, strict=False):
        Image.fromarray(pixels.reshape(28, 28)).save(path)
    return paths


def run(folder: Path, *command: object) -> Found:
    """Run a script in a folder; return its seconds and its peak memory in MB."""
    begun = time.monotonic()
    # A process of its own in between: its children's peak is that of the script.
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
    code += "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    words = [sys.executable, "-c", code, sys.executable, *map(str, command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - begun
    return {"seconds": seconds, "MB": int(done.stdout) * 1024 / 1e6}


def table(results: Results) -> str:
    """Return the measurements as Markdown."""
    lines = ["| work | seconds | peak MB |", "|---|---|---|"]
    for row, seeds in results.items():
        found = seeds["1"]
        lines.append(f"| {row} | {found['seconds']:.1f} | {found['MB']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what benchmarks/results/ does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    data_dir = parser.parse_args().data_dir.resolve()
    _, data = input_data.load("mnist", data_dir, 0, dtype=np.uint8)
    folder = RUNS / "scale"
    training = {f"{STEPS} steps on {count:,} images": count for count in IMAGES}
    reading = {f"reading {count:,} pictures": count for count in PICTURES}

    def measure(row: str, _: int) -> Found:
        if row in training:
            write_training_set(folder, data, training[row])
            return run(
                folder,
                ROOT / "train.py",
                f"--steps={STEPS}",
                "--validation_size=100",
                "--data_dir=.",
                "--save_dir=save",
                "--overwrite",
            )
        paths = write_pictures(folder, data, reading[row])
        flags = f"--save_dir={ROOT / 'save_model'}", "--image"
        return run(folder, ROOT / "predict.py", *flags, *(p.name for p in paths))

    fill("scale", [(row, 1) for row in (*training, *reading)], measure, table)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
