"""One file per method; modules that start with an underscore hold the algorithms they wrap."""
