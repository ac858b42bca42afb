"""Modules of co-varying genes: pairs, communities, their evidence, and how conditions differ."""
