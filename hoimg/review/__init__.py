"""``hoimg review``: a report on this machine, with a reader's decisions written to edits.json."""
