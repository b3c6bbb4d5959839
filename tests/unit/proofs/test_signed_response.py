"""Proofs: kept as bytes, read back, and refused where they are none."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async import PredictResponse, SignedResponse, UploadModelResponse
from blindai_async._pb import proof_files_pb2
from blindai_async.errors import AttestationError, ProofFormatError, SignatureError
from blindai_async.proofs.signature import verify_signature

KINDS = (SignedResponse, PredictResponse, UploadModelResponse)
OUTPUT = np.array([[0.25, 0.75]], np.float32)


def everything_of(response):
    return (response.model_dump(), response.payload)


def test_a_real_proof_is_read_and_kept_to_the_byte(real_proof, tmp_path):
    (tmp_path / "first.proof").write_bytes(real_proof)
    response = PredictResponse()
    response.load_from_file(tmp_path / "first.proof")
    assert response.model_id == "7e17feed-3938-45fb-a128-34866650e0e9"
    assert len(response.output) == 1
    np.testing.assert_allclose(response.output[0].as_numpy(), [[0.01225162, 0.9877484]], rtol=1e-6)
    assert response.is_signed()
    assert not response.is_simulation_mode()
    assert response.as_bytes() == real_proof
    response.save_to_file(str(tmp_path / "second.proof"))
    assert (tmp_path / "second.proof").read_bytes() == real_proof
    assert SignedResponse.from_bytes(real_proof).as_bytes() == real_proof


def test_a_real_proof_answers_its_question(real_proof, real_question):
    """Its signature and what it says; the evidence itself is judged in the attestation's tests."""
    from blindai_async.attestation import enclave_signing_key

    response = PredictResponse.from_bytes(real_proof)
    key = enclave_signing_key(response.attestation.enclave_held_data)
    options = {"validate_quote": False, "enclave_signing_key": key}
    assert response.validate(response.model_id, real_question, **options) is None
    with pytest.raises(SignatureError, match="other inputs"):
        response.validate(response.model_id, [real_question[0] + 1], **options)
    with pytest.raises(SignatureError, match="for the model"):
        response.validate("another", real_question, **options)


def test_a_real_proof_is_refused_with_one_bit_changed(real_proof, real_question):
    from blindai_async.attestation import enclave_signing_key

    key = enclave_signing_key(PredictResponse.from_bytes(real_proof).attestation.enclave_held_data)
    proof = proof_files_pb2.ResponseProof.FromString(real_proof)
    for at in range(0, len(proof.payload), 7):
        changed = bytearray(proof.payload)
        changed[at] ^= 1
        forged = proof_files_pb2.ResponseProof()
        forged.CopyFrom(proof)
        forged.payload = bytes(changed)
        try:
            response = PredictResponse.from_bytes(forged.SerializeToString())
        except ProofFormatError:
            continue
        with pytest.raises(SignatureError, match="not signed by this enclave's key"):
            response.validate(
                "7e17feed-3938-45fb-a128-34866650e0e9",
                real_question,
                validate_quote=False,
                enclave_signing_key=key,
            )


def test_every_prefix_of_a_real_proof_is_refused_or_lacks_its_proof(real_proof):
    """A file cut between two fields is well-formed; what it then lacks is not made up."""
    for length in [*range(0, len(real_proof), 97), *range(len(real_proof) - 80, len(real_proof))]:
        try:
            response = PredictResponse.from_bytes(real_proof[:length])
        except ProofFormatError:
            continue
        assert not response.is_signed()


@pytest.mark.parametrize("kind", KINDS)
def test_every_prefix_of_a_proof_is_refused_or_unsigned(enclave, kind):
    payload = enclave.uploaded() if kind is UploadModelResponse else enclave.predicted([OUTPUT])
    proof = enclave.proof(payload, evidence=enclave.evidence())
    for length in range(len(proof)):
        try:
            response = kind.from_bytes(proof[:length])
        except ProofFormatError:
            continue
        assert not response.is_signed()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_the_packages_error_and_change_nothing(junk):
    for kind in KINDS:
        response = kind(signature=b"kept")
        before = everything_of(response)
        try:
            response.load_from_bytes(junk)
        except ProofFormatError:
            assert everything_of(response) == before


_proof_files = st.builds(
    lambda payload, signature: proof_files_pb2.ResponseProof(
        payload=payload, signature=signature
    ).SerializeToString(),
    st.binary(max_size=60),
    st.binary(max_size=64),
)


@given(_proof_files)
def test_arbitrary_payloads_raise_only_the_packages_error_and_change_nothing(enclave, proof):
    for kind, good in (
        (PredictResponse, enclave.predicted([OUTPUT])),
        (UploadModelResponse, enclave.uploaded()),
    ):
        response = kind.from_bytes(enclave.proof(good))
        before = everything_of(response)
        try:
            response.load_from_bytes(proof)
        except ProofFormatError:
            assert everything_of(response) == before


def test_a_proof_of_another_kind_is_refused_and_changes_nothing(enclave):
    response = PredictResponse.from_bytes(enclave.proof(enclave.predicted([OUTPUT])))
    before = everything_of(response)
    with pytest.raises(ProofFormatError, match="upload"):
        response.load_from_bytes(enclave.proof(enclave.uploaded()))
    assert everything_of(response) == before
    with pytest.raises(ProofFormatError, match="does not speak of an upload"):
        UploadModelResponse.from_bytes(enclave.proof(enclave.predicted()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_proof_without_a_payload_is_refused(enclave, kind):
    for evidence in (None, enclave.evidence()):
        with pytest.raises(ProofFormatError, match="no payload"):
            kind.from_bytes(enclave.proof(b"", signature=b"s", evidence=evidence))


def test_what_holds_nothing_has_nothing_to_keep(tmp_path):
    for kind in KINDS:
        assert kind().payload is None
        assert not kind().is_signed()
        with pytest.raises(ProofFormatError, match="nothing to keep"):
            kind().as_bytes()
        with pytest.raises(ProofFormatError):
            kind().save_to_file(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_absent_and_an_empty_attestation_are_simulation(enclave):
    """The original client writes an empty message into the proof of a simulation answer."""
    payload = enclave.predicted([OUTPUT], inputs=OUTPUT.tobytes())
    absent = enclave.proof(payload)
    assert PredictResponse.from_bytes(absent).is_simulation_mode()
    response = PredictResponse.from_bytes(b"\x0a\x00" + absent)
    assert response.is_simulation_mode()
    assert response == PredictResponse.from_bytes(absent)
    assert response.validate("m", OUTPUT, allow_simulation_mode=True) is None
    for kind in (AttestationError, SignatureError):
        with pytest.raises(kind, match="simulation mode"):
            response.validate("m", OUTPUT)


def test_an_attestation_that_holds_anything_is_judged_as_one(enclave):
    """Nothing that a forger can put into the message makes evidence of it that is waived."""
    proof = enclave.proof(enclave.predicted([OUTPUT]))
    for inside in (b"\x0a\x01q", b"\x12\x00", b"\xfa\x01\x00"):  # quote, collateral, unknown
        response = PredictResponse.from_bytes(b"\x0a" + bytes([len(inside)]) + inside + proof)
        with pytest.raises(AttestationError):
            response.validate("m", OUTPUT, allow_simulation_mode=True)


def test_an_empty_signature_is_none(enclave):
    payload = enclave.predicted([OUTPUT], inputs=OUTPUT.tobytes())
    response = PredictResponse.from_bytes(enclave.proof(payload, signature=b""))
    assert not response.is_signed()
    with pytest.raises(SignatureError, match="not signed"):
        response.validate("m", OUTPUT, allow_simulation_mode=True)
    with pytest.raises(SignatureError, match="not signed"):
        response.validate("m", OUTPUT, allow_simulation_mode=True, enclave_signing_key=enclave.key)


def test_a_response_is_replaced_as_a_whole(enclave):
    response = PredictResponse.from_bytes(
        enclave.proof(enclave.predicted([OUTPUT, OUTPUT]), evidence=enclave.evidence())
    )
    response.load_from_bytes(
        enclave.proof(enclave.predicted([], model_id="", inference_time=0), signature=b"")
    )
    assert (response.output, response.model_id, response.inference_time) == ([], "", 0)
    assert (response.is_signed(), response.is_simulation_mode()) == (False, True)


def test_evidence_is_kept_to_the_byte(enclave):
    evidence = enclave.evidence(bytes(range(256)))
    evidence.collateral.tcb_info = "grüße"
    proof = enclave.proof(enclave.predicted(), evidence=evidence)
    response = SignedResponse.from_bytes(proof)
    assert response.attestation.quote == bytes(range(256))
    assert response.attestation.collateral.tcb_info == "grüße"
    assert response.as_bytes() == proof


def test_a_file_that_is_no_proof_is_named(tmp_path):
    path = tmp_path / "no.proof"
    path.write_bytes(b"\xff")
    with pytest.raises(ProofFormatError, match=r"no\.proof"):
        PredictResponse.from_file(path)
    with pytest.raises(FileNotFoundError):
        PredictResponse.from_file(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        PredictResponse.from_file(tmp_path)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_proof_may_lie_in_any_buffer(enclave, kind):
    proof = enclave.proof(enclave.predicted([OUTPUT]))
    assert PredictResponse.from_bytes(kind(proof)).as_bytes() == proof


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_a_response_survives_copying_and_pickling(enclave, clone):
    for kind, payload in (
        (SignedResponse, b"any payload"),
        (PredictResponse, enclave.predicted([OUTPUT], inputs=OUTPUT.tobytes())),
        (UploadModelResponse, enclave.uploaded(model_hash=b"h" * 32)),
    ):
        response = kind.from_bytes(enclave.proof(payload, evidence=enclave.evidence()))
        again = clone(response)
        assert type(again) is kind
        assert again == response
        assert again.as_bytes() == response.as_bytes()


def test_a_response_equals_itself_read_back(enclave):
    """Whether it holds the whole reply or the payload alone is no difference to anybody."""
    payload = enclave.predicted([OUTPUT], inputs=OUTPUT.tobytes())
    response = PredictResponse.from_reply(enclave.reply(payload), model_id="m")
    again = PredictResponse.from_bytes(response.as_bytes())
    assert again == response
    other = PredictResponse.from_bytes(enclave.proof(enclave.predicted([OUTPUT + 1])))
    assert again != other


def test_the_signature_covers_every_byte(enclave):
    signature = enclave.signer.sign(b"payload")
    verify_signature(enclave.key, signature, b"payload")
    verify_signature(enclave.key, signature, memoryview(b"payload"))
    for key, mark, signed in [
        (enclave.key, signature, b"payloaD"),
        (enclave.key, signature[:-1], b"payload"),
        (enclave.key, signature + b"\0", b"payload"),
        (enclave.key, bytes(64), b"payload"),
        (enclave.key, b"", b"payload"),
        (enclave.key[:-1], signature, b"payload"),
        (b"", signature, b"payload"),
        (None, signature, b"payload"),
        (bytes(32), signature, b"payload"),
    ]:
        with pytest.raises(SignatureError):
            verify_signature(key, mark, signed)


@pytest.mark.parametrize("signed", [True, False])
def test_a_response_is_dumped_and_read_back_as_what_it_was(enclave, signed):
    outputs = [np.array([[np.nan, np.inf, -0.0]], np.float32), np.zeros((0, 4), np.float32)]
    for kind, payload in (
        (SignedResponse, b"any payload \xff"),
        (PredictResponse, enclave.predicted(outputs, inputs=OUTPUT.tobytes())),
        (UploadModelResponse, enclave.uploaded(model_hash=b"h" * 32)),
    ):
        response = kind.from_bytes(
            enclave.proof(
                payload,
                signature=None if signed else b"",
                evidence=enclave.evidence(bytes(range(256))) if signed else None,
            )
        )
        for again in (
            kind.model_validate(response.model_dump()),
            kind.model_validate_json(response.model_dump_json()),
            kind.model_validate_json(response.model_dump_json(exclude_defaults=True)),
        ):
            assert again == response
            assert again.as_bytes() == response.as_bytes()
        assert "payload" in response.model_dump()
        assert "payload" not in response.model_dump(exclude={"payload"})
        assert "kept" not in response.model_dump()


def test_a_dump_is_described_by_its_schema(enclave):
    for kind in (SignedResponse, PredictResponse, UploadModelResponse):
        for mode in ("validation", "serialization"):
            assert kind.model_json_schema(mode=mode)


def test_a_real_proof_survives_json(real_proof):
    response = PredictResponse.from_bytes(real_proof)
    again = PredictResponse.model_validate_json(response.model_dump_json())
    assert again == response
    assert again.as_bytes() == real_proof
