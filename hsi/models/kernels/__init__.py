"""How operators are computed fast; no network is defined here."""
