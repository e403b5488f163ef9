"""Answers for people and programs: one view, several ways to write it down."""
