"""A decoder, pretrained on one mixture here, or elsewhere by others.

train       reads `mixture` (a packed mixture) and `tokenizer`. One process a GPU, started by torchrun where there are more.
            model/: what AutoModelForCausalLM loads without code of ours: config, generation config, safetensors, tokenizer,
                and README.md, its card.
            metrics.jsonl: a line a step {step, tokens, loss, lr, gradient_norm} (nats per token, the mean over the batch)
                and a line a validation {step, tokens, validation: {loss, bits_per_byte, sources: {NAME: {loss,
                bits_per_byte}}}}.
            speed.jsonl (not part of the result, for it differs from run to run): a line a log interval {step, tokens,
                tokens_per_second, mfu, hfu, peak_gpu_mib}; null where the device's peak is not known.
            tracking/ (not part of the result either): the files of `tracker`, if there is one, with the same numbers.
            metrics: parameters, steps, tokens, training_flops, final_loss, validation_loss, bits_per_byte.
            run: tokens_per_second, mfu, hfu (medians over the log intervals), peak_gpu_mib, gpus, hardware.
            MFU counts the FLOPs that training needs, attention by the causal convention (half of the square); HFU also what
            gradient checkpointing computes again. Both are shares of the device's dense bfloat16 peak.
pretrained  reads `files` (from the hub) or, by their hashes, the files of a folder on this machine (config `local`), and
            `tokenizer`.
            model/: the same, once it is proven to be what the experiment states; safetensors only.
            metrics: architecture (transformers' model_type), parameters, tokens, training_flops (6 per parameter and token),
            repo (or folder).

Which rows a step reads is a pure function of the step, whatever the micro-batch and the number of GPUs. A checkpoint in
`work/` (tensors, step, random state, and the fingerprints of the run and the mixture that they belong to) is written every
`checkpoint_minutes` and on SIGTERM; a run that goes on from it ends with the bytes of one that was never stopped (on a GPU:
with `deterministic`). metrics.jsonl and speed.jsonl grow in `work/`. A loss or a gradient norm that is no number stops the
run before it is saved; `work/stopped_at.json` then names the rows of that step {step, loss, ..., rows: [{source, row}]}.
So does a validation loss that is none, without that file.
"""
