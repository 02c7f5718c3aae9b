"""The text encoders of the parity table: per family, what it varies."""

from cases import OLD, SMALL, Case

SMALL_BERT = {
    **{"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0},
    **{"max_position_embeddings": 16, "type_vocab_size": 2},
}
OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def bert(name, varies, architecture="BertModel", config=None, **options):
    config = SMALL_BERT | (config or {})
    options = {"net": "encoder", "parts": None} | options
    return Case(f"bert-{name}", varies, architecture, config, **options)


def bert_cases():
    yield bert("plain", "a pooler", others={"hidden_act": "relu"})
    yield bert(
        "masked",
        "a head of tokens, tied, 1 head, 3 layers, layer_norm_eps",
        "BertForMaskedLM",
        {"num_attention_heads": 1, "num_hidden_layers": 3, "layer_norm_eps": 0.1},
        others={"layer_norm_eps": 1e-12},
    )
    yield bert(
        "untied",
        "a head of tokens with weights of its own",
        "BertForMaskedLM",
        {"tie_word_embeddings": False},
    )
    yield bert(
        "hub",
        "as the first folder on the hub: gamma and beta, a pooler nobody reads, old "
        "keys",
        "BertForMaskedLM",
        written=OLD | {"position_embedding_type": "absolute", "gradient_checkpoint": 0},
        unwritten=(
            *("dtype", "layer_norm_eps", "type_vocab_size", "tie_word_embeddings"),
            *("is_decoder", "add_cross_attention", "hidden_act"),
        ),
        embeddings=0.003,
        old_names=OLD_NAMES,
        buffers={
            "bert.pooler.dense.weight": (16, 16),
            "bert.pooler.dense.bias": (16,),
            "cls.seq_relationship.weight": (2, 16),
            "cls.seq_relationship.bias": (2,),
            "bert.embeddings.position_ids": (1, 16),
        },
    )
    yield bert(
        "classes",
        "a head of 3 classes on the pooler, gelu by tanh, untied",
        "BertForSequenceClassification",
        {"num_labels": 3, "hidden_act": "gelu_new", "tie_word_embeddings": False},
        others={"hidden_act": "relu"},
    )
    yield bert(
        "token_classes",
        "3 classes of each token, 3 types of tokens",
        "BertForTokenClassification",
        {"num_labels": 3, "type_vocab_size": 3},
    )


def roberta(name, varies, architecture="RobertaModel", config=None, **options):
    config = SMALL_BERT | {"pad_token_id": 1, "type_vocab_size": 1} | (config or {})
    options = {"net": "encoder", "parts": None} | options
    return Case(f"roberta-{name}", varies, architecture, config, **options)


def roberta_cases():
    yield roberta("plain", "a pooler", others={"hidden_act": "relu"})
    yield roberta(
        "masked",
        "a head of tokens, tied, 2 heads, layer_norm_eps",
        "RobertaForMaskedLM",
        {"num_attention_heads": 2, "layer_norm_eps": 0.1},
        others={"layer_norm_eps": 1e-12},
    )
    yield roberta(
        "untied",
        "a head of tokens with weights of its own",
        "RobertaForMaskedLM",
        {"tie_word_embeddings": False},
    )
    yield roberta(
        "classes",
        "a head of 3 classes, positions after 3 rows, 2 types of tokens",
        "RobertaForSequenceClassification",
        {"num_labels": 3, "pad_token_id": 2, "type_vocab_size": 2},
    )
    yield roberta(
        "token_classes",
        "3 classes of each token, bfloat16",
        "RobertaForTokenClassification",
        {"num_labels": 3},
        dtype="bfloat16",
    )


def modernbert(name, varies, architecture="ModernBertModel", config=None, **options):
    config = {
        **{k: v for k, v in SMALL.items() if k != "num_key_value_heads"},
        **{"cls_token_id": 1, "sep_token_id": 2, "local_attention": 4},
        **{"num_hidden_layers": 6},
    } | (config or {})
    options = {"net": "encoder", "parts": None} | options
    return Case(f"modernbert-{name}", varies, architecture, config, **options)


def modernbert_cases():
    yield modernbert(
        "plain",
        "two of three layers with a window of 4",
        others={"hidden_activation": "relu"},
    )
    yield modernbert(
        "masked",
        "a head of tokens, tied, biases of all maps and norms, norm_eps",
        "ModernBertForMaskedLM",
        {
            **{"attention_bias": True, "mlp_bias": True, "norm_bias": True},
            **{"classifier_bias": True, "norm_eps": 0.1, "num_hidden_layers": 2},
        },
        others={"norm_eps": 1e-5},
    )
    yield modernbert(
        "classes",
        "3 classes of the mean, 1 head, untied, layers in another order",
        "ModernBertForSequenceClassification",
        {
            **{"num_labels": 3, "classifier_pooling": "mean", "num_hidden_layers": 3},
            **{"num_attention_heads": 1, "tie_word_embeddings": False},
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        },
        others={"classifier_pooling": "cls"},
    )
    yield modernbert(
        "first",
        "3 classes of the first token, relu",
        "ModernBertForSequenceClassification",
        {
            **{"num_labels": 3, "hidden_activation": "relu", "num_hidden_layers": 2},
            "classifier_activation": "relu",
            "layer_types": ["full_attention", "full_attention"],
        },
        others={"classifier_pooling": "mean"},
    )
    yield modernbert(
        "keys_4x",
        "4.x keys: every other layer with a window, two bases of rope; 3 classes of "
        "each token",
        "ModernBertForTokenClassification",
        {"num_labels": 3, "num_hidden_layers": 4},
        written=OLD
        | {
            **{"global_attn_every_n_layers": 2, "global_rope_theta": 50.0},
            **{"local_rope_theta": 20.0, "reference_compile": None},
        },
        unwritten=(
            *("dtype", "layer_types", "rope_parameters", "tie_word_embeddings"),
            *("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"),
            *("classifier_pooling", "hidden_activation", "classifier_activation"),
        ),
        others={"global_rope_theta": 10000.0, "local_rope_theta": 10000.0},
    )


def cases():
    for of_family in bert_cases, roberta_cases, modernbert_cases:
        yield from of_family()
