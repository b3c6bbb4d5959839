"""No reference to a file of the host passes, wherever in a model it stands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._wire.protobuf import varint
from blindai_async.server.inference import onnx_safety as onnx_files
from blindai_async.server.inference.onnx_safety import refuse_external_data
from blindai_async.server.status_errors import RefusalError

onnx = pytest.importorskip("onnx")


def external(tensor=None):
    tensor = tensor or onnx.TensorProto()
    tensor.name = "w"
    tensor.data_type = onnx.TensorProto.FLOAT
    tensor.dims.append(1)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def in_initializer(model):
    external(model.graph.initializer.add())


def in_sparse_values(model):
    external(model.graph.sparse_initializer.add().values)


def in_sparse_indices(model):
    external(model.graph.sparse_initializer.add().indices)


def in_attribute(model):
    external(model.graph.node.add().attribute.add().t)


def in_attribute_list(model):
    external(model.graph.node.add().attribute.add().tensors.add())


def in_sparse_attribute(model):
    external(model.graph.node.add().attribute.add().sparse_tensor.values)


def in_sparse_attribute_list(model):
    external(model.graph.node.add().attribute.add().sparse_tensors.add().values)


def in_subgraph(model):
    external(model.graph.node.add().attribute.add().g.initializer.add())


def in_subgraph_list(model):
    external(model.graph.node.add().attribute.add().graphs.add().initializer.add())


def in_function(model):
    external(model.functions.add().node.add().attribute.add().t)


def in_function_default(model):
    external(model.functions.add().attribute_proto.add().t)


def in_training(model):
    external(model.training_info.add().algorithm.initializer.add())


def in_initialization(model):
    external(model.training_info.add().initialization.initializer.add())


def only_the_location(model):
    model.graph.initializer.add().data_location = onnx.TensorProto.EXTERNAL


def only_the_path(model):
    model.graph.initializer.add().external_data.add(key="location", value="x")


PLACES = [
    in_initializer,
    in_sparse_values,
    in_sparse_indices,
    in_attribute,
    in_attribute_list,
    in_sparse_attribute,
    in_sparse_attribute_list,
    in_subgraph,
    in_subgraph_list,
    in_function,
    in_function_default,
    in_training,
    in_initialization,
    only_the_location,
    only_the_path,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_external_data_is_refused(onnx_models, place):
    model = onnx.load_from_string(onnx_models.linear(2, 2))
    place(model)
    with pytest.raises(RefusalError, match="external files"):
        refuse_external_data(model.SerializeToString())


def test_every_way_from_a_model_to_a_tensor_is_looked_at():
    """The table agrees with onnx.proto: nothing that holds tensors is left out."""
    names = {
        "Model": "ModelProto",
        "Training": "TrainingInfoProto",
        "Graph": "GraphProto",
        "Function": "FunctionProto",
        "Node": "NodeProto",
        "Attribute": "AttributeProto",
        "SparseTensor": "SparseTensorProto",
        "Tensor": "TensorProto",
    }
    ours = {full: short for short, full in names.items()}
    for short, full in names.items():
        fields = getattr(onnx, full).DESCRIPTOR.fields
        leading = {
            field.number: ours[field.message_type.name]
            for field in fields
            if field.message_type is not None and field.message_type.name in ours
        }
        assert onnx_files._CHILDREN[short] == leading


def test_a_tag_that_parsers_cut_to_32_bits_does_not_hide_it(onnx_models):
    # Field 14 with bits above the 32nd: what C++ reads as data_location.
    tag = varint((14 << 3) | (1 << 32))
    tensor = tag + b"\x01"
    graph = b"\x2a" + varint(len(tensor)) + tensor
    with pytest.raises(RefusalError, match="external files"):
        refuse_external_data(b"\x3a" + varint(len(graph)) + graph)


def test_self_contained_models_pass(onnx_models):
    for model in (
        onnx_models.identity(),
        onnx_models.linear(300, 300),
        onnx_models.filled(),
        onnx_models.endless(),
    ):
        refuse_external_data(model)


def test_a_file_of_countless_fields_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_files, "_MAX_FIELDS", 1000)
    with pytest.raises(RefusalError, match="too many parts"):
        refuse_external_data(b"\x08\x01" * 1001)


@given(st.binary())
def test_any_bytes_pass_or_are_refused(content):
    with contextlib.suppress(RefusalError):  # and nothing else may be raised
        assert refuse_external_data(content) is None
