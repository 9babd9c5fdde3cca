"""A check of the installed library against float64: run here, printed by ``flashdec.cli``."""
