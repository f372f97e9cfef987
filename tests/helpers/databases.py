"""Databases for the store's tests: a SQLite file, and a PostgreSQL cluster of the test's own."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = ("initdb", "pg_ctl", "createdb")


def missing_programs() -> str:
    """What of PostgreSQL is not there; empty where all is."""
    return ", ".join(name for name in PROGRAMS if _program(name) is None)


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL prefix of a server that listens on a socket of its own, as an ordinary user.

    The server refuses to run as root, so root starts it as `postgres`.
    """
    folder = Path(mkdtemp(prefix="pg-"))  # short: a socket's path holds 107 letters
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    data = str(folder / "data")
    try:
        _run(user, "initdb", "-D", data, "-A", "trust", "-U", "tests", "--no-sync", "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        _run(user, "pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tests@/{{name}}?host={folder}"
        finally:
            _run(user, "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(url: str, name: str) -> str:
    """An empty database of a server, and its URL."""
    host = url.partition("host=")[2]
    command = [str(_program("createdb")), "-h", host, "-U", "tests", name]
    subprocess.run(command, check=True, capture_output=True)
    return url.format(name=name)


def _run(user: str, program: str, *arguments: str) -> None:
    command = [str(_program(program)), *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _program(name: str) -> str | None:
    if found := shutil.which(name):
        return found
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(places[-1]) if places else None
