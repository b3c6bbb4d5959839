"""Everything that reads bytes from outside, fed with what is nearly right.

`nox -s fuzz` gives each target minutes, with new seeds each time; the everyday run some seconds in
all. Only the package's errors may come out, with presentable text; and what passes verification
must be what was there before it was spoilt.
"""

from __future__ import annotations

import copy
import json
import os
import random
import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from machine import trusting
from spoiling import spoilt_bytes, spoilt_text
from tdx_builder import HELD, TdxBuilder
from tdx_builder import NOW as TDX_NOW

from blindai_async import Policy, PredictResponse, UploadModelResponse
from blindai_async._pb import proof_files_pb2, untrusted_pb2
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.attestation import (
    SgxCollateral,
    SgxPolicy,
    TdxPolicy,
    enclave_signing_key,
    verify_claims,
    verify_dcap_attestation,
)
from blindai_async.errors import (
    AttestationError,
    BlindAIError,
    PolicyFormatError,
    ProofFormatError,
    SignatureError,
)
from blindai_async.server.identity import make_enclave_identity
from blindai_async.server.tee.emulated import EmulatedPlatform

SECONDS = float(os.environ.get("BLINDAI_ASYNC_FUZZ_SECONDS", "0.4"))  # for each target
EXAMPLES_A_ROUND = 50

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORMS = [EmulatedPlatform(now=NOW, tcb_info_version=version) for version in (2, 3)]
ENCLAVE = make_enclave_identity()
TEXTS = [name for name, field in SgxCollateral.model_fields.items() if field.annotation is str]
CERTIFICATES = [name for name in TEXTS if "chain" in name or "certificate" in name]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def fuzz(strategy, check):
    """Feed `check` with examples until the time is up."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        seeded = seed(random.getrandbits(64))
        run = seeded(
            settings(
                max_examples=EXAMPLES_A_ROUND,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(given(strategy)(check))
        )
        run()


def refused(kinds, work):
    """Do the work; returns the result, or None where it was refused properly."""
    started = time.perf_counter()
    result, said = None, ""
    try:
        result = work()
    except kinds as error:
        said = str(error)
    assert time.perf_counter() - started < 5
    assert not said or said.isprintable(), ascii(said)
    assert len(said) < 3000
    return result


def judge(platform, quote, collateral, held_data):
    """Verify, and hold what passes against what is true."""
    true = verify_dcap_attestation(*evidence(platform), trust_root=ROOTS[platform], at=NOW)

    def verify():
        claims = verify_dcap_attestation(
            quote,
            SgxCollateral(**collateral),
            held_data,
            trust_root=ROOTS[platform],
            at=NOW,
        )
        verify_claims(claims, Policy.for_claims(true))
        return claims

    claims = refused(AttestationError, verify)
    if claims is not None:
        assert claims.mr_enclave == true.mr_enclave
        assert claims.enclave_held_data == true.enclave_held_data
        assert claims.report_data == true.report_data
        assert claims.tcb_status == true.tcb_status


def evidence(platform):
    whole = platform.evidence(ENCLAVE.certificate)
    return whole.quote, SgxCollateral(**whole.collateral), whole.enclave_held_data


QUESTION = np.zeros(3, np.float32)
ROOTS = {platform: trusting(platform) for platform in PLATFORMS}
platforms = st.sampled_from(PLATFORMS)


def test_quotes():
    def check(case):
        platform, edits = case
        whole = platform.evidence(ENCLAVE.certificate)
        judge(platform, edits(whole.quote), whole.collateral, whole.enclave_held_data)

    fuzz(st.tuples(platforms, spoilt_bytes()), check)


@pytest.mark.parametrize("version", [4, 5])
def test_tdx_quotes(version):
    builder = TdxBuilder(version=version)
    quote, collateral, root = builder.quote(), builder.collateral(), builder.root
    true = builder.verify()

    def check(edits):
        claims = refused(
            AttestationError,
            lambda: verify_dcap_attestation(
                edits(quote), collateral, HELD, trust_root=root, at=TDX_NOW
            ),
        )
        assert claims in (None, true)

    fuzz(spoilt_bytes(), check)


@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
def test_tdx_documents_with_other_values(document):
    """Well signed, and with one value replaced by another: only refusals and claims come out."""
    builder = TdxBuilder(version=5)

    def check(case):
        chooser, value = case
        content = copy.deepcopy(getattr(builder, document))
        where = random.Random(chooser)
        place = content
        while True:
            key = where.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or where.random() < 0.3:
                break
            place = place[key]
        place[key] = value
        changed = builder.but(**{document: content})
        claims = refused(AttestationError, changed.verify)
        assert claims is None or claims.mr_td == builder.report["mr_td"]

    fuzz(st.tuples(st.integers(0, 2**32), json_values), check)


def test_collateral_texts():
    def check(case):
        platform, name, edits = case
        whole = platform.evidence(ENCLAVE.certificate)
        collateral = dict(whole.collateral) | {name: edits(whole.collateral[name])}
        judge(platform, whole.quote, collateral, whole.enclave_held_data)

    fuzz(st.tuples(platforms, st.sampled_from(TEXTS), spoilt_text()), check)


def test_certificates_and_crls_beneath_their_pem():
    def check(case):
        platform, name, edits = case
        whole = platform.evidence(ENCLAVE.certificate)
        collateral = dict(whole.collateral)
        collateral[name] = respoilt_pem(collateral[name], edits)
        judge(platform, whole.quote, collateral, whole.enclave_held_data)

    names = [*CERTIFICATES, "root_ca_crl", "pck_crl"]
    fuzz(st.tuples(platforms, st.sampled_from(names), spoilt_bytes()), check)


def respoilt_pem(pem, edits):
    """The first block's bytes spoilt, and armoured as if nothing were wrong."""
    head, _, rest = pem.partition("-----\n")
    body, foot, tail = rest.partition("-----END")
    armoured = b64encode(edits(b64decode(body))).decode()
    lines = [armoured[at : at + 64] for at in range(0, len(armoured), 64)]
    return head + "-----\n" + "\n".join(lines) + "\n" + foot + tail


@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
def test_documents_that_are_signed_as_they_are(document):
    """Spoilt before they are signed: the parser sees them behind a signature that holds."""

    def check(case):
        platform, edits = case

        signed = platform.with_changes({f"{document}.before_signing": edits})
        try:
            whole = signed.evidence(ENCLAVE.certificate)
        except UnicodeEncodeError:
            return
        refused(
            AttestationError,
            lambda: verify_dcap_attestation(
                whole.quote,
                SgxCollateral(**whole.collateral),
                whole.enclave_held_data,
                trust_root=ROOTS[platform],
                at=NOW,
            ),
        )

    fuzz(st.tuples(platforms, spoilt_text()), check)


@pytest.mark.parametrize(
    ("field", "outer"), [("tcb_info", "tcbInfo"), ("qe_identity", "enclaveIdentity")]
)
def test_documents_with_other_values(field, outer):
    def check(case):
        platform, chooser, value = case
        whole = platform.evidence(ENCLAVE.certificate)
        document = json.loads(whole.collateral[field])
        where = random.Random(chooser)
        place, key = document[outer], None
        while True:
            key = where.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or where.random() < 0.3:
                break
            place = place[key]
        place[key] = value
        collateral = dict(whole.collateral) | {field: json.dumps(document)}
        judge(platform, whole.quote, collateral, whole.enclave_held_data)

    fuzz(st.tuples(platforms, st.integers(0, 2**32), json_values), check)


def test_enclave_certificates():
    def check(edits):
        key = refused(AttestationError, lambda: enclave_signing_key(edits(ENCLAVE.certificate)))
        assert key is None or len(key) == 32

    fuzz(spoilt_bytes(), check)


def test_policies():
    text = PLATFORMS[0].policy_toml

    def check(edits):
        refused(PolicyFormatError, lambda: Policy.from_str(edits(text)))

    fuzz(spoilt_text(), check)


def test_policies_from_any_values():
    keys = {
        field.alias or name
        for kind in (SgxPolicy, TdxPolicy)
        for name, field in kind.model_fields.items()
    }
    names = [*sorted(keys), "enclave", "unknown"]

    def check(content):
        refused(PolicyFormatError, lambda: Policy.from_dict(content))
        refused(PolicyFormatError, lambda: Policy.from_dict({"tee": "tdx"} | content))
        refused(PolicyFormatError, lambda: Policy.from_dict({"enclave": [content]}))

    fuzz(st.dictionaries(st.sampled_from(names) | st.text(max_size=5), json_values), check)


def run_model_reply():
    outputs = [
        pb.TensorData(
            info=pb.TensorInfo(dims=[2, 3], datum_type=pb.F32, index=n, index_name="out"),
            bytes_data=bytes(24),
        )
        for n in range(2)
    ]
    payload = pb.Payload(
        run_model_payload=pb.RunModelPayload(
            input_hash=bytes(32), model_id="m", output_tensors=outputs, inference_time=300
        )
    ).SerializeToString()
    signature = ENCLAVE.signing_key.sign(payload)
    return pb.RunModelReply(payload=payload, signature=signature).SerializeToString()


def send_model_reply():
    payload = pb.Payload(
        send_model_payload=pb.SendModelPayload(
            model_hash=bytes(32), model_id="m", tensor_inputs=[pb.TensorInfo(dims=[1])]
        )
    ).SerializeToString()
    signature = ENCLAVE.signing_key.sign(payload)
    return pb.SendModelReply(payload=payload, signature=signature).SerializeToString()


@pytest.mark.parametrize("sign", [True, False])
def test_replies(sign):
    prediction, upload = run_model_reply(), send_model_reply()
    key = ENCLAVE.public_signing_key
    kinds = (ProofFormatError, SignatureError)

    def check(edits):
        answer = refused(
            kinds,
            lambda: PredictResponse.from_reply(
                edits(prediction),
                model_id="m",
                enclave_signing_key=key,
                input_hash=bytes(32) if sign else None,
            ),
        )
        if answer is not None:
            for tensor in answer.output:
                assert tensor.as_numpy().nbytes == len(tensor.bytes_data)
            if sign:
                assert [tensor.shape for tensor in answer.output] == [(2, 3), (2, 3)]
        uploaded = refused(
            kinds,
            lambda: UploadModelResponse.from_reply(
                edits(upload),
                attestation=None,
                enclave_signing_key=key,
                model_hash=bytes(32) if sign else None,
            ),
        )
        assert uploaded is None or not sign or uploaded.model_id == "m"

    fuzz(spoilt_bytes(), check)


def test_proof_files():
    platform = PLATFORMS[0]
    whole = platform.evidence(ENCLAVE.certificate)
    attestation = untrusted_pb2.GetSgxQuoteWithCollateralReply(
        quote=whole.quote, enclave_held_data=whole.enclave_held_data
    )
    for name, value in whole.collateral.items():
        setattr(attestation.collateral, name, value)
    reply = pb.RunModelReply.FromString(run_model_reply())
    proof = proof_files_pb2.ResponseProof(
        attestation=attestation, payload=reply.payload, signature=reply.signature
    ).SerializeToString()
    policy = Policy.from_str(platform.policy_toml)

    def check(edits):
        spoilt = edits(proof)
        for kind in (PredictResponse, UploadModelResponse):
            response = refused(ProofFormatError, lambda kind=kind: kind.from_bytes(spoilt))
            if response is None:
                continue
            arguments = (bytes(32),) if kind is UploadModelResponse else ("m", QUESTION)
            refused(
                BlindAIError,
                lambda response=response, arguments=arguments: response.validate(
                    *arguments, policy=policy, trust_root=ROOTS[platform], at=NOW
                ),
            )

    fuzz(spoilt_bytes(), check)
