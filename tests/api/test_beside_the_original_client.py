"""The original client's generated modules live in the same process, whichever comes first.

Protobuf keeps one pool of descriptors a process, keyed by file name and by full message name. The
original client registers `untrusted.proto` and `securedexchange.proto` with their own packages; its
modules are rebuilt here from our descriptors, under the names that the originals have.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pb2

from blindai_async._pb import proof_files_pb2, securedexchange_pb2, untrusted_pb2

if TYPE_CHECKING:
    from pathlib import Path

OURS = {
    "untrusted": untrusted_pb2,
    "securedexchange": securedexchange_pb2,
    "proof_files": proof_files_pb2,
}

GENERATED = """
from google.protobuf import descriptor_pool, timestamp_pb2
from google.protobuf.internal import builder
{imports}
DESCRIPTOR = descriptor_pool.Default().AddSerializedFile({serialized!r})
builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, {name!r}, globals())
"""

CHECK = """
from blindai_async._pb import securedexchange_pb2 as ours, untrusted_pb2 as our_untrusted

theirs = securedexchange_pb2.RunModelRequest(model_id="digits", sign=True)
theirs.input_tensors.add(info=securedexchange_pb2.TensorInfo(dims=[1, 2]), bytes_data=b"12345678")
again = ours.RunModelRequest.FromString(theirs.SerializeToString())
assert again.SerializeToString() == theirs.SerializeToString()
assert again.input_tensors[0].info.dims == [1, 2]
assert type(again) is not type(theirs)
assert theirs.DESCRIPTOR.full_name == "securedexchange.RunModelRequest"

evidence = untrusted_pb2.GetSgxQuoteWithCollateralReply(quote=b"q")
proof = proof_files_pb2.ResponseProof(attestation=evidence, payload=b"p")
reply = our_untrusted.GetSgxQuoteWithCollateralReply.FromString(evidence.SerializeToString())
assert reply.quote == proof.attestation.quote == b"q"
print("both")
"""


def original(name: str) -> descriptor_pb2.FileDescriptorProto:
    """Our file as the original client has it: its own file name and package."""
    file = descriptor_pb2.FileDescriptorProto()
    OURS[name].DESCRIPTOR.CopyToProto(file)
    assert file.package == f"blindai_async.wire.{name}"
    file.name, file.package = f"{name}.proto", name
    for index, dependency in enumerate(file.dependency):
        file.dependency[index] = dependency.removeprefix("blindai_async/_pb/")
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".blindai_async.wire.", ".")
    return file


@pytest.fixture(scope="module")
def original_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the original client's top-level generated modules."""
    folder = tmp_path_factory.mktemp("original")
    for name in OURS:
        file = original(name)
        imports = "import untrusted_pb2" if "untrusted.proto" in file.dependency else ""
        source = GENERATED.format(
            imports=imports, serialized=file.SerializeToString(), name=f"{name}_pb2"
        )
        (folder / f"{name}_pb2.py").write_text(source)
    return folder


@pytest.mark.parametrize(
    "imports",
    [
        ("import untrusted_pb2, securedexchange_pb2, proof_files_pb2", "import blindai_async"),
        ("import blindai_async", "import untrusted_pb2, securedexchange_pb2, proof_files_pb2"),
    ],
    ids=["original first", "ours first"],
)
def test_both_are_imported_and_speak_the_same_bytes(
    imports: tuple[str, str], original_client: Path
) -> None:
    path = os.pathsep.join([str(original_client), *filter(None, sys.path)])
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join((*imports, CHECK))],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "both\n"), ran.stderr
