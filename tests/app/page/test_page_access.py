"""The page is for everybody: keyboard, names of controls, themes, widths."""

import pytest
from known import known
from screen import CONTRASTS, expect, show, shown, word

from app.main import STATIC


def test_the_keyboard_alone_is_enough(page) -> None:
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press("Enter")
    press("Tab")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("button", name="Known chest")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("heading", name="Draft report")).to_be_focused()
    expect(page.locator("#status")).to_contain_text("The draft report is ready")
    for _ in range(4):
        press("Tab")
    expect(word(page, 0)).to_be_focused()
    press("ArrowRight")
    expect(page.locator("#status")).to_contain_text("Most attention")
    press("Enter")
    press("ArrowRight")
    press(" ")
    assert "2 pinned words, average of their maps" in shown(page)
    press("Escape")
    assert page.locator(".word[aria-pressed=true]").count() == 0
    page.locator("#canvas").focus()
    whole = page.locator("#zoom").text_content()
    press("+")
    expect(page.locator("#zoom")).not_to_have_text(whole)
    press("i")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    press("0")
    expect(page.locator("#zoom")).to_have_text(whole)


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 800)])
def test_the_focused_word_is_never_covered(open_page, width: int, height: int) -> None:
    page = open_page(width=width, height=height)
    show(page, known({}))
    word(page, 0).focus()
    for key in ("Home", "End", "Home", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
        assert page.evaluate(
            """() => {
                const word = document.activeElement, box = word.getBoundingClientRect();
                return word === document.elementFromPoint(
                    box.left + box.width / 2, box.top + box.height / 2);
            }"""
        ), key


@pytest.mark.parametrize("width", [360, 1280])
def test_every_control_has_a_name(open_page, width: int) -> None:
    page = open_page(width=width)
    tree = page.context.new_cdp_session(page)
    for state in ("start", "report"):
        if state == "report":
            show(page, known({}))
        nodes = tree.send("Accessibility.getFullAXTree")["nodes"]
        focusable = [
            node
            for node in nodes
            if not node["ignored"]
            and any(p["name"] == "focusable" and p["value"]["value"] for p in node["properties"])
            and node["role"]["value"] not in {"RootWebArea", "main"}
        ]
        assert len(focusable) > 3
        assert [n["role"]["value"] for n in focusable if not n["name"]["value"].strip()] == []
    duplicates = page.evaluate(
        """() => [...document.querySelectorAll("[id]")].map((e) => e.id)
            .filter((id, at, all) => all.indexOf(id) !== at)"""
    )
    assert duplicates == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_both_themes_are_readable_at_any_width(open_page, theme: str, width: int) -> None:
    page = open_page(width=width, color_scheme=theme)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(v) for v in back.removeprefix("rgb(").rstrip(")").split(",")]
    assert (min(channels) > 200) if theme == "light" else (max(channels) < 60)
    for state in ("start", "report"):
        if state == "report":
            show(page, known({}))
            word(page, 1).click()
        assert page.evaluate(CONTRASTS) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        expect(page.locator("#notice")).to_be_in_viewport(ratio=1)
        expect(page.locator("#notice")).to_contain_text("not for diagnosis")
    page.locator(".model").scroll_into_view_if_needed()
    expect(page.locator("#notice")).to_be_in_viewport(ratio=1)
    expect(page.locator(".caveat")).to_have_text(
        "An attention map shows where the decoder attended, not why it chose the word."
    )


def test_the_chosen_theme_is_remembered(page) -> None:
    toggle = page.get_by_role("button", name="Dark theme")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    toggle.click()
    page.reload()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_a_new_study_takes_the_old_report_away(page, faults) -> None:
    show(page, known({}))
    page.unroute("**/v1/reports*")
    page.route("**/v1/reports*", lambda route: None)
    page.locator("#files").set_input_files({"name": "b", "mimeType": "", "buffer": b"x"})
    expect(page.get_by_role("heading", name="Writing the report")).to_be_visible()
    expect(page.locator("#study")).to_be_hidden()
    page.get_by_role("button", name="Cancel").click()
    faults.clear()  # b"x" is no image


def test_modules_are_plain_checked_and_short() -> None:
    modules = sorted(STATIC.rglob("*.js"))
    assert modules
    for module in modules:
        code = module.read_text(encoding="utf-8")
        assert code.startswith("// @ts-check\n"), module.name
        assert len(code.splitlines()) < 400, module.name
        assert "innerHTML" not in code, module.name
