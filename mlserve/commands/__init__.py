"""One file per command of ``mlserve``; ``cli.py`` parses and calls them."""
