"""Retention removes what it may and no more, and a batch tells how far it is."""

import os
from dataclasses import replace

import pytest
from kept_studies import CHIEF, EVERYBODY, new_study

from app.store import edits
from app.store.errors import UnknownStudy
from app.store.store import Store
from app.store.studies import add_study, image_file, open_study, preview_file
from app.store.upkeep import DAY, batches, progress, prune


def later(store: Store, days: int) -> Store:
    now = store.now() + days * DAY
    return replace(store, now=lambda: now, options=replace(store.options, retention_days=30))


def age(store: Store) -> None:
    """Files are as old as the clock of the tests."""
    for path in store.files.folder.rglob("*"):
        os.utime(path, (store.now() / 1000, store.now() / 1000))


def test_retention_takes_files_of_finished_studies_only(store: Store) -> None:
    signed, draft = (add_study(store, new_study(seed), EVERYBODY) for seed in (0, 1))
    edits.sign(store, signed, 1, CHIEF, "Dr. Chief")
    age(store)
    assert prune(later(store, 29), EVERYBODY).studies == 0
    pruned = prune(later(store, 31), EVERYBODY)
    assert (pruned.studies, pruned.files) == (1, 1)
    with pytest.raises(UnknownStudy, match="not kept any more"):
        image_file(store, signed, 1, EVERYBODY)
    kept = open_study(store, signed, EVERYBODY)
    assert kept.signature is not None and not kept.images[0].kept
    assert preview_file(store, kept.images[0])
    assert image_file(store, draft, 1, EVERYBODY)


def test_stray_files_go_and_young_ones_stay(store: Store) -> None:
    stray = store.files.put(b"of a study that was never stored")
    assert prune(store, EVERYBODY).files == 0  # now is 2023: the file is of the future
    age(store)
    assert prune(later(store, 1), EVERYBODY).files == 1
    with pytest.raises(UnknownStudy):
        store.files.read(stray)


def test_a_batch_is_seen_while_it_runs_and_after(store: Store) -> None:
    with progress(store, 3) as running:
        running.step(reported=True)
        running.step(reported=False)
        [batch] = batches(store)
        assert (batch.total, batch.done, batch.without_report, batch.ended) == (3, 2, 1, False)
    assert batches(store)[0].ended
    assert batches(later(store, 1)) == []


def test_a_batch_that_fails_has_ended(store: Store) -> None:
    with pytest.raises(KeyError), progress(store, 3):
        raise KeyError
    assert batches(store)[0].ended
