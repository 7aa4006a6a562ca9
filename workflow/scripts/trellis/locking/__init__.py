"""The data lock, made and checked online, by hand: `lock` writes it, `drift` says what has changed since.

`listing` asks the hub through `client`, `choice` takes files for a budget, `pinning` pins packages and local files.
"""
