"""SavedModels that look their inputs up, in all the ways that Keras and TensorFlow have for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.zoo.tensorflow import Tensors, save_graph

Signatures = dict[str, tuple[Tensors, Tensors]]

WORDS = ["a", "b", "c"]


def keras_words() -> dict[str, Any]:
    """Layers that take strings and refuse none."""
    from keras import layers
    from tensorflow import constant

    lookup = layers.StringLookup
    adapted = lookup()
    adapted.adapt(constant(["x", "y", "x"]))
    return {
        "adapted": adapted,
        "count": lookup(vocabulary=WORDS, output_mode="count"),
        "hashing": layers.Hashing(num_bins=7),
        "masked": lookup(vocabulary=WORDS, mask_token=""),
        "masked_by_sentinel": lookup(vocabulary=WORDS, mask_token="[UNK]", oov_token="other"),
        "multi_hot": lookup(vocabulary=WORDS, output_mode="multi_hot"),
        "one_hot": lookup(vocabulary=WORDS, output_mode="one_hot"),
        "oov_other": lookup(vocabulary=WORDS, oov_token="other"),
        "oov_other_and_unk": lookup(vocabulary=["[UNK]", "a"], oov_token="other"),
        "oov_two": lookup(vocabulary=WORDS, num_oov_indices=2),
        "plain": lookup(vocabulary=WORDS),
        "split_text": layers.TextVectorization(vocabulary=WORDS),
        "tf_idf": lookup(vocabulary=WORDS, output_mode="tf_idf", idf_weights=[0.3, 0.5, 0.7]),
        "whole_text": layers.TextVectorization(vocabulary=WORDS, standardize=None, split=None),
        "with_empty": lookup(vocabulary=["", "a"]),
        "with_unk": lookup(vocabulary=["[UNK]", "a", "b"]),
    }


def keras_numbers() -> dict[str, Any]:
    """Layers that take integers and refuse none."""
    from keras import layers

    lookup = layers.IntegerLookup
    return {
        "inverted_numbers": lookup(vocabulary=[3, 5], invert=True),
        "inverted_words": layers.StringLookup(vocabulary=WORDS, invert=True),
        "inverted_words_all": layers.StringLookup(vocabulary=WORDS, invert=True, num_oov_indices=0),
        "number": lookup(vocabulary=[3, 5, -7]),
        "number_hashing": layers.Hashing(num_bins=7),
        "number_masked": lookup(vocabulary=[3, 5], mask_token=9),
        "number_masked_by_sentinel": lookup(vocabulary=[3, 5], mask_token=0),
        "number_one_hot": lookup(vocabulary=[3, 5], output_mode="one_hot"),
        "number_oov_two": lookup(vocabulary=[3, 5], num_oov_indices=2),
        "number_zero": lookup(vocabulary=[0, 5]),
    }


def keras_floats() -> dict[str, Any]:
    """Layers that take floats."""
    from keras import layers

    return {
        "buckets": layers.Discretization([0.0, 1.0]),
        "normal": layers.Normalization(mean=1.0, variance=2.0),
    }


def keras_refusing() -> tuple[dict[str, Any], dict[str, Any]]:
    """Layers that raise for values they do not know: of strings, and of integers."""
    from keras import layers

    words = {"oov_none": layers.StringLookup(vocabulary=WORDS, num_oov_indices=0)}
    numbers = {
        "categories": layers.CategoryEncoding(num_tokens=4, output_mode="multi_hot"),
        "embedded": layers.Embedding(4, 2),
        "number_oov_none": layers.IntegerLookup(vocabulary=[3, 5], num_oov_indices=0),
    }
    return words, numbers


def save_keras(folder: Path, **layers_by_dtype: dict[str, Any]) -> Path:
    """One model of all these layers, each with an input of its own, called ``in_`` and then as the layer is."""
    import keras

    inputs, outputs = {}, {}
    for dtype, layers in layers_by_dtype.items():
        for name, layer in layers.items():
            inputs[f"in_{name}"] = keras.Input((1,), dtype=dtype, name=f"in_{name}")
            outputs[name] = layer(inputs[f"in_{name}"])
    keras.Model(inputs, outputs).export(folder, format="tf_saved_model", verbose=False)
    return folder


def save_tables(folder: Path) -> Path:
    """A graph of TensorFlow 1 with a table of every kind, one filled from a file."""
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_bytes("red\ngreen\nnot-utf8-\udcff\n".encode("utf-8", "surrogateescape"))

    def build(tensorflow: Any) -> Signatures:
        v1, raw, lookup = tensorflow.compat.v1, tensorflow.raw_ops, tensorflow.lookup
        inputs = {name: v1.placeholder("string", [None]) for name in ("pairs", "file", "mutable", "empty")}
        inputs |= {name: v1.placeholder("int64", [None]) for name in ("dense", "dense_zero")}
        inputs |= {"reference": v1.placeholder("int32", [None])}
        pairs = lookup.KeyValueTensorInitializer(["a", "b"], [1.0, 2.0])
        rows = lookup.TextFileInitializer(str(vocabulary), "string", -2, "int64", -1)
        dense, dense_zero = (
            lookup.experimental.DenseHashTable("int64", "float32", -1.0, empty_key=empty, deleted_key=-2)
            for empty in (-1, 0)
        )
        mutable = lookup.experimental.MutableHashTable("string", "float32", -1.0)
        tables = {
            "pairs": lookup.StaticHashTable(pairs, -1.0, name="pairs_table"),
            "file": lookup.StaticHashTable(rows, -1),
            "dense": dense,
            "dense_zero": dense_zero,
            "mutable": mutable,
            "empty": lookup.experimental.MutableHashTable("string", "float32", -1.0),
        }
        reference = raw.HashTable(key_dtype="int32", value_dtype="float32")
        filling = [
            *(table.insert(tensorflow.constant([5, 6], "int64"), [0.1, 0.2]) for table in (dense, dense_zero)),
            mutable.insert(["a", "[UNK]"], [0.5, -1.0]),
            raw.InitializeTable(table_handle=reference, keys=[1, 2], values=[0.5, 0.7]),
        ]
        for step in filling:
            v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, step)
        outputs = {name: table.lookup(inputs[name]) for name, table in tables.items()}
        found = raw.LookupTableFind(table_handle=reference, keys=inputs["reference"], default_value=-1.0)
        return {"serving_default": (inputs, {**outputs, "reference": found})}

    return save_graph(folder / "tables", build)


def save_rules(folder: Path, rules: dict[str, Callable[[Any, Any], Any]]) -> Path:
    """A graph with a signature for each rule: its output ``y`` is made of TensorFlow and its input ``x``.

    The first word of a rule's name says what ``x`` is: ``word`` and ``number`` are ``[-1]``, ``words`` and ``numbers``
    are ``[-1,3]``; ``small`` is an int32, ``big`` an uint64, and ``float`` a float32.
    """
    kinds: dict[str, tuple[str, list[int | None]]] = {
        "word": ("string", [None]),
        "number": ("int64", [None]),
        "words": ("string", [None, 3]),
        "numbers": ("int64", [None, 3]),
        "small": ("int32", [None]),
        "big": ("uint64", [None]),
        "float": ("float32", [None]),
    }

    def build(tensorflow: Any) -> Signatures:
        signatures: Signatures = {}
        for name, rule in rules.items():
            x = tensorflow.compat.v1.placeholder(*kinds[name.partition("_")[0]])
            signatures[name] = ({"x": x}, {"y": rule(tensorflow, x)})
        return signatures

    return save_graph(folder / "rules", build)
