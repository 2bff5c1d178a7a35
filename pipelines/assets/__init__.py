"""Wiring only: which step runs after which, and what its run page shows. The steps themselves live elsewhere."""
