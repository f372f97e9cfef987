"""The rooms import one way, say what they offer, and document every error."""

import ast
import importlib
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from paths import ROOT

from model import errors

ROOMS = ("crossray", "app", "training", "data_prep", "model")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
NAMED = {
    name: path
    for name, path in MODULES.items()
    if not name.endswith("__init__") and ".migrations." not in name  # scripts that Alembic runs
}

ALLOWED = {
    "model": {"model"},
    "data_prep": {"data_prep", "model"},
    "training": {"training", "data_prep", "model"},
    "app": {"app", "crossray", "model"},
    "crossray": {"crossray", "model"},
}
"""Which rooms each room may import when it is itself imported."""


COMMANDS = {
    "app.batch.indications",  # a table, as the readers of data sets read theirs
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


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


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


LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "model.errors": ({"model.errors"}, set()),
    "model.report_text": ({"model.report_text"}, set()),
    "model.imaging": ({"model.imaging"}, {"model.errors"}),
    "model.imported": ({"model.imported"}, {"model", "model.errors", "model.imaging"}),
    "model.loading": ({"model.loading"}, {"model", "model.errors", "model.imported"}),
    "model.engine": (
        {"model.engine"},
        {"model", "model.errors", "model.imaging", "model.imported", "model.loading"},
    ),
    "model.generator": (
        {"model.generator"},
        {"model", "model.engine", "model.errors", "model.imaging", "model.report_text"},
    ),
    "data_prep.datasets": (
        {"data_prep.datasets"},
        {"data_prep", "data_prep.importing"},
    ),
    "data_prep.importing": ({"data_prep.importing"}, {"data_prep"}),
    "data_prep.phantom": ({"data_prep.phantom"}, {"data_prep"}),
    "data_prep.composition": ({"data_prep.composition"}, {"data_prep", "data_prep.phantom"}),
    "training.loop": (
        {
            f"training.{name}"
            for name in (
                *("train", "setup", "objective", "losses", "self_critical", "optimizer"),
                *("initialization", "validation", "processes", "progress"),
            )
        },
        {"training", "training.dataset", "training.report_scores"},
    ),
    "training.dataset": ({"training.dataset"}, {"training"}),
    "training.report_scores": ({"training.report_scores"}, {"training"}),
    "training.calibration": ({"training.calibration"}, {"training"}),
    "training.evaluation": (
        {"training.evaluation"},
        {"training", "training.calibration", "training.report_scores"},
    ),
    "training.grounding": ({"training.grounding"}, {"training", "training.evaluation"}),
    "training.input_check": ({"training.input_check"}, {"training"}),
    "training.report_check": (
        {"training.report_check"},
        {"training", "training.calibration"},
    ),
    "training.experiments": (
        {"training.experiments"},
        {"training", "training.evaluation", "training.grounding"},
    ),
    "training.anatomy": ({"training.anatomy"}, {"training"}),
    "app.schemas": ({"app.api.schemas"}, set()),
    "app.store": ({"app.store"}, {"app", "app.schemas"}),
    "app.export": ({"app.export"}, {"app", "app.schemas", "app.store"}),
    "app.accounts": ({"app.accounts"}, {"app", "app.store"}),
    "app.workers": ({"app.workers"}, {"app"}),
    "app.jobs": ({"app.jobs"}, {"app", "app.store"}),
    "app.api": (
        {"app.api"},
        {
            *("app", "app.schemas", "app.store", "app.export", "app.accounts"),
            *("app.workers", "app.jobs"),
        },
    ),
    "app.overlays": ({"app.overlays"}, {"app", "app.api"}),
    "app.batch": ({"app.batch"}, {"app", "app.api", "app.schemas", "app.overlays", "app.store"}),
    "app.assembly": (
        {"app.main", "app.server", "app.ray_serve", "app.cli"},
        {
            *("app", "app.api", "app.batch", "app.overlays"),
            *("app.schemas", "app.store", "app.accounts", "app.workers"),
        },
    ),
    "app": ({"app"}, set()),
    "training": ({"training"}, set()),
    "data_prep": ({"data_prep"}, set()),
    "model": ({"model"}, {"model.errors", "model.imaging", "model.report_text"}),
}
"""Layer -> the folders or files it holds, and the layers of its package that it may import. What no
layer names belongs to that of its package: the files that several folders share."""


def layer_of(module: str) -> str:
    """The layer whose folder or file is the longest prefix of a module."""
    holders = {holder: layer for layer, (held, _) in LAYERS.items() for holder in held}
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(holders[prefix] for prefix in prefixes if prefix in holders)


def imported_modules(module: str) -> set[str]:
    """Our own modules that one names anywhere, in functions and TYPE_CHECKING blocks too."""
    names = imports(ast.parse(MODULES[module].read_text("utf-8")), later=True)
    return {name for name in names if name in MODULES and name != module}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"crossray.__init__"}))
def test_folders_import_one_way(module: str) -> None:
    layer = layer_of(module)
    room = module.split(".")[0]
    inner = {name for name in imported_modules(module) if name.split(".")[0] == room}
    assert {layer_of(name) for name in inner} - {layer} <= LAYERS[layer][1]


def test_no_circle_of_imports(capsys: pytest.CaptureFixture[str]) -> None:
    """Files are taken away whose imports are all gone, until none is left. Prints with -s."""
    graph = {module: imported_modules(module) for module in MODULES}
    arrows = Counter(
        (module.rpartition(".")[0], name.rpartition(".")[0])
        for module, names in graph.items()
        for name in names
    )
    with capsys.disabled():
        if "-s" in sys.argv:
            for (source, target), count in sorted(arrows.items()):
                print(f"{source or 'crossray':<24} -> {target:<24} {count:>4}")  # noqa: T201
    left = dict(graph)
    while free := {module for module, names in left.items() if not names & left.keys()}:
        left = {module: names for module, names in left.items() if module not in free}
    assert not left, f"in or behind a circle: {sorted(left)}"


def test_training_takes_only_what_describes_data_from_data_prep() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "training").rglob("*.py")]
    modules = {name for tree in trees for name in imports(tree, later=True) if name in MODULES}
    allowed = {
        "data_prep.labels",
        "data_prep.manifest",
        "data_prep.tokenizer",
        "data_prep.occlusion",
        "data_prep.reader_labels",
        "data_prep.source",
        "data_prep.datasets.boxes",
        "data_prep.phantom.report_errors",
        "data_prep.report_text",
        "data_prep.tables",
    }
    assert {name for name in modules if name.startswith("data_prep")} <= allowed


NEVER_BY_MODEL = {"pydicom", "albumentations", "fastapi", "typer", "uvicorn", "tensorboard"}


READS_DICOM = {
    "model.imaging.codecs",
    "model.imaging.dicom",
    "model.imaging.dicom_display",
    "model.imaging.dicom_spacing",
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


MANY_PARAMETERS = {
    "model.network.forward": "transformers calls it by these names",
    "data_prep.phantom.pathology.nodule": "five that every pathology takes, and what a prior fixes",
}
"""Functions of more than six parameters, and why. A command's parameters are its options."""


@pytest.mark.parametrize("module", MODULES)
def test_functions_take_at_most_six_parameters(module: str) -> None:
    if module.startswith("app.cli."):
        return
    for function in functions(module):
        every = function.args
        names = [one.arg for one in (*every.posonlyargs, *every.args, *every.kwonlyargs)]
        taken = [name for name in names if name not in ("self", "cls")]
        if f"{module}.{function.name}" in MANY_PARAMETERS:
            assert len(taken) > 6, "an exception that is none"
        else:
            assert len(taken) <= 6, f"{function.name}: give it one frozen object of options"


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module: str) -> None:
    """At most 50 lines, the docstring and the signature not counted."""
    for function in functions(module):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert lines <= 50, f"{function.name} has {lines} lines"


def test_only_the_public_face_imports_for_type_checkers() -> None:
    """Its names are loaded when they are first used (PEP 562), which a type checker cannot see."""
    found = {name for name, path in MODULES.items() if "TYPE_CHECKING" in path.read_text("utf-8")}
    assert found == {"crossray.__init__"}
