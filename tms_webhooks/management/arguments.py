"""The argument types of the commands: each parses one argument, or raises an error that argparse prints."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_datetime

AGE = re.compile(r"(\d{1,6})(min|h|d)")
UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    value = _number(text)
    # NaN fails every comparison.
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def share(text: str) -> float:
    """Read a share from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text!r} is not a share from 0 to 1, such as 0.25")
    return value


def count(text: str) -> int:
    """Read a whole number from 0 up."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def size(text: str) -> int:
    """Read a whole number from 1 up."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def row_id(text: str) -> str:
    """Read the id of a row: the public id, or the number in the logs."""
    if not re.fullmatch(r"[0-9]{1,18}|[a-z]{3}_[0-9a-f]{32,64}", text):
        raise ArgumentTypeError(f"{text!r} is not an id, such as 31 or whk_…")
    return text


def port(text: str) -> int:
    """Read a TCP port; 0 stands for a free one."""
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= 65_535):
        raise ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def status(text: str) -> int:
    """Read an HTTP status."""
    if not re.fullmatch(r"[2-5]\d\d", text):
        raise ArgumentTypeError(f"{text!r} is not an HTTP status from 200 to 599")
    return int(text)


def moment(text: str) -> datetime:
    """Read a time with its time zone, or an age such as 30min, 12h or 3d."""
    age = AGE.fullmatch(text)
    if age:
        return timezone.now() - int(age[1]) * UNITS[age[2]]
    try:
        value = parse_datetime(text)
    except ValueError:
        value = None
    if value is None:
        raise ArgumentTypeError(f"{text!r} is neither a time such as 2026-11-24T15:00:00Z nor an age such as 12h or 3d")
    if timezone.is_naive(value):
        raise ArgumentTypeError(f"{text!r} has no time zone; give one, as in 2026-11-24T15:00:00Z")
    return value


def variable(text: str) -> str:
    """Read the name of an environment variable."""
    if not VARIABLE.fullmatch(text):
        # Not quoted: it may be the secret itself.
        raise ArgumentTypeError(
            "that is not the name of an environment variable; put the secret into a variable, and give its name here"
        )
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
