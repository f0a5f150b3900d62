"""Vocabularies are proofs: where one is found, whatever is outside of it may be its sentinel instead."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlserve.backends import tensorflow_tables
from mlserve.backends.tensorflow import TensorFlowBackend
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.types import DType, Lookups, TensorSpec, Vocabulary
from tests.support.lookup_models import (
    keras_floats,
    keras_numbers,
    keras_refusing,
    keras_words,
    save_keras,
    save_rules,
    save_tables,
)
from tests.support.zoo.tensorflow import TensorFlowZoo, signature_name

REPOSITORY = Path(__file__).parents[2]

Expected = frozenset[Any] | dict[int, frozenset[Any]] | str
"""The words of all elements, those of some columns, or where every element is exact a pattern of the reason."""


def words(*known: Any) -> frozenset[Any]:
    return frozenset(known)


def find(tensorflow: Any, keys: Any, known: Any = "ab", default: Any = -1) -> Any:
    """``keys`` looked up in a table of its own."""
    lookup = tensorflow.lookup
    filling = lookup.KeyValueTensorInitializer(tensorflow.constant(list(known), keys.dtype), list(range(len(known))))
    return lookup.StaticHashTable(filling, default).lookup(keys)


def found_in_function(tf: Any, x: Any) -> Any:
    inner = tf.function(lambda keys, found: tf.stack([found, find_in(tf, keys)]))

    def find_in(tf: Any, keys: Any) -> Any:
        return tf.raw_ops.LookupTableFindV2(table_handle=handle, keys=tf.identity(keys), default_value=default)

    handle, default = tf.raw_ops.HashTableV2(key_dtype="string", value_dtype="int64"), tf.constant(-1, "int64")
    filling = tf.raw_ops.LookupTableImportV2(table_handle=handle, keys=["a", "b"], values=tf.constant([1, 2], "int64"))
    tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS, filling)
    return tf.function(lambda keys: inner(keys, find_in(tf, keys)))(x)


def called_directly(tf: Any, x: Any) -> Any:
    from tensorflow.python.framework.function import Defun

    @Defun(tf.string, tf.string)  # type: ignore[untyped-decorator]
    def swap(one: Any, other: Any) -> Any:
        return other, one

    other, one = swap(x, tf.constant(["other"]))
    return tf.concat([find(tf, one), find(tf, other, "zx")], 0)


def asserted_in_function(tf: Any, x: Any) -> Any:
    def body(keys: Any) -> Any:
        tf.raw_ops.Assert(condition=True, data=[keys])
        return tf.size(keys)

    return tf.function(body)(x)


def unused_in_function(tf: Any, x: Any) -> Any:
    def body(keys: Any) -> Any:
        tf.strings.upper(keys)
        return tf.size(keys)

    return tf.function(body)(x)


def found_in_branch(tf: Any, x: Any) -> Any:
    return tf.function(
        lambda keys: tf.cond(tf.size(keys) > 1, lambda: tf.equal(keys, "q"), lambda: tf.not_equal(keys, "r"))
    )(x)


def found_in_loop(tf: Any, x: Any) -> Any:
    def step(count: Any, hits: Any) -> Any:
        return count + 1, tf.logical_or(hits, tf.equal(x, "q"))

    return tf.while_loop(lambda count, hits: count < 2, step, [0, tf.equal(x, "r")])[1]


def written(tf: Any, x: Any, *, alias: bool = False) -> Any:
    def handle() -> Any:
        return tf.raw_ops.MutableHashTableV2(key_dtype="string", value_dtype="int64", shared_name=f"alias_{alias}")

    reading = handle()
    writing = handle() if alias else reading
    one = tf.constant([1], "int64")
    insert = tf.raw_ops.LookupTableInsertV2(table_handle=writing, keys=["new"], values=one)
    with tf.control_dependencies([insert]):
        return tf.raw_ops.LookupTableFindV2(table_handle=reading, keys=x, default_value=tf.constant(-1, "int64"))


def found_in(tf: Any, x: Any, handle: Any, default: Any = -1.0) -> Any:
    return tf.raw_ops.LookupTableFindV2(table_handle=handle, keys=x, default_value=default)


RULES: dict[str, tuple[Callable[[Any, Any], Any], Expected]] = {
    "word_moved": (
        lambda tf, x: find(tf, tf.reshape(tf.squeeze(tf.transpose(tf.expand_dims(tf.tile(x, [2]), 0))), [-1, 1])),
        words("a", "b"),
    ),
    "word_in_two_tables": (lambda tf, x: find(tf, x) + find(tf, x, "bc"), words("a", "b", "c")),
    "word_default_is_a_value": (lambda tf, x: find(tf, x, ["a", "[UNK]"], default=1), words("a", "[UNK]")),
    "word_sentinel_has_a_value": (lambda tf, x: find(tf, x, ["a", "[UNK]"]), r"exact: '\[UNK\]' is a word of its own"),
    "word_compared": (lambda tf, x: tf.stack([tf.equal("q", x), tf.not_equal(x, ["r"])]), words("q", "r")),
    "word_compared_with_itself": (lambda tf, x: tf.equal(x, tf.reverse(x, [0])), "exact: Equal reads it"),
    "word_filled_in": (lambda tf, x: find(tf, tf.where(tf.equal(x, ""), "missing", x)), words("", "a", "b")),
    "word_joined": (lambda tf, x: find(tf, tf.concat([x, ["z"]], 0)), words("a", "b")),
    "word_shape": (lambda tf, x: [tf.shape(x), tf.size(x), tf.rank(x)][0], words()),
    "word_unused": (lambda tf, x: [tf.constant([1]), tf.strings.upper(x)][0], words()),
    "word_output": (lambda tf, x: tf.identity(x), "exact: it is the output 'y'"),
    "word_also_hashed": (
        lambda tf, x: find(tf, x) + tf.cast(tf.strings.to_hash_bucket_fast(x, 3), "int32"),
        "exact: StringToHashBucketFast reads it .*num_oov_indices=2",
    ),
    "word_default_varies": (lambda tf, x: find(tf, x, default=tf.size(x)), "exact: the table or the default of"),
    "word_default_is_the_word": (
        lambda tf, x: tf.raw_ops.LookupTableFindV2(
            table_handle=tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(["a"], ["b"]), "c"
            ).resource_handle,
            keys=tf.constant(["z"]),
            default_value=x[0],
        ),
        "exact: the table or the default of",
    ),
    "word_in_function": (found_in_function, words("a", "b")),
    "word_called_directly": (called_directly, words("a", "b")),
    "word_asserted_in_function": (asserted_in_function, "exact: Assert reads it"),
    "word_unused_in_function": (unused_in_function, words()),
    "word_in_branch": (found_in_branch, "exact: (Stateless)?If reads it"),
    "word_in_loop": (found_in_loop, "exact: (Stateless)?(While|Enter) reads it"),
    "word_in_written_table": (written, "exact: table '.*' may change while the model runs: LookupTableInsertV2"),
    "word_in_table_written_elsewhere": (
        lambda tf, x: written(tf, x, alias=True),
        "exact: table '.*' may change while the model runs: LookupTableInsertV2",
    ),
    "word_in_table_never_filled": (
        lambda tf, x: found_in(tf, x, tf.raw_ops.HashTableV2(key_dtype="string", value_dtype="float32")),
        "exact: table '.*' is not filled as the model is loaded",
    ),
    "word_in_table_made_anew": (
        lambda tf, x: found_in(
            tf, x, tf.raw_ops.AnonymousMutableHashTable(key_dtype="string", value_dtype="float32")
        ),
        "exact: the table or the default of",
    ),
    "number_in_wide_table": (lambda tf, x: find(tf, x, [3, 2**40]), words(3, 2**40)),
    "number_narrowed": (lambda tf, x: find(tf, tf.cast(x, "int32"), [3, 5]), "exact: Cast reads it"),
    "number_as_float": (lambda tf, x: tf.equal(tf.cast(x, "float32"), 3.0), "exact: Cast reads it"),
    "number_as_text": (lambda tf, x: find(tf, tf.strings.as_string(x)), "exact: AsString reads it .*Hashing"),
    "number_as_index": (lambda tf, x: tf.gather([1.0, 2.0], x), "exact: GatherV2 reads it .*Embedding"),
    "number_moves_others": (lambda tf, x: find(tf, tf.gather(tf.constant(["a"]), x)), "exact: GatherV2 reads it"),
    "number_sentinel_compared": (lambda tf, x: tf.equal(x, 0), "exact: it is compared with 0, which would stand"),
    "small_widened": (lambda tf, x: find(tf, tf.cast(x, "int64"), [3, 5]), words(3, 5)),
    "small_itself": (lambda tf, x: find(tf, x, [3, 5]), words(3, 5)),
    "big_narrowed": (lambda tf, x: find(tf, tf.cast(x, "int64"), [3, 5]), "exact: Cast reads it"),
    "float_compared": (lambda tf, x: tf.equal(x, 1.5), "exact: only words and integers have vocabularies, not float32"),
    "words_whole": (lambda tf, x: find(tf, x), words("a", "b")),
    "words_of_one_row": (lambda tf, x: find(tf, x[:1]), words("a", "b")),
    "words_by_column": (
        lambda tf, x: find(tf, x[:, 0]) + find(tf, tf.gather(x, [1], axis=1), "cd")[:, 0],
        {0: words("a", "b"), 1: words("c", "d"), 2: words()},
    ),
    "words_by_column_and_whole": (
        lambda tf, x: tf.concat([find(tf, x[:, 2:]), tf.cast(tf.equal(x, "q"), "int32")], 1),
        {0: words("q"), 1: words("q"), 2: words("a", "b", "q")},
    ),
    "words_one_column_exact": (
        lambda tf, x: tf.stack([find(tf, x[..., -1]), tf.strings.length(tf.squeeze(x[:, :1], 1))]),
        {1: words(), 2: words("a", "b")},
    ),
    "words_turned_round": (lambda tf, x: find(tf, x[:, ::-2]), {0: words("a", "b"), 1: words(), 2: words("a", "b")}),
    "words_column_unknown": (
        lambda tf, x: find(tf, tf.gather(x, tf.math.floormod(tf.size(x), 2), axis=1)),
        words("a", "b"),
    ),
    "words_moved_then_column": (lambda tf, x: find(tf, tf.transpose(x)[:1, 0]), words("a", "b")),
    "words_unstacked": (lambda tf, x: find(tf, tf.unstack(x, axis=1)[1]), words("a", "b")),
    "words_split": (lambda tf, x: find(tf, tf.split(x, 3, axis=1)[2]), words("a", "b")),
    "numbers_by_column": (
        lambda tf, x: find(tf, x[:, 1], [3]) + find(tf, x[:, 2], [0, 3]),
        {0: words(), 1: words(3)},
    ),
}  # fmt: skip

KERAS: dict[str, Expected] = {
    "adapted": words("x", "y"),
    "count": words("a", "b", "c"),
    "hashing": "StringToHashBucketFast reads it .*Hashing",
    "masked": words("a", "b", "c", ""),
    "masked_by_sentinel": r"compared with '\[UNK\]'",
    "multi_hot": words("a", "b", "c"),
    "one_hot": words("a", "b", "c"),
    "oov_other": words("a", "b", "c"),
    "oov_other_and_unk": r"'\[UNK\]' is a word of its own",
    "oov_two": "StringToHashBucketFast reads it .*num_oov_indices=2",
    "plain": words("a", "b", "c"),
    "split_text": "StringLower reads it .*TextVectorization",
    "tf_idf": words("a", "b", "c"),
    "whole_text": words("a", "b", "c", ""),
    "with_empty": words("a", ""),
    "with_unk": words("a", "b"),
    "inverted_numbers": words(1, 2),
    "inverted_words": words(1, 2, 3),
    "inverted_words_all": "0 is a word of its own",
    "number": words(3, 5, -7),
    "number_hashing": "AsString reads it .*Hashing",
    "number_masked": words(3, 5, 9),
    "number_masked_by_sentinel": "compared with 0",
    "number_one_hot": words(3, 5),
    "number_oov_two": "FloorMod reads it .*num_oov_indices=2",
    "number_zero": "0 is a word of its own",
    "buckets": "Bucketize reads it .*Discretization",
    "normal": "Sub reads it .*Normalization",
}

REFUSING: dict[str, Expected] = {
    "categories": "exact",
    "embedded": "exact",
    "number_oov_none": "StringFormat reads it .*num_oov_indices=0",
    "oov_none": "StringFormat reads it .*num_oov_indices=0",
}

TABLES: dict[str, Expected] = {
    "dense": words(-2, -1, 5, 6),
    "dense_zero": "refuses 0",
    "empty": words(),
    "file": words("red", "green", "not-utf8-\udcff"),
    "mutable": words("a", "[UNK]"),
    "pairs": words("a", "b"),
    "reference": words(1, 2),
}

MLY = {
    "string_lookups_int_model": ["sa", "sl"],
    "string_lookups_float_model": ["sa", "sl"],
    "float_input_int_model": ["sl"],
}


@pytest.fixture(scope="session")
def models(tensorflow: Any, tmp_path_factory: pytest.TempPathFactory, mly_models: Path) -> Iterator[Mapping[str, Any]]:
    """Everything that this file loads, by name."""
    folder = tmp_path_factory.mktemp("lookups")
    sources: dict[str, tuple[Path | None, str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow and Keras warn about themselves while they save
        everything = save_keras(folder / "keras", string=keras_words(), int64=keras_numbers(), float32=keras_floats())
        refusing_words, refusing_numbers = keras_refusing()
        refusing = save_keras(folder / "refusing", string=refusing_words, int64=refusing_numbers)
    rules = save_rules(folder, {name: rule for name, (rule, _) in RULES.items()})
    zoo = TensorFlowZoo(folder)
    identities = [zoo.identity(dtype, (None,)) for dtype in (DType.STRING, DType.INT64)]
    sources |= {name: (rules, name) for name in RULES}
    sources |= {name: (mly_models / name, "serving_default") for name in MLY}
    sources |= {
        f"identity_{built.options.signature}": (built.artifact, built.options.signature) for built in identities
    }
    sources |= {
        "keras": (everything, "serving_default"),
        "refusing": (refusing, "serving_default"),
        "penguins": (REPOSITORY / "examples" / "models" / "penguins_keras", "serving_default"),
        "tables": (save_tables(folder), "serving_default"),
        "zoo_table": (zoo.table(folder).artifact, "serving_default"),
        "zoo_three": (zoo.three(folder).artifact, "serving_default"),
    }
    (folder / "vocabulary.txt").unlink()
    loaded = {
        name: TensorFlowBackend().load(path, LoadOptions(signature=signature))
        for name, (path, signature) in sources.items()
    }
    yield loaded
    for model in loaded.values():
        model.close()


ALL = [
    *RULES, *MLY, "keras", "refusing", "penguins", "tables", "zoo_table", "zoo_three",
    *(f"identity_{signature_name(dtype, (None,))}" for dtype in (DType.STRING, DType.INT64)),
]  # fmt: skip


def check(lookups: Lookups, expected: Expected) -> None:
    """``lookups`` say this, and nothing else."""
    if isinstance(expected, str):
        assert re.search(expected, lookups.reason), lookups
        assert (lookups.every, dict(lookups.columns)) == (None, {}), lookups
    elif isinstance(expected, dict):
        assert {column: found.words for column, found in lookups.columns.items()} == expected, lookups
        assert lookups.every is None
    else:
        assert lookups.every is not None, lookups
        assert (lookups.every.words, dict(lookups.columns)) == (expected, {}), lookups


@pytest.mark.parametrize("rule", RULES)
def test_rules(models: Mapping[str, LoadedModel], rule: str) -> None:
    """Answers to different rows would be mixed up, or rows that are alike would not share one."""
    check(models[rule].lookups["x"], RULES[rule][1])


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        *(("keras", name, expected) for name, expected in KERAS.items()),
        *(("refusing", name, expected) for name, expected in REFUSING.items()),
    ],
)
def test_layers_of_keras(models: Mapping[str, LoadedModel], model: str, name: str, expected: Expected) -> None:
    """A layer that Keras saves otherwise than we think would be exact without need, or folded without right."""
    check(models[model].lookups[f"in_{name}"], expected)


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_every_kind(models: Mapping[str, LoadedModel], name: str) -> None:
    """Words would be missed in tables that are filled from files, while loading, or held by reference."""
    check(models["tables"].lookups[name], TABLES[name])


def test_the_buckets_of_a_dense_table_are_not_its_words(models: Mapping[str, LoadedModel]) -> None:
    """Operators would read that a table of two words has a hundred thousand."""
    assert re.fullmatch(r"looked up in table '.*' \(2 words\)", models["tables"].lookups["dense"].reason)


@pytest.mark.parametrize(("name", "inputs"), MLY.items())
def test_models_saved_by_tensorflow_2_4(models: Mapping[str, LoadedModel], name: str, inputs: list[str]) -> None:
    """Clients of mly would be given another vocabulary than mly gives them."""
    lookups = models[name].lookups
    for item in inputs:
        check(lookups[item], words("", "[UNK]", "a", "b", "c"))
        assert lookups[item].reason == f"looked up in table '{item}_string_lookup_index_table' (5 words)"
    assert {item for item, found in lookups.items() if found.every is not None} == set(inputs)


def test_the_example_s_vocabularies(models: Mapping[str, LoadedModel]) -> None:
    """The empty tables that adapted layers leave beside the real ones would be taken for them."""
    lookups = models["penguins"].lookups
    check(lookups["island"], words("Biscoe", "Dream", "Torgersen"))
    check(lookups["sex"], words("", "female", "male"))
    check(lookups["year"], words(2007, 2008, 2009))
    check(lookups["bill_length_mm"], r"exact: Sub reads it \(as in Normalization\)")


def test_reasons_name_each_column_s_rule(models: Mapping[str, LoadedModel]) -> None:
    """An operator could not tell which column keeps answers from being shared."""
    reason = models["words_one_column_exact"].lookups["x"].reason
    assert re.fullmatch(
        r"column 0 exact: StringLength reads it \('.*'\); column 1 no output depends on it; "
        r"column 2 looked up in table '.*' \(2 words\)",
        reason,
    )


def test_a_huge_table_is_left_alone(mly_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary of a hundred million words would take the memory that the model needs."""
    monkeypatch.setattr(tensorflow_tables, "LARGEST", 4)
    model = TensorFlowBackend().load(mly_models / "string_lookups_int_model", LoadOptions())
    check(model.lookups["sa"], "exact: table 'sa_string_lookup_index_table' has 5 words, more than 4")
    model.close()


def test_inputs_that_share_a_table_share_its_words(models: Mapping[str, LoadedModel]) -> None:
    """A million words would be held once for each input that is looked up in them."""
    lookups = models["words_turned_round"].lookups["x"]
    assert lookups.columns[0] is lookups.columns[2]


class TestFolding:
    """What all this is for: no answer may change, not in its last bit."""

    @pytest.mark.parametrize("name", ALL)
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(data=st.data())
    def test_changes_no_answer(self, models: Mapping[str, LoadedModel], name: str, data: st.DataObject) -> None:
        """Callers would get the answers of other callers."""
        model = models[name]
        batch = data.draw(batches(model.signature.inputs, model.lookups))
        folded = {item: fold(column, model.lookups[item]) for item, column in batch.items()}
        assert outcome(model, folded) == outcome(model, batch)

    def test_of_a_wrong_vocabulary_is_seen(self, models: Mapping[str, LoadedModel]) -> None:
        """The test above would pass whatever the vocabularies are."""
        model = models["word_moved"]
        column = np.array(["a", "z"], object)
        right, wrong = model.lookups["x"], Lookups("", every=Vocabulary(["b"], "[UNK]"))
        assert fold(column, right).tolist() == ["a", "[UNK]"]
        assert outcome(model, {"x": fold(column, right)}) == outcome(model, {"x": column})
        assert outcome(model, {"x": fold(column, wrong)}) != outcome(model, {"x": column})

    def test_of_what_is_exact_would_change_answers(self, models: Mapping[str, LoadedModel]) -> None:
        """Inputs could be exact for no reason, and the test of folding would have nothing to find."""
        for name, value, sentinel in [
            ("word_sentinel_has_a_value", "z", "[UNK]"),
            ("word_also_hashed", "h", "[UNK]"),
            ("word_output", "z", "[UNK]"),
            ("number_narrowed", 2**32 + 3, 0),
            ("number_sentinel_compared", 99, 0),
        ]:
            model = models[name]
            dtype = model.signature.inputs[0].dtype.numpy
            one, other = ({"x": np.array([item], dtype)} for item in (value, sentinel))
            assert outcome(model, one) != outcome(model, other), name


def batches(inputs: tuple[TensorSpec, ...], lookups: Mapping[str, Lookups]) -> st.SearchStrategy[dict[str, Any]]:
    """A few rows of values that are known, that look as if they were, and any others."""

    def of_count(count: int) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({spec.name: column(spec, lookups[spec.name], count) for spec in inputs})

    return st.integers(1, 4).flatmap(of_count)


def column(spec: TensorSpec, lookups: Lookups, count: int) -> st.SearchStrategy[Any]:
    shape = tuple(count if size is None else size for size in spec.shape or ())
    found = [*lookups.columns.values(), *([lookups.every] if lookups.every else [])]
    known = sorted({word for vocabulary in found for word in vocabulary.words}, key=str)
    values: st.SearchStrategy[Any]
    if spec.dtype is DType.STRING:
        close = [f"{word}{end}" for word in known for end in (" ", "\0", "x")]
        values = st.sampled_from([*known, *close, "[UNK]", "", "[unk]", "\udcff", "a"]) | st.text(max_size=5)
    elif spec.dtype.is_integer:
        bounds = np.iinfo(spec.dtype.numpy)
        close = [int(word) + step for word in known for step in (0, 1, -1, 2**32)]
        values = st.sampled_from([value for value in (*close, 0, 1, 3, -1) if bounds.min <= value <= bounds.max])
        values |= st.integers(int(bounds.min), int(bounds.max))
    else:
        values = st.floats(-10, 10, width=32)
    size = int(np.prod(shape))

    def array(items: list[Any]) -> Any:
        made = np.empty(size, spec.dtype.numpy)
        made[:] = items
        return made.reshape(shape)

    return st.lists(values, min_size=size, max_size=size).map(array)


def fold(column: Any, lookups: Lookups) -> Any:
    """``column`` with sentinels in place of all that is out of vocabulary."""
    folded = column.reshape(len(column), -1).copy()
    for place in range(folded.shape[1]):
        vocabulary = lookups.every or lookups.columns.get(place)
        if vocabulary is not None:
            values = [value if value in vocabulary.words else vocabulary.sentinel for value in folded[:, place]]
            folded[:, place] = values
    return folded.reshape(column.shape)


def outcome(model: LoadedModel, batch: Mapping[str, Any]) -> Any:
    """The answer, bit for bit, or what kind of error it is."""
    try:
        answer = model.infer(batch)
    except Exception as error:  # what a model raises is its own affair; here it only has to be the same
        return type(error)
    return {
        name: (value.shape, value.dtype, value.tolist() if value.dtype == object else value.tobytes())
        for name, value in answer.items()
    }
