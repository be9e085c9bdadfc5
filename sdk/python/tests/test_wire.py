"""Parts that need no server."""

import itertools

import pytest

from microsandbox import UnexpectedResponseError
from microsandbox._collect import LIMIT, Collector
from microsandbox._wire import EventParser, ServerEvent, event_data
from microsandbox.models import Display, Dropped, ExceptionInfo, FileInfo, Output, decode, event_of

TEXT = b": hello\r\n\r\nevent: output\r\ndata: {\r\ndata:  1}\r\n\r\ndata: x\rid: 1\r\revent: e\n\ndata:\xc3\xa9\n\n"
EVENTS = [ServerEvent("output", "{\n 1}"), ServerEvent("message", "x"), ServerEvent("message", "é")]


@pytest.mark.parametrize("size", range(1, len(TEXT) + 1))
def test_events_are_found_however_their_bytes_are_cut(size):
    parser = EventParser()
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert list(itertools.chain.from_iterable(map(parser.feed, pieces))) == EVENTS


def test_an_event_whose_data_is_no_object_is_refused():
    for data in ("[]", "{", "", "1"):
        with pytest.raises(UnexpectedResponseError):
            event_data(ServerEvent("output", data))


def test_an_event_that_is_not_known_is_left_out():
    assert event_of("newer", {}) is None
    assert event_of("dropped", {"stream": "stdout", "bytes": 3, "newer": 1}) == Dropped("stdout", 3)
    with pytest.raises(UnexpectedResponseError, match="FileEvent"):
        event_of("file", {"path": "/"})
    with pytest.raises(UnexpectedResponseError, match="FileInfo"):
        decode(FileInfo, [])


def test_lines_are_put_together_in_order_of_arrival():
    collector = Collector()
    for stream, text in [("stdout", "a"), ("stderr", "x\n"), ("stdout", "b\n\nc"), ("stderr", "y")]:
        collector.add(Output(stream, text.encode()))
    lines = collector.result({})["output"]
    assert [(line.stream, line.text) for line in lines] == [
        ("stdout", "ab"), ("stderr", "x"), ("stdout", ""), ("stdout", "c"), ("stderr", "y")
    ]  # fmt: skip


def test_what_is_kept_of_output_is_bounded():
    collector = Collector()
    for _ in range(10):
        collector.add(Output("stdout", b"x" * (LIMIT // 4)))
    result = collector.result({})
    assert result["truncated"]
    assert sum(len(line.text) for line in result["output"]) <= LIMIT


def test_values_shown_and_tracebacks_are_lines_of_their_own():
    collector = Collector()
    collector.add(Output("stdout", b"a"))
    collector.add(Display(True, {"text/plain": "1\n2"}))
    collector.add(Output("stdout", b"b"))
    collector.add(ExceptionInfo("E", "v", ["t1", "t2\n"]))
    lines = collector.result({"language": "python"})["output"]
    assert [(line.stream, line.text) for line in lines] == [
        ("stdout", "a"), ("stdout", "1"), ("stdout", "2"), ("stdout", "b"), ("stderr", "t1"), ("stderr", "t2")
    ]  # fmt: skip
