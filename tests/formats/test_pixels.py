"""Networks that were trained on other pixels than 0 to 1."""

import re

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.formats import load
from tests.subprocesses import run

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.compiled
SCALES = [
    ({"pixels": 255}, lambda x: 255 * x),
    ({"mean": 0.1307, "std": 0.3081}, lambda x: (x - 0.1307) / 0.3081),
    ({"mean": 0.5, "std": 0.5}, lambda x: 2 * x - 1),
    ({"pixels": 255, "mean": 33.3, "std": 78.6}, lambda x: (255 * x - 33.3) / 78.6),
    ({"pixels": 16}, lambda x: 16 * x),
]
REFUSED = [{"pixels": 0}, {"std": 0}, {"pixels": np.nan}, {"std": -1}, {"mean": None}, {"std": "1"}]
ARRAYS = {"squash": "relu", "last_squash": "identity"}


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(784, 7), torch.nn.ReLU(), torch.nn.Linear(7, 5))


@pytest.mark.parametrize(("options", "scale"), SCALES)
@pytest.mark.parametrize("ending", ["pt", "safetensors", "onnx"])
def test_folded(tmp_path, ending, options, scale):
    """The network answers as the original does for the pixels that it was trained on."""
    model, path = network(), tmp_path / f"m.{ending}"
    params, spec = jaxnet.formats.from_torch(model)
    if ending == "pt":
        torch.save(model.state_dict(), path)
    elif ending == "safetensors":
        jaxnet.save(path, params, **spec.squashes)
    else:
        path.write_bytes(jaxnet.formats.onnx.export(params, **spec.squashes))
    given = ARRAYS if ending == "pt" else {}
    x = np.random.default_rng(0).random((9, 784), np.float32)
    with torch.no_grad():
        theirs = model(torch.tensor(scale(x), dtype=torch.float32)).numpy()
    params, spec = load(path, **given, **options)
    ours = jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    said = " ".join(f"{name} {value}" for name, value in options.items())
    assert spec.notes == {"trained with": said}
    jaxnet.save(tmp_path / "ours.safetensors", params, **spec.squashes, notes=spec.notes)
    assert load(tmp_path / "ours.safetensors")[1].notes == spec.notes


@pytest.mark.parametrize(
    "options",
    [{"pixels": 0}, {"std": 0}, {"pixels": np.nan}, {"std": -1}, {"pixels": "255"}, {"mean": None}],
)
def test_refused(tmp_path, options):
    torch.save(network().state_dict(), tmp_path / "m.pt")
    with pytest.raises(ValueError, match="Expected finite numbers as pixels=, mean= and std="):
        load(tmp_path / "m.pt", **ARRAYS, **options)


def test_what_contradicts_itself(tmp_path):
    """A mean of pixels from 0 to 255 needs their scale; nothing is folded twice."""
    torch.save(network().state_dict(), tmp_path / "m.pt")
    with pytest.raises(ValueError, match="pass pixels=255"):
        load(tmp_path / "m.pt", **ARRAYS, mean=33.3, std=78.6)
    with pytest.raises(ValueError, match="infinite weights"):
        load(tmp_path / "m.pt", **ARRAYS, pixels=1e42)
    params, spec = load(tmp_path / "m.pt", **ARRAYS, pixels=255)
    jaxnet.save(tmp_path / "n.safetensors", params, **spec.squashes, notes=spec.notes)
    with pytest.raises(FileError, match="pixels 255 is part of its first layer already"):
        load(tmp_path / "n.safetensors", pixels=255)


def test_classify_and_convert_name_the_scale(tmp_path, mnist):
    """A network trained on pixels from 0 to 255 reads few; the commands say how it reads more."""
    images, labels = mnist["test"]
    np.save(tmp_path / "images.npy", images[:2000])
    np.save(tmp_path / "labels.npy", labels[:2000])
    (w, b), *others = jaxnet.pretrained()
    params = ((w / 255, b), *others)
    jaxnet.save(tmp_path / "wide.safetensors", params)
    files = [tmp_path / "images.npy", "--labels", tmp_path / "labels.npy"]
    said = run("classify", *files, "--weights", tmp_path / "wide.safetensors")
    assert "--pixels 255, about 9" in " ".join(said.stdout.split())
    check = ["--check", *files, "--pixels", "255"]
    said = run("convert", tmp_path / "wide.safetensors", tmp_path / "right.safetensors", *check)
    assert "Best: --pixels 255." in said.stderr
    said = run("classify", *files, "--weights", tmp_path / "right.safetensors")
    assert "96.90 %" in said.stdout  # of the first 2,000, as by the network itself
    assert "--pixels" not in said.stdout


def test_check_without_labels(tmp_path):
    torch.save(network().state_dict(), tmp_path / "m.pt")
    said = run("convert", tmp_path / "m.pt", tmp_path / "n.safetensors", "--check", tmp_path)
    assert said.returncode == 2
    assert "--check and --labels go together" in said.stderr


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_pipelines_of_scikit_learn(steps):
    """What scales the images before the network is part of its first layer."""
    sklearn = pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, labels = load_digits(return_X_y=True)
    before = [StandardScaler(), PCA(20)][:steps]
    model = make_pipeline(*before, MLPClassifier((16,), max_iter=5, random_state=0))
    with np.errstate(all="ignore"), pytest.warns(sklearn.exceptions.ConvergenceWarning):
        model.fit(images, labels)
    if steps:
        with pytest.raises(ValueError, match="pass pixels=16 or pixels=255"):
            jaxnet.formats.from_sklearn(model)
    params, spec = jaxnet.formats.from_sklearn(model, pixels=16)
    assert spec.sizes == (64, 16, 10)
    x = (images / 16).astype(np.float32)
    ours = jax.vmap(lambda x: jaxnet.forward(params, x, **spec.squashes))(x)
    np.testing.assert_allclose(ours, model.predict_proba(images), atol=1e-4)


def test_a_pipeline_that_is_not_affine():
    sklearn = pytest.importorskip("sklearn")
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PowerTransformer

    x, y = np.random.default_rng(0).random((50, 20)), np.arange(50) % 5
    model = make_pipeline(PowerTransformer(), MLPClassifier((7,), max_iter=5))
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        model.fit(x, y)
    with pytest.raises(ValueError, match="got PowerTransformer"):
        jaxnet.formats.from_sklearn(model)


def test_error_names_the_file(tmp_path):
    (tmp_path / "network").write_bytes(b"neither")
    with pytest.raises(FileError, match=re.escape(str(tmp_path / "network"))):
        load(tmp_path / "network", pixels=255)
