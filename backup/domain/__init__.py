"""Pure values: what a backup is. No I/O, no clock, no logging; `now` and ids are arguments."""
