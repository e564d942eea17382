"""What does elasticity cost in the space of TuNAS? As elastic_pass, on proxylessnas at 96x96 with batch 32."""

from __future__ import annotations

from elastic_pass import measure_space
from measure import Figure, report
from workload import PROXYLESSNAS, Scale


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or PROXYLESSNAS
    figures = measure_space(scale)
    report("elastic_pass_proxylessnas", __doc__.splitlines()[0], figures, scale.settings())
    return figures


if __name__ == "__main__":
    main()
