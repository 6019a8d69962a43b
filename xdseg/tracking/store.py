"""Opening MLflow's store: quietly, at once or not at all, and for one writer at a time."""

import fcntl
import logging
import os
import platform
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from xdseg.cells import RESULTS
from xdseg.errors import BadInput
from xdseg.files import temporary

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"} | {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"  # it says two lines of every run that ends on a server
}
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # MLflow waits for minutes
PROBE_SECONDS = 5
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}  # of databases that are reached directly
ADVICE = f"check {URI_VARIABLE}"


class StoreAway(BadInput):
    """The store did not answer, or refused."""


def tracking_uri() -> str:
    """Where runs go: `$MLFLOW_TRACKING_URI`, else a file in the project."""
    return os.environ.get(URI_VARIABLE) or DEFAULT_URI


def shown(uri: str) -> str:
    """An address without the user and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", uri)


def database(uri: str) -> Path | None:
    """The file of an SQLite store, None for any other."""
    return Path(uri.removeprefix(SQLITE).partition("?")[0]) if uri.startswith(SQLITE) else None


def is_server(uri: str) -> bool:
    """May it be away and come back? A file is there or not."""
    return database(uri) is None


@contextmanager
def writer(uri: str) -> Iterator[None]:
    """Be the one process of this folder that writes to a store. Raises BadInput naming the one that is.

    The kernel frees the lock when its holder ends, however it ends: a file that is left behind locks nothing.
    """
    file = database(uri)
    path = file.with_name(f".{file.name}.lock") if file else RESULTS / ".track.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise BadInput(
                f"track: {holder} writes to {shown(uri)} already; a follower mirrors all that is recorded, else wait"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {platform.node()}\n")
        lock.flush()
        yield


@contextmanager
def answered(uri: str) -> Iterator[None]:
    """Whatever goes wrong between us and the store becomes one line. Raises StoreAway."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise StoreAway(f"{shown(uri)}: {shown(said[:300])}; {ADVICE}") from None


def open_store(uri: str) -> "MlflowClient":
    """A client of the store, whose tables exist. Raises StoreAway if it cannot be reached or is no store."""
    os.environ.update(SILENT)  # before the import, which reads them
    for variable, value in PATIENCE.items():
        os.environ.setdefault(variable, value)
    _probe(uri)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    with answered(uri):
        file = database(uri)
        if file and not file.exists():
            _make(file)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _make(file: Path) -> None:
    """Make an SQLite store under another name: nobody finds one whose tables are half made."""
    from mlflow import MlflowClient

    with temporary(file) as unfinished:
        MlflowClient(tracking_uri=f"{SQLITE}{unfinished}").search_experiments(max_results=1)


def _probe(uri: str) -> None:
    """Raises StoreAway if nobody answers at the address; MLflow itself would try for minutes."""
    import requests

    address = urlsplit(uri)
    try:
        if address.scheme in ("http", "https"):
            requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)  # any answer will do, also a refusal
        elif address.hostname and (port := address.port or PORTS.get(address.scheme.partition("+")[0])):
            socket.create_connection((address.hostname, port), PROBE_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = type(error).__name__
        raise StoreAway(f"{shown(uri)}: nobody answers ({reason}); start the server, or {ADVICE}") from None
