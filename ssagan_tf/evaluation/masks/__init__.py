"""Scores of the masks: where they are, and what a change of word or mask does."""
