"""One module a command, named as it is typed; each has `main`."""
