"""What happens to rows when no cache answers them: rounding, the run itself, the transformer."""
