"""Bulk import into Neo4j: CSV files for ``neo4j-admin database import full``, and running it.

This is the fastest way to a first graph, and the only one that needs the server stopped. After its
start :meth:`~scypher.kg.stores.neo4j.Neo4jStore.adopt` makes constraints, ledger and archive, so
that the graph goes on as if it had been written over Bolt.
"""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...encoders.errors import InputError, StoreError
from ..graph import Graph
from ..schema import edge_type, node_type
from .base import require_datasets
from .neo4j_csv import free_delimiter, write_csv

_REPORT = "import.report"


@dataclass(frozen=True)
class ImportFiles:
    """CSV files of a graph, each with its header in a file beside it.

    Attributes
    ----------
    folder
        Where they are.
    nodes, edges
        Names of tables, ``Label`` and ``Label-TYPE-Label``; the files are ``<name>-header.csv`` and
        ``<name>.csv``.
    delimiter
        What separates the items of a list.
    multiline
        Whether a text has line breaks, which slows the import down.
    """

    folder: Path
    nodes: tuple[str, ...]
    edges: tuple[str, ...]
    delimiter: str
    multiline: bool

    def arguments(self, *, database: str = "neo4j", overwrite: bool = False) -> list[str]:
        """Return the arguments of ``neo4j-admin``, to be run in :attr:`folder`.

        Parameters
        ----------
        database
            Name of the database to make.
        overwrite
            Put the graph in place of what the database holds; else it must be new.
        """
        return [
            *("database", "import", "full", database),
            *(f"--nodes={name}={name}-header.csv,{name}.csv" for name in self.nodes),
            *(
                f"--relationships={name.split('-')[1]}={name}-header.csv,{name}.csv"
                for name in self.edges
            ),
            *("--id-type=integer", "--bad-tolerance=0", f"--report-file={_REPORT}"),
            f"--array-delimiter=U+{ord(self.delimiter):04X}",
            *(["--multiline-fields=true"] if self.multiline else []),
            *(["--overwrite-destination=true"] if overwrite else []),
        ]

    def command(self, *, database: str = "neo4j", overwrite: bool = False) -> str:
        """Return the command for a shell on the machine of the server, which must be stopped."""
        arguments = self.arguments(database=database, overwrite=overwrite)
        run = shlex.join(["neo4j-admin", *arguments])
        return f"cd {shlex.quote(str(self.folder))} && {run}"


def write_import_files(graph: Graph, folder: str | Path) -> ImportFiles:
    """Write a graph as CSV files for ``neo4j-admin database import full``.

    Unknown values are empty fields; text may hold quotes, backslashes and line breaks. Nodes are
    numbered per label, so that edges are short. An empty list, or one of one empty text, looks
    like an unknown one: :meth:`~scypher.kg.stores.neo4j.Neo4jStore.adopt` puts it back.

    Parameters
    ----------
    graph
        The graph.
    folder
        Where to write; made if it is not there.

    Raises
    ------
    InputError
        The graph holds no data set, the folder holds something already, or a list holds every
        character that could separate its items.
    """
    require_datasets(graph)
    target = Path(folder).expanduser().resolve()
    if target.exists() and (not target.is_dir() or os.listdir(target)):
        message = (
            f"{folder} holds something already; a new or an empty folder was expected. "
            "Give another one."
        )
        raise InputError(message)
    delimiter = free_delimiter(graph)
    target.mkdir(parents=True, exist_ok=True)
    multiline = False
    for label, frame in graph.nodes.items():
        ends = {f":ID({label})": np.arange(len(frame))}
        if label == "Dataset":
            ends["complete:boolean"] = np.ones(len(frame), bool)
        multiline |= write_csv(
            target / label, ends, frame, node_type(label).properties, delimiter=delimiter
        )
    for key, frame in graph.edges.items():
        ends = {
            f":START_ID({key[0]})": frame["source"].to_numpy(),
            f":END_ID({key[2]})": frame["target"].to_numpy(),
        }
        multiline |= write_csv(
            target / "-".join(key), ends, frame, edge_type(*key).properties, delimiter=delimiter
        )
    nodes = tuple(label for label, frame in graph.nodes.items() if len(frame))
    edges = tuple("-".join(key) for key, frame in graph.edges.items() if len(frame))
    return ImportFiles(target, nodes, edges, delimiter, multiline)


def run_import(
    files: ImportFiles,
    home: str | Path | None = None,
    *,
    database: str = "neo4j",
    overwrite: bool = False,
) -> str:
    """Import files into the server of this machine, which must be stopped; return what was said.

    Parameters
    ----------
    files
        What :func:`write_import_files` returned.
    home
        Folder of the server, with ``bin/neo4j-admin``; else NEO4J_HOME, else ``neo4j-admin`` of the
        path.
    database, overwrite
        See :meth:`ImportFiles.arguments`.

    Raises
    ------
    InputError
        There is no ``neo4j-admin``.
    StoreError
        The import failed: the server runs, the database is not new, or the disk is full.
    """
    command = [_find_admin(home), *files.arguments(database=database, overwrite=overwrite)]
    done = subprocess.run(command, cwd=files.folder, capture_output=True, text=True, check=False)
    report = files.folder / _REPORT
    bad = report.read_text(encoding="utf-8").strip() if report.exists() else ""
    if done.returncode or bad:
        said = bad or "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        message = (
            f"The import into the database {database!r} failed: {said}\n"
            "A stopped server and a new database were expected. Stop the server, or allow to "
            "overwrite the database, and try again."
        )
        raise StoreError(message)
    return done.stdout


def _find_admin(home: str | Path | None) -> str:
    folder = home or os.environ.get("NEO4J_HOME")
    if folder:
        path = Path(folder).expanduser().resolve() / "bin" / "neo4j-admin"
        found = str(path) if path.is_file() else None
    else:
        found = shutil.which("neo4j-admin")
    if found is None:
        message = (
            f"There is no neo4j-admin {f'in {folder}/bin' if folder else 'on the path'}; the "
            "folder of a Neo4j server on this machine was expected. Name it, set NEO4J_HOME, or "
            "run the command of the files on the machine of the server."
        )
        raise InputError(message)
    return found
