"""The models of a study: architectures trained here, and pretrained models from elsewhere."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from trellis.experiment.repository import OnHub
from trellis.experiment.section import Section


class Decoder(Section):
    """What every decoder trained here states; `parameters` is asserted when the model is built."""

    mixture: str
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    rope_theta: PositiveFloat = 10_000.0
    tie_embeddings: bool = False
    parameters: PositiveInt


class Llama(Decoder):
    """LlamaForCausalLM: SwiGLU, RMSNorm, rotary embeddings, grouped-query attention."""

    kind: Literal["llama"]
    kv_heads: PositiveInt
    norm_eps: PositiveFloat = 1e-5


class GptNeox(Decoder):
    """GPTNeoXForCausalLM, as Pythia: parallel residual, LayerNorm, partial rotary embeddings."""

    kind: Literal["gpt_neox"]
    rotary_share: float = Field(default=0.25, gt=0, le=1)
    norm_eps: PositiveFloat = 1e-5


class _Released(Section):
    """What a released model's card states of its training."""

    parameters: PositiveInt
    training_tokens: PositiveInt


class Pretrained(_Released, OnHub):
    """A causal language model from the hub, pinned by the lock's `repos`."""

    kind: Literal["pretrained"]

    @property
    def origin(self) -> str:
        return self.repo


class PretrainedFolder(_Released):
    """A causal language model in a folder on this machine, pinned by the lock's `local`."""

    kind: Literal["pretrained_folder"]
    folder: str = Field(pattern=r"^[^*]+$")

    @property
    def origin(self) -> str:
        return self.folder


Model = Annotated[Llama | GptNeox | Pretrained | PretrainedFolder, Field(discriminator="kind")]
