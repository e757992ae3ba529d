"""One file a kind of evidence: ``draw(figure)`` gives the inside of a ``<figure>``."""
