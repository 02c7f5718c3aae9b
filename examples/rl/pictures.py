"""Learning curves and films of agents."""

import matplotlib
import numpy as np
import PIL.Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE = "#2A6FDB"


def curves(curves, title: str, path):
    """Each seed's evaluations, [(step, return)], and their mean."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for curve in curves:
        axes.plot(*np.transpose(curve), color=BLUE, alpha=0.35, lw=1)
    if len({len(curve) for curve in curves}) == 1:
        steps, means = np.mean(curves, 0).T
        axes.plot(steps, means, color=BLUE, lw=2)
        axes.annotate(f"{means[-1]:.4g}", (steps[-1], means[-1]), weight="bold")
    axes.set(xlabel="steps in the environment", ylabel="return of an episode")
    axes.set_title(title, weight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(left=0)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def film(frames, path, *, most: int = 150, width: int = 240):
    """Writes pictures [H, W, 3] as a GIF, at most so many of them, evenly chosen."""
    chosen = np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int)
    images = [PIL.Image.fromarray(np.asarray(frames[i], np.uint8)) for i in chosen]
    height = round(images[0].height * width / images[0].width)
    images = [image.resize((width, height)) for image in images]
    images[0].save(path, save_all=True, append_images=images[1:], duration=50, loop=0)


def board(colours, scale: int = 24):
    """A picture of a grid of colours [H, W, 3] in [0, 1], each a square."""
    pixels = np.kron(np.asarray(colours), np.ones([scale, scale, 1]))
    return np.uint8(255 * np.clip(pixels, 0, 1))
