"""The rooms import one way, say what they offer, and document every error."""

import ast
import importlib
from collections.abc import Iterator

import pytest
from paths import ROOT

from model import errors

ROOMS = ("crossray", "app", "training", "data_prep", "model")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
NAMED = {name: path for name, path in MODULES.items() if not name.endswith("__init__")}

ALLOWED = {
    "model": {"model"},
    "data_prep": {"data_prep", "model"},
    "training": {"training", "data_prep", "model"},
    "app": {"app", "crossray", "model"},
    "crossray": {"crossray", "model"},
}
"""Which rooms each room may import when it is itself imported."""


COMMANDS = {
    "app.cli.evaluation",
    "app.cli.importing",
    "app.cli.phantom",
    "app.cli.scoring",
    "app.cli.training",
}
"""Load what other rooms do when their command is asked for."""


def imports(tree: ast.AST, later: bool) -> Iterator[str]:
    """Dotted names a module imports; `later`: also those inside functions."""
    for node in ast.walk(tree) if later else at_import(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            # "from model import errors" names a module too
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: no function bodies, no TYPE_CHECKING blocks."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import(node)


def reached(module: str, seen: set[str] | None = None) -> set[str]:
    """Every dotted name that importing a module imports, through our own modules."""
    seen = set() if seen is None else seen
    for name in imports(ast.parse(MODULES[module].read_text("utf-8")), later=False):
        if name not in seen:
            seen.add(name)
            if name in MODULES:
                reached(name, seen)
    return seen


@pytest.mark.parametrize("module", MODULES)
def test_rooms_import_one_way(module) -> None:
    room = module.split(".")[0]
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    found = {name.split(".")[0] for name in imports(tree, later=module not in COMMANDS)}
    assert found & set(ROOMS) <= ALLOWED[room]


def test_training_takes_only_what_describes_data_from_data_prep() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "training").rglob("*.py")]
    modules = {name for tree in trees for name in imports(tree, later=True) if name in MODULES}
    allowed = {
        "data_prep.manifest",
        "data_prep.tokenizer",
        "data_prep.occlusion",
        "data_prep.source",
        "data_prep.datasets.boxes",
        "data_prep.report_text",
    }
    assert {name for name in modules if name.startswith("data_prep")} <= allowed


NEVER_BY_MODEL = {"pydicom", "albumentations", "fastapi", "typer", "uvicorn", "tensorboard"}


READS_DICOM = {
    "model.imaging.codecs",
    "model.imaging.dicom",
    "model.imaging.dicom_display",
    "model.imaging.elements",
    "model.imaging.pixel_layout",
    "model.imaging.grayscale",
    "model.imaging.header",
    "model.imaging.sandbox_worker",
}
WITHOUT_DICOM = {name for name in MODULES if name.startswith("model.")} - READS_DICOM


@pytest.mark.parametrize("module", sorted(WITHOUT_DICOM))
def test_model_imports_where_only_torch_timm_and_transformers_are(module) -> None:
    """A machine with a GPU often has no more. What reads DICOM is imported where it is read."""
    assert not {name.split(".")[0] for name in reached(module)} & NEVER_BY_MODEL


@pytest.mark.parametrize("module", sorted(NAMED))
def test_all_is_there_and_names_what_is_there(module) -> None:
    loaded = importlib.import_module(module)
    assert all(hasattr(loaded, name) for name in loaded.__all__)
    assert len(set(loaded.__all__)) == len(loaded.__all__)


def test_every_error_is_in_the_tree_and_documented() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    found = {
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, Exception)
    }
    assert set(classes) == found
    branch = "\u2502\u251c\u2514\u2500 "
    depths = {}
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip(branch)
        depths.setdefault(name.split(" ")[0], (len(line) - len(name)) // 4)
    for error in classes:
        assert error.__doc__
        assert depths.get(error.__name__) == error.__mro__.index(errors.CrossRayError)


@pytest.mark.parametrize("module", MODULES)
def test_library_code_is_short_and_documented(module) -> None:
    source = MODULES[module].read_text("utf-8")
    assert ast.get_docstring(ast.parse(source)), "a module says what it does"
    assert source.count("\n") < 400, "a file of 400 lines has two subjects"
