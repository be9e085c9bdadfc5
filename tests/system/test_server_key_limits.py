"""What a key may use: images, and how many sandboxes of which size at once."""

import secrets
import threading

import pytest
from server_tools import Refused, keyed, nothing_left_behind, refusal, small, unique  # noqa: F401


@pytest.fixture
def key(keyed):
    """key("--max-sandboxes", 1) gives a caller of a namespace of its own, where all is removed in the end."""
    spaces = []

    def make(*arguments):
        space = "s" + secrets.token_hex(4)
        spaces.append(space)
        headers = {"Authorization": keyed.key("-n", space, *map(str, arguments))}

        def call(method, sandbox, **params):
            return keyed.call("sandbox." + method, headers=headers, namespace=space, sandbox=sandbox, **params)

        return call

    yield make
    for space in spaces:
        for one in keyed.call("sandbox.list", namespace=space)["sandboxes"]:
            keyed.call("sandbox.remove", namespace=space, sandbox=one["name"])


def assert_beyond_limit(call, what, **config):
    with pytest.raises(Refused) as refused:
        call("start", "more", config=small(**config))
    assert (refused.value.status, refused.value.code) == (429, 3002)
    assert what in refused.value.message and "this key may use" in refused.value.message


def test_a_key_for_some_images_starts_no_others(keyed, key):
    call = key("--allow-image", "busybox", "--allow-image", "microsandbox/b*")
    for image in ("microsandbox/python", "noshell"):
        with pytest.raises(Refused) as refused:
            call("start", "one", config={**small(), "image": image})
        assert (refused.value.status, refused.value.code) == (403, 3001)
        assert image in refused.value.message and "--allow-image" in refused.value.message
    for image in ("busybox", "busybox:latest", "microsandbox/base"):
        call("start", "one", config={**small(), "image": image}, reset=True)
        call("stop", "one", grace=0)


def test_a_key_for_some_images_starts_no_other_that_was_stored(keyed):
    name = {"namespace": unique("stored"), "sandbox": "one"}
    keyed.call("sandbox.start", **name, config={**small(), "image": "microsandbox/base"})
    keyed.call("sandbox.stop", **name, grace=0)
    restricted = {"Authorization": keyed.key("-n", name["namespace"], "--allow-image", "busybox")}
    assert refusal(keyed, "sandbox.start", headers=restricted, **name).code == 3001
    keyed.call("sandbox.remove", **name)


def test_a_key_has_so_many_sandboxes_at_once(key):
    call = key("--max-sandboxes", 2)
    for name in ("one", "two"):
        call("start", name, config=small())
    assert_beyond_limit(call, "2 sandboxes")
    call("start", "one", config=small())  # it runs: nothing more is used
    call("stop", "two", grace=0)
    call("start", "more", config=small())


@pytest.mark.parametrize("arguments, first, second, what, fits", [
    (["--max-memory", "192M"], {}, {"memory": 160}, "192 MiB of memory", {"memory": 128}),
    (["--max-cpus", "2"], {}, {"cpus": 2}, "2 CPUs", {"cpus": 1}),
    (["--max-disk", "1G"], {"disk": 512}, {"disk": 768}, "1024 MiB of disk", {"disk": 512}),
])
def test_a_key_has_so_much_of_each_for_all_its_sandboxes(key, arguments, first, second, what, fits):
    call = key(*arguments)
    call("start", "one", config=small(**first))
    assert_beyond_limit(call, what, **second)
    call("start", "more", config=small(**fits))


def test_disks_of_stopped_sandboxes_count_until_they_are_removed(key):
    call = key("--max-disk", "1G")
    call("start", "one", config=small(disk=768))
    call("stop", "one", grace=0)
    assert_beyond_limit(call, "1024 MiB of disk", disk=512)
    call("start", "one")  # its own disk is not counted twice
    call("remove", "one")
    call("start", "more", config=small(disk=512))


def test_starts_at_the_same_time_do_not_exceed_a_limit_together(key):
    call = key("--max-sandboxes", 2)
    results = []

    def start(name):
        try:
            results.append(call("start", name, config=small()))
        except Refused as refused:
            results.append(refused.code)

    threads = [threading.Thread(target=start, args=[f"n{i}"]) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results))[:4] == ["3002"] * 4 and len(results) == 6


def test_a_restart_of_the_server_forgets_no_limit(keyed, key):
    call = key("--max-sandboxes", 1, "--max-disk", "1G")
    call("start", "one", config=small(disk=512))
    keyed.stop()
    keyed.start()
    assert_beyond_limit(call, "1 sandbox", disk=256)
    call("stop", "one", grace=0)
    assert_beyond_limit(call, "1024 MiB of disk", disk=768)
    call("start", "more", config=small(disk=512))
