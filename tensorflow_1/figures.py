"""A backend of Matplotlib for machines without a display: plt.show() saves figures.

They are saved beside the script, as SCRIPT-1.png and so on; each is told in one line.
Files that this did not write are never replaced.
"""

import sys
from pathlib import Path
from typing import ClassVar

import matplotlib
from matplotlib.backend_bases import FigureManagerBase, TimerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

MARK = {"Software": "tf1.py"}  # in the files that this wrote


class Timer(TimerBase):
    """Calls back as fast as it can while figures are shown: animations play once."""

    running: ClassVar[set["Timer"]] = set()

    def _timer_start(self) -> None:
        self.running.add(self)

    def _timer_stop(self) -> None:
        self.running.discard(self)

    @classmethod
    def run_all(cls) -> None:
        """Call back until all timers have stopped."""
        while cls.running:
            for timer in list(cls.running):
                for function, *_ in timer.callbacks:
                    animation = getattr(function, "__self__", None)
                    if hasattr(animation, "_repeat"):
                        animation._repeat = False
                timer._on_timer()


class FigureManager(FigureManagerBase):
    """Saves its figure where others show a window."""

    _used: ClassVar[set[Path]] = set()  # files of this run
    _path: Path | None = None

    def show(self) -> None:
        """Save the figure, each time under the same name."""
        self._path = self._path or _free_name(self._used)
        try:
            self.canvas.figure.savefig(self._path, metadata=MARK)
        except OSError as error:
            print(f"figure {self.num} is not saved ({error})", flush=True)
            return
        if self._path not in self._used:
            self._used.add(self._path)
            print(f"figure {self.num} saved as {self._path}", flush=True)

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """Save all figures; close them, as a window is closed before a script goes on.

        Args:
            block: False, or interactive mode, leaves them open.
        """
        from matplotlib import pyplot

        managers = [pyplot.figure(n).canvas.manager for n in pyplot.get_fignums()]
        for manager in managers:
            manager.canvas.draw()  # which starts its animations
            manager.show()
        if block or (block is None and not matplotlib.is_interactive()):
            if Timer.running:
                Timer.run_all()
                for manager in managers:
                    manager.show()
            pyplot.close("all")


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas, with this manager."""

    manager_class = FigureManager
    _timer_cls = Timer

    def start_event_loop(self, timeout: float = 0) -> None:
        """Wait `timeout` seconds; without one, for a key that nobody can press."""
        if timeout > 0:
            super().start_event_loop(timeout)


def _free_name(used: set[Path]) -> Path:
    """Return the first name beside the script that is free, or of an earlier run."""
    script = Path(sys.modules["__main__"].__file__)
    number = 1
    while True:
        path = script.with_name(f"{script.stem}-{number}.png")
        if path not in used and (not path.exists() or _is_ours(path)):
            return path
        number += 1


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == MARK["Software"]
    except OSError:
        return False
