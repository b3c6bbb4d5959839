"""Train the digit classifier that `blindai-async demo` shows, and set real images aside for it.

Run it with `nox -s digits`, or `python examples/train_digits.py [DIRECTORY]` where scikit-learn
and onnx are installed. It writes two files, by default into the package's own demo data:

* `digits.onnx`: input `pixels`, float32 [batch, 64], grey values 0 to 16 as the data set has them;
  output `probabilities`, float32 [batch, 10].
* `held_back.npz`: `images`, uint8 [n, 64], and `labels`, uint8 [n], of images that the training
  never saw, nor any shifted copy of them.

Neighbouring images of the data set tend to come from one writer. The images held back are its
last fifth in one piece and not a random draw, which would put every writer into both parts and
flatter the model. The same seed on the same machine writes the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

SEED = 20
SIDE = 8
GREY_LEVELS = 16
HELD_BACK = 360
MINIMUM_ACCURACY = 0.95

EPOCHS = 12
BATCH = 64
LEARNING_RATE = 3e-3
DROPPED = 0.3
CHANNELS = (16, 32)

DATA = Path(__file__).parents[1] / "src" / "blindai_async" / "cli" / "digits"


def with_shifted_copies(images: Floats, labels: Labels) -> tuple[Floats, Labels]:
    """The images and their copies moved by one pixel, which people's handwriting varies by."""
    squares = images.reshape(-1, SIDE, SIDE)
    framed = np.pad(squares, ((0, 0), (1, 1), (1, 1)))
    moves = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    copies = [framed[:, row : row + SIDE, column : column + SIDE] for row, column in moves]
    return np.concatenate(copies).reshape(-1, SIDE * SIDE), np.tile(labels, len(copies))


class Network:
    """Two 3x3 convolutions, a 2x2 maximum between them, and a dense layer; channels come last."""

    def __init__(self, rng: np.random.Generator) -> None:
        first, second = CHANNELS
        fan_ins = ((9, first), (9 * first, second), (second * SIDE * SIDE // 4, 10))
        self.rng = rng
        self.parameters: list[Floats] = []
        for fan_in, units in fan_ins:
            scale = np.sqrt(2 / fan_in)
            self.parameters.append(rng.normal(0, scale, (fan_in, units)).astype(np.float32))
            self.parameters.append(np.zeros(units, np.float32))

    def probabilities(self, pixels: Floats) -> Floats:
        """Probabilities [n, 10] for pixels [n, 64] between 0 and 1."""
        return self._forward(pixels, dropout=False)[-1]

    def gradients(self, pixels: Floats, labels: Labels) -> list[npt.NDArray[np.floating]]:
        """The mean cross-entropy's gradient for every parameter, in their order."""
        windows1, map1, pooled, windows2, map2, kept, features, guess = self._forward(
            pixels, dropout=True
        )
        kernel2, dense = self.parameters[2], self.parameters[4]
        error = guess - np.eye(10, dtype=np.float32)[labels]
        error /= len(pixels)
        back2 = (error @ dense.T * kept).reshape(map2.shape) * (map2 > 0)
        pooled_back = _sum_windows(back2 @ kernel2.T)[:, :, None, :, None]
        winners = _quads(map1) == pooled[:, :, None, :, None]
        back1 = (winners * pooled_back).reshape(map1.shape) * (map1 > 0)
        return [
            np.tensordot(windows1, back1, ([0, 1, 2], [0, 1, 2])),
            back1.sum((0, 1, 2)),
            np.tensordot(windows2, back2, ([0, 1, 2], [0, 1, 2])),
            back2.sum((0, 1, 2)),
            features.T @ error,
            error.sum(0),
        ]

    def _forward(self, pixels: Floats, *, dropout: bool) -> tuple[Floats, ...]:
        kernel1, bias1, kernel2, bias2, dense, bias3 = self.parameters
        windows1 = _windows(pixels.reshape(-1, SIDE, SIDE, 1))
        map1 = np.maximum(windows1 @ kernel1 + bias1, 0)
        pooled = _quads(map1).max((2, 4))
        windows2 = _windows(pooled)
        map2 = np.maximum(windows2 @ kernel2 + bias2, 0)
        features = map2.reshape(len(pixels), -1)
        kept = np.ones_like(features)
        if dropout:
            kept = (self.rng.random(features.shape) >= DROPPED) / np.float32(1 - DROPPED)
        features = features * kept
        sums = features @ dense + bias3
        powers = np.exp(sums - sums.max(1, keepdims=True))
        guess = powers / powers.sum(1, keepdims=True)
        return windows1, map1, pooled, windows2, map2, kept, features, guess


def _windows(maps: Floats) -> Floats:
    """The 3x3 neighbourhood of every cell: [n, h, w, c] -> [n, h, w, 9c], rows by channel."""
    framed = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(framed, (3, 3), axis=(1, 2))
    return windows.reshape(*maps.shape[:3], -1)


def _sum_windows(windows: Floats) -> Floats:
    """The reverse of `_windows` for gradients: every cell gets the sum of what it was read for."""
    count, height, width, size = windows.shape
    parts = windows.reshape(count, height, width, size // 9, 3, 3)
    framed = np.zeros((count, height + 2, width + 2, size // 9), np.float32)
    for row in range(3):
        for column in range(3):
            framed[:, row : row + height, column : column + width] += parts[..., row, column]
    return framed[:, 1:-1, 1:-1]


def _quads(maps: Floats) -> Floats:
    """The maps with every 2x2 square on axes of its own: [n, h/2, 2, w/2, 2, c]."""
    count, height, width, channels = maps.shape
    return maps.reshape(count, height // 2, 2, width // 2, 2, channels)


def train(pixels: Floats, labels: Labels) -> Network:
    """Fit a network with Adam and a learning rate that falls to zero."""
    rng = np.random.default_rng(SEED)
    network = Network(rng)
    means = [np.zeros_like(parameter) for parameter in network.parameters]
    squares = [np.zeros_like(parameter) for parameter in network.parameters]
    steps = EPOCHS * (len(pixels) // BATCH)
    for step in range(1, steps + 1):
        position = (step - 1) % (len(pixels) // BATCH) * BATCH
        if position == 0:
            order = rng.permutation(len(pixels))
        chosen = order[position : position + BATCH]
        rate = LEARNING_RATE * (1 - step / steps)
        gradients = network.gradients(pixels[chosen], labels[chosen])
        for number, gradient in enumerate(gradients):
            means[number] += 0.1 * (gradient - means[number])
            squares[number] += 0.001 * (gradient**2 - squares[number])
            spread = np.sqrt(squares[number] / (1 - 0.999**step)) + 1e-8
            network.parameters[number] -= rate * (means[number] / (1 - 0.9**step)) / spread
    return network


def to_onnx(network: Network) -> onnx.ModelProto:
    """The network as an ONNX graph, channels first, that scales the grey values itself."""
    kernel1, bias1, kernel2, bias2, dense, bias3 = network.parameters
    first, second = CHANNELS
    # Ours reads its features cell by cell, ONNX's Flatten channel by channel.
    by_channel = dense.reshape(-1, second, 10).transpose(1, 0, 2).reshape(-1, 10)
    constants = {
        "scale": np.array(1 / GREY_LEVELS, np.float32),
        "square": np.array([-1, 1, SIDE, SIDE], np.int64),
        "kernel1": kernel1.T.reshape(first, 1, 3, 3),
        "bias1": bias1,
        "kernel2": kernel2.T.reshape(second, first, 3, 3),
        "bias2": bias2,
        "dense": by_channel,
        "bias3": bias3,
    }
    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "square"], ["image"]),
        helper.make_node("Conv", ["image", "kernel1", "bias1"], ["sums1"], pads=pads),
        helper.make_node("Relu", ["sums1"], ["map1"]),
        helper.make_node("MaxPool", ["map1"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "kernel2", "bias2"], ["sums2"], pads=pads),
        helper.make_node("Relu", ["sums2"], ["map2"]),
        helper.make_node("Flatten", ["map2"], ["features"]),
        helper.make_node("Gemm", ["features", "dense", "bias3"], ["sums3"]),
        helper.make_node("Softmax", ["sums3"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", SIDE * SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in constants.items()
        ],
    )
    # Operator set and file version of 2021, so that old runtimes load the model too.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main(directory: Path) -> None:
    """Train, judge on the images held back, and write both files into the directory."""
    digits = load_digits()
    images, labels = digits.data.astype(np.float32), digits.target.astype(np.uint8)
    seen, seen_labels = with_shifted_copies(images[:-HELD_BACK], labels[:-HELD_BACK])
    network = train(seen / GREY_LEVELS, seen_labels)

    held_back, answers = images[-HELD_BACK:], labels[-HELD_BACK:]
    guesses = network.probabilities(held_back / GREY_LEVELS).argmax(1)
    accuracy = (guesses == answers).mean()
    print(f"accuracy on the {HELD_BACK} images held back: {accuracy:.2%}")
    if accuracy < MINIMUM_ACCURACY:
        raise SystemExit(f"below {MINIMUM_ACCURACY:.0%}: nothing was written")

    directory.mkdir(parents=True, exist_ok=True)
    model = to_onnx(network).SerializeToString(deterministic=True)
    (directory / "digits.onnx").write_bytes(model)
    np.savez_compressed(
        directory / "held_back.npz", images=held_back.astype(np.uint8), labels=answers
    )
    print(f"wrote digits.onnx ({len(model) / 1024:.0f} KiB) and held_back.npz to {directory}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
