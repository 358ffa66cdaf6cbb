"""The benchmark report: complete, and consistent with itself."""

import json
import math
from itertools import pairwise, product

import jax
import pytest

import jaxnet
from jaxnet import bench
from jaxnet._util.files import FileError
from jaxnet.bench import Limits, Work
from jaxnet.bench._measure import roofline_limit, work_per_image
from jaxnet.cli.bench import command as measure_machine
from jaxnet.inference import PRECISIONS
from tests.subprocesses import refused, run

ABACUS = Limits("abacus", 1000.0, None, {"float32": 400.0, "int8": 4000.0})


@pytest.fixture(scope="module")
def measured():
    """The reports of a small network on two devices, and one entry per trace of its squash."""
    params, traced = jaxnet.init(jax.random.key(0), (20, 5, 3)), []

    def squash(z):
        traced.append(None)
        return jax.nn.relu(z)

    reports = bench.measure(
        params,
        squash=squash,
        n_images=300,
        batch_sizes=(1, 5_000),
        devices=jax.devices()[:2],
        seconds=0.001,
    )
    return [*reports], traced


class Counted:
    """A number that counts the operations on its class."""

    done = 0

    def __mul__(self, other):
        Counted.done += 1
        return self

    __add__ = __mul__


@pytest.mark.parametrize("sizes", [(784, 16, 16, 10), (784, 10), (4, 3, 2), (1, 1)])
def test_operations_by_counting(sizes):
    Counted.done = 0
    a = [Counted()] * sizes[0]
    for n in sizes[1:]:
        layer = []
        for _ in range(n):
            z = Counted()  # the bias
            for activation in a:
                z = z + Counted() * activation
            layer.append(z)
        a = layer
    params = jaxnet.init(jax.random.key(0), sizes)
    assert work_per_image(params) == Work(sizes[0], Counted.done)


def test_operations_by_the_compiler(params):
    x = jax.ShapeDtypeStruct((784,), "float32")
    flops = jax.jit(jaxnet.logits).lower(params, x).cost_analysis()["flops"]
    squashes = flops - work_per_image(params).operations
    assert 0 <= squashes < 1000


def test_roofline_limit():
    work = Work(bytes=10, operations=20)
    assert roofline_limit(work, ABACUS, "float32") == (20, "arithmetic")
    assert roofline_limit(work, ABACUS, "int8") == (100, "memory")
    assert roofline_limit(work, ABACUS._replace(transfer=30.0), "int8") == (3, "transfer")


@pytest.mark.full
def test_rates_and_stages_are_complete(measured):
    reports, traced = measured
    report, names = reports[-1], ["cpu:0", "cpu:1"]
    assert [limits.device for limits in report.limits] == names
    expected = [*product(names, PRECISIONS, (1, 300))]  # 5,000 are more than there are
    assert [rate[:3] for rate in report.rates] == expected
    stages = [("read", None), *(("compute", precision) for precision in PRECISIONS)]
    assert [stage[:3] for stage in report.stages] == [
        (name, *stage) for name in names for stage in stages
    ]
    assert traced


def test_ceilings_and_shares(measured):
    report = measured[0][-1]
    of = {limits.device: limits for limits in report.limits}
    assert report.work == (20, 2 * (20 * 5 + 5 * 3))
    for rate in report.rates:
        limits = of[rate.device]
        memory, arithmetic = limits.memory / 20, limits.arithmetic[rate.precision] / 230
        assert rate.ceiling == pytest.approx(min(memory, arithmetic))
        assert rate.limit == ("memory" if memory < arithmetic else "arithmetic")
        assert rate.share == pytest.approx(rate.images_per_second / rate.ceiling)
        assert 0 < rate.images_per_second < math.inf
    assert all(0 < stage.seconds_per_image < math.inf for stage in report.stages)


def test_each_report_has_one_more_entry(measured):
    reports = measured[0]
    for one, other in pairwise(reports):
        longer = [len(b) - len(a) for a, b in zip(one[1:], other[1:], strict=True)]
        assert sorted(longer) == [0, 0, 1]
        for a, b in zip(one[1:], other[1:], strict=True):
            assert b[: len(a)] == a


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 0}, r"1 or more; got 0 and \(1, 100, 10000\)"),
        ({"batch_sizes": [5, 0]}, r"1 or more; got 200000 and \[5, 0\]"),
        ({"seconds": 0}, "seconds above 0; got 0"),
        ({"seconds": math.nan}, "seconds above 0; got nan"),
    ],
)
def test_bad_arguments(params, wrong, message):
    with pytest.raises(ValueError, match=message):
        next(bench.measure(params, **wrong))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small"
    params = jaxnet.init(jax.random.key(0), (4, 3, 2))
    jaxnet.save(path, params, squash="relu", last_squash="softmax")
    return path


@pytest.mark.full
def test_command_with_json_and_figure(network, capsys, tmp_path):
    output = tmp_path / "roofline.svg"
    measure_machine(network, images=50, quick=True, output=output, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said.keys() == {"image", "limits", "rates", "stages"}
    assert said["image"] == {"bytes": 4, "operations": 2 * (4 * 3 + 3 * 2)}
    (limits,) = said["limits"]
    assert limits["transfer"] is None
    assert [rate["batch_size"] for rate in said["rates"]] == [50] * 3
    for rate in said["rates"]:
        most = min(limits["memory"] / 4, limits["arithmetic"][rate["precision"]] / 36)
        assert rate["ceiling"] == pytest.approx(most)
        assert rate["share"] == pytest.approx(rate["images_per_second"] / most)
    assert [stage["name"] for stage in said["stages"]] == ["read", *["compute"] * 3]
    assert output.read_text().startswith("<?xml")


@pytest.mark.full
def test_command_prints_tables(network, capsys):
    measure_machine(network, images=20, quick=True)
    said = capsys.readouterr().out
    assert said.startswith("one image: 4 bytes, 36 operations\n")
    assert said.count("compute") == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"output": "a.jpg"}, "a.jpg: the output must end in .png, .svg, .pdf"),
        ({"output": "none/a.png"}, "none/a.png: there is no folder"),
        ({"weights": "nothing"}, "nothing"),
    ],
)
def test_bad_options_fail_before_measuring(wrong, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {name: tmp_path.__class__(path) for name, path in wrong.items()}
    with pytest.raises((FileError, OSError), match=message):
        measure_machine(**wrong)


@pytest.mark.full
def test_bad_image_count():
    assert "--images: expected one or more; got 0" in refused(run("bench", "--images", "0"))
