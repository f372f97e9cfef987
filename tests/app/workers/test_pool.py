"""The queue before the models: batches, order, and an answer for everybody whoever dies."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from material import chest

from app.api.service import Service
from app.settings import Settings
from app.workers.errors import NotReady, Unwanted, WorkerDied, WorkerLost
from app.workers.models import LocalModel, ModelCard
from app.workers.pool import BatchLimits, Done, ModelPool
from app.workers.queue import REPORTS_IN_A_ROW, FairQueue
from app.workers.requests import (
    CheckRequest,
    QuestionRequest,
    ReportRequest,
    Request,
    Result,
    WatchAll,
)
from model.engine.load import EngineName
from model.errors import DataError, RefusedError
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph
from model.report import Report


def exam(seed: int = 0) -> Exam:
    return Exam([Radiograph(chest(seed, 80, 64).astype("float32") / 255, "PA")])


BLANK = Exam([Radiograph(chest(0, 80, 64).astype("float32") * 0, "PA")])


class Gated(LocalModel):
    """A real model that works only once it is let, and notes what it was given."""

    def __init__(self, generator: ReportGenerator) -> None:
        super().__init__(generator)
        self.working, self.may = threading.Event(), threading.Event()
        self.batches: list[Sequence[Request]] = []

    def answered(self, requests: Sequence[Request], watch: WatchAll | None = None) -> list[Result]:
        self.batches.append(requests)
        self.working.set()
        assert self.may.wait(30)
        return super().answered(requests, watch)


class Mortal(LocalModel):
    """A real model whose process, as it were, ends over one study, or over any."""

    def __init__(self, generator: ReportGenerator, deadly: Exam | None, deaths: int) -> None:
        super().__init__(generator)
        self.deadly, self.deaths, self.starts = deadly, deaths, 0

    def start(self) -> ModelCard:
        self.starts += 1
        return super().start()

    def answered(self, requests: Sequence[Request], watch: WatchAll | None = None) -> list[Result]:
        if self.deaths and any(self.deadly in (None, request.exam) for request in requests):
            self.deaths -= 1
            raise WorkerDied("killed")
        return super().answered(requests, watch)


@contextmanager
def asked(pool: ModelPool, *requests: Request) -> Iterator[list[Done | Exception | None]]:
    """The requests made in this order from a thread each; at the end all have their answer."""
    answers: list[Done | Exception | None] = [None] * len(requests)

    def ask(place: int) -> None:
        try:
            answers[place] = pool.run(requests[place])
        except Exception as error:
            answers[place] = error

    threads = [threading.Thread(target=ask, args=[place]) for place in range(len(requests))]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # only the order in which they wait depends on it
    yield answers
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_waiting_reports_are_written_together_and_are_the_same(
    tiny_generator: ReportGenerator,
) -> None:
    model = Gated(tiny_generator)
    pool = ModelPool([model], BatchLimits(studies=3, seconds=0))
    pool.start()
    exams = [exam(seed) for seed in range(6)]
    with asked(pool, *map(ReportRequest, exams)) as answers:
        assert model.working.wait(30)
        model.may.set()
    assert [len(batch) for batch in model.batches] == [1, 3, 2]
    for one, answer in zip(exams, answers, strict=True):
        assert isinstance(answer, Done) and isinstance(answer.result, Report)
        alone = tiny_generator(one)
        assert answer.result.text == alone.text
        assert [word.state for word in answer.result.words] == [word.state for word in alone.words]
    assert [answer.studies for answer in answers if isinstance(answer, Done)] == [1, 3, 3, 3, 2, 2]


def test_a_study_that_is_refused_costs_no_other(tiny_generator: ReportGenerator) -> None:
    model = Gated(tiny_generator)
    pool = ModelPool([model], BatchLimits(seconds=0))
    pool.start()
    exams = [exam(0), exam(1), BLANK, exam(2)]
    with asked(pool, *map(ReportRequest, exams)) as answers:
        assert model.working.wait(30)
        model.may.set()
    results = [answer.result for answer in answers if isinstance(answer, Done)]
    assert isinstance(results.pop(2), RefusedError)
    assert all(isinstance(result, Report) for result in results)
    assert [len(batch) for batch in model.batches] == [1, 3]


def test_other_checks_and_questions_are_no_part_of_a_batch(
    tiny_generator: ReportGenerator,
) -> None:
    model = Gated(tiny_generator)
    pool = ModelPool([model], BatchLimits(seconds=0))
    pool.start()
    requests = [
        ReportRequest(exam()),
        QuestionRequest(exam(), "effusion"),
        ReportRequest(exam(), input_check=False),
        CheckRequest(exam(), "The heart is large."),
        ReportRequest(exam()),
        ReportRequest(exam()),
    ]
    with asked(pool, *requests) as answers:
        assert model.working.wait(30)
        model.may.set()
    order = [[requests.index(request) for request in batch] for batch in model.batches]
    assert order == [[0], [2], [4, 5], [1], [3]]
    assert not any(isinstance(answer, Exception) for answer in answers)


def test_a_question_is_not_forgotten(tiny_generator: ReportGenerator) -> None:
    model = Gated(tiny_generator)
    pool = ModelPool([model], BatchLimits(studies=1))
    pool.start()
    question = QuestionRequest(exam(), "effusion")
    with asked(pool, ReportRequest(exam()), question, *[ReportRequest(exam())] * 6):
        assert model.working.wait(30)
        model.may.set()
    assert [batch[0] for batch in model.batches].index(question) == REPORTS_IN_A_ROW + 1


def test_the_first_waits_for_those_that_are_being_decoded(tiny_generator: ReportGenerator) -> None:
    model = LocalModel(tiny_generator)
    pool = ModelPool([model], BatchLimits(studies=2, seconds=30), coming=lambda: 2)
    pool.start()
    with asked(pool, *[ReportRequest(exam())] * 2) as answers:
        pass
    assert [answer.studies for answer in answers if isinstance(answer, Done)] == [2, 2]


def test_an_error_of_a_request_is_its_result(tiny_generator: ReportGenerator) -> None:
    pool = ModelPool([LocalModel(tiny_generator)], BatchLimits())
    pool.start()
    assert isinstance(pool.run(QuestionRequest(exam(), "?")).result, DataError)
    assert isinstance(pool.run(ReportRequest(exam())).result, Report)


def test_what_a_dying_model_had_another_does(tiny_generator: ReportGenerator) -> None:
    models = [Mortal(tiny_generator, None, deaths=1) for _ in range(2)]
    pool = ModelPool(models, BatchLimits())
    pool.start()
    with asked(pool, *[ReportRequest(exam(seed)) for seed in range(6)]) as answers:
        pass
    assert all(isinstance(answer, Done) and isinstance(answer.result, Report) for answer in answers)
    assert pool.restarts == 2 and pool.alive == 2


def test_a_study_that_ends_two_models_is_given_up_alone(tiny_generator: ReportGenerator) -> None:
    deadly = exam(9)
    model = Mortal(tiny_generator, deadly, deaths=2)
    pool = ModelPool([model], BatchLimits(seconds=30, studies=4), coming=lambda: 4)
    pool.start()
    exams = [exam(0), deadly, exam(1), exam(2)]
    with asked(pool, *map(ReportRequest, exams)) as answers:
        pass
    results = [answer.result for answer in answers if isinstance(answer, Done)]
    assert isinstance(results.pop(1), WorkerLost)
    assert len(results) == 3 and all(isinstance(result, Report) for result in results)


def test_where_no_model_starts_everybody_is_told(tiny_generator: ReportGenerator) -> None:
    class Doomed(Mortal):
        def start(self) -> ModelCard:
            if self.starts:
                raise NotReady("it does not start")
            return super().start()

    pool = ModelPool([Doomed(tiny_generator, None, deaths=9)], BatchLimits())
    pool.start()
    with asked(pool, *[ReportRequest(exam())] * 3) as answers:
        pass
    assert all(isinstance(answer, WorkerLost) for answer in answers)
    assert not pool.alive
    pool.close()


def test_what_a_model_has_ends_and_what_waits_is_told(tiny_generator: ReportGenerator) -> None:
    model = Gated(tiny_generator)
    pool = ModelPool([model], BatchLimits(studies=1))
    pool.start()
    with asked(pool, *[ReportRequest(exam())] * 3) as answers:
        assert model.working.wait(30)
        pool.stop()
        model.may.set()
    assert isinstance(answers[0], Done) and isinstance(answers[0].result, Report)
    assert all(isinstance(answer, NotReady) for answer in answers[1:])
    with pytest.raises(NotReady):
        pool.run(ReportRequest(exam()))


def test_jobs_go_when_nobody_else_waits(tiny_generator: ReportGenerator) -> None:
    queue: FairQueue[str] = FairQueue()
    for kind in ("job", "question", "report"):
        queue.of(kind).append(kind)
    assert [kind for kind in ("job", "question", "report") if queue.is_next(kind)] == ["report"]
    model = Gated(tiny_generator)
    pool = ModelPool([model], BatchLimits(studies=4, seconds=0))
    pool.start()
    kinds = ["report", "job", "job", "report"]
    requests = [ReportRequest(exam(seed), kind=kind) for seed, kind in enumerate(kinds)]
    with asked(pool, *requests):
        model.may.set()
    batches = [[request.kind for request in batch] for batch in model.batches]
    assert batches == [["report"], ["report"], ["job", "job"]]


def test_a_jobs_study_lets_a_report_that_is_decoded_go_first(
    tiny_generator: ReportGenerator,
) -> None:
    model, decoding = Gated(tiny_generator), [1]
    model.may.set()
    pool = ModelPool([model], BatchLimits(), lambda: sum(decoding))
    pool.start()
    with asked(pool, ReportRequest(exam(0), kind="job")):
        assert not model.batches
        pool.run(ReportRequest(exam(1)))
        decoding.clear()
    assert [batch[0].kind for batch in model.batches] == ["report", "job"]


def test_who_is_told_the_text_ends_only_what_nobody_wants(
    tiny_generator: ReportGenerator,
) -> None:
    """Of reports that are written together, one is not wanted any more, and then both."""
    exams = [exam(seed) for seed in range(2)]
    plain = tiny_generator.reports(exams)
    for wanted in (True, False):
        model = Gated(tiny_generator)
        pool = ModelPool([model], BatchLimits(studies=2, seconds=30))
        pool.start()
        told: list[list[str]] = [[], []]
        results: list[object] = [None, None]

        def ask(place: int, pool: ModelPool = pool, wanted: bool = wanted) -> None:
            def watch(text: str, own: list[str] = told[place]) -> bool:  # noqa: B023
                own.append(text)
                return place == 0 and wanted

            results[place] = pool.run(ReportRequest(exams[place]), watch).result  # noqa: B023

        threads = [threading.Thread(target=ask, args=[place]) for place in range(2)]
        for thread in threads:
            thread.start()
        model.may.set()
        for thread in threads:
            thread.join(60)
        assert len(told[1]) == 1 and isinstance(results[1], Unwanted)
        if wanted:
            assert isinstance(results[0], Report) and results[0].text == plain[0].text
            assert told[0][-1] == plain[0].text
        else:
            assert len(told[0]) == 1 and isinstance(results[0], Unwanted)


@pytest.mark.parametrize(("engine", "callers"), [("torch", 1), ("openvino", 2)])
def test_as_many_studies_are_with_the_model_as_its_engine_is_best_called_by(
    engine: EngineName, callers: int, tiny_checkpoint: Path
) -> None:
    service = Service(Settings(model=tiny_checkpoint, engine=engine, threads=1))
    service.load()
    assert service.metrics.registry.get_sample_value("crossray_workers") == callers
