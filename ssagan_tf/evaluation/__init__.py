"""Figures about trained models: pure functions of arrays, and what collects the arrays."""
