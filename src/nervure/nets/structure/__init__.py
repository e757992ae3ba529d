"""The structure of a network: which units belong together, and networks without some of them.

Everything that makes a network smaller stands on this: it follows the dependencies of any network, cuts groups of
units out of a copy, silences them instead, and checks each cut against the silenced network.
"""
