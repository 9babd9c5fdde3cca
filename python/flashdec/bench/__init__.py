"""Benchmarks of decode attention: measured here, printed by ``flashdec.cli``."""
