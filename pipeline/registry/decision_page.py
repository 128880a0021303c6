"""What the gate found, as a page for people."""

from typing import Any

from pipeline.project.html import document, facts, section, table
from pipeline.registry.gate import of, shown


def page(report: dict[str, Any]) -> str:
    """`report` as in reports/promotion.json."""
    before = report["champion_before"]
    over = f"champion before: version {before}" if before is not None else "there was no champion"
    about = [
        ("decision", report["decision"]),
        ("failed", "\n".join(report["failed"])),
        ("found", report["summary"]),
        ("over", over),
        ("time", report["time"]),
        ("test rows", f"{report['data']['test_rows']:,}, SHA-256 {report['data']['test_sha256']}"),
    ]
    if report.get("beaten"):
        about.append(("warning", report["beaten"]))
    parts = [section("", facts(about)), section("Conditions", conditions(report["conditions"]))]
    if report["comparison"]:
        parts.append(section(title(report["comparison"]), comparison(report, report["comparison"])))
    if report["beside"]:
        parts.append(section(title(report["beside"]), comparison(report, report["beside"])))
    return document(f"{report['name']} version {report['version']}: {report['decision']}", parts)


def conditions(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            each["name"],
            shown(each["given"]),
            f"{each['sense']} {shown(each['needed'])}",
            "passed" if each["passed"] else "FAILED",
            each["detail"],
        )
        for each in found
    ]
    return table(["condition", "given", "needed", "", "detail"], rows)


def title(found: dict[str, Any]) -> str:
    return f"The same rows{of(found)}, asked of both"


def comparison(report: dict[str, Any], found: dict[str, Any]) -> str:
    metric = report["gate"]["metric"]

    def line(name: str, value: float, interval: list[float]) -> tuple[str, str, str]:
        return name, f"{value:.5g}", f"{interval[0]:.5g} to {interval[1]:.5g}"

    rows = [
        line(f"version {report['version']}", found["challenger"], found["challenger_interval_95"]),
        line(f"version {report['champion_before']}", found["champion"], found["champion_interval_95"]),
        line("gain", found["observed"], found["interval_95"]),
    ]
    said = (
        f"<p class='quiet'>Paired bootstrap of {found['resamples']:,} resamples of the {found['rows']:,} rows. "
        f"{found['test']}: p = {found['p']:.4g}; {found['counts']}.</p>"
    )
    return table([metric, "value", "95% interval"], rows) + said
