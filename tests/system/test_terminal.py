"""On a terminal, and with signals."""

import os
import signal
import struct
import fcntl
import termios

import pytest
from conftest import processes, wait_until


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def shell(terminal):
    opened = terminal("exe", "busybox")
    opened.expect(rb"[#$] ")
    return opened


def test_a_shell_is_interactive_and_ends_with_its_code(shell):
    shell.send(b"tty; echo 6*7=$((6*7))\r")
    shell.expect(rb"/dev/pts/\d+")
    shell.expect(rb"6\*7=42")
    shell.send(b"exit 3\r")
    assert shell.code() == 3


def interrupt_a_program_in(shell):
    shell.send(b"echo star''ted; cat\r")
    shell.expect(rb"started\r\n")  # typed ahead, the shell would have read it
    shell.send(b"here\r")
    shell.expect(rb"here\r\nhere")
    shell.send(b"\x03")
    shell.expect(rb"[#$] ")
    shell.send(b"echo code=$?\r")
    shell.expect(rb"code=130")


def test_control_c_interrupts_the_program_not_the_sandbox(shell):
    interrupt_a_program_in(shell)
    shell.send(b"exit\r")
    shell.code()


def test_control_d_ends_a_shell(shell):
    shell.send(b"\x04")
    assert shell.code() == 0


def test_the_window_size_is_taken_over_and_followed(terminal):
    opened = terminal("exe", "busybox")
    resize(opened, 33, 111)
    opened.expect(rb"[#$] ")
    opened.send(b"trap 'stty size' WINCH; while stty size | grep -v '33 111'; do :; done; stty size\r")
    opened.expect(rb"\n33 111")
    resize(opened, 44, 99)
    opened.send(b"\rwhile stty size | grep -v '44 99'; do :; done; stty size\r")
    opened.expect(rb"\n44 99")
    opened.send(b"exit\r")
    opened.code()


def test_python_is_interactive(terminal):
    opened = terminal("exe", "python")
    opened.expect(rb">>> ")
    opened.send(b"print(6*7)\r")
    opened.expect(rb"\n42\r\n>>> ")
    opened.send(b"\x04")
    assert opened.code() == 0


def test_the_terminal_is_restored(terminal):
    opened = terminal("exe", "busybox")
    before = termios.tcgetattr(opened.fd)
    opened.expect(rb"[#$] ")
    wait_until(lambda: termios.tcgetattr(opened.fd) != before, "raw mode")
    opened.send(b"exit\r")
    wait_until(lambda: termios.tcgetattr(opened.fd) == before, "the former mode")
    assert opened.code() == 0


def test_a_closed_terminal_ends_the_sandbox(shell):
    shell.close()
    wait_until(lambda: not processes(), "the end of the sandbox", 10)


@pytest.mark.parametrize("name", ["INT", "TERM", "QUIT", "HUP", "USR1", "USR2"])
def test_signals_go_to_the_program_where_there_is_no_terminal(start, name):
    process = start("exe", "busybox", "-e", "sh", "--", "-c",
                    f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, "SIG" + name))
    assert process.stdout.readline() == f"got {name}\n".encode()
    assert process.wait(60) == 9


def test_an_unhandled_termination_ends_the_program(start):
    process = start("exe", "busybox", "-e", "sh", "--", "-c", "echo ready; exec sleep 1000")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM


def test_a_second_termination_kills(start):
    process = start("exe", "busybox", "-e", "sh", "--", "-c",
                    "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    # Two signals that are pending together are one: send until it is gone.
    def gone():
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None
    wait_until(gone, "the end", 60)
    assert process.returncode == 128 + signal.SIGKILL


def test_a_reader_that_goes_away_ends_the_sandbox(start):
    process = start("exe", "busybox", "-e", "yes")
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE


def test_output_that_cannot_be_written_is_ours_and_said(start):
    with open("/dev/full", "wb") as full:
        process = start("exe", "busybox", "-e", "echo", "--", "x", stdout=full)
        assert process.wait(60) == 125
    assert b"No space left on device" in process.stderr.read()
