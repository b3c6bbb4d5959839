"""An attestation report as one self-contained HTML page, to be filed."""

from collections.abc import Iterable
from html import escape

from blindai_async._version import __version__
from blindai_async.attestation import Outcome
from blindai_async.cli.attestation_report import AttestationReport

__all__ = ["report_page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
         border-bottom: 1px solid #d8dee4; }
th { white-space: nowrap; font-weight: 600; }
td { overflow-wrap: anywhere; }
.verdict { padding: .8rem 1rem; border-left: .4rem solid; font-weight: 600; }
.passed { color: #116329; } .failed { color: #a40e26; } .open { color: #57606a; }
footer { margin-top: 2rem; color: #57606a; font-size: .85rem; }
@media print { body { margin: 0; max-width: none; } }
""".strip()

# Texts from the server are escaped; were one missed, it could still load and run nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
COLOURS = {Outcome.PASSED: "passed", Outcome.FAILED: "failed", Outcome.NOT_REACHED: "open"}


def report_page(report: AttestationReport) -> str:
    """The report as an HTML document that needs nothing from elsewhere, and runs nothing."""
    # Green is for what proves an enclave on Intel's hardware, and for nothing else.
    colour = "passed" if report.refusal is None and report.intels_root else "failed"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Attestation of {escape(report.subject)}</title>",
        f"<style>{STYLE}</style></head><body>",
        "<h1>Attestation report</h1>",
        f'<p class="verdict {colour}">{escape(report.verdict)}</p>',
        _facts(
            [
                ("subject", report.subject),
                ("judged at", f"{report.at:%Y-%m-%d %H:%M:%S} UTC"),
                ("policy", report.policy),
            ]
        ),
    ]
    if report.steps:
        parts += ["<h2>Verification</h2>", _steps(report)]
    if report.claims is not None:
        unproven = "" if report.proven else " (UNPROVEN: the evidence does not hold)"
        parts += [f"<h2>What the evidence says{unproven}</h2>", _facts(report.facts())]
    parts.append(f"<footer>blindai-async {escape(__version__)}</footer></body></html>")
    return "\n".join(parts) + "\n"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>'
        for label, value in facts
    )
    return f"<table>{''.join(rows)}</table>"


def _steps(report: AttestationReport) -> str:
    rows = (
        f"<tr><td>{step.number}</td><td>{escape(step.name)}</td>"
        f'<td class="{COLOURS[step.outcome]}">{escape(step.outcome)}</td>'
        f"<td>{escape(step.detail)}</td></tr>"
        for step in report.steps
    )
    head = "<tr><th>step</th><th>what</th><th>outcome</th><th>detail</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"
