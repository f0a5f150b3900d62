"""Bodies that ``POST …/eval`` must refuse, as data: pure tests and tests over a real socket share them.

Each refusal is a 400 (or the code given) whose text holds the fragment, against :data:`INTERFACE`.
"""

from __future__ import annotations

from typing import NamedTuple

from mlserve.types import DType, InputField, Interface, Serving, TensorSpec

INTERFACE = Interface(
    inputs=(
        InputField("sa", DType.STRING, ()),
        InputField("age", DType.INT32, ()),
        InputField("price", DType.FLOAT32, ()),
        InputField("tiny", DType.UINT8, (), default=7),
        InputField("half", DType.FLOAT16, (), default=0.5),
        InputField("big", DType.UINT64, (), default=0),
        InputField("flag", DType.BOOL, (), default=False),
        InputField("vec", DType.FLOAT64, (3,), default=0.0),
        InputField("free", DType.INT64, (None,), default=[1, 2]),
        InputField("wave", DType.COMPLEX64, (), default=[0, 0]),
    ),
    outputs=(TensorSpec("score", DType.FLOAT32, (None, 1)),),
    serving=Serving.ROWS,
)
MAX_ROWS = 100

GOOD = b'{"sa":"a","age":30,"price":1.5}'
"""A body that the same interface takes."""


class Malformed(NamedTuple):
    name: str
    body: bytes
    fragment: str
    code: str = "bad_request"


def _with(members: bytes) -> bytes:
    return b'{"sa":"a","age":30,"price":1.5,' + members + b"}"


MALFORMED: tuple[Malformed, ...] = (
    # not a JSON object
    Malformed("empty", b"", "the body is empty: send a JSON object such as"),
    Malformed("white", b" \r\n\t ", "the body is empty"),
    Malformed("array", b"[1,2]", "expected a JSON object such as"),
    Malformed("string", b'"sa"', "expected a JSON object such as"),
    Malformed("number", b"1", "expected a JSON object such as"),
    Malformed("null", b"null", "expected a JSON object such as"),
    Malformed("form", b"sa=a&age=30", "invalid JSON at byte 0"),
    Malformed("xml", b"<sa>a</sa>", "invalid JSON at byte 0"),
    Malformed("zero bytes", b"\0\0\0\0", "invalid JSON at byte 0"),
    Malformed("utf-16", '{"sa":"a"}'.encode("utf-16"), "invalid JSON at byte 0"),
    Malformed("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "invalid JSON at byte 0"),
    Malformed("bare byte order mark", b"\xef\xbb\xbf", "invalid JSON at byte 0"),
    # not JSON
    Malformed("cut in a name", b'{"sa', "invalid JSON at byte 1"),
    Malformed("cut in a value", b'{"sa":"a', "invalid JSON at byte 6"),
    Malformed("cut after an escape", b'{"sa":"a\\', "invalid JSON"),
    Malformed("cut in a list", b'{"sa":["a",', "invalid JSON"),
    Malformed("cut before the brace", b'{"sa":"a","age":30,"price":1.5', "invalid JSON at byte 30"),
    Malformed("trailing garbage", GOOD + b"x", "invalid JSON at byte 31: Extra data"),
    Malformed("two objects", GOOD + GOOD, "invalid JSON at byte 31: Extra data"),
    Malformed("trailing comma", b'{"sa":"a","age":30,"price":1.5,}', "invalid JSON"),
    Malformed("missing comma", b'{"sa":"a" "age":30,"price":1.5}', "invalid JSON at byte 10"),
    Malformed("leading comma", b'{,"sa":"a","age":30,"price":1.5}', "invalid JSON"),
    Malformed("single quotes", b"{'sa':'a'}", "invalid JSON at byte 1"),
    Malformed("name without quotes", b'{sa:"a"}', "invalid JSON at byte 1"),
    Malformed("number as a name", b'{1:"a"}', "invalid JSON at byte 1"),
    Malformed("comment", b'{"sa":"a"/*c*/}', "invalid JSON at byte 9"),
    Malformed("Python words", b'{"sa":None}', "invalid JSON at byte 6"),
    Malformed("leading zero", b'{"sa":"a","age":030,"price":1.5}', "invalid JSON"),
    Malformed("plus sign", b'{"sa":"a","age":+30,"price":1.5}', "invalid JSON"),
    Malformed("bare point", b'{"sa":"a","age":30,"price":.5}', "invalid JSON"),
    Malformed("hexadecimal", b'{"sa":"a","age":0x1e,"price":1.5}', "invalid JSON"),
    Malformed("unknown escape", b'{"sa":"\\q","age":30,"price":1.5}', "invalid JSON"),
    Malformed("short escape", b'{"sa":"\\u12","age":30,"price":1.5}', "invalid JSON"),
    Malformed("lone high surrogate", b'{"sa":"\\ud800","age":30,"price":1.5}', "a surrogate without its other half"),
    Malformed("lone low surrogate", b'{"sa":"\\udc80","age":30,"price":1.5}', "a surrogate without its other half"),
    Malformed("reversed surrogates", b'{"sa":"\\ude00\\ud83d"}', "a surrogate without its other half"),
    Malformed("NaN", b'{"sa":"a","age":30,"price":NaN}', "NaN is no JSON number"),
    Malformed("Infinity", b'{"sa":"a","age":30,"price":Infinity}', "Infinity is no JSON number"),
    Malformed("-Infinity", b'{"sa":"a","age":30,"price":-Infinity}', "-Infinity is no JSON number"),
    Malformed("+Inf of Go", b'{"sa":"a","age":30,"price":+Inf}', "invalid JSON"),
    Malformed("deep lists", b'{"sa":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 128 levels"),
    Malformed("deep objects", b'{"sa":' * 5_000 + b"1" + b"}" * 5_000, "nested more than 128 levels"),
    Malformed("deep and never closed", b"[" * 1_000_000, "nested more than 128 levels"),
    Malformed("number beyond double", _with(b'"tiny":1e400'), "beyond the range of float64"),
    Malformed("endless integer", _with(b'"big":' + b"9" * 100_000), "an integer longer than any dtype holds"),
    # names
    Malformed("nothing given", b"{}", "failed to build request due to missing fields: [sa age price]"),
    Malformed("one missing", b'{"sa":"a","price":1.5}', "failed to build request due to missing fields: [age]"),
    Malformed("unknown", _with(b'"extra":1'), "unknown field: 'extra', available: [sa age price"),
    Malformed("misspelt", b'{"sa":"a","agee":30,"price":1.5}', "unknown field: 'agee' (did you mean 'age'?)"),
    Malformed("other case", b'{"SA":"a","age":30,"price":1.5}', "missing fields: [sa]"),
    Malformed("empty name", _with(b'"":1'), "unknown field: ''"),
    Malformed("many unknown", _with(b",".join(b'"x%d":1' % i for i in range(5000))), "and 4997 more"),
    Malformed("huge unknown name", _with(b'"' + b"n" * 100_000 + b'":1'), "unknown field: 'nnnn"),
    Malformed("control characters in a name", _with(b'"a\x1b[2J":1'), "unknown field: 'a\\x1b[2J'"),
    Malformed("bytes in a name", _with(b'"a\xff":1'), "unknown field: 'a\\udcff'"),
    # batch_size
    Malformed("batch_size 0", _with(b'"batch_size":0'), "batch_size: expected a whole number from 1 to 100, got 0"),
    Malformed("batch_size -1", _with(b'"batch_size":-1'), "batch_size: expected a whole number"),
    Malformed("batch_size true", _with(b'"batch_size":true'), "batch_size: expected a whole number"),
    Malformed("batch_size text", _with(b'"batch_size":"2"'), "batch_size: expected a whole number"),
    Malformed("batch_size null", _with(b'"batch_size":null'), "batch_size: expected a whole number"),
    Malformed("batch_size list", _with(b'"batch_size":[2]'), "batch_size: expected a whole number"),
    Malformed("batch_size 1.5", _with(b'"batch_size":1.5'), "batch_size: expected a whole number"),
    Malformed("batch_size 2.0", _with(b'"batch_size":2.0'), "batch_size: expected a whole number"),
    Malformed("batch_size 101", _with(b'"batch_size":101'), "at most 100 rows are taken", "too_large"),
    Malformed("batch_size 2^60", _with(b'"batch_size":1152921504606846976'), "at most 100 rows", "too_large"),
    Malformed("batch_size 1e300", _with(b'"batch_size":1e300'), "at most 100 rows", "too_large"),
    # lengths
    Malformed("101 rows", b'{"sa":[' + b'"a",' * 100 + b'"a"],"age":1,"price":1}', "101 rows in one", "too_large"),
    Malformed("empty list", b'{"sa":[],"age":30,"price":1.5}', "field 'sa': the list is empty"),
    Malformed("empty lists", b'{"sa":[],"age":[],"price":[]}', "field 'sa': the list is empty"),
    Malformed("empty list in a batch", b'{"sa":["a","b"],"age":[],"price":1}', "field 'age': the list is empty"),
    Malformed("short list", b'{"batch_size":3,"sa":["a","b"],"age":1,"price":1}', "a list of 2 rows, batch_size is 3"),
    Malformed(
        "long list", b'{"batch_size":2,"sa":["a","b","c"],"age":1,"price":1}', "a list of 3 rows, batch_size is 2"
    ),
    Malformed("long for batch_size 1", b'{"batch_size":1,"sa":["a","b"],"age":1,"price":1}', "batch_size is 1"),
    Malformed(
        "uneven lists", b'{"sa":["a","b","c"],"age":[1,2],"price":1}', "a list of 2 rows, the longest list has 3"
    ),
    # types
    Malformed("number for a string", b'{"sa":1,"age":30,"price":1.5}', "field 'sa': expected a string"),
    Malformed("bool for a string", b'{"sa":true,"age":30,"price":1.5}', "field 'sa': expected a string"),
    Malformed("object for a string", b'{"sa":{},"age":30,"price":1.5}', "field 'sa': expected a string"),
    Malformed("null for a string", b'{"sa":null,"age":30,"price":1.5}', "null is for inputs with a Default"),
    Malformed("nested for a scalar", b'{"sa":[["a"]],"age":30,"price":1.5}', "row 0: expected a string"),
    Malformed("one wrong row", b'{"sa":["a",1],"age":30,"price":1.5}', "field 'sa', row 1: expected a string"),
    Malformed("string for an int", b'{"sa":"a","age":"30","price":1.5}', "field 'age': expected a whole number"),
    Malformed("fraction for an int", b'{"sa":"a","age":1.7,"price":1.5}', "field 'age': expected a whole number"),
    Malformed("bool for an int", b'{"sa":"a","age":true,"price":1.5}', "field 'age': expected a whole number"),
    Malformed("null for an int", b'{"sa":"a","age":null,"price":1.5}', "field 'age': expected a whole number"),
    Malformed("null in a column", b'{"sa":"a","age":[1,null],"price":1.5}', "field 'age', row 1"),
    Malformed("int32 overflow", b'{"sa":"a","age":2147483648,"price":1.5}', "-2147483648 to 2147483647 (int32)"),
    Malformed("int32 underflow", b'{"sa":"a","age":-2147483649,"price":1.5}', "-2147483648 to 2147483647 (int32)"),
    Malformed("inexact int", _with(b'"free":[9007199254740993.0]'), "from 2^53 on without point or exponent"),
    Malformed("256 for uint8", _with(b'"tiny":256'), "a whole number from 0 to 255 (uint8), got 256"),
    Malformed("300 for uint8", _with(b'"tiny":300'), "a whole number from 0 to 255 (uint8), got 300"),
    Malformed("-1 for uint8", _with(b'"tiny":-1'), "a whole number from 0 to 255 (uint8), got -1"),
    Malformed("2^64 for uint64", _with(b'"big":18446744073709551616'), "18446744073709551615 (uint64)"),
    Malformed("-1 for uint64", _with(b'"big":-1'), "18446744073709551615 (uint64), got -1"),
    Malformed("string for a float", b'{"sa":"a","age":30,"price":"1.5"}', "field 'price': expected a number (float32)"),
    Malformed("bool for a float", b'{"sa":"a","age":30,"price":false}', "field 'price': expected a number (float32)"),
    Malformed("1e39 for float32", b'{"sa":"a","age":30,"price":1e39}', "within the range of float32, got 1e+39"),
    Malformed("overflow in row 1", b'{"sa":"a","age":30,"price":[1,-1e39]}', "field 'price', row 1"),
    Malformed("70000 for float16", _with(b'"half":70000'), "within the range of float16"),
    Malformed("1 for a bool", _with(b'"flag":1'), "field 'flag': expected true or false"),
    Malformed("text for a bool", _with(b'"flag":"true"'), "field 'flag': expected true or false"),
    Malformed("bad base64", b'{"sa":{"b64":"a?"},"age":30,"price":1.5}', "base64"),
    Malformed("base64 without padding", b'{"sa":{"b64":"/w"},"age":30,"price":1.5}', "base64"),
    Malformed("number as base64", b'{"sa":{"b64":1},"age":30,"price":1.5}', "expected a string"),
    Malformed("base64 and more", b'{"sa":{"b64":"","x":1},"age":30,"price":1.5}', "expected a string"),
    # shapes
    Malformed("scalar for a vector", _with(b'"vec":1'), "field 'vec': expected a list of shape [3] (float64)"),
    Malformed("short vector", _with(b'"vec":[1,2]'), "expected a row of shape [3], got [2]"),
    Malformed("long vector", _with(b'"vec":[1,2,3,4]'), "expected a row of shape [3], got [4]"),
    Malformed("deep vector", _with(b'"vec":[[[1,2,3]]]'), "lists nested 3 deep"),
    Malformed("empty vector", _with(b'"vec":[]'), "field 'vec': the list is empty"),
    Malformed("ragged batch", _with(b'"vec":[[1,2,3],[1,2]]'), "field 'vec', row 1: 2 values"),
    Malformed("ragged free rows", _with(b'"free":[[1],[2,3]]'), "field 'free', row 1: 2 values"),
    Malformed("scalar among rows", _with(b'"vec":[[1,2,3],4]'), "field 'vec', row 1: a single value"),
    Malformed("string in a vector", _with(b'"vec":[1,"2",3]'), "field 'vec', element [1]: expected a number"),
    Malformed("string in a batch", _with(b'"vec":[[1,2,3],[1,2,"3"]]'), "field 'vec', row 1, element [2]"),
    Malformed("object for a vector", _with(b'"vec":{"0":1}'), "field 'vec': expected a list of shape [3]"),
    Malformed("number for a complex", _with(b'"wave":1'), "expected a pair [re, im]"),
    Malformed("three for a complex", _with(b'"wave":[1,2,3]'), "expected a pair [re, im]"),
    Malformed("string in a complex", _with(b'"wave":[1,"2"]'), "field 'wave': expected a number"),
)
