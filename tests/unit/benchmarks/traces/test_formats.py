from __future__ import annotations

import codecs
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.errors import BadTrace
from benchmarks.traces import trace_file
from benchmarks.traces.base import Blocks, TraceRequest
from benchmarks.traces.trace_file import FORMATS, read_trace

SHARED = Path(__file__).resolve().parents[5] / "shared" / "traces"

MOONCAKE = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}'
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
MANTA = '{"at_s": 0, "prompt_tokens": 3, "output_tokens": 4}'


def write(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "trace"
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


def requests(folder: Path, *lines: str) -> list[TraceRequest]:
    return list(read_trace(write(folder, *lines)))


def test_mooncake(tmp_path: Path) -> None:
    second = '{"timestamp": 1500.5, "input_length": 512, "output_length": 1, "hash_ids": [7], "delay": 3}'
    assert requests(tmp_path, MOONCAKE, second) == [
        TraceRequest(0, 600, 5, Blocks((0, 1), 512)),
        TraceRequest(1.5005, 512, 1, Blocks((7,), 512)),
    ]


def test_azure(tmp_path: Path) -> None:
    made = requests(
        tmp_path,
        AZURE,
        "2023-11-16 23:59:59.6805900,374,44",
        "2023-11-17 00:00:01.6805901,1,109",
        "2023-11-17 00:00:02,2,3",
    )
    assert made == [TraceRequest(0, 374, 44), TraceRequest(2, 1, 109), TraceRequest(2.31941, 2, 3)]


def test_azure_of_2024_has_a_time_zone(tmp_path: Path) -> None:
    made = requests(
        tmp_path, AZURE, "2024-05-10 00:00:00.009930+00:00,2162,5", "2024-05-10 02:00:01+02:00,2,1"
    )
    assert [request.at_s for request in made] == [0, 0.99007]


def test_burstgpt_leaves_failures_out(tmp_path: Path) -> None:
    made = requests(
        tmp_path,
        BURSTGPT,
        "5,ChatGPT,472,18,490,Conversation log",
        "45.0,ChatGPT,1087,0,1087,API log",
        "118,GPT-4,417,276,693,Conversation log",
    )
    assert made == [TraceRequest(5, 472, 18), TraceRequest(118, 417, 276)]


def test_burstgpt_with_sessions_shares_nothing(tmp_path: Path) -> None:
    header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    made = requests(
        tmp_path,
        header,
        "19440110.0,1722,43,GPT-4,906,446,1352,Conversation log",
        '19440110.0,,1,"a,b",1,2,3,x',
    )
    assert made == [TraceRequest(19440110, 906, 446), TraceRequest(19440110, 1, 2)]


def test_manta(tmp_path: Path) -> None:
    shared = '{"at_s": 1.25, "prompt_tokens": 40, "output_tokens": 1, "hash_ids": [3, 4], "block_tokens": 32}'
    talk = '{"at_s": 1.25, "prompt_tokens": 40, "output_tokens": 1, "session": "a"}'
    assert requests(tmp_path, MANTA, shared, talk) == [
        TraceRequest(0, 3, 4),
        TraceRequest(1.25, 40, 1, Blocks((3, 4), 32)),
        TraceRequest(1.25, 40, 1, None, "a"),
    ]


def test_a_format_can_be_named(tmp_path: Path) -> None:
    assert list(read_trace(write(tmp_path, MANTA), "manta")) == [TraceRequest(0, 3, 4)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path: Path, line_end: str) -> None:
    path = tmp_path / "trace"
    lines = ["", AZURE, "", "2023-11-16 18:15:46,1,2", "  ", "2023-11-16 18:15:47,3,4"]
    for end in ("", line_end, line_end * 3):
        path.write_bytes(codecs.BOM_UTF8 + (line_end.join(lines) + end).encode())
        assert [request.num_prompt_tokens for request in read_trace(path)] == [1, 3]


@pytest.mark.parametrize(
    ("name", "num_requests", "first", "last_s"),
    [
        ("mooncake_conversation_trace.jsonl", 12_031, (6758, 500), 3536.999),
        ("AzureLLMInferenceTrace_conv.csv", 19_366, (374, 44), 3501.721937),
    ],
)
def test_the_public_files(name: str, num_requests: int, first: tuple[int, int], last_s: float) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"needs {name}, which is not on this machine")
    made = list(read_trace(SHARED / name))
    assert len(made) == num_requests
    assert (made[0].num_prompt_tokens, made[0].num_output_tokens) == first
    assert made[-1].at_s == pytest.approx(last_s, abs=1e-6)
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(made))


# ---------------------------------------------------------------- what is wrong

GOOD_AZURE = "2023-11-16 18:15:46.6805900,374,44"
TOO_MANY = "9" * 5000


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        # Nothing
        ([], "is empty"),
        (["", " "], "is empty"),
        ([AZURE], "has no requests"),
        ([BURSTGPT, "5,ChatGPT,472,0,472,API log"], "has no requests"),
        # No format
        (
            ["at,prompt,output"],
            "line 1: is the start of none of the formats mooncake, azure, burstgpt, manta: 'at,",
        ),
        (['{"time": 1}'], "line 1: is the start of none"),
        (["[1, 2]"], "line 1: is the start of none"),
        (["{"], "line 1: is the start of none"),
        (["NaN"], "line 1: is the start of none"),
        (["", "x" * 1000], "line 2: is the start of none"),
        # Headers
        (
            ["TIMESTAMP,ContextTokens,Generated", GOOD_AZURE],
            "line 1: the header has no column 'GeneratedTokens'",
        ),
        (["Timestamp,Model,Request tokens", "5,a,4"], "line 1: the header has no column 'Response tokens'"),
        # Azure
        ([AZURE, "2023-11-16,374"], "line 2: 2 values under a header of 3 columns"),
        ([AZURE, GOOD_AZURE, GOOD_AZURE + ","], "line 3: 4 values under a header of 3"),
        ([AZURE, "yesterday,374,44"], "line 2: TIMESTAMP is not a date and time: 'yesterday'"),
        ([AZURE, "2023-13-16 18:15:46,374,44"], "line 2: TIMESTAMP is not a date"),
        ([AZURE, "2023-11-16 18:15:46,-374,44"], "line 2: ContextTokens is not a whole number: '-374'"),
        ([AZURE, "2023-11-16 18:15:46,nan,44"], "line 2: ContextTokens is not a whole number: 'nan'"),
        ([AZURE, "2023-11-16 18:15:46,٣,44"], "line 2: ContextTokens is not a whole number"),
        ([AZURE, "2023-11-16 18:15:46,,44"], "line 2: ContextTokens is not a whole number: ''"),
        ([AZURE, "2023-11-16 18:15:46,374,0"], "line 2: GeneratedTokens is not from 1 to 10000000: 0"),
        (
            [AZURE, f"2023-11-16 18:15:46,{TOO_MANY},4"],
            "line 2: ContextTokens is not from 1 to 10000000: 999",
        ),
        ([AZURE, '"2023-11-16 18:15:46,374,44'], "line 2: unexpected end of data"),
        (
            [AZURE, GOOD_AZURE, "2023-11-16 18:15:46,3,4"],
            "line 3: its TIMESTAMP is 0.68059 s before that of a line",
        ),
        # BurstGPT
        ([BURSTGPT, "nan,a,4,5,9,b"], "line 2: Timestamp is not from 0 to 1e\\+11: nan"),
        ([BURSTGPT, "-1,a,4,5,9,b"], "line 2: Timestamp is not from 0"),
        ([BURSTGPT, "inf,a,4,5,9,b"], "line 2: Timestamp is not from 0"),
        ([BURSTGPT, "soon,a,4,5,9,b"], "line 2: Timestamp is not a number: 'soon'"),
        ([BURSTGPT, "1,a,0,5,9,b"], "line 2: Request tokens is not from 1"),
        ([BURSTGPT, "5,a,4,5,9,b", "4,a,4,5,9,b"], "line 3: its Timestamp is 1 s before"),
        # Mooncake
        ([MOONCAKE, "{"], "line 2: Input data was truncated"),
        ([MOONCAKE, '{"timestamp": 1}'], "line 2: Object missing required field `input_length`"),
        ([MOONCAKE.replace("600", "600.5")], "line 1: Expected `int`, got `float` - at `input_length`"),
        ([MOONCAKE.replace("600", "-600")], "line 1: Expected `int` >= 1 - at `input_length`"),
        ([MOONCAKE.replace("600", "99999999999")], "line 1: Expected `int` <= 10000000 - at `input_length`"),
        ([MOONCAKE.replace('": 5', '": 0')], "line 1: Expected `int` >= 1 - at `output_length`"),
        ([MOONCAKE, MOONCAKE.replace('"timestamp": 0', '"timestamp": NaN')], "line 2: JSON is malformed"),
        ([MOONCAKE, MOONCAKE.replace('"timestamp": 0', '"timestamp": 1e999')], "line 2: Number out of range"),
        (
            [MOONCAKE, MOONCAKE.replace('"timestamp": 0', '"timestamp": "0"')],
            "line 2: Expected `float`, got `str`",
        ),
        ([MOONCAKE.replace("[0, 1]", "[0]")], "line 1: 1 hash_ids for 600 tokens, which are 2 blocks of 512"),
        ([MOONCAKE.replace("[0, 1]", "[]")], "line 1: 0 hash_ids for 600"),
        ([MOONCAKE.replace("[0, 1]", "[0, null]")], "line 1: Expected `int`, got `null`"),
        (
            [MOONCAKE.replace('"timestamp": 0', '"timestamp": 9'), MOONCAKE],
            r"line 2: its timestamp is 0.009 s before .* jq -cs 'sort_by\(.timestamp\)\[\]' <trace >sorted",
        ),
        # Our own
        ([MANTA, MANTA.replace("prompt_tokens", "prompt_token")], "line 2: Object contains unknown field"),
        ([MANTA, MANTA.replace("}", ', "hash_id": [1]}')], "line 2: Object contains unknown field `hash_id`"),
        ([MANTA.replace('"at_s": 0', '"at_s": -1')], "line 1: Expected `float` >= 0.0 - at `at_s`"),
        ([MANTA.replace("}", ', "hash_ids": [1], "session": "a"}')], "line 1: both hash_ids and session"),
        ([MANTA.replace("}", ', "hash_ids": [1], "block_tokens": 2}')], "line 1: 1 hash_ids for 3 tokens"),
        ([MANTA.replace("}", ', "session": ""}')], "line 1: Expected `str` of length >= 1 - at `session`"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, lines: list[str], fault: str) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(BadTrace, match=fault) as caught:
        list(read_trace(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_another_format_than_named_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "something, else")
    with pytest.raises(BadTrace, match="line 1: "):
        list(read_trace(path, name))


def test_what_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="line 2: not UTF-8 text"):
        list(read_trace(write(tmp_path, BURSTGPT, "5,Möwe,4,5,9,b", encoding="latin-1")))


def test_a_file_without_line_ends_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_file, "MAX_LINE_BYTES", 200)
    with pytest.raises(BadTrace, match="line 2: longer than 200 bytes"):
        list(read_trace(write(tmp_path, MANTA, "x" * 201)))


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="none cannot be read: No such file"):
        list(read_trace(tmp_path / "none"))
    with pytest.raises(BadTrace, match="cannot be read: Is a directory"):
        list(read_trace(tmp_path))


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    lines = read_trace(write(tmp_path, MANTA, "broken"))
    assert next(lines) == TraceRequest(0, 3, 4)
    with pytest.raises(BadTrace, match="line 2"):
        next(lines)
