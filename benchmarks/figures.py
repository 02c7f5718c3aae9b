"""What the processes found: medians over rounds, ratios, and whether numbers agree."""

import collections
import statistics

import rows

TOLERANCE = 1e-5
# Of nets where peers don't agree: JAX by hand does, there too.
LAID_OUT_OTHERWISE = "flax.linen", "flax.nnx", "equinox"
# Normalising 8 numbers a channel, as the last blocks of ResNet-50 do here, magnifies
# rounding, and equinox rounds its variances otherwise.
LOOSER = {("resnet50", "equinox"): 1e-2}


class Figures:
    """Maps (library, row) -> samples of each round; and what must be equal."""

    def __init__(self):
        self.samples = {}
        self.sizes, self.numbers, self.drawn = (
            collections.defaultdict(dict) for _ in range(3)
        )

    def add(self, i, library, net, result):
        for what, figure in result["figures"].items():
            of_row = self.samples.setdefault((library, rows.name(net, what)), {})
            of_row.setdefault(i, []).append(figure)
        for name in ("sizes", "numbers", "drawn"):
            if name in result:
                getattr(self, name)[net][library] = result[name]

    def rounds(self, library, row, clock=0):
        """The median of each round; clock 0 is CPU seconds or bytes, 1 wall seconds."""
        found = self.samples.get((library, row), {}).values()
        return [statistics.median(x[clock] for x in figures) for figures in found]

    def clocks(self, library, row):
        found = self.samples.get((library, row))
        return len(next(iter(found.values()))[0]) if found else 0

    def ratio(self, library, reference, row, clock=0):
        ours = self.rounds(library, row, clock)
        theirs = self.rounds(reference, row, clock)
        if not ours or not theirs:
            return None
        return statistics.median(ours) / statistics.median(theirs)

    def deviation(self, net, library, reference):
        """The largest, of a loss by its size, of a gradient by the largest gradient."""
        numbers = self.numbers[net]
        if library not in numbers or reference not in numbers:
            return None
        if library in LAID_OUT_OTHERWISE and not rows.NETS[net].peers_agree:
            return None
        (loss, *norms), (loss_, *norms_) = numbers[library], numbers[reference]
        if len(norms) != len(norms_):
            return float("inf")
        pairs = zip(norms, norms_)
        scale = max(norms_, default=1.0)
        return max([abs(loss / loss_ - 1), *(abs(x - y) / scale for x, y in pairs)])

    def disagreements(self, reference):
        """A line for each net that is not the same in two libraries."""
        lines = []
        for net, sizes in self.sizes.items():
            for library, found in sizes.items():
                expected = sizes.get(reference, found)
                if found != expected and rows.NETS[net].peers_agree:
                    lines.append(
                        f"{net}: {library} has {len(found)} parameters of {sum(found)} "
                        f"numbers, {reference} {len(expected)} of {sum(expected)}"
                    )
                deviation = self.deviation(net, library, reference)
                tolerance = LOOSER.get((net, library), TOLERANCE)
                if deviation is not None and not deviation <= tolerance:
                    lines.append(
                        f"{net}: {library} is {deviation:.1e} from {reference}"
                    )
        for net, drawn in self.drawn.items():
            for library, found in drawn.items():
                if found != drawn.get(reference, found):
                    lines.append(f"{net}: {library} draws other parameters")
        return lines
