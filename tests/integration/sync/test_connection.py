"""The blocking API against a real server, in simulation and on an emulated SGX platform."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from row_models import linear

from blindai_async import Batching, Policy, TrustRoot, sync
from blindai_async.server import BlindAIServer
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.filterwarnings("ignore::blindai_async.errors.SecurityWarning"),
]
MODEL = linear()

CONNECT = (
    "addr=None, server_name='blindai-srv', policy=None, certificate=None, simulation=False, "
    "untrusted_port=50052, attested_port=50051, debug_mode=False, api_key=None"
)
QUOTE = (
    "policy_file=None, policy=None, validate_quote=True, enclave_signing_key=None, "
    "allow_simulation_mode=False"
)
SIGNATURES = {
    "connect": CONNECT,
    "Connection": CONNECT,
    "Connection.close": "self",
    "Connection.delete_model": "self, model_id",
    "Connection.predict": "self, model_id, tensors, dtype=None, shape=None, sign=False",
    "Connection.upload_model": "self, model, input_specs=None, output_specs=None, shape=None, "
    "dtype=None, dtype_out=None, sign=False, model_id=None, save_model=True",
    "PredictResponse": "input_tensors=None, input_datum_type=None, input_shape=None, "
    "response=None, sign=True, attestation=None, enclave_signing_key=None, "
    "allow_simulation_mode=False",
    "PredictResponse.validate": f"self, model_id, tensors, dtype=None, shape=None, {QUOTE}",
    "UploadModelResponse.validate": f"self, model_hash, {QUOTE}",
    "SignedResponse.load_from_bytes": "self, b",
    "SignedResponse.load_from_file": "self, path",
    "SignedResponse.save_to_file": "self, path",
    "Tensor": "info, bytes_data",
    "TensorInfo": "dims, datum_type, index, index_name",
    "dtype_to_numpy": "dtype",
    "dtype_to_torch": "dtype",
    "raise_exception_if_conn_closed": "f",
    "translate_dtype": "dtype",
    "translate_tensors": "tensors, dtypes, shapes",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_has_the_reference_s_parameters_with_their_defaults(name: str) -> None:
    thing: Any = sync
    for part in name.split("."):
        thing = getattr(thing, part)
    scope: dict[str, Any] = {}
    exec(f"def expected({SIGNATURES[name]}): pass", scope)
    own = dict(inspect.signature(thing.__init__ if isinstance(thing, type) else thing).parameters)
    if isinstance(thing, type):
        own.pop("self")
    for theirs in inspect.signature(scope["expected"]).parameters.values():
        assert theirs.name in own
        if theirs.default is not theirs.empty:
            assert own[theirs.name].default == theirs.default
    wanted = list(inspect.signature(scope["expected"]).parameters)
    assert list(own)[: len(wanted)] == wanted


@pytest.fixture(params=["simulation", "sgx"])
def options(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    platform = EmulatedPlatform("sgx") if request.param == "sgx" else None
    with start_blocking_portal() as portal:
        server = BlindAIServer(attested_port=0, untrusted_port=0, hardware=platform)
        with portal.wrap_async_context_manager(server):
            ports = {
                "attested_port": server.attested_port,
                "untrusted_port": server.untrusted_port,
            }
            trust: dict[str, Any] = {"simulation": True}
            if platform is not None:
                trust = {
                    "policy": Policy.from_str(platform.policy_toml),
                    "trust_root": TrustRoot.from_pem(platform.root_pem),
                }
            yield {"addr": "127.0.0.1", **ports, **trust}


def ask(conn: sync.Connection, model_id: str, row: np.ndarray) -> np.ndarray:
    answer: np.ndarray = conn.predict(model_id, row).output[0].as_numpy()
    return answer


def rows(count: int) -> list[np.ndarray]:
    return [
        np.random.default_rng(seed).standard_normal(MODEL.shapes[0]).astype(np.float32)
        for seed in range(count)
    ]


def test_uploads_predicts_signs_and_deletes(options: dict[str, Any], tmp_path: Any) -> None:
    with sync.connect(**options) as conn:
        model = conn.upload_model(MODEL.onnx, sign=True)
        row = rows(1)[0]
        result = conn.predict(model.model_id, row, sign=True)
        flat = conn.predict(
            model.model_id, row.ravel().tolist(), sync.ModelDatumType.F32, list(row.shape)
        )
        assert flat.output[0].as_flat() == result.output[0].as_flat()
        result.output[0].as_numpy()[...] = 0  # a copy
        result.save_to_file(str(tmp_path / "a.proof"))
        again = sync.PredictResponse()
        again.load_from_file(str(tmp_path / "a.proof"))
        demands = (
            {"allow_simulation_mode": True}
            if conn.simulation_mode
            else {"policy": options["policy"], "trust_root": options["trust_root"]}
        )
        again.validate(model.model_id, row, **demands)
        model.validate(sha256(MODEL.onnx).digest(), **demands)
        if not conn.simulation_mode:
            assert conn.attestation is not None
            assert again.attestation.SerializeToString() == conn.attestation.SerializeToString()
        conn.delete_model(model.model_id)
        with pytest.raises(ConnectionError):
            conn.predict(model.model_id, row)
    assert conn.closed
    with pytest.raises(ValueError, match="closed"):
        conn.predict(model.model_id, row)


def test_is_used_by_sixteen_threads_and_in_a_running_loop(options: dict[str, Any]) -> None:
    with sync.connect(**options, batching=Batching(independence="assume")) as conn:
        model_id = conn.upload_model(MODEL.onnx).model_id
        inputs = rows(64)
        alone = [ask(conn, model_id, row) for row in inputs]
        with ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda row: ask(conn, model_id, row), inputs))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        many = list(conn.predict_many(model_id, inputs))
        assert len(many) == len(inputs)

        async def inside() -> np.ndarray:
            return ask(conn, model_id, inputs[0])

        np.testing.assert_allclose(asyncio.run(inside()), alone[0], rtol=1e-5, atol=1e-6)


def test_a_script_that_does_not_close_ends_without_a_warning(options: dict[str, Any]) -> None:
    if "policy" in options:
        pytest.skip("one mode is enough for a subprocess")
    script = textwrap.dedent(f"""
        import os, signal, threading, warnings
        from blindai_async import sync
        from blindai_async.errors import SecurityWarning
        warnings.simplefilter("ignore", SecurityWarning)
        conn = sync.connect(**{options!r})
        async def never():
            import asyncio
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.Event().wait()
        try:
            conn._thread.run(never)
        except KeyboardInterrupt:
            print("interrupted")
        conn.delete_model("x")
        print("usable")
    """)
    run = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.split() == ["interrupted", "usable"], run.stderr
    assert run.stderr == ""
