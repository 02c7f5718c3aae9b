"""`--part N`: one of N tests, always the same ones."""

import zlib


def pytest_addoption(parser):
    parser.addoption(
        "--part", type=int, default=1, metavar="N", help="run one of N tests"
    )


def pytest_collection_modifyitems(config, items):
    part = config.getoption("part")
    kept = [x for x in items if zlib.crc32(x.nodeid.encode()) % part == 0]
    config.hook.pytest_deselected(items=[x for x in items if x not in set(kept)])
    items[:] = kept
