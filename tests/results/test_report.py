from __future__ import annotations

from cgsim.results.report import report
from cgsim.results.tables import compact, ratio_text
from tests.results.conftest import make_columns, with_dram


def rows(text):
    found = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in found}


def test_report_tells_off_chip_reductions_by_layer(make_run, tmp_path):
    for columns, more in ((make_columns(), 0), (with_dram(make_columns()), 2)):
        run = make_run(columns)
        report(run, tmp_path / "r.md")
        text = (tmp_path / "r.md").read_text()
        assert "## Off-chip traffic" in text
        told, total = rows(text), run.summary()
        assert set(told) == {"layer", "---", "total", *run.layers["layer"]}
        assert len({len(cells) for cells in told.values()}) == 1
        assert len(told["total"]) == 17 + more
        weights = [
            sum(total[f"{mode}_{path}_weights_read_bytes"] for path in ("base", "conditional"))
            for mode in ("dense", "gated")
        ]
        assert told["total"][:3] == [*(compact(n / 3) for n in weights), ratio_text(weights[0] / weights[1])]
        assert told["total"][14] == ratio_text(total["offchip_reduction"])
