"""What the numeric and invariance suites share: cases, arrays, backends, comparison."""
