"""Weights of published models: where they are, how they load."""
