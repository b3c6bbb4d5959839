"""Requests that wait for the hardware: how many may, and what becomes of those that give up."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest

from blindai_async._pb import untrusted_pb2 as pb
from blindai_async.server.inference.worker_pool import WorkerPool
from blindai_async.server.rpc.evidence import EvidenceSource
from blindai_async.server.status_errors import RefusalError
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.platform import report_data_for


class Hardware:
    """Makes no quote until it is let; keeps what it was asked for."""

    tee = "sgx"

    def __init__(self):
        self.asked = []
        self.entered, self.may = threading.Event(), threading.Event()

    def quote(self, report_data):
        self.asked.append(report_data)
        self.entered.set()
        assert self.may.wait(60)
        return report_data

    def collateral(self):
        return {"version": 3, "tcb_info": "{}"}


def nonce(number):
    return bytes([number]) * 32


def request(number):
    return pb.GetSgxQuoteWithCollateralRequest(nonce=nonce(number)).SerializeToString()


@pytest.fixture
def hardware():
    return Hardware()


@pytest.fixture
async def source(hardware):
    quoter = WorkerPool(1, "quoter")
    yield EvidenceSource(hardware, b"held", quoter, limit=2)
    hardware.may.set()
    quoter.close()


async def test_those_above_the_limit_are_refused_at_once(source, hardware):
    waiting = [asyncio.ensure_future(source.reply(request(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(RefusalError, match="try again") as caught:
        await source.reply(request(3))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    hardware.may.set()
    replies = [pb.GetSgxQuoteWithCollateralReply.FromString(await each) for each in waiting]
    assert [reply.quote for reply in replies] == [
        report_data_for(b"held", nonce(n)) for n in (1, 2)
    ]
    assert await source.reply(request(4))


async def test_one_that_gives_up_makes_room_and_costs_no_quote(source, hardware):
    first = asyncio.ensure_future(source.reply(request(1)))
    await asyncio.to_thread(hardware.entered.wait, 60)
    gone = asyncio.ensure_future(source.reply(request(2)))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    last = asyncio.ensure_future(source.reply(request(3)))
    await asyncio.sleep(0)
    hardware.may.set()
    await asyncio.gather(first, last)
    assert hardware.asked == [report_data_for(b"held", nonce(n)) for n in (1, 3)]


async def test_hardware_that_fails_makes_room_too(source, hardware):
    hardware.collateral = None  # cannot be called
    for number in range(5):
        with pytest.raises(TypeError):
            await source.reply(request(number))


async def test_a_nonce_of_a_wrong_size_never_reaches_the_hardware(source, hardware):
    bad = pb.GetSgxQuoteWithCollateralRequest(nonce=b"short").SerializeToString()
    with pytest.raises(RefusalError, match="must be 32 bytes, not 5"):
        await source.reply(bad)
    assert hardware.asked == []


async def test_hardware_that_gives_no_quote_is_unavailable_and_its_owner_told(
    source, hardware, caplog
):
    def refuse(_report_data):
        raise TeeError("the directory /secret is not there", reason="missing")

    hardware.quote = refuse
    with pytest.raises(RefusalError) as caught:
        await source.reply(request(1))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "/secret" not in caught.value.details
    assert "/secret" in caplog.text
