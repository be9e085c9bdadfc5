"""A program runs: arguments, input and output, identity, surroundings, exit codes."""

import hashlib
import os
import platform

import pytest
from conftest import exe, run, sh


def test_a_program_runs_on_a_kernel_of_its_own():
    done = sh("uname -r; exit 7")
    assert done.returncode == 7, done.stderr
    assert done.stdout.decode().strip() not in ("", platform.release())
    assert done.stderr == b""


def test_msx_is_short_for_exe(tmp_path):
    import subprocess
    from conftest import MSB
    done = subprocess.run([MSB.parent / "msx", "busybox", "-e", "/bin/echo", "--", "a b", "", "--help"],
                          capture_output=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, b"a b  --help\n")


def test_arguments_are_appended_to_the_images_program():
    assert exe("busybox", "--", "-c", "echo $0 $1", "x", "y").stdout == b"x y\n"


def test_the_image_may_be_an_option():
    assert exe("-i", "busybox", "-e", "echo", "--", "hi").stdout == b"hi\n"


def test_python_says_hello():
    done = exe("microsandbox/python", "--", "-c", 'print("hello")')
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")


def test_python_reads_its_program_from_standard_input():
    assert exe("python", "--", "-", input=b"print(6*7)\n").stdout == b"42\n"


def test_input_and_output_are_binary_safe_in_both_directions():
    data = os.urandom(3_000_000)
    done = exe("busybox", "-e", "cat", input=data)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_standard_output_and_error_are_separate():
    done = sh("echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_a_program_that_does_not_read_its_input_ends_all_the_same():
    assert exe("busybox", "-e", "true", input=b"x" * 10_000_000).returncode == 0


def test_end_of_input_reaches_the_program():
    assert exe("busybox", "-e", "wc", "--", "-c", input=b"12345").stdout.strip() == b"5"


# --- exit codes -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_the_programs(code):
    assert sh(f"exit {code}").returncode == code


@pytest.mark.parametrize("signal", [9, 11, 15])
def test_a_signal_is_128_and_its_number(signal):
    assert sh(f"kill -{signal} $$").returncode == 128 + signal


def test_a_missing_program_is_127_and_named():
    for program in ("/bin/nothing", "nothing"):
        done = exe("busybox", "-e", program)
        assert done.returncode == 127
        assert program.encode() in done.stderr


@pytest.mark.parametrize("program", ["/bin/notexecutable", "/bin/badformat", "/tmp"])
def test_a_program_that_cannot_be_executed_is_126_and_named(program):
    done = exe("busybox", "-e", program)
    assert done.returncode == 126
    assert program.encode() in done.stderr


def test_an_image_without_a_shell_runs_its_program():
    done = exe("noshell", "--", "echo", "works")
    assert (done.returncode, done.stdout) == (0, b"works\n")
    done = exe("noshell", "-e", "/bin/sh")
    assert done.returncode == 127
    assert b"/bin/sh" in done.stderr


def test_an_unknown_image_is_125_and_says_how_to_get_one():
    done = exe("no/such:image")
    assert done.returncode == 125
    assert b"no/such:image" in done.stderr
    assert b"msb image" in done.stderr


@pytest.mark.parametrize("options, named", [
    (["--user", "nosuch"], b"nosuch"),
    (["--user", "root:nosuch"], b"nosuch"),
    (["--user", "99999999999"], b"99999999999"),
    (["--workdir", "/no/such"], b"/no/such"),
    (["--workdir", "relative"], b"relative"),
    (["--env", "NOVALUE"], b"NOVALUE"),
    (["--memory", "lots"], b"lots"),
    (["--memory", "1"], b"--memory"),
    (["--disk", "1"], b"--disk"),
    (["--cpus", "0"], b"--cpus"),
    (["--engine", "kvm"], b"kvm"),
    (["--frobnicate"], b"--frobnicate"),
])
def test_bad_options_are_125_and_named(options, named):
    done = exe("busybox", *options, "-e", "/bin/true")
    assert done.returncode == 125
    assert named in done.stderr
    assert done.stdout == b""
    assert done.stderr.startswith(b"msb: error: ")


# --- identity and surroundings ------------------------------------------------------------------------------

def test_user_and_groups_come_from_the_image():
    assert sh("id -u; id -g; id -G", "--user", "user").stdout == b"1234\n1234\n1234 4321\n"
    assert sh("id -u; id -g", "--user", "nobody").stdout == b"65534\n65534\n"
    assert sh("id -u; id -g", "--user", "77:88").stdout == b"77\n88\n"
    assert sh("id -u").stdout == b"0\n"


def test_home_is_the_users():
    assert sh("echo $HOME", "--user", "user").stdout == b"/home/user\n"
    assert sh("echo $HOME").stdout == b"/root\n"


def test_environment_is_the_images_then_ours():
    done = sh('echo "$FROM_IMAGE|$A|$B"', "--env", "A=x y", "--env", "B=")
    assert done.stdout == b"yes|x y|\n"
    assert sh("echo $FROM_IMAGE", "--env", "FROM_IMAGE=no").stdout == b"no\n"


def test_nothing_of_the_hosts_environment_gets_in():
    done = exe("busybox", "-e", "env", env={"SECRET_OF_THE_HOST": "x"})
    assert b"SECRET_OF_THE_HOST" not in done.stdout


def test_workdir():
    assert sh("pwd", "--workdir", "/data").stdout == b"/data\n"
    assert sh("pwd").stdout == b"/\n"


def test_surroundings_are_those_of_a_container():
    script = r"""
      set -e
      test "$(hostname)" = "$HOSTNAME"
      grep -q "$(hostname)" /etc/hosts
      test "$(cat /etc/hostname)" = "$(hostname)"
      test -e /etc/resolv.conf
      for m in /proc /sys /sys/fs/cgroup /dev /dev/pts /dev/shm /dev/mqueue /run; do
        grep -q " $m " /proc/mounts || { echo "not mounted: $m"; exit 1; }
      done
      grep -q '^overlay / ' /proc/mounts
      for d in null zero full random urandom tty; do test -c /dev/$d; done
      for l in fd stdin stdout stderr; do test -L /dev/$l; done
      test "$(umask)" = 0022
      test "$(ulimit -n)" = 1048576
      test "$(stat -c %a /tmp)" = 1777
      ip addr show lo | grep -q 'inet 127.0.0.1'
      echo fine
    """
    done = sh(script)
    assert done.stdout == b"fine\n", done


def test_the_network_is_the_loopback_alone():
    assert sh("ls /sys/class/net").stdout == b"lo\n"
    assert sh("wget -q -O- -T 2 http://192.0.2.1/ 2>&1").returncode != 0


def test_the_root_is_writable_and_forgotten():
    assert sh("echo x > /bin/new && rm /bin/ls && cat /bin/new").stdout == b"x\n"
    assert sh("test ! -e /bin/new && test -e /bin/ls").returncode == 0


def test_more_cpus_are_said_to_be_one():
    done = sh("nproc", "--cpus", "2")
    assert done.stdout == b"1\n"
    assert b"--cpus 2 is taken as 1" in done.stderr


@pytest.mark.parametrize("memory", [64, 256, 512, 2048])
def test_memory_is_what_was_asked_for(memory):
    done = sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo", "--memory", str(memory))
    total = int(done.stdout)
    assert 0.80 * memory * 1024 < total <= memory * 1024


@pytest.mark.parametrize("disk", ["64M", "300M", "2G", "16G"])
def test_disk_is_what_was_asked_for(disk):
    done = sh("df -k / | tail -1 | awk '{print $2}'", "--disk", disk)
    want = int(disk[:-1]) * {"M": 1024, "G": 1024 * 1024}[disk[-1]]
    assert 0.80 * want < int(done.stdout) <= want


def test_orphans_are_reaped_and_a_background_process_does_not_hold_the_end():
    done = sh("(sleep 1000 & ) ; (true &) ; echo done")
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_two_sandboxes_run_at_once(start):
    one = start("exe", "busybox", "-e", "cat")
    two = start("exe", "busybox", "-e", "cat")
    assert one.communicate(b"1", timeout=60)[0] == b"1"
    assert two.communicate(b"2", timeout=60)[0] == b"2"


def test_doctor_finds_this_host_fit():
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert b"engine uml" in done.stdout
    assert b"not in this version" in done.stdout


def test_doctor_speaks_json():
    import json
    diagnosis = json.loads(run("doctor", "--json").stdout)
    assert diagnosis["engine"] == "uml"
    assert {"name", "verdict", "text", "fix"} <= diagnosis["findings"][0].keys()


def test_version_and_help():
    assert run("version").stdout.startswith(b"msb ")
    assert run("-V").stdout == run("version").stdout
    for arguments in (["--help"], ["exe", "--help"], ["image", "--help"], ["doctor", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0 and done.stdout, arguments


def test_help_and_errors_of_mcp_name_it_as_users_call_it():
    assert b"\nUsage: msb mcp [OPTIONS]\n" in run("mcp", "--help").stdout
    assert run("mcp", "--nonsense").stderr.endswith(b"\nTry: msb mcp --help\n")
    assert b"\nUsage: msb server keygen [OPTIONS]\n" in run("server", "keygen", "--help").stdout


def test_the_base_image_has_a_shell_and_the_documented_program():
    done = exe("microsandbox/base", "-e", "/bin/sh", "--", "-c", "uname -a; exit 7")
    assert done.returncode == 7
    assert b"Linux" in done.stdout
    assert exe("microsandbox/base", "--", "-c", "echo $BASH_VERSION").stdout.strip() != b""


def test_the_python_image_has_pip_and_venv():
    done = exe("microsandbox/python", "-e", "/bin/sh", "--", "-c",
               "python --version && pip --version && python3 -m venv /tmp/v && /tmp/v/bin/python -c 'print(1)'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == b"1"
