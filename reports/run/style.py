"""Colours and marks shared by the HTML and the static figures."""

from __future__ import annotations

#: Colour-blind-safe: Okabe and Ito (2008) without yellow and black, then Paul Tol's muted set.
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00",
    "#882255", "#332288", "#999933", "#44AA99", "#AA4499", "#661100",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot")
#: The same dashes as matplotlib calls them.
LINES = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 3, 2, 3)),
}
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x")
CONTROL_COLOURS = {"perfect": "#444444", "trap": "#777777", "random": "#AAAAAA"}
#: Controls of one kind take these in turn: a task may have several traps.
CONTROL_DASHES = {
    "perfect": ("dot",),
    "trap": ("dash", "dashdot", "longdash", "longdashdot"),
    "random": ("dot", "dashdot"),
}
CONTROL_SYMBOLS = ("circle-open", "square-open", "diamond-open", "triangle-up-open")


def styles(order: list[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Label -> ``colour``, ``dash`` and ``symbol``; controls are grey, and no two methods share all three."""
    out = {}
    n = 0
    n_of_role = dict.fromkeys(CONTROL_COLOURS, 0)
    for label, role in order:
        if role in CONTROL_COLOURS:
            dashes, k = CONTROL_DASHES[role], n_of_role[role]
            n_of_role[role] += 1
            out[label] = {
                "colour": CONTROL_COLOURS[role],
                "dash": dashes[k % len(dashes)],
                "symbol": CONTROL_SYMBOLS[k % len(CONTROL_SYMBOLS)],
            }
            continue
        repeat = n // len(PALETTE)
        out[label] = {
            "colour": PALETTE[n % len(PALETTE)],
            "dash": DASHES[repeat % len(DASHES)],
            "symbol": SYMBOLS[(n + repeat) % len(SYMBOLS)],
        }
        n += 1
    return out
