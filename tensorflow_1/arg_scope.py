"""Default arguments for a block of layers, as tf.contrib.framework had them."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

Scope = dict[str, dict[str, object]]  # arguments by the name of the function
_scopes: list[Scope] = [{}]


@contextlib.contextmanager
def arg_scope(functions: Sequence[Callable] | Scope, **arguments: object) -> Iterator:
    """Give functions default arguments inside the block; yield all that are in force.

    Args:
        functions: layers that `add_arg_scope` has marked; or what an earlier arg_scope
            yielded, to have it again.
        **arguments: the defaults. Those of an inner block go before an outer one's.

    Raises:
        ValueError: a function is not marked.
    """
    if isinstance(functions, dict):
        scope = functions
    else:
        scope = {name: dict(values) for name, values in _scopes[-1].items()}
        for function in functions:
            if not has_arg_scope(function):
                raise ValueError(f"{function} takes no arguments from arg_scope")
            scope.setdefault(_key(function), {}).update(arguments)
    _scopes.append(scope)
    try:
        yield scope
    finally:
        _scopes.pop()


def add_arg_scope(function: Callable) -> Callable:
    """Mark a function: `arg_scope` may give it default arguments."""

    @functools.wraps(function)
    def with_defaults(*args: object, **arguments: object) -> object:
        return function(*args, **_scopes[-1].get(_key(function), {}) | arguments)

    with_defaults.takes_arg_scope = True
    return with_defaults


def has_arg_scope(function: Callable) -> bool:
    """Return whether a function is marked."""
    return getattr(function, "takes_arg_scope", False)


def _key(function: Callable) -> str:
    return f"{function.__module__}.{function.__qualname__}"
