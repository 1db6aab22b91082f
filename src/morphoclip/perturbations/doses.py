"""Concentrations: read, brought to one unit, and told apart."""

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONCENTRATION,
    CONCENTRATION_UNIT,
    DOSE,
    MODALITY,
    ROLE,
    Role,
)
from morphoclip.errors import InputError
from morphoclip.table_checks import refuse_lines

_TO_MICROMOLAR = {"m": 1e6, "mm": 1e3, "um": 1.0, "nm": 1e-3, "pm": 1e-6}
_TO_MICROGRAMS = {"g/l": 1e3, "mg/ml": 1e3, "ug/ml": 1.0, "mg/l": 1.0, "ng/ml": 1e-3}
_KEPT = {"%": "%", "moi": "MOI", "u/ml": "U/mL", "iu/ml": "IU/mL"}
_BEFORE_DOSE = " @ "
_POINT = "write decimals with a point and thousands without a mark: 0.5, 1000"
KNOWN = "M, mM, uM, nM, pM, mg/mL, ug/mL, ng/mL, %, U/mL, MOI"


def read_doses(wells: pd.DataFrame, file: str) -> pd.DataFrame:
    """Concentrations as numbers of one unit, and the dose of what was given in several.

    Molar concentrations become µM, those by mass µg/mL. A perturbation at several doses becomes as
    many perturbations, whose ID ends in the dose (``aspirin @ 5 µM``); they stay one entity.

    Args:
        wells: With concentrations and units as they were written; the index counts lines.
        file: What sentences call the table.

    Raises:
        InputError: A concentration is no number, or has no unit that is known.
    """
    has_dose = ~wells[ROLE].isin([Role.NEGCON, Role.EMPTY]) & wells[CONCENTRATION].notna()
    written = wells[CONCENTRATION].where(has_dose)
    with_comma = written.str.contains(r"\d,\d", regex=True, na=False)
    _refuse(written[with_comma], "are written with a comma", _POINT, file)
    in_percent = wells[CONCENTRATION_UNIT].str.strip().eq("%")
    written = written.mask(in_percent, written.str.removesuffix("%"))
    numbers = pd.to_numeric(written, errors="coerce")
    _refuse(
        written[has_dose & ~((numbers >= 0) & np.isfinite(numbers))],
        "are no number",
        "write a number, and its unit in the column unit",
        file,
    )
    units = wells[CONCENTRATION_UNIT].where(has_dose)
    _refuse(
        written[has_dose & units.isna()],
        "have no unit",
        f"fill in the column unit: {KNOWN}",
        file,
    )
    factors = [_factor_and_unit(unit) for unit in units]
    unknown = has_dose & pd.Series([unit == "" for _, unit in factors], index=wells.index)
    _refuse(units[unknown], "have a unit that is not known", f"known are {KNOWN}", file)
    wells[CONCENTRATION] = numbers * pd.Series([factor for factor, _ in factors], wells.index)
    wells[CONCENTRATION_UNIT] = pd.Series([unit or None for _, unit in factors], wells.index)
    wells[CONCENTRATION_UNIT] = wells[CONCENTRATION_UNIT].where(has_dose).astype("str")
    return _with_doses_told_apart(wells, has_dose)


def with_dose(names: pd.Series, ids: pd.Series) -> pd.Series:
    """Names of perturbations that were given in several doses, with the dose that ends the ID."""
    dose = ids.str.extract(rf"({_BEFORE_DOSE}\S+ \S+)$", expand=False)
    parts = zip(names, dose.fillna(""), strict=True)
    said = [name if str(name).endswith(end) else f"{name}{end}" for name, end in parts]
    return pd.Series(said, names.index, dtype="str")


def without_dose(ids: pd.Series) -> pd.Series:
    """IDs of perturbations without the dose that ends those given in several."""
    return ids.str.replace(rf"{_BEFORE_DOSE}\S+ \S+$", "", regex=True)


def _with_doses_told_apart(wells: pd.DataFrame, has_dose: pd.Series) -> pd.DataFrame:
    number = wells[CONCENTRATION].map(lambda value: f"{value:.4g}", na_action="ignore")
    dose = (number.astype("str") + " " + wells[CONCENTRATION_UNIT]).where(has_dose)
    several = dose.groupby([wells[MODALITY], wells[BROAD_SAMPLE]]).transform("nunique") > 1
    undosed = several & dose.isna() & ~wells[ROLE].isin([Role.NEGCON, Role.EMPTY])
    if undosed.any():
        raise InputError(
            f"{int(undosed.sum())} row(s) of perturbations that were given in several doses have "
            f"no concentration, e.g. line {undosed.idxmax()}: "
            f"{wells.loc[undosed.idxmax(), BROAD_SAMPLE]!r}; fill it in"
        )
    wells[DOSE] = dose.astype("str")
    with_it = wells[BROAD_SAMPLE] + _BEFORE_DOSE + dose
    taken = wells[BROAD_SAMPLE][~several & wells[BROAD_SAMPLE].isin(set(with_it[several]))]
    if len(taken):
        raise InputError(
            f"{len(taken)} row(s) call a perturbation as one with its dose is called, e.g. line "
            f"{taken.index[0]}: {taken.iloc[0]!r}; write the perturbation alone, and its dose in "
            "concentration and unit"
        )
    wells[BROAD_SAMPLE] = wells[BROAD_SAMPLE].where(~several, with_it)
    return wells


def _factor_and_unit(unit: object) -> tuple[float, str]:
    if not isinstance(unit, str):
        return 1.0, ""
    plain = unit.strip()
    small = plain.replace("µ", "u").replace("μ", "u").casefold()
    if small in _TO_MICROMOLAR:
        return _TO_MICROMOLAR[small], "µM"
    if small in _TO_MICROGRAMS:
        return _TO_MICROGRAMS[small], "µg/mL"
    return 1.0, _KEPT.get(small, "")


def _refuse(cells: pd.Series, what: str, remedy: str, file: str) -> None:
    refuse_lines(cells, f"concentration(s) {what}", file, remedy)
