"""Jobs: rows in order, the next fetched while some are read, threads that end."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet.batch import _jobs as jobs
from jaxnet.data.pictures._files import decode
from tests.oracles import N_IN_FILE as N
from tests.oracles import file_of_many, job_of

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return file_of_many(tmp_path_factory.mktemp("many"))


def test_rows_in_order(many):
    images = np.load(many)
    expected = jaxnet.classify(jaxnet.pretrained(), images)
    at = 0
    for table in jobs.tables(job_of(many)):
        n = len(table.names)
        assert [*table.names] == [f"{many}[{row}]" for row in range(at, at + n)]
        np.testing.assert_array_equal(table.answers.digits, expected.digits[at : at + n])
        a = expected.activations[at : at + n]  # of other pieces, hence with sums in another order
        np.testing.assert_allclose(table.answers.activations, a, atol=1e-5)
        at += n
    assert at == N


def test_pictures_in_small_chunks(tmp_path, monkeypatch):
    page = np.full((40, 30), 255, np.uint8)
    page[5:35, 9:13] = 0
    for n in range(100):
        Image.fromarray(page).save(tmp_path / f"{n:02}.png")
        os.truncate(tmp_path / f"{n:02}.png", 2**20)  # what follows a picture does not matter
    seen = []
    monkeypatch.setattr(
        "jaxnet.data._pictures.decode",
        lambda *it, **so: seen.append(it) or decode(*it, **so),
    )
    job = job_of(tmp_path)
    assert [len(table.names) for table in jobs.tables(job)] == [16] * 6 + [4]
    assert len(seen) == 100

    def slowly(*_, several, side):
        time.sleep(0.3)
        return jaxnet.data.find_digits(page)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxnet.data._pictures.decode", slowly)
    before = signal.signal(signal.SIGALRM, interrupt)
    began = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(jobs.tables(job))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - began < 1  # not as long as it takes to decode sixteen


def test_prefetch_raises_errors():
    taken = []

    def items():
        for n in range(5):
            taken.append(n)
            yield n
        raise ValueError("at the end")

    got, threads = jobs.ahead(items()), threading.active_count()
    assert taken == []
    assert next(got) == 0
    time.sleep(0.3)
    assert taken == [0, 1, 2]  # one waits, one is ready
    with pytest.raises(ValueError, match="at the end"):
        list(got)
    assert threading.active_count() == threads


def test_prefetch_ends_its_thread():
    closed = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    threads, got = threading.active_count(), jobs.ahead(items())
    next(got)
    got.close()
    assert closed == [True]
    assert threading.active_count() == threads


def test_signal_while_a_thread_starts(monkeypatch):
    begin, threads, closed = threading.Thread.start, threading.active_count(), []

    def start(thread):
        begin(thread)
        raise KeyboardInterrupt

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        next(jobs.ahead(items()))
    assert threading.active_count() == threads
    assert len(closed) <= 1
