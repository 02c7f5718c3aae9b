"""What PyTorch gives for resizing, pooling, shuffling, patches and weight norms.

python oracles/nets/small_layer_values.py    # needs torch and transformers

Arrays are channels last, as ours are.
"""

import importlib.metadata
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrizations
from transformers.models.whisper.modeling_whisper import sinusoids

PATH = pathlib.Path(__file__).parents[2] / "tests/haiku/oracle_values/small_layers.json"


def numbers(*shape):
    """Numbers that differ and repeat on every machine."""
    count = np.prod(shape)
    return np.sin(np.arange(count) * 1.7).reshape(shape).astype(np.float32)


def first(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def last(y):
    return np.moveaxis(y.detach().numpy(), 1, -1)


def kernel(w):
    """``[*space, in, out]`` as PyTorch has it, ``[out, in, *space]``."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(w, (-1, -2), (0, 1))))


def resizes():
    modes = {
        ("nearest", 1): "nearest",
        ("nearest", 2): "nearest",
        ("linear", 1): "linear",
        ("linear", 2): "bilinear",
        ("linear", 3): "trilinear",
        ("cubic", 2): "bicubic",
    }
    for (method, rank), mode in modes.items():
        space = [4, 3, 2][:rank]
        other = [6, 2, 3][:rank]
        x = first(numbers(1, *space, 1))
        options = {} if mode == "nearest" else {"align_corners": False}
        for sizes in ([(3 if rank == 1 else 2) * n for n in space], other):
            y = F.interpolate(x, sizes, mode=mode, **options)
            yield {"method": method, "space": space, "sizes": sizes, "y": last(y)}


def convolutions():
    for space, factor in (([5, 4], 2), ([7], 3)):
        x = first(numbers(1, *space, 2))
        size = 2 * factor - 1
        w = numbers(*[size] * len(space), 2, 2)
        b = torch.from_numpy(numbers(2))
        convolve = (F.conv1d, F.conv2d)[len(space) - 1]
        y = convolve(x, kernel(w), b, stride=factor, padding=factor - 1)
        pool = (F.avg_pool1d, F.avg_pool2d)[len(space) - 1]
        larger = F.interpolate(x, scale_factor=factor)
        w = numbers(*[3] * len(space), 2, 2)
        yield {
            "space": space,
            "factor": factor,
            "down": last(y),
            "pooled": last(pool(x, factor)),
            "up": last(convolve(larger, kernel(w), b, padding=1)),
        }


def pools():
    for space, sizes in (
        ([7], [3]),
        ([3], [5]),
        ([5, 6], [3, 4]),
        ([6, 6], [3, 2]),
        ([4, 5], [None, 1]),
        ([3, 4, 5], [2, 3, 4]),
    ):
        x = first(numbers(1, *space, 2))
        n, case = len(space), {"space": space, "sizes": sizes}
        for kind in ("avg", "max"):
            pool = getattr(F, f"adaptive_{kind}_pool{n}d")
            case[kind] = last(pool(x, sizes[0] if n == 1 else sizes))
        yield case


def shuffles():
    for r in (2, 3):
        x, y = numbers(1, 1, 2, 2 * r * r), numbers(1, 2 * r, r, 1)
        yield {
            "r": r,
            "shuffled": last(F.pixel_shuffle(first(x), r)),
            "unshuffled": last(F.pixel_unshuffle(first(y), r)),
        }


def weight_norms():
    """Weights, and gradients of their products with fixed numbers."""
    for shape, dim in (((3, 4), 0), ((3, 4), None), ((3, 2, 4), 0), ((3, 2, 2, 4), 0)):
        size = (shape[-1], shape[-2], *shape[:-2])
        layer = torch.nn.Module()
        layer.weight = torch.nn.Parameter(torch.zeros(size))
        with torch.no_grad():
            layer.weight.copy_(kernel(numbers(*shape)))
        parametrizations.weight_norm(layer, "weight", dim=dim)
        g = layer.parametrizations.weight.original0
        begin = g.detach().numpy().ravel().copy()
        with torch.no_grad():
            g.copy_(g * torch.from_numpy(numbers(g.numel()) + 2).reshape(g.shape))
        torch.sum(layer.weight * kernel(numbers(*shape)[::-1].copy())).backward()
        v = layer.parametrizations.weight.original1

        def back(w):
            return np.moveaxis(w.detach().numpy(), (0, 1), (-1, -2))

        yield {
            "shape": shape,
            "axis": -1 if dim == 0 else None,
            "begin": begin,
            "magnitude": g.detach().numpy().ravel(),
            "w": back(layer.weight),
            "magnitude_gradient": g.grad.numpy().ravel(),
            "gradient": back(v.grad),
        }


def patches():
    w, x = numbers(2, 3, 3, 5), numbers(2, 4, 6, 3)
    y = F.conv2d(first(x), kernel(w), torch.from_numpy(numbers(5)), stride=(2, 3))
    yield {"y": y.flatten(2).transpose(1, 2).numpy()}


def sines():
    yield {"y": sinusoids(9, 8).numpy()}


def written(value):
    if isinstance(value, np.ndarray):
        return written(value.tolist())
    if isinstance(value, list):
        return [written(x) for x in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def main():
    made = (resizes, convolutions, pools, shuffles, weight_norms, patches, sines)
    subjects = {}
    for cases in made:
        rows = [{k: written(v) for k, v in case.items()} for case in cases()]
        subjects[cases.__name__] = rows
    versions = {n: importlib.metadata.version(n) for n in ("torch", "transformers")}
    rows = ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, cases)) + "\n]"
        for name, cases in subjects.items()
    )
    PATH.parent.mkdir(exist_ok=True)
    text = f'{{"versions": {json.dumps(versions)},\n{rows}}}\n'
    PATH.write_text(text, encoding="utf-8")
    print(f"{PATH.name}: {sum(map(len, subjects.values()))} cases")


if __name__ == "__main__":
    main()
