"""What happens to rows when no cache answers them, and before: canonical rows, the run itself, the transformer."""
