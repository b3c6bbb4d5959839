"""What PcsClient keeps, in memory and on disk, for how long, and when it asks again."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from stand_in_pccs import StandInPccs

from blindai_async.collateral import cache
from blindai_async.errors import CollateralError
from blindai_async.server.tee.emulated import EmulatedPlatform


@pytest.fixture
def clock(monkeypatch):
    """Moves the time by which parts expire."""

    class Clock:
        moment = datetime.now(UTC)

        def to(self, moment):
            self.moment = moment

    it = Clock()
    monkeypatch.setattr(cache, "now", lambda: it.moment)
    return it


async def test_a_second_quote_of_a_platform_asks_nothing(client, pccs, platform, quote):
    first = await client.fetch(quote)
    assert await client.fetch(platform.evidence(b"other data").quote) == first
    assert len(pccs.requests) == 4


async def test_platforms_share_what_is_common_to_them(client, pccs, platform, quote):
    await client.fetch(quote)
    extension = platform.blueprint.pki.pck.sgx_extension
    changes = {"pki.pck.sgx_extension.fmspc": b"SECOND", "tcb_info.fmspc": b"SECOND"}
    assert extension.fmspc != b"SECOND"
    pccs.platform = platform.with_changes(changes)
    await client.fetch(pccs.platform.evidence(b"held data").quote)
    assert len(pccs.requests) == 5
    assert "/tcb?" in pccs.requests[-1]


async def test_each_part_is_kept_until_its_own_end_and_no_longer(
    client, pccs, platform, quote, clock
):
    await client.fetch(quote)
    end = platform.blueprint.tcb_info.next_update
    clock.to(end - timedelta(hours=1, seconds=1))
    await client.fetch(quote)
    assert len(pccs.requests) == 4
    clock.to(end + timedelta(seconds=1))  # the root's list is valid for a year
    await client.fetch(quote)
    assert len(pccs.requests) == 7
    assert pccs.asked("rootcacrl") == 1


async def test_a_newer_part_is_asked_for_before_the_old_one_ends(
    client, pccs, platform, quote, clock
):
    first = await client.fetch(quote)
    clock.to(platform.blueprint.tcb_info.next_update - timedelta(minutes=30))
    pccs.platform = EmulatedPlatform(
        identity=platform.identity, now=platform.now + timedelta(days=29), tcb_info_version=3
    )
    newer = await client.fetch(quote)
    assert newer.tcb_info != first.tcb_info
    assert pccs.asked("rootcacrl") == 1


@pytest.mark.parametrize("fault", [StandInPccs.status(503), StandInPccs.hangs])
async def test_where_no_newer_part_comes_the_old_one_serves_to_its_end(
    client_of, pccs, platform, quote, clock, fault
):
    client = client_of(pccs, timeout=2)
    first = await client.fetch(quote)
    pccs.fail("/", fault)
    clock.to(platform.blueprint.tcb_info.next_update)
    assert await client.fetch(quote) == first
    clock.to(platform.blueprint.tcb_info.next_update + timedelta(seconds=1))
    with pytest.raises(ConnectionError):
        await client.fetch(quote)


async def test_stale_answers_are_passed_on_for_the_verification_to_refuse(client, pccs, quote):
    old = EmulatedPlatform(now=datetime(2020, 1, 1, tzinfo=UTC), tcb_info_version=3)
    pccs.platform = old
    quote = old.evidence(b"held data").quote
    await client.fetch(quote)
    await client.fetch(quote)
    assert pccs.asked("/tcb") == 2  # never kept


async def test_a_refetch_asks_for_what_is_older_than_it(client, pccs, quote):
    await client.fetch(quote)
    await client.refetch(quote, older_than=0.0)
    assert len(pccs.requests) == 4
    moment = time.monotonic()
    await client.refetch(quote, older_than=moment)
    await client.refetch(quote, older_than=moment)
    assert len(pccs.requests) == 8


async def test_what_is_on_disk_outlives_the_client(client_of, pccs, quote, tmp_path):
    folder = tmp_path / "deep" / "cache"
    first = await client_of(pccs, cache_dir=folder).fetch(quote)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert [file.name.rpartition("-")[0] for file in files] == [
        "pck-revocation-list",
        "qe-identity",
        "root-s-revocation-list",
        "tcb-info",
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert await client_of(pccs, cache_dir=str(folder)).fetch(quote) == first
    assert len(pccs.requests) == 4


def _spoil_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(b"\xff" * 100),
        lambda file: file.write_text("[" * 100_000),
        lambda file: file.write_text("[]"),
        lambda file: _spoil_json(file, url="https://elsewhere.example/"),
        lambda file: _spoil_json(file, text="\ud800"),
        lambda file: _spoil_json(file, text=None),
        lambda file: _spoil_json(file, issuer_chain="no chain"),
        lambda file: _spoil_json(file, text=json.loads(file.read_text())["text"][:-1]),
    ],
)
async def test_a_spoilt_entry_is_fetched_anew_once(client_of, pccs, quote, tmp_path, spoil):
    first = await client_of(pccs, cache_dir=tmp_path).fetch(quote)
    for file in tmp_path.iterdir():
        spoil(file)
    assert await client_of(pccs, cache_dir=tmp_path).fetch(quote) == first
    assert len(pccs.requests) == 8
    assert await client_of(pccs, cache_dir=tmp_path).fetch(quote) == first
    assert len(pccs.requests) == 8


async def test_an_entry_that_is_another_platforms_is_fetched_anew(
    client_of, pccs, platform, quote, tmp_path
):
    """What an attacker with write access could put there passes no more than any answer would."""
    first = await client_of(pccs, cache_dir=tmp_path).fetch(quote)
    (file,) = tmp_path.glob("tcb-info-*")
    other = platform.with_changes({"tcb_info.fmspc": b"ANOTHR"}).collateral()["tcb_info"]
    _spoil_json(file, text=other)
    assert await client_of(pccs, cache_dir=tmp_path).fetch(quote) == first
    assert len(pccs.requests) == 5


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
async def test_a_directory_that_others_may_write_to_is_refused(client_of, pccs, quote, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="chmod 700"):
        await client_of(pccs, cache_dir=folder).fetch(quote)
    assert pccs.requests == []


async def test_a_disk_that_takes_nothing_costs_the_cache_alone(
    client_of, pccs, quote, tmp_path, monkeypatch, caplog
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    client = client_of(pccs, cache_dir=tmp_path)
    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    first = await client.fetch(quote)
    assert await client.fetch(quote) == first
    assert len(pccs.requests) == 4
    assert "No space left" in caplog.text


async def test_an_error_is_not_kept(client, pccs, quote):
    pccs.fail("/tcb", StandInPccs.status(404), times=1)
    with pytest.raises(CollateralError):
        await client.fetch(quote)
    assert await client.fetch(quote)


FETCHING_PROCESS = """
import asyncio, sys
from pathlib import Path
from blindai_async.collateral import PcsClient

url, ca, quote, folder = sys.argv[1], *map(Path, sys.argv[2:])
texts = set()
for round in range(30):
    client = PcsClient(url, tls_ca=ca, cache_dir=folder)
    texts.add(asyncio.run(client.fetch(quote.read_bytes())).model_dump_json())
    for file in folder.glob("tcb-info-*"):
        file.unlink(missing_ok=True)  # under the other one's hands
print(len(texts))
"""


async def test_several_processes_share_a_directory(pccs, quote, tmp_path):
    folder, ca, file = tmp_path / "cache", tmp_path / "ca.pem", tmp_path / "quote"
    ca.write_bytes(pccs.ca_pem)
    file.write_bytes(quote)
    program = (sys.executable, "-W", "error", "-c", FETCHING_PROCESS)
    processes = [
        await asyncio.create_subprocess_exec(
            *program, pccs.url, ca, file, folder, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    async with asyncio.timeout(120):
        written = [(await process.communicate())[0] for process in processes]
    assert written == [b"1\n", b"1\n"]
    assert not list(folder.glob(".new-*"))
    # Only what was taken away was asked for again.
    assert pccs.asked("/rootcacrl") <= 2
