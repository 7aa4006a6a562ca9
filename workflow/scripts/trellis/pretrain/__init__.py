"""A decoder, pretrained on one mixture here, or elsewhere by others.

| command | reads | writes |
|---|---|---|
| train | a packed mixture, the tokenizer | `model/` (config, safetensors, tokenizer), `metrics.jsonl` |
| pretrained | a model's files from the hub, the tokenizer | `model/`, once it is proven to be what the experiment states |

`model/` is a folder that AutoModelForCausalLM loads. `metrics.jsonl` holds a line for every step ({step, tokens, loss, lr,
gradient_norm}; loss in nats per token, the mean over the batch) and one for every validation ({step, tokens, validation:
{loss, bits_per_byte, sources: {NAME: bits per byte}}}). Metrics of train: parameters, steps, tokens, training_flops,
final_loss, validation_loss, bits_per_byte. The manifest's account of the run adds tokens_per_second and peak_gpu_mib.
Metrics of pretrained: parameters, tokens, training_flops (6 per parameter and token), repo.

Which rows a step reads is a pure function of the step. A checkpoint in `work/` (tensors and step, with the fingerprint they
belong to) is written every `checkpoint_minutes` and on SIGTERM; a run that goes on from it ends with the bytes of one that
was never stopped.
"""
