"""Models as tools write them: what folds, and that no answer changes by a bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlserve.backends.onnx import OnnxBackend
from mlserve.backends.onnx_lookups import find_lookups
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.types import UNKNOWN_WORD, Array, DType, Lookups, TensorSpec, Vocabulary
from tests.support.folding import can_tell
from tests.support.zoo.onnx import save

MODELS = Path(__file__).parents[2] / "examples" / "models"
WORDS = np.array([["a", "x", "p"], ["b", "y", "q"], ["c", "x", "p"], ["a", "y", "r"]], object)
NUMBERS = np.array([[1, 5, 7], [2, 6, 8], [3, 5, 7], [1, 6, 9]], np.int64)
LABELS = [0, 1, 0, 1]

OneInput = tuple[Any, list[tuple[str, Any]]]


def columns_of_words() -> OneInput:
    """One matrix of words: two columns one-hot, one as numbers."""
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.compose import ColumnTransformer

    steps = [("hot", one_hot(), [0, 2]), ("ordinal", ordinal(), [1])]
    return ColumnTransformer(steps).fit(WORDS), [("x", StringTensorType([None, 3]))]


def columns_of_numbers() -> OneInput:
    """One matrix of integers, the last column of which goes on as it is."""
    from skl2onnx.common.data_types import Int64TensorType
    from sklearn.compose import ColumnTransformer

    steps = [("hot", one_hot(), [0]), ("ordinal", ordinal(), [1]), ("rest", "passthrough", [2])]
    return ColumnTransformer(steps).fit(NUMBERS), [("x", Int64TensorType([None, 3]))]


def imputed_words() -> OneInput:
    """The empty word is replaced before the rest is encoded."""
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    imputer = SimpleImputer(strategy="most_frequent", missing_values="")
    return make_pipeline(imputer, one_hot()).fit(WORDS), [("x", StringTensorType([None, 3]))]


def target_encoded() -> OneInput:
    """Means per category."""
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.preprocessing import TargetEncoder

    return TargetEncoder(cv=2).fit(WORDS, LABELS), [("x", StringTensorType([None, 3]))]


def binarized() -> OneInput:
    """Comparisons with every label."""
    from skl2onnx.common.data_types import Int64TensorType
    from sklearn.preprocessing import LabelBinarizer

    return LabelBinarizer().fit(NUMBERS[:, 0]), [("x", Int64TensorType([None]))]


def hashed() -> OneInput:
    """Every word counts."""
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction import FeatureHasher

    return FeatureHasher(4, input_type="string").fit(WORDS), [("x", StringTensorType([None, 3]))]


def counted() -> OneInput:
    """Every word counts."""
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer().fit(["aa bb", "bb cc"]), [("x", StringTensorType([None, 1]))]


def refusing() -> OneInput:
    """An unknown category is an error."""
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="error").fit(WORDS), [("x", StringTensorType([None, 3]))]


def one_hot() -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore")


def ordinal() -> Any:
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def words(text: str) -> Vocabulary:
    return Vocabulary(text.split(), UNKNOWN_WORD)


EXACT: tuple[None, Mapping[int, Vocabulary]] = (None, {})
EVERY_WORD = Vocabulary(["", *"abcxypqr"], UNKNOWN_WORD)
PROVED: dict[Callable[[], OneInput], tuple[Vocabulary | None, Mapping[int, Vocabulary]]] = {
    columns_of_words: (None, {0: words("a b c"), 1: words("x y"), 2: words("p q r")}),
    columns_of_numbers: (None, {0: Vocabulary([1, 2, 3], 0), 1: Vocabulary([5, 6], 0)}),
    imputed_words: (EVERY_WORD, {}),
    target_encoded: (None, {0: words("a b c"), 1: words("x y"), 2: words("p q r")}),
    binarized: (Vocabulary([1, 2, 3], 0), {}),
    hashed: EXACT,
    counted: EXACT,
    refusing: EXACT,
}


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("make", PROVED, ids=lambda make: make.__name__)
def test_what_skl2onnx_writes(make: Callable[[], OneInput], tmp_path: Path) -> None:
    """Tables of a scikit-learn pipeline would be missed, or the wrong values folded."""
    from skl2onnx import convert_sklearn

    fitted, inputs = make()
    proto = convert_sklearn(fitted, "m", inputs, target_opset={"": 18, "ai.onnx.ml": 3})
    found = find_lookups(proto)["x"]
    assert (found.every, found.columns) == PROVED[make]
    if PROVED[make] != EXACT:
        loaded = OnnxBackend().load(save(proto, tmp_path), LoadOptions())
        assert_no_answer_changes(loaded, loaded.lookups)


@pytest.mark.parametrize("name", ["penguins", "digits"])
def test_the_examples(name: str) -> None:
    """Penguins' words are looked up; a digit's pixels are not."""
    loaded = OnnxBackend().load(MODELS / f"{name}.onnx", LoadOptions())
    assert {key: len(found.every or ()) for key, found in loaded.lookups.items()} == (
        {"island": 3, "sex": 2} if name == "penguins" else {}
    )
    assert_no_answer_changes(loaded, loaded.lookups)


def test_a_vocabulary_that_lacks_a_word_is_told() -> None:
    """The tests above would pass whatever was found."""
    loaded = OnnxBackend().load(MODELS / "penguins.onnx", LoadOptions())
    island = loaded.lookups["island"].every
    assert island is not None
    less = Lookups("", every=Vocabulary(sorted(island.words - {"Biscoe"}, key=str), UNKNOWN_WORD))
    with pytest.raises(AssertionError, match="an answer changed"):
        assert_no_answer_changes(loaded, {"island": less})


def assert_no_answer_changes(loaded: LoadedModel, lookups: Mapping[str, Lookups]) -> None:
    """For rows of values within and outside the vocabularies, in batches of several sizes; then closes the model."""
    random = np.random.default_rng(7)
    try:
        for count in (1, 2, 5, 60):
            feeds = {
                spec.name: column(spec, loaded.lookups.get(spec.name), count, random)
                for spec in loaded.signature.inputs
            }
            assert not can_tell(loaded.infer, feeds, lookups), "an answer changed"
    finally:
        loaded.close()


def column(spec: TensorSpec, lookups: Lookups | None, count: int, random: np.random.Generator) -> Array:
    """``count`` rows."""
    shape = (count, *(dim or 1 for dim in (spec.shape or ())[1:]))
    if spec.dtype.is_float:
        return random.normal(size=shape).astype(spec.dtype.numpy)
    known = (
        [vocabulary.words for vocabulary in (lookups.every, *lookups.columns.values()) if vocabulary] if lookups else []
    )
    some: list[str | int] = ["", "zz", "[UNK]", "A"] if spec.dtype is DType.STRING else [0, -1, 99, 2**40]
    some += sorted(frozenset().union(*known), key=str) * 2
    return np.array(random.choice(np.array(some, object), shape), spec.dtype.numpy)
