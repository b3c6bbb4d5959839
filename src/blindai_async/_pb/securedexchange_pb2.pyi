from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DatumTypeEnum(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    F32: _ClassVar[DatumTypeEnum]
    F64: _ClassVar[DatumTypeEnum]
    I32: _ClassVar[DatumTypeEnum]
    I64: _ClassVar[DatumTypeEnum]
    U32: _ClassVar[DatumTypeEnum]
    U64: _ClassVar[DatumTypeEnum]
    U8: _ClassVar[DatumTypeEnum]
    U16: _ClassVar[DatumTypeEnum]
    I8: _ClassVar[DatumTypeEnum]
    I16: _ClassVar[DatumTypeEnum]
    Bool: _ClassVar[DatumTypeEnum]
    UNKNOWN: _ClassVar[DatumTypeEnum]
F32: DatumTypeEnum
F64: DatumTypeEnum
I32: DatumTypeEnum
I64: DatumTypeEnum
U32: DatumTypeEnum
U64: DatumTypeEnum
U8: DatumTypeEnum
U16: DatumTypeEnum
I8: DatumTypeEnum
I16: DatumTypeEnum
Bool: DatumTypeEnum
UNKNOWN: DatumTypeEnum

class ClientInfo(_message.Message):
    __slots__ = ("uid", "platform_name", "platform_arch", "platform_version", "platform_release", "user_agent", "user_agent_version")
    UID_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_NAME_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_ARCH_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_RELEASE_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    uid: str
    platform_name: str
    platform_arch: str
    platform_version: str
    platform_release: str
    user_agent: str
    user_agent_version: str
    def __init__(self, uid: _Optional[str] = ..., platform_name: _Optional[str] = ..., platform_arch: _Optional[str] = ..., platform_version: _Optional[str] = ..., platform_release: _Optional[str] = ..., user_agent: _Optional[str] = ..., user_agent_version: _Optional[str] = ...) -> None: ...

class TensorInfo(_message.Message):
    __slots__ = ("dims", "datum_type", "index", "index_name")
    DIMS_FIELD_NUMBER: _ClassVar[int]
    DATUM_TYPE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    INDEX_NAME_FIELD_NUMBER: _ClassVar[int]
    dims: _containers.RepeatedScalarFieldContainer[int]
    datum_type: DatumTypeEnum
    index: int
    index_name: str
    def __init__(self, dims: _Optional[_Iterable[int]] = ..., datum_type: _Optional[_Union[DatumTypeEnum, str]] = ..., index: _Optional[int] = ..., index_name: _Optional[str] = ...) -> None: ...

class TensorData(_message.Message):
    __slots__ = ("info", "bytes_data")
    INFO_FIELD_NUMBER: _ClassVar[int]
    BYTES_DATA_FIELD_NUMBER: _ClassVar[int]
    info: TensorInfo
    bytes_data: bytes
    def __init__(self, info: _Optional[_Union[TensorInfo, _Mapping[str, object]]] = ..., bytes_data: _Optional[bytes] = ...) -> None: ...

class PayloadHeader(_message.Message):
    __slots__ = ("issued_at",)
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    issued_at: _timestamp_pb2.Timestamp
    def __init__(self, issued_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class SendModelPayload(_message.Message):
    __slots__ = ("model_hash", "tensor_inputs", "tensor_outputs", "model_id")
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    TENSOR_INPUTS_FIELD_NUMBER: _ClassVar[int]
    TENSOR_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    model_hash: bytes
    tensor_inputs: _containers.RepeatedCompositeFieldContainer[TensorInfo]
    tensor_outputs: _containers.RepeatedCompositeFieldContainer[TensorInfo]
    model_id: str
    def __init__(self, model_hash: _Optional[bytes] = ..., tensor_inputs: _Optional[_Iterable[_Union[TensorInfo, _Mapping[str, object]]]] = ..., tensor_outputs: _Optional[_Iterable[_Union[TensorInfo, _Mapping[str, object]]]] = ..., model_id: _Optional[str] = ...) -> None: ...

class RunModelPayload(_message.Message):
    __slots__ = ("input_hash", "model_id", "output_tensors", "inference_time")
    INPUT_HASH_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TENSORS_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_TIME_FIELD_NUMBER: _ClassVar[int]
    input_hash: bytes
    model_id: str
    output_tensors: _containers.RepeatedCompositeFieldContainer[TensorData]
    inference_time: int
    def __init__(self, input_hash: _Optional[bytes] = ..., model_id: _Optional[str] = ..., output_tensors: _Optional[_Iterable[_Union[TensorData, _Mapping[str, object]]]] = ..., inference_time: _Optional[int] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("header", "send_model_payload", "run_model_payload")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SEND_MODEL_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    RUN_MODEL_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    header: PayloadHeader
    send_model_payload: SendModelPayload
    run_model_payload: RunModelPayload
    def __init__(self, header: _Optional[_Union[PayloadHeader, _Mapping[str, object]]] = ..., send_model_payload: _Optional[_Union[SendModelPayload, _Mapping[str, object]]] = ..., run_model_payload: _Optional[_Union[RunModelPayload, _Mapping[str, object]]] = ...) -> None: ...

class SendModelRequest(_message.Message):
    __slots__ = ("data", "length", "tensor_inputs", "tensor_outputs", "sign", "client_info", "model_name", "save_model", "model_id", "jwt")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    TENSOR_INPUTS_FIELD_NUMBER: _ClassVar[int]
    TENSOR_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SIGN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_INFO_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    SAVE_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    JWT_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    length: int
    tensor_inputs: _containers.RepeatedCompositeFieldContainer[TensorInfo]
    tensor_outputs: _containers.RepeatedCompositeFieldContainer[TensorInfo]
    sign: bool
    client_info: ClientInfo
    model_name: str
    save_model: bool
    model_id: str
    jwt: str
    def __init__(self, data: _Optional[bytes] = ..., length: _Optional[int] = ..., tensor_inputs: _Optional[_Iterable[_Union[TensorInfo, _Mapping[str, object]]]] = ..., tensor_outputs: _Optional[_Iterable[_Union[TensorInfo, _Mapping[str, object]]]] = ..., sign: bool = ..., client_info: _Optional[_Union[ClientInfo, _Mapping[str, object]]] = ..., model_name: _Optional[str] = ..., save_model: bool = ..., model_id: _Optional[str] = ..., jwt: _Optional[str] = ...) -> None: ...

class SendModelReply(_message.Message):
    __slots__ = ("payload", "signature")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    signature: bytes
    def __init__(self, payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RunModelRequest(_message.Message):
    __slots__ = ("input_tensors", "sign", "client_info", "model_id")
    INPUT_TENSORS_FIELD_NUMBER: _ClassVar[int]
    SIGN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_INFO_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    input_tensors: _containers.RepeatedCompositeFieldContainer[TensorData]
    sign: bool
    client_info: ClientInfo
    model_id: str
    def __init__(self, input_tensors: _Optional[_Iterable[_Union[TensorData, _Mapping[str, object]]]] = ..., sign: bool = ..., client_info: _Optional[_Union[ClientInfo, _Mapping[str, object]]] = ..., model_id: _Optional[str] = ...) -> None: ...

class RunModelReply(_message.Message):
    __slots__ = ("payload", "signature")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    signature: bytes
    def __init__(self, payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class DeleteModelRequest(_message.Message):
    __slots__ = ("model_id",)
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    def __init__(self, model_id: _Optional[str] = ...) -> None: ...

class DeleteModelReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
