"""What tensors a piece of code makes, seen where torch dispatches its operations: sizes, bytes alive, operations."""

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Within it: `shapes` of all tensors made, `operations` by name, `alive()` bytes of what was made and still is, and
    their `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes, self.operations, self.peak, self._storages = [], [], 0, {}

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        before = {leaf.untyped_storage()._cdata for leaf in tree_leaves((arguments, named)) if _is_tensor(leaf)}
        result = operation(*arguments, **(named or {}))
        self.operations.append(operation.name())
        for tensor in filter(_is_tensor, tree_leaves(result)):
            storage = tensor.untyped_storage()
            if storage._cdata not in before:
                self.shapes.append(tuple(tensor.shape))
                self._storages[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, self.alive())
        return result

    def alive(self) -> int:
        self._storages = {key: entry for key, entry in self._storages.items() if not entry[0].expired()}
        return sum(size for _, size in self._storages.values())


def _is_tensor(leaf) -> bool:
    return isinstance(leaf, torch.Tensor)
