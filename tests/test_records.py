import io
import json
import random
from typing import Any

import pytest
import records as made
from hypothesis import given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.exchange.records import read_records


class Slow:
    """Gives the bytes in pieces of random sizes, as a network would."""

    def __init__(self, data: bytes, seed: int, most: int) -> None:
        self._file, self._random, self._most = io.BytesIO(data), random.Random(seed), most

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._random.randint(1, self._most)))


def read(data: str | bytes, seed: int = 0, most: int = 10**9) -> list[tuple[str | None, Any]]:
    stream = Slow(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, seed, most)
    return [(key, record) for key, record, _ in read_records(stream, "x.json")]


@given(
    st.lists(made.odd_records(), min_size=1, max_size=4),
    st.sampled_from([None, 0, 3]),
    st.integers(0, 9),
    st.sampled_from([1, 7, 10**9]),
)
@settings(max_examples=60)
def test_records_are_those_of_json_however_the_bytes_come(
    expected: list[made.Json], indent: int | None, seed: int, most: int
) -> None:
    text = json.dumps(expected, indent=indent)
    assert made.equal([record for _, record in read(text, seed, most)], json.loads(text))
    lists = json.dumps({"top": expected, "mid]}": expected[:1]}, indent=indent)
    found = read(lists, seed, most)
    assert [key for key, _ in found] == ["top"] * len(expected) + ["mid]}"]
    assert made.equal([record for _, record in found], json.loads(json.dumps([*expected, expected[0]])))


def test_texts_and_inner_lists_that_look_like_the_end_of_a_record_are_not_taken_for_one() -> None:
    expected = [{"a": "}, {", "b": [{"c": 1}, {"c": '"}, {"'}]}, {"a": '\\"}, {', "b": {"d": [{}, {}]}}, {"a": "\\"}]
    assert [record for _, record in read(json.dumps(expected))] == expected
    assert [record for _, record in read(json.dumps(expected), 1, 1)] == expected


def test_numbers_that_are_not_strict_json_are_read() -> None:
    [(_, record), (_, other)] = read('[{"a": [NaN, -Infinity, 1e999], "b": 123456789012345678901234567890}, {"a": 1}]')
    assert str(record) == "{'a': [nan, -inf, inf], 'b': 123456789012345678901234567890}"
    assert other == {"a": 1}


def test_a_byte_order_mark_and_space_around_do_not_matter() -> None:
    assert read(b'\xef\xbb\xbf \n[ {"a": 1}\t,\r\n{"a": 2} ]\n ') == [(None, {"a": 1}), (None, {"a": 2})]
    assert read(' {"top" : [ {} ] , "m\\u00e4d":[{}]} ') == [("top", {}), ("mäd", {})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", r"x\.json is empty, expected a list of records; fetch it again\."),
        (" \n", r"x\.json is empty"),
        ("3", r"x\.json does not hold a list of records; give a file in the published format\."),
        ("errors: 1", r"x\.json does not hold a list of records"),
        (b"\x89HDF\r\n", r"x\.json does not hold a list of records"),
        ("[]", r"x\.json does not hold a list of records; give a file"),
        ("{}", r"x\.json does not hold a list of records; give a file"),
        ('{"top": []}', r"x\.json does not hold a list of records for 'top'; give a file"),
        ('{"top": [{}], "mid": []}', r"x\.json does not hold a list of records for 'mid'; give a file"),
        ('{"top": 3}', r"x\.json does not hold a list of records for 'top'; give a file"),
        ("[3]", r"cannot be read as JSON \(record 0 is no object\); fetch it again\."),
        ("[{}, [1]]", r"cannot be read as JSON \(record 1 is no object\); fetch it again\."),
        ("[{}, ]", r"cannot be read as JSON \(record 1 is no object\)"),
        ("[{} {}]", r"cannot be read as JSON \(there is no comma after record 0\)"),
        ("[{}", r"cannot be read as JSON \(it ends too early\)"),
        ("[{},", r"cannot be read as JSON \(it ends after record 1\)"),
        ('[{}, {"a": [1, 2', r"cannot be read as JSON \(it ends within record 1\)"),
        ('[{}, {"a": "b}]', r"cannot be read as JSON \(it ends within record 1\)"),
        ('[{}, {"a": 1]', r"cannot be read as JSON \(record 1: .*\)"),
        ('[{"a": wrong}, {}]', r"cannot be read as JSON \(record 0: Expecting value: .*\)"),
        (b'[{"a": "\xff"}]', r"cannot be read as JSON \(record 0: 'utf-8' codec .*\)"),
        ("[{}]]", r"cannot be read as JSON \(it goes on after its end\)"),
        ("[{}] [{}]", r"cannot be read as JSON \(it goes on after its end\)"),
        ('{"top": [{}] "mid": [{}]}', r"cannot be read as JSON \(an object of lists goes on without a comma\)"),
        ('{"top" [{}]}', r"cannot be read as JSON \(there is no colon after 'top'\)"),
        ('{"top', r"cannot be read as JSON \(it ends within a key\)"),
        ('{"\\x": [{}]}', r"cannot be read as JSON \(.*escape.*\)"),
        ('[{"a": ' + "[" * 100_000, r"cannot be read as JSON \(it ends within record 0\)"),
        ('[{"a": ' + "[" * 100_000 + "]" * 100_000 + "}]", r"cannot be read as JSON \(record 0: .*recursion.*\)"),
    ],
)
def test_what_is_no_published_file_is_refused_in_one_sentence(data: str | bytes, message: str) -> None:
    for most in (1, 10**9) if len(data) < 1000 else (10**9,):
        with pytest.raises(EdfkitError, match=message) as caught:
            read(data, 0, most)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(".")


def test_a_record_without_end_is_refused_before_it_fills_the_memory() -> None:
    class Endless:
        def __init__(self) -> None:
            self.count = 0

        def read(self, size: int) -> bytes:
            start = b"" if self.count else b'[{"a": ['
            self.count += size
            return start + b"1, " * (size // 3)

    stream = Endless()
    with pytest.raises(EdfkitError, match="record 0 has more than 16,777,216 bytes"):
        list(read_records(stream, "x.json"))
    assert stream.count < 2**26
