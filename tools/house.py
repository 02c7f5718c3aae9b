"""Draws the import graph of src/: a room for each file, arrows down to what it imports.

    python tools/house.py           # writes haiku.svg and rlax.svg into build/house
    python tools/house.py --check   # draws nothing: only looks for circles

A folder is a frame around its files, on the floor above everything that it imports;
inside it files stand in rows the same way. A room is as wide as its file is long. An
arrow that a longer way of arrows implies is left out. The exit status is 1 if files
import each other in a circle; imports inside functions and for types count too.

`make check` looks for circles; `make docs` draws (docs/extension/drawings.py).
"""

import argparse
import html
import itertools
import pathlib
import sys

import grimp

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "house"
PACKAGES = ("haiku", "rlax")
WIDTH, MARGIN, GAP, FLOOR_GAP = 1100, 20, 14, 46  # in pixels, as all below
ROOM_HEIGHT, ROW_GAP, TITLE, LONGEST_ROW = 34, 16, 22, 560
PER_LINE, PER_LETTER = 0.4, 6.6
STYLE = """
  text { font: 11px ui-sans-serif, system-ui, sans-serif; fill: #1f2937 }
  .title { font-weight: 600; font-size: 13px } .lines { fill: #6b7280; font-size: 10px }
  .frame { fill: #f8fafc; stroke: #475569 } .room { fill: #dbe7f5; stroke: #9db4d0 }
  .arrow { fill: none; stroke: #94a3b8 } .import { fill: none; stroke: #c3cfde }
"""


# ---- What imports what ------------------------------------------------------------


def lines_of(module):
    path = ROOT / "src" / pathlib.Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return len(file.read_text().splitlines())


def imports_of(package):
    """Maps each module to the modules of the package that it imports."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {
        module: graph.find_modules_directly_imported_by(module) - {module}
        for module in sorted(graph.modules)
    }


def group_of(module):
    """The folder, or the file, directly below the package."""
    return ".".join(module.split(".")[:2])


def grouped(imports):
    """Maps each group to the groups it imports."""
    groups = {group_of(module): set() for module in imports}
    for module, others in imports.items():
        groups[group_of(module)] |= {group_of(x) for x in others} - {group_of(module)}
    return groups


def circle_in(imports):
    """Modules that import each other in a circle, in order; empty if there is none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        for other in sorted(imports[module]):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next(filter(None, map(visit, imports)), [])


def floors(imports):
    """Maps each node to its floor: above all that it imports; 0 imports nothing."""
    known = {}

    def floor(node):
        if node not in known:
            known[node] = 1 + max(map(floor, imports[node]), default=-1)
        return known[node]

    return {node: floor(node) for node in imports}


def without_implied(imports):
    """The imports that no longer way of imports implies."""

    def below(node):
        return imports[node].union(*map(below, imports[node]))

    return {
        node: others - set().union(*(below(other) for other in others))
        for node, others in imports.items()
    }


# ---- Where things stand -----------------------------------------------------------


def rows_of(sizes, limit):
    """Splits (node, width) pairs into rows no wider than `limit`."""
    rows, x = [[]], 0
    for node, width in sizes:
        if rows[-1] and x + width > limit:
            rows, x = [*rows, []], 0
        rows[-1].append((node, x, width))
        x += width + GAP
    return rows


class Box:
    """A frame or a room: where it stands and what it says."""

    def __init__(self, name, lines, x, y, width, height):
        self.name, self.lines = name, lines
        self.x, self.y, self.width, self.height = x, y, width, height

    def drawn(self, kind):
        label = f'<tspan class="lines"> {self.lines}</tspan>'
        title = ' class="title"' if kind == "frame" else ""
        down = 15 if kind == "frame" else 21
        return (
            f'<rect class="{kind}" x="{self.x:.0f}" y="{self.y:.0f}" rx="3" '
            f'width="{self.width:.0f}" height="{self.height:.0f}"/>'
            f'<text{title} x="{self.x + 7:.0f}" y="{self.y + down:.0f}">'
            f"{html.escape(self.name)}{label}</text>"
        )


def room_width(name, lines):
    return max(PER_LINE * lines, PER_LETTER * (len(name) + len(str(lines)) + 2) + 8)


def furnished(group, imports):
    """A group's rooms in centred rows, from its top left: (rooms, width, height)."""
    inside = {m: others & imports.keys() for m, others in imports.items() if m != group}
    inside = {m: others - {group} for m, others in inside.items()}
    levels = floors(inside)
    rows = []
    for _, row in itertools.groupby(
        sorted(inside, key=lambda m: (-levels[m], m)), key=lambda m: levels[m]
    ):
        sizes = [(m, room_width(f"{_last(m)}.py", lines_of(m))) for m in row]
        rows += rows_of(sizes, LONGEST_ROW)
    wide = max((row[-1][1] + row[-1][2] for row in rows), default=0)
    rooms, y = {}, TITLE
    for row in rows:
        left = GAP + (wide - row[-1][1] - row[-1][2]) / 2
        for m, x, width in row:
            room = Box(
                f"{_last(m)}.py", lines_of(m), left + x, y + 6, width, ROOM_HEIGHT
            )
            rooms[m] = room
        y += ROOM_HEIGHT + ROW_GAP
    return rooms, wide + 2 * GAP if rows else 0, y


def _last(module):
    return module.rpartition(".")[2]


def house_of(package, imports):
    """Where each group's frame and each module's room stands, and the height of all."""
    groups = grouped(imports)
    levels, frames, rooms, y = floors(groups), {}, {}, MARGIN
    for level in range(max(levels.values()), -1, -1):
        furniture = {}
        for group in (g for g in groups if levels[g] == level):
            modules = [m for m in imports if group_of(m) == group]
            lines = sum(map(lines_of, modules))
            name = group.removeprefix(package + ".")
            name += "/" if len(modules) > 1 else ".py" if group != package else ""
            inside, width, height = furnished(group, {m: imports[m] for m in modules})
            wanted = max(width, 1.2 * room_width(name, 0))
            furniture[group] = name, lines, inside, wanted, height
        for row in rows_of(
            [(g, f[3]) for g, f in furniture.items()], WIDTH - 2 * MARGIN
        ):
            left = (WIDTH - row[-1][1] - row[-1][2]) / 2
            for group, x, width in row:
                name, lines, inside, _, height = furniture[group]
                frames[group] = Box(name, lines, left + x, y, width, height + 2)
                for module, room in inside.items():
                    room.x, room.y = room.x + left + x, room.y + y
                    rooms[module] = room
            y += max(furniture[group][4] for group, _, _ in row) + FLOOR_GAP
    return frames, rooms, y


# ---- The picture ------------------------------------------------------------------


def arrow(upper, lower, kind, thickness=1.0):
    x, y = upper.x + upper.width / 2, upper.y + upper.height
    to_x, to_y = lower.x + lower.width / 2, lower.y
    bend = (to_y - y) / 2
    return (
        f'<path class="{kind}" stroke-width="{thickness:.1f}" marker-end="url(#tip)" '
        f'd="M{x:.0f} {y:.0f} C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} '
        f'{to_x:.0f} {to_y:.0f}"/>'
    )


def checked_imports(package):
    """The imports of a package; ends the program if there is a circle among them."""
    imports = imports_of(package)
    if circle := circle_in(imports):
        sys.exit(f"Files import each other in a circle: {' -> '.join(circle)}")
    return imports


def picture(package):
    """The house of a package as SVG."""
    imports = checked_imports(package)
    frames, rooms, height = house_of(package, imports)
    parts = []
    for group, others in without_implied(grouped(imports)).items():
        for other in sorted(others):
            used = sum(
                group_of(target) == other
                for module, targets in imports.items()
                if group_of(module) == group
                for target in targets
            )
            thickness = 1 + min(used, 20) / 7
            parts.append(arrow(frames[group], frames[other], "arrow", thickness))
    parts += [box.drawn("frame") for box in frames.values()]
    inside = {
        module: {x for x in others if group_of(x) == group_of(module) and x in rooms}
        for module, others in imports.items()
        if module in rooms
    }
    for module, others in without_implied(inside).items():
        parts += [arrow(rooms[module], rooms[x], "import") for x in sorted(others)]
    parts += [room.drawn("room") for room in rooms.values()]
    total = sum(map(lines_of, imports))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
            f"<title>{package}: {len(imports)} files, {total} lines</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" orient="auto" '
            'markerWidth="5" markerHeight="5"><path d="M0 0L6 3L0 6z" fill="#94a3b8"/>'
            "</marker></defs>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def draw(folder):
    """Writes the house of each package into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        (folder / f"{package}.svg").write_text(picture(package))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only look for circles")
    if not parser.parse_args().check:
        draw(OUT)
        return
    for package in PACKAGES:
        print(f"{package}: {len(checked_imports(package))} files, no circle")


if __name__ == "__main__":
    main()
