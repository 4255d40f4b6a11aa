"""Prompt optimizers behind one small interface: who proposes is one choice, who searches another.

A :class:`~promptinfill.optimizers.proposers.Proposer` turns what is known so far into new prompts;
a search (:mod:`ape`, :mod:`opro`, :mod:`refine`) spends a budget of metric calls on them through
one :class:`~promptinfill.optimizers.scorer.Scorer`. :mod:`methods` puts them together by name.
"""
