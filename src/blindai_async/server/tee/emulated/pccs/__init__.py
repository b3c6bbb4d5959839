"""A local PCCS for tests: real HTTP over TLS, serving an emulated platform's collateral.

::

    async with EmulatedPccs(platform) as pccs:
        pccs.url, pccs.ca_pem       # https://127.0.0.1:PORT, and whom to trust for it
        pccs.fail("/tcb?", Fault.too_many(retry_after="2"), times=1)
        ...
        pccs.requests               # ["/sgx/certification/v4/tcb?fmspc=...", ...]

It answers as Intel's service and its caches do: paths, parameters, header names, encodings (see
"Provisioning Certification Service API v4"). API v3 is gone: 410.
"""

from blindai_async.server.tee.emulated.pccs.faults import Fault
from blindai_async.server.tee.emulated.pccs.server import EmulatedPccs

__all__ = ["EmulatedPccs", "Fault"]
