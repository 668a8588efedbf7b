"""Makes two tiny models for vLLM, without any download: one that chats and one that embeds.

The chat model's next token does not depend on what came before. Quotes and braces are likely and the end is not, so
that an answer in a given grammar soon closes what it has opened, and any other answer lasts as long as it may.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, BertTokenizerFast, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 8192
HIDDEN = 64
LIKELY = {'"': 6.0, "}": 5.0, ",": 4.0}
NEVER = -20.0
TEXT = ["the sea keeps what the river brings, and a model stays warm by answering 0123456789 words"]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def make_chat_model(folder: str) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # Layers that add nothing to an embedding that is the same for every token.
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.lm_head.weight.zero_()
        model.lm_head.weight[:, 0] = logits(fast) / HIDDEN**0.5
    model.to(torch.bfloat16).save_pretrained(folder)


def logits(tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    torch.manual_seed(0)
    values = torch.randn(len(tokenizer))
    for token, index in tokenizer.get_vocab().items():
        text = tokenizer.decode([index])
        if not (text.isascii() and text.isprintable() and text.strip()) or token in tokenizer.all_special_tokens:
            values[index] = NEVER
        if text in LIKELY:
            values[index] = LIKELY[text]
    return values


def make_embedding_model(folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = Path(folder, "vocab.txt")
    vocabulary.write_text("\n".join(words))
    BertTokenizerFast(vocab={word: index for index, word in enumerate(words)}).save_pretrained(folder)
    torch.manual_seed(0)
    # As many dimensions as all-MiniLM-L6-v2, which many start with.
    config = BertConfig(
        vocab_size=len(words), hidden_size=384, num_hidden_layers=1, num_attention_heads=4, intermediate_size=384
    )
    BertModel(config).save_pretrained(folder)


if __name__ == "__main__":
    make_chat_model(sys.argv[1])
    make_embedding_model(sys.argv[2])
