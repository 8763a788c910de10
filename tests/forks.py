"""Processes of Python that are forked from one which has set Django up: to start one takes a tenth of the time.

Each is as real as one that is started: it has an id, a group, files and database connections of its own, and is killed as
any other. Its settings are read anew from its environment. The server that forks is started by the first who asks, one for
each kind of database, and ends with the tests.
"""

import array
import atexit
import contextlib
import gc
import importlib
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from functools import cache
from pathlib import Path

from tests import leftovers, signals
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "tests.settings": ["tests.settings"],
    "tests.scenarios.settings": ["tests.settings", "tests.scenarios.settings"],
}
"""Settings under which processes are forked, and the modules that make them, after those of the example project."""
ELSE = ("TMS_SCENARIO_AHEAD", "TMS_SCENARIO_OPTIONS", "TMS_SCENARIO_QUEUE")
"""What changes more than settings, such as a pool of connections: with it, a process is started as usual."""


class Python(subprocess.Popen):
    """A process that runs Python with these arguments: ``-m`` and a module, ``-c`` and code, or ``manage.py``."""

    def __init__(self, *arguments, **options):
        super().__init__([sys.executable, *arguments], **options)

    def _execute_child(self, *args, **kwargs):
        given = inspect.signature(subprocess.Popen._execute_child).bind(self, *args, **kwargs).arguments
        environment, folder = given["env"] or dict(os.environ), given["cwd"]
        if not _can_be_forked(environment, folder):
            return super()._execute_child(*args, **kwargs)
        streams = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        request = {
            "arguments": self.args[1:],
            "environment": environment,
            "new": given["start_new_session"],
            "ignored": signals.ignored(),
        }
        self.pid = _ask(environment, request, [own if own != -1 else shared for shared, own in enumerate(streams)])
        self._child_created = True
        # As Popen does: these ends are the child's.
        self._close_pipe_fds(
            *(given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )
        return None


def run(*arguments, given=None, **options):
    """Run Python to its end, however that is, with ``given`` as its standard input; return what it printed."""
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with Python(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            out, err = process.communicate(given, timeout=PATIENCE)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _can_be_forked(environment, folder):
    return (
        leftovers.IS_LINUX
        and environment.get("DJANGO_SETTINGS_MODULE") in SETTINGS
        and not any(environment.get(name) for name in ELSE)
        and folder is not None
        and Path(str(folder)).resolve() == ROOT
    )


def _ask(environment, request, streams):
    """Have the server fork a process with these streams; return its id."""
    kind = environment.get("TMS_DATABASE", "").partition(":")[0] or "sqlite"
    server = _server(environment["DJANGO_SETTINGS_MODULE"], kind)
    text = json.dumps(request).encode()
    socket.send_fds(server, [len(text).to_bytes(4, "big")], streams)
    server.sendall(text)
    return int.from_bytes(_received(server, 4), "big")


@cache
def _server(settings, kind):
    ours, theirs = socket.socketpair()
    atexit.register(ours.close)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "TMS_DATABASE": UNUSED[kind]}
    command = [sys.executable, "-m", "tests.forks", str(theirs.fileno())]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    leftovers.kept.add(process.pid)
    atexit.register(process.wait)
    atexit.register(process.kill)
    return ours


UNUSED = {
    "sqlite": "sqlite:////nowhere/unused.sqlite3",
    "postgres": "postgres://nobody@127.0.0.1:1/unused",
    "mysql": "mysql://nobody@127.0.0.1:1/unused",
}
"""A server of each kind opens no connection: whom it forks has its own database."""


def _received(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


# The server


def serve(connection):
    """Fork a process for each request. Return the request in that process, and end in this one when the tests close the connection."""
    while True:
        try:
            size, descriptors = _request(connection)
            request = json.loads(_received(connection, size))
        except EOFError:
            os._exit(0)
        reader, writer = os.pipe()
        # Forked twice: an orphan becomes a child of the tests, who wait for it as for any other.
        if between := os.fork():
            os.close(writer)
            for descriptor in descriptors:
                os.close(descriptor)
            answer = os.read(reader, 4)
            os.close(reader)
            os.waitpid(between, 0)
            connection.sendall(answer)
            continue
        if pid := os.fork():
            os.write(writer, pid.to_bytes(4, "big"))
            os._exit(0)
        for descriptor in (reader, writer):
            os.close(descriptor)
        connection.close()
        if request["new"]:
            os.setsid()
        signals.set_ignored(request["ignored"], otherwise=signal.SIG_DFL)
        if signal.SIGINT not in request["ignored"]:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        for descriptor in descriptors:
            if descriptor > 2:
                os.close(descriptor)
        return request


def _request(connection):
    data, descriptors, _flags, _address = socket.recv_fds(connection, 4, 3)
    if not data:
        raise EOFError
    return int.from_bytes(data + _received(connection, 4 - len(data)), "big"), list(array.array("i", descriptors))


def end_with(request):
    """Run what is asked for, and end as Python does, but for taking down what the server has set up."""
    from django.db import connections

    code = 0
    try:
        become(request)
    except SystemExit as ending:
        code = ending.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        code = 1
    if not (code is None or isinstance(code, int)):
        print(code, file=sys.stderr)  # noqa: T201
        code = 1
    # As the interpreter: threads that are no daemons, what was registered, and what is still to be written.
    threading._shutdown()
    atexit._run_exitfuncs()
    connections.close_all()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


def become(request):
    """Run what is asked for, as if Python had been started with it."""
    os.environ.clear()
    os.environ.update(request["environment"])
    _read_settings(os.environ["DJANGO_SETTINGS_MODULE"])
    _set_constants()
    what, *arguments = request["arguments"]
    sys.path[0] = "" if what in ("-m", "-c") else str(ROOT)
    if what == "-m":
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        sys.argv = ["-c", *arguments[1:]]
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [what, *arguments]
        runpy.run_path(what, run_name="__main__")


def _read_settings(module):
    from django.conf import settings
    from django.db import connections
    from django.utils.functional import empty

    for name in ["example_project.settings", *SETTINGS[module]]:
        importlib.reload(importlib.import_module(name)) if name in sys.modules else importlib.import_module(name)
    settings._wrapped = empty
    settings.__dict__.clear()
    settings._wrapped = empty
    connections.__dict__.pop("settings", None)
    connections._settings = None
    for alias in list(connections.settings):
        with contextlib.suppress(AttributeError):
            del connections[alias]


def _set_constants():
    """Do again what depends on settings: the apps were ready before the process was forked."""
    from django.apps import apps

    apps.get_app_config("tms_webhooks").ready()
    if apps.is_installed("tests.scenarios"):
        apps.get_app_config("scenarios").ready()


def prepare():
    """Set Django up, and import what most processes use."""
    import django

    django.setup()
    for name in (
        "django.core.management.commands.shell",
        "tests.factories",
        "tms_webhooks.worker.drain",
        "tms_webhooks.tasks",
    ):
        importlib.import_module(name)


if __name__ == "__main__":
    prepare()
    # What all share is neither walked nor copied.
    gc.freeze()
    end_with(serve(socket.socket(fileno=int(sys.argv[1]))))
