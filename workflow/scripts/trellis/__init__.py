"""Trellis: does curating pretraining data improve structured output beyond what fine-tuning alone achieves?

The ground floor is the modules in this folder; each stage is a folder of its own. A stage imports the ground floor and
itself, never another stage: stages meet only in files, through manifests.
"""
