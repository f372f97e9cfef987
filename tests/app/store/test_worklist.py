"""The worklist's order, filters and pages."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from kept_studies import CHIEF, DRAFT, EVERYBODY, READER, new_study, written

from app.store import edits
from app.store.store import Store, open_store
from app.store.studies import add_study
from app.store.worklist import Query, list_studies
from app.store_options import StoreOptions
from model.errors import DataError


def names(store: Store, **query: object) -> list[str]:
    """Of all pages, two studies a page."""
    found, after = [], None
    while True:
        page = list_studies(store, Query(**query), after, limit=2)
        assert len(page.studies) <= 2
        found += [study.name for study in page.studies]
        after = page.after
        if after is None:
            assert page.total == len(found)
            return found


@pytest.fixture
def filled(store: Store) -> Store:
    quiet = written("The heart is normal in size.")
    nodule = written("There is a nodule.", findings={"nodule": 0.9})
    sure = written("There is a pneumothorax.", findings={"pneumothorax": 0.9})
    for seed, (name, answer) in enumerate(
        [("quiet", quiet), ("nodule", nodule), ("unsure", DRAFT), ("sure", sure), ("Zed", quiet)]
    ):
        add_study(store, new_study(seed, name, answer), EVERYBODY)
    return store


def test_the_most_urgent_is_first(filled: Store) -> None:
    assert names(filled)[:3] == ["sure", "unsure", "nodule"]
    assert names(filled, order="ascending")[-3:] == ["nodule", "unsure", "sure"]


@pytest.mark.parametrize("sort", ["urgency", "arrived", "updated", "name"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_pages_hold_every_study_once(filled: Store, sort: str, order: str) -> None:
    found = names(filled, sort=sort, order=order)
    assert sorted(found) == sorted(["quiet", "nodule", "unsure", "sure", "Zed"])
    if sort == "arrived":
        arrived = ["quiet", "nodule", "unsure", "sure", "Zed"]
        assert found == (arrived if order == "ascending" else arrived[::-1])


def test_a_study_that_arrives_moves_no_other(filled: Store) -> None:
    query = Query(sort="arrived")
    first = list_studies(filled, query, limit=2)
    add_study(filled, new_study(9, "late"), EVERYBODY)
    second = list_studies(filled, query, first.after, limit=2)
    assert [s.name for s in first.studies + second.studies] == ["Zed", "sure", "unsure", "nodule"]


def test_filters(filled: Store) -> None:
    assert names(filled, findings=("pneumothorax",)) == ["sure", "unsure"]
    assert names(filled, findings=("pneumothorax", "nodule")) == []
    assert names(filled, search="NODU") == ["nodule"]
    assert names(filled, search="left pneumo") == ["unsure"]
    assert names(filled, search="%") == []
    assert names(filled, search="_") == []
    assert names(filled, flagged=True) == []


def test_counts_do_not_depend_on_the_status_asked_for(filled: Store) -> None:
    [first] = list_studies(filled, limit=1).studies
    edits.sign(filled, first.id, 1, CHIEF, "Dr. Chief")
    page = list_studies(filled, Query(status=("signed",)))
    assert [study.name for study in page.studies] == ["sure"]
    assert page.total == 1
    assert page.counts == {"draft": 4, "reviewed": 0, "signed": 1, "rejected": 0}


def test_an_edit_changes_findings_and_urgency(filled: Store) -> None:
    [first] = list_studies(filled, limit=1).studies
    edits.edit(filled, first.id, 1, "Findings: There is no pneumothorax.", READER)
    assert "sure" not in names(filled, findings=("pneumothorax",))
    assert names(filled)[0] == "unsure"
    edits.edit(filled, first.id, 2, "Findings: There is a rib fracture.", READER)
    [found] = list_studies(filled, Query(findings=("rib_fracture",))).studies
    assert (found.author, found.findings[0].probability) == (READER.name, None)


def test_other_weights_give_another_order(
    filled: Store, options: StoreOptions, clock: Callable[[], int]
) -> None:
    filled.close()
    weights = {**options.weights, "nodule": 100.0}
    again = open_store(replace(options, weights=weights), clock)
    assert names(again)[0] == "nodule"
    again.close()


@pytest.mark.parametrize("after", ["", "x", "bm90aGluZw", "WzEsMl0"])
def test_a_wrong_key_is_told(filled: Store, after: str) -> None:
    with pytest.raises(DataError, match="first page"):
        list_studies(filled, Query(), after)


def test_a_key_of_another_order_is_told(filled: Store) -> None:
    key = list_studies(filled, Query(sort="name"), limit=1).after
    with pytest.raises(DataError, match="another order"):
        list_studies(filled, Query(sort="arrived"), key)
