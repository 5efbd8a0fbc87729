"""Run a script as `python SCRIPT` does, and tell in one line what age did to it."""

import builtins
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from common import cli

# Names that Python 3 has no more, as its errors quote them.
PYTHON_2_NAMES = {
    "basestring", "cmp", "execfile", "file", "long", "raw_input", "reduce", "reload",
    "unichr", "unicode", "xrange",
}  # fmt: skip
PYTHON_2_MODULES = {
    "ConfigParser", "cPickle", "cStringIO", "commands", "Queue", "StringIO", "Tkinter",
    "urllib2", "urlparse",
}  # fmt: skip
PYTHON_2_ATTRIBUTES = {
    "has_key", "iteritems", "iterkeys", "itervalues", "maxint", "next", "urlencode",
    "urlopen", "urlretrieve",
}  # fmt: skip
PYTHON_2_SYNTAX = {
    "Missing parentheses in call to": "print or exec without brackets",
    "multiple exception types must be parenthesized": "except X, e",
    "leading zeros in decimal": "octal numbers",
    "invalid decimal literal": "a number that ends with L",
    "inconsistent use of tabs": "tabs and spaces mixed",
}


def compiled(path: Path) -> CodeType:
    """Return a script's code.

    Raises:
        cli.UserError: it cannot be read, is for Python 2 or for no Python.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise cli.UserError(f"cannot read {path} ({error.strerror})") from None
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # ValueError: it holds a null byte
        _raise_if_python_2(error)
        raise cli.UserError(f"{path} is no Python script ({error})") from None


def run(code: CodeType, path: Path, arguments: Sequence[str], packages: Mapping) -> int:
    """Run a script's code as the main module; return the exit status.

    Args:
        code: of `compiled`.
        path: absolute path of the script.
        arguments: its command line.
        packages: modules that scripts need to the packages that have them.

    Raises:
        cli.UserError: what stopped it is known.
        SystemExit: the script ended with it.
    """
    main = ModuleType("__main__")
    main.__file__, main.__builtins__ = str(path), builtins
    sys.modules["__main__"] = main
    sys.argv = [str(path), *arguments]
    sys.path[0] = str(path.parent)
    try:
        exec(code, vars(main))
    except (SystemExit, cli.UserError):
        raise
    except BaseException as error:
        _raise_if_python_2(error)
        _raise_if_missing(error, packages)
        own = _without_ours(error.__traceback__, str(path))
        traceback.print_exception(error.with_traceback(own))
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def has_display() -> bool:
    """Return whether windows can be shown."""
    return sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _without_ours(found: TracebackType | None, path: str) -> TracebackType | None:
    """Return a traceback from the script's own first line on."""
    while found and found.tb_frame.f_code.co_filename != path:
        found = found.tb_next
    return found


def _place(error: BaseException) -> str:
    """Return the file and line of the script that an error comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.basename(error.filename)} line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    frames = [f for f in frames if Path(f.filename).is_relative_to(sys.path[0])]
    return f"{os.path.basename(frames[-1].filename)} line {frames[-1].lineno}"


def _raise_if_python_2(error: BaseException) -> None:
    """Raise UserError if an error is the mark of a script for Python 2."""
    text = str(error)
    quoted = set(re.findall(r"'(\w+)'", text))
    if isinstance(error, SyntaxError):
        marks = {mark for key, mark in PYTHON_2_SYNTAX.items() if key in text}
    elif isinstance(error, NameError):
        marks = quoted & PYTHON_2_NAMES
    elif isinstance(error, ModuleNotFoundError):
        marks = {error.name} & PYTHON_2_MODULES
    elif isinstance(error, AttributeError):
        marks = {error.name} & PYTHON_2_ATTRIBUTES
    else:
        marks = set()
    if marks:
        raise cli.UserError(
            f"{_place(error)} is Python 2 ({marks.pop()}): translate it with "
            "`pip install fissix` and `python -m fissix -w SCRIPT`, which keeps the "
            "original as SCRIPT.bak; look at each division / afterwards, for one of "
            "whole numbers is // now"
        ) from None


def _raise_if_missing(error: BaseException, packages: Mapping[str, str]) -> None:
    """Raise UserError if an error is an import of a package that is not installed."""
    if isinstance(error, ModuleNotFoundError) and error.name in packages:
        raise cli.UserError(
            f"{_place(error)} imports {error.name}, which is not installed: "
            f"pip install {packages[error.name]}"
        ) from None
