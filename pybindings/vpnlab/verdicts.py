"""Verdicts: the engine hands a `Drop` back as a value; ok() is for where a script expects none."""
from typing import TypeVar

from vpnlab._core import Drop

T = TypeVar("T")


def ok(result: "T | Drop | None") -> T:
    """The result, or AssertionError when it is a Drop (named in the error) or None."""
    assert result is not None, "nothing came"
    assert not isinstance(result, Drop), f"dropped: {result.name.lower()}"
    return result
