"""Material laws and named tissues. Every number carries its unit and its source; laws state their range.

A law gives a factor on the value at 37 degC. Sources disagree (twofold on the liver's conductivity, in sign on how its
thermal conductivity moves), so rival values are separate, named tissues and laws: choosing one is the user's decision.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rfasim.errors import InputError
from rfasim.quantities import (
    Compliance,
    Conductivity,
    Density,
    Drainage,
    Fraction,
    HeatSource,
    PerKelvin,
    Permeability,
    PositiveNumber,
    Rate,
    SpecificHeat,
    Temperature,
    ThermalConductivity,
)  # fmt: skip

Array = np.ndarray[Any, Any]

EPSILON_0 = 8.8541878128e-12  # F/m, CODATA 2018
BODY = 37.0  # degC: the temperature at which tabulated values hold
WATER_HEAT = 4180.0  # J/(kg K), liquid water; leaves with the steam


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ---------------------------------------------------------------------------------------------------- laws of T

class Constant(_Record):
    """The same at every temperature."""

    kind: Literal["constant"] = "constant"

    def factor(self, T: Array) -> Array:
        return np.ones_like(T)

    def integral(self, T: Array) -> Array:
        """``int_37^T factor dT`` [K]."""
        return T - BODY


class Linear(_Record):
    """``1 + slope (T - 37 degC)``, held constant outside ``low``..``high`` where no measurement supports it."""

    kind: Literal["linear"]
    slope: PerKelvin
    low: Temperature = 0.0
    high: Temperature = 100.0

    def factor(self, T: Array) -> Array:
        return np.asarray(1.0 + self.slope * (np.clip(T, self.low, self.high) - BODY))

    def integral(self, T: Array) -> Array:
        inside = np.clip(T, self.low, self.high)
        value = (inside - BODY) + 0.5 * self.slope * (inside - BODY) ** 2
        return np.asarray(value + (T - inside) * self.factor(inside))

    @model_validator(mode="after")
    def _positive(self) -> Linear:
        if not self.low < BODY < self.high:
            raise ValueError(f"low {self.low:g} degC and high {self.high:g} degC must lie on both sides of 37 degC")
        if min(1 + self.slope * (self.low - BODY), 1 + self.slope * (self.high - BODY)) <= 0:
            raise ValueError(
                f"a slope of {100 * self.slope:g} %/K makes the property negative between {self.low:g} and "
                f"{self.high:g} degC; use a smaller slope or a narrower range"
            )
        return self


class Exponential(_Record):
    """``exp(slope (T - 37 degC))`` up to ``high``, the form of the Valencia group's models."""

    kind: Literal["exponential"]
    slope: PerKelvin
    high: Temperature = 100.0

    def factor(self, T: Array) -> Array:
        return np.asarray(np.exp(self.slope * (np.minimum(T, self.high) - BODY)))

    def integral(self, T: Array) -> Array:
        inside = np.minimum(T, self.high)
        if self.slope == 0.0:
            return T - BODY
        return np.asarray(np.expm1(self.slope * (inside - BODY)) / self.slope + (T - inside) * self.factor(inside))


class Table(_Record):
    """Straight lines between given (temperature, factor) pairs, constant outside them."""

    kind: Literal["table"]
    temperatures: tuple[Temperature, ...] = Field(min_length=2)
    factors: tuple[PositiveNumber, ...] = Field(min_length=2)

    def factor(self, T: Array) -> Array:
        return np.interp(T, self.temperatures, self.factors)

    def integral(self, T: Array) -> Array:
        x, y = np.array(self.temperatures), np.array(self.factors)
        steps = 0.5 * (y[1:] + y[:-1]) * np.diff(x)
        inside = np.clip(T, x[0], x[-1])

        def from_start(t: Array) -> Array:
            k = np.clip(np.searchsorted(x, t, side="right") - 1, 0, len(x) - 2)
            below = np.concatenate([[0.0], np.cumsum(steps)])[k]
            return np.asarray(below + 0.5 * (y[k] + np.interp(t, x, y)) * (t - x[k]))

        value = from_start(inside) - from_start(np.array(BODY)) + (T - inside) * self.factor(inside)
        return np.asarray(value)

    @model_validator(mode="after")
    def _rising(self) -> Table:
        if len(self.temperatures) != len(self.factors):
            raise ValueError(f"{len(self.temperatures)} temperatures but {len(self.factors)} factors; give as many")
        if any(b <= a for a, b in zip(self.temperatures, self.temperatures[1:], strict=False)):
            raise ValueError("temperatures must rise from one entry to the next")
        if not self.temperatures[0] <= BODY <= self.temperatures[-1]:
            raise ValueError("temperatures must include 37 degC, where the factor is 1")
        return self


class Guntur2013(Table):
    """k of porcine liver ex vivo: -9.6 % from 20 to 35 degC, then +45 % by 90 degC.

    Guntur et al., Ultrasound Med. Biol. 2013. Contradicts Choi 2013 (falls by up to 20 %). Range 20 to 90 degC.
    """

    kind: Literal["guntur_2013"]  # type: ignore[assignment]
    temperatures: tuple[Temperature, ...] = (20.0, 35.0, 37.0, 90.0)
    factors: tuple[PositiveNumber, ...] = (1.0886, 0.9839, 1.0, 1.4266)


class Choi2013(Table):
    """k and c of human and porcine liver fall by up to 20 % between 25 and 80 degC with denaturation and water loss.

    Choi, Morrissey & Bischof, J. Heat Transfer 135 (2013) 061302. Contradicts Guntur 2013. The straight line between
    the two ends is an assumption.
    """

    kind: Literal["choi_2013"]  # type: ignore[assignment]
    temperatures: tuple[Temperature, ...] = (25.0, 37.0, 80.0)
    factors: tuple[PositiveNumber, ...] = (1.0436, 1.0, 0.8436)


class Haemmerich2006(Table):
    """c of liver: 3411 J/(kg K) at 25 degC, level to 65 degC, 4187 J/(kg K) at 83.5 degC.

    Haemmerich et al., Med. Eng. Phys. 28 (2006). Range 25 to 83.5 degC.
    """

    kind: Literal["haemmerich_2006"]  # type: ignore[assignment]
    temperatures: tuple[Temperature, ...] = (25.0, 65.0, 83.5)
    factors: tuple[PositiveNumber, ...] = (1.0, 1.0, 1.17)


TemperatureLaw = Annotated[
    Constant | Linear | Exponential | Table | Guntur2013 | Choi2013 | Haemmerich2006, Field(discriminator="kind")
]
ALL_TEMPERATURE_LAWS: tuple[Any, ...] = (
    Constant(), Linear(kind="linear", slope=0.015), Exponential(kind="exponential", slope=0.015),
    Table(kind="table", temperatures=(20.0, 37.0, 60.0, 90.0), factors=(0.9, 1.0, 1.1, 1.3)),
    Guntur2013(kind="guntur_2013"), Choi2013(kind="choi_2013"), Haemmerich2006(kind="haemmerich_2006"),
)  # fmt: skip


# ------------------------------------------------------------------------------------------ laws of perfusion

class LangMuscle1999(_Record):
    """Perfusion of muscle under mild heat: ``0.45 + 3.55 exp(-(T - 45)^2 / 12)`` kg/(s m^3) up to 45 degC, 4.0 above.

    Lang, Erdmann & Seebass, IEEE Trans. Biomed. Eng. 46 (1999) 1129, for regional hyperthermia. It knows no shutdown:
    ``perfusion_stop`` of the case does that.
    """

    kind: Literal["lang_1999_muscle"]

    @staticmethod
    def _flow(T: Array) -> Array:
        return np.asarray(0.45 + 3.55 * np.exp(-((np.minimum(T, 45.0) - 45.0) ** 2) / 12.0))

    def factor(self, T: Array) -> Array:
        return np.asarray(self._flow(T) / self._flow(np.array(BODY)))


class LangTumour1999(_Record):
    """Perfusion of tumours under mild heat: 0.833 kg/(s m^3) up to 37 degC, ``0.833 - (T - 37)^4.8 / 5438`` up to 42
    degC, 0.416 above: tumours lose perfusion where muscle gains it.

    Lang, Erdmann & Seebass, IEEE Trans. Biomed. Eng. 46 (1999) 1129.
    """

    kind: Literal["lang_1999_tumour"]

    def factor(self, T: Array) -> Array:
        return np.asarray(1.0 - (np.clip(T, BODY, 42.0) - BODY) ** 4.8 / (5438.0 * 0.833))


class Stasis(_Record):
    """Perfusion against the degree of vascular stasis ``DS = 1 - exp(-Omega)``: up to 1.6 times where a fiftieth of the
    vessels has stopped, then down to nothing.

    ``1 + 30 DS`` up to 0.02, ``1.86 - 13 DS`` up to 0.08, ``0.884 - 0.79 DS`` up to 0.97, ``3.87 (1 - DS)`` beyond: He
    et al., Int. J. Hyperthermia 20 (2004) 567 (pig kidney), as used for liver by Schutt & Haemmerich, Med. Phys. 35
    (2008) 3462; the formula is remembered, its pieces join. Omega is that of the damage model ``vascular_stasis``. It
    holds for normal tissue: tumours showed no initial rise. The law contains the shutdown: use it with
    ``perfusion_stop: null``.
    """

    kind: Literal["he_2004_stasis"]

    def factor(self, stasis: Array) -> Array:
        return np.interp(stasis, [0.0, 0.02, 0.08, 0.97, 1.0], [1.0, 1.6, 0.82, 0.1177, 0.0])


PerfusionLaw = Annotated[
    Constant | Linear | Exponential | Table | LangMuscle1999 | LangTumour1999 | Stasis, Field(discriminator="kind")
]
ALL_PERFUSION_LAWS: tuple[Any, ...] = (
    Constant(), Linear(kind="linear", slope=0.05, low=30.0, high=45.0), LangMuscle1999(kind="lang_1999_muscle"),
    LangTumour1999(kind="lang_1999_tumour"), Stasis(kind="he_2004_stasis"),
)  # fmt: skip


# ------------------------------------------------------------------------------------- laws of the water lost

class Archie(_Record):
    """Conductivity of a porous body whose pore water is partly steam: ``dry + (1 - dry) (1 - lost)^exponent``.

    Archie, Trans. AIME 146 (1942) 54: conductivity goes with water saturation to a power near 2. ``dry`` is what is
    left when all water is gone: about a hundredth (the two decades of the Valencia group's models).
    """

    kind: Literal["archie"] = "archie"
    exponent: PositiveNumber = 2.0
    dry: Fraction = 0.01

    def factor(self, lost: Array) -> Array:
        return np.asarray(self.dry + (1.0 - self.dry) * (1.0 - lost) ** self.exponent)


class LinearInWater(_Record):
    """``1 - (1 - dry) lost``: the state-dependent parameters of Stein 2000 and Kröger et al. 2006 (factor -1)."""

    kind: Literal["linear"]
    dry: Fraction = 0.01

    def factor(self, lost: Array) -> Array:
        return np.asarray(1.0 - (1.0 - self.dry) * lost)


WaterLaw = Annotated[Archie | LinearInWater, Field(discriminator="kind")]


# -------------------------------------------------------------------------------------------------- dispersions

class Dispersion(_Record):
    """Four-term Cole-Cole dispersion, S. Gabriel, Lau & C. Gabriel, Phys. Med. Biol. 41 (1996) 2271.

    ``eps* = e_inf + sum_n delta_n / (1 + (i w tau_n)^(1 - alpha_n)) + sigma_s / (i w eps_0)``; tau in s, sigma in S/m.
    Stated range 10 Hz to 20 GHz.
    """

    e_inf: float
    delta: tuple[float, float, float, float]
    tau: tuple[float, float, float, float]
    alpha: tuple[float, float, float, float]
    sigma: float

    def admittivity(self, frequency: float) -> complex:
        """``sigma + i w eps`` [S/m] at ``frequency`` [Hz]."""
        w = 2.0 * np.pi * frequency
        eps = complex(self.e_inf)
        for delta, tau, alpha in zip(self.delta, self.tau, self.alpha, strict=True):
            eps += delta / (1.0 + (1j * w * tau) ** (1.0 - alpha))
        eps += self.sigma / (1j * w * EPSILON_0)
        return complex(1j * w * EPSILON_0 * eps)


def _gabriel(e_inf: float, d1: float, ps: float, a1: float, d2: float, ns: float, a2: float, sigma: float, d3: float,
             us: float, a3: float, d4: float, ms: float, a4: float) -> Dispersion:
    return Dispersion(e_inf=e_inf, delta=(d1, d2, d3, d4), tau=(ps * 1e-12, ns * 1e-9, us * 1e-6, ms * 1e-3),
                      alpha=(a1, a2, a3, a4), sigma=sigma)


GABRIEL: dict[str, Dispersion] = {
    "liver": _gabriel(4, 39, 8.842, .1, 6000, 530.516, .2, .02, 5e4, 22.736, .2, 3e7, 15.915, .05),
    "blood": _gabriel(4, 56, 8.377, .1, 5200, 132.629, .1, .7, 0, 159.155, .2, 0, 15.915, 0),
    "muscle": _gabriel(4, 50, 7.234, .1, 7000, 353.678, .1, .2, 1.2e6, 318.31, .1, 2.5e7, 2.274, 0),
    "fat": _gabriel(2.5, 3, 7.958, .2, 15, 15.915, .1, .01, 3.3e4, 159.155, .05, 1e7, 7.958, .01),
    "gallbladder": _gabriel(4, 55, 7.579, .05, 40, 1.592, 0, .9, 1e3, 159.155, .2, 1e4, 15.915, 0),
    "bile": _gabriel(4, 66, 7.579, .05, 50, 1.592, 0, 1.4, 0, 159.155, .2, 0, 15.915, .2),
    "vessel_wall": _gabriel(4, 40, 8.842, .1, 50, 3.183, .1, .25, 1e5, 159.155, .2, 1e7, 1.592, 0),
    "kidney": _gabriel(4, 47, 7.958, .1, 3500, 198.944, .22, .05, 2.5e5, 79.577, .22, 3e7, 4.547, 0),
    "spleen": _gabriel(4, 48, 7.958, .1, 2500, 63.662, .15, .03, 2e5, 265.258, .25, 5e7, 6.366, 0),
    "stomach": _gabriel(4, 60, 7.958, .1, 2000, 79.577, .1, .5, 1e5, 159.155, .2, 4e7, 15.915, 0),
    "colon": _gabriel(4, 50, 7.958, .1, 3000, 159.155, .2, .01, 1e5, 159.155, .2, 4e7, 1.592, 0),
    "lung": _gabriel(2.5, 18, 7.958, .1, 500, 63.662, .1, .03, 2.5e5, 159.155, .2, 4e7, 7.958, 0),
    "skin_wet": _gabriel(4, 39, 7.958, .1, 280, 79.577, 0, 0, 3e4, 1.592, .16, 3e4, 1.592, .2),
    "skin_dry": _gabriel(4, 32, 7.234, 0, 1100, 32.481, .2, 0, 0, 159.155, .2, 0, 15.915, .2),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------ tissues

class Tissue(_Record):
    """All properties of one tissue; values hold at 37 degC and are multiplied by their laws' factors.

    ``dispersion`` names the Gabriel tissue that gives conductivity and permittivity at the case's frequency where
    ``conductivity`` or ``relative_permittivity`` is not stated. ``coagulation_gain`` raises the conductivity of fully
    coagulated tissue by that fraction (1.143 in Kröger et al. 2006; 0, the default, in most published models).
    ``water_fraction`` is the water's share of the tissue's mass. ``arterial_fraction`` is the hepatic artery's share of
    the perfusion, the portal vein's is the rest: liver 0.25 (portal 75 to 80 %, Eipel 2010; arterial 20.6 %, Carlisle
    1992).

    The last six say how saline gets on: ``porosity``, the pores' share that a fluid can fill (0: none);
    ``pore_exponent`` of Archie's law; ``permeability``; ``swelling``, fluid taken up per volume and pressure, up to
    ``swelling_limit``; ``drainage``, fluid that vessels take per volume and pressure where there is perfusion.
    docs/physics/saline.md has their sources.
    """

    source: str = ""
    dispersion: str | None = None
    conductivity: Conductivity | None = None
    relative_permittivity: float | None = Field(default=None, ge=0)
    conductivity_law: TemperatureLaw = Constant()
    water_law: WaterLaw = Archie()
    coagulation_gain: float = Field(default=0.0, ge=0, le=10)
    thermal_conductivity: ThermalConductivity = 0.52
    thermal_conductivity_law: TemperatureLaw = Constant()
    density: Density = 1079.0
    heat_capacity: SpecificHeat = 3540.0
    heat_capacity_law: TemperatureLaw = Constant()
    water_fraction: Fraction = 0.68
    perfusion: Rate = 0.0
    perfusion_law: PerfusionLaw = Constant()
    arterial_fraction: Fraction = 0.25
    metabolic_heat: HeatSource = 0.0
    porosity: Fraction = 0.16
    pore_exponent: PositiveNumber = 2.1
    permeability: Permeability = 2e-14
    swelling: Compliance = 1e-4
    swelling_limit: Fraction = 0.35
    drainage: Drainage = 1.9e-8

    def admittivity(self, frequency: float) -> complex:
        """``sigma + i w eps_0 eps_r`` [S/m] at 37 degC and ``frequency`` [Hz]."""
        y = GABRIEL[self.dispersion].admittivity(frequency) if self.dispersion else 0j
        sigma = y.real if self.conductivity is None else self.conductivity
        if self.relative_permittivity is None:
            return complex(sigma, y.imag)
        return complex(sigma, 2 * np.pi * frequency * EPSILON_0 * self.relative_permittivity)

    def perfusion_with(self, portal: float, arterial: float) -> float:
        """Perfusion [1/s] at 37 degC with these shares of the normal portal and arterial flow."""
        return self.perfusion * ((1.0 - self.arterial_fraction) * portal + self.arterial_fraction * arterial)

    @property
    def water(self) -> float:
        """Mass of water per volume of tissue [kg/m^3]."""
        return self.water_fraction * self.density

    @model_validator(mode="after")
    def _has_conductivity(self) -> Tissue:
        if self.dispersion is not None and self.dispersion not in GABRIEL:
            raise ValueError(f"dispersion: '{self.dispersion}' is not known; choose one of {', '.join(GABRIEL)}")
        if self.dispersion is None and self.conductivity is None:
            raise ValueError("conductivity: is missing; state it (such as '0.2 S/m') or name a dispersion")
        if self.density * self.heat_capacity <= self.water * WATER_HEAT:
            raise ValueError(
                f"water_fraction: {self.water_fraction:g} leaves no heat capacity to the dry tissue; lower it"
            )
        return self


_LINEAR = Linear(kind="linear", slope=0.015)
_LAW = "conductivity law +1.5 %/K (between Kroeger 2006's 1.3 and saline's 2.1 %/K); "
_THERMAL = "density, c, k: IT'IS values as in the COMSOL Bioheat library; "
_LIVER_WATER = "water 68 % of mass (Valencia group's models, unverified); "

# Perfusion of normal liver, 0.0064 1/s (36 ml/min per 100 g), is the value of most published models; measured values
# run from 0.0018 to 0.02 1/s. Of a metastasis: 0.0036 1/s (Go-Smart).
LIBRARY: dict[str, Tissue] = {
    "liver": Tissue(
        source=f"Gabriel 1996 dispersion; {_LAW}{_THERMAL}{_LIVER_WATER}perfusion 0.0064 1/s (COMSOL-class models)",
        dispersion="liver", conductivity_law=_LINEAR, perfusion=0.0064,
    ),
    "liver_zurbuchen": Tissue(
        source=f"0.35 S/m at 470 kHz: resected human liver, Zurbuchen 2016; permittivity Gabriel; {_LAW}{_THERMAL}",
        dispersion="liver", conductivity=0.35, conductivity_law=_LINEAR, perfusion=0.0064,
    ),
    "liver_ex_vivo": Tissue(
        source="excised liver, as measured: 0.35 S/m at 470 kHz, Zurbuchen 2016; k(T) Guntur 2013; c(T) Haemmerich "
        f"2006; the rest as for all liver: permittivity Gabriel; {_LAW}{_THERMAL}not perfused",
        dispersion="liver", conductivity=0.35, conductivity_law=_LINEAR,
        thermal_conductivity_law=Guntur2013(kind="guntur_2013"),
        heat_capacity_law=Haemmerich2006(kind="haemmerich_2006"),
    ),
    "liver_comsol": Tissue(
        source="COMSOL gallery class after Tungjitkusolmun 2002: 0.333 S/m, 0.512 W/(m K), 1060, 3600 (unverified)",
        conductivity=0.333, relative_permittivity=0.0, thermal_conductivity=0.512, density=1060.0,
        heat_capacity=3600.0, perfusion=0.0064,
    ),
    "liver_kroeger": Tissue(
        source="Kroeger 2006 after Stein 2000: 0.21 S/m +1.3 %/K, doubled by coagulation, 1080, 3455, k 0.437",
        conductivity=0.21, relative_permittivity=0.0, conductivity_law=Linear(kind="linear", slope=0.013),
        water_law=LinearInWater(kind="linear"), coagulation_gain=1.143, thermal_conductivity=0.437,
        thermal_conductivity_law=Linear(kind="linear", slope=0.0025), density=1080.0, heat_capacity=3455.0,
        perfusion=0.01765,
    ),
    "tumour": Tissue(
        source=f"0.57 S/m: colorectal metastasis at 470 kHz, Zurbuchen 2016; permittivity of liver; {_LAW}c 3750,"
        " k 0.5, perfusion 0.0036 1/s: Go-Smart; 90 % arterial (5 % of the flow left after arterial occlusion); pores "
        "and drainage: Baxter & Jain 1989 (remembered)",
        dispersion="liver", conductivity=0.57, conductivity_law=_LINEAR, thermal_conductivity=0.5, heat_capacity=3750.0,
        perfusion=0.0036, arterial_fraction=0.9, porosity=0.2, drainage=4.2e-7,
    ),
    "tumour_go_smart": Tissue(
        source="Go-Smart: 0.4 S/m at 480 kHz, 0.5 W/(m K), 1079, 3750, perfusion 0.0036 1/s; " + _LAW,
        conductivity=0.4, relative_permittivity=0.0, conductivity_law=_LINEAR, thermal_conductivity=0.5,
        heat_capacity=3750.0, perfusion=0.0036, arterial_fraction=0.9, porosity=0.2, drainage=4.2e-7,
    ),
    "blood": Tissue(
        source="Gabriel 1996 dispersion; 1050 kg/m^3, 3617 J/(kg K), 0.52 W/(m K): IT'IS; water 80 % of mass",
        dispersion="blood", conductivity_law=_LINEAR, density=1050.0, heat_capacity=3617.0, water_fraction=0.8,
        porosity=0.0,
    ),
    "muscle": Tissue(
        source="Gabriel 1996 dispersion; 1090, 3421, 0.49: IT'IS; perfusion 0.0007 1/s (IT'IS, unverified)",
        dispersion="muscle", conductivity_law=_LINEAR, thermal_conductivity=0.49, density=1090.0, heat_capacity=3421.0,
        perfusion=0.0007, arterial_fraction=1.0,
    ),
    "fat": Tissue(
        source="Gabriel 1996 dispersion; 911, 2348, 0.21: IT'IS; water 15 % of mass; perfusion neglected",
        dispersion="fat", conductivity_law=_LINEAR, thermal_conductivity=0.21, density=911.0, heat_capacity=2348.0,
        water_fraction=0.15,
    ),
    "gallbladder": Tissue(source="Gabriel 1996 dispersion; thermal values of liver; no pores", dispersion="gallbladder",
                          porosity=0.0),
    "bile": Tissue(source="Gabriel 1996 dispersion; thermal values of water-rich tissue; no pores", dispersion="bile",
                   porosity=0.0),
    "kidney": Tissue(source="Gabriel 1996 dispersion; thermal values of liver", dispersion="kidney"),
    "spleen": Tissue(source="Gabriel 1996 dispersion; thermal values of liver", dispersion="spleen"),
    "stomach": Tissue(source="Gabriel 1996 dispersion; thermal values of muscle", dispersion="stomach",
                      thermal_conductivity=0.49, density=1090.0, heat_capacity=3421.0),
    "colon": Tissue(source="Gabriel 1996 dispersion; thermal values of muscle", dispersion="colon",
                    thermal_conductivity=0.49, density=1090.0, heat_capacity=3421.0),
    "lung": Tissue(
        source="Gabriel 1996 dispersion (inflated); 394 kg/m^3, 3886 J/(kg K), 0.39 W/(m K): IT'IS (unverified)",
        dispersion="lung", thermal_conductivity=0.39, density=394.0, heat_capacity=3886.0, porosity=0.0,
    ),
}  # fmt: skip


class TissueOverride(_Record):
    """What a case changes of a named tissue; ``base`` names the library tissue that a new name starts from."""

    base: str | None = None
    source: str | None = None
    dispersion: str | None = None
    conductivity: Conductivity | None = None
    relative_permittivity: float | None = Field(default=None, ge=0)
    conductivity_law: TemperatureLaw | None = None
    water_law: WaterLaw | None = None
    coagulation_gain: float | None = Field(default=None, ge=0, le=10)
    thermal_conductivity: ThermalConductivity | None = None
    thermal_conductivity_law: TemperatureLaw | None = None
    density: Density | None = None
    heat_capacity: SpecificHeat | None = None
    heat_capacity_law: TemperatureLaw | None = None
    water_fraction: Fraction | None = None
    perfusion: Rate | None = None
    perfusion_law: PerfusionLaw | None = None
    arterial_fraction: Fraction | None = None
    metabolic_heat: HeatSource | None = None
    porosity: Fraction | None = None
    pore_exponent: PositiveNumber | None = None
    permeability: Permeability | None = None
    swelling: Compliance | None = None
    swelling_limit: Fraction | None = None
    drainage: Drainage | None = None


def resolve_tissues(overrides: dict[str, TissueOverride]) -> dict[str, Tissue]:
    """The library with a case's overrides merged in; raises InputError for an unknown base or a bad combination."""
    tissues = dict(LIBRARY)
    for name, override in overrides.items():
        base = override.base or (name if name in LIBRARY else "liver")
        if base not in LIBRARY:
            near = difflib.get_close_matches(base, LIBRARY, n=3, cutoff=0.4) or list(LIBRARY)
            raise InputError(f"tissues.{name}.base", f"'{base}' is not a known tissue; did you mean {', '.join(near)}?")
        changed = {key: getattr(override, key) for key in override.model_fields_set - {"base"}}
        merged = {key: getattr(LIBRARY[base], key) for key in Tissue.model_fields} | {
            key: value for key, value in changed.items() if value is not None
        }
        try:
            tissues[name] = Tissue(**merged)
        except ValueError as error:
            details: list[Any] = getattr(error, "errors", list)()
            reason = "; ".join(d["msg"].removeprefix("Value error, ") for d in details) or str(error)
            raise InputError(f"tissues.{name}", reason) from None
    return tissues
