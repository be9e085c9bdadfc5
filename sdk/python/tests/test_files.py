"""Files and watching them."""

import asyncio
import io

import pytest

from microsandbox import AlreadyExistsError, NotFoundError, PythonSandbox

BIG = bytes(range(256)) * 20000  # 5 MB: many pieces


async def test_text_and_bytes_are_written_and_read(fake):
    sandbox = PythonSandbox(name="test", namespace="ns")
    info = await sandbox.files.write("/a/b.txt", "grüße", mode="600", user="u")
    assert (info.path, info.size, info.type) == ("/a/b.txt", 7, "file")
    assert fake.params("PUT") == {
        "namespace": "ns", "sandbox": "test", "path": "/a/b.txt", "user": "u", "mode": "600",
        "parents": "true",
    }  # fmt: skip
    assert await sandbox.files.read("/a/b.txt") == "grüße"
    await sandbox.files.write("/raw", b"\xff\x00")
    assert await sandbox.files.read_bytes("/raw") == b"\xff\x00"
    with pytest.raises(UnicodeDecodeError):
        await sandbox.files.read("/raw")


async def test_a_part_of_a_file_is_read(fake):
    sandbox = PythonSandbox(name="test")
    await sandbox.files.write("/f", b"0123456789")
    assert await sandbox.files.read_bytes("/f", offset=3, length=4) == b"3456"
    assert await sandbox.files.read_bytes("/f", offset=7) == b"789"
    assert await sandbox.files.read_bytes("/f", length=0) == b""


async def test_files_of_any_size_are_copied_both_ways(fake, tmp_path):
    sandbox = PythonSandbox(name="test")
    (tmp_path / "in").write_bytes(BIG)
    assert (await sandbox.files.upload(tmp_path / "in", "/big")).size == len(BIG)
    assert await sandbox.files.download("/big", str(tmp_path / "out")) == len(BIG)
    assert (tmp_path / "out").read_bytes() == BIG
    await sandbox.files.upload(io.BytesIO(b"open"), "/open")
    memory = io.BytesIO()
    await sandbox.files.download("/open", memory)
    assert memory.getvalue() == b"open"


async def test_a_file_that_is_not_there_is_an_error_and_leaves_the_local_one_alone(fake, tmp_path):
    sandbox = PythonSandbox(name="test")
    (tmp_path / "out").write_text("old")
    with pytest.raises(NotFoundError, match="/none"):
        await sandbox.files.download("/none", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "old"


async def test_a_reader_that_is_left_early_is_closed(fake):
    sandbox = PythonSandbox(name="test")
    await sandbox.files.write("/big", BIG)
    async with sandbox.files.open("/big") as reader:
        async for _ in reader:
            break
    assert await sandbox.files.exists("/big")


async def test_directories_are_made_listed_and_files_moved_and_removed(fake):
    files = PythonSandbox(name="test").files
    assert (await files.mkdir("/d")).is_directory
    await files.mkdir("/")  # the fake has no root of its own
    await files.write("/d/a", "1")
    await files.write("/d/b", "2")
    assert [each.name for each in await files.list("/d", depth=2)] == ["a", "b"]
    with pytest.raises(AlreadyExistsError):
        await files.move("/d/a", "/d/b")
    assert (await files.move("/d/a", "/d/b", replace=True)).size == 1
    assert fake.requests("sandbox.files.move")[0]["params"]["from"] == "/d/a"
    await files.remove("/d/b", recursive=True)
    assert not await files.exists("/d/b")
    assert (await files.stat("/d")).mode == "644"


async def test_changes_inside_the_block_of_a_watch_are_seen(fake):
    files = PythonSandbox(name="test").files
    async with files.watch("/w", recursive=True) as events:
        await files.write("/w/a", "1")
        async for event in events:
            assert (event.path, event.event) == ("/w/a", "write")
            break
    while not fake.requests("gone"):
        await asyncio.sleep(0)
