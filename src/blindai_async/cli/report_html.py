"""A report as one self-contained HTML page, to be filed."""

from collections.abc import Iterable
from html import escape

from blindai_async._version import __version__
from blindai_async.attestation import StepReport
from blindai_async.cli.advice import in_options
from blindai_async.cli.attestation_report import AttestationReport

__all__ = ["report_page"]

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; max-width: 64rem; margin: 2rem auto;
       padding: 0 1rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
         border-bottom: 1px solid #d8dee4; }
th { font-weight: 600; }
th[scope=row] { width: 9.5rem; overflow-wrap: anywhere; }
.steps th[scope=row] { width: 14rem; }
td { overflow-wrap: anywhere; }
td.detail { font-size: .9rem; }
td.value { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .875rem; }
td.outcome { white-space: nowrap; font-weight: 600; width: 8rem; }
td.number { width: 2.5rem; }
.verdict { padding: .8rem 1rem; border-left: .4rem solid; font-weight: 600;
           background: #f6f8fa; overflow-wrap: anywhere; }
.passed { color: #116329; } .failed { color: #a40e26; } .open { color: #57606a; }
.unproven { color: #a40e26; font-weight: 600; }
footer { margin-top: 2rem; color: #57606a; font-size: .85rem; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; }
  thead { display: none; }
  tr { display: flex; flex-wrap: wrap; column-gap: .6rem; padding: .4rem 0;
       border-bottom: 1px solid #d8dee4; }
  th, td, th[scope=row], .steps th[scope=row], td.outcome, td.number { width: auto; border: 0;
                                                                      padding: .1rem 0; }
  th[scope=row] { flex: 1 1 auto; max-width: 75%; }
  td.outcome { margin-left: auto; }
  td.value, td.detail { flex: 1 0 100%; }
}
@media print { body { margin: 0; max-width: none; } }
""".strip()

# Texts from the server are escaped; were one missed, it could still load and run nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
COLOURS = {"passed": "passed", "failed": "failed"}


def report_page(report: AttestationReport) -> str:
    """The report as an HTML document that needs nothing from elsewhere, and runs nothing."""
    # Green is for what proves an enclave on Intel's hardware, and for nothing else.
    colour = "passed" if report.refusal is None and report.intels_root else "failed"
    title = "Attestation report" if report.answer is None else "Proof report"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title} on {escape(report.subject)}</title>",
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        f'<p class="verdict {colour}">{escape(report.verdict)}</p>',
        _facts(
            [
                ("subject", report.subject),
                ("judged at", f"{report.at:%Y-%m-%d %H:%M:%S} UTC"),
                ("policy", report.policy),
            ]
        ),
        *_answer(report),
        *_evidence(report),
        f"<footer>blindai-async {escape(__version__)}</footer></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _answer(report: AttestationReport) -> list[str]:
    """What a proof shows, and what was checked of it."""
    if report.answer is None:
        return []
    parts = ["<h2>The answer</h2>"]
    if report.refusal is not None:
        parts.append('<p class="unproven">UNPROVEN: this is what the file says.</p>')
    checks = (("", each.name, each.outcome, in_options(each.detail)) for each in report.checks)
    return [
        *parts,
        _facts(report.answer.facts()),
        "<h2>What was checked</h2>",
        _outcomes("check", checks),
    ]


def _evidence(report: AttestationReport) -> list[str]:
    """The steps of the verification with the policy after them, and what the evidence says."""
    parts = []
    if report.steps:
        policy = report.policy_check
        rows = [
            *(row for step in report.steps for row in _step_rows(step)),
            ("", "Policy", policy.outcome, policy.detail),
        ]
        parts += ["<h2>Verification of the evidence</h2>", _outcomes("step", rows)]
    if report.claims is not None:
        unproven = "" if report.proven else " (UNPROVEN: the evidence does not hold)"
        parts += [f"<h2>What the evidence says{unproven}</h2>", _facts(report.facts())]
    return parts


def _step_rows(step: StepReport) -> list[tuple[str, str, str, str]]:
    """A step, and a row without number or outcome for each of its parts."""
    return [
        (str(step.number), step.name, step.outcome, step.detail),
        *(("", part.name, "", part.detail) for part in step.parts),
    ]


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(label)}</th><td class="value">{escape(value)}</td></tr>'
        for label, value in facts
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _outcomes(what: str, rows: Iterable[tuple[str, str, str, str]]) -> str:
    """A table of numbers ("" for none), names, outcomes and details."""
    numbered = what == "step"
    cells = (
        "<tr>"
        + (f'<td class="number">{number}</td>' if numbered else "")
        + f'<th scope="row">{escape(name)}</th>'
        f'<td class="outcome {COLOURS.get(outcome, "open")}">{escape(outcome)}</td>'
        f'<td class="detail">{escape(detail)}</td></tr>'
        for number, name, outcome, detail in rows
    )
    head = f"{'<th></th>' if numbered else ''}<th>{what}</th><th>outcome</th><th>detail</th>"
    return (
        f'<table class="{what}s"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(cells)}</tbody></table>"
    )
