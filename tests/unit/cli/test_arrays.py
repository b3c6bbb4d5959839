"""Tensors in files."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindai_async import ModelDatumType, Tensor, TensorInfo
from blindai_async.cli.arrays import read_inputs, tensor_as_json, write_outputs
from blindai_async.cli.run_command import OperationError


def tensor(array: np.ndarray[Any, Any], name: str = "") -> Tensor:
    kind = {"float32": ModelDatumType.F32, "int64": ModelDatumType.I64}[array.dtype.name]
    info = TensorInfo(dims=list(array.shape), datum_type=kind, index=0, index_name=name)
    return Tensor(info, array.tobytes())


@pytest.fixture
def write_json(tmp_path: Path) -> Any:
    def write(content: Any) -> Path:
        path = tmp_path / "input.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_an_npy_file_is_one_input(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    (read,) = read_inputs([tmp_path / "a.npy"], None)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, array)


def test_inputs_keep_the_order_of_files_and_of_arrays_in_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", z=np.array([1]), a=np.array([2]))
    np.save(tmp_path / "a.npy", np.array([3]))
    read = read_inputs([tmp_path / "b.npz", tmp_path / "a.npy"], None)
    assert [array.item() for array in read] == [1, 2, 3]


def test_arrays_are_converted_to_the_dtype_asked_for(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1.0]))
    (read,) = read_inputs([tmp_path / "a.npy"], "F32")
    assert read.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "dtype", "expected"),
    [
        ([[1, 2]], None, [np.array([[1, 2]], np.float32)]),
        ([[1, 2]], "int64", [np.array([[1, 2]], np.int64)]),
        ({"data": [1, 2], "shape": [2, 1]}, None, [np.array([[1], [2]], np.float32)]),
        ({"data": [1], "dtype": "uint8"}, None, [np.array([1], np.uint8)]),
        (
            {"inputs": [[1.5], {"data": [True], "dtype": "bool"}]},
            None,
            [np.array([1.5], np.float32), np.array([True])],
        ),
    ],
)
def test_json_is_read(content: Any, dtype: str | None, expected: Any, write_json: Any) -> None:
    read = read_inputs([write_json(content)], dtype)
    assert len(read) == len(expected)
    for ours, theirs in zip(read, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_a_dash_is_json_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"[4]")))
    (read,) = read_inputs([Path("-")], None)
    np.testing.assert_array_equal(read, np.array([4], np.float32))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ([[1], [2, 3]], "no tensor"),
        ("text", "no tensor"),
        ([["1", "2"]], "no tensor"),
        ([[1, None]], "no tensor"),
        ({"data": [1.5], "dtype": "int64"}, "no tensor"),
        ({"dtype": "float32"}, '"data" has to be'),
        ({"data": [1], "dims": [1]}, "'dims'"),
        ({"data": [1, 2], "shape": [3]}, "no tensor"),
        ({"data": [1], "dtype": "float16"}, "float16"),
        ({"data": [300], "dtype": "uint8"}, "no tensor"),
        ({"inputs": 3}, '"inputs"'),
        (None, "no tensor"),
    ],
)
def test_json_that_is_no_tensor_is_refused(content: Any, names: str, write_json: Any) -> None:
    with pytest.raises(OperationError, match=names):
        read_inputs([write_json(content)], None)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(OperationError, match=r"a\.npy"):
        read_inputs([tmp_path / "a.npy"], None)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".npy", ".npz", ".json"]))
def test_any_other_file_is_refused_by_name(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"input{suffix}"
    path.write_bytes(b"x" + content)
    with pytest.raises(OperationError, match="input"):
        read_inputs([path], None)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_inputs([tmp_path / "none.npy"], None)


def test_a_tensor_as_json_is_read_again(write_json: Any) -> None:
    array = np.array([[1, -2], [3, 2**62]], np.int64)
    written = tensor_as_json(tensor(array, "scores"))
    assert written["name"] == "scores"
    (read,) = read_inputs([write_json({"inputs": [written]})], None)
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, array)


def test_one_output_is_written_as_npy(tmp_path: Path) -> None:
    array = np.array([[0.25, np.nan]], np.float32)
    write_outputs(tmp_path / "out.npy", [tensor(array)])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), array)


def test_several_outputs_do_not_fit_an_npy(tmp_path: Path) -> None:
    outputs = [tensor(np.zeros(1, np.float32))] * 2
    with pytest.raises(OperationError, match="2 outputs"):
        write_outputs(tmp_path / "out.npy", outputs)
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["first", "second"], ["first", "second"]),
        (["same", "same"], ["output0", "output1"]),
        (["", ""], ["output0", "output1"]),
        (["file", "second"], ["output0", "output1"]),
        (["../up", "second"], ["output0", "output1"]),
    ],
)
def test_outputs_are_written_as_npz_and_none_is_lost(
    names: list[str], written: list[str], tmp_path: Path
) -> None:
    outputs = [tensor(np.array([i], np.int64), name) for i, name in enumerate(names)]
    write_outputs(tmp_path / "out.npz", outputs)
    with np.load(tmp_path / "out.npz") as content:
        assert {name: content[name].item() for name in content.files} == dict(
            zip(written, range(2), strict=True)
        )
