"""msb cp: files out of a sandbox and into one, as files and as tars."""

import hashlib
import io
import os
import pathlib
import re
import signal
import stat
import subprocess
import tarfile

import pytest
from conftest import command, run, wait_until
from detached import detach, name  # noqa: F401

SECOND = 1_000_000_000


@pytest.fixture
def box(name):
    detach(name, "--memory", "256")
    return name


def inside(box, script):
    """Output of a shell script in the sandbox."""
    done = run("exec", box, "--", "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def cp(*arguments, code=0, **options):
    done = run("cp", *arguments, **options)
    assert done.returncode == code, done.stderr
    assert done.stdout == b""
    if code == 0:
        assert done.stderr == b""
    return done.stderr.decode()


def make_tree(top):
    """A bit of everything that is kept."""
    (top / "dir/deep").mkdir(parents=True)
    (top / "dir/file").write_bytes(b"content")
    (top / "dir/file").chmod(0o751)
    (top / "empty").write_bytes(b"")
    (top / "emptydir").mkdir()
    (top / "big").write_bytes(os.urandom(3_000_001))
    os.link(top / "dir/file", top / "dir/deep/again")
    (top / "link").symlink_to("dir/file")
    (top / "dangling").symlink_to("/no/such/file")
    for odd in ("line\nbreak", "-rf", " blank ", "quo\"te'", "ümläut", "x" * 255, "y" * 120):
        (top / odd).write_text(odd)
    (pathlib.Path(os.fsdecode(os.fsencode(top) + b"/\xff\xfe"))).write_text("bytes")
    with open(top / "sparse", "wb") as sparse:
        sparse.truncate(32 << 20)
        sparse.seek(16 << 20)
        sparse.write(b"middle")
    os.utime(top / "dir/file", ns=(5, 1_000 * SECOND + 123_456_789))
    os.utime(top / "link", ns=(5, 2_000 * SECOND + 7), follow_symlinks=False)
    (top / "dir/deep").chmod(0o500)
    os.utime(top / "dir/deep", ns=(5, 3_000 * SECOND))
    os.utime(top / "dir", ns=(5, 4_000 * SECOND))
    return top


def snapshot(top):
    """{name: what it is}, with all that a copy keeps."""
    found = {}
    links = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        entry = [stat.S_IFMT(status.st_mode), status.st_mtime_ns]
        if not path.is_symlink():
            entry.append(stat.S_IMODE(status.st_mode))
        if path.is_symlink():
            entry.append(os.readlink(path))
        elif path.is_file():
            entry.append(hashlib.sha256(path.read_bytes()).hexdigest())
            entry.append(links.setdefault(status.st_ino, str(path.relative_to(top))))
        found[str(path.relative_to(top))] = entry
    return found


# --- single files ---------------------------------------------------------------------------------------

def test_a_file_goes_in_and_out_by_name_into_a_directory_or_under_a_new_name(box, tmp_path):
    (tmp_path / "file").write_text("content")
    (tmp_path / "file").chmod(0o640)
    os.utime(tmp_path / "file", ns=(5, 1_000 * SECOND + 5))
    cp(tmp_path / "file", f"{box}:/tmp")
    cp(tmp_path / "file", f"{box}:/tmp/new")
    cp(tmp_path / "file", f"{box}:/tmp/")
    assert inside(box, "cat /tmp/file /tmp/new; stat -c '%a %u %Y' /tmp/new") == "contentcontent640 0 1000\n"
    (tmp_path / "to").mkdir()
    cp(f"{box}:/tmp/new", tmp_path / "to")
    cp(f"{box}:/tmp/new", tmp_path / "to/other")
    assert (tmp_path / "to/new").read_text() == (tmp_path / "to/other").read_text() == "content"
    assert (tmp_path / "to/other").stat().st_mtime_ns == 1_000 * SECOND + 5
    assert stat.S_IMODE((tmp_path / "to/other").stat().st_mode) == 0o640


def test_paths_may_be_relative_on_both_sides(box, tmp_path):
    cp(f"{box}:etc/passwd", ".", cwd=tmp_path)
    cp("passwd", f"{box}:copied", cwd=tmp_path)
    assert inside(box, "cmp /copied /etc/passwd && echo same") == "same\n"


def test_a_link_that_is_named_is_followed_like_cp_does(box, tmp_path):
    cp(f"{box}:/bin/sh", tmp_path / "sh")
    assert (tmp_path / "sh").is_file() and not (tmp_path / "sh").is_symlink()
    cp("-r", f"{box}:/bin/sh", tmp_path / "link")
    assert os.readlink(tmp_path / "link") == "busybox"


def test_files_of_proc_have_no_size_but_content(box, tmp_path):
    cp(f"{box}:/proc/version", tmp_path)
    assert (tmp_path / "version").read_text() == inside(box, "cat /proc/version")
    cp("/proc/version", f"{box}:/tmp/host")
    assert inside(box, "cat /tmp/host") == pathlib.Path("/proc/version").read_text()


def test_a_large_file_comes_through_whole(box, tmp_path):
    data = os.urandom(50_000_003)
    (tmp_path / "big").write_bytes(data)
    cp(tmp_path / "big", f"{box}:/data/big")
    assert inside(box, "sha256sum </data/big").split()[0] == hashlib.sha256(data).hexdigest()
    cp(f"{box}:/data/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_file_that_is_there_is_replaced_and_its_other_names_are_not(box, tmp_path):
    (tmp_path / "file").write_text("old")
    os.link(tmp_path / "file", tmp_path / "other")
    inside(box, "echo new >/tmp/file")
    cp(f"{box}:/tmp/file", tmp_path)
    assert (tmp_path / "file").read_text() == "new\n"
    assert (tmp_path / "other").read_text() == "old"


# --- trees ----------------------------------------------------------------------------------------------

def test_a_tree_goes_in_and_comes_back_the_same(box, tmp_path):
    tree = make_tree(tmp_path / "tree")
    cp("-r", tree, f"{box}:/data")
    assert inside(box, "cat /data/tree/dir/file; stat -c '%a %h' /data/tree/dir/file; du -k /data/tree/sparse"
                  ).startswith("content751 2\n")
    assert int(inside(box, "du -k /data/tree/sparse").split()[0]) < 1024
    cp("-r", f"{box}:/data/tree", tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tree)
    assert (tmp_path / "back/sparse").stat().st_blocks * 512 < 1 << 20
    # Over what is there already, as cp does; and into the directory.
    cp("-r", f"{box}:/data/tree/.", tmp_path / "back")
    cp("-r", f"{box}:/data/tree", tmp_path / "back")
    assert snapshot(tmp_path / "back/tree") == snapshot(tree)


def test_the_contents_of_a_directory_are_dir_slash_dot(box, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    cp("-r", f"{tmp_path}/tree/.", f"{box}:/data")
    assert inside(box, "ls /data") == "file\n"
    cp("-r", f"{tmp_path}/tree/.", f"{box}:/new")
    cp("-r", f"{box}:/data/.", tmp_path)
    assert (tmp_path / "file").read_text() == "x"
    assert inside(box, "ls /new") == "file\n"


def test_ten_thousand_small_files_go_both_ways(box, tmp_path):
    for i in range(10_000):
        path = tmp_path / f"tree/{i // 100}/{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % i)
    cp("-r", tmp_path / "tree", f"{box}:/data/tree")
    assert inside(box, "find /data/tree -type f | wc -l").strip() == "10000"
    cp("-r", f"{box}:/data/tree", tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tmp_path / "tree")


def test_a_whole_sandbox_can_be_copied_without_its_kernel_file_systems(box, tmp_path):
    done = run("cp", "-r", f"{box}:/", tmp_path / "all", timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rb"msb: left out: \d+ devices or FIFOs\n", done.stderr)  # /dev
    assert (tmp_path / "all/bin/busybox").is_file()
    assert list((tmp_path / "all/proc").iterdir()) == []
    assert list((tmp_path / "all/sys").iterdir()) == []


def test_devices_and_fifos_are_left_out_and_counted(box, tmp_path):
    inside(box, "mkdir /data/d; mknod /data/d/null c 1 3; mkfifo /data/d/fifo; touch /data/d/file")
    done = run("cp", "-r", f"{box}:/data/d", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"msb: left out: 2 devices or FIFOs\n")
    assert os.listdir(tmp_path / "d") == ["file"]
    os.mkfifo(tmp_path / "d/fifo")
    done = run("cp", "-r", tmp_path / "d/.", f"{box}:/tmp")
    assert (done.returncode, done.stderr) == (0, b"msb: left out: 1 devices or FIFOs\n")


def test_what_comes_out_has_what_the_umask_leaves_of_its_mode(box, tmp_path):
    inside(box, "mkdir /data/d; touch /data/d/file; chmod 666 /data/d/file; chmod 777 /data/d")
    cp("-r", f"{box}:/data/d", tmp_path, umask=0o027)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "d/file").stat().st_mode) == 0o640
    cp(f"{box}:/data/d/file", tmp_path / "all", umask=0)
    assert stat.S_IMODE((tmp_path / "all").stat().st_mode) == 0o666


def test_what_a_guest_gives_special_rights_has_none_here(box, tmp_path):
    inside(box, "mkdir /data/d; cp /bin/busybox /data/d/su; chmod 6755 /data/d/su; chmod 7777 /data/d")
    cp("-r", f"{box}:/data/d", tmp_path)
    assert stat.S_IMODE((tmp_path / "d/su").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755
    assert (tmp_path / "d/su").stat().st_uid == os.geteuid()


def test_links_that_are_there_are_not_followed(box, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "to/d").mkdir(parents=True)
    (tmp_path / "to/d/sub").symlink_to("../../outside")
    inside(box, "mkdir -p /data/d/sub; touch /data/d/sub/file")
    message = cp("-r", f"{box}:/data/d", tmp_path / "to", code=1)
    assert "a symbolic link is in the way" in message
    assert os.listdir(tmp_path / "outside") == []


# --- rights -----------------------------------------------------------------------------------------------

def test_files_belong_to_root_or_to_the_user_that_is_named(box, tmp_path):
    (tmp_path / "file").write_text("x")
    inside(box, "chmod 777 /data; echo secret >/data/secret; chmod 600 /data/secret")
    cp("--user", "user", tmp_path / "file", f"{box}:/data/theirs")
    assert inside(box, "stat -c '%u:%g' /data/theirs") == "1234:1234\n"
    assert "denied" in cp("--user", "user", f"{box}:/data/secret", tmp_path, code=1).lower()
    assert "denied" in cp("--user", "user", tmp_path / "file", f"{box}:/etc/file", code=1).lower()


def test_what_cannot_be_read_is_named_and_the_rest_comes(box, tmp_path):
    inside(box, "mkdir /data/d; echo x >/data/d/open; echo x >'/data/d/\033[2Jclosed'; chmod 600 /data/d/*closed")
    message = cp("-r", "--user", "user", f"{box}:/data/d", tmp_path, code=1)
    assert "\\x1b[2Jclosed" in message and "\033" not in message
    assert os.listdir(tmp_path / "d") == ["open"]


def test_a_full_disk_in_the_guest_is_an_error_and_leaves_no_half_file(name, tmp_path):
    detach(name, "--disk", "64M")
    (tmp_path / "big").write_bytes(bytes(1) * (200 << 20))
    with open(tmp_path / "big", "r+b") as file:
        for at in range(0, 200 << 20, 4096):
            file.seek(at)
            file.write(b"x")
    assert "space" in cp(tmp_path / "big", f"{name}:/big", code=1).lower()
    assert inside(name, "ls -a / | grep -c -e big -e partial || true") == "0\n"


# --- mistakes ---------------------------------------------------------------------------------------------

def test_mistakes_have_their_reason(box, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    assert "use -r" in cp(tmp_path / "dir", f"{box}:/tmp", code=1)
    assert "is a directory" in cp(f"{box}:/etc", tmp_path, code=1)
    assert "use -r" in cp(f"{box}:/etc/.", tmp_path, code=1)
    assert "No such file" in cp(f"{box}:/none", tmp_path, code=1)
    assert "No such file" in cp(tmp_path / "none", f"{box}:/tmp", code=1)
    assert "no such directory" in cp(tmp_path / "file", f"{box}:/none/", code=1)
    assert "No such file" in cp(tmp_path / "file", f"{box}:/none/new", code=1)
    assert "no such directory" in cp(f"{box}:/etc/passwd", f"{tmp_path}/none/", code=1)
    assert "No such file" in cp(f"{box}:/etc/passwd", tmp_path / "none/new", code=1)
    assert "is no directory" in cp("-r", tmp_path / "dir", f"{box}:/etc/passwd", code=1)
    assert "in the way" in cp("-r", f"{box}:/etc", tmp_path / "file", code=1)
    assert os.listdir(tmp_path / "dir") == []
    assert (tmp_path / "file").read_text() == "x"


def test_a_sandbox_that_is_not_there_is_1_and_a_wrong_line_is_2(tmp_path):
    assert "msb ps" in cp("t-nobody:/x", tmp_path, code=1)
    for sides in ((tmp_path, tmp_path), ("a:/x", "b:/x"), ("a:", tmp_path), (tmp_path,)):
        assert run("cp", *sides).returncode == 2


# --- tars -------------------------------------------------------------------------------------------------

def test_a_tar_goes_in_from_standard_input(box, tmp_path):
    tree = make_tree(tmp_path / "tree")
    tar = subprocess.run(["tar", "c", "-C", tree, "--format=posix", "--sparse", "."], capture_output=True, check=True)
    cp("-", f"{box}:/data", input=tar.stdout)
    cp("-r", f"{box}:/data/.", tmp_path / "back")
    assert snapshot(tmp_path / "back") == snapshot(tree)


def test_a_tar_comes_out_on_standard_output(box, tmp_path):
    tree = make_tree(tmp_path / "tree")
    cp("-r", tree, f"{box}:/data/tree")
    done = run("cp", f"{box}:/data/tree", "-")
    assert done.returncode == 0, done.stderr
    (tmp_path / "back").mkdir()
    subprocess.run(["tar", "xp", "-C", tmp_path / "back"], input=done.stdout, check=True)
    assert snapshot(tmp_path / "back/tree") == snapshot(tree)
    names = tarfile.open(fileobj=io.BytesIO(run("cp", f"{box}:/data/tree/.", "-").stdout)).getnames()
    assert names[0] == "." and "./dir/file" in names


def test_a_tar_goes_from_sandbox_to_sandbox(box, tmp_path):
    inside(box, "mkdir /data/d; echo x >/data/d/file")
    first = subprocess.Popen(command("cp", f"{box}:/data/d", "-"), stdout=subprocess.PIPE)
    second = subprocess.run(command("cp", "-", f"{box}:/tmp"), stdin=first.stdout, capture_output=True)
    assert (first.wait(), second.returncode, second.stderr) == (0, 0, b"")
    assert inside(box, "cat /tmp/d/file") == "x\n"


def test_what_is_no_tar_is_an_error(box):
    assert "not a tar" in cp("-", f"{box}:/data", input=b"x" * 10_000_000, code=1)
    assert "empty" in cp("-", f"{box}:/data", input=b"", code=1)
    assert "No such file" in cp("-", f"{box}:/none", input=b"x" * 1024, code=1)
    assert inside(box, "ls -a /data") == ".\n..\n"


def test_a_reader_that_goes_away_ends_the_copy(box):
    inside(box, "dd if=/dev/zero of=/data/big bs=1M count=50 2>/dev/null")
    process = subprocess.Popen(command("cp", f"{box}:/data/big", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1000)
    process.stdout.close()
    assert process.wait(60) == 1
    assert b"standard output" in process.stderr.read()
    process.stderr.close()


def test_a_tar_is_not_written_to_a_terminal(box, terminal):
    one = terminal("cp", f"{box}:/etc", "-")
    one.expect(b"not for a terminal")
    assert one.code() == 1


# --- interrupts ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_leaves_no_half_file_outside(box, tmp_path, start, number):
    # A FIFO's reader decides when the file goes on, so that the copy is surely in the middle.
    inside(box, "dd if=/dev/zero of=/data/big bs=1M count=200 2>/dev/null")
    process = start("cp", f"{box}:/data/big", tmp_path / "big")
    wait_until(lambda: any(written(fd) for fd in open_files(process.pid, tmp_path)) or process.poll() is not None,
               "the copy")
    process.send_signal(number)
    code = process.wait(60)
    assert code in (-number, 0)
    assert os.listdir(tmp_path) == ([] if code else ["big"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_no_half_file_inside(box, start, number):
    process = start("cp", "-", f"{box}:/data")
    header = tarfile.TarInfo("big")
    header.size = 100 << 20
    process.stdin.write(header.tobuf() + bytes(10 << 20))
    process.send_signal(number)
    assert process.wait(60) == -number
    # The other end has ended when nothing of it is left.
    wait_until(lambda: inside(box, "ls -a /data") == ".\n..\n", "the other end")


def test_the_end_of_the_sandbox_ends_the_copy(box, start):
    process = start("cp", "-", f"{box}:/data")
    header = tarfile.TarInfo("big")
    header.size = 100 << 20
    process.stdin.write(header.tobuf() + bytes(1 << 20))
    run("stop", "-t", "0", box)
    assert process.wait(60) == 1
    assert b"end" in process.stderr.read()


def open_files(pid, directory):
    """Paths in /proc of what a process has open in a directory and has no name."""
    found = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if target.startswith(f"{directory}/"):
            found.append(entry)
    return found


def written(path):
    try:
        return path.stat().st_size
    except (FileNotFoundError, ProcessLookupError):
        return 0


# --- progress -----------------------------------------------------------------------------------------------

def test_on_a_terminal_the_progress_is_one_line_and_quiet_is_quiet(box, tmp_path, terminal):
    (tmp_path / "file").write_bytes(bytes(5 << 20))
    one = terminal("cp", tmp_path / "file", f"{box}:/tmp")
    one.expect(rb"5\.0 MiB in [0-9.]+ s\r\n")
    assert one.code() == 0
    two = terminal("cp", "-q", tmp_path / "file", f"{box}:/tmp")
    assert two.code() == 0
    assert two.seen == b""


def test_copies_leave_nothing_in_the_guest(box, tmp_path):
    (tmp_path / "file").write_bytes(bytes(100_000))
    state = "ps | grep -c [/]init; ls /proc/1/fd | wc -l"  # the children of the agent have its name
    cp(tmp_path / "file", f"{box}:/tmp/file")  # the agent keeps who looks at files for it
    before = inside(box, state)
    for _ in range(30):
        cp(tmp_path / "file", f"{box}:/tmp/file")
        cp(f"{box}:/tmp/file", tmp_path / "back")
    wait_until(lambda: inside(box, state) == before, "the agent is as it was")
