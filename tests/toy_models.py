"""Toy repositories for every model of the catalogue: its architecture with random weights, as its author might publish it.

``toy_for(spec, folder)`` takes a second or two, most of it the imports. The same spec always gives the same weights.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from model_store.catalogue import ModelSpec
from tests.unit import tiny_models

WIDTH = 32
# What lies next to the weights in many repositories and no pull may fetch.
JUNK = {
    ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
    "flax_model.msgpack": b"\x81\xa6params\x80",
    "onnx/model.onnx": b"\x08\x07\x12\x07pytorch",
    "tf_model.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
}
_WORDS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def toy_for(spec: ModelSpec, folder: Path, pickled: bool = False) -> Path:
    """Write a toy repository for ``spec`` to ``folder``. ``pickled`` leaves pytorch_model.bin as its only weights."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(int(hashlib.sha256(spec.key.encode()).hexdigest()[:8], 16))
    state = _embedding(spec, folder) if spec.task == "embedding" else _model(spec, folder)
    if pickled:
        _pickle_weights(folder, state)
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\n# {spec.id}\n\nA toy with random weights.\n")
    for name, content in JUNK.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _embedding(spec: ModelSpec, folder: Path) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(tiny_models.build(spec.family, Path(scratch) / "toy"), folder, dirs_exist_ok=True)
    return {}


def _model(spec: ModelSpec, folder: Path) -> dict:
    tokenizer = _tokenizer(spec.family)
    model = _architecture(spec, tokenizer).eval()
    # Large models come in shards with an index.
    model.save_pretrained(folder, max_shard_size="24KB" if spec.parameters > 2e9 else "1GB")
    tokenizer.save_pretrained(folder)
    return model.state_dict()


def _pickle_weights(folder: Path, state: dict) -> None:
    """Replace all safetensors; ``state`` brings the tied weights too, which real pickles repeat."""
    import torch
    from safetensors.torch import load_file

    for place in {path.parent for path in folder.rglob("*.safetensors")}:
        tensors = {name: tensor for path in place.glob("*.safetensors") for name, tensor in load_file(path).items()}
        torch.save(tensors | state if place == folder else tensors, place / "pytorch_model.bin")
        for path in [*place.glob("*.safetensors"), *place.glob("*.safetensors.index.json")]:
            path.unlink()


def _architecture(spec: ModelSpec, tokenizer):
    import transformers

    positions = min(spec.limits.max_tokens, 1024)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    shape = {"vocab_size": len(tokenizer), **ids, "bos_token_id": tokenizer.bos_token_id}
    deep = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    labels = {
        "id2label": dict(enumerate(spec.labels)),
        "label2id": {label: number for number, label in enumerate(spec.labels)},
    }
    wide = {"initializer_range": 0.4}
    match spec.task, spec.family:
        case "classification", "bert":
            config = transformers.BertConfig(**shape, **deep, **labels, **wide, max_position_embeddings=positions)
            return transformers.BertForSequenceClassification(config)
        case "classification", "roberta":
            # RoBERTa's positions start behind the padding's.
            config = transformers.RobertaConfig(
                **shape, **deep, **labels, **wide, max_position_embeddings=positions + 2, type_vocab_size=1
            )
            return transformers.RobertaForSequenceClassification(config)
        case "classification", "distilbert":
            config = transformers.DistilBertConfig(
                **shape,
                **labels,
                **wide,
                dim=WIDTH,
                n_layers=2,
                n_heads=4,
                hidden_dim=48,
                max_position_embeddings=positions,
            )
            return transformers.DistilBertForSequenceClassification(config)
        case _, "bart":
            config = _bart_config(shape, labels if spec.task == "zero-shot" else {}, positions)
            if spec.task == "zero-shot":
                return transformers.BartForSequenceClassification(config)
            return transformers.BartForConditionalGeneration(config)
        case "generation", "gpt2":
            config = transformers.GPT2Config(**shape, **wide, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=positions)
            return transformers.GPT2LMHeadModel(config)
        case "generation", "mistral":
            config = transformers.MistralConfig(
                **shape, **deep, **wide, num_key_value_heads=2, max_position_embeddings=positions, sliding_window=None
            )
            return transformers.MistralForCausalLM(config)
        case "generation", "phi":
            config = transformers.PhiConfig(**shape, **deep, **wide, max_position_embeddings=positions)
            return transformers.PhiForCausalLM(config)
        case "seq2seq", "t5":
            config = transformers.T5Config(
                **{"vocab_size": len(tokenizer), **ids, "decoder_start_token_id": tokenizer.pad_token_id},
                **{"d_model": WIDTH, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
                **{"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
            )
            return transformers.T5ForConditionalGeneration(config)
    raise ValueError(f"there is no toy for {spec.task} with {spec.family}")


def _bart_config(shape: dict, labels: dict, positions: int):
    import transformers

    ends = {"decoder_start_token_id": shape["eos_token_id"], "forced_eos_token_id": shape["eos_token_id"]}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    layers = {"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
    return transformers.BartConfig(
        **shape, **labels, **ends, **heads, **layers, d_model=WIDTH, max_position_embeddings=positions, init_std=0.4
    )


def _tokenizer(family: str):
    if family in ("gpt2", "phi"):
        return _byte_level(["<|endoftext|>"], None, bos="<|endoftext|>", eos="<|endoftext|>", unk="<|endoftext|>")
    if family == "mistral":
        tokenizer = _pieces(["<unk>", "<s>", "</s>"], "<s> $A", bos="<s>", eos="</s>", unk="<unk>")
        tokenizer.chat_template = _CHAT
        return tokenizer
    if family == "t5":
        return _pieces(["<pad>", "</s>", "<unk>"], "$A </s>", pad="<pad>", eos="</s>", unk="<unk>")
    if family in ("roberta", "bart"):
        names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
        return _byte_level([*_WORDS], "<s> $A </s>", pair="<s> $A </s> </s> $B </s>", mask="<mask>", **names)
    tokenizer = tiny_models._tokenizer(family)
    _frame(tokenizer.backend_tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])
    return tokenizer


def _byte_level(special: list[str], single: str | None, pair: str | None = None, **names: str):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = dict.fromkeys([*special, *alphabet, "Ġa", "an", "th", "the", "Ġthe"])
    merges = [("Ġ", "a"), ("a", "n"), ("t", "h"), ("th", "e"), ("Ġ", "the")]
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrap(tokenizer, single, pair, special, names)


def _pieces(special: list[str], single: str, **names: str):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = [*map(chr, range(ord("a"), ord("z") + 1)), *map(chr, range(ord("A"), ord("Z") + 1)), *"0123456789"]
    scored = [*((name, 0.0) for name in special), ("▁", -2.0), ("▁a", -3.0), ("▁the", -3.0)]
    scored += [(letter, -6.0) for letter in [*letters, *"[]<>/.,!?':;-()"]]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=special.index("<unk>")))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _wrap(tokenizer, single, None, special, names)


def _wrap(tokenizer, single: str | None, pair: str | None, special: list[str], names: dict[str, str]):
    from transformers import PreTrainedTokenizerFast

    if single:
        _frame(tokenizer, single, pair, special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": text for name, text in names.items()}
    )


def _frame(tokenizer, single: str, pair: str | None, special: list[str]) -> None:
    """Write the special tokens around a text and around a pair of texts."""
    from tokenizers import processors

    if pair is None:
        pair = f"{single} {single.replace('$A', '$B')}"
    known = {word.split(":")[0] for word in f"{single} {pair}".split() if not word.startswith("$")}
    ids = [(word, tokenizer.token_to_id(word)) for word in sorted(known & set(special))]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
