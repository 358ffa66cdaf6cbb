"""All that reads images: jaxnet and its peers, each as its users would have it at best.

Each is a function of images in bytes, NumPy's, shape `(n, 784)`, that gives their digits in NumPy.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import ThreadpoolController

import jaxnet


def in_batches(read, images, size, *, pool=None):
    """Batch after batch; on the threads of a pool side by side, if there is one."""
    batches = (images[at : at + size] for at in range(0, len(images), size))
    return np.concatenate([*(pool.map if pool else map)(read, batches)])


def ours(params, **options):
    return lambda images: jaxnet.classify(params, images, **options).digits


def plain_jit(params):
    """As one writes it who has seen the first lines of the README: all at once."""

    @jax.jit
    def read(params, images):
        x = images.astype(jnp.float32) / 255
        return jax.vmap(jaxnet.predict, in_axes=(None, 0))(params, x)

    return lambda images: np.asarray(read(params, images))


def numpy_reader(params, *, n_threads):
    layers = [(np.asarray(w), np.asarray(b)) for w, b in params]
    threads = ThreadpoolController()

    def read(images):
        a = images.astype(np.float32)
        a /= 255
        for n, (w, b) in enumerate(layers, 1):
            z = a @ w.T
            z += b
            a = z if n == len(layers) else 1 / (1 + np.exp(-z))
        return a.argmax(1)

    def limited(images):
        with threads.limit(limits=n_threads):
            return read(images)

    return limited


def torch_reader(params, *, n_threads, compiled=False):
    model = jaxnet.formats.to_torch(params)[:-1].eval()  # without the last squash

    def digits(images):
        return model(images.float() / 255).argmax(1)

    if compiled:
        torch._dynamo.config.recompile_limit = 100  # each batch size is a program of its own
        digits = torch.compile(digits, dynamic=False)

    def read(images):
        torch.set_num_threads(n_threads)
        with torch.inference_mode():
            return digits(torch.from_numpy(images)).numpy()

    return read


def onnx_reader(params, *, n_threads, in_bytes=False):
    """ONNX Runtime, with 1/255 folded into the weights."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = n_threads
    model = onnx_model(params, in_bytes=in_bytes).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def onnx_model(params, *, in_bytes):
    """A graph from bytes to digits; the first product of floats, or of bytes."""
    (w, b), *rest = ((np.asarray(w), np.asarray(b)) for w, b in params)
    tensors, nodes = {}, []

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    if in_bytes:
        scales = abs(w).max(1) / 127
        tensors |= {
            "0.w": np.rint(w.T / scales).astype(np.int8),
            "0.scales": scales / 255,
            "0.b": b,
        }
        sums = add("MatMulInteger", ["images", "0.w"], "0.sums")
        floats = add("Cast", [sums], "0.floats", to=TensorProto.FLOAT)
        z = add("Add", [add("Mul", [floats, "0.scales"], "0.scaled"), "0.b"], "0.z")
    else:
        tensors |= {"0.w": w / 255, "0.b": b}
        x = add("Cast", ["images"], "x", to=TensorProto.FLOAT)
        z = add("Gemm", [x, "0.w", "0.b"], "0.z", transB=1)
    for n, (w, b) in enumerate(rest, 1):
        tensors |= {f"{n}.w": w, f"{n}.b": b}
        a = add("Sigmoid", [z], f"{n}.a")
        z = add("Gemm", [a, f"{n}.w", f"{n}.b"], f"{n}.z", transB=1)
    add("ArgMax", [z], "digits", axis=1, keepdims=0)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "digits",
        [value("images", TensorProto.UINT8, ["n", 784])],
        [value("digits", TensorProto.INT64, ["n"])],
        [numpy_helper.from_array(np.ascontiguousarray(t), name) for name, t in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
