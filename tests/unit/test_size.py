"""How much code each room of the package may hold. A change that raises a ceiling says why in its commit message.

A room is a folder or a module of the package, and its mass is the number of its syntax nodes: formatting, comments and
migrations do not count in it, and docstrings hardly.
"""

from __future__ import annotations

import ast
import re
from collections import Counter

from tests.unit.test_architecture import body_length, modules

SLACK = 300
"""A ceiling is lowered where a room has fallen so many nodes below it."""

CEILINGS = {
    "__init__": 9,
    "access": 590,
    "actors": 803,
    "admin": 33_892,
    "api": 23_661,
    "apps": 331,
    "batches": 216,
    "capture": 7_076,
    "catalogue": 11_310,
    "checks": 8_517,
    "choices": 2_292,
    "comparison": 1_128,
    "computed": 1_603,
    "conf": 1_476,
    "config_files": 2_466,
    "db": 5_428,
    "delivery": 14_949,
    "digests": 1_336,
    "documents": 3_907,
    "event_names": 907,
    "exception_reports": 251,
    "exceptions": 470,
    "expiry": 2_619,
    "filters": 5_501,
    "hooks": 684,
    "listener": 1_000,
    "manage": 5_505,
    "management": 9_532,
    "mcp": 4_206,
    "models": 24_216,
    "monitoring": 6_226,
    "moves": 2_237,
    "net": 11_650,
    "outbox": 22_373,
    "payloads": 9_423,
    "pytest_plugin": 240,
    "queues": 3_701,
    "reconciliation": 2_499,
    "routing": 5_831,
    "scaffold": 4_114,
    "sharing": 2_986,
    "signals": 281,
    "snapshot": 4_404,
    "sources": 26_086,
    "tasks": 1_454,
    "telemetry": 1_304,
    "testing": 2_963,
    "validators": 1_608,
    "worker": 15_988,
}

FUNCTIONS = 2_680
FILES = 262
SMALL_HELPERS = 22
SHORTEST_HELPER = 6
"""Lines that a private function with one caller has at least. A shorter one belongs into its caller."""


def mass_of_rooms():
    rooms = Counter()
    for path, text in modules():
        rooms[path.parts[0].removesuffix(".py")] += sum(1 for _node in ast.walk(ast.parse(text)))
    return dict(rooms)


def is_small(function):
    """Tell whether a function is private, undecorated, and of under six lines without its docstring."""
    return (
        re.match(r"_[a-z]", function.name) is not None
        and not function.decorator_list
        and body_length(function) < SHORTEST_HELPER
    )


def small_helpers():
    """Return the small private functions that are called in one place, and named nowhere else."""
    references = Counter()
    calls = Counter()
    small = []
    for path, text in modules():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Name | ast.Attribute):
                references[name_of(node)] += 1
            elif isinstance(node, ast.Call):
                calls[name_of(node.func)] += 1
            elif isinstance(node, ast.FunctionDef) and is_small(node):
                small.append((f"{path}: {node.name}", node.name))
    return [place for place, name in small if references[name] == calls[name] == 1]


def name_of(node):
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def test_no_room_is_over_its_ceiling():
    mass = mass_of_rooms()

    assert {room: nodes for room, nodes in mass.items() if nodes > CEILINGS.get(room, 0)} == {}


def test_a_ceiling_follows_its_room_down():
    mass = mass_of_rooms()

    assert {room: mass.get(room, 0) for room, most in CEILINGS.items() if mass.get(room, 0) < most - SLACK} == {}


def test_the_package_has_no_more_functions_and_files_than_before():
    functions = sum(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for _path, text in modules()
        for node in ast.walk(ast.parse(text))
    )

    assert functions <= FUNCTIONS
    assert sum(1 for _module in modules()) <= FILES


def test_a_small_private_function_has_more_than_one_caller():
    assert len(small_helpers()) <= SMALL_HELPERS, small_helpers()
