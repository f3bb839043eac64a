"""Nouns and tools that every room shares; imports no other room."""
