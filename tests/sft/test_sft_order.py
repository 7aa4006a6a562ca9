"""The order of examples: every one once an epoch, batches of like length, the same for every tokenizer."""

from trellis.sft.order import training_order

EXAMPLES = [{"messages": [{"role": "user", "content": "x" * (i * 37 % 200)}]} for i in range(203)]


def lengths(indices):
    return [len(EXAMPLES[i]["messages"][0]["content"]) for i in indices]


def test_each_epoch_holds_every_example_once_and_differs_from_the_other():
    order = training_order(EXAMPLES, epochs=2, batch=8, seed=0)
    first, second = order[:203], order[203:]
    assert sorted(first) == sorted(second) == list(range(203))
    assert first != second


def test_batches_hold_similar_lengths_in_random_order():
    order = training_order(EXAMPLES, epochs=1, batch=8, seed=0)
    batches = [lengths(order[i : i + 8]) for i in range(0, 200, 8)]
    spread = sum(max(batch) - min(batch) for batch in batches) / len(batches)
    assert spread < 20, "random batches would spread over about 155"
    heads = [batch[0] for batch in batches]
    assert heads != sorted(heads)


def test_the_seed_decides_the_order():
    assert training_order(EXAMPLES, 1, 8, seed=1) == training_order(EXAMPLES, 1, 8, seed=1)
    assert training_order(EXAMPLES, 1, 8, seed=1) != training_order(EXAMPLES, 1, 8, seed=2)
