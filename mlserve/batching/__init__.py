"""Micro-batching: rows of many requests share runs, and nobody notices but the processor."""
