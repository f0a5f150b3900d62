"""Which rows may share a key: if one of these failed, a cached answer would be another than the model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, find, given, settings
from onnx import TensorProto, helper

from mlserve.backends import onnx_lookups
from mlserve.backends.onnx_lookups import find_lookups
from mlserve.types import Array, DType, Lookups, Vocabulary
from tests.support.folding import can_tell
from tests.support.zoo.onnx import constant, model, tensor
from tests.support.zoo.onnx_graphs import graphs

ML = "ai.onnx.ml"
TEXT = DType.STRING
N = (None,)


def node(op: str, *names: str, outputs: tuple[str, ...] = ("y",), name: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, list(names), list(outputs), name=name, **attributes)


def one_hot(x: str, *categories: str | int, y: str = "y", **attributes: Any) -> Any:
    kind = "cats_strings" if isinstance(categories[0], str) else "cats_int64s"
    return node("OneHotEncoder", x, outputs=(y,), domain=ML, **{kind: categories}, **attributes)


def encoder(x: str, *keys: str | int, y: str = "y") -> Any:
    kind = "keys_strings" if isinstance(keys[0], str) else "keys_int64s"
    return node("LabelEncoder", x, outputs=(y,), domain=ML, values_int64s=range(len(keys)), **{kind: keys})


def words(*values: str) -> Vocabulary:
    return Vocabulary(values, "[UNK]")


def numbers(*values: int) -> Vocabulary:
    return Vocabulary(values, 0)


def graph(
    nodes: list[Any], weights: list[Any] | None = None, outputs: Mapping[str, DType] | None = None, **settings: Any
) -> Any:
    """Over ``s`` and ``t``: string[N,1], ``m``: string[N,3], ``i``: int64[N], ``k``: int64[N,3], ``j``: int32[N]."""
    inputs = [
        tensor("s", TEXT, (None, 1)), tensor("t", TEXT, (None, 1)), tensor("m", TEXT, (None, 3)),
        tensor("i", DType.INT64, N), tensor("k", DType.INT64, (None, 3)), tensor("j", DType.INT32, N),
    ]  # fmt: skip
    used = {name for item in nodes for name in item.input}
    kinds = {"y": DType.FLOAT32} if outputs is None else outputs
    made = [tensor(name, dtype, None) for name, dtype in kinds.items()]
    return model(nodes, [info for info in inputs if info.name in used], made, weights or [], **settings)


def lookups(*args: Any, name: str, **settings: Any) -> Lookups:
    return find_lookups(graph(*args, **settings))[name]


def proved(found: Lookups) -> tuple[Vocabulary | None, Mapping[int, Vocabulary]]:
    """All but the words for a person."""
    return found.every, found.columns


EXACT: tuple[None, Mapping[int, Vocabulary]] = (None, {})


def inferring(proto: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, dict(feeds)), strict=True))


class TestEnds:
    """Where a path may end."""

    def test_one_hot(self) -> None:
        """What skl2onnx writes for every category of a table would never share a key."""
        found = lookups([node("Identity", "s", outputs=("h",)), one_hot("h", "a", "b", "é")], name="s")
        assert proved(found) == (words("a", "b", "é"), {})
        assert found.reason == "looked up by OneHotEncoder (3 categories)"
        assert lookups([one_hot("i", 4, -5)], name="i").every == numbers(4, -5)

    def test_a_refusal_is_no_default(self) -> None:
        """A category that the model refuses would be answered."""
        assert proved(lookups([one_hot("s", "a", zeros=0)], name="s")) == EXACT
        assert lookups([one_hot("s", "a", zeros=1)], name="s").every == words("a")

    @pytest.mark.parametrize(
        ("table", "vocabulary"),
        [
            ({"keys_strings": ["a"], "values_int64s": [1]}, words("a")),
            ({"keys_strings": ["a"], "values_floats": [1.0], "default_float": np.nan}, words("a")),
            ({"classes_strings": ["a", "b"], "default_int64": -1}, words("a", "b")),
            ({"keys_tensor": constant("", np.array(["é"], object)), "values_tensor": constant("", [1])}, words("é")),
            ({"keys_int64s": [1], "values_int64s": [1]}, None),
            ({"keys_tensor": constant("", [1]), "values_tensor": constant("", [1])}, None),
            ({}, None),
        ],
    )
    def test_label_encoders(self, table: Any, vocabulary: Vocabulary | None) -> None:
        """One of the forms that the op had over the years would be misread."""
        found = lookups([node("LabelEncoder", "s", domain=ML, **table)], name="s")
        assert found.every == vocabulary

    def test_label_encoders_of_numbers(self) -> None:
        """Positions in a list begin at 0, which is then no sentinel; other integers than int64 have no kernel."""
        first = node("LabelEncoder", "i", domain=ML, classes_strings=["a", "b"])
        assert proved(lookups([first], name="i")) == EXACT
        assert lookups([first], name="i").reason == "exact: 0 is a category of its own"
        assert lookups([encoder("i", 3, 4)], name="i").every == numbers(3, 4)
        assert lookups([encoder("j", 3, 4)], name="j").every is None
        keys = {"keys_tensor": constant("", [5]), "values_tensor": constant("", [1])}
        assert lookups([node("LabelEncoder", "i", domain=ML, **keys)], name="i").every == numbers(5)
        floats = model(
            [node("LabelEncoder", "x", domain=ML, keys_floats=[1.0], values_int64s=[1])],
            [tensor("x", DType.FLOAT32, N)],
            [tensor("y", DType.INT64, N)],
        )
        assert find_lookups(floats) == {}

    def test_category_mapper(self) -> None:
        """Both ways use one list each as keys."""
        cats = {"cats_strings": ["a", "b"], "cats_int64s": [1, 2], "domain": ML}
        assert lookups([node("CategoryMapper", "s", **cats)], name="s").every == words("a", "b")
        assert lookups([node("CategoryMapper", "i", **cats)], name="i").every == numbers(1, 2)

    def test_comparisons(self) -> None:
        """Either side may be the constant; all its values are told apart; Not and whatever follows reads no value."""
        nodes = [node("Equal", "c", "s", outputs=("e",)), node("Not", "e")]
        weights = [constant("c", np.array([["a", "b"]], object))]
        assert lookups(nodes, weights, name="s").every == words("a", "b")
        assert lookups(nodes, weights, name="s").reason == "compared with 2 values by Equal"
        both = [node("Equal", "i", "i")]
        assert proved(lookups(both, name="i")) == EXACT
        other = [node("Equal", "s", "t")]
        assert [proved(found) for found in find_lookups(graph(other)).values()] == [EXACT, EXACT]

    def test_all_tables_count(self) -> None:
        """A word of the second table would be unknown."""
        nodes = [one_hot("s", "a", y="y"), encoder("s", "b", y="z")]
        found = lookups(nodes, outputs={"y": DType.FLOAT32, "z": DType.INT64}, name="s")
        assert found.every == words("a", "b")
        assert found.reason == "looked up by OneHotEncoder (1 category) and looked up by LabelEncoder (1 category)"

    def test_what_follows_a_lookup_does_not_matter(self) -> None:
        """A number made of a word is no longer the word."""
        nodes = [encoder("s", "a", y="h"), encoder("h", 0, 7, y="k"), node("Neg", "k")]
        assert lookups(nodes, outputs={"y": DType.INT64, "h": DType.INT64}, name="s").every == words("a")

    @pytest.mark.parametrize(
        ("nodes", "input_name", "reason"),
        [
            ([node("StringNormalizer", "s", name="lower")], "s", "exact: StringNormalizer 'lower' reads it"),
            ([node("Identity", "s")], "s", "exact: it is an output"),
            ([one_hot("s", "a", "[UNK]")], "s", "exact: '[UNK]' is a category of its own"),
            ([node("Cast", "i", to=TensorProto.INT32)], "i", "exact: Cast reads it"),
            ([node("Cast", "i", to=TensorProto.FLOAT, name="Cast")], "i", "exact: Cast reads it"),
            ([one_hot("s", "a"), node("Neg", "i", outputs=("z",))], "i", "exact: Neg reads it"),
        ],
    )
    def test_reasons_for_exact(self, nodes: list[Any], input_name: str, reason: str) -> None:
        """An operator could not tell why the cache hits so seldom."""
        found = lookups(nodes, name=input_name)
        assert proved(found) == EXACT
        assert found.reason == reason

    def test_paths_to_nowhere_count(self) -> None:
        """onnxruntime runs them: a value that fails there would be answered from the cache."""
        nodes = [one_hot("s", "a"), one_hot("s", "b", y="nowhere", zeros=0)]
        assert proved(lookups(nodes, name="s")) == EXACT
        with pytest.raises(Exception, match="Unknown Category"):
            inferring(graph(nodes))({"s": np.array([["a"]], object)})

    def test_an_input_that_nothing_reads(self) -> None:
        """Every new value of it would be a miss; its shape is no value."""
        found = lookups([node("Shape", "s"), node("Size", "i", outputs=("z",))], outputs={"y": DType.INT64}, name="s")
        assert proved(found) == (words(), {})
        assert found.reason == "nothing reads it"


class TestColumns:
    """Columns of one matrix go different ways."""

    def test_each_has_its_own(self) -> None:
        """Known words of one column would be known in all, or one exact column would spoil the rest."""
        nodes = [
            node("Gather", "m", "two", outputs=("c",), axis=1),
            node("ArrayFeatureExtractor", "m", "zero", outputs=("a",), domain=ML),
            one_hot("c", "c", y="y"),
            encoder("a", "a", y="z"),
            node("Gather", "m", "one", outputs=("b",), axis=-1),
        ]
        weights = [constant("zero", [0]), constant("one", [1]), constant("two", [-1])]
        found = lookups(nodes, weights, {"y": DType.FLOAT32, "z": DType.INT64, "b": TEXT}, name="m")
        assert proved(found) == (None, {0: words("a"), 2: words("c")})
        assert found.reason == (
            "column 0 looked up by LabelEncoder (1 category); column 1 exact: it is an output; "
            "column 2 looked up by OneHotEncoder (1 category)"
        )

    def test_a_whole_matrix(self) -> None:
        """A vocabulary of all columns would be three."""
        assert proved(lookups([one_hot("m", "a")], name="m")) == (words("a"), {})

    def test_many_columns_are_summed_up(self) -> None:
        """The reason would fill a page."""
        nodes = [
            node("Slice", "k", "one", "end", "one", outputs=("rest",)),
            encoder("rest", 4, y="y"),
            node("Gather", "k", "zero", outputs=("z",), axis=1),
        ]
        weights = [constant("zero", 0), constant("one", [1]), constant("end", [2**62])]
        found = lookups(nodes, weights, {"y": DType.INT64, "z": DType.INT64}, name="k")
        assert proved(found) == (None, {1: numbers(4), 2: numbers(4)})
        assert found.reason == "column 0 exact: it is an output; columns 1-2 looked up by LabelEncoder (1 category)"

    @pytest.mark.parametrize(
        ("nodes", "axis", "places"),
        [
            ([node("Slice", "m", "1", "9", "1", outputs=("h",))], 1, [1]),
            ([node("Slice", "m", "-1", "-9", "1", "-1", outputs=("h",))], 1, [2]),
            ([node("Slice", "m", "1", "9", "0", outputs=("h",))], 1, [0]),
            ([node("Unsqueeze", "m", "0", outputs=("h",))], 2, [0]),
            ([node("Unsqueeze", "m", "0", outputs=("u",)), node("Squeeze", "u", "0", outputs=("h",))], 1, [0]),
            ([node("Reshape", "m", "[-1,3]", outputs=("h",))], 1, [0]),
            ([node("Flatten", "m", outputs=("h",))], -1, [0]),
            ([node("Transpose", "m", outputs=("tr",)), node("Reshape", "tr", "[-1,3]", outputs=("h",))], 1, [0, 1, 2]),
            ([node("Transpose", "m", outputs=("tr",)), node("Flatten", "tr", outputs=("h",))], 1, [0, 1, 2]),
            ([node("Transpose", "m", outputs=("tr",)), node("Reshape", "tr", "[-1,3]", outputs=("h",))], 0, [0, 1, 2]),
            ([node("Transpose", "m", outputs=("tr",)), node("Flatten", "tr", outputs=("h",))], 0, [0, 1, 2]),
            ([node("Transpose", "m", outputs=("h",))], 1, [0, 1, 2]),
            ([node("Transpose", "m", outputs=("h",))], 0, [0]),
            ([node("Split", "m", outputs=("other", "h"), axis=1, num_outputs=2)], 1, [2]),
            ([node("Gather", "m", "[1,2]", outputs=("h",), axis=1)], 1, [1]),
            (
                [node("Gather", "m", "2", outputs=("g",), axis=1), node("Concat", "g", "m", outputs=("h",), axis=1)],
                1,
                [2],
            ),
            ([node("Concat", "m", "m", outputs=("h",), axis=0)], 1, [0, 1, 2]),
            ([node("Where", "true", "m", "word", outputs=("h",))], 1, [0, 1, 2]),
        ],
    )
    def test_movers(self, nodes: list[Any], axis: int, places: list[int]) -> None:
        """The first element along ``axis`` would be looked for in another column than the one it came from."""
        weights = [constant(str(number), [number]) for number in (0, 1, 2, 9, -1, -9)]
        weights += [constant("[-1,3]", [-1, 3]), constant("[1,2]", [1, 2]), constant("true", [True])]
        weights += [constant("word", np.array(["q"], object))]
        follows = [node("Gather", "h", "0", outputs=("first",), axis=axis), one_hot("first", "a")]
        proto = graph([*nodes, *follows], weights, opset=18)
        found = find_lookups(proto)["m"]
        whole = dict.fromkeys(range(3), found.every) if found.every else found.columns
        assert whole == {place: words("a") if place in places else words() for place in range(3)}
        feeds = {"m": np.array([["u", "a", "v"], ["a", "s", "w"], ["", "new", "a"]], object)}
        assert not can_tell(inferring(proto), feeds, {"m": found})

    def test_either_side_of_a_choice(self) -> None:
        """The second of two columns to choose from would be taken for a constant."""
        nodes = [node("Where", "true", "s", "t", outputs=("h",)), one_hot("h", "a")]
        found = find_lookups(graph(nodes, [constant("true", [True])]))
        assert [proved(item) for item in found.values()] == [(words("a"), {})] * 2

    def test_what_directs_a_move_is_read(self) -> None:
        """A position in a table would be folded to the first."""
        nodes = [node("Gather", "s", "i", outputs=("h",)), one_hot("h", "a")]
        found = find_lookups(graph(nodes))
        assert found["s"].every == words("a")
        assert found["i"].reason == "exact: Gather reads it"

    def test_merged_and_split(self) -> None:
        """Exporters merge named columns and take them apart again."""
        nodes = [
            node("Concat", "s", "t", "m", outputs=("all",), axis=-1),
            node("Transpose", "all", outputs=("turned",), perm=[1, 0]),
            node("Split", "turned", "sizes", outputs=("first", "second", "others"), axis=0),
            one_hot("first", "a", y="y"),
            one_hot("second", "b", y="z"),
            one_hot("others", "c", y="o"),
        ]
        kinds = dict.fromkeys("yzo", DType.FLOAT32)
        found = find_lookups(graph(nodes, [constant("sizes", [1, 2, 2])], kinds))
        assert found["s"].every == words("a")
        assert found["t"].every == words("b")
        assert found["m"].columns == {0: words("b"), 1: words("c"), 2: words("c")}

    def test_what_cannot_be_tracked_is_everywhere(self) -> None:
        """Elements whose place is lost would be missing in one of the tables."""
        nodes = [
            node("Reshape", "m", "flat", outputs=("line",)),
            node("Gather", "line", "zero", outputs=("some",)),
            one_hot("some", "a", y="y"),
            node("ArrayFeatureExtractor", "m", "zero", outputs=("first",), domain=ML),
            one_hot("first", "b", y="z"),
        ]
        weights = [constant("flat", [-1]), constant("zero", [0])]
        found = lookups(nodes, weights, {"y": DType.FLOAT32, "z": DType.FLOAT32}, name="m")
        assert found.columns == {0: words("a", "b"), 1: words("a"), 2: words("a")}

    def test_a_fixed_number_of_rows_has_no_columns(self) -> None:
        """Places count along one row; such a request is one row as a whole."""
        nodes = [node("Gather", "x", "zero", outputs=("h",), axis=1), one_hot("h", "a")]
        proto = model(nodes, [tensor("x", TEXT, (8, 2))], [tensor("y", DType.FLOAT32, None)], [constant("zero", [0])])
        assert proved(find_lookups(proto)["x"]) == (words("a"), {})


class TestConstants:
    """Only what cannot be another at the next run."""

    def compare(self, *before: Any, weights: Any = (), **settings: Any) -> Lookups:
        nodes = [*before, node("Equal", "s", "c")]
        return find_lookups(graph(nodes, weights, {"y": DType.BOOL}, opset=19, **settings))["s"]

    @pytest.mark.parametrize(
        "held",
        [
            {"value": constant("", np.array(["a"], object))},
            {"value_string": "a"},
            {"value_strings": ["a"]},
        ],
    )
    def test_nodes(self, held: dict[str, Any]) -> None:
        """A comparison with a constant of another spelling would be exact."""
        through = node("Identity", "k", outputs=("c",))
        assert self.compare(node("Constant", outputs=("k",), **held), through).every == words("a")

    def test_an_initializer_that_callers_may_feed(self) -> None:
        """A value that is known to the fed constant alone would be unknown."""
        proto = graph([node("Equal", "s", "c")], [constant("c", np.array(["a"], object))], {"y": DType.BOOL})
        assert find_lookups(proto)["s"].every == words("a")
        proto.graph.input.append(tensor("c", TEXT, (1,)))
        assert {name: proved(found) for name, found in find_lookups(proto).items()} == {"s": EXACT}

    def test_external_data(self) -> None:
        """The values lie in a file that is not read."""
        held = constant("c", np.array([5]))
        held.data_location = TensorProto.EXTERNAL
        proto = graph([node("Equal", "i", "c")], [held], {"y": DType.BOOL})
        assert proved(find_lookups(proto)["i"]) == EXACT

    def test_words_that_are_not_utf_8(self) -> None:
        """A model with one stray byte would not load."""
        held = helper.make_tensor("c", TensorProto.STRING, [1], [b"\xff"])
        assert self.compare(weights=[held]).every == words("\udcff")


class TestScopes:
    """Functions and bodies."""

    def function(self, nodes: list[Any], attributes: tuple[str, ...] = ()) -> Any:
        imports = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3), helper.make_opsetid("local", 1)]
        return helper.make_function("local", "F", ["a", "b"], ["r", "same"], nodes, imports, attributes)

    def test_calls_are_followed(self) -> None:
        """Exporters that write functions would never share a key; arguments and attributes are the call's."""
        held = node("OneHotEncoder", "h", outputs=("r",), domain=ML)
        held.attribute.add(name="cats_strings", ref_attr_name="cats", type=onnx.AttributeProto.STRINGS)
        nodes = [
            node("Gather", "a", "b", outputs=("h",), axis=1), held,
            node("Identity", "a", outputs=("same",)),
        ]  # fmt: skip
        call = node("F", "m", "one", outputs=("y", "again"), domain="local", cats=["q", "r"])
        weights = [constant("one", [1])]
        follows = [node("Gather", "again", "one", outputs=("second",), axis=1), one_hot("second", "s", y="z")]
        proto = graph(
            [call, *follows],
            weights,
            {"y": DType.FLOAT32, "z": DType.FLOAT32},
            functions=[self.function(nodes, ("cats",))],
        )
        assert find_lookups(proto)["m"].columns == {0: words(), 1: words("q", "r", "s"), 2: words()}
        feeds = {"m": np.array([["u", "q", "v"], ["w", "s", "w"], ["", "new", ""]], object)}
        assert not can_tell(inferring(proto), feeds, find_lookups(proto))

    def test_a_call_that_reads(self) -> None:
        """What a function does would not be seen."""
        nodes = [node("StringNormalizer", "a", outputs=("r",)), node("Identity", "b", outputs=("same",))]
        proto = graph([node("F", "s", "t", outputs=("y", "z"), domain="local")], functions=[self.function(nodes)])
        assert find_lookups(proto)["s"].reason == "exact: StringNormalizer reads it"
        assert find_lookups(proto)["t"].every == words()

    def test_a_function_that_calls_itself(self) -> None:
        """The walk would never end."""
        nodes = [node("F", "a", "b", outputs=("r", "same"), domain="local")]
        proto = graph([node("F", "s", "t", outputs=("y", "z"), domain="local")], functions=[self.function(nodes)])
        assert "deep" in find_lookups(proto)["s"].reason

    def test_a_function_with_a_standard_name(self) -> None:
        """Some other op would be taken for the lookup."""
        function = helper.make_function(ML, "OneHotEncoder", ["a"], ["r"], [], [helper.make_opsetid("", 17)])
        found = lookups([one_hot("s", "a")], functions=[function], name="s")
        assert found.reason == "exact: the model has a function in the domain of the standard ops"

    def test_a_body_that_takes_it_from_outside(self) -> None:
        """A branch reads what its node does not list as an input, two bodies down."""
        inner = helper.make_graph([node("Identity", "s", outputs=("o",))], "b", [], [tensor("o", TEXT, None)])
        nested = node("If", "c", outputs=("o",), then_branch=inner, else_branch=inner)
        outer = helper.make_graph([nested], "b", [], [tensor("o", TEXT, None)])
        branching = node("If", "c", outputs=("z",), name="if", then_branch=outer, else_branch=outer)
        proto = graph([one_hot("s", "a"), branching], [constant("c", np.bool_(True))], {"y": DType.FLOAT32, "z": TEXT})
        assert find_lookups(proto)["s"].reason == "exact: If 'if' reads it in a body of its own"


class TestLimits:
    """Graphs that cannot be followed are exact."""

    def test_nodes_out_of_order(self) -> None:
        """onnxruntime sorts them, so a use before the making would be overlooked."""
        nodes = [node("Identity", "h"), node("Identity", "s", outputs=("h",))]
        assert lookups(nodes, name="s").reason == "exact: the nodes of the graph are not in order"

    def test_too_large_a_graph(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A load would take minutes."""
        nodes = [node("Identity", "s", outputs=("h",)), one_hot("h", "a")]
        monkeypatch.setattr(onnx_lookups, "_MOST_STEPS", 2)
        assert lookups(nodes, name="s").reason == "exact: the graph is too large to follow"

    def test_wide_rows_are_one(self) -> None:
        """A picture's pixels would be a place each."""
        nodes = [node("Gather", "x", "zero", outputs=("h",), axis=1), one_hot("h", "a")]
        wide = [tensor("x", TEXT, (None, 5000))]
        proto = model(nodes, wide, [tensor("y", DType.FLOAT32, None)], [constant("zero", [0])])
        assert proved(find_lookups(proto)["x"]) == (words("a"), {})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs())
def test_what_folds_has_the_same_answer(made: tuple[Any, dict[str, Array]]) -> None:
    """Some way from an input to an output would be overlooked."""
    proto, feeds = made
    assert not can_tell(inferring(proto), feeds, find_lookups(proto))


@pytest.mark.parametrize("missing", [1, 2])
def test_a_wrong_vocabulary_is_told(missing: int) -> None:
    """The test above would pass whatever was found."""

    def robbed(found: Lookups) -> Lookups:
        def less(vocabulary: Vocabulary) -> Vocabulary:
            return Vocabulary(sorted(vocabulary.words, key=str)[missing:], vocabulary.sentinel)

        columns = {place: less(vocabulary) for place, vocabulary in found.columns.items()}
        return Lookups(found.reason, found.every and less(found.every), columns)

    def is_told(made: tuple[Any, dict[str, Array]]) -> bool:
        proto, feeds = made
        found = {name: robbed(item) for name, item in find_lookups(proto).items()}
        return can_tell(inferring(proto), feeds, found)

    find(graphs(), is_told, settings=settings(max_examples=2000, deadline=None, database=None))
