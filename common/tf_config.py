"""The variable TF_CONFIG, in which launchers describe the workers of a run."""

import json
import re

from common.cli import UserError

ROLES = ("chief", "master", "worker")  # in this order; a chief is the first worker
KEYS = {"cluster", "task", "environment", "job"}  # that launchers set
EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def read_tf_config(text: str) -> tuple[list[str], int]:
    """Return the addresses of all workers, and which of them this one is.

    Args:
        text: of TF_CONFIG, such as EXAMPLE. Nothing, or a cluster of one, means that
            this process is alone.

    Raises:
        UserError: it is something else.
    """
    try:
        config = json.loads(text or "{}")
        task = config.get("task") or {"type": "worker", "index": 0}
        role, index = task["type"], int(str(task["index"]))
        cluster = {k: v for k, v in (config.get("cluster") or {}).items() if v}
    except (ValueError, RecursionError):
        raise _wrong(
            f"it is no JSON, or its index is no number: {text[:200]}"
        ) from None
    except (LookupError, TypeError, AttributeError):
        raise _wrong(
            f"it has no cluster, or no task with a type and an index: {text[:200]}"
        ) from None
    if not cluster and index == 0 and config.keys() <= KEYS:
        return [""], 0
    for name in (*cluster, role):
        if name not in ROLES:
            raise _wrong(f"it has a {name!r}; the types are {', '.join(ROLES)}")
    addresses: list[str] = []
    starts = {}
    for name in ROLES:
        starts[name] = len(addresses)
        addresses += cluster.get(name, [])
    for address in addresses:
        _check(address)
    if len(set(addresses)) < len(addresses):
        raise _wrong("it has an address twice")
    count = len(cluster.get(role, []))
    if not 0 <= index < count:
        raise _wrong(
            f"its cluster has {count} of type {role!r}, and the index is {index}"
        )
    return addresses, starts[role] + index


def host_and_port(address: str) -> tuple[str, int]:
    """Split host:port; the host may be an IPv6 address in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check(address: object) -> None:
    """Raise UserError unless this is host:port."""
    try:
        host, port = host_and_port(address)
        host.encode("idna")
        if re.fullmatch(r"[^\s/]+", host) and 0 < port < 2**16:
            return
    except (ValueError, AttributeError):
        pass
    raise _wrong(f"{address!r} is not host:port")


def _wrong(what: str) -> UserError:
    return UserError(f"TF_CONFIG cannot be used, {what}; an example: {EXAMPLE}")
