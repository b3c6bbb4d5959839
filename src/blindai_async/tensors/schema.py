"""Tensors in pydantic models: validated, dumped, and read back with every bit.

In Python a tensor is dumped as its facts and bytes, in JSON with the bytes in base64: text numbers
would lose a NaN's payload, and JSON has no NaN at all.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from blindai_async.tensors.dtypes import TABLE, translate_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import CoreSchema

__all__ = ["tensor_schema"]


def tensor_schema(cls: type[Any], build: Callable[[dict[str, Any]], Any]) -> CoreSchema:
    """Describe a `Tensor` to pydantic: an instance, or what one is dumped as.

    Args:
        cls: the class of the instances.
        build: makes one from the fields of `TensorInfo` and ``bytes_data``.
    """
    text = core_schema.str_schema(strict=True)
    base64_text = core_schema.no_info_after_validator_function(_from_base64, text)
    dumped = core_schema.no_info_after_validator_function(
        build,
        core_schema.typed_dict_schema(
            {
                "dims": _field(core_schema.list_schema(core_schema.int_schema(strict=True))),
                "datum_type": _field(
                    core_schema.no_info_after_validator_function(
                        translate_dtype, core_schema.any_schema()
                    )
                ),
                "index": _field(core_schema.int_schema(strict=True), default=0),
                "index_name": _field(text, default=""),
                "bytes_data": _field(
                    core_schema.json_or_python_schema(
                        json_schema=base64_text,
                        python_schema=core_schema.union_schema(
                            [core_schema.bytes_schema(strict=True), base64_text]
                        ),
                    )
                ),
            },
            extra_behavior="forbid",
        ),
    )
    return core_schema.json_or_python_schema(
        json_schema=dumped,
        python_schema=core_schema.union_schema(
            [core_schema.is_instance_schema(cls), dumped], mode="left_to_right"
        ),
        serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
    )


def _field(schema: CoreSchema, **default: Any) -> core_schema.TypedDictField:
    if default:
        schema = core_schema.with_default_schema(schema, **default)
    return core_schema.typed_dict_field(schema)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _dump(tensor: Any, info: core_schema.SerializationInfo) -> dict[str, Any]:
    facts = tensor.info
    json = info.mode == "json"
    data = tensor.bytes_data
    return {
        "dims": list(facts.dims),
        "datum_type": TABLE[facts.datum_type].name if json else facts.datum_type,
        "index": facts.index,
        "index_name": facts.index_name,
        "bytes_data": base64.b64encode(data).decode() if json else data,
    }
