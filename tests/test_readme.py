"""README.md and docs/ say what the code and benchmarks/results/ say."""

import ast
import re
from pathlib import Path

import pytest

from common.paths import ROOT

README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
PAGES = (README, CHINESE, *sorted((ROOT / "docs").glob("*.md")))
RESULTS = ROOT / "benchmarks" / "results"
ACCURACY = r"0\.\d{4}(?: ± 0\.\d{4})?"


def table(page: Path, header: str) -> list[list[str]]:
    """Return the cells of each row of the table whose header begins with `header`."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"\n| {header} |")
    assert rest, f"{page.name} has no table with the header {header}"
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [re.split(r"\s+\|\s+", row.strip("| ")) for row in rows]


def table_of_result(name: str) -> list[list[str]]:
    """Return the cells of each row of a table in benchmarks/results/."""
    lines = (RESULTS / name).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines[2:] if line.startswith("|")]
    return [re.split(r"\s+\|\s+", row.strip("| ")) for row in rows]


def train_constants() -> dict[str, object]:
    """Return the constants of train.py."""
    text = (ROOT / "train.py").read_text(encoding="utf-8")
    block = re.search(r"^# -+ constants\n(.*?)^# -+$", text, re.DOTALL | re.MULTILINE)
    values = {}
    for node in ast.parse(block[1]).body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        values[target.id] = ast.literal_eval(node.value)
    return values


def link_exists(page: Path, link: str) -> bool:
    """Return whether a page's link leads to a file and, after #, to a heading."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.is_file():
        return False
    if not anchor:
        return True
    headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
    return anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_the_table_of_constants_is_that_of_train() -> None:
    shown = {}
    for names, defaults, *_ in table(README, "constant"):
        pairs = zip(names.split(", "), defaults.split(", "), strict=True)
        shown |= {name.strip("`"): default.strip("`") for name, default in pairs}
    constants = train_constants()
    del constants["AUTO_RATES"], constants["RECIPES"]
    assert list(shown) == list(constants)
    for name, value in constants.items():
        default = shown[name] if isinstance(value, str) else float(shown[name])
        assert default == value, name


def test_the_table_of_constants_says_what_auto_stands_for() -> None:
    rows = {row[0].strip("`"): row[2] for row in table(README, "constant")}
    rates = dict(train_constants()["AUTO_RATES"])
    rate = rates.pop("mnist")
    (other_rate,) = set(rates.values())
    numbers = re.search(
        "`auto`: (.*), on other data than MNIST (.*)$", rows["LEARNING_RATE"]
    )
    assert [float(number) for number in numbers.groups()] == [rate, other_rate]


def test_the_file_map_names_every_python_file_of_root_and_rooms() -> None:
    shown = []
    for place, job in table(README, "file | job"):
        if place.endswith(".py`"):
            shown += [name.strip("`") for name in place.split(", ")]
        elif place.count("/") == 1:
            room = place.strip("`")
            shown += [room + name for name in re.findall(r"`(\w+\.py)`", job)]
    rooms = [init.parent for init in ROOT.glob("*/__init__.py")]
    paths = [path for folder in (ROOT, *rooms) for path in folder.glob("*.py")]
    found = [p.relative_to(ROOT).as_posix() for p in paths if p.name != "__init__.py"]
    assert sorted(shown) == sorted(found)


@pytest.mark.parametrize(
    ("result", "page"),
    [
        ("crops.md", "docs/handwriting.md"),
        ("sheets.md", "docs/handwriting.md"),
        ("not_a_digit.md", "docs/handwriting.md"),
        ("published.md", "docs/networks.md"),
        ("calibration.md", "docs/networks.md"),
        ("embedded.md", "docs/data.md"),
        ("exports.md", "docs/export.md"),
        ("speed-amd-epyc-bfloat16.md", "docs/speed.md"),
        ("speed-amd-epyc-avx2.md", "docs/speed.md"),
        ("recipes-amd-epyc-bfloat16.md", "docs/recipes.md"),
        ("recipes-amd-epyc-avx2.md", "docs/recipes.md"),
        ("candidates.md", "docs/recipes.md"),
        ("handwriting.md", "docs/recipes.md"),
        ("time_to_99.md", "docs/speed.md"),
        ("cluster.md", "docs/many-machines.md"),
        ("scale.md", "docs/speed.md"),
    ],
)
def test_a_page_shows_a_benchmark_as_it_was_measured(result: str, page: str) -> None:
    measured = (RESULTS / result).read_text(encoding="utf-8").splitlines()
    shown = (ROOT / page).read_text(encoding="utf-8").splitlines()
    size = len(measured)
    tables = [
        (shown[start : start + size], "".join(shown[start + size :][:1]))
        for start, line in enumerate(shown)
        if line == measured[0]
    ]
    # The whole of one: what follows is no row.
    assert measured in [rows for rows, after in tables if not after.startswith("|")]


def test_the_readme_shows_each_recipe_as_it_was_measured() -> None:
    rows = table(README, "command")
    assert len(rows) == 4
    bfloat16, avx2 = (
        {row[0].strip("`"): row[1:] for row in table_of_result(f"{result}.md")}
        for result in ("recipes-amd-epyc-bfloat16", "recipes-amd-epyc-avx2")
    )
    for command, accuracy, seconds, on_avx2 in rows:
        flags = re.match(r"`python train\.py ?(.*?)`", command)[1]
        flags = flags or "--recipe default"
        assert bfloat16[flags] == [accuracy.strip("*"), "5", seconds]
        assert avx2.get(flags, ["", "5", "not run"])[1:] == ["5", on_avx2]


def test_other_accuracies_in_the_readme_were_measured() -> None:
    texts = [path.read_text(encoding="utf-8") for path in RESULTS.glob("*.md")]
    measured = set(re.findall(ACCURACY, "\n".join(texts)))
    effects = [row[3] for row in table(README, "constant") if len(row) == 4]
    shown = set(re.findall(ACCURACY, "\n".join(effects)))
    assert shown
    text = README.read_text(encoding="utf-8")
    shown |= {found for found in re.findall(ACCURACY, text) if "±" in found}
    assert shown <= measured
    *_, (_, whole, digits, _) = table_of_result("sheets.md")
    for cell in (whole, digits):
        assert f"{re.search(r'[(](.*)%', cell)[1]} %" in text


def outside_of_blocks(pattern: str, text: str) -> list[str]:
    """Return what matches a pattern outside of blocks of code, in order of value."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return sorted(re.findall(pattern, text))


@pytest.mark.parametrize("pattern", [r"`[^`\n]+`", r"\]\(([^)]*)\)", r"\d[\d,.]*\d|\d"])
def test_the_chinese_readme_has_the_same_names_links_and_numbers(pattern: str) -> None:
    english, chinese = (page.read_text("utf-8") for page in (README, CHINESE))
    english = english.replace(CHINESE.name, README.name)
    assert outside_of_blocks(pattern, chinese) == outside_of_blocks(pattern, english)


def test_the_chinese_readme_has_the_same_commands_and_outputs() -> None:
    english, chinese = (
        re.findall(r"^```.*?^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for page in (README, CHINESE)
    )
    assert chinese == english


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)\s]*)\)", text)
    missing = [link for link in links if not link_exists(page, link)]
    scripts = re.findall(r"python (\S+\.py)\b", text)
    scripts += re.findall(r"`((?:\w+/)+\w+\.py)`", text)
    missing += [script for script in scripts if not (ROOT / script).is_file()]
    assert not missing
