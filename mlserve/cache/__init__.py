"""Answers that this generation of a model has already given: keys, entries, flights, and the chain of tiers."""
