from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetEnclaveRequest(_message.Message):
    __slots__ = ("api_key",)
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    api_key: str
    def __init__(self, api_key: _Optional[str] = ...) -> None: ...

class GetEnclaveReply(_message.Message):
    __slots__ = ("jwt", "enclave_url", "private_cloud")
    JWT_FIELD_NUMBER: _ClassVar[int]
    ENCLAVE_URL_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_CLOUD_FIELD_NUMBER: _ClassVar[int]
    jwt: str
    enclave_url: str
    private_cloud: bool
    def __init__(self, jwt: _Optional[str] = ..., enclave_url: _Optional[str] = ..., private_cloud: bool = ...) -> None: ...
