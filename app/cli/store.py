"""The commands for a store: migrate, verify, prune. Each imports what it needs when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from model.errors import CrossRayError

__all__ = ["store"]

store = typer.Typer(
    help="Look after a store of studies and drafts.", no_args_is_help=True, rich_markup_mode=None
)
FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The store's folder, as of `crossray serve --store`.")
]


@store.command()
def migrate(folder: FolderArgument) -> None:
    """Bring a store's database to this version of CrossRay.

    Stop the service and back the database up first. CROSSRAY_STORE_DATABASE names a PostgreSQL
    database.
    """
    from app.settings import load_settings
    from app.store.database import migrate as run_migrations
    from app.store.store import database_url

    options = load_settings(store=folder).store_options
    assert options is not None
    _existing(folder)
    before, after = run_migrations(database_url(options))
    if before == after:
        typer.echo(f"The store is of this version already (revision {after}).")
    else:
        typer.echo(f"Migrated from revision {before or 'nothing'} to {after}.")


@store.command()
def verify(
    folder: FolderArgument,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH",
            help="Hash that an earlier run printed: it must still be in the log.",
        ),
    ] = None,
) -> None:
    """Verify the chain of a store's audit log.

    Note the hash that it prints somewhere else: a log that was cut off at its end is found by
    giving that hash with --head. Exit status 2 where a line was changed or is missing.
    """
    from app.settings import load_settings
    from app.store.audit import verify as verify_chain
    from app.store.store import open_store

    options = load_settings(store=folder).store_options
    assert options is not None
    _existing(folder)
    opened = open_store(options)
    verdict = verify_chain(opened.database, head)
    opened.close()
    if verdict.broken is not None:
        raise CrossRayError(
            f"line {verdict.broken} of the audit log is missing or was changed; the "
            f"{verdict.lines} before it are as they were written"
        )
    typer.echo(f"{verdict.lines} lines, none changed or missing. Head: {verdict.head or 'none'}")


@store.command()
def prune(folder: FolderArgument) -> None:
    """Remove old image files, as CROSSRAY_STORE_RETENTION_DAYS says, and stray ones.

    Only those of signed and rejected studies: their reports and small previews stay.
    """
    from app.settings import load_settings
    from app.store.records import ALL_ROLES, Actor
    from app.store.store import open_store
    from app.store.upkeep import prune as remove

    options = load_settings(store=folder).store_options
    assert options is not None
    _existing(folder)
    opened = open_store(options)
    pruned = remove(opened, Actor("crossray store prune", ALL_ROLES))
    opened.close()
    typer.echo(f"{pruned.files} files removed, the images of {pruned.studies} studies among them.")


def _existing(folder: Path) -> None:
    """Looking after a store creates none."""
    if not folder.is_dir():
        raise CrossRayError(f"there is no store {str(folder)!r}: name the folder of a store")
