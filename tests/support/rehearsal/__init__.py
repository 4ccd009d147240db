"""A rehearsal of the deployment: doubles of `az`, `azd` and of the deployed app that keep state and refuse.

What they know of Azure is in `cloud.py`: names, deleted vaults, changes that are refused, rights, and how
long things take to count. What they cannot know is everything else: a passed rehearsal proves the order, the
arguments and the waiting of our side.
"""
