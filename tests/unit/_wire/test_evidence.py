"""Evidence between the message that carries it and the verdict on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._pb import untrusted_pb2
from blindai_async._wire.evidence import evidence_from_message, evidence_to_message
from blindai_async.attestation import BUILT_IN_POLICY, EvidenceVerifier
from blindai_async.errors import AttestationError

_TEXTS = [
    field.name
    for field in untrusted_pb2.SgxCollateral.DESCRIPTOR.fields
    if field.type == field.TYPE_STRING
]
_collateral = st.builds(
    untrusted_pb2.SgxCollateral,
    version=st.integers(0, 2**32 - 1),
    **{name: st.text(max_size=5) for name in _TEXTS},
)
_messages = st.builds(
    untrusted_pb2.GetSgxQuoteWithCollateralReply,
    quote=st.binary(max_size=10),
    collateral=st.none() | _collateral,
    enclave_held_data=st.binary(max_size=10),
    nonce=st.binary(max_size=40),
)


@given(_messages)
def test_evidence_goes_into_its_message_as_it_came_out(message):
    evidence = evidence_from_message(message)
    assert evidence_to_message(evidence) == message
    assert evidence_to_message(evidence).SerializeToString() == message.SerializeToString()


def test_absent_collateral_is_not_empty_collateral():
    reply = untrusted_pb2.GetSgxQuoteWithCollateralReply
    assert evidence_from_message(reply()).collateral is None
    empty = reply(collateral=untrusted_pb2.SgxCollateral())
    assert evidence_from_message(empty).collateral is not None
    assert evidence_to_message(evidence_from_message(empty)).HasField("collateral")


def test_empty_evidence_proves_nothing():
    reply = untrusted_pb2.GetSgxQuoteWithCollateralReply(collateral=untrusted_pb2.SgxCollateral())
    with pytest.raises(AttestationError):
        EvidenceVerifier().verify(evidence_from_message(reply), BUILT_IN_POLICY)
