"""The keys that a model's ``config.json`` may have, by family.

transformers sets every key of the file as an attribute, so a key is a way to steer code: which kernel is fetched, which
class is imported. What is not listed here is refused. Listed are the keys that transformers writes and wrote for these
families, and the leftovers that their published checkpoints carry; none of them names code.
"""

import re

_BASE = """
    _commit_hash _name_or_path _num_labels add_cross_attention architectures attention_dropout bad_words_ids
    begin_suppress_tokens bos_token_id chunk_size_feed_forward classifier_dropout cross_attention_hidden_size
    decoder_start_token_id diversity_penalty do_sample dtype early_stopping encoder_no_repeat_ngram_size
    eos_token_id exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id
    gradient_checkpointing hidden_size id2label initializer_range is_decoder is_encoder_decoder label2id
    length_penalty max_length max_new_tokens max_position_embeddings min_length model_type name_or_path
    no_repeat_ngram_size num_attention_heads num_beam_groups num_beams num_hidden_layers num_labels
    num_return_sequences output_attentions output_hidden_states output_past output_scores pad_token_id prefix
    problem_type pruned_heads remove_invalid_values repetition_penalty return_dict return_dict_in_generate
    sep_token_id suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder
    tie_word_embeddings tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p
    use_bfloat16 use_cache vocab_size xla_device
"""
_ENCODER = """
    attention_probs_dropout_prob hidden_act hidden_dropout_prob intermediate_size layer_norm_eps position_embedding_type
    type_vocab_size
"""
_DECODER = """
    head_dim hidden_act intermediate_size num_key_value_heads rope_parameters rope_scaling rope_theta
"""
_FAMILIES = {
    "bert": f"""{_ENCODER} directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
        pooler_size_per_head pooler_type""",
    "roberta": _ENCODER,
    "xlm-roberta": _ENCODER,
    "mpnet": f"{_ENCODER} relative_attention_num_buckets",
    "distilbert": """activation dim dropout hidden_dim n_heads n_layers qa_dropout seq_classif_dropout
        sinusoidal_pos_embds tie_weights_""",
    "bart": """activation_dropout activation_function add_bias_logits add_final_layernorm add_final_layer_norm
        classif_dropout d_model decoder_attention_heads decoder_ffn_dim decoder_layerdrop decoder_layers
        do_blenderbot_90_layernorm dropout encoder_attention_heads encoder_ffn_dim encoder_layerdrop encoder_layers
        extra_pos_embeddings force_bos_token_to_be_generated init_std normalize_before normalize_embedding replacing_rate
        scale_embedding static_position_embeddings student_decoder_layers student_encoder_layers""",
    "gpt2": """activation_function attn_pdrop embd_pdrop layer_norm_epsilon n_ctx n_embd n_head n_inner n_layer
        n_positions reorder_and_upcast_attn resid_pdrop scale_attn_by_inverse_layer_idx scale_attn_weights
        summary_activation summary_first_dropout summary_proj_to_labels summary_type summary_use_proj""",
    "mistral": f"{_DECODER} rms_norm_eps sliding_window",
    "phi": f"{_DECODER} embd_pdrop layer_norm_eps partial_rotary_factor qk_layernorm resid_pdrop",
    "t5": """d_ff d_kv d_model dense_act_fn dropout_rate feed_forward_proj initializer_factor is_gated_act
        layer_norm_epsilon n_positions num_decoder_layers num_heads num_layers relative_attention_max_distance
        relative_attention_num_buckets scale_decoder_outputs""",
}
ALLOWED = {family: frozenset(f"{_BASE} {keys}".split()) for family, keys in _FAMILIES.items()}

# Keys that choose or fetch code. They are refused wherever they stand, in any configuration file.
_CODE = re.compile(
    r"auto_map|trust_remote_code|custom_pipelines?|custom_generate|quantization_config|use_kernels|kernel.*|.*_internal"
    r"|_?(attn|experts)_implementation.*",
    re.IGNORECASE | re.DOTALL,
)


def names_code(key: str) -> bool:
    """Whether this key makes a library import, fetch or choose code."""
    return _CODE.fullmatch(key.strip()) is not None
