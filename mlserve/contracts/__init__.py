"""What each kind of plug-in promises. One file per kind; plug-ins implement it, the rooms above call it."""
