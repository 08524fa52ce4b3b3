"""The English words that no lexical search compares, whatever the store.

They are those that LanceDB's full-text index leaves out: it was asked for each of the 4,000 commonest words of three
collections and for all that lists of other makers have. Words are compared after Snowball's English stemmer, as LanceDB
does it: "doing" is left out for its stem "do", "because" is not. Lucene's own list of 33 words kept "what", "do", "we"
and "have", so that OpenSearch ranked by them what others did not.
"""

from __future__ import annotations

_LISTED = """
    a about after again against all am an and are as at
    be been below between both but by
    can d did do don down each
    few for from further
    had has have he her here herself him himself his how
    i if in into is it itself just
    m me more most my myself
    no nor not now
    o of off on or other our out over own
    re s same she should so some such
    t than that the their them then there these they this those through to too
    under until up
    was we were what when where which while who whom will with
    y you your yourself
"""
STOP_WORDS = frozenset(_LISTED.split())
