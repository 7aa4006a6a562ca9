"""Architectures: from the experiment's `models` to parameters, FLOPs and an nn.Module.

`size` is arithmetic and imports no torch; `build` makes transformers' own modules, so that what is trained here loads
anywhere.
"""
