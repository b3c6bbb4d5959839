"""Replies as responses, and responses as proofs: nothing unchecked is believed."""

from __future__ import annotations

import warnings
from hashlib import sha256

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from blindai_async import DeleteModelResponse, PredictResponse, TensorSpec, UploadModelResponse
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.attestation import BUILT_IN_POLICY
from blindai_async.errors import AttestationError, ProofFormatError, SignatureError, TensorError
from blindai_async.proofs import ProofPolicy

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = np.array([1.5, 2.5], np.float32)
MODEL = b"an onnx file"
ANOTHER_KEY = Ed25519PrivateKey.generate().public_key().public_bytes_raw()


def predict(enclave, payload, *, sign=True, key="its own", asked=True, model_id="m"):
    return PredictResponse.from_reply(
        enclave.reply(payload, sign=sign),
        model_id=model_id,
        enclave_signing_key=enclave.key if key == "its own" else key,
        input_hash=sha256(X.tobytes()).digest() if asked else None,
    )


def upload(enclave, payload, *, sign=True, asked=True):
    return UploadModelResponse.from_reply(
        enclave.reply(payload, sign=sign),
        attestation=None,
        enclave_signing_key=enclave.key,
        model_hash=sha256(MODEL).digest() if asked else None,
    )


class TestAReplyToAPrediction:
    def test_is_believed_where_all_of_it_holds(self, enclave):
        response = predict(enclave, enclave.predicted([Y], inputs=X.tobytes()))
        assert (response.model_id, response.inference_time) == ("m", 3)
        np.testing.assert_array_equal(response.output[0].as_numpy(), Y)
        assert response.is_signed()
        assert response.is_simulation_mode()

    def test_is_refused_unsigned_where_a_signed_one_was_asked_for(self, enclave):
        with pytest.raises(SignatureError, match="not signed"):
            predict(enclave, enclave.predicted([Y], inputs=X.tobytes()), sign=False)

    @pytest.mark.parametrize("key", [ANOTHER_KEY, None, b"", bytes(31)])
    def test_is_refused_under_another_key(self, enclave, key):
        with pytest.raises(SignatureError):
            predict(enclave, enclave.predicted([Y], inputs=X.tobytes()), key=key)

    @pytest.mark.parametrize("model_id", ["", "another", "M", "m "])
    def test_is_refused_for_another_model(self, enclave, model_id):
        """The original client takes any of the enclave's signed answers."""
        with pytest.raises(SignatureError, match="for the model"):
            predict(enclave, enclave.predicted([Y], inputs=X.tobytes(), model_id=model_id))

    @pytest.mark.parametrize("inputs", [b"", X.tobytes()[:-1], X.tobytes() + b"\0"])
    def test_is_refused_for_other_inputs(self, enclave, inputs):
        with pytest.raises(SignatureError, match="other inputs"):
            predict(enclave, enclave.predicted([Y], inputs=inputs))

    def test_is_refused_without_an_input_hash(self, enclave):
        payload = pb.Payload(run_model_payload=pb.RunModelPayload(model_id="m"))
        with pytest.raises(SignatureError, match="other inputs"):
            predict(enclave, payload.SerializeToString())

    def test_of_another_kind_is_refused_though_it_is_signed(self, enclave):
        with pytest.raises(ProofFormatError, match="upload"):
            predict(enclave, enclave.uploaded(model_hash=sha256(X.tobytes()).digest()))

    def test_names_the_model_that_was_asked_for_where_it_names_none(self, enclave):
        payload = enclave.predicted([Y], model_id="")
        assert predict(enclave, payload, sign=False, asked=False).model_id == "m"

    def test_for_another_model_is_refused_unsigned_too(self, enclave):
        payload = enclave.predicted([Y], model_id="another")
        with pytest.raises(ProofFormatError, match="another model"):
            predict(enclave, payload, sign=False, asked=False)

    def test_may_be_signed_though_nobody_asked(self, enclave):
        response = predict(enclave, enclave.predicted([Y]), asked=False, key=None)
        assert response.is_signed()

    def test_is_shared_not_copied(self, enclave):
        reply = enclave.reply(enclave.predicted([Y]))
        response = PredictResponse.from_reply(reply, model_id="m")
        assert np.shares_memory(response.output[0].as_numpy(), np.frombuffer(reply, "u1"))


class TestAReplyToAnUpload:
    def test_is_believed_where_all_of_it_holds(self, enclave):
        response = upload(enclave, enclave.uploaded(model_hash=sha256(MODEL).digest()))
        assert response.model_id == "m"
        assert (
            response.validate(
                sha256(MODEL).digest(), allow_simulation_mode=True, enclave_signing_key=enclave.key
            )
            is None
        )

    @pytest.mark.parametrize("model_hash", [b"", sha256(b"another").digest(), b"\0" * 32])
    def test_is_refused_for_another_model(self, enclave, model_hash):
        with pytest.raises(SignatureError, match="hash differs"):
            upload(enclave, enclave.uploaded(model_hash=model_hash))

    def test_is_refused_unsigned_where_a_signed_one_was_asked_for(self, enclave):
        with pytest.raises(SignatureError, match="not signed"):
            upload(enclave, enclave.uploaded(model_hash=sha256(MODEL).digest()), sign=False)

    def test_that_names_no_model_is_refused(self, enclave):
        payload = enclave.uploaded(model_hash=sha256(MODEL).digest(), model_id="")
        for asked in (False, True):
            with pytest.raises(ProofFormatError, match="which id"):
                upload(enclave, payload, asked=asked)

    def test_of_another_kind_is_refused(self, enclave):
        with pytest.raises(ProofFormatError, match="does not speak of an upload"):
            upload(enclave, enclave.predicted())

    @pytest.mark.parametrize("reply", [b"\xff", b"\x0a\x05abc", b"", b"\x0a\x02\x12\x7f"])
    def test_that_is_none_is_refused(self, reply):
        with pytest.raises(ProofFormatError):
            UploadModelResponse.from_reply(
                reply, attestation=None, enclave_signing_key=None, model_hash=None
            )


class TestAProofOfAPrediction:
    def proof(self, enclave, *, evidence=None, **facts):
        payload = enclave.predicted([Y], **({"inputs": X.tobytes()} | facts))
        return PredictResponse.from_bytes(enclave.proof(payload, evidence=evidence))

    def test_from_simulation_is_refused_unless_that_is_allowed(self, enclave):
        response = self.proof(enclave)
        for options in ({}, {"enclave_signing_key": enclave.key}, {"validate_quote": False}):
            with pytest.raises(AttestationError, match="simulation mode"):
                response.validate("m", X, **options)
        assert response.validate("m", X, allow_simulation_mode=True) is None

    def test_from_simulation_has_its_signature_checked_where_a_key_is_given(self, enclave):
        response = self.proof(enclave)
        options = {"allow_simulation_mode": True}
        response.validate("m", X, enclave_signing_key=enclave.key, **options)
        for validate_quote in (True, False):
            with pytest.raises(SignatureError, match="not signed by this enclave's key"):
                response.validate(
                    "m",
                    X,
                    enclave_signing_key=ANOTHER_KEY,
                    validate_quote=validate_quote,
                    **options,
                )

    @pytest.mark.parametrize("key", [None, "given"])
    def test_is_held_against_the_question_in_simulation_too(self, enclave, key):
        response = self.proof(enclave)
        options = {
            "allow_simulation_mode": True,
            "enclave_signing_key": enclave.key if key else None,
        }
        with pytest.raises(SignatureError, match="for the model"):
            response.validate("another", X, **options)
        with pytest.raises(SignatureError, match="other inputs"):
            response.validate("m", X + 1, **options)
        with pytest.raises(SignatureError, match="other inputs"):
            response.validate("m", [X, X], **options)

    def test_takes_its_inputs_in_every_form_that_predict_does(self, enclave):
        response = self.proof(enclave)
        options = {"allow_simulation_mode": True}
        response.validate("m", [X], **options)
        response.validate("m", np.asfortranarray(X), **options)
        response.validate("m", X.astype(">f4"), **options)
        response.validate("m", [0, 1, 2, 3, 4, 5], "float32", [2, 3], **options)
        with pytest.raises(TensorError):
            response.validate("m", X.astype(np.float16), **options)

    def test_with_evidence_is_judged_by_it_whatever_else_is_allowed(self, enclave):
        """An attacker's own evidence must not pass as none."""
        response = self.proof(enclave, evidence=enclave.evidence())
        for options in ({}, {"allow_simulation_mode": True}, {"enclave_signing_key": enclave.key}):
            with pytest.raises(AttestationError):
                response.validate("m", X, **options)

    @pytest.mark.parametrize(
        "forged",
        [{"output": []}, {"model_id": "other"}, {"inference_time": 7}],
        ids=lambda forged: next(iter(forged)),
    )
    def test_is_refused_where_its_fields_are_not_its_payloads(self, enclave, forged):
        """A pickle from elsewhere could bring other outputs beside a genuine payload."""
        response = self.proof(enclave).model_copy(update=forged)

        with pytest.raises(SignatureError, match="fields are not what"):
            response.validate("m", X, allow_simulation_mode=True)

    def test_can_be_judged_by_a_key_alone(self, enclave):
        response = self.proof(enclave, evidence=enclave.evidence())
        options = {"validate_quote": False}
        response.validate("m", X, enclave_signing_key=enclave.key, **options)
        with pytest.raises(SignatureError, match="not signed by this enclave's key"):
            response.validate("m", X, enclave_signing_key=ANOTHER_KEY, **options)
        with pytest.raises(SignatureError, match="only a key can judge"):
            response.validate("m", X, **options)

    def test_does_not_take_a_policy_twice(self, enclave, tmp_path):
        response = self.proof(enclave, evidence=enclave.evidence())
        with pytest.raises(ValueError, match="not both"):
            response.validate("m", X, policy=BUILT_IN_POLICY, policy_file=tmp_path / "policy.toml")

    def test_misses_a_policy_file_that_is_not_there(self, enclave, tmp_path):
        response = self.proof(enclave, evidence=enclave.evidence())
        with pytest.raises(FileNotFoundError):
            response.validate("m", X, policy_file=tmp_path / "policy.toml")

    def test_is_refused_where_its_payload_was_changed(self, enclave):
        payload = enclave.predicted([Y], inputs=X.tobytes())
        forged = enclave.predicted([Y + 1], inputs=X.tobytes())
        response = PredictResponse.from_bytes(
            enclave.proof(forged, signature=enclave.signer.sign(payload))
        )
        with pytest.raises(SignatureError):
            response.validate("m", X, allow_simulation_mode=True, enclave_signing_key=enclave.key)


class TestAProofOfAnUpload:
    def test_is_held_against_the_model(self, enclave):
        payload = enclave.uploaded(model_hash=sha256(MODEL).digest())
        response = UploadModelResponse.from_bytes(enclave.proof(payload))
        options = {"allow_simulation_mode": True, "enclave_signing_key": enclave.key}
        response.validate(sha256(MODEL).digest(), **options)
        response.validate(bytearray(sha256(MODEL).digest()), **options)
        with pytest.raises(SignatureError, match="hash differs"):
            response.validate(sha256(b"another").digest(), **options)
        with pytest.raises(AttestationError):
            response.validate(sha256(MODEL).digest())

    def test_is_refused_where_its_model_id_is_not_its_payloads(self, enclave):
        digest = sha256(MODEL).digest()
        response = UploadModelResponse.from_bytes(
            enclave.proof(enclave.uploaded(model_hash=digest))
        ).model_copy(update={"model_id": "another"})
        with pytest.raises(SignatureError, match="fields are not what"):
            response.validate(digest, allow_simulation_mode=True)

    @pytest.mark.parametrize(
        "model_hash", [b"", sha256(MODEL).digest()[:31], sha256(MODEL).hexdigest().encode()]
    )
    def test_is_not_held_against_what_is_no_hash(self, enclave, model_hash):
        """An unsigned upload's payload has an empty hash: an empty one must not match it."""
        response = UploadModelResponse.from_bytes(enclave.proof(enclave.uploaded()))
        with pytest.raises(ValueError, match="32"):
            response.validate(
                model_hash, allow_simulation_mode=True, enclave_signing_key=enclave.key
            )

    def test_without_a_hash_is_no_proof_of_any_model(self, enclave):
        response = UploadModelResponse.from_bytes(enclave.proof(enclave.uploaded()))
        with pytest.raises(SignatureError, match="hash differs"):
            response.validate(sha256(MODEL).digest(), allow_simulation_mode=True)


def test_a_response_that_holds_nothing_proves_nothing():
    for validate in (
        lambda: PredictResponse().validate("", X, allow_simulation_mode=True),
        lambda: UploadModelResponse().validate(bytes(32), allow_simulation_mode=True),
        lambda: PredictResponse(signature=b"s", model_id="m").validate(
            "m", X, allow_simulation_mode=True
        ),
    ):
        with pytest.raises(SignatureError, match="not signed"):
            validate()


def test_responses_have_no_room_for_what_is_none_of_theirs():
    with pytest.raises(ValidationError):
        PredictResponse(outputs=[])
    with pytest.raises(ValidationError):
        DeleteModelResponse(model_id="m")
    assert DeleteModelResponse() == DeleteModelResponse()


def test_validate_is_the_apis_and_not_pydantics(enclave):
    """pydantic's deprecated classmethod of this name would warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError):
            PredictResponse().validate()


class TestEveryCheckHasItsOutcome:
    """As `appraise` tells them, without raising."""

    @staticmethod
    def appraise(enclave, *, question=X, model_id="m", evidence=None, **demands):
        payload = enclave.predicted([Y], inputs=X.tobytes())
        response = PredictResponse.from_bytes(enclave.proof(payload, evidence=evidence))
        return response.appraise(model_id, question, demands=ProofPolicy(**demands))

    @staticmethod
    def outcomes(appraisal):
        return {check.name: str(check.outcome) for check in appraisal.checks}

    def test_where_all_that_was_demanded_holds(self, enclave):
        appraisal = self.appraise(
            enclave, allow_simulation_mode=True, enclave_signing_key=enclave.key
        )
        assert appraisal.accepted
        assert appraisal.require() is None
        assert self.outcomes(appraisal) == {
            "evidence": "not checked",
            "policy": "not checked",
            "freshness": "not checked",
            "signature": "passed",
            "model id": "passed",
            "inputs": "passed",
            "outputs": "passed",
        }

    def test_where_no_key_was_given_the_signature_is_not_checked(self, enclave):
        appraisal = self.appraise(enclave, allow_simulation_mode=True)
        assert self.outcomes(appraisal)["signature"] == "not checked"

    @pytest.mark.parametrize(
        ("demands", "failed"),
        [
            ({}, "evidence"),
            ({"allow_simulation_mode": True, "enclave_signing_key": ANOTHER_KEY}, "signature"),
            ({"allow_simulation_mode": True, "model_id": "another"}, "model id"),
            ({"allow_simulation_mode": True, "question": X + 1}, "inputs"),
        ],
    )
    def test_what_comes_after_a_failure_is_not_reached(self, enclave, demands, failed):
        appraisal = self.appraise(enclave, **demands)
        assert not appraisal.accepted
        outcomes = self.outcomes(appraisal)
        assert outcomes[failed] == "failed"
        names = list(outcomes)
        assert set(list(outcomes.values())[names.index(failed) + 1 :]) == {"not reached"}
        with pytest.raises(SignatureError) as caught:
            appraisal.require()
        assert caught.value is appraisal.error

    def test_evidence_that_does_not_hold_ends_it(self, enclave):
        appraisal = self.appraise(enclave, evidence=enclave.evidence())
        assert self.outcomes(appraisal)["evidence"] == "failed"
        assert isinstance(appraisal.error, AttestationError)


class TestAProofPolicy:
    def test_takes_a_key_in_both_its_forms(self, enclave):
        payload = enclave.predicted([Y], inputs=X.tobytes())
        response = PredictResponse.from_bytes(enclave.proof(payload, evidence=enclave.evidence()))
        key = enclave.signer.public_key()
        for form in (key, enclave.key, bytearray(enclave.key)):
            response.validate("m", X, validate_quote=False, enclave_signing_key=form)
            assert ProofPolicy(enclave_signing_key=form).enclave_signing_key == enclave.key
        with pytest.raises(SignatureError):
            response.validate(
                "m",
                X,
                validate_quote=False,
                enclave_signing_key=Ed25519PrivateKey.generate().public_key(),
            )
        assert predict(enclave, payload, key=key).is_signed()

    @pytest.mark.parametrize("key", ["ab" * 32, 7, X25519PrivateKey.generate().public_key()])
    def test_takes_nothing_else_for_a_key(self, key):
        with pytest.raises(TypeError, match="Ed25519PublicKey"):
            ProofPolicy(enclave_signing_key=key)

    def test_takes_one_policy_even_where_neither_would_be_read(self, enclave, tmp_path):
        payload = enclave.predicted([Y], inputs=X.tobytes())
        response = PredictResponse.from_bytes(enclave.proof(payload))
        with pytest.raises(ValueError, match="not both"):
            response.validate(
                "m",
                X,
                policy=BUILT_IN_POLICY,
                policy_file=tmp_path / "policy.toml",
                allow_simulation_mode=True,
            )


def test_names_may_stand_where_none_were_signed_but_not_in_the_place_of_others(enclave):
    response = PredictResponse.from_bytes(enclave.proof(enclave.predicted([Y], inputs=X.tobytes())))
    response.output[0].info.index_name = "y"
    assert response.outputs["y"] == response.output[0]
    response.validate("m", X, allow_simulation_mode=True)
    response.output[0].info.index = 3
    with pytest.raises(SignatureError, match="fields are not what"):
        response.validate("m", X, allow_simulation_mode=True)


def test_an_upload_shows_what_its_answer_states(enclave):
    info = pb.TensorInfo(dims=[-1, 4], datum_type=pb.F64, index_name="x")
    for infos, expected in (
        ([info], (TensorSpec(dtype="float64", name="x"),)),
        ([info, pb.TensorInfo(datum_type=pb.UNKNOWN)], ()),
        ([], ()),
    ):
        payload = pb.SendModelPayload(model_hash=bytes(32), model_id="m", tensor_inputs=infos)
        whole = pb.Payload(send_model_payload=payload).SerializeToString()
        response = UploadModelResponse.from_bytes(enclave.proof(whole))
        assert response.inputs == expected
        response.validate(bytes(32), allow_simulation_mode=True)
    forged = response.model_copy(update={"outputs": (TensorSpec(name="other"),)})
    with pytest.raises(SignatureError, match="fields are not what"):
        forged.validate(bytes(32), allow_simulation_mode=True)
