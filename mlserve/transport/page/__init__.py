"""The page at ``/``: files that a browser is given as they are, and the models' numbers that they ask for."""
