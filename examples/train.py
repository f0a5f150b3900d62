"""Trains the models that ``config.example.yaml`` serves, from data that comes inside PyPI packages.

    python examples/train.py [folder]       # default: examples/models beside this file

Writes ``penguins.onnx``, ``digits.onnx`` and ``penguins_keras/``, and prints how good each is. Seeds are fixed:
running it again gives models that answer the same.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# Read by the runtimes when they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same order of additions on every machine
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import tensorflow as tf
from palmerpenguins import load_penguins
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 20
OPSET = {"": 18, "ai.onnx.ml": 3}
"""Old enough for every ONNX Runtime that mlserve installs with (1.20 and later)."""

WORDS = ["island", "sex"]
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def penguins() -> pd.DataFrame:
    """344 penguins. A number nobody measured is NaN, a sex nobody determined is the empty string."""
    table = load_penguins()
    table["sex"] = table["sex"].fillna("")
    return table.astype(dict.fromkeys(NUMBERS, "float32"))


def train_species(folder: Path) -> None:
    """Species from two words and four numbers: a scikit-learn pipeline as ``penguins.onnx``.

    Every column is an input of its own. Missing numbers become the median; a word that training never saw, the empty
    one included, counts as none of those it knows. Probabilities leave as one ``{species: probability}`` per row.
    """
    table = penguins()
    known_words = [sorted(table["island"].unique()), ["female", "male"]]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            ("words", OneHotEncoder(categories=known_words, handle_unknown="ignore"), WORDS),
        ]
    )
    model = Pipeline([("columns", columns), ("classifier", LogisticRegression())])
    model.fit(*halves(table, table["species"])[0])

    one_word, one_number = StringTensorType([None, 1]), FloatTensorType([None, 1])
    inputs = [*((name, one_word) for name in WORDS), *((name, one_number) for name in NUMBERS)]
    converted = convert_sklearn(model, "penguins", inputs, target_opset=OPSET)
    onnx.save(converted, folder / "penguins.onnx")

    feeds = {name: table[[name]].to_numpy(object if name in WORDS else np.float32) for name, _ in inputs}
    labels, probabilities = onnxruntime.InferenceSession(folder / "penguins.onnx").run(None, feeds)
    np.testing.assert_array_equal(labels, model.predict(table))
    np.testing.assert_allclose(
        [[row[species] for species in model.classes_] for row in probabilities], model.predict_proba(table), atol=1e-5
    )
    test_table, test_species = halves(table, table["species"])[1]
    print(f"penguins.onnx    {model.score(test_table, test_species):.1%} of unseen penguins")


def train_digits(folder: Path) -> None:
    """Handwritten digits from 8x8 images with values from 0 to 16: a small network as ``digits.onnx``."""
    images, digits = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    model = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=400, random_state=SEED))
    train, test = halves(images, digits)
    model.fit(*train)

    converted = convert_sklearn(
        model, "digits", [("pixels", FloatTensorType([None, 64]))], target_opset=OPSET, options={"zipmap": False}
    )
    take_images(converted)
    onnx.save(converted, folder / "digits.onnx")

    session = onnxruntime.InferenceSession(folder / "digits.onnx")
    labels, probabilities = session.run(None, {"image": images.reshape(-1, 8, 8)})
    np.testing.assert_array_equal(labels, model.predict(images))
    np.testing.assert_allclose(probabilities, model.predict_proba(images), atol=1e-4)
    print(f"digits.onnx      {model.score(*test):.1%} of unseen digits")


def take_images(model: onnx.ModelProto) -> None:
    """Put a Flatten before ``pixels``, so that callers send an image as they see it: eight rows of eight."""
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [None, 8, 8])
    model.graph.input[0].CopyFrom(image)
    model.graph.node.insert(0, onnx.helper.make_node("Flatten", ["image"], ["pixels"], axis=1))
    onnx.checker.check_model(model, full_check=True)


def train_body_mass(folder: Path) -> None:
    """Body mass from two words, a year and two lengths: Keras preprocessing layers as ``penguins_keras/``."""
    table = penguins().dropna(subset="body_mass_g")
    masses = table["body_mass_g"].to_numpy(np.float32)[:, None]
    keras.utils.set_random_seed(SEED)

    layers: dict[str, keras.Layer] = {
        "island": keras.layers.StringLookup(output_mode="one_hot"),
        "sex": keras.layers.StringLookup(output_mode="one_hot"),
        "year": keras.layers.IntegerLookup(output_mode="one_hot"),
        "bill_length_mm": keras.layers.Normalization(),
        "flipper_length_mm": keras.layers.Normalization(),
    }
    columns = {name: tf.constant(table[[name]].to_numpy()) for name in layers}
    for name, layer in layers.items():
        layer.adapt(columns[name])

    inputs = {name: keras.Input((1,), dtype=column.dtype.name, name=name) for name, column in columns.items()}
    encoded = keras.layers.Concatenate()([layer(inputs[name]) for name, layer in layers.items()])
    hidden = keras.layers.Dense(16, activation="relu")(encoded)
    kilograms = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(4.2))(hidden)
    model = keras.Model(inputs, {"body_mass_g": keras.layers.Rescaling(1000.0)(kilograms)})

    (train, train_masses), (test, test_masses) = halves(np.arange(len(table)), masses)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    train_columns, test_columns = ({n: tf.gather(c, i) for n, c in columns.items()} for i in (train, test))
    model.fit(train_columns, {"body_mass_g": train_masses}, batch_size=32, epochs=60, verbose=0)
    model.export(folder / "penguins_keras", format="tf_saved_model", verbose=False)

    error = model.predict(test_columns, verbose=0)["body_mass_g"] - test_masses
    print(f"penguins_keras/  {np.abs(error).mean():.0f} g off on unseen penguins, on average")


def halves(inputs: Any, answers: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """``(inputs, answers)`` to train with, and those to judge by: every fourth, at random."""
    train_inputs, test_inputs, train_answers, test_answers = train_test_split(
        inputs, answers, test_size=0.25, random_state=SEED, stratify=answers if answers.ndim == 1 else None
    )
    return (train_inputs, train_answers), (test_inputs, test_answers)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models"
    target.mkdir(parents=True, exist_ok=True)
    for write_one in (train_species, train_digits, train_body_mass):
        write_one(target)
