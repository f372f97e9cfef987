"""The worklist in a real browser."""

import re
from dataclasses import replace
from typing import Any

import pytest
from axe import violations
from kept_studies import CHIEF, EVERYBODY, new_study, written
from screen import CONTRASTS, expect
from sqlalchemy import insert, select

from app.store import edits
from app.store.store import Store
from app.store.studies import add_study
from app.store.tables import StudyRow
from app.store.upkeep import progress
from app.store.worklist import list_studies

MANY = 10_000


def fill(store: Store) -> list[str]:
    """Five studies, the most urgent last; their ids."""
    drafts = [
        ("quiet", {}),
        ("nodule", {"nodule": 0.9}),
        ("opacity", {"opacity": 0.9}),
        ("effusion", {"pneumothorax": 0.4}),
        ("pneumothorax", {"pneumothorax": 0.9}),
    ]
    ids = []
    for seed, (name, findings) in enumerate(drafts):
        sentences = [f"There is a {finding}." for finding in findings] or ["The heart is normal."]
        answer = written(*sentences, findings=findings)
        ids.append(add_study(store, new_study(seed, f"{name}.png", answer), EVERYBODY))
    return ids


def multiply(store: Store, count: int) -> None:
    """Copies of the first study, each later and less urgent than the one before."""
    with store.database.writing() as session:
        first = session.execute(select(StudyRow)).scalars().first()
        columns = {c.key: getattr(first, c.key) for c in StudyRow.__table__.columns}
        rows = [
            columns
            | {
                "id": f"{k:032x}",
                "content": f"{k:064x}",
                "name": f"study {k:05d}",
                "urgency": 1 - k / count,
            }
            for k in range(1, count)
        ]
        session.execute(insert(StudyRow), rows)


@pytest.fixture
def page(keeping: tuple[str, Store], open_page) -> Any:
    address, store = keeping
    fill(store)
    return open_page(at=f"{address}worklist.html")


def names(page: Any) -> list[str]:
    rows = page.locator("#rows .row-line")
    order = rows.evaluate_all(
        "rows => rows.map((r) => [Number(r.dataset.index), r])"
        ".sort((a, b) => a[0] - b[0]).map(([, r]) =>"
        " r.querySelector('.name a')?.textContent ?? '')".replace("rows => ", "(rows) => ")
    )
    return list(order)


def test_the_most_urgent_is_first_and_filters_work(page: Any) -> None:
    expect(page.locator("#count-all")).to_have_text("5")
    assert names(page)[:2] == ["pneumothorax.png", "effusion.png"]
    expect(page.get_by_role("grid")).to_contain_text("Pneumothorax 90 %")
    page.get_by_label("Finding").select_option("nodule")
    expect(page.locator("#count-all")).to_have_text("1")
    assert names(page) == ["nodule.png"]
    page.reload()
    expect(page.locator("#count-all")).to_have_text("1")  # the address holds the filter
    page.get_by_label("Finding").select_option("")
    page.get_by_label("Search").fill("opac")
    expect(page.locator("#count-all")).to_have_text("1")
    page.get_by_label("Search").fill("nothing like this")
    expect(page.locator("#none")).to_be_visible()
    page.get_by_label("Search").fill("")
    page.get_by_label("Order").select_option("name:ascending")
    expect(page.locator("#row-0")).to_contain_text("effusion.png")


def test_status_and_counts(keeping: tuple[str, Store], open_page) -> None:
    address, store = keeping
    ids = fill(store)
    edits.sign(store, ids[0], 1, CHIEF, "Dr. Chief")
    page = open_page(at=f"{address}worklist.html")
    expect(page.locator("#count-draft")).to_have_text("4")
    page.get_by_label("Signed").check(force=True)
    expect(page.locator("#row-0")).to_contain_text("quiet.png")
    expect(page.locator("#row-1")).to_have_count(0)


def test_the_keyboard_moves_opens_and_comes_back(page: Any) -> None:
    grid = page.get_by_role("grid")
    expect(grid).to_be_focused()
    expect(page.locator("#row-4")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(grid).to_have_attribute("aria-activedescendant", "row-1")
    page.keyboard.press("End")
    expect(grid).to_have_attribute("aria-activedescendant", "row-4")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("#room-name")).to_have_text("pneumothorax.png")
    page.keyboard.press("Alt+PageDown")
    expect(page.locator("#room-name")).to_have_text("effusion.png")
    expect(page).to_have_url(re.compile(r"\?study="))
    page.go_back()
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()


def test_ten_thousand_studies_scroll(keeping: tuple[str, Store], open_page) -> None:
    address, store = keeping
    fill(store)
    multiply(store, MANY - 4)
    page = open_page(at=f"{address}worklist.html")
    expect(page.locator("#count-all")).to_have_text("10,000")
    page.keyboard.press("End")
    expect(page.locator(f"#row-{MANY - 1} .name a")).to_be_visible()
    assert page.locator("#rows .row-line").count() < 80
    expect(page.locator("#place")).to_contain_text("Study 10000 of 10,000")
    last = list_studies(store, limit=1).total
    assert last == MANY
    page.evaluate("document.getElementById('grid').scrollTop = 5000 * 44")
    expect(page.locator("#row-5000 .name a")).to_be_visible()
    seen = page.evaluate(
        """async () => {
            const grid = document.getElementById("grid"), empty = [];
            for (let top = 0; top < 300000; top += 3000) {
                grid.scrollTop = top;
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
                const first = Math.ceil(top / 44);
                const row = document.getElementById(`row-${first}`);
                if (!row?.querySelector(".name a")) empty.push(first);
            }
            return empty;
        }"""
    )
    assert seen == []


def test_a_running_batch_is_seen_and_its_studies_come_in(
    keeping: tuple[str, Store], open_page
) -> None:
    address, store = keeping
    add_study(store, new_study(0, "first.png"), EVERYBODY)
    with progress(store, 3) as running:
        running.step(reported=True)
        page = open_page(at=f"{address}worklist.html")
        expect(page.locator("#progress")).to_contain_text("Batch: 1 of 3 studies")
        add_study(store, new_study(1, "second.png"), EVERYBODY)
        running.step(reported=False)
        expect(page.locator("#progress")).to_contain_text("2 of 3 studies, 1 without a report")
        expect(page.get_by_role("grid")).to_contain_text("second.png")
    expect(page.locator("#progress")).to_be_hidden()


def test_what_a_study_is_called_is_text(keeping: tuple[str, Store], open_page) -> None:
    address, store = keeping
    name = "<img src=x onerror=alert(1)>"
    add_study(store, replace(new_study(), name=name), EVERYBODY)
    page = open_page(at=f"{address}worklist.html")
    expect(page.get_by_role("grid")).to_contain_text(name)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everybody_can_use_it(
    keeping: tuple[str, Store], open_page, theme: str, width: int
) -> None:
    address, store = keeping
    fill(store)
    page = open_page(at=f"{address}worklist.html", width=width, color_scheme=theme)
    expect(page.locator("#row-0")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate(CONTRASTS) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
