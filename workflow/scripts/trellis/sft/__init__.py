"""Supervised fine-tuning: every model is trained on the same examples in the same order, on the assistant's tokens only.

data   reads the training side of the schema split (schemas: `training.jsonl`, and `reference.jsonl` with the evaluation's
       texts), the tokenizer (tokenizer) and, in the order of its config's `hub` (experiment.sft.SftHubSet), the fetched files
       of the sets (sets: download_hub results)
       writes `train.jsonl` (id, schema_id: null in a set's examples, messages: [{role, content}]): the schema examples,
       then those of each set, whose ids say where the row stands (`datasets/OWNER/NAME/PATH:ROW`, rows from 1);
       `set_aside.jsonl` (id, reason): the rows of the sets that are no conversation to train on, in their order (reasons:
       sft/rows.py, sft/converters; too_large: over sets.MAX_CONVERSATION characters); and
       `contaminated.jsonl` (id, gives_away, suite, how): the conversations that give an evaluation text away
       leaves out, in this order: what has more than max_length tokens under the chat template (too_long); of the sets, what
       names a format that evaluation asks for and fine-tuning must not show: YAML, TOML, XML or CSV, in words or as the
       language of a fenced block (format; always, also where the experiment has no such suite);
       what hangs together with the evaluation's schemas, a whole connected component of schemas of which each is similar to
       the next (similar); what gives an evaluation text away (contaminated). The latter two stay in where
       `filter.decontamination.remove` is false: then none counts as similar, and contaminated.jsonl still names the others.
       metrics: examples, schemas (that occur in them), too_long, format, similar, tokens, assistant_characters,
       sets: {repository: {rows, converted, set_aside: {reason: rows}, examples, tokens, and of those drawn until the sample
       was full: too_long, format, similar, contaminated}}, contaminated: {suite: conversations}
train  reads a base model (base) and the examples (data)
       writes `model/` (safetensors, config, generation config: eos is the end of turn; tokenizer with chat template) and
       `metrics.jsonl` (step, tokens, loss, lr, grad_norm, token_accuracy; one line a step)
       metrics: parameters, trained_parameters, steps, data_sha256 (of `train.jsonl`), first_loss, final_loss (means over the
       first and the last tenth of the steps); as the trainer held them: hyperparameters ({name: value}, under TRL's names;
       batch and precision), template ({name, sha256 of the Jinja text}), tokenizer_sha256 (of its serialised form); and, noted
       batch by batch, whatever the micro-batch (sft.recorder.Record): examples (epochs counted), tokens, assistant_tokens
       (that carried loss), order_sha256 (of the examples' ids), tokens_sha256 (of their token ids and labels)
       Under `chatml` the two rows of its tokens, in the embedding and in the output's, start at the mean over all others.
       A checkpoint (safetensors and JSON: weights, optimizer, schedule, generators, log and record, with the fingerprint that
       they belong to) is written to `work/` every `checkpoint_minutes`, on SIGTERM and after the last step; a run that goes
       on from it ends with the bytes of one that was never stopped.
"""
