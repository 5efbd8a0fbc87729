"""Import hooks: modules whose names are looked up in the tables of tf1.py.

`install` puts a finder on sys.meta_path. It hands out a `Moved` module for what the
table knows, adds the lost names of other packages once these are imported, and lets all
other imports pass. No file is changed.
"""

import ctypes
import functools
import gc
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

import numpy as np
from absl import flags as absl_flags

from common.cli import UserError
from common.paths import ROOT
from tensorflow_1.packages import originals


class GoneError(UserError, AttributeError):
    """A name that TensorFlow 2 has no more; a script may catch AttributeError."""


class GoneModuleError(UserError, ImportError):
    """A module of that kind; a script may catch ImportError."""


class Table:
    """Where the names of TensorFlow 1 are now."""

    def __init__(self, names: Mapping[str, str], gone: Mapping[str, str]) -> None:
        """Take the table.

        Args:
            names: old dotted name to new dotted name, which may be in the table as
                well. `tf` stands for tensorflow.compat.v1.
            gone: old dotted name, and all below it, to what to use instead.
        """
        self._names, self._gone = names, gone
        self._above = {
            key[:i] for key in names for i, letter in enumerate(key) if letter == "."
        }
        self._found: dict[str, object] = {}

    def knows(self, key: str) -> bool:
        """Return whether the table has a name, or names below it."""
        return key in self._names or key in self._gone or key in self._above

    def moved(self, key: str) -> bool:
        """Return whether a name itself is in the table."""
        return key in self._names

    def below(self, key: str) -> set[str]:
        """Return the names right below one."""
        start = f"{key}."
        names = (k.removeprefix(start) for k in self._names if k.startswith(start))
        return {name.partition(".")[0] for name in names}

    def find(self, key: str, real: object = None) -> object:
        """Return what a name that the table knows stands for.

        Args:
            key: the old name.
            real: what TensorFlow 2 has there; for names that are not in the table,
                but above others.

        Raises:
            GoneError: TensorFlow 2 has no such thing.
            UserError: it needs a package that is not installed.
        """
        if key not in self._found:
            if key in self._names:
                real = self.resolve(self._names[key])
            elif key not in self._above:
                raise self.gone(key)
            if isinstance(real, ModuleType | None) and (
                not isinstance(real, Moved) or key in self._above
            ):
                real = Moved(key, real, self)
            self._found[key] = real
        return self._found[key]

    def resolve(self, target: str) -> object:
        """Return the object with a dotted name, of the table or of a package."""
        first, *rest = target.split(".")
        ours = first in ("tf", "keras")
        found = self.find(first) if ours else self._package(first)
        return functools.reduce(attribute, rest, found)

    def _package(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != "tf_keras":
                raise
        version = ".".join(self.find("tf").__version__.split(".")[:2])
        raise UserError(
            "Keras, tf.layers and tf.nn.rnn_cell need tf-keras in the version of "
            f"TensorFlow: pip install --no-deps 'tf-keras=={version}.*'"
        )

    def gone(self, key: str) -> GoneError:
        """Return the error for a name that TensorFlow 2 has no more."""
        above = key
        while above and above not in self._gone:
            above = above.rpartition(".")[0]
        instead = self._gone.get(above, "docs/tensorflow-1.md says what is left")
        return GoneError(f"{key} is gone from TensorFlow 2: {instead}")


def attribute(module: object, name: str) -> object:
    """Return a name of a module, or a module below it.

    Raises:
        AttributeError: there is neither.
    """
    if not hasattr(module, name) and hasattr(module, "__path__"):
        path = f"{module.__name__}.{name}"
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
    return getattr(module, name)


class Moved(ModuleType):
    """A module of TensorFlow 1: its names are the table's, else those of `real`."""

    def __init__(self, key: str, real: ModuleType | None, table: Table) -> None:
        """Stand for the module that the table calls `key`."""
        super().__init__(_import_name(key), getattr(real, "__doc__", None))
        self.__path__: list[str] = []
        self._key, self._real, self._table = key, real, table

    def __getattr__(self, name: str) -> object:
        """Look a name up."""
        if name == "__all__":
            return [n for n in dir(self) if not n.startswith("_")]
        key = f"{self._key}.{name}"
        if self._table.knows(key):
            return self._table.find(key, getattr(self._real, name, None))
        if not name.startswith("__") and self._real is None:
            raise self._table.gone(key)
        try:
            return attribute(self._real, name)
        except AttributeError:
            if name.startswith("__") or not self._key.startswith("tf.contrib"):
                raise
            raise self._table.gone(key) from None

    def __dir__(self) -> list[str]:
        """Name what there is."""
        return sorted(self._table.below(self._key) | set(dir(self._real)))


def _beside_the_script(name: str) -> ModuleSpec | None:
    """Return the spec of a script's own module, which has the name of one of ours."""
    # Readers of MNIST are kept in other folders as well.
    return PathFinder.find_spec(name, sys.path[: None if name == "input_data" else 1])


def _table_name(name: str) -> str:
    """Return an import's name as the table has it: tf for tensorflow."""
    first, dot, rest = name.partition(".")
    return f"{'tf' if first == 'tensorflow' else first}{dot}{rest}"


def _import_name(key: str) -> str:
    first, dot, rest = key.partition(".")
    return f"{'tensorflow' if first == 'tf' else first}{dot}{rest}"


class Finder:
    """The finder on sys.meta_path, and the loader of its modules."""

    def __init__(
        self,
        table: Table,
        added: Mapping[str, Mapping[str, str]],
        is_old: Callable[[str], bool],
    ) -> None:
        """Take the tables.

        Args:
            table: of TensorFlow 1.
            added: module of another package to its lost names, and where they are now.
            is_old: whether a file beside the script is one that the table's replaces.
        """
        self._table, self._added, self._is_old = table, added, is_old

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of ours, or None: Python searches on."""
        if name in self._added:
            return self._found_later(name, path)
        own = None if "." in name else _beside_the_script(name)
        if own and not self._is_old(own.origin or ""):
            return None
        key, (above, _, last) = _table_name(name), name.rpartition(".")
        parent = sys.modules.get(above)
        within = isinstance(parent, Moved)
        if within and above != "tensorflow":
            ours = True
        else:
            ours = self._table.knows(key) if within else self._table.moved(key)
        if not ours:
            return None
        try:
            found = getattr(parent, last) if within else self._table.find(key)
        except GoneError as error:
            raise GoneModuleError(str(error)) from None
        except AttributeError:
            return None
        if not isinstance(found, ModuleType):
            return None
        if not isinstance(found, Moved):
            found = Moved(key, found, self._table)
        return ModuleSpec(name, self, loader_state=found, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that `find_spec` has found."""
        return spec.loader_state

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: names are looked up when they are used."""

    def _found_later(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return Python's own spec of a module that gets its lost names afterwards."""
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path) for finder in others)
        spec = next((spec for spec in found if spec), None)
        if spec:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                self.add_names(module)

            spec.loader.exec_module = exec_module
        return spec

    def add_names(self, module: ModuleType) -> None:
        """Give a module of another package the names that it has lost."""
        for path, target in self._added[module.__name__].items():
            *parents, name = path.split(".")
            holder = functools.reduce(getattr, parents, module)
            if name in vars(holder) and not target.startswith("tensorflow_1."):
                continue
            value = self._table.resolve(target)
            originals[f"{module.__name__}.{path}"] = vars(holder).get(name)
            try:
                setattr(holder, name, value)
            except TypeError:  # a class written in C, which Python does not write to
                gc.get_referents(vars(holder))[0][name] = value
                ctypes.pythonapi.PyType_Modified(ctypes.py_object(holder))


def install(
    names: Mapping[str, str],
    gone: Mapping[str, str],
    added: Mapping[str, Mapping[str, str]],
    data_dir: Path,
) -> None:
    """Put TensorFlow 1 in the place of `tensorflow`, and the finder before all others.

    Args:
        names: see `Table`.
        gone: see `Table`.
        added: see `Finder`.
        data_dir: folder of MNIST for scripts without.
    """
    from common.session import tf  # slow; an error in the script is told before
    from tensorflow_1 import calls, data, layers, losses, mnist  # noqa: F401

    tf.disable_v2_behavior()
    np.set_printoptions(legacy="1.25")  # numbers without np.float32(...)
    data.data_dir = data_dir
    data.answer_addresses()
    table = Table(names, gone)
    now, old = sys.modules["tensorflow"], table.find("tf", tf)
    # TensorFlow imports its own parts through these.
    old.__path__, old.compat = now.__path__, now.compat
    old.python = sys.modules["tensorflow.python"]
    sys.modules["tensorflow"] = old
    for flag in absl_flags.FLAGS:  # absl has some by now; a script may define log_dir
        absl_flags.FLAGS[flag].allow_override = True
    finder = Finder(table, added, data.is_old_reader)
    sys.meta_path.insert(0, finder)
    for name in added.keys() & sys.modules.keys():
        finder.add_names(sys.modules[name])
    _forget_ours()


def _forget_ours() -> None:
    """Leave to the script the names of this project's modules, model and common."""
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        ours = path.is_relative_to(ROOT) and "site-packages" not in path.parts
        if ours and name.partition(".")[0] != "tensorflow_1":
            del sys.modules[name]
