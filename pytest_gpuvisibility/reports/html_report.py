"""The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

A function of the JSON document, so that ``gpu-visibility report`` makes the same page later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..suite import Conclusion, Verdict, conclude
from .device_table import device_table
from .document import DeviceEntry, Document, LaunchEntry, RuleEntry
from .html_notes import how_to_read, moment, origin
from .html_tree import Element, as_html, node
from .timeline import timeline
from .wording import FAMILIES, family_of, judgement, number, place_of_family

STYLE = Path(__file__).with_name("style.css")
LAST_LINES = 30
"""Lines of a server's output that are shown, from the end."""
SIGNS = {
    Verdict.FAIL: "✕",
    Verdict.WARN: "!",
    Verdict.UNSUPPORTED: "○",
    Verdict.DOES_NOT_APPLY: "○",
    Verdict.NOT_DECLARED: "○",
    Verdict.UNJUDGED: "?",
    Verdict.ERROR: "?",
    Verdict.PASS: "✓",
}
SECTIONS = (
    (Verdict.ERROR, "Errors of the harness", "Nothing is known of the server here: the harness failed."),
    (Verdict.FAIL, "Failures", "MUST rules that are broken."),
    (Verdict.UNJUDGED, "Unjudged", "Too little was seen to say that these rules are kept, or that they are broken."),
    (Verdict.WARN, "Warnings", "SHOULD rules that are broken."),
)
IN_THE_SUMMARY = {"inventory", "visible", "device_order", "groups", "devices", "layout", "ending"}
"""Settings of a scenario that its one-line summary tells."""

Rules = Sequence[RuleEntry]


def page(document: Document) -> str:
    """The whole page."""
    title = f"{document['server']['name']} {document['server']['version']}: GPU visibility"
    rules: Rules = sorted(document["rules"], key=lambda rule: (place_of_family(rule["id"]), rule["id"]))
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light dark"),
        node("title", title),
        _style(),
    )
    body = node(
        "body",
        node("header", _header(document, rules)),
        node(
            "main",
            *(_families(rules), _findings(document, rules), _left_out(rules), _not_declared(rules), _passes(rules)),
            _recorded(rules),
        ),
        node("footer", how_to_read(), origin(document)),
    )
    return "<!DOCTYPE html>\n" + as_html(node("html", head, body, lang="en")) + "\n"


def _style() -> Element:
    style = Element("style")
    style.text = STYLE.read_text(encoding="utf-8")
    return style


# The top: what was judged, and the sum of it.


def _header(document: Document, rules: Rules) -> list[Element]:
    server = document["server"]
    verdicts = [_verdict(rule) for rule in rules]
    known = sum(rule["known"] and _verdict(rule) in (Verdict.FAIL, Verdict.WARN) for rule in rules)
    name = f"{server['name']} {server['version']}"
    return [
        node("p", "GPU visibility conformance", class_="kicker"),
        node("h1", node("a", name, href=server["url"]) if _is_web(server["url"]) else name),
        node("p", f"on {_machines(document)}; {moment(document)}", class_="where"),
        node("p", judgement(verdicts, document["catalogue"]), class_=f"judgement {_tone(document, verdicts)}"),
        _bar(verdicts),
        *([node("p", f"{number(known, 'violation')} of these known beforehand for this version.")] * bool(known)),
    ]


def _machines(document: Document) -> str:
    if not document["simulated"]:
        return "the machine's own driver"
    return f"simulated {', '.join(document['inventories'])}: no real GPU was involved"


def _tone(document: Document, verdicts: Sequence[Verdict]) -> str:
    said = conclude(verdicts, document["catalogue"])
    return {Conclusion.CONFORMS: "pass", Conclusion.DOES_NOT_CONFORM: "fail"}.get(said, "error")


def _bar(verdicts: Sequence[Verdict]) -> Element:
    counts = [(verdict, verdicts.count(verdict)) for verdict in SIGNS if verdict in verdicts]
    label = ", ".join(f"{count} {verdict.value}" for verdict, count in counts)
    return node(
        "div",
        (node("span", str(count), class_=verdict.value, style=f"flex-grow:{count}") for verdict, count in counts),
        class_="bar",
        role="img",
        aria_label=label,
    )


def _families(rules: Rules) -> Element:
    families: dict[str, list[RuleEntry]] = {}
    for rule in rules:
        families.setdefault(family_of(rule["id"]), []).append(rule)
    rows = (
        node(
            "tr",
            node("th", node("b", family), f" {FAMILIES.get(family, '')}", scope="row"),
            node("td", node("ul", map(_chip, found), class_="chips")),
        )
        for family, found in families.items()
    )
    return node(
        "section",
        node("h2", "Verdicts by family"),
        node("table", node("tbody", rows), class_="families"),
        aria_label="Verdicts by family",
    )


def _chip(rule: RuleEntry) -> Element:
    verdict = _verdict(rule)
    word = "" if verdict is Verdict.PASS else f" {verdict.value}"
    link = node(
        "a",
        rule["id"].partition("-")[2],
        node("b", f" {SIGNS[verdict]}", aria_hidden="true"),
        word or node("span", " pass", class_="hidden"),
        href=f"#{rule['id']}",
        class_=f"chip {verdict.value}",
        title=f"{rule['id']} ({rule['level']}): {rule['summary']}",
    )
    return node("li", link)


# What is wrong.


def _findings(document: Document, rules: Rules) -> list[Element]:
    sections = []
    for verdict, title, meaning in SECTIONS:
        found = [rule for rule in rules if _verdict(rule) is verdict]
        if found:
            articles = (_finding(document, rule) for rule in found)
            sections.append(node("section", node("h2", f"{title} ({len(found)})"), node("p", meaning), articles))
    return sections


def _finding(document: Document, rule: RuleEntry) -> Element:
    verdict = _verdict(rule)
    tags = [rule["level"], verdict.value, *["known"] * rule["known"]]
    return node(
        "article",
        node("h3", node("span", rule["id"], class_=f"chip {verdict.value}"), f" {rule['headline']}"),
        node("p", " · ".join(tags), class_="tags"),
        node("p", f"{rule['summary']}.", class_="rule"),
        node("p", rule["explanation"]) if rule["explanation"] else None,
        node("ul", (node("li", fact) for fact in rule["facts"]), class_="facts") if rule["facts"] else None,
        node("h4", "Reproduce"),
        node("pre", node("code", rule["reproduce"])),
        _launches(document, rule),
        _answers(document, rule),
        _sources(rule),
        id=rule["id"],
        class_=f"finding {verdict.value}",
    )


def _launches(document: Document, rule: RuleEntry) -> list[Element]:
    """Those that the facts name are open, the others of the same rule can be opened."""
    launches = rule["scenarios"]
    named = [launch for launch in launches if any(launch["summary"] in fact for fact in rule["facts"])]
    opened = named or launches[:1]
    return [
        node(
            "details",
            node("summary", node("b", launch["summary"]), f" on {launch['inventory']}"),
            _launch(launch, document["machines"].get(launch["inventory"], [])),
            open="" if launch in opened else None,
            class_="launch",
        )
        for launch in launches
    ]


def _launch(launch: LaunchEntry, devices: Sequence[DeviceEntry]) -> list[Element | None]:
    parts: list[Element | None] = [
        node("h4", "Processes and devices"),
        device_table(launch, devices),
        node("h4", "What happened"),
        timeline(launch["events"]),
    ]
    for other in launch["beside"]:
        parts += [node("h4", f"Beside it: {other['summary']}"), device_table(other, devices), timeline(other["events"])]
    left = launch["survivors"]
    if left:
        parts += [
            node("h4", f"Left behind ({len(left)})"),
            node("ul", (node("li", node("code", name)) for name in left)),
        ]
    parts += [_observations(launch), node("h4", "The launch by hand"), node("pre", node("code", launch["reproduce"]))]
    if "stderr" in launch:
        parts += _last_words("stderr", launch["stderr"])
    if "stdout" in launch:
        parts += _last_words("stdout", launch["stdout"])
    return parts


def _observations(launch: LaunchEntry) -> Element | None:
    """What the scenario asked beyond mask and layout, and what else was observed, whatever it is."""
    asked = {name: value for name, value in launch["settings"].items() if name not in IN_THE_SUMMARY}
    found = {
        name: value
        for name, value in {**asked, **launch["observed"]}.items()
        if value not in (None, False, "", [], {}) or (name in asked and value is False)
    }
    if not found:
        return None
    items = ([node("dt", name.replace("_", " ")), node("dd", _in_words(value))] for name, value in found.items())
    return node("details", node("summary", "More of this launch"), node("dl", items))


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_in_words(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(_in_words(part) for part in value)
    return str(value)


def _last_words(name: str, text: str) -> list[Element]:
    lines = text.rstrip().splitlines()
    if not lines:
        return [node("p", f"It wrote nothing to {name}.", class_="nothing")]
    title = f"Last words on {name}" + (f", the last {LAST_LINES} lines" if len(lines) > LAST_LINES else "")
    return [node("h4", title), node("pre", "\n".join(lines[-LAST_LINES:]), class_="words", tabindex="0")]


def _answers(document: Document, rule: RuleEntry) -> Element | None:
    """What a driver showed under each mask of a rule for drivers."""
    if not rule["answers"]:
        return None
    devices = document["machines"].get(document["inventory"], [])
    names = {part["uuid"]: f"{gpu['index']}/{part['gpu_instance']}" for gpu in devices for part in gpu["mig"]}
    names |= {gpu["uuid"]: str(gpu["index"]) for gpu in devices}

    def label(uuids: Iterable[str]) -> str:
        return " ".join(names.get(uuid, uuid) for uuid in uuids) or "none"

    titles = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "cuInit", "shows", "the table allows")
    rows = (
        node(
            "tr",
            node("th", _value(answer["visible"]), scope="row"),
            node("td", _value(answer["device_order"])),
            node("td", str(answer["result"])),
            node("td", label(answer["devices"])),
            node("td", " or ".join(map(label, answer["admissible"]))),
        )
        for answer in rule["answers"]
    )
    head = node("thead", node("tr", (node("th", title, scope="col") for title in titles)))
    table = node("table", head, node("tbody", rows), class_="picture")
    frame = node("div", table, class_="scroll", role="region", aria_label="Answers of the driver", tabindex="0")
    return node("div", node("h4", "Answers of the driver"), frame)


def _value(value: str | None) -> str:
    return "unset" if value is None else value or '""'


def _sources(rule: RuleEntry) -> Element | None:
    if not rule["sources"]:
        return None
    items = (node("li", _source(source)) for source in rule["sources"])
    return node("div", node("h4", "Sources"), node("ul", items, class_="sources"))


def _source(source: str) -> Element | str:
    repository, number_sign, thread = source.partition("#")
    if number_sign and thread.isdigit() and repository.count("/") == 1:
        return node("a", source, href=f"https://github.com/{repository}/issues/{thread}")
    text, space, url = source.rpartition(" ")
    return node("span", text + space, node("a", url, href=url)) if _is_web(url) else source


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


# What is not wrong.


def _left_out(rules: Rules) -> Element | None:
    found = [rule for rule in rules if _verdict(rule) in (Verdict.UNSUPPORTED, Verdict.DOES_NOT_APPLY)]
    if not found:
        return None
    rows = (_line(rule, f"{_verdict(rule).value}: {rule['headline']}") for rule in found)
    return node(
        "section", node("h2", f"Does not apply, or is declared unsupported ({len(found)})"), _lines("Reason", rows)
    )


def _not_declared(rules: Rules) -> Element | None:
    found = [rule for rule in rules if _verdict(rule) is Verdict.NOT_DECLARED]
    if not found:
        return None
    words = "These rules are about what the profile leaves out. They are not counted."
    rows = (_line(rule, f"needs {', '.join(rule['facts'])}") for rule in found)
    return node("section", node("h2", f"Not declared ({len(found)})"), node("p", words), _lines("Key", rows))


def _passes(rules: Rules) -> Element | None:
    found = [rule for rule in rules if _verdict(rule) is Verdict.PASS]
    if not found:
        return None
    rows = (_line(rule, _rests_on(rule)) for rule in found)
    return node("section", node("h2", f"Passes ({len(found)})"), _lines("Rests on", rows))


def _rests_on(rule: RuleEntry) -> str:
    if rule["answers"]:
        return f"{number(len(rule['answers']), 'answer')} of the driver"
    launches = rule["scenarios"]
    evidence = f", evidence: {', '.join(rule['evidence'])}" if rule["evidence"] else ""
    return f"{len(launches)} launch{'' if len(launches) == 1 else 'es'}{evidence}"


def _lines(title: str, rows: Iterable[Element]) -> Element:
    head = node("thead", node("tr", (node("th", name, scope="col") for name in ("Rule", "Statement", title))))
    return node("table", head, node("tbody", rows), class_="lines")


def _line(rule: RuleEntry, why: str) -> Element:
    verdict = _verdict(rule)
    sign = node("span", rule["id"], node("b", f" {SIGNS[verdict]}", aria_hidden="true"), class_=f"chip {verdict.value}")
    return node(
        "tr",
        node("th", sign, scope="row"),
        node("td", f"{rule['summary']} ", node("small", rule["level"])),
        node("td", why),
        id=rule["id"],
    )


def _recorded(rules: Rules) -> Element | None:
    facts = [(rule["id"], fact) for rule in rules if _verdict(rule) is Verdict.PASS for fact in rule["facts"]]
    if not facts:
        return None
    items = (node("li", node("b", id), f" {fact}") for id, fact in facts)
    return node("section", node("h2", "What it does where the evidence leaves a choice"), node("ul", items))


def _verdict(rule: RuleEntry) -> Verdict:
    return Verdict(rule["verdict"])
