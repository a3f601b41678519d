"""Fakes and helpers that ship: users test their pipelines, and we test ourselves, with the same ones."""
