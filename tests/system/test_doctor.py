"""msb doctor, and what other commands say of a host that it calls unfit."""

import resource

import pytest

from conftest import exe, run


def limited(which, value):
    return {"preexec_fn": lambda: resource.setrlimit(which, (value, value))}


@pytest.mark.parametrize("which, value, name, option", [
    (resource.RLIMIT_NOFILE, 100, "RLIMIT_NOFILE", "-n"),
    (resource.RLIMIT_SIGPENDING, 10, "RLIMIT_SIGPENDING", "-i"),
])
def test_a_limit_that_is_too_low_is_named_with_its_remedy(which, value, name, option):
    done = run("doctor", **limited(which, value))
    assert done.returncode == 1
    assert f"{name} is {value}" in done.stdout.decode() and f"ulimit -H {option}" in done.stdout.decode()
    done = exe("busybox", "-e", "true", **limited(which, value))
    assert done.returncode == 125
    assert name in done.stderr.decode() and option in done.stderr.decode()


def test_a_file_size_limit_is_an_error_and_not_a_death_by_signal():
    done = exe("busybox", "-e", "true", **limited(resource.RLIMIT_FSIZE, 1 << 20))
    assert done.returncode == 125
    assert "ulimit -f" in done.stderr.decode()
    assert "RLIMIT_FSIZE" in run("doctor", **limited(resource.RLIMIT_FSIZE, 1 << 20)).stdout.decode()


def test_limits_that_only_bound_accidents_may_be_lower():
    assert exe("busybox", "-e", "true", **limited(resource.RLIMIT_CORE, 0)).returncode == 0


@pytest.mark.parametrize("home, why", [
    ("/etc/passwd", "Not a directory"),
    ("/etc/passwd/home", "Not a directory"),
    ("/dev/null/a/b", "Not a directory"),
    ("/proc/home", "no temporary files can be made"),
])
def test_a_home_that_cannot_be_used_or_made_is_told_with_the_remedy(home, why):
    done = run("doctor", env={"MSB_HOME": home})
    assert done.returncode == 1
    (line, remedy), = [(line, after) for line, after in zip(done.stdout.decode().splitlines(),
                                                           done.stdout.decode().splitlines()[1:])
                       if line.startswith("FAIL  home")]
    assert home in line and why in line
    assert "set MSB_HOME" in remedy


def test_a_home_that_is_not_there_yet_is_fine_where_it_can_be_made(tmp_path):
    done = run("doctor", env={"MSB_HOME": str(tmp_path / "a/b")})
    assert done.returncode == 0
    assert "not made yet" in done.stdout.decode()
    assert not (tmp_path / "a").exists()
